"""What the scripts of bench/serve share: a server on free ports, the load generator as a process, administration by REST."""
import argparse
import http.client
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TINY = ROOT / "tests" / "data" / "models" / "st_mean"
WAIT_S, LEARN_S = 120, 1800
WORDS = ("card", "transfer", "rate", "refund", "top-up", "lost", "pending", "fee", "exchange", "where", "why", "my", "is", "the",
         "account", "payment", "Oslo", "new", "charged", "twice", "please", "stolen")


def write_texts(path: Path, count: int = 400) -> Path:
    """Short texts that differ from each other, for who has no data set at hand."""
    source = random.Random(1)
    texts = {f"{i} " + " ".join(source.choices(WORDS, k=source.randint(2, 8))) for i in range(count)}
    path.write_text("\n".join(sorted(texts)) + "\n", encoding="utf-8")
    return path


def until(condition: Callable[[], bool], what: str, seconds: float = WAIT_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(0.01)


class Server:
    """deepseek serve as a process. Ports 0: free ones. What it says lies in a file, so that nothing has to read it."""

    def __init__(self, program: str, *arguments: object, http: int = 0, grpc: int = 0, log: str = os.devnull) -> None:
        self.errors = tempfile.NamedTemporaryFile(prefix="server", suffix=".log")
        with open(log, "wb") as out:
            self.process = subprocess.Popen([program, "serve", "--http-port", str(http), "--grpc-port", str(grpc),
                                             "--metrics-port", "none", *map(str, arguments)],
                                            stdout=out, stderr=self.errors)
        self.port = int(self.wait_for(r"REST on \S+:(\d+)")[1])
        self.grpc_port = int(self.wait_for(r"gRPC[^\n]* on \S+:(\d+)")[1])
        self.wait_for(r"deepseek: ready")

    @property
    def said(self) -> str:
        return Path(self.errors.name).read_text(encoding="utf-8", errors="replace")

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def wait_for(self, pattern: str) -> re.Match:
        until(lambda: re.search(pattern, self.said) is not None or not self.runs, f"the server says {pattern!r}")
        found = re.search(pattern, self.said)
        if not found:
            raise RuntimeError(f"the server has ended with {self.process.returncode}: {self.said}")
        return found

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, json.loads(data) if data else None
        finally:
            connection.close()

    def memory_mb(self) -> dict[str, float]:
        """VmRSS and VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return {name: int(kb) / 1024 for name, kb in re.findall(r"(VmRSS|VmHWM):\s+(\d+) kB", status)}

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, how: int = signal.SIGTERM) -> int:
        if self.runs:
            self.process.send_signal(how)
        return self.process.wait(timeout=WAIT_S)


class Load:
    """The load generator at work; `result` waits for its report."""

    def __init__(self, program: str, protocol: str, server: Server, model: str, texts: Path, *options: object) -> None:
        port = server.grpc_port if protocol == "grpc" else server.port
        self.errors = tempfile.NamedTemporaryFile(prefix="load", suffix=".log")
        self.process = subprocess.Popen([program, "--protocol", protocol, "--port", str(port), "--model", model, "--texts",
                                         str(texts), "--json", *map(str, options)],
                                        stdout=subprocess.PIPE, stderr=self.errors)

    @property
    def said(self) -> str:
        return Path(self.errors.name).read_text(encoding="utf-8", errors="replace")

    def wait_until_learnt(self) -> None:
        """With --verify: every text has been asked for alone, and the load begins."""
        until(lambda: "asked for alone, " in self.said or self.process.poll() is not None, "the load has asked for every text",
              LEARN_S)

    def result(self, stop: bool = False) -> dict:
        if stop and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate()
        if not out:
            raise RuntimeError(f"the load generator has ended with {self.process.returncode}: {self.said}")
        return json.loads(out)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    release = ROOT / "build" / "release"
    parser.add_argument("--program", default=str(release / "deepseek"), help="the server (build/release/deepseek)")
    parser.add_argument("--load", default=str(release / "bench" / "serve" / "load"), help="the load generator")
    parser.add_argument("--model", type=Path, default=TINY, help="a model's folder (the tests' tiny one)")
    parser.add_argument("--texts", type=Path, help="a .csv, .tsv or lines (made up)")
    parser.add_argument("--json", action="store_true", help="one object instead of a table")


def add_round_arguments(parser: argparse.ArgumentParser) -> None:
    """For what is measured in turn, several times over."""
    parser.add_argument("--quantization", choices=["int8"], help="in place of float32")
    parser.add_argument("--threads", type=int, default=2, help="of the engine (2)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8, help="of each load (8)")


def read_round_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    options = parser.parse_args()
    if not options.texts:
        parser.error("--texts is needed: real ones, as they come")
    return options


def precision_options(options: argparse.Namespace) -> list[str]:
    return ["--quantization", "int8"] if options.quantization else ["--dtype", "float32"]


def report(options: argparse.Namespace, result: dict, show: Callable[[dict], None]) -> None:
    if options.json:
        print(json.dumps(result))
    else:
        show(result)


def print_table(rows: list[tuple]) -> None:
    """The first row is the head."""
    cells = [[f"{c:.1f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    for row in cells:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
