#!/usr/bin/env python3
"""Line coverage of src/ after the tests ran in a build made with --coverage.

  coverage.py BUILD_DIR

Prints a line for each file, the worst first, and the total. Uses gcc's gcov; nothing else is needed.
"""
import gzip
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    build = Path(sys.argv[1]).resolve()
    notes = sorted(str(p) for p in build.rglob("*.gcno"))
    if not notes:
        print(f"{build}: has no coverage notes; build with the preset cov and run the tests", file=sys.stderr)
        return 1
    lines: dict[str, dict[int, int]] = defaultdict(dict)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["gcov", "--json-format", "--preserve-paths", *notes], cwd=folder, capture_output=True, check=False)
        for report in Path(folder).glob("*.gcov.json.gz"):
            for file in json.loads(gzip.decompress(report.read_bytes()))["files"]:
                if "/src/" in file["file"]:
                    seen = lines[file["file"].split("/src/")[-1]]
                    for line in file["lines"]:
                        number = line["line_number"]
                        seen[number] = max(seen.get(number, 0), line["count"])
    rows = sorted((sum(map(bool, seen.values())) / len(seen), len(seen), name) for name, seen in lines.items() if seen)
    for share, count, name in rows:
        print(f"{100 * share:6.1f} %  {count:5d} lines  src/{name}")
    total = sum(count for _, count, _ in rows)
    print(f"{100 * sum(share * count for share, count, _ in rows) / total:6.1f} %  {total:5d} lines in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
