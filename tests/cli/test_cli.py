"""The program's edges: pipes and devices, full disks, odd input, refusals before work, what a terminal sees; and every
command's answers to all texts of the tiny models, held against PyTorch's.

  python3 tests/cli/test_cli.py PROGRAM        (ctest runs it; test_program.py is the shorter walk through the commands)
"""
import ast
import json
import math
import os
import pty
import re
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "tests" / "data" / "models"
COMMANDS = ("embed", "classify", "tag", "tokenize", "train", "eval", "calibrate", "report", "quantize", "prune", "bench", "inspect", "serve",
            "models", "kernels")
BATCH = 512  # texts that the program reads ahead
WAIT_S = 60  # for anything that should be immediate


def run(*arguments: object, text: bytes = b"", **how) -> subprocess.CompletedProcess:
    source = {} if "stdin" in how else {"input": text}
    result = subprocess.run([PROGRAM, *map(str, arguments)], timeout=WAIT_S, check=False,
                            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **source, **how})
    assert b"\x1b" not in (result.stdout or b"") + (result.stderr or b""), "escape sequences outside of a terminal"
    return result


def rows(*arguments: object, text: bytes = b"") -> list:
    result = run(*arguments, text=text)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr.decode()
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]


def expected(model: str, name: str) -> list[list]:
    """One tensor of what PyTorch and the `tokenizers` package answered, as rows."""
    data = (MODELS / model / "expected.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + size])[name]
    first, last = (8 + size + offset for offset in entry["data_offsets"])
    flat = struct.unpack(f"<{(last - first) // 4}{'i' if entry['dtype'] == 'I32' else 'f'}", data[first:last])
    width = entry["shape"][1] if len(entry["shape"]) > 1 else 1
    return [list(flat[i:i + width]) for i in range(0, len(flat), width)]


def expected_by_text(model: str, name: str) -> list[list]:
    """The same for a tensor with a row for each token: one list of rows for each text."""
    starts, values = [row[0] for row in expected(model, "seq_start")], expected(model, name)
    return [values[a:b] for a, b in zip(starts, starts[1:])]


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def unit(values: list[float]) -> list[float]:
    return [v / math.sqrt(sum(x * x for x in values)) for v in values]


def texts_of(model: str) -> Path:
    return MODELS / model / "texts.txt"


class Case(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def failed(self, result: subprocess.CompletedProcess, code: int, *words: str) -> None:
        """The exit code, nothing on standard output, and one sentence (two lines where --help is pointed to)."""
        said = result.stderr.decode()
        self.assertEqual(result.returncode, code, said)
        self.assertFalse(result.stdout)
        for word in words:
            self.assertIn(word, said)
        self.assertTrue(said.startswith("deepseek"), said)
        self.assertLessEqual(len(said.splitlines()), 1 if code == 1 else 3, said)

    def close(self, got: list[float], want: list[float], tolerance: float = 1e-4) -> None:
        self.assertEqual(len(got), len(want))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(got, want)), tolerance)


