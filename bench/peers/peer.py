"""Measures one peer on one model as `deepseek bench MODEL --json` measures us; prints one line of JSON with the same keys.

  peer.py ENGINE-PRECISION MODEL [--threads N] [--seconds S] [--texts FILE] [--limit N]      such as onnxruntime-int8

load_ms: from the folder to a model that runs (imports not counted). bB_sS_ms: median latency on random ids. texts_per_s
and arrival_per_s: the first column of each line but the first, tokenised within the time, batches of 32 padded to their
longest, sorted by length or in the order of the file; median of three passes after one. peak_rss_mb: VmHWM at the end.
"""
import argparse
import json
import pathlib
import statistics
import time

import engines

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("engine")
parser.add_argument("model", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=2)
parser.add_argument("--texts", type=pathlib.Path)
parser.add_argument("--limit", type=int, default=1000)
BATCH, MAX_TOKENS, PASSES = 32, 512, 3
SHAPES = ((1, 16), (1, 128), (1, 512), (8, 128))


def latency(run: engines.Run, texts: int, length: int, seconds: float) -> float:
    ids = engines.np.random.default_rng(0).integers(1000, 30000, (texts, length)).astype("int64")
    mask, times = engines.np.ones_like(ids), []
    for _ in range(3):
        run(ids, mask)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        run(ids, mask)
        times.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(times), 3)


def corpus(run: engines.Run, tokenizer, lines: list[str], by_length: bool) -> None:
    encoded = [e.ids for e in tokenizer.encode_batch(lines)]
    if by_length:
        encoded.sort(key=len)
    for i in range(0, len(encoded), BATCH):
        batch = encoded[i:i + BATCH]
        ids = engines.np.zeros((len(batch), max(map(len, batch))), "int64")
        mask = engines.np.zeros_like(ids)
        for row, tokens in enumerate(batch):
            ids[row, :len(tokens)], mask[row, :len(tokens)] = tokens, 1
        run(ids, mask)


def main() -> None:
    args = parser.parse_args()
    engines.limit_threads(args.threads)
    name, precision = args.engine.rsplit("-", 1)
    run, load = engines.ENGINES[name](args.model, precision, args.threads)
    row = {"engine": args.engine, "load_ms": round(1e3 * load, 1)}
    for texts, length in SHAPES:
        row[f"b{texts}_s{length}_ms"] = latency(run, texts, length, args.seconds)
    if args.texts:
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(MAX_TOKENS)
        lines = [line.split("\t")[0] for line in args.texts.read_text("utf-8").split("\n")[1:args.limit + 1] if line]
        for key, by_length in (("texts_per_s", True), ("arrival_per_s", False)):
            corpus(run, tokenizer, lines, by_length)
            times = []
            for _ in range(PASSES):
                start = time.perf_counter()
                corpus(run, tokenizer, lines, by_length)
                times.append(time.perf_counter() - start)
            row[key] = round(len(lines) / statistics.median(times), 1)
    status = pathlib.Path("/proc/self/status").read_text()
    row["peak_rss_mb"] = round(int(status.split("VmHWM:")[1].split()[0]) / 1024)
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
