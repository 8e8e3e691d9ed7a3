"""Compares `deepseek embed` with sentence-transformers in float32 on real sentences. Exit status 0: within the bounds.

  pip install -r tests/reference/requirements.txt
  python bench/accuracy/compare_pytorch.py --data TEXT_FOLDER [--deepseek build/release/deepseek]
                                           [--model build/models/minilm]
                                           [--precision float32|bfloat16|int8] [--json]

TEXT_FOLDER holds sst2/{dev,train}.tsv, banking77/test.csv and glue_small/STS-B/sts-dev.csv. Three comparisons:
  pytorch    1,000 SST-2 and 1,000 BANKING77 sentences: cosine in the mean and at worst, largest difference
  alone      200 of them, each in a run of its own, against the same row of the run of all: cosine 1, difference 1e-4
  sts        Spearman's correlation on STS-B dev by both
BOUNDS below holds what is allowed for each precision.
"""
import argparse
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
import transformers
from sentence_transformers import SentenceTransformer

SEED = 1
# cosine in the mean, at worst, largest difference of a component, difference of Spearman's correlation
BOUNDS = {"float32": (0.99999, 0.99999, 1e-4, 0.0005), "bfloat16": (0.9995, 0.999, 1, 0.001),
          "int8": (0.995, 0.975, 1, 0.002)}
OPTIONS = {"float32": ["--dtype", "float32"], "bfloat16": ["--dtype", "bfloat16"], "int8": ["--quantization", "int8"]}


def sst2(folder: pathlib.Path, count: int) -> list[str]:
    """The dev set and as many training sentences as are missing."""
    dev, train = ([line.split("\t")[0] for line in (folder / f"{part}.tsv").read_text("utf-8").split("\n")[1:-1]]
                  for part in ("dev", "train"))
    return (dev + random.Random(SEED).sample(train, max(0, count - len(dev))))[:count]


def banking77(path: pathlib.Path, count: int) -> list[str]:
    with open(path, encoding="utf-8", newline="") as file:
        texts = [" ".join(row["text"].splitlines()) for row in csv.DictReader(file)]
    return random.Random(SEED).sample(texts, count)


def embed(args: argparse.Namespace, texts: pathlib.Path | str, *options: str, stdin: str | None = None) -> np.ndarray:
    """The rows that the program writes for a file of texts, or for stdin when texts is "-"."""
    with tempfile.TemporaryDirectory() as temp:
        output = pathlib.Path(temp) / "out.npy"
        command = [args.deepseek, "embed", args.model, "--texts", texts, "--output", output,
                   *OPTIONS[args.precision], *options]
        done = subprocess.run([str(c) for c in command], input=stdin, encoding="utf-8", stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL)
        if done.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}: {done.stderr.strip()}")
        return np.load(output)


def closeness(a: np.ndarray, b: np.ndarray, bounds: tuple[float, ...]) -> dict:
    if a.shape != b.shape or a.dtype != np.float32:
        sys.exit(f"shapes {a.shape} and {b.shape} or type {a.dtype}: expected the same shape and float32")
    difference = float(np.abs(a.astype(np.float64) - b).max())
    mean, least = float(cosines(a, b).mean()), float(cosines(a, b).min())
    return {"texts": len(a), "mean_cosine": mean, "min_cosine": least, "max_difference": difference,
            "ok": mean >= bounds[0] and least >= bounds[1] and difference <= bounds[2]}


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of the ranks; equal values share the mean of their ranks."""
    ranks = []
    for values in (a, b):
        _, group, count = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(count) - (count + 1) / 2)[group])
    return float(np.corrcoef(*ranks)[0, 1])


def compare_sts(args: argparse.Namespace, model: SentenceTransformer) -> dict:
    path = args.data / "glue_small" / "STS-B" / "sts-dev.csv"
    rows = [line.split("\t") for line in path.read_text("utf-8").split("\n")[:-1]]  # no header, no quoting
    scores = np.array([float(row[4]) for row in rows])
    table = ["--no-header", "--delimiter", "tab", "--text-column"]
    ours, theirs = ([f(column) for column in (5, 6)] for f in (
        lambda c: embed(args, path, *table, str(c + 1)),
        lambda c: model.encode([row[c] for row in rows])))
    a, b = spearman(cosines(*ours), scores), spearman(cosines(*theirs), scores)
    return {"pairs": len(rows), "deepseek": a, "pytorch": b, "ok": abs(a - b) < BOUNDS[args.precision][3]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deepseek", type=pathlib.Path, default="build/release/deepseek")
    parser.add_argument("--model", type=pathlib.Path, default="build/models/minilm")
    parser.add_argument("--precision", choices=list(BOUNDS), default="float32")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="the folder with sst2, banking77, glue_small")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the table")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    model = SentenceTransformer(str(args.model), device="cpu", model_kwargs={"dtype": torch.float32})

    texts = sst2(args.data / "sst2", 1000) + banking77(args.data / "banking77" / "test.csv", 1000)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", suffix=".txt") as file:
        file.writelines(t + "\n" for t in texts)
        file.flush()
        ours = embed(args, file.name)
    some = sorted(random.Random(SEED).sample(range(len(texts)), 200))
    alone = np.concatenate([embed(args, "-", stdin=texts[i] + "\n") for i in some])
    result = {
        "pytorch": closeness(ours, model.encode(texts, batch_size=1), BOUNDS[args.precision]),
        "alone": closeness(alone, ours[some], BOUNDS["float32"]),
        "sts": compare_sts(args, model),
    }
    if args.json:
        print(json.dumps(result))
    else:
        print("comparison                        texts   mean cosine    min cosine  max difference")
        for key, title in (("pytorch", "deepseek and PyTorch"), ("alone", "a text alone and in a batch")):
            r = result[key]
            print(f"{title:30} {r['texts']:8} {r['mean_cosine']:13.9f} {r['min_cosine']:13.9f} {r['max_difference']:15.2e}  {verdict(r)}")
        r = result["sts"]
        print(f"Spearman on STS-B dev, {r['pairs']} pairs: deepseek {r['deepseek']:.4f}, PyTorch {r['pytorch']:.4f}  "
              + verdict(r))
    sys.exit(0 if all(r["ok"] for r in result.values()) else 1)


def verdict(row: dict) -> str:
    return "ok" if row["ok"] else "TOO FAR"


if __name__ == "__main__":
    main()
