"""The program as a user meets it: every command, its formats, its sentences and its exit codes, on the tiny models.

  python3 tests/cli/test_program.py PROGRAM        (ctest runs it)
"""
import json
import math
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
MODELS = Path(__file__).resolve().parent.parent / "data" / "models"
TEXT = "Anna Berger works for the Bank of Norway in Oslo."


def run(*arguments: str, text: str | bytes = "") -> subprocess.CompletedProcess:
    given = text.encode() if isinstance(text, str) else text
    return subprocess.run([PROGRAM, *map(str, arguments)], input=given, capture_output=True, check=False)


def lines(*arguments: str, text: str | bytes = "") -> list:
    result = run(*arguments, text=text)
    assert result.returncode == 0, result.stderr.decode()
    return [json.loads(line) for line in result.stdout.decode().splitlines()]


def expected(model: str, name: str) -> list[float]:
    """One tensor of what PyTorch answered, flat."""
    data = (MODELS / model / "expected.safetensors").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    entry = json.loads(data[8:8 + size])[name]
    first, last = (8 + size + offset for offset in entry["data_offsets"])
    return list(struct.unpack(f"<{(last - first) // 4}{'i' if entry['dtype'] == 'I32' else 'f'}", data[first:last]))


def softmax(values: list[float]) -> list[float]:
    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


