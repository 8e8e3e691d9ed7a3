"""Makes tests/data/minilm: 64 real questions and what sentence-transformers' all-MiniLM-L6-v2 makes of them, in f32.

texts.txt has one question a line, from as many BANKING77 intents (its test set; CC-BY-4.0, see the README.md beside).
expected.safetensors has
  embedding  f32 [64,384]  SentenceTransformer.encode(): mean pooling, normalised, each text run alone
  ids        i32 [T]       token ids of all texts, one after the other, special tokens included, no padding
  seq_start  i32 [65]      where each text begins in ids

  python make_minilm.py BANKING77_TEST_CSV [--model ../../build/models/minilm] [--output ../data/minilm]
"""
import argparse
import csv
import os
import pathlib

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import numpy as np
import torch
import transformers
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer

COUNT = 64


def pick(path: pathlib.Path) -> list[str]:
    """One question of each of 64 intents: the shortest of the first intent, the longest of the last, in between."""
    by_intent: dict[str, list[str]] = {}
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if "\n" not in row["text"] and "\r" not in row["text"]:
                by_intent.setdefault(row["category"], []).append(row["text"])
    intents = sorted(by_intent)[:COUNT]
    ranked = [sorted(by_intent[k], key=lambda t: (len(t), t)) for k in intents]
    return [texts[i * (len(texts) - 1) // (COUNT - 1)] for i, texts in enumerate(ranked)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("csv", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, default=root / "build" / "models" / "minilm")
    parser.add_argument("--output", type=pathlib.Path, default=root / "tests" / "data" / "minilm")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    texts = pick(args.csv)
    model = SentenceTransformer(str(args.model), device="cpu", model_kwargs={"attn_implementation": "eager"})
    ids = [model.tokenizer(t, truncation=True, max_length=model.max_seq_length)["input_ids"] for t in texts]
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "texts.txt").write_text("".join(t + "\n" for t in texts), encoding="utf-8")
    path = args.output / "expected.safetensors"
    save_file({
        "embedding": np.ascontiguousarray(model.encode(texts, batch_size=1)),
        "ids": np.concatenate(ids).astype(np.int32),
        "seq_start": np.cumsum([0] + [len(i) for i in ids]).astype(np.int32),
    }, path)
    path.chmod(0o644)
    lengths = [len(i) for i in ids]
    print(f"{len(texts)} texts, {min(lengths)} to {max(lengths)} tokens, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
