#!/usr/bin/env python3
"""Draws what bench/soak printed as one SVG: resident memory and the library's own bytes over the calls.

  plot_soak.py soak.csv soak.svg

Also prints how much each grew after the first hundred calls, and exits with 1 when the library's bytes did. Standard library
only.
"""
import csv
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 320, 64, 40, 30


def polyline(points: list[tuple[float, float]], xmax: float, ymax: float, colour: str) -> str:
    """One curve in chart coordinates."""
    pairs = " ".join(f"{LEFT + x / xmax * (WIDTH - LEFT - 20):.1f},{HEIGHT - BOTTOM - y / ymax * (HEIGHT - BOTTOM - TOP):.1f}"
                     for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{pairs}"/>'


def main() -> int:
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    rows = [{k: int(v) for k, v in row.items()} for row in csv.DictReader(open(sys.argv[1], encoding="utf-8"))]
    resident = [(r["call"], r["resident_kb"] / 1024) for r in rows]
    library = [(r["call"], r["library_bytes"] / 2**20) for r in rows]
    xmax, ymax = rows[-1]["call"], 1.25 * max(y for _, y in resident)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for i in range(6):
        y = HEIGHT - BOTTOM - i / 5 * (HEIGHT - BOTTOM - TOP)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{ymax * i / 5:.0f}</text>')
        x = LEFT + i / 5 * (WIDTH - LEFT - 20)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{xmax * i // 5}</text>')
    parts += [polyline(resident, xmax, ymax, "#c0392b"), polyline(library, xmax, ymax, "#2471a3"),
              f'<text x="{LEFT}" y="18">MB over calls: <tspan fill="#c0392b">resident memory of the process</tspan>, '
              f'<tspan fill="#2471a3">bytes held by the library</tspan></text></svg>']
    Path(sys.argv[2]).write_text("\n".join(parts) + "\n", encoding="utf-8")
    warm = next(r for r in rows if r["call"] >= 100)
    last = rows[-1]
    grown = last["library_bytes"] - warm["library_bytes"]
    print(f"calls {last['call'] + 1}: after call {warm['call']} resident {warm['resident_kb']} -> {last['resident_kb']} KB "
          f"(largest {max(r['resident_kb'] for r in rows)}), library {grown:+d} bytes, "
          f"{last['allocations'] - warm['allocations']} allocations")
    return 1 if grown > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