class Program(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def file(self, name: str, content: str) -> Path:
        (self.folder / name).write_text(content, encoding="utf-8", newline="")
        return self.folder / name

    def close(self, got: list[float], want: list[float], tolerance: float) -> None:
        self.assertEqual(len(got), len(want))
        for a, b in zip(got, want):
            self.assertAlmostEqual(a, b, delta=tolerance)

    def refuses(self, code: int, sentence: str, *arguments: str, text: str | bytes = "") -> None:
        """The exit code and the sentence on standard error; nothing on standard output."""
        result = run(*arguments, text=text)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn(sentence, result.stderr.decode())
        self.assertEqual(result.stdout, b"")

    # Results against PyTorch's.

    def test_embed_gives_the_reference_vectors(self) -> None:
        for model in ("st_mean", "st_cls", "st_max", "roberta_base"):
            with self.subTest(model):
                rows = lines("embed", MODELS / model, "--texts", MODELS / model / "texts.txt")
                texts = (MODELS / model / "texts.txt").read_text(encoding="utf-8").split("\n")[:-1]
                self.assertEqual([row["text"] for row in rows], texts)
                self.close([x for row in rows for x in row["embedding"]], expected(model, "embedding"), 1e-4)

    def test_embed_writes_npy(self) -> None:
        out = self.folder / "vectors.npy"
        self.assertEqual(run("embed", MODELS / "st_mean", "--texts", MODELS / "st_mean/texts.txt", "--output", out).returncode, 0)
        data = out.read_bytes()
        self.assertEqual(data[:8], b"\x93NUMPY\x01\x00")
        header = data[10:10 + struct.unpack("<H", data[8:10])[0]].decode()
        want = expected("st_mean", "embedding")
        self.assertIn("'descr': '<f4'", header)
        self.assertIn(f"'shape': (14, {len(want) // 14})", header)
        self.close(list(struct.unpack(f"<{len(want)}f", data[10 + len(header):])), want, 1e-4)

    def test_embed_options(self) -> None:
        unit = lines("embed", MODELS / "bert_base", "--normalize", "yes", text=TEXT)[0]["embedding"]
        self.assertAlmostEqual(sum(x * x for x in unit), 1, delta=1e-5)
        found = {p: lines("embed", MODELS / "bert_base", "--pooling", p, text=TEXT)[0]["embedding"] for p in ("mean", "cls", "max")}
        self.assertEqual(len({tuple(v) for v in found.values()}), 3)
        self.assertEqual(lines("embed", MODELS / "bert_base", text=TEXT)[0]["embedding"], found["mean"])
        one = run("embed", MODELS / "bert_base", "--threads", "1", text=TEXT).stdout
        self.assertEqual(one, run("embed", MODELS / "bert_base", "--threads", "2", text=TEXT).stdout)

    def test_embed_says_how_many_texts_were_cut(self) -> None:
        result = run("embed", MODELS / "st_mean", "--max-seq-len", "5", text=f"Hi\n{TEXT}\n")
        self.assertEqual(result.returncode, 0)
        self.assertIn("1 of 2 texts were cut", result.stderr.decode())

    def test_classify_gives_the_reference_scores(self) -> None:
        labels = json.loads((MODELS / "bert_seq/config.json").read_text())["id2label"]
        logits = expected("bert_seq", "logits")
        rows = lines("classify", MODELS / "bert_seq", "--texts", MODELS / "bert_seq/texts.txt")
        for i, row in enumerate(rows):
            scores = [entry["score"] for entry in row["labels"]]
            self.assertEqual(scores, sorted(scores, reverse=True))
            by_label = {entry["label"]: entry["score"] for entry in row["labels"]}
            count = len(labels)
            self.close([by_label[labels[str(k)]] for k in range(count)], softmax(logits[i * count:(i + 1) * count]), 1e-4)
        best = lines("classify", MODELS / "bert_seq", "--texts", MODELS / "bert_seq/texts.txt", "--top-k", "1")
        self.assertEqual([row["labels"] for row in best], [row["labels"][:1] for row in rows])

    def test_classify_pairs(self) -> None:
        pairs = MODELS / "bert_pair/texts.tsv"
        rows = lines("classify", MODELS / "bert_pair", "--texts", pairs, "--text-pair-column", "text_pair")
        logits = expected("bert_pair", "logits")
        count = len(logits) // len(rows)
        for i, row in enumerate(rows):
            want = sorted(softmax(logits[i * count:(i + 1) * count]), reverse=True)
            self.close([entry["score"] for entry in row["labels"]], want, 1e-4)

    def test_tag_covers_each_word_once(self) -> None:
        row = lines("tag", MODELS / "bert_token", text=TEXT)[0]
        words = [TEXT.encode()[t["start"]:t["end"]].decode() for t in row["tags"]]
        self.assertEqual(words, ["Anna", "Berger", "works", "for", "the", "Bank", "of", "Norway", "in", "Oslo", "."])
        labels = json.loads((MODELS / "bert_token/config.json").read_text())["id2label"].values()
        self.assertTrue(all(t["label"] in labels and 0 < t["score"] <= 1 for t in row["tags"]))

    def test_tokenize(self) -> None:
        rows = lines("tokenize", MODELS / "bert_seq", "--texts", MODELS / "bert_seq/texts.txt", "--max-seq-len", "64")
        self.assertEqual([i for row in rows for i in row], expected("bert_seq", "ids"))
        with_offsets = lines("tokenize", MODELS / "bert_seq", "--offsets", text=TEXT)[0]
        self.assertEqual(lines("tokenize", MODELS / "bert_seq", text=TEXT)[0], with_offsets["ids"])
        self.assertEqual(TEXT[slice(*with_offsets["offsets"][-2])], ".")
        self.assertEqual(len(lines("tokenize", MODELS / "bert_seq", text="a\n\n\nb\n")), 4)

    def test_inspect_and_kernels(self) -> None:
        found = lines("inspect", MODELS / "bert_seq", "--json")[0]
        self.assertEqual((found["architecture"], found["labels"], found["problems"]), ("BertForSequenceClassification", 5, []))
        self.assertIn("BertForSequenceClassification", run("inspect", MODELS / "bert_seq").stdout.decode())
        rows = lines("kernels", "--json")[0]
        used = [row["op"] for row in rows if row["used"]]
        self.assertEqual(sorted(used), sorted({row["op"] for row in rows}), "one variant of each op is used")
        self.assertIn("gemm_f32_ref", run("kernels", "--why").stdout.decode())

    def test_bench_has_its_keys(self) -> None:
        row = lines("bench", MODELS / "bert_seq", "--texts", MODELS / "bert_seq/texts.txt", "--seconds", "0.05", "--json")[0]
        keys = ("engine model threads load_ms tokenizer_load_ms b1_s16_ms b1_s128_ms b1_s512_ms b8_s128_ms texts_per_s "
                "arrival_per_s mean_tokens gflops_b8_s128 peak_share_b8_s128 peak_rss_mb").split()
        self.assertEqual([key for key in keys if key not in row], [])
        self.assertGreater(row["b1_s16_ms"], 0)

    # Where texts come from.

    def texts_of(self, *arguments: str, text: str | bytes = "") -> list[str]:
        return [row["text"] for row in lines("embed", MODELS / "bert_base", *arguments, text=text)]

    def test_text_columns(self) -> None:
        csv = self.file("a.csv", 'id,text,body\r\n1,"one, ""quoted""\nline",x\r\n2,two,y\r\n')
        self.assertEqual(self.texts_of("--texts", csv), ['one, "quoted"\nline', "two"])
        self.assertEqual(self.texts_of("--texts", csv, "--text-column", "body"), ["x", "y"])
        tsv = self.file("a.tsv", 'sentence\tlabel\n"as it is"\t1\n')
        self.assertEqual(self.texts_of("--texts", tsv), ['"as it is"'])
        bare = self.file("b.csv", "1\tfirst\tone\n2\tsecond\ttwo\n")
        self.assertEqual(self.texts_of("--texts", bare, "--delimiter", "tab", "--no-header", "--text-column", "2"),
                         ["first", "second"])
        self.assertEqual(self.texts_of(text="one\ntwo"), ["one", "two"])
        self.assertEqual(self.texts_of(text=b"caf\xff\n"), ["caf\ufffd"])
        self.refuses(1, "nothing", "embed", MODELS / "bert_base", "--texts", csv, "--text-column", "nothing")

    # What goes wrong.

    def test_failures_exit_with_1(self) -> None:
        self.refuses(1, "no/such/folder", "embed", "no/such/folder", text=TEXT)
        self.refuses(1, "no/such/file", "embed", MODELS / "bert_base", "--texts", "no/such/file")
        self.refuses(1, "BertModel has no head for sequence classification", "classify", MODELS / "bert_base", text=TEXT)
        self.refuses(1, "memory limit of 10240", "embed", MODELS / "bert_base", "--memory-limit", "10K", text=TEXT)
        for command in ("embed", "tokenize"):
            self.assertEqual(len(run(command, "no/such/folder", text=TEXT).stderr.splitlines()), 1, "one sentence")

    def test_wrong_usage_exits_with_2(self) -> None:
        self.refuses(2, "Usage: deepseek COMMAND")
        self.refuses(2, 'no command "nonsense"', "nonsense")
        self.refuses(2, "MODEL is missing", "embed")
        self.refuses(2, "--pooling", "embed", MODELS / "bert_base", "--pooling", "best")
        self.refuses(2, "--threads", "embed", MODELS / "bert_base", "--threads", "0")
        self.refuses(2, "--memory-limit", "embed", MODELS / "bert_base", "--memory-limit", "much")
        self.refuses(2, "--nonsense", "tag", MODELS / "bert_token", "--nonsense")

    def test_help(self) -> None:
        overview = run("--help")
        self.assertEqual(overview.returncode, 0)
        for command in ("embed", "classify", "tag", "tokenize", "bench", "inspect", "kernels"):
            self.assertIn(f"  {command} ", overview.stdout.decode())
            result = run(command, "--help")
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertIn(f"Usage: deepseek {command}", result.stdout.decode())
            self.assertIn("Example", result.stdout.decode())
        self.assertRegex(run("--version").stdout.decode(), r"^deepseek \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    unittest.main()
