"""`deepseek calibrate`, `classify --threshold` and `train --calibrate` as a user meets them.

  test_calibrate.py PATH_TO_deepseek
"""
import json
import math
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
TEXTS = "the card\nof and\nexchange rate ?\n"


def run(*arguments: object, text: str = "") -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *map(str, arguments)], input=text.encode(), capture_output=True, timeout=120)


def lines(done: subprocess.CompletedProcess) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class Calibrate(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)
        draw = random.Random(3)
        rows = ["text,label"]
        for i in range(120):  # two classes that differ in one word; one row in six is wrong
            words = " ".join(draw.choice(["the", "of", "and", "to"]) for _ in range(draw.randint(2, 7)))
            rows.append(f"{words} {'?' if i % 2 else '.'},{'asks' if (i % 2 == 1) != (i % 6 == 5) else 'says'}")
        self.rows = self.folder / "rows.csv"
        self.rows.write_text("\n".join(rows) + "\n")

    def refused(self, code: int, said: str, *arguments: object) -> None:
        done = run(*arguments)
        self.assertEqual((done.returncode, done.stdout), (code, b""), done.stderr)
        self.assertIn(said, done.stderr.decode())

    def trained(self, *options: object) -> tuple[pathlib.Path, dict]:
        out = self.folder / "out"
        done = run("train", MODELS / "bert_seq", "--train", self.rows, "--output", out, "--learning-rate", 1e-2, "--epochs", 12,
                   "--batch-size", 16, "--seed", 7, "--json", *options)
        return out, lines(done)[0]

    def test_train_then_calibrate(self) -> None:
        out, said = self.trained("--calibrate", 0.25, "--eval", self.rows)
        config = json.loads((out / "config.json").read_text())
        self.assertEqual(config["temperature"], said["temperature"])
        self.assertEqual(config["id2label"], {"0": "asks", "1": "says"})
        log = [json.loads(line) for line in (out / "train_log.jsonl").read_text().splitlines()]
        (event,) = [line for line in log if line["event"] == "calibrated"]
        self.assertEqual((event["rows"], event["temperature"]), (30, said["temperature"]))
        self.assertIn("ece", next(line for line in log if line["event"] == "eval"))
        self.assertEqual(run("report", out).returncode, 0)
        self.assertIn("ECE", (out / "report.html").read_text())

        before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
        (found,) = lines(run("calibrate", out, "--data", self.rows, "--split", 0.25, "--seed", 7, "--json"))
        self.assertEqual((found["rows"], found["temperature"]), (30, said["temperature"]))
        self.assertEqual(found["loss_before"], found["loss_after"])
        (other,) = lines(run("calibrate", out, "--data", self.rows, "--json"))
        self.assertEqual(other["rows"], 120)
        after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
        self.assertEqual({name for name in after if after[name] != before[name]}, {"config.json"})
        self.assertEqual(json.loads(after["config.json"]), {**config, "temperature": other["temperature"]})
        (metrics,) = lines(run("eval", out, "--data", self.rows, "--metrics", "ece", "--json"))
        self.assertAlmostEqual(metrics["ece"], other["ece_after"], places=5)
        self.assertIn(b"temperature", run("calibrate", out, "--data", self.rows).stdout)

    def test_scores_are_divided(self) -> None:
        model = self.folder / "warm"
        shutil.copytree(MODELS / "bert_seq", model)
        config = json.loads((model / "config.json").read_text())
        plain = lines(run("classify", model, text=TEXTS))
        self.assertNotIn(b"temperature", run("inspect", model).stdout)
        (model / "config.json").write_text(json.dumps({**config, "temperature": 2}))
        self.assertIn(b", temperature 2.0000\n", run("inspect", model).stdout)
        for one, warm in zip(plain, lines(run("classify", model, text=TEXTS))):
            roots = {label["label"]: math.sqrt(label["score"]) for label in one["labels"]}
            self.assertEqual([label["label"] for label in one["labels"]], [label["label"] for label in warm["labels"]])
            for label in warm["labels"]:
                self.assertAlmostEqual(label["score"], roots[label["label"]] / sum(roots.values()), places=5)
        (model / "config.json").write_text(json.dumps({**config, "temperature": 0}))
        self.refused(1, "temperature is 0, expected a number from 0.01 to 100", "classify", model)

    def test_threshold(self) -> None:
        plain = lines(run("classify", MODELS / "bert_seq", text=TEXTS))
        bests = sorted(one["labels"][0]["score"] for one in plain)
        for threshold in (0, bests[1], 1):
            for top in ([], ["--top-k", 2]):
                found = lines(run("classify", MODELS / "bert_seq", "--threshold", repr(threshold), *top, text=TEXTS))
                for one, got in zip(plain, found):
                    best = one["labels"][0]
                    if best["score"] < threshold:
                        self.assertEqual(got["labels"], [{"label": "unknown", "score": best["score"]}])
                    else:
                        self.assertEqual(got["labels"], one["labels"][:2] if top else one["labels"])
        many = lines(run("classify", MODELS / "bert_multilabel", text=TEXTS))
        scores = sorted(label["score"] for one in many for label in one["labels"])
        for threshold in (scores[len(scores) // 2], 1):
            found = lines(run("classify", MODELS / "bert_multilabel", "--threshold", repr(threshold), text=TEXTS))
            self.assertEqual([one["labels"] for one in found],
                             [[label for label in one["labels"] if label["score"] >= threshold] for one in many])
        for bad in ("1.1", "-0.1", "nan", "", "x", "0x1p-1", "0.5 "):
            self.refused(2, f'--threshold is "{bad}"', "classify", MODELS / "bert_seq", "--threshold", bad)
        self.refused(1, "regression", "classify", MODELS / "bert_regression", "--threshold", "0.5")

    def test_what_is_refused(self) -> None:
        self.refused(2, "--data is missing", "calibrate", MODELS / "bert_seq")
        for bad in ("0", "1", "-1", "nan", ""):
            self.refused(2, f'--split is "{bad}"', "calibrate", MODELS / "bert_seq", "--data", self.rows, "--split", bad)
        for bad in ("-1", "1.5", "", "1000000000000001", "99999999999999999999"):
            self.refused(2, f'--seed is "{bad}"', "calibrate", MODELS / "bert_seq", "--data", self.rows, "--seed", bad)
        self.refused(1, "a model of vectors", "calibrate", MODELS / "bert_base", "--data", self.rows)
        for bad in ("0", "1", "nan"):
            self.refused(2, f'--calibrate is "{bad}"', "train", MODELS / "bert_seq", "--train", self.rows, "--output",
                         self.folder / "no", "--calibrate", bad)
        self.assertFalse((self.folder / "no").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
