"""The program's edges: pipes and devices, full disks, odd input, refusals before work, what a terminal sees.

  python3 tests/cli/test_cli.py PROGRAM        (ctest runs it; test_program.py has the results themselves)
"""
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
MODELS = Path(__file__).resolve().parent.parent / "data" / "models"
COMMANDS = ("embed", "classify", "tag", "tokenize", "bench", "inspect", "kernels")
BATCH = 512  # texts that the program reads ahead
WAIT_S = 60  # for anything that should be immediate


def run(*arguments: object, text: bytes = b"", **how) -> subprocess.CompletedProcess:
    source = {} if "stdin" in how else {"input": text}
    return subprocess.run([PROGRAM, *map(str, arguments)], timeout=WAIT_S, check=False,
                          **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **source, **how})


def rows(*arguments: object, text: bytes = b"") -> list:
    result = run(*arguments, text=text)
    assert (result.returncode, result.stderr) == (0, b""), result.stderr.decode()
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]


class Edges(unittest.TestCase):
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
        self.failed(run("bench", model, "--quantization", "int8"), 2, "--quantization")
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
        for size in ("600K", "600KB", "600KiB", "614400", "1M"):
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
        few = b"x\n" * 5 + b"\n" * (BATCH - 5)
        self.assertNotIn(b"\x1b", self.shown("tokenize", MODELS / "bert_seq", feed=(few, few), on_terminal=True))
        self.assertNotIn(b"\x1b", run("kernels", "--why").stdout + run("bench", MODELS / "bert_seq", "--seconds", "0.02").stdout)


if __name__ == "__main__":
    unittest.main()
