"""`deepseek quantize` as a user meets it: the folder it writes, what it refuses, and that nothing is left behind.

  test_quantize.py PATH_TO_deepseek
"""
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
TEXT = b"Where is my card?\nI want my money back now, please\nshort\n"


def run(*arguments: object, text: bytes = b"") -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *map(str, arguments)], input=text, capture_output=True, timeout=120)


def read_file(path: pathlib.Path) -> tuple[dict, bytes]:
    """The header of a safetensors file, and its data."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 64 == 0, "data start at a multiple of 64"
    return json.loads(data[8:8 + length]), data[8 + length:]


class Quantize(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)

    def quantized(self, model: str, *options: object) -> pathlib.Path:
        out = self.folder / "out"
        result = run("quantize", MODELS / model, out, *options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return out

    def refused(self, code: int, *said: str, arguments: tuple) -> None:
        before = sorted(self.folder.rglob("*"))
        result = run("quantize", *arguments)
        self.assertEqual(result.returncode, code, result.stderr)
        for word in said:
            self.assertIn(word, result.stderr.decode())
        self.assertEqual(sorted(self.folder.rglob("*")), before, "nothing is left behind")

    def test_the_folder_runs_as_quantization_at_load_does(self) -> None:
        for model in ("bert_base", "bert_bf16", "bert_sharded", "roberta_base", "distilbert_base", "st_mean"):
            out = self.quantized(model)
            want = run("embed", MODELS / model, "--quantization", "int8", text=TEXT)
            got = run("embed", out, text=TEXT)
            self.assertEqual((got.returncode, got.stdout), (0, want.stdout), model)
            self.assertEqual(json.loads(run("inspect", out, "--json").stdout)["problems"], [], model)
            again = run("quantize", out, self.folder / "again")
            self.assertIn(b"no tensor is left", again.stderr)
            shutil.rmtree(out)

    def test_heads_stay_as_they_are(self) -> None:
        header, data = read_file(self.quantized("bert_seq") / "model.safetensors")
        source, source_data = read_file_unaligned(MODELS / "bert_seq" / "model.safetensors")
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, end = entry["data_offsets"]
            self.assertEqual(start % {"I8": 1, "F32": 4, "I64": 8}[entry["dtype"]], 0, name)
            if entry["dtype"] == "F32" and not name.endswith("_scale"):
                first, last = source[name]["data_offsets"]
                self.assertEqual(data[start:end], source_data[first:last], name)
        self.assertEqual(header["classifier.weight"]["dtype"], "F32")
        layers = [n for n in header if n.endswith("query.weight")]
        self.assertTrue(layers and all(header[n]["dtype"] == "I8" for n in layers))
        for name in layers:
            self.assertEqual(header[name + "_scale"]["shape"], header[name]["shape"][:1])

    def test_exclude_and_configuration(self) -> None:
        out = self.quantized("bert_base", "--exclude", "*query*", "--exclude", "*embeddings*")
        header, _ = read_file(out / "model.safetensors")
        self.assertTrue(all(e["dtype"] == "F32" for n, e in header.items() if "query" in n or "embeddings" in n))
        self.assertTrue(any(e.get("dtype") == "I8" for e in header.values()))
        config = json.loads((out / "config.json").read_text())
        written = config.pop("quantization_config")
        self.assertEqual((written["quant_method"], written["modules_to_not_convert"]),
                         ("deepseek-int8", ["*query*", "*embeddings*"]))
        self.assertEqual(config, json.loads((MODELS / "bert_base" / "config.json").read_text()))

    def test_summary_and_report(self) -> None:
        texts = self.folder / "texts.txt"
        texts.write_bytes(TEXT)
        report = self.folder / "report.tsv"
        result = run("quantize", MODELS / "bert_seq", self.folder / "out", "--json", "--report", report, "--texts", texts)
        summary = json.loads(result.stdout)
        lines = [line.split("\t") for line in report.read_text().splitlines()]
        self.assertEqual(len(lines), summary["quantized"] + 2)
        self.assertLess(summary["bytes_after"], summary["bytes_before"])
        for line in lines[1:]:
            self.assertGreater(float(line[4]), 0.9)
        self.assertEqual(lines[-1][0], "everything")

    def test_precisions_of_a_run(self) -> None:
        exact = run("embed", MODELS / "bert_base", text=TEXT)
        half = run("embed", MODELS / "bert_base", "--dtype", "bfloat16", text=TEXT)
        auto = run("embed", MODELS / "bert_base", "--dtype", "auto", text=TEXT)
        self.assertNotEqual(half.stdout, exact.stdout)
        self.assertRegex(auto.stderr.decode(), r"^deepseek: --dtype auto is (float32|bfloat16): this CPU has")
        self.assertEqual(auto.stdout, half.stdout if b"is bfloat16" in auto.stderr else exact.stdout)
        self.assertEqual((exact.stderr, half.stderr), (b"", b""))

    def test_an_empty_folder_is_taken(self) -> None:
        (self.folder / "out").mkdir()
        self.assertTrue((self.quantized("bert_base/") / "model.safetensors").exists())

    def test_what_is_refused(self) -> None:
        model, out = MODELS / "bert_base", self.folder / "out"
        self.refused(2, "OUT is missing", arguments=(model,))
        self.refused(2, "int4", arguments=(model, out, "--quantization", "int4"))
        self.refused(2, "--report", arguments=(model, out, "--report", "r.tsv"))
        self.refused(1, "no tensor is left", arguments=(model, out, "--exclude", "*"))
        self.refused(1, "no/such", arguments=("no/such", out))
        self.refused(1, "cannot create", arguments=(model, self.folder / "no" / "such" / "out"))
        (self.folder / "full").mkdir()
        (self.folder / "full" / "file").touch()
        self.refused(1, "is there already", arguments=(model, self.folder / "full"))

    def test_damaged_folders_are_refused(self) -> None:
        out = self.quantized("bert_base")
        path = out / "model.safetensors"
        good = path.read_bytes()
        header, _ = read_file(path)
        start = len(good) - len(read_file(path)[1])
        name = next(n for n in header if n.endswith("query.weight"))
        codes, scales = (header[n]["data_offsets"][0] + start for n in (name, name + "_scale"))
        for at, damage, said in ((codes, b"\x80", "codes -128"), (codes, b"\x7f\x7f", "codes 127 and 127"),
                                 (scales, struct.pack("<f", float("nan")), "scale nan"),
                                 (scales, struct.pack("<f", -1), "scale -1")):
            path.write_bytes(good[:at] + damage + good[at + len(damage):])
            result = run("embed", out, text=TEXT)
            self.assertEqual(result.returncode, 1, said)
            self.assertIn(said, result.stderr.decode())
            self.assertIn(name, result.stderr.decode())
        path.write_bytes(good.replace(f'"{name}_scale"'.encode(), f'"{name}_skale"'.encode()))
        result = run("embed", out, text=TEXT)
        self.assertIn(f'there is no "{name}_scale"', result.stderr.decode())


def read_file_unaligned(path: pathlib.Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8:8 + length]), data[8 + length:]


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
