#!/usr/bin/env python3
"""No AVX in objects built for the baseline, no AVX-512 in AVX2 objects.

  check_objects.py BUILD_DIR

An object's instruction set is its file name's ending (_avx2, _avx512...). Baseline objects must run on any x86-64: no wide
registers, and no AVX encoding (v...) of instructions on narrow ones either.
"""
import re
import subprocess
import sys
from pathlib import Path

AVX = re.compile(r"%ymm\d+|\bv[a-z0-9]+ +[^\n]*%xmm\d+")
AVX512 = re.compile(r"%zmm\d+|%k[1-7]\b|%[xy]mm(?:1[6-9]|2\d|3[01])\b")


def violations(build: Path) -> list[str]:
    found = []
    objects = sorted(build.rglob("*.c.o"))
    if not objects:
        return [f"{build}: has no objects; build first"]
    for path in objects:
        name = path.name.removesuffix(".c.o")
        if re.search(r"_avx512\w*$", name):
            continue
        banned = [AVX512] if name.endswith("_avx2") else [AVX, AVX512]
        code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True).stdout
        for pattern in banned:
            match = pattern.search(code)
            if match:
                found.append(f"{path.relative_to(build)}: uses {match[0]}, which its name does not promise")
                break
    return found


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    lines = violations(Path(sys.argv[1]))
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
