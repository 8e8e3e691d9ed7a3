"""Draws `deepseek bench --kernels --json` as SVG: for each family its cases, from small to large, against the share of the
peak that each variant reaches (GB/s for families without arithmetic to speak of).

  deepseek bench --kernels --json > kernels.json
  plot_kernels.py kernels.json OUT_FOLDER --cpu NAME        writes OUT_FOLDER/kernels-FAMILY.svg
"""
import argparse
import html
import json
import pathlib
import re

COLOURS = ("#0b6e99", "#d9730d", "#2f8f5b", "#ad1a72", "#6940a5", "#9b6f00", "#c0392b", "#4a4a4a", "#1abc9c", "#7f8c8d", "#34495e")
LEFT, TOP, STEP, HEIGHT, BOTTOM = 60, 46, 62, 300, 120

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("figures", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--cpu", default="")


def size_of(row: dict) -> float:
    """Orders the cases: the product of the sizes in a name such as "128x384x1536, gelu" or "512 tokens, 12 heads"."""
    product = 1.0
    for number in re.findall(r"\d+", row["case"].split(",")[0]):
        product *= int(number)
    return product


def plot(family: str, rows: list[dict], cpu: str) -> str:
    cases = sorted({row["case"]: size_of(row) for row in rows}.items(), key=lambda item: item[1])
    places = {case: LEFT + STEP * i + STEP / 2 for i, (case, _) in enumerate(cases)}
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    shares = any(row["peak_share"] is not None for row in rows)
    value = {(r["kernel"], r["case"]): 100 * r["peak_share"] if shares else r["best"] for r in rows}
    top = 110 if shares else max(value.values()) * 1.1
    width = LEFT + STEP * len(cases) + 190
    y = lambda v: TOP + HEIGHT * (1 - v / top)
    title = f"{family}: {'share of the peak of the same products' if shares else 'GB/s'}, one thread. {cpu}"
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{TOP + HEIGHT + BOTTOM}" '
             'font-family="sans-serif" font-size="11">', '<rect width="100%" height="100%" fill="white"/>',
             f'<text x="{LEFT}" y="20" font-size="14">{html.escape(title)}</text>']
    for i in range(6):
        level = (100 if shares else top / 1.1) * i / 5
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + STEP * len(cases)}" y1="{y(level):.1f}" y2="{y(level):.1f}" stroke="#ddd"/>'
                     f'<text x="{LEFT - 6}" y="{y(level) + 4:.1f}" text-anchor="end">{level:.0f}{" %" if shares else ""}</text>')
    for case, x in places.items():
        parts.append(f'<text transform="translate({x + 4:.0f},{TOP + HEIGHT + 12}) rotate(40)">{html.escape(case)}</text>')
    for i, kernel in enumerate(kernels):
        colour = COLOURS[i % len(COLOURS)]
        points = [(places[case], y(value[kernel, case])) for case, _ in cases if (kernel, case) in value]
        parts.append(f'<polyline fill="none" stroke="{colour}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in points]
        parts.append(f'<text x="{LEFT + STEP * len(cases) + 12}" y="{TOP + 14 * i + 8}" fill="{colour}">{kernel}</text>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    args = parser.parse_args()
    rows = json.loads(args.figures.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    for family in dict.fromkeys(row["family"] for row in rows):
        of_family = [r for r in rows if r["family"] == family]
        if any(r["peak_share"] is not None for r in of_family):  # packing and preparing are GB/s: not on this axis
            of_family = [r for r in of_family if r["peak_share"] is not None]
        if family != "peak":
            (args.out / f"kernels-{family}.svg").write_text(plot(family, of_family, args.cpu))


if __name__ == "__main__":
    main()
