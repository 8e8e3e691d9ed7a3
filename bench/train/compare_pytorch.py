"""Training by `deepseek train` and by PyTorch, in turn and several times over, each in a process of its own.

  compare_pytorch.py MODEL TRAIN.csv TEST.csv [--deepseek PROGRAM] [--rounds 3] [--dtypes float32,bfloat16] [--rows N]
                     [--text-column C] [--label-column label] [--epochs 3] [--batch-size 32] [--learning-rate 1e-4]
                     [--seed 0] [--threads 2] [--markdown]

Prints the medians, and for each dtype our figure over PyTorch's (over 1 is good for samples/s, under 1 for peak MB).
The README beside this says what is measured.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
COLUMNS = {"samples/s": "samples_per_s", "peak MB": "peak_mb", "accuracy": "eval_accuracy", "train s": "train_s",
           "first loss": "first_loss", "last loss": "last_loss", "steps": "steps"}
PASSED_ON = ("label_column", "epochs", "batch_size", "learning_rate", "threads")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("train", type=pathlib.Path)
parser.add_argument("test", type=pathlib.Path)
parser.add_argument("--deepseek", type=pathlib.Path, default="build/release/deepseek")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--dtypes", default="float32,bfloat16")
parser.add_argument("--rows", type=int, help="train on so many rows, drawn at random (default: all)")
parser.add_argument("--text-column", help="default: what each finds by itself, which is text")
parser.add_argument("--label-column", default="label")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--learning-rate", type=float, default=1e-4)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--markdown", action="store_true")


def draw_rows(source: pathlib.Path, target: pathlib.Path, rows: int, seed: int) -> pathlib.Path:
    with open(source, encoding="utf-8", newline="") as file:
        header, *body = csv.reader(file)
    with open(target, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *random.Random(seed).sample(body, min(rows, len(body)))])
    return target


def measure(command: list, cores: str, log: pathlib.Path) -> dict | None:
    """The last line's figures and the peak of memory as the system counted it; None when the program failed."""
    with open(log, "w+", encoding="utf-8") as out, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], stdout=out, stderr=complaints)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        complaints.seek(0)
        lines = out.read().strip().splitlines()
        if process.returncode != 0 or not lines:
            print((complaints.read().strip().splitlines() or ["no output"])[-1], file=sys.stderr, flush=True)
            return None
    return json.loads(lines[-1]) | {"peak_mb": usage.ru_maxrss / 1024}


def print_table(rows: dict[str, dict[str, str]], columns: list[str], markdown: bool) -> None:
    if markdown:
        print("| engine | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
        for name, row in rows.items():
            print(f"| {name} | " + " | ".join(row[c] for c in columns) + " |")
        return
    print("".ljust(20) + "".join(c.rjust(16) for c in columns))
    for name, row in rows.items():
        print(name.ljust(20) + "".join(row[c].rjust(16) for c in columns))


def summary(runs: list[dict]) -> dict[str, float]:
    return {column: statistics.median(run[key] for run in runs) for column, key in COLUMNS.items()}


def shown(runs: list[dict]) -> dict[str, str]:
    row = {column: f"{value:.4g}" for column, value in summary(runs).items()}
    scores = [run["eval_accuracy"] for run in runs]
    return row | {"peak MB": f"{summary(runs)['peak MB']:.0f}", "steps": f"{summary(runs)['steps']:.0f}",
                  "accuracy": f"{statistics.median(scores):.4f}" + f" +-{(max(scores) - min(scores)) / 2:.4f}" *
                  (len(scores) > 1)}


def main() -> None:
    args = parser.parse_args()
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:args.threads]))
    runs: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        train = draw_rows(args.train, folder / "train.csv", args.rows, args.seed) if args.rows else args.train
        common = ["--train", train, "--eval", args.test]
        common += ["--text-column", args.text_column] if args.text_column else []
        for key in PASSED_ON:
            common += ["--" + key.replace("_", "-"), getattr(args, key)]
        for turn in range(args.rounds):
            for dtype in args.dtypes.split(","):
                how = [args.model, *common, "--dtype", dtype, "--seed", args.seed + turn]
                ours = ["train", *how, "--json", "--output", folder / f"model-{turn}-{dtype}"]
                for engine, command in {"deepseek": [args.deepseek.resolve(), *ours],
                                        "pytorch": [sys.executable, HERE / "pytorch_train.py", *how]}.items():
                    print(f"round {turn + 1}: {engine} {dtype}", file=sys.stderr, flush=True)
                    found = measure(command, cores, folder / "out")
                    if found:
                        runs.setdefault(f"{engine} {dtype}", []).append(found)
    print_table({name: shown(found) for name, found in runs.items()}, list(COLUMNS), args.markdown)
    ratios = {}
    for dtype in args.dtypes.split(","):
        if f"deepseek {dtype}" in runs and f"pytorch {dtype}" in runs:
            a, b = summary(runs[f"deepseek {dtype}"]), summary(runs[f"pytorch {dtype}"])
            ratios[f"ratio {dtype}"] = {c: f"{a[c] / b[c]:.2f}" for c in ("samples/s", "peak MB")} | {
                "accuracy": f"{a['accuracy'] - b['accuracy']:+.4f}"}
    if ratios:
        print()
        print_table(ratios, ["samples/s", "peak MB", "accuracy"], args.markdown)


if __name__ == "__main__":
    main()
