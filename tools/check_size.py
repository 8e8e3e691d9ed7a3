#!/usr/bin/env python3
"""Files stop at 800 lines, functions at 120 lines and 7 parameters.

  check_size.py [ROOT] [--aims]

--aims also lists what is over the aims (files of 400 lines, functions of 40). Generated files are left out. The functions
of a published contract with more parameters are named in PUBLIC_WIDE. Exits with 1 and a line for each violation.
"""
import sys
from pathlib import Path

from c_text import blank, functions, sources

FILE_LINES, FUNCTION_LINES, PARAMETERS = 800, 120, 7
FILE_AIM, FUNCTION_AIM = 400, 40
# Kernels and public functions whose arguments are one flat contract (pointers, strides, sizes).
PUBLIC_WIDE = {"layer_norm", "dropout", "ds_classify", "ds__classify", "ds__plan_offsets"}


def violations(root: Path, aims: bool) -> tuple[list[str], list[str]]:
    hard, soft = [], []
    for path, text in sources(root, "src", "include", "tests", "examples", "bench", "fuzz"):
        name, lines = path.relative_to(root), text.count("\n")
        if lines > FILE_LINES:
            hard.append(f"{name}: {lines} lines, at most {FILE_LINES}")
        elif lines > FILE_AIM:
            soft.append(f"{name}: {lines} lines, the aim is {FILE_AIM}")
        for f in functions(blank(text)):
            if f.lines > FUNCTION_LINES:
                hard.append(f"{name}:{f.line}: {f.name} has {f.lines} lines, at most {FUNCTION_LINES}")
            elif f.lines > FUNCTION_AIM:
                soft.append(f"{name}:{f.line}: {f.name} has {f.lines} lines, the aim is {FUNCTION_AIM}")
            if f.parameters > PARAMETERS and f.name not in PUBLIC_WIDE and not f.name.startswith("layer_norm"):
                hard.append(f"{name}:{f.line}: {f.name} has {f.parameters} parameters, at most {PARAMETERS}")
    return hard, soft if aims else []


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--aims"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    hard, soft = violations(root, "--aims" in sys.argv)
    for line in soft:
        print(line)
    for line in hard:
        print(line, file=sys.stderr)
    return 1 if hard else 0


if __name__ == "__main__":
    sys.exit(main())
