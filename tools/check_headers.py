#!/usr/bin/env python3
"""Every header compiles alone, with every compiler that is there; public ones also as plain C11 and as C++.

  check_headers.py [ROOT]
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

ISA_FLAGS = {"avx2": ["-mavx2", "-mfma", "-mf16c"],
             "avx512": ["-mavx2", "-mfma", "-mf16c", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]}
QUIET = ["-Wno-unused-function", "-Wno-empty-translation-unit", "-Wno-pedantic"]


def compile_alone(command: list[str], header: Path) -> str:
    """The compiler's complaint, empty when there is none."""
    result = subprocess.run([*command, "-fsyntax-only", "-"], input=f'#include "{header}"\n', capture_output=True, text=True)
    return "" if result.returncode == 0 else result.stderr.strip().split("\n")[0]


def violations(root: Path) -> list[str]:
    found = []
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    for header in [*sorted((root / "include").rglob("*.h")), *sorted((root / "src").rglob("*.h"))]:
        public = "include" in header.relative_to(root).parts
        isa = re.search(r"_(avx2|avx512)\.h$", header.name)
        for compiler in compilers:
            flags = ["-I", str(root / "include")]
            if not public:
                flags += ["-I", str(root / "src"), "-D_GNU_SOURCE", *(ISA_FLAGS[isa[1]] if isa else [])]
            standards = [["-x", "c", "-std=c11" if public else "-std=gnu11"]]
            if public and shutil.which(compiler + "++" if compiler == "clang" else "g++"):
                standards.append(["-x", "c++", "-std=c++17"])
            for standard in standards:
                problem = compile_alone([compiler, *standard, "-Wall", "-Wextra", "-Werror", *QUIET, *flags], header.resolve())
                if problem:
                    found.append(f"{header.relative_to(root)}: does not compile alone ({compiler} {standard[2]}): {problem}")
    return found


def main() -> int:
    lines = violations(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
