#!/usr/bin/env python3
"""What the built library shows the world.

  check_exports.py BUILD_DIR

The shared library exports ds_* (not ds__*) and nothing else, needs only libc, libm, utf8proc and PCRE2, and is under 3 MB
stripped. In the static library every symbol with external linkage is ds_* or ds__*.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

NEEDED = re.compile(r"^(libc\.so|libm\.so|libpthread\.so|ld-linux|libutf8proc\.so|libpcre2-8\.so)")
MAX_BYTES = 3 * 1024 * 1024


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def violations(build: Path) -> list[str]:
    found = []
    shared, static = build / "libdeepseek.so", build / "libdeepseek.a"
    exported = [line.split()[-1] for line in output("nm", "-D", "--defined-only", str(shared)).splitlines()]
    for name in exported:
        if not name.startswith("ds_") or name.startswith("ds__"):
            found.append(f"{shared.name}: exports {name}, expected only ds_*")
    if not exported:
        found.append(f"{shared.name}: exports nothing")
    for line in output("nm", "--extern-only", "--defined-only", str(static)).splitlines():
        name = line.split()[-1] if len(line.split()) == 3 else "ds_"
        if not name.startswith("ds_"):
            found.append(f"{static.name}: {name} has external linkage, expected a name that begins with ds_ or ds__")
    for name in re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", str(shared))):
        if not NEEDED.match(name) and not re.match(r"lib(asan|ubsan|tsan|gcov)", name):
            found.append(f"{shared.name}: needs {name}")
    with tempfile.NamedTemporaryFile() as stripped:
        output("strip", "-o", stripped.name, str(shared))
        size = Path(stripped.name).stat().st_size
        if size >= MAX_BYTES:
            found.append(f"{shared.name}: {size} bytes when stripped, at most {MAX_BYTES}")
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
