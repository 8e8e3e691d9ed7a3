"""Fine-tunes a classifier in PyTorch as `deepseek train` does it; prints one line of JSON with the same keys.

  pytorch_train.py MODEL --train F --eval F [--text-column text] [--label-column label] [--epochs 3] [--batch-size 32]
                   [--learning-rate 5e-5] [--seed 0] [--threads 2] [--dtype float32|bfloat16]
"""
import argparse
import csv
import json
import os
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--train", required=True)
parser.add_argument("--eval", required=True)
parser.add_argument("--text-column", default="text")
parser.add_argument("--label-column", default="label")
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--batch-size", type=int, default=32)
parser.add_argument("--learning-rate", type=float, default=5e-5)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
args = parser.parse_args()
os.environ |= {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import torch  # after the environment
from transformers import AutoModelForSequenceClassification, AutoTokenizer, get_linear_schedule_with_warmup


def read(path: str) -> tuple[list[str], list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [r[args.text_column] for r in rows], [r[args.label_column] for r in rows]


class Texts:
    """Token ids and labels; the batches of an order, each padded to its longest text."""

    def __init__(self, tokenizer, texts: list[str], labels: list[int], longest: int):
        self.tokenizer, self.labels = tokenizer, torch.tensor(labels)
        self.encoded = tokenizer(texts, truncation=True, max_length=longest)

    def batches(self, order: torch.Tensor, size: int):
        for part in order.split(size):
            rows = [{k: v[i] for k, v in self.encoded.items()} for i in part.tolist()]
            yield self.tokenizer.pad(rows, return_tensors="pt"), self.labels[part]


def parameter_groups(model) -> list[dict]:
    groups: dict[bool, list] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups["bias" not in name and "norm" not in name.lower()].append(parameter)
    return [{"params": groups[True], "weight_decay": 0.01}, {"params": groups[False], "weight_decay": 0.0}]


def train(model, data: Texts) -> list[float]:
    per_epoch = -(-len(data.labels) // args.batch_size)
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=args.learning_rate)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, args.epochs * per_epoch)
    losses = []
    model.train()
    for _ in range(args.epochs):
        for inputs, labels in data.batches(torch.randperm(len(data.labels)), args.batch_size):
            with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
                loss = model(**inputs, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    return losses


@torch.inference_mode()
def accuracy(model, data: Texts) -> float:
    model.eval()
    right = 0
    for inputs, labels in data.batches(torch.arange(len(data.labels)), 64):
        with torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bfloat16"):
            right += (model(**inputs).logits.argmax(-1) == labels).sum().item()
    return right / len(data.labels)


def main() -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    texts, categories = read(args.train)
    number = {name: i for i, name in enumerate(sorted(set(categories)))}
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForSequenceClassification.from_pretrained(
        args.model, num_labels=len(number), ignore_mismatched_sizes=True, dtype=torch.float32)
    longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
    start = time.perf_counter()
    losses = train(model, Texts(tokenizer, texts, [number[c] for c in categories], longest))
    seconds = time.perf_counter() - start
    held_out = [(t, number[c]) for t, c in zip(*read(args.eval)) if c in number]
    score = accuracy(model, Texts(tokenizer, *map(list, zip(*held_out)), longest))
    last = losses[-10:]
    print(json.dumps({"steps": len(losses), "samples_per_s": args.epochs * len(texts) / seconds, "train_s": seconds,
                      "first_loss": losses[0], "last_loss": sum(last) / len(last), "eval_accuracy": score}))


if __name__ == "__main__":
    main()
