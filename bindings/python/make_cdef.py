#!/usr/bin/env python3
"""The public headers of the library as declarations that cffi can read, so that the headers stay the one source.

  make_cdef.py [INCLUDE_FOLDER]     prints them; default: include/ of this checkout

The C preprocessor expands the lists and drops what marks functions (DS_API, DS_MUST_CHECK); the standard headers are
replaced with empty ones, since cffi knows their types. CC names the compiler; default: cc.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

STANDARD_HEADERS = ("stdbool.h", "stddef.h", "stdint.h")
# Functions with a body are not part of the shared library.
INLINE_FUNCTION = re.compile(r"^static inline [^{}]*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}\n?", re.M)


def declarations(include: Path) -> str:
    """What every header under include/deepseek declares, each once."""
    with tempfile.TemporaryDirectory() as empty:
        for name in STANDARD_HEADERS:
            (Path(empty) / name).touch()
        headers = sorted((include / "deepseek").glob("*.h"))
        unit = "".join(f'#include "deepseek/{header.name}"\n' for header in headers)
        # Without __GNUC__ the headers define their markers as nothing.
        command = [os.environ.get("CC", "cc"), "-E", "-P", "-x", "c", "-nostdinc", "-U__GNUC__", "-U__clang__",
                   "-I", empty, "-I", str(include), "-"]
        text = subprocess.run(command, input=unit, check=True, capture_output=True, text=True).stdout
    return INLINE_FUNCTION.sub("", text)


def main() -> int:
    include = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "include"
    sys.stdout.write(declarations(include))
    return 0


if __name__ == "__main__":
    sys.exit(main())
