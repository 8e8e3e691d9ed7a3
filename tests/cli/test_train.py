"""`deepseek train`, `eval` and `report` as a user meets them: what they take and refuse, and the page made of a log.

  test_train.py PATH_TO_deepseek

The logs are made here, line by line, as src/train/run_log.h states them, and damaged.
"""
import html.parser
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
VOID = {"meta", "br"}
HOSTILE = "</title><script>alert('1')</script><img src=x onerror=\"a()\">&amp;"


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


class Page(html.parser.HTMLParser):
    """What stands in a page; its tags must be closed in the order in which they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (self.open, tag)
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(t == tag for t, _ in self.tags)



def start(labels: list[str], **settings: object) -> dict:
    return {"event": "start", "time": "2026-11-25T11:00:00Z", "settings": {"epochs": 3, "loss": "cross-entropy", **settings},
            "plan": {"weights": 90e6, "gradients": 90e6, "optimizer": 180e6, "activations": 400e6, "scratch": 12e6,
                     "peak": 772e6}, "labels": labels, "resumed_at": 0}


def step(number: int, total: int = 90) -> dict:
    return {"event": "step", "step": number, "epoch": 3 * number / total, "loss": 4 * math.exp(-number / 20) + 0.1,
            "gradient_norm": 2.0 + number % 3, "learning_rate": 1e-4 * (1 - number / total), "tokens": 400,
            "samples_per_s": 100.5, "seconds": number * 0.5}


def confusion(labels: int) -> list[list[int]]:
    """Right 50 times each; the label before the last is taken for the last one 9 times."""
    rows = [[50 * (i == k) for k in range(labels)] for i in range(labels)]
    rows[-2][-1] = 9
    return rows


def whole_log(labels: list[str]) -> list[dict]:
    lines: list[dict] = [start(labels)]
    for number in range(1, 91):
        lines.append(step(number))
        if number % 30 == 0:
            lines.append({"event": "eval", "step": number, "epoch": number / 30, "loss": 1 / number,
                          "accuracy": 0.5 + number / 200, "f1": 0.4 + number / 200, "f1_macro": 0.4, "mcc": 0.3,
                          "count": 300, "confusion": confusion(len(labels))})
            lines.append({"event": "saved", "path": f"checkpoint-{number}", "step": number})
    return [*lines, {"event": "warning", "text": "train.csv, line 7: the text is empty"},
            {"event": "time", "forward_s": 10, "backward_s": 20.5, "optimizer_s": 2, "data_s": 0.5, "eval_s": 3, "save_s": 1},
            {"event": "end", "steps": 90, "seconds": 45.0, "samples_per_s": 101.5, "peak_rss_mb": 800}]


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder, True)

    def refused(self, code: int, said: str, *arguments: object) -> None:
        result = run(*arguments)
        self.assertEqual((result.returncode, result.stdout), (code, b""), result.stderr)
        self.assertIn(said, result.stderr.decode())

    def page_of(self, log: bytes | list[dict], *options: object) -> tuple[Page, str]:
        text = log if isinstance(log, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in log)
        (self.folder / "train_log.jsonl").write_bytes(text)
        result = run("report", self.folder, *options)
        self.assertEqual((result.returncode, result.stdout), (0, b""), result.stderr)
        shown = (self.folder / "report.html").read_text(encoding="utf-8")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["report.html", "train_log.jsonl"])
        page = Page(shown)
        for tag, attributes in page.tags:  # it needs nothing else, and nothing in it runs
            self.assertNotIn(tag, ("script", "img", "link", "iframe", "object", "a", "base", "form"))
            self.assertFalse([a for a in attributes if a.startswith("on") or a in ("src", "href", "xlink:href")])
            for name in ("d", "x", "y", "width", "height", "cx", "cy", "viewbox"):
                self.assertNotRegex(attributes.get(name) or "", "nan|inf", tag)
        self.assertNotIn("://", shown)
        return page, shown


class Usage(Case):
    def test_help_has_every_option(self) -> None:
        options = {"train": "train eval eval-split text-column text-pair-column label-column no-header task loss optimizer weight-decay "
                            "epochs max-steps batch-size gradient-accumulation-steps learning-rate scheduler warmup-ratio seed "
                            "batch-tokens max-grad-norm label-smoothing freeze layer-decay max-seq-len dtype threads "
                            "memory-limit gradient-checkpointing memory-efficient quantization lora-rank lora-alpha "
                            "lora-targets teacher keep save-steps save-dtype resume grace-seconds json output",
                   "eval": "data text-column text-pair-column label-column no-header metrics json", "report": "output"}
        for command, names in options.items():
            result = run(command, "--help")
            said = result.stdout.decode()
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertIn("\nExamples:\n", said)
            for line in said.split("Examples:\n")[1].splitlines():
                self.assertTrue(line.startswith("  deepseek "), line)
            for name in names.split():
                self.assertRegex(said, rf"(?m)^ +--{name}\b")

    def test_wrong_values_are_named_with_what_was_expected(self) -> None:
        base = ("train", MODELS / "bert_seq", "--train", "rows.csv", "--output", self.folder / "out")
        for option, value, expected in (
                ("epochs", "0", "a number over 0"), ("epochs", "many", "a number over 0"), ("epochs", "nan", "a number over 0"),
                ("learning-rate", "0", "a number over 0"), ("learning-rate", "1e-50", "a number over 0"),
                ("learning-rate", "-1", "a number over 0"), ("learning-rate", "0x1", "a number over 0"),
                ("weight-decay", "-0.1", "a number from 0"), ("weight-decay", "inf", "a number from 0"),
                ("max-steps", "0", "a whole number from 1"), ("max-steps", "1.5", "a whole number from 1"),
                ("batch-size", "-3", "a whole number from 1 to 16777216"), ("batch-tokens", "", "a whole number from 1"),
                ("gradient-accumulation-steps", "x", "a whole number from 1"), ("seed", "-1", "a whole number from 0"),
                ("seed", "99999999999999999999", "a whole number from 0"), ("eval-split", "1", "over 0 and under 1"),
                ("eval-split", "0", "over 0 and under 1"), ("warmup-ratio", "1.01", "a number from 0 to 1"),
                ("label-smoothing", "1", "a number from 0, under 1"), ("layer-decay", "0", "a number over 0, at most 1"),
                ("max-grad-norm", "-1", "a number from 0"), ("lora-rank", "0", "a whole number from 1 to 65536"),
                ("keep", "0", "a whole number from 1"), ("save-steps", "0", "a whole number from 1"),
                ("grace-seconds", "-1", "a whole number from 0 to 86400"),
                ("task", "tagging", "auto, classification, multilabel, regression or embedding"),
                ("loss", "l1", "cross-entropy, bce, mse, cosine, in-batch-negatives or distill"), ("loss", "", "cross-entropy"),
                ("optimizer", "adam", "adamw or sgd"), ("scheduler", "Linear", "linear, cosine or constant"),
                ("save-dtype", "int4", "float32, float16, bfloat16 or int8"), ("quantization", "int4", "int8"),
                ("dtype", "float16", "auto, float32 or bfloat16"), ("threads", "0", "from 1 to 256"),
                ("memory-limit", "much", "a size such as"), ("max-seq-len", "0", "a whole number from 1"),
                ("train", "", "a file"), ("output", "", "a folder"), ("label-column", "", "a column's name"),
                ("freeze", "", "a pattern")):
            with self.subTest(option=option, value=value):
                self.refused(2, f'--{option} is "{value}"', *base, f"--{option}={value}")
                self.refused(2, expected, *base, f"--{option}={value}")
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_what_does_not_go_together(self) -> None:
        model, data = MODELS / "bert_seq", ("--train", "rows.csv")
        base = ("train", model, *data, "--output", "out")
        self.refused(2, "MODEL is missing", "train", *data, "--output", "out")
        self.refused(2, "--train is missing", "train", model, "--output", "out")
        self.refused(2, "--output is missing", "train", model, *data)
        self.refused(2, "--eval and --eval-split", *base, "--eval", "b.csv", "--eval-split", "0.1")
        self.refused(2, "--batch-size and --batch-tokens", *base, "--batch-size", "8", "--batch-tokens", "99")
        self.refused(2, "need --lora-rank", *base, "--lora-alpha", "8")
        self.refused(2, "need --lora-rank", *base, "--lora-targets", "*.key")
        self.refused(2, "--teacher", *base, "--loss", "distill")
        self.refused(2, "one argument too many", *base, "more")
        self.refused(2, "--freeze is given more than 64 times", *base, *["--freeze=a"] * 65)
        self.refused(2, "unrecognized option", *base, "--nothing")

    def test_wrong_usage_of_eval_and_report(self) -> None:
        model = MODELS / "bert_seq"
        self.refused(2, "--data is missing", "eval", model)
        self.refused(2, '--data is ""', "eval", model, "--data", "")
        for metrics in ("recall", "accuracy,", "", "accuracy,recall", "Accuracy", "f1 ,mcc"):
            self.refused(2, f'--metrics is "{metrics}"', "eval", model, "--data", "rows.csv", "--metrics", metrics)
            self.refused(2, "accuracy, f1, mcc, pearson, spearman and ece", "eval", model, "--data", "x", "--metrics", metrics)
        self.refused(2, "MODEL is missing", "eval", "--data", "rows.csv")
        self.refused(2, "RUN_DIR is missing: the output of a training run", "report")
        self.refused(2, "RUN_DIR is empty", "report", "")
        self.refused(2, '--output is ""', "report", self.folder, "--output", "")
        self.refused(2, "one argument too many", "report", self.folder, "more")


class Run(Case):
    """Training runs of a tiny model on rows of two classes."""

    def setUp(self) -> None:
        super().setUp()
        words = ("the", "of", "and", "to", "in")
        rows = [f"{words[i % 5]} {words[i % 3]} {'?' if i % 2 else '.'},{'question' if i % 2 else 'answer'}" for i in range(40)]
        (self.folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n")

    def command(self, output: str, *options: str) -> list[str]:
        return [str(PROGRAM), "train", str(MODELS / "bert_seq"), "--train", str(self.folder / "rows.csv"), "--max-steps", "600",
                "--batch-size", "8", "--learning-rate", "1e-3", "--seed", "3", "--threads", "2",
                "--output", str(self.folder / output), *options]

    def weights(self, output: str) -> bytes:
        return (self.folder / output / "model.safetensors").read_bytes()


class Signals(Run):
    """A run that is asked to end: it leaves in time, and --resume ends in the bits of a run that nobody disturbed."""

    def steps_of(self, output: str) -> int:
        log = self.folder / output / "train_log.jsonl"
        return log.read_bytes().count(b'"event":"step"') if log.exists() else 0

    def ended_by(self, number: signal.Signals, output: str, *options: str) -> tuple[str, float]:
        """What a run says that gets the signal somewhere in its steps, and the seconds that it took to leave."""
        with subprocess.Popen(self.command(output, *options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 60
            while self.steps_of(output) < 120 and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            sent = time.monotonic()
            process.send_signal(number)
            out, said = process.communicate(timeout=60)
            seconds = time.monotonic() - sent
        self.assertEqual((process.returncode, out), (1, b""), said)
        self.assertFalse((self.folder / output / "config.json").exists(), "the run came to its end before the signal")
        return said.decode(), seconds

    def resumed(self, output: str) -> None:
        result = subprocess.run(self.command(output, "--resume"), stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.weights(output), self.weights("whole"))

    def test_a_signal_ends_a_run_with_a_checkpoint(self) -> None:
        subprocess.run(self.command("whole"), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number.name):
                output = number.name
                said, seconds = self.ended_by(number, output, "--grace-seconds", "20", "--save-steps", "100000")
                self.assertLess(seconds, 20)
                stopped = re.search(rf"deepseek: {output}: stopped after step (\d+) of 600; the checkpoint is \S+/checkpoint-\1; "
                                    "the same command with --resume goes on\n$", said)
                self.assertTrue(stopped, said)
                self.assertTrue((self.folder / output / f"checkpoint-{stopped[1]}" / "trainer_state.json").exists())
                self.refused(1, "--resume", *self.command(output)[1:])
                self.resumed(output)

    def test_the_log_tells_where_time_went(self) -> None:
        self.ended_by(signal.SIGTERM, "timed", "--save-steps", "100000")
        subprocess.run(self.command("timed", "--resume"), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
        log = [json.loads(line) for line in (self.folder / "timed" / "train_log.jsonl").read_text().splitlines()]
        times = [line for line in log if line["event"] == "time"]
        self.assertEqual(len(times), 2, "one of each start")
        for name in ("forward_s", "backward_s", "optimizer_s", "data_s", "save_s"):
            self.assertTrue(all(line[name] > 0 for line in times), (name, times))
        self.assertEqual(run("report", self.folder / "timed").returncode, 0)
        page = (self.folder / "timed" / "report.html").read_text()
        for name in ("Forward", "Backward", "Optimizer"):
            self.assertIn(name, page)

    def test_without_grace_it_ends_at_once(self) -> None:
        subprocess.run(self.command("whole"), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
        said, _ = self.ended_by(signal.SIGTERM, "at_once", "--grace-seconds", "0", "--save-steps", "50")
        self.assertIn("ended at once; --resume goes on from the last checkpoint", said)
        self.assertNotIn("stopped after", said)
        self.resumed("at_once")


class Adapters(Run):
    def test_lora_writes_the_adapter_beside_the_merged_model(self) -> None:
        subprocess.run(self.command("tuned", "--lora-rank", "2", "--max-steps", "20"), stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=120, check=True)
        adapter = self.folder / "tuned" / "adapter"
        self.assertEqual(sorted(p.name for p in adapter.iterdir()), ["adapter_config.json", "adapter_model.safetensors"])
        config = json.loads((adapter / "adapter_config.json").read_text())
        self.assertEqual((config["r"], sorted(config["modules_to_save"])), (2, ["classifier", "pooler"]))
        (self.folder / "texts.txt").write_text("the of ?\nin the .\n")
        texts = ("--texts", self.folder / "texts.txt")
        merged = run("classify", self.folder / "tuned", *texts)
        opened = run("classify", MODELS / "bert_seq", *texts, "--adapter", adapter)
        self.assertEqual((merged.returncode, opened.returncode), (0, 0), opened.stderr)
        named = opened.stdout.replace(b"LABEL_0", b"answer").replace(b"LABEL_1", b"question")
        self.assertEqual(named, merged.stdout)
        self.assertNotEqual(run("classify", MODELS / "bert_seq", *texts).stdout, opened.stdout)
        self.refused(1, "adapter_config.json", "classify", MODELS / "bert_seq", *texts, "--adapter", self.folder)
        self.refused(2, "--adapter", "inspect", MODELS / "bert_seq", "--adapter", adapter)
        whole = subprocess.run(self.command("plain", "--max-steps", "2"), stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        self.assertFalse((self.folder / "plain" / "adapter").exists())


class NoHeader(Run):
    def test_columns_by_number(self) -> None:
        named = (self.folder / "rows.csv").read_text().splitlines()[1:]
        turned = "\n".join(f"{row.split(',')[1]}\t{row.split(',')[0]}" for row in named)
        (self.folder / "rows.tsv").write_text(turned + "\n")
        numbers = ("--no-header", "--text-column", "2", "--label-column", "1")
        steps = ("--max-steps", "30")
        subprocess.run(self.command("named", *steps), stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
        command = [part.replace("rows.csv", "rows.tsv") for part in self.command("numbered", *steps, *numbers)]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
        self.assertEqual(self.weights("named"), self.weights("numbered"))
        with_names = run("eval", self.folder / "named", "--data", self.folder / "rows.csv", "--json")
        by_number = run("eval", self.folder / "named", "--data", self.folder / "rows.tsv", "--json", *numbers)
        self.assertEqual((by_number.returncode, json.loads(by_number.stdout)["count"]), (0, 40), by_number.stderr)
        self.assertEqual(by_number.stdout, with_names.stdout)
        self.refused(1, 'has no column "3"', "eval", self.folder / "named", "--data", self.folder / "rows.tsv", *numbers[:3],
                     "--label-column", "3")


class Report(Case):
    def test_a_whole_log(self) -> None:
        page, shown = self.page_of(whole_log(["card", "refund", "transfer"]))
        for part in ("Loss", "Evaluation", "Learning rate", "Gradient norm", "Confusion matrix", "Where time went",
                     "Where memory went", "Settings", "Warnings (1)"):
            self.assertIn(f"<h2>{part}", shown)
        for text in ("finished", "0.9500", "Accuracy", "45.0 s", "101.5", "800.0 MB", "planned 736.2 MB", "epoch 1",
                     "train.csv, line 7: the text is empty", "cross-entropy", "refund \u2192 transfer: 9", "2026-11-25"):
            self.assertIn(text, shown)
        self.assertNotIn("no events", shown)
        self.assertIn("prefers-color-scheme", shown)
        self.assertGreater(page.count("path"), 10)
        self.assertEqual(sum(tag == "rect" and "right" in (a.get("class") or "") for tag, a in page.tags), 3)
        again = (self.folder / "report.html").read_bytes()
        self.page_of(whole_log(["card", "refund", "transfer"]))
        self.assertEqual((self.folder / "report.html").read_bytes(), again, "the same log gives the same page")

    def test_where_the_page_goes(self) -> None:
        self.page_of(whole_log(["a", "b"]))
        page = (self.folder / "report.html").read_bytes()
        os.remove(self.folder / "report.html")
        out = run("report", f"{self.folder}/", "--output", self.folder / "other.html")
        self.assertEqual((out.returncode, out.stdout), (0, b""))
        self.assertEqual((self.folder / "other.html").read_bytes(), page)
        self.assertFalse((self.folder / "report.html").exists())
        out = run("report", self.folder, "--output", "-")
        self.assertEqual((out.returncode, out.stdout, out.stderr), (0, page, b""))
        self.refused(1, "no/such/page.html: cannot write", "report", self.folder, "--output", "no/such/page.html")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["other.html", "train_log.jsonl"])

    def test_no_log_is_one_sentence(self) -> None:
        for folder, said in ((self.folder, "has no train_log.jsonl"), (self.folder / "no", "No such file")):
            result = run("report", folder)
            self.assertEqual((result.returncode, result.stdout, result.stderr.count(b"\n")), (1, b"", 1))
            self.assertIn(said, result.stderr.decode())
        (self.folder / "train_log.jsonl").mkdir()
        self.refused(1, "is a folder", "report", self.folder)
        self.assertFalse((self.folder / "report.html").exists())

    def test_what_comes_from_data_is_escaped(self) -> None:
        labels = [HOSTILE, "a\u0000b\u001b", "\u202eright to left", "x" * 5000]
        lines = whole_log(labels)
        lines[0]["settings"] = {HOSTILE: HOSTILE, "nested": {"a": [HOSTILE]}, "": None}
        lines[0]["time"] = HOSTILE
        lines.append({"event": "warning", "text": HOSTILE})
        lines.append({"event": HOSTILE})
        page, shown = self.page_of(lines)
        self.assertNotIn("\x00", shown)
        self.assertNotIn("\x1b", shown)
        self.assertGreaterEqual("".join(page.texts).count(HOSTILE), 3, "a setting, its name, a warning")
        many = [HOSTILE + str(i) for i in range(40)]
        page, _ = self.page_of(whole_log(many))
        self.assertIn(HOSTILE + "39", "".join(page.texts))
        folder = self.folder / HOSTILE.replace("/", "")
        folder.mkdir()
        shutil.copy(self.folder / "train_log.jsonl", folder)
        self.assertEqual(run("report", folder).returncode, 0)
        named = Page((folder / "report.html").read_text(encoding="utf-8"))
        self.assertEqual((named.count("script"), named.count("img")), (0, 0))

    def test_lines_that_are_no_events_are_counted_and_named(self) -> None:
        good = [json.dumps(line).encode() for line in whole_log(["a", "b"])]
        bad = {b"no JSON": "no", b"[1]": "", b"{}": "there is no event", b'{"event":"step"}': "has no step",
               b'{"event":"step","step":-1}': "has no step", b'{"event":"coffee"}': "not known",
               b'{"event":"step","step":1e999}': "step is 1e999", b'{"event":"step","step":5,"loss":NaN}': "NaN",
               b'{"event":"step","step":5,"loss":"low"}': "loss", b'{"event":7}': "event", b"\xff\xfe\x00": "",
               b'{"event":"eval","step":1,"confusion":[[1,2],[3]]}': "square",
               b'{"event":"eval","step":1,"confusion":[[1],[2]]}': "square",
               b'{"event":"eval","step":1,"confusion":[]}': "square",
               b'{"event":"eval","step":1,"confusion":[[-1]]}': "confusion",
               b'{"event":"eval","step":1,"confusion":[' + b",".join([b"[1" + b",1" * 200 + b"]"] * 201) + b"]}": "200",
               b'{"event":"start","settings":[]}': "settings", b"[" * 100000: "", b'{"a":' * 100: "",
               b'{"event":"step","step":91,"lo': "a string is not closed"}
        page, shown = self.page_of(b"\n".join(good + list(bad)))
        self.assertIn(f"no events ({len(bad)})", shown)
        self.assertIn(f"{len(bad)} unreadable lines", shown)
        texts = "".join(page.texts)
        for number, (line, said) in enumerate(bad.items(), len(good) + 1):
            self.assertIn(f'<td class="n">{number}</td>', shown)
            self.assertIn(said, texts, line[:80])
        self.assertIn("0.9500", shown, "the rest is shown")
        _, shown = self.page_of(b"\n".join([*good, *[b"x"] * 1000]))
        self.assertIn("no events (1000)", shown)
        self.assertIn("The first 20.", shown)

    def test_hostile_numbers(self) -> None:
        log = [start(["a"])]
        for i, value in enumerate((1e300, -1e300, 0, 1e-320, None, -0.0, 5e-324, 1.7)):
            log.append({"event": "step", "step": i * 10 ** (i * 2), "epoch": value, "loss": value, "gradient_norm": value,
                        "learning_rate": value, "samples_per_s": value, "seconds": value})
            log.append({"event": "eval", "step": i * 10 ** (i * 2), "loss": value, "accuracy": value, "mcc": value,
                        "count": value, "epoch": value})
        log.append({"event": "time", "forward_s": 1e300, "backward_s": 1e-300, "eval_s": -5})
        log[0]["plan"] = {"weights": 1e300, "gradients": 1e300, "scratch": -1, "peak": 1e300}
        log.append({"event": "end", "steps": 1e300, "seconds": 1e300, "samples_per_s": -1, "peak_rss_mb": 1e300})
        self.page_of(log)
        self.page_of([{"event": "step", "step": 3, "loss": 2.5}])  # one point
        self.page_of([{"event": "step", "step": i, "loss": 7} for i in range(5)])  # a level line
        self.page_of([{"event": "eval", "step": 1}])  # of which nothing is known
        self.page_of([{"event": "eval", "step": 1, "confusion": [[0, 0], [4294967295, 4294967295]]}])

    def test_logs_of_runs_that_are_not_whole(self) -> None:
        _, shown = self.page_of(b"")
        self.assertIn("no step yet", shown)
        self.assertIn("not finished", shown)
        _, shown = self.page_of([start(["a", "b"])])
        self.assertIn("Planned peak memory", shown)
        _, shown = self.page_of(whole_log(["a", "b"])[:20])
        self.assertIn("not finished", shown)
        self.assertNotIn("Confusion", shown)
        # Killed in step 40, resumed at step 30: later lines take the place of the earlier ones, times are added.
        lines = whole_log(["a", "b"])
        first = [line for line in lines[:-3] if line.get("step", 0) <= 40]
        second = [{**line, "seconds": line["seconds"] - 15} if "seconds" in line else line for line in lines[1:]
                  if line.get("step", 91) > 30]
        _, shown = self.page_of([*first, start(["a", "b"]), *second])
        self.assertIn("resumed 1 time<", shown)
        self.assertIn("in 2 starts", shown)
        self.assertIn("50.0 s", shown, "20 seconds and 30")

    def test_many_steps_and_labels_stay_a_page(self) -> None:
        labels = [f"label_{i}" for i in range(77)]
        page, shown = self.page_of([start(labels), *(step(i, 50000) for i in range(1, 50001)),
                                    {"event": "eval", "step": 50000, "accuracy": 0.9, "confusion": confusion(77)}])
        self.assertLess(len(shown), 200_000)
        self.assertIn("Most often confused", shown)
        row = re.search(r"<tr><td><bdi>label_75</bdi></td><td><bdi>label_76</bdi></td>(.*?)</tr>", shown)
        self.assertIn("15.3 %", row[1])
        page, _ = self.page_of([start(labels), {"event": "eval", "step": 1, "confusion": confusion(30)}])
        self.assertIn("label_29", page.texts)
        page, shown = self.page_of([{"event": "eval", "step": 1, "confusion": confusion(3)}])
        self.assertIn("label 2", page.texts, "without names labels have numbers")

    def test_values_in_place_of_labels(self) -> None:
        lines = [start(["score"]), *(step(i) for i in range(1, 31)),
                 {"event": "eval", "step": 30, "epoch": 1, "loss": 0.4, "pearson": 0.87, "spearman": 0.86, "count": 1500}]
        _, shown = self.page_of(lines)
        self.assertIn("<b>0.8700</b><span>Pearson</span>", shown)
        self.assertNotIn("Accuracy", shown)
        for line in lines[1:-1]:
            line["gradient_norm"] = 0  # not known
        _, shown = self.page_of(lines)
        self.assertNotIn("Gradient norm", shown)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
