#!/usr/bin/env python3
"""Calls that the conventions ban.

  check_banned.py [ROOT]

Everywhere under src/: unbounded string functions. In the library (src/ without src/cli): raw allocation outside of
base/alloc.c, printing, leaving the process, the environment outside of base/env.c. Comments and strings do not count.
"""
import re
import sys
from pathlib import Path

from c_text import blank, sources

UNBOUNDED = r"strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|alloca"
ALLOCATION = r"malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign"
PROCESS = r"printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort|assert|system|setlocale"
ENVIRONMENT = r"getenv|secure_getenv|setenv|putenv"
RULES = [  # pattern, what it is, files it is allowed in (prefixes below src/)
    (UNBOUNDED, "has no bound or no error", ()),
    (ALLOCATION, "goes round the allocator door (base/alloc.h)", ("base/alloc.c",)),
    (PROCESS, "the library never prints or leaves the process", ("cli/",)),
    (ENVIRONMENT, "only base/env.c reads the environment", ("base/env.c",)),
]


def violations(root: Path) -> list[str]:
    found = []
    for path, text in sources(root, "src"):
        inside = str(path.relative_to(root / "src"))
        for number, line in enumerate(blank(text).split("\n"), 1):
            for pattern, why, allowed in RULES:
                if inside.startswith(allowed):
                    continue
                for call in re.findall(rf"(?<![\w.>])({pattern})\s*\(", line):
                    found.append(f"src/{inside}:{number}: {call}() {why}")
    return found


def main() -> int:
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent
    lines = violations(root)
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
