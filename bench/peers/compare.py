"""Us against the peers, in turn and several times over, each in a process of its own on the same cores.

  compare.py MODEL [--deepseek PROGRAM] [--engines a,b] [--precisions f32,bf16,int8] [--rounds 3] [--texts FILE.tsv]
             [--limit N] [--threads 2] [--seconds S] [--markdown]

Prints the machine's own limit in each round, the medians, and for each precision our figure over the best peer's of the
same precision (a ratio over 1 is good for texts/s, under 1 for the rest). MODEL: see make_models.py.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
KEYS = ["load_ms", "b1_s16_ms", "b1_s128_ms", "b1_s512_ms", "b8_s128_ms", "texts_per_s", "arrival_per_s", "peak_rss_mb"]
OURS = {"f32": ["--dtype", "float32"], "bf16": ["--dtype", "bfloat16"], "int8": ["--quantization", "int8"]}
PEERS = ("torch-f32,onnxruntime-f32,openvino-f32,ctranslate2-f32,onnxruntime-int8,ctranslate2-int8")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--deepseek", type=pathlib.Path, default="build/release/deepseek")
parser.add_argument("--engines", default=PEERS)
parser.add_argument("--precisions", default="f32,bf16,int8")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", default="0.5")
parser.add_argument("--texts", type=pathlib.Path)
parser.add_argument("--limit", default="400")
parser.add_argument("--markdown", action="store_true")


def jobs(args: argparse.Namespace) -> dict[str, list]:
    common = ["--threads", args.threads, "--seconds", args.seconds]
    if args.texts:
        common += ["--texts", args.texts, "--limit", args.limit]
    found = {f"deepseek-{p}": [args.deepseek.resolve(), "bench", args.model, *OURS[p], *common, "--json"]
             for p in args.precisions.split(",")}
    for engine in filter(None, args.engines.split(",")):
        found[engine] = [sys.executable, HERE / "peer.py", engine, args.model, *common]
    return found


def limit(args: argparse.Namespace, cores: str) -> str:
    """What the multiply-adds of each precision reach on one core, in G operations a second."""
    command = ["taskset", "-c", cores.split(",")[0], args.deepseek.resolve(), "bench", "--kernels", "--family", "peak", "--json"]
    rows = json.loads(subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout)
    best: dict[str, float] = {}
    for row in rows:
        best[row["op"]] = max(best.get(row["op"], 0), row["best"])
    return ", ".join(f"{op} {value:.0f}" for op, value in best.items())


def print_table(rows: dict[str, dict[str, float]], markdown: bool) -> None:
    if markdown:
        print("| engine | " + " | ".join(KEYS) + " |\n|---|" + "---|" * len(KEYS))
        for name, row in rows.items():
            print(f"| {name} | " + " | ".join(f"{row[k]:.1f}" if k in row else "-" for k in KEYS) + " |")
        return
    print("engine".ljust(20) + "".join(k.rjust(14) for k in KEYS))
    for name, row in rows.items():
        print(name.ljust(20) + "".join((f"{row[k]:.1f}" if k in row else "-").rjust(14) for k in KEYS))


def ratios(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    found = {}
    for name, row in rows.items():
        peers = [r for n, r in rows.items() if not n.startswith("deepseek") and n.split("-")[1] == name.split("-")[1]]
        if not name.startswith("deepseek") or not peers:
            continue
        found[f"{name} / best"] = {
            k: row[k] / (max if k.endswith("per_s") else min)(p[k] for p in peers if k in p)
            for k in KEYS if k in row and any(k in p for p in peers)}
    return found


def main() -> None:
    args = parser.parse_args()
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads]))
    measured: dict[str, list[dict]] = {}
    for turn in range(args.rounds):
        print(f"round {turn + 1}, one core's limit: {limit(args, cores)}", file=sys.stderr, flush=True)
        for name, command in jobs(args).items():
            done = subprocess.run([str(c) for c in ["taskset", "-c", cores, *command]], capture_output=True, text=True)
            if done.returncode == 0:
                measured.setdefault(name, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
            else:
                print(f"{name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}", file=sys.stderr, flush=True)
    medians = {name: {k: statistics.median(r[k] for r in rows) for k in KEYS if all(r.get(k) is not None for r in rows)}
               for name, rows in measured.items()}
    print_table(medians, args.markdown)
    print()
    found = ratios(medians)
    print("ratios".ljust(20) + "".join(k.rjust(14) for k in KEYS))
    for name, row in found.items():
        print(name.ljust(20) + "".join((f"{row[k]:.2f}" if k in row else "-").rjust(14) for k in KEYS))


if __name__ == "__main__":
    main()
