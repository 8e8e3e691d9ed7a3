#!/usr/bin/env python3
"""Nothing in the tree refers to one machine: no absolute path of a home or work folder, no package registry's settings.

  check_paths.py [ROOT]

Build folders, hidden folders other than .ci, and binary files are left out. Exits with 1 and one line for each violation.
"""
import os
import re
import sys
from pathlib import Path
from typing import Iterator

SKIPPED = {"build", "__pycache__"}
BANNED = re.compile(rb"(?:^|[^\w./-])(/(?:work|root|home/\w+|Users/\w+)/)|(--?(?:index-url|trusted-host|find-links)\b)")


def files(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED and (f == ".ci" or not f.startswith(".")))
        yield from (Path(folder) / name for name in sorted(names))


def violations(root: Path) -> list[str]:
    found = []
    for path in files(root):
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.split(b"\n"), 1):
            match = BANNED.search(line)
            if match:
                what = (match[1] or match[2]).decode()
                found.append(f"{path.relative_to(root)}:{number}: refers to {what}, which is one machine's own")
    return found


def main() -> int:
    lines = violations(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