class Edges(Case):
    # Where results go.

    @unittest.skipUnless(os.path.exists("/dev/full"), "has no /dev/full")
    def test_a_full_disk_is_a_failure_with_a_sentence(self) -> None:
        for arguments in (["--version"], ["--help"], ["embed", "--help"], ["kernels"], ["inspect", MODELS / "bert_seq"],
                          ["embed", MODELS / "bert_base"], ["tokenize", MODELS / "bert_seq"]):
            with self.subTest(arguments), open("/dev/full", "wb") as full:
                result = run(*arguments, text=b"one\ntwo\n", stdout=full)
                self.assertEqual(result.returncode, 1)
                self.assertEqual(result.stderr.decode(), "deepseek: standard output: cannot write: No space left on device\n")

    def test_a_reader_that_leaves_is_no_news(self) -> None:
        for command in ("tokenize", "embed"):
            with self.subTest(command):
                job = subprocess.Popen([PROGRAM, command, MODELS / "bert_base"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                job.stdout.close()
                _, said = job.communicate(b"Where is my card?\n" * 3000, timeout=WAIT_S)
                self.assertEqual((job.returncode, said), (1, b""))

    def test_a_pipe_as_output_stays_a_pipe(self) -> None:
        for name in ("a.jsonl", "a.npy"):
            with self.subTest(name):
                pipe = self.folder / name
                os.mkfifo(pipe)
                job = subprocess.Popen([PROGRAM, "embed", MODELS / "bert_base", "--output", pipe], stdin=subprocess.PIPE)
                job.stdin.write(b"hello\n")
                job.stdin.close()
                data = pipe.read_bytes()
                self.assertEqual(job.wait(timeout=WAIT_S), 0)
                self.assertTrue(stat.S_ISFIFO(pipe.stat().st_mode))
                self.assertTrue(data.startswith(b'{"text":"hello",' if name == "a.jsonl" else b"\x93NUMPY"))

    def test_a_file_is_replaced_only_when_all_is_written(self) -> None:
        broken = self.folder / "broken.csv"
        broken.write_text("text\n" + "fine\n" * (BATCH + 1) + '"never closed\n')
        for name in ("a.jsonl", "a.npy"):
            with self.subTest(name):
                out = self.folder / name
                out.write_text("what was there")
                self.failed(run("embed", MODELS / "bert_base", "--texts", broken, "--output", out), 1, "broken.csv")
                self.assertEqual(out.read_text(), "what was there")
                self.assertEqual(run("embed", MODELS / "bert_base", "--output", out, text=b"a\nb").returncode, 0)
                self.assertNotEqual(out.read_bytes(), b"what was there")
                self.failed(run("embed", MODELS / "bert_base", "--output", self.folder / "no" / name), 1, "cannot create")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a.jsonl", "a.npy", "broken.csv"])
        lines = (self.folder / "a.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["text"] for line in lines], ["a", "b"])

    # What is read.

    def test_no_text_is_no_result(self) -> None:
        for command, model in (("embed", "bert_base"), ("classify", "bert_seq"), ("tag", "bert_token"),
                               ("tokenize", "bert_seq")):
            result = run(command, MODELS / model)
            self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", b""))
        self.assertEqual(run("embed", MODELS / "bert_base", "--output", self.folder / "none.npy").returncode, 0)
        self.assertIn(b"'shape': (0, ", (self.folder / "none.npy").read_bytes())

    def test_every_byte_but_the_newline_belongs_to_the_text(self) -> None:
        texts = ["", "a\r", "tab\there", 'quote " and \\', "nul \0 and bell \a", "žluťoučký 猫 🙂", "no newline at the end"]
        found = rows("embed", MODELS / "bert_base", text="\n".join(texts).encode())
        self.assertEqual([row["text"] for row in found], texts)
        found = rows("tokenize", MODELS / "bert_base", "--offsets", text="\n".join(texts).encode())
        self.assertEqual(len(found), len(texts))
        self.assertEqual([len(row["ids"]) for row in found], [len(row["offsets"]) for row in found])

    def test_order_is_kept_over_batches(self) -> None:
        texts = [f"text {i}" for i in range(2 * BATCH + 7)]
        for arguments in (["embed", MODELS / "bert_base"], ["classify", MODELS / "bert_seq"], ["tag", MODELS / "bert_token"]):
            found = rows(*arguments, text="\n".join(texts).encode())
            self.assertEqual([row["text"] for row in found], texts)
        alone = rows("embed", MODELS / "bert_base", text=texts[-1].encode())
        self.assertEqual(alone, rows("embed", MODELS / "bert_base", text="\n".join(texts).encode())[-1:])

    def test_tags_are_bytes_of_the_text(self) -> None:
        text = "Žofie žije v Oslu."
        for tag in rows("tag", MODELS / "bert_token", text=text.encode())[0]["tags"]:
            self.assertIn(text.encode()[tag["start"]:tag["end"]].decode(), ("Žofie", "žije", "v", "Oslu", "."))

    def test_scores_by_kind_of_problem(self) -> None:
        several = rows("classify", MODELS / "bert_multilabel", text=b"hello")[0]["labels"]
        self.assertTrue(all(0 < entry["score"] < 1 for entry in several))
        self.assertEqual(len(rows("classify", MODELS / "bert_multilabel", "--top-k", "1", text=b"hello")[0]["labels"]), 1)
        self.assertEqual(len(rows("classify", MODELS / "bert_regression", text=b"hello")[0]["labels"]), 1)

    # What is refused, and when.

    def test_a_missing_head_is_said_before_a_text_is_waited_for(self) -> None:
        for command in ("classify", "tag"):
            reading, writing = os.pipe()  # never written to
            try:
                self.failed(run(command, MODELS / "bert_base", stdin=reading), 1, "has no head")
            finally:
                os.close(reading)
                os.close(writing)
        self.failed(run("embed", MODELS / "bert_base", "--max-seq-len", "100000"), 1, "100000", "64")

    def test_wrong_usage(self) -> None:
        model = MODELS / "bert_seq"
        self.failed(run("embed", model, "--text-column", "a"), 2, "--text-column", "lines", "--delimiter")
        self.failed(run("classify", model, "--texts", "a.txt", "--text-pair-column", "b"), 2, "--text-pair-column", "a.txt")
        self.failed(run("classify", model, "--top-k", str(1 << 32)), 2, "--top-k")
        self.failed(run("bench", model, "--seconds", "nan"), 2, "--seconds")
        self.failed(run("embed", model, "--dtype", "int4"), 2, "--dtype", "float32")
        self.failed(run("embed", model, model), 2, "too many")
        self.failed(run("kernels", model), 2, "too many")
        self.failed(run("help", "nonsense"), 2, "nonsense")
        for size in ("0", "-1", "1X", "G", "1.5G", "1GiBs", "99999999999999999999", "17179869184G"):
            self.failed(run("embed", model, f"--memory-limit={size}"), 2, "--memory-limit", size)

    def test_files_that_cannot_be_read(self) -> None:
        self.failed(run("embed", MODELS / "bert_base", "--texts", self.folder), 1, str(self.folder), "folder")
        self.failed(run("embed", self.folder), 1, "config.json")
        self.failed(run("tokenize", self.folder), 1, "tokenizer.json")
        self.failed(run("inspect", self.folder / "none"), 1, "no such folder")

    def test_memory_limit(self) -> None:
        texts = b"Where is my card? I want my money back.\n" * 300
        free = run("embed", MODELS / "bert_base", text=texts).stdout
        for size in ("900K", "900KB", "900KiB", "921600", "1M"):
            self.assertEqual(run("embed", MODELS / "bert_base", "--memory-limit", size, text=texts).stdout, free, size)
        self.failed(run("embed", MODELS / "bert_base", "--memory-limit", "50K", text=texts), 1, "51200")

    # What describes.

    def test_help_and_version(self) -> None:
        for command in COMMANDS:
            self.assertEqual(run("help", command).stdout, run(command, "--help").stdout)
            self.assertEqual(run(command, "--version").stdout, run("--version").stdout)
        self.assertEqual(run("help").stdout, run("--help").stdout)

    def test_inspect(self) -> None:
        found = rows("inspect", MODELS / "bert_seq", "--json")[0]
        self.assertEqual(found["tokenizer_size"], found["vocab_size"])
        self.assertEqual(found["parameters"] * 4, sum(t["bytes"] for t in found["tensors"]))
        self.assertEqual([plan["texts"] for plan in found["memory"]], [1, 8, 32])
        shutil.copytree(MODELS / "bert_seq", self.folder / "half")
        for path in (self.folder / "half").iterdir():
            if "token" in path.name or "vocab" in path.name:
                path.unlink()
        result = run("inspect", self.folder / "half", "--json")
        found = json.loads(result.stdout)
        self.assertEqual((result.returncode, found["tokenizer_size"], len(found["problems"])), (1, None, 1))
        text = run("inspect", self.folder / "half").stdout.decode()
        self.assertIn("none that can be used", text)
        self.assertIn("classifier.weight", text)

    def test_bench_keys(self) -> None:
        always = {"engine", "model", "threads", "dtype", "load_ms", "b1_s16_ms", "b1_s128_ms", "b1_s512_ms", "b8_s128_ms",
                  "gflops_b8_s128", "peak_share_b8_s128", "peak_rss_mb"}
        with_texts = always | {"tokenizer_load_ms", "texts_per_s", "arrival_per_s", "mean_tokens"}
        texts = self.folder / "a.tsv"
        texts.write_text("sentence\tlabel\n" + "".join(f"{'word ' * (i % 9)}end\t{i}\n" for i in range(100)))
        for wanted, options in ((always, []), (with_texts, ["--texts", texts, "--limit", "70", "--max-seq-len", "8"])):
            row = rows("bench", f"{MODELS / 'bert_seq'}/", "--seconds", "0.02", "--threads", "1", "--json", *options)[0]
            self.assertEqual(set(row), wanted)
            self.assertEqual((row["engine"], row["model"], row["threads"]), ("deepseek-f32", "bert_seq", 1))
            for key in ("b1_s128_ms", "b1_s512_ms", "b8_s128_ms", "gflops_b8_s128", "peak_share_b8_s128"):
                self.assertIsNone(row[key], key)  # the model has 64 positions
        self.assertLessEqual(row["mean_tokens"], 8)
        self.failed(run("bench", MODELS / "bert_seq", "--seconds", "0.02", "--texts", os.devnull), 1, "no text")

    # What a terminal sees.

    def shown(self, *arguments: object, feed: tuple = (), **how) -> bytes:
        """Standard error on a terminal; `feed` is given batch by batch with a pause over the two seconds between."""
        master, slave = pty.openpty()
        job = subprocess.Popen([PROGRAM, *map(str, arguments)], stdin=subprocess.PIPE, stderr=slave,
                               **{"stdout": subprocess.DEVNULL, **({"stdout": slave} if how.get("on_terminal") else {})})
        for i, text in enumerate(feed):
            time.sleep(2.2 if i else 0)
            job.stdin.write(text)
            job.stdin.flush()
        job.stdin.close()
        self.assertEqual(job.wait(timeout=WAIT_S), 0)
        os.close(slave)
        data = b""
        try:
            while chunk := os.read(master, 1 << 16):
                data += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(master)
        return data

    def test_progress_is_for_terminals_and_long_work(self) -> None:
        quick = b"x\n" * BATCH
        self.assertEqual(self.shown("tokenize", MODELS / "bert_seq", feed=(quick,)), b"")
        slow = self.shown("tokenize", MODELS / "bert_seq", feed=(quick, quick))
        self.assertRegex(slow, rb"\r1024 texts, \d+/s ")
        self.assertTrue(slow.endswith(b"\r\x1b[K"), "is taken away at the end")
        bench = self.shown("bench", MODELS / "bert_seq", "--seconds", "2.2")
        self.assertRegex(bench, rb"\r\[#+\.+\] 1 measurements, 0\.\d/s, \d+ s left")
        with subprocess.Popen([PROGRAM, "tokenize", MODELS / "bert_seq"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as piped:
            piped.stdin.write(quick)
            piped.stdin.flush()
            time.sleep(2.2)
            self.assertEqual(piped.communicate(quick, timeout=WAIT_S)[1], b"")
        few = b"x\n" * 5 + b"\n" * (BATCH - 5)
        self.assertNotIn(b"\x1b", self.shown("tokenize", MODELS / "bert_seq", feed=(few, few), on_terminal=True))
        self.assertNotIn(b"\x1b", run("kernels", "--why").stdout + run("bench", MODELS / "bert_seq", "--seconds", "0.02").stdout)


class Answers(Case):
    def npy(self, path: Path) -> list[list[float]]:
        """A float32 matrix, its header read by the letter of the format."""
        data = path.read_bytes()
        size = struct.unpack("<H", data[8:10])[0]
        self.assertEqual((data[:8], (10 + size) % 64, data[9 + size:10 + size]), (b"\x93NUMPY\x01\x00", 0, b"\n"))
        header = ast.literal_eval(data[10:10 + size].decode("ascii"))
        self.assertEqual((header["descr"], header["fortran_order"], sorted(header)),
                         ("<f4", False, ["descr", "fortran_order", "shape"]))
        count, width = header["shape"]
        flat = struct.unpack(f"<{count * width}f", data[10 + size:])
        return [list(flat[i * width:(i + 1) * width]) for i in range(count)]

    # embed

    def test_vectors_are_the_same_in_every_form(self) -> None:
        for model in ("st_mean", "bert_seq_st", "bert_seq", "bert_token", "roberta_seq", "bert_vocab_only"):
            with self.subTest(model):
                shown = run("embed", MODELS / model, "--texts", texts_of(model))
                found = [json.loads(line)["embedding"] for line in shown.stdout.splitlines()]
                for row, want in zip(found, expected(model, "embedding"), strict=True):
                    self.close(row, want)
                for name in ("a.jsonl", "a.npy"):
                    result = run("embed", MODELS / model, "--texts", texts_of(model), "--output", self.folder / name)
                    self.assertEqual((result.returncode, result.stdout, result.stderr), (0, b"", shown.stderr))
                self.assertEqual((self.folder / "a.jsonl").read_bytes(), shown.stdout)
                floats = [[struct.unpack("<f", struct.pack("<f", x))[0] for x in row] for row in found]
                self.assertEqual(self.npy(self.folder / "a.npy"), floats)
                self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a.jsonl", "a.npy"])

    def test_pooling_and_length(self) -> None:
        pool = {"mean": lambda rows: [sum(column) / len(rows) for column in zip(*rows)], "cls": lambda rows: rows[0],
                "max": lambda rows: [max(column) for column in zip(*rows)]}
        pool["auto"] = pool["mean"]  # what a folder without modules.json means, and what st_mean's says
        for model in ("bert_seq", "st_mean"):
            hidden = expected_by_text(model, "hidden")
            for pooling, pooled in pool.items():
                for normalize in ("auto", "yes", "no"):
                    with self.subTest(model, pooling=pooling, normalize=normalize):
                        result = run("embed", MODELS / model, "--texts", texts_of(model), "--max-seq-len", "64",
                                     "--pooling", pooling, f"--normalize={normalize}")
                        is_unit = normalize == "yes" or (normalize == "auto" and model == "st_mean")
                        for line, rows_of_text in zip(result.stdout.splitlines(), hidden, strict=True):
                            want = pooled(rows_of_text)
                            self.close(json.loads(line)["embedding"], unit(want) if is_unit else want)

    def test_the_notice_counts_the_texts_that_were_cut(self) -> None:
        lengths = [len(ids) for ids in rows("tokenize", MODELS / "bert_seq", "--texts", texts_of("bert_seq"))]
        for model, limit, options in (("bert_seq", 64, []), ("st_mean", 20, []), ("bert_seq_st", 40, []),
                                      ("st_mean", 5, ["--max-seq-len", "5"]), ("bert_seq", 3, ["--max-seq-len=3"])):
            with self.subTest(model, limit=limit):
                said = run("embed", MODELS / model, "--texts", texts_of("bert_seq"), *options).stderr.decode()
                cut = sum(length > limit for length in lengths)
                self.assertRegex(said, rf"^deepseek: {cut} of {len(lengths)} texts were cut[^\n]*\n$")
        self.assertEqual(run("embed", MODELS / "st_mean", text=b"Hi\n").stderr, b"")

    # classify

    def test_scores_by_label(self) -> None:
        sigmoid = lambda values: [1 / (1 + math.exp(-v)) for v in values]
        for model, score in (("bert_seq", softmax), ("bert_seq_st", softmax), ("roberta_seq", softmax),
                             ("bert_multilabel", sigmoid), ("bert_regression", list)):
            with self.subTest(model):
                config = json.loads((MODELS / model / "config.json").read_text())
                source = ("--texts", texts_of(model), "--max-seq-len", "64")
                found = rows("classify", MODELS / model, *source)
                for row, logits in zip(found, expected(model, "logits"), strict=True):
                    names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(len(logits))}
                    want = {names[str(i)]: value for i, value in enumerate(score(logits))}
                    self.assertEqual([entry["score"] for entry in row["labels"]],
                                     sorted((entry["score"] for entry in row["labels"]), reverse=True))
                    got = {entry["label"]: entry["score"] for entry in row["labels"]}
                    self.assertEqual(sorted(got), sorted(want))
                    self.close([got[label] for label in want], list(want.values()))
                for top in (1, 2, 1000):
                    best = rows("classify", MODELS / model, *source, "--top-k", top)
                    self.assertEqual([row["labels"] for row in best], [row["labels"][:top] for row in found])

    def test_pairs(self) -> None:
        path = MODELS / "bert_pair" / "texts.tsv"
        lines = path.read_text(encoding="utf-8").splitlines()
        found = rows("classify", MODELS / "bert_pair", "--texts", path, "--text-pair-column", "text_pair",
                     "--max-seq-len", "64")
        self.assertEqual([f"{row['text']}\t{row['pair']}" for row in found], lines[1:])
        for row, logits in zip(found, expected("bert_pair", "logits"), strict=True):
            got = {entry["label"]: entry["score"] for entry in row["labels"]}
            self.close([got["different"], got["same"]], softmax(logits))
        bare = "\n".join(lines[1:]).encode()
        numbered = ["--delimiter", "tab", "--no-header", "--text-column", "1", "--text-pair-column", "2"]
        self.assertEqual(rows("classify", MODELS / "bert_pair", *numbered, text=bare), found)
        self.failed(run("classify", MODELS / "bert_pair", "--texts", path, "--text-pair-column", "other"), 1, '"other"',
                    "text, text_pair")

    # tag

    def test_tags_are_words_with_the_label_of_their_first_piece(self) -> None:
        for model in ("bert_token", "distilbert_token", "roberta_token"):
            config = json.loads((MODELS / model / "config.json").read_text())
            found = rows("tag", MODELS / model, "--texts", texts_of(model), "--max-seq-len", "64")
            answers = zip(found, expected_by_text(model, "offsets"), expected_by_text(model, "logits"), strict=True)
            for row, offsets, logits in answers:
                text, pieces = row["text"].encode(), offsets[1:-1]
                first_of = {piece[0]: i for i, piece in reversed(list(enumerate(pieces, 1)))}
                for tag, after in zip(row["tags"], [*row["tags"][1:], {"start": len(text)}]):
                    with self.subTest(model, text=row["text"], tag=tag):
                        text[tag["start"]:tag["end"]].decode()  # whole characters
                        self.assertTrue(0 <= tag["start"] <= tag["end"] <= after["start"])
                        # Byte pairs make a word of each space in a row, and its offsets leave the space out.
                        self.assertTrue(tag["start"] < tag["end"] or model == "roberta_token")
                        self.assertIn(tag["end"], [end for _, end in pieces])
                        scores = softmax(logits[first_of[tag["start"]]])
                        self.close([tag["score"]], [max(scores)])
                        self.assertEqual(tag["label"], config["id2label"][str(scores.index(max(scores)))])
                for start, end in pieces:
                    self.assertTrue(start == end or any(t["start"] <= start and end <= t["end"] for t in row["tags"]))

    # tokenize

    def test_ids_and_offsets_of_every_kind_of_tokenizer(self) -> None:
        for model in ("bert_seq", "bert_token", "bert_vocab_only", "bert_vocab_cased", "roberta_seq",
                      "distilbert_token"):
            with self.subTest(model):
                alone = self.folder / model  # the tokenizer's files are all that is needed
                alone.mkdir()
                for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
                    if (MODELS / model / name).exists():
                        shutil.copy(MODELS / model / name, alone)
                cut = rows("tokenize", alone, "--texts", texts_of(model), "--max-seq-len", "64", "--offsets")
                ids = [[row[0] for row in text] for text in expected_by_text(model, "ids")]
                self.assertEqual([row["ids"] for row in cut], ids)
                self.assertEqual([row["offsets"] for row in cut], expected_by_text(model, "offsets"))
                whole = rows("tokenize", alone, text=texts_of(model).read_bytes())
                self.assertTrue(any(len(row) > 64 for row in whole), "nothing is cut unasked")
                for row, want in zip(whole, ids, strict=True):
                    self.assertEqual((row[:len(want) - 1], row[-1]), (want[:-1], want[-1]))
                self.assertTrue(all(len(row) <= 4 for row in rows("tokenize", alone, "--max-seq-len", "4",
                                                                  "--texts", texts_of(model))))
                self.assertEqual(rows("tokenize", alone, text=b"\n\n"), [[whole[0][0], whole[0][-1]]] * 2)
        self.failed(run("tokenize", MODELS / "bert_seq", "--max-seq-len", "1", text=b"hi"), 1, "1", "special tokens")

    def test_every_byte_has_its_offset(self) -> None:
        text = b"hi\r\na\0b\nc\xff\xfed"  # a carriage return, a NUL and invalid UTF-8 are parts of their lines
        byte_pairs = rows("tokenize", MODELS / "roberta_seq", "--offsets", text=text)
        for line, row in zip(text.split(b"\n"), byte_pairs, strict=True):
            self.assertEqual({at for start, end in row["offsets"] for at in range(start, end)}, set(range(len(line))))
        replaced = rows("tokenize", MODELS / "roberta_seq", text="c\ufffd\ufffdd".encode())[0]
        self.assertEqual(byte_pairs[2]["ids"], replaced)
        pieces = rows("tokenize", MODELS / "bert_seq", "--offsets", text=text)  # BERT leaves out all three
        self.assertEqual(pieces[0], rows("tokenize", MODELS / "bert_seq", "--offsets", text=b"hi")[0])
        self.assertEqual([row["offsets"][1:-1] for row in pieces[1:]], [[[0, 1], [2, 3]], [[0, 1], [3, 4]]])

    # Where texts come from.

    def texts(self, *arguments: object, text: bytes = b"") -> list[str]:
        return [row["text"] for row in rows("embed", MODELS / "st_mean", *arguments, text=text)]

    def test_columns(self) -> None:
        path = self.folder / "a.csv"
        path.write_bytes(b'id,"the, name",sentence,text\r\n1,a,"",d\n2,"b ""x""\r\ny",c,"e,f"\r\n3,"",,')
        self.assertEqual(self.texts("--texts", path), ["d", "e,f", ""])
        self.assertEqual(self.texts("--texts", path, "--text-column", "the, name"), ["a", 'b "x"\r\ny', ""])
        self.assertEqual(self.texts("--texts", path, "--text-column=sentence"), ["", "c", ""])
        self.assertEqual(self.texts("--texts", path, "--no-header"), ["id", "1", "2", "3"])
        self.assertEqual(self.texts("--texts", path, "--no-header", "--text-column", "4"), ["text", "d", "e,f", ""])
        as_tabs = b'label\tsentence\n0\t"a\n1\tb "" c\n'
        self.assertEqual(self.texts("--delimiter", "tab", text=as_tabs), ['"a', 'b "" c'])
        self.assertEqual(self.texts("--delimiter=comma", text=b"one,two\n1,2\n"), ["1"])
        for name, column, *words in ((path, "body", '"body"', "id, the, name, sentence, text"), (path, "", '""')):
            self.failed(run("embed", MODELS / "st_mean", "--texts", name, "--text-column", column), 1, "a.csv", *words)
        for column in ("5", "0", "-1", "text", "1x"):
            self.failed(run("embed", MODELS / "st_mean", "--texts", path, "--no-header", "--text-column", column), 1,
                        "a.csv", column)
        short = b"a\tb\nonly one\n"
        result = run("tokenize", MODELS / "bert_seq", "--delimiter", "tab", "--text-column", "b", text=short)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr.decode(), r"^deepseek: standard input, line 2: [^\n]+\n$")

    # One input, one output, however it is run.

    def test_threads_and_memory_change_nothing(self) -> None:
        for command, model in (("embed", "st_mean"), ("classify", "bert_seq"), ("tag", "bert_token"),
                               ("tokenize", "bert_vocab_only")):
            with self.subTest(command):
                text = texts_of(model).read_bytes() * 20
                want = run(command, MODELS / model, "--threads", "1", text=text)
                self.assertEqual(want.stdout.count(b"\n"), text.count(b"\n"))
                for options in (["--threads", "2"], ["--memory-limit", "2M"], ["--dtype", "float32"]):
                    result = run(command, MODELS / model, *options, text=text)
                    self.assertEqual((result.returncode, result.stdout), (0, want.stdout), options)
                refused = run(command, MODELS / model, "--memory-limit", "24K", text=text)
                self.failed(refused, 1, "memory limit of 24576")
                self.assertRegex(refused.stderr.decode(), r"needs \d+ bytes, but only \d+ of the memory limit of 24576")

    # What is refused.

    def test_failures_are_one_sentence(self) -> None:
        for command, model in (("embed", "st_mean"), ("classify", "bert_seq"), ("tag", "bert_token"),
                               ("tokenize", "bert_seq"), ("bench", "bert_seq"), ("inspect", "bert_seq")):
            with self.subTest(command):
                self.failed(run(command, self.folder / "none", text=b"hi"), 1, str(self.folder / "none"))
                self.failed(run(command), 2, f"deepseek {command}: MODEL is missing")
                self.failed(run(command, MODELS / model, "--nonsense"), 2, "--nonsense")
                for option, value in (("--threads", "0"), ("--threads", "two"), ("--threads", "1000000"),
                                      ("--max-seq-len", "-3"), ("--max-seq-len", "1e3"), ("--memory-limit", " -1"),
                                      ("--memory-limit", ""), ("--dtype", "half"), ("--quantization", "int4")):
                    self.failed(run(command, MODELS / model, option, value), 2, option, value)
                self.failed(run(command, ""), 2, "MODEL is empty")
                if command in ("embed", "classify", "tag", "tokenize"):
                    self.failed(run(command, MODELS / model, "--texts", self.folder / "a.txt"), 1, "a.txt",
                                "No such file")
                    self.failed(run(command, MODELS / model, "--texts", ""), 2, "--texts is empty")
                    self.failed(run(command, MODELS / model, "--delimiter", "semicolon"), 2, "comma or tab")
        for option, value in (("--pooling", "sum"), ("--normalize", "maybe"), ("--output", "")):
            self.failed(run("embed", MODELS / "st_mean", option, value), 2, option, value)
        for option, value in (("--limit", "0"), ("--limit", "-1"), ("--limit", "9" * 20), ("--seconds", "0"),
                              ("--seconds", "1s")):
            self.failed(run("bench", MODELS / "bert_seq", option, value), 2, option, value)
        for value in ("0", "-1", "all", ""):
            self.failed(run("classify", MODELS / "bert_seq", "--top-k", value), 2, "--top-k", value)

    # What describes.

    def test_help_is_readable(self) -> None:
        common = ["--threads", "--dtype", "--quantization", "--max-seq-len", "--memory-limit", "--adapter"]
        texts = ["--texts", "--text-column", "--no-header", "--delimiter"]
        options = {"embed": ["--output", "--pooling", "--normalize", *common, *texts], "tag": common + texts,
                   "classify": ["--text-pair-column", "--top-k", "--threshold", *common, *texts], "inspect": ["--json", *common],
                   "tokenize": ["--offsets", *common, *texts], "kernels": ["--why", "--json"],
                   "bench": ["--texts", "--limit", "--seconds", "--kernels", "--family", "--json", *common],
                   "quantize": ["--quantization", "--exclude", "--report", "--json", *texts],
                   "train": ["--calibrate", *common], "eval": common, "report": ["--output"],
                   "calibrate": ["--data", "--split", "--seed", "--json", *common],
                   "prune": ["--texts", "--text-column", "--tokens", "--min-count", "--json"],
                   "serve": ["--model-repository", "--model", "--bind", "--config", "--api-keys", "--max-queue", *common],
                   "models": ["--url", "--api-key-file"]}
        for command in COMMANDS:
            result = run(command, "--help")
            said = result.stdout.decode()
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertIn("\nExample", said)
            self.assertLessEqual(max(map(len, said.splitlines())), 100)
            for option in options[command]:
                self.assertRegex(said, rf"(?m)^ +{option}\b")
        self.assertIn("Example", run("--help").stdout.decode())

    @unittest.skipUnless(shutil.which("groff"), "has no groff")
    def test_man_pages_are_sound(self) -> None:
        subprocess.run([sys.executable, ROOT / "tools" / "gen_man.py", PROGRAM, self.folder], check=True,
                       timeout=WAIT_S)
        self.assertEqual(sorted(page.name for page in self.folder.iterdir()),
                         sorted(["deepseek.1", *(f"deepseek-{command}.1" for command in COMMANDS)]))
        for page in self.folder.iterdir():
            shown = subprocess.run(["groff", "-man", "-Tutf8", "-ww", page], capture_output=True, check=True,
                                   timeout=WAIT_S)
            self.assertEqual(shown.stderr, b"", page.name)
            self.assertIn(b"Example", shown.stdout)

    def test_kernels(self) -> None:
        listed = json.loads(run("kernels", "--json").stdout)
        self.assertTrue(all(set(row) == {"family", "op", "name", "about", "used", "why"} for row in listed))
        why = run("kernels", "--why").stdout.decode()
        brief = run("kernels").stdout.decode()
        for row in listed:
            self.assertIn(f"{'*' if row['used'] else ' '} {row['name']} ", why)
            self.assertIn(row["why"], why)
            self.assertEqual(f" {row['name']} " in brief, row["used"])
            self.assertEqual(row["why"].startswith("not used"), not row["used"])
        portable = json.loads(run("kernels", "--json", env={**os.environ, "DS_ISA": "ref"}).stdout)
        self.assertTrue(all(row["name"].endswith("_ref") == row["used"] for row in portable))

    def test_inspect_describes_what_cannot_be_opened(self) -> None:
        def spoil(name: str, old: bytes, new: bytes):
            return lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(old, new))

        whole = rows("inspect", MODELS / "bert_seq", "--json")[0]
        self.assertEqual((whole["problems"], all(tensor["used"] for tensor in whole["tensors"])), ([], True))
        cases = {"config.json": lambda folder: (folder / "config.json").unlink(),
                 "[260, 48]": spoil("config.json", b'"hidden_size": 32', b'"hidden_size": 48'),
                 "classifier.weight": spoil("model.safetensors", b"classifier.weight", b"classifier.weighx"),
                 "swish": spoil("config.json", b'"gelu"', b'"swish"'),
                 "gpt2": spoil("config.json", b'"model_type": "bert"', b'"model_type": "gpt2"'),
                 "tokenizer.json": lambda folder: (folder / "tokenizer.json").write_text("{}")}
        for word, damage in cases.items():
            with self.subTest(word):
                folder = self.folder / f"broken-{list(cases).index(word)}"
                shutil.copytree(MODELS / "bert_seq", folder)
                damage(folder)
                shown = run("inspect", folder)
                self.assertEqual((shown.returncode, shown.stderr), (1, b""))
                self.assertRegex(shown.stdout.decode(), rf"(?m)^problem +.*{re.escape(word)}")
                self.assertIn("word_embeddings.weight", shown.stdout.decode())
                found = json.loads(run("inspect", folder, "--json").stdout)
                self.assertIn(word, " ".join(found["problems"]))
                self.assertEqual(len(found["tensors"]), len(whole["tensors"]))
                self.failed(run("classify", folder, text=b"hi"), 1, word)
        (folder / "model.safetensors").write_bytes(b"\xff" * 100)
        self.assertIn("model.safetensors", " ".join(json.loads(run("inspect", folder, "--json").stdout)["problems"]))


if __name__ == "__main__":
    unittest.main()
