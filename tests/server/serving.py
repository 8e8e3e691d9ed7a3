"""What the server's tests share: a server on free ports, and a client that says exactly what it is told to."""
import json
import os
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MODELS = ROOT / "tests" / "data" / "models"
WAIT_S = 60  # for anything that should be immediate


class Answer:
    """A response: status, headers (lower-case names), body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> str:
        error = self.json["error"]
        return error if isinstance(error, str) else error["message"]


class Connection:
    """One socket that speaks HTTP/1.1 by hand."""

    def __init__(self, port: int, host: str = "127.0.0.1", wrap=None) -> None:
        plain = socket.create_connection((host, port), timeout=WAIT_S)
        self.socket = wrap(plain) if wrap else plain
        self.rest = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.rest:
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise EOFError(f"the connection ended behind {self.rest[:200]!r}")
            self.rest += piece
        found, self.rest = self.rest.split(mark, 1)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.rest) < size:
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise EOFError(f"the connection ended {size - len(self.rest)} bytes too early")
            self.rest += piece
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def read(self, with_body: bool = True) -> Answer:
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {}
        for line in lines[1:]:
            name, value = line.split(": ", 1)
            assert name.lower() not in headers, f"{name} is there twice"
            headers[name.lower()] = value
        if status == 100:
            return self.read(with_body)
        return Answer(status, headers, self.exactly(int(headers["content-length"])) if with_body else b"")

    def ask(self, method: str, path: str, body=None, **headers: str) -> Answer:
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", "Host: test"]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + (body or b""))
        return self.read(method != "HEAD")

    def is_closed(self, wait_s: float = 5) -> bool:
        """Whether the server has nothing more to say and has closed."""
        self.socket.settimeout(wait_s)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {WAIT_S} s: {what}")
        time.sleep(0.005)


class Server:
    """deepseek serve as a process; waits until it is ready (or has failed to be)."""

    def __init__(self, program: str, *arguments: object, ready: bool = True) -> None:
        self.log = tempfile.NamedTemporaryFile(prefix="access", suffix=".jsonl")
        self.process = subprocess.Popen([program, "serve", "--http-port", "0", "--grpc-port", "0", "--metrics-port", "0",
                                         *map(str, arguments)],
                                        stdout=self.log, stderr=subprocess.PIPE)
        self.said = ""
        found = self.wait_for(r"REST on https?://\S+:(\d+), metrics on port (\d+)")
        self.port, self.metrics_port = int(found[1]), int(found[2])
        self.grpc_port = int(self.wait_for(r"gRPC[^\n]* on \S+:(\d+)")[1])
        if ready:
            self.wait_for(r"deepseek: ready")

    def wait_for(self, pattern: str) -> re.Match:
        """Reads what it says on standard error until the pattern is there."""
        end = time.monotonic() + WAIT_S
        while True:
            found = re.search(pattern, self.said)
            if found:
                return found
            if not select.select([self.process.stderr], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the server does not say {pattern!r}, but: {self.said}")
            piece = os.read(self.process.stderr.fileno(), 1 << 16)
            if not piece:
                raise EOFError(f"the server has ended with {self.process.wait()}: {self.said}")
            self.said += piece.decode()

    def connect(self, wrap=None) -> Connection:
        return Connection(self.port, wrap=wrap)

    def ask(self, method: str, path: str, body=None, **headers: str) -> Answer:
        with self.connect() as connection:
            return connection.ask(method, path, body, **headers)

    def metric(self, name: str) -> float:
        with Connection(self.metrics_port) as connection:
            text = connection.ask("GET", "/metrics").body.decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.split("\n") if line.startswith("deepseek_" + name))

    def running(self, connection: Connection) -> bool:
        """Waits until a request is computed; False if the connection's was faster and its answer is there already."""
        answered = False
        while not answered:
            if self.metric("tenant_running") >= 1:
                return True
            answered = bool(select.select([connection.socket], [], [], 0.001)[0])
        return False

    def access(self, mark: str) -> list[dict]:
        """The access log as soon as the mark is in it: it is written ten times a second."""
        def lines() -> list[str]:  # the whole ones
            return Path(self.log.name).read_text(encoding="utf-8").split("\n")[:-1]
        until(lambda: any(mark in line for line in lines()), f"the access log holds {mark!r}")
        return [json.loads(line) for line in lines()]

    def stop(self, how: int = signal.SIGTERM) -> int:
        """The exit code; what is left on standard error is added to `said`."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, rest = self.process.communicate(timeout=WAIT_S)
        self.said += rest.decode()
        self.log.close()
        return self.process.returncode


class Case(unittest.TestCase):
    """A server for all tests of a class, and proof that it is well after each."""
    PROGRAM = ""
    ARGUMENTS: tuple = ()

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(cls.PROGRAM, *cls.ARGUMENTS)

    @classmethod
    def tearDownClass(cls) -> None:
        code = cls.server.stop()
        assert code == 0, f"the server ended with {code}: {cls.server.said}"
        assert "Sanitizer" not in cls.server.said, cls.server.said

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def tearDown(self) -> None:
        self.assertEqual(self.server.ask("GET", "/v2/health/live").status, 200)

    def good(self, answer: Answer) -> Answer:
        self.assertEqual(answer.status, 200, answer.body[:500])
        return answer

    def refused(self, answer: Answer, status: int, *words: str) -> None:
        self.assertEqual(answer.status, status, answer.body[:500])
        for word in words:
            self.assertIn(word, answer.error)
        self.assertNotIn("\n", answer.error)

    def close(self, got: list[float], want: list[float], tolerance: float = 1e-5) -> None:
        self.assertEqual(len(got), len(want))
        self.assertLessEqual(max(abs(a - b) for a, b in zip(got, want)), tolerance)


def text_input(*texts: str, name: str = "text") -> dict:
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)}


def expected_texts(model: str) -> list[str]:
    return (MODELS / model / "texts.txt").read_text(encoding="utf-8").split("\n")[:-1]
