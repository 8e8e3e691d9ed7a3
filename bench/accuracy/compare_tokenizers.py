"""Compares the ids of `deepseek tokenize` with those of the `tokenizers` package, and the speed of both on one thread.

  pip install -r tests/reference/requirements.txt
  python bench/accuracy/compare_tokenizers.py --tokenizers FOLDER --data TEXT_FOLDER [NAME ...]
                         [--deepseek build/release/deepseek] [--random 100000] [--rounds 1] [--json]

FOLDER holds minilm/, bert_zh/ (a vocab.txt alone: BERT's defaults) and roberta/; NAME picks some of them. The lines:
  text     every raw line of every file under TEXT_FOLDER; only '\\n' ends a line, a '\\r' before it is part of it
  random   seeded random Unicode strings of 0 to 60 characters, every block in turn, any character but '\\n'
  damaged  a tenth as many of these with bytes lost or changed
Padding and truncation are off, special tokens are added. Exit status 1 when an id differs.

Invalid UTF-8 becomes U+FFFD on both sides. Python's errors="replace" writes one U+FFFD for each maximal part of a
character that could still have become valid, as the WHATWG Encoding Standard asks: a cut three-byte character is one
U+FFFD, each byte of an overlong form or of an encoded surrogate is one. Their number matters to byte-level BPE, which
makes tokens of each, while BERT's clean-up drops them. `text` meets this only where a file is not UTF-8, `damaged`
always.

The speeds leave loading out: the package's is the time in encode_batch alone, ours is the whole run less that of a run
on one empty line, and so holds reading the lines and writing the JSON.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unicodedata

os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")  # the package reads them once
from tokenizers import BertWordPieceTokenizer, Tokenizer

SEED = 1
CHUNK = 5000
PAGE = 64  # code points: small enough that every Unicode block has pages of its own or shares one


def text_lines(folder: pathlib.Path) -> list[bytes]:
    lines: list[bytes] = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        lines += path.read_bytes().removesuffix(b"\n").split(b"\n")
    return lines


def random_lines(count: int) -> list[bytes]:
    """Strings of one page of code points after the other: alone, or mixed with ASCII, with spaces, with anything."""
    r = random.Random(SEED)
    scalars = [c for c in range(0x110000) if c != 10 and not 0xD800 <= c < 0xE000]
    pages: dict[int, list[int]] = {}
    for c in scalars:
        pages.setdefault(c // PAGE, []).append(c)
    used = [p for p in pages.values() if any(unicodedata.category(chr(c)) not in ("Cn", "Co") for c in p)]
    ascii_ = [c for c in range(128) if c != 10]
    lines = []
    for i in range(count):
        page = used[i % len(used)]
        pool = r.choice(([page], [page, page, ascii_], [page, [32]], [page, r.choice(used)], [scalars, page]))
        lines.append("".join(chr(r.choice(r.choice(pool))) for _ in range(r.randint(0, 60))).encode())
    return lines


def damaged_lines(lines: list[bytes]) -> list[bytes]:
    r = random.Random(SEED)
    result = []
    for line in lines:
        data = bytearray(line)
        for _ in range(min(len(data), r.randint(1, 6))):
            at = r.randrange(len(data))
            if r.random() < 0.5:
                del data[at]
                if not data:
                    break
            else:
                data[at] = r.choice((0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF0, 0xF4, 0xF5, 0xFF, r.randrange(256)))
        result.append(bytes(data).replace(b"\n", b"\r"))
    return result


def load(folder: pathlib.Path) -> Tokenizer:
    if (folder / "tokenizer.json").exists():
        tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tok.no_padding()
        tok.no_truncation()
        return tok
    return BertWordPieceTokenizer(str(folder / "vocab.txt"))._tokenizer


def tokenize(program: pathlib.Path, model: pathlib.Path, lines: list[bytes], output: pathlib.Path) -> float:
    """Runs the program on the lines; returns the seconds it took."""
    with tempfile.TemporaryFile() as source, open(output, "wb") as sink:
        source.writelines(line + b"\n" for line in lines)
        source.seek(0)
        command = [str(program), "tokenize", str(model), "--texts", "-", "--threads", "1"]
        start = time.perf_counter()
        done = subprocess.run(command, stdin=source, stdout=sink, stderr=subprocess.PIPE)
        seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()}")
    return seconds


def compare(program: pathlib.Path, model: pathlib.Path, lines: list[bytes], rounds: int) -> dict:
    tok = load(model)
    texts = [line.decode("utf-8", errors="replace") for line in lines]
    mismatches: list[dict] = []
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as temp:
        output = pathlib.Path(temp) / "ids"
        for _ in range(rounds):
            loading = min(tokenize(program, model, [b""], output) for _ in range(5))
            ours.append(max(tokenize(program, model, lines, output) - loading, 1e-6))
            mismatches.clear()
            spent = 0.0
            with open(output, encoding="ascii") as answers:
                for at in range(0, len(texts), CHUNK):
                    start = time.perf_counter()
                    encodings = tok.encode_batch(texts[at:at + CHUNK])
                    spent += time.perf_counter() - start
                    for line, expected in enumerate((e.ids for e in encodings), at):
                        answer = answers.readline()
                        got = json.loads(answer) if answer.strip() else None  # None: the program wrote too few lines
                        if got != expected:
                            mismatches.append({"line": line, "bytes": repr(lines[line]),
                                               "expected": expected, "got": got})
                if answers.readline():
                    sys.exit(f"{model.name}: the program wrote more than {len(lines)} lines")
            theirs.append(spent)
    return {"lines": len(lines), "mismatches": len(mismatches), "first": mismatches[:5],
            "deepseek_lines_per_s": round(len(lines) / min(ours)),
            "tokenizers_lines_per_s": round(len(lines) / min(theirs)),
            "ratio": round(min(theirs) / min(ours), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deepseek", type=pathlib.Path, default="build/release/deepseek")
    parser.add_argument("--tokenizers", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--random", type=int, default=100_000, help="how many random strings")
    parser.add_argument("--rounds", type=int, default=1, help="how often each is timed; the best counts")
    parser.add_argument("--json", action="store_true", help="print one JSON object a comparison in place of the table")
    parser.add_argument("names", nargs="*", metavar="NAME", default=["minilm", "bert_zh", "roberta"])
    args = parser.parse_args()
    strings = random_lines(args.random)
    sources = {"text": text_lines(args.data), "random": strings, "damaged": damaged_lines(strings[:args.random // 10])}
    if not args.json:
        print("tokenizer  source        lines  mismatches  deepseek lines/s  tokenizers lines/s   ratio")
    wrong = 0
    for name in args.names:
        for source, lines in sources.items():
            r = compare(args.deepseek, args.tokenizers / name, lines, args.rounds)
            wrong += r["mismatches"]
            if args.json:
                print(json.dumps({"tokenizer": name, "source": source} | r), flush=True)
                continue
            print(f"{name:10} {source:8} {r['lines']:10} {r['mismatches']:11} {r['deepseek_lines_per_s']:17} "
                  f"{r['tokenizers_lines_per_s']:19} {r['ratio']:7.2f}", flush=True)
            for m in r["first"]:
                print(f"  line {m['line']}: {m['bytes'][:200]}\n    expected {str(m['expected'])[:200]}\n"
                      f"    got      {str(m['got'])[:200]}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
