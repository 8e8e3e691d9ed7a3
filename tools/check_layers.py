#!/usr/bin/env python3
"""The layer table of docs/ARCHITECTURE.md, enforced: which folder under src/ may include which.

  check_layers.py [ROOT]

Every row may include itself, base, tensor and the public headers; beyond those only the rows it names (not transitive). A kernel
family may include of other families only their micro-kernel headers (*_micro*.h, vec_*.h); only kernels.c lists them all.
Examples include public headers only. File names under src/ are unique. Exits with 1 and one line for each violation.
"""
import re
import sys
from collections import defaultdict
from pathlib import Path

LAYERS: dict[str, set[str]] = {
    "base": set(),
    "tensor": set(),
    "formats": set(),
    "kernels": set(),
    "tokenizer": {"formats"},
    "ir": set(),
    "ops": {"ir"},
    "passes": {"ops", "ir"},
    "autograd": {"ops", "ir"},
    "runtime": {"passes", "ops", "ir"},
    "models": {"tokenizer", "formats", "ops", "ir"},
    "pipeline": {"models", "runtime", "tokenizer", "formats", "ops", "ir"},
    "backends": {"runtime", "ops", "ir", "kernels"},
    "train": {"autograd", "kernels", "pipeline", "models", "runtime", "ops", "ir", "tokenizer", "formats"},
    "serve": {"pipeline", "models", "runtime", "tokenizer", "formats"},
    "profile": {"runtime", "kernels"},
    "api": {"tokenizer", "formats", "kernels", "ir", "ops", "passes", "autograd", "runtime", "models", "pipeline", "backends",
            "train", "profile"},
    "cli": {"formats", "serve", "profile"},
}
ALWAYS = {"base", "tensor"}
MICRO_KERNEL = re.compile(r"kernels/\w+/(\w+_micro\w*|vec_\w+)\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def other_family(inside: Path, include: str) -> bool:
    """Whether a kernel family includes something of another one that is not a micro-kernel."""
    parts = include.split("/")
    between = len(inside.parts) > 2 and len(parts) > 2 and inside.parts[0] == parts[0] == "kernels"
    return between and inside.parts[1] != parts[1] and not MICRO_KERNEL.fullmatch(include)


def violations(root: Path) -> list[str]:
    """One line for each include that the table does not allow, and for each file name used twice."""
    found, names = [], defaultdict(list)
    src = root / "src"
    for path in sorted(src.rglob("*.[ch]")):
        inside = path.relative_to(src)
        layer = inside.parts[0]
        names[path.name].append(str(inside))
        if layer not in LAYERS:
            found.append(f"src/{inside}: the folder {layer} is not in the layer table")
            continue
        allowed = LAYERS[layer] | ALWAYS | {layer}
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            target = include.split("/")[0]
            if other_family(inside, include):
                found.append(f"src/{inside}: includes \"{include}\" of another kernel family, which is no micro-kernel header "
                             "(*_micro*.h, vec_*.h)")
                continue
            if target == "deepseek" or target in allowed:
                continue
            if not (src / include).exists():
                found.append(f"src/{inside}: includes \"{include}\", which is not under src/ or include/")
            else:
                found.append(f"src/{inside}: {layer} includes \"{include}\", but may only include "
                             f"{', '.join(sorted(allowed))} and the public headers")
    for path in [*sorted((root / "include").rglob("*.h")), *sorted((root / "examples").glob("*.c"))]:
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            if not include.startswith("deepseek/"):
                found.append(f"{path.relative_to(root)}: includes \"{include}\", which is not a public header")
    for name, places in sorted(names.items()):
        if len(places) > 1:
            found.append(f"{name} is the name of {len(places)} files: {', '.join(places)}")
    return found


def main() -> int:
    lines = violations(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent))
    for line in lines:
        print(line, file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
