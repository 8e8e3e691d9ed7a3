"""The load generator against a server that lies, and a short soak: everything of bench/serve/soak.py at once, for some seconds.

  python3 tests/server/test_load.py PROGRAM LOAD        (ctest runs it)
"""
import argparse
import http.server
import json
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from serving import MODELS, ROOT

sys.path.insert(0, str(ROOT / "bench" / "serve"))
from soak import show, soak  # noqa: E402

LOAD = sys.argv.pop(2) if len(sys.argv) > 2 else "build/release/bench/serve/load"
PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
TEXTS = ["first", "second", "a \"third\", with quotes", "fourth\\", "f\u00fcnf"]


class Liar(http.server.BaseHTTPRequestHandler):
    """The Open Inference Protocol with the text's own bytes as its vector; lies from a request's number on."""
    protocol_version = "HTTP/1.1"
    lie, lies_from, number = "", 0, 0

    def do_POST(self) -> None:
        cls = type(self)
        cls.number += 1
        lie = cls.lie if cls.number > cls.lies_from else ""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if lie == "hang up":
            self.close_connection = True
            return
        vectors = b"".join(text.encode().ljust(64, b".") for text in asked["inputs"][0]["data"])
        if lie == "another vector":
            vectors = b"!" + vectors[1:]
        head = json.dumps({"id": asked["id"][::-1] + "x" if lie == "another id" else asked["id"]}, separators=(",", ":")).encode()
        self.send_response(429 if lie == "refuse" else 200)
        if lie == "close":
            self.send_header("Connection", "close")
        self.send_header("Inference-Header-Content-Length", str(len(head)))
        self.send_header("Content-Length", str(len(head + vectors)))
        self.end_headers()
        self.wfile.write(head + vectors)

    def log_message(self, *_) -> None:
        pass


def load(*options: object) -> subprocess.CompletedProcess:
    return subprocess.run([LOAD, *map(str, options)], capture_output=True, text=True, timeout=120)


class Generator(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.texts = Path(folder.name) / "texts.csv"
        quoted = ['"' + text.replace('"', '""') + '"' for text in TEXTS]
        self.texts.write_text("label,text\n" + "".join(f"x,{text}\n" for text in quoted), encoding="utf-8")

    def against(self, lie: str, *options: object) -> tuple[int, dict]:
        """A lie from the twentieth request on, behind the ones for which every text is asked for alone."""
        kind = type("Lying", (Liar,), {"lie": lie, "lies_from": 20})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            result = load("--protocol", "rest", "--port", server.server_address[1], "--model", "m", "--texts", self.texts,
                          "--connections", 3, "--requests", 60, "--verify", "--json", *options)
            server.shutdown()
            thread.join()
        self.assertTrue(result.stdout, result.stderr)
        return result.returncode, json.loads(result.stdout)

    def test_an_honest_server(self) -> None:
        for options in ((), ("--texts-per-request", 2), ("--rate", 1000)):
            code, report = self.against("", *options)
            self.assertEqual((code, report["ok"], report["wrong"], report["texts"], report["different"]), (0, 60, 0, 5, 5))
            self.assertEqual((report["status"], report["lost"], report["reconnects"]), ({"200": 60}, 0, 0))
            self.assertEqual(sum(report["ok_by_second"]), 60)

    def test_wrong_answers_are_counted(self) -> None:
        for lie in ("another vector", "another id"):
            code, report = self.against(lie)
            self.assertEqual((code, report["ok"], report["wrong"]), (1, 60, 45), lie)

    def test_refusals_are_counted(self) -> None:
        code, report = self.against("refuse")
        self.assertEqual((code, report["ok"], report["wrong"], report["status"]), (0, 15, 0, {"200": 15, "429": 45}))

    def test_connections_that_end_are_opened_again(self) -> None:
        code, report = self.against("close")
        self.assertEqual((code, report["ok"], report["lost"], report["connection_errors"]), (0, 60, 0, 0))
        self.assertGreaterEqual(report["reconnects"], 40)
        code, report = self.against("hang up")
        self.assertEqual((code, report["ok"], report["lost"]), (0, 15, 45))

    def test_exit_codes(self) -> None:
        needed = ("--protocol", "openai", "--port", 1, "--model", "m", "--texts", self.texts)
        result = load(*needed)
        self.assertEqual(result.returncode, 1)
        self.assertIn("127.0.0.1:1", result.stderr)
        self.assertEqual(load("--help").returncode, 0)
        for wrong in (needed[2:], (*needed, "--rate", 0), (*needed, "--connections", 0), (*needed, "--protocol", "smtp"),
                      (*needed, "--requests", 1.5), (*needed, "more")):
            self.assertEqual(load(*wrong).returncode, 2, wrong)


class Soak(unittest.TestCase):
    def test_everything_at_once(self) -> None:
        result = soak(argparse.Namespace(program=PROGRAM, load=LOAD, model=MODELS / "st_mean", texts=None, minutes=0.1, idle=200,
                                         kills=1, growth_mb=None))
        show(result)
        self.assertTrue(result["good"], result["faults"])
        for report in result["loads"].values():
            self.assertGreater(report["ok"], 0)
            self.assertGreater(report["different"], 300)
        self.assertGreaterEqual(len(result["clients"]), 9)


if __name__ == "__main__":
    unittest.main()
