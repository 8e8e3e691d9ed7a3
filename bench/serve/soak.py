#!/usr/bin/env python3
"""Everything at once: a server under verified load over REST and gRPC while clients misbehave, the model's folder is replaced and
the server is killed.

  soak.py [--minutes 10] [--model DIR] [--texts FILE] [--idle 10000] [--kills 3] [--json]

Clients that are killed, that close one half, that send a byte now and then; idle connections; damaged HTTP/2 frames, floods of
CONTINUATION and RST_STREAM; folders renamed away and into place, then loaded; kill -9 and a start on the same ports; an
access log on a full disk (/dev/full).  Kills come in the first half.  When all clients have left, memory and descriptors are
compared with a new server's.

The verdict is good if the server never ended by itself, no answer was wrong (a vector's bits, a request's id), nothing but
kills cost an answer, descriptors came back, and memory but for --growth-mb, and SIGTERM ended with 0.
"""
import argparse
import json
import random
import resource
import shutil
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from measuring import Load, Server, add_arguments, print_table, report, until, write_texts

CONNECTIONS = 16  # of each of the two loads
# Linux closes a dying process's sockets one after the other and its listener, the oldest, last: who has lost a connection may
# connect once more, ask, and lose that one, too.
LOST_A_KILL = 2 * CONNECTIONS
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FLOOD = 20000  # frames; the server ends it long before


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


CALL = b"\x83\x86" + literal(b":path", b"/inference.GRPCInferenceService/ModelInfer") + literal(
    b":authority", b"soak") + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")


def lasting_port() -> int:
    """A free port that the kernel gives to nobody who connects: while the server is down, a client could get it, and stay."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    while True:
        port = random.randrange(first // 2, first)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Soak:
    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.repository = folder / "models"
        shutil.copytree(options.model, self.repository / "m" / "1")
        self.texts = options.texts or write_texts(folder / "texts.txt")
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.faults: list[str] = []
        self.ends = threading.Event()
        self.idle: list[socket.socket] = []
        self.loads: dict[str, Load] = {}
        self.server = self.start(lasting_port(), lasting_port())

    def start(self, http: int, grpc: int) -> Server:
        return Server(self.options.program, "--model-repository", self.repository, http=http, grpc=grpc, log="/dev/full")

    def count(self, what: str, by: int = 1) -> None:
        with self.lock:
            self.counts[what] += by

    def fault(self, what: str) -> None:
        with self.lock:
            self.faults.append(what)

    def connect(self, grpc: bool = False) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.grpc_port if grpc else self.server.port), timeout=10)

    def request(self) -> bytes:
        body = json.dumps({"model": "m", "input": "a text"}).encode()
        return b"POST /v1/embeddings HTTP/1.1\r\nHost: soak\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    # What clients do. One round each; a connection that ends is what they ask for.

    def killed_client(self, source: random.Random) -> None:
        with self.connect() as client:
            request = self.request()
            client.sendall(request[:source.randint(1, len(request))])
            time.sleep(source.random() * 0.01)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # close with a reset

    def half_closed_client(self, source: random.Random) -> None:
        with self.connect() as client:
            request = self.request()
            client.sendall(request[:source.choice((10, len(request)))])
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    def slow_client(self, source: random.Random) -> None:
        with self.connect() as client:
            for byte in self.request()[:100]:
                client.sendall(bytes((byte,)))
                if self.ends.wait(0.1):
                    return

    def idle_clients(self, source: random.Random) -> None:
        """Keeps that many open; those that the server has closed are replaced."""
        kept = []
        for client in self.idle:
            try:
                open_still = client.recv(4096) != b""
            except BlockingIOError:
                open_still = True
            except OSError:
                open_still = False
            kept.append(client) if open_still else client.close()
        self.idle = kept
        while len(self.idle) < self.options.idle and not self.ends.is_set():
            client = self.connect(grpc=source.random() < 0.5)
            client.setblocking(False)
            self.idle.append(client)
        with self.lock:
            self.counts["idle connections, most"] = max(self.counts["idle connections, most"], len(self.idle))
        self.ends.wait(2)

    def damaged_frames(self, source: random.Random) -> None:
        good = frame(4, 0, 0) + frame(1, 4, 1, CALL) + frame(0, 1, 1, b"\0\0\0\0\0") + frame(6, 0, 0, b"12345678")
        bad = bytearray(good + source.randbytes(source.randint(0, 100)))
        for _ in range(source.randint(1, 8)):
            bad[source.randrange(len(bad))] = source.randrange(256)
        with self.connect(grpc=True) as client:
            client.sendall((PREFACE if source.random() < 0.9 else source.randbytes(24)) + bad)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    def flood(self, first: bytes, each: Callable[[int], bytes]) -> None:
        with self.connect(grpc=True) as client:
            client.sendall(PREFACE + frame(4, 0, 0) + first)
            for i in range(0, FLOOD, 100):
                client.sendall(b"".join(each(i + k) for k in range(100)))
            while client.recv(65536):  # the server must end it
                pass

    def continuation_flood(self, source: random.Random) -> None:
        self.flood(frame(1, 0, 1, CALL), lambda i: frame(9, 0, 1, literal(b"x-%d" % i, b"y")))

    def reset_flood(self, source: random.Random) -> None:
        self.flood(b"", lambda i: frame(1, 4, 2 * i + 1, CALL) + frame(3, 0, 2 * i + 1, b"\0\0\0\x08"))

    def replaced_folder(self, source: random.Random) -> None:
        """The loaded version's folder goes away and an equal one comes in its place; a newer version comes and is loaded."""
        home = self.repository / "m"
        fresh, old = self.folder / "fresh", self.folder / "old"
        for path in (fresh, old):
            shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.options.model, fresh)
        (home / "1").rename(old)
        fresh.rename(home / "1")
        shutil.rmtree(old)
        for body in ({"version": 1}, {}):
            status, answer = self.server.ask("POST", "/v2/repository/models/m/load", body)
            if status != 200:
                self.fault(f"a load was answered with {status}: {answer}")
        self.ends.wait(0.2)

    def repeat(self, what: Callable[[random.Random], None], seed: int) -> None:
        source = random.Random(seed)
        name = what.__name__.replace("_", " ")
        while not self.ends.is_set():
            try:
                what(source)
                self.count(name)
            except (ConnectionError, EOFError):  # also: while the server is started again
                self.count(name)
                self.ends.wait(0.02)
            except TimeoutError:
                self.fault(f"{name}: ten seconds without a word")
            except Exception as error:  # a thread's fault must not get lost
                self.fault(f"{name}: {error!r}")
                self.ends.wait(1)

    def watch(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.server.runs:
                raise RuntimeError(f"the server has ended with {self.server.process.returncode}: {self.server.said[-2000:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        self.server.stop(signal.SIGKILL)
        self.server = self.start(self.server.port, self.server.grpc_port)
        self.count("kill -9")

    def settled(self) -> tuple[float, int]:
        return self.server.memory_mb()["VmRSS"], self.server.descriptors()

    def run(self) -> dict:
        seconds, kills = 60 * self.options.minutes, self.options.kills
        for protocol in ("rest", "grpc"):
            self.loads[protocol] = Load(self.options.load, protocol, self.server, "m", self.texts, "--verify", "--seconds",
                                        10**6, "--connections", CONNECTIONS)
            self.loads[protocol].wait_until_learnt()
        clients = (self.killed_client, self.half_closed_client, self.slow_client, self.idle_clients, self.damaged_frames,
                   self.continuation_flood, self.reset_flood)
        threads = [threading.Thread(target=self.repeat, args=(what, i)) for i, what in enumerate(clients)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(kills):
                self.watch(seconds / 2 / kills)
                self.kill()
            replacing = threading.Thread(target=self.repeat, args=(self.replaced_folder, 99))
            replacing.start()
            threads.append(replacing)
            self.watch(seconds / 2)
        finally:
            self.ends.set()
            for thread in threads:
                thread.join()
            for client in self.idle:
                client.close()
            reports = {protocol: load.result(stop=True) for protocol, load in self.loads.items()}
        return self.judge(reports)

    def judge(self, reports: dict[str, dict]) -> dict:
        server, growth = self.server, self.options.growth_mb
        quiet = Server(self.options.program, "--model-repository", self.repository)

        def resident(which: Server) -> float:
            return which.memory_mb()["VmRSS"]
        try:
            until(lambda: server.descriptors() <= quiet.descriptors() + 2, "descriptors come back")
        except TimeoutError:
            self.fault(f"{server.descriptors()} descriptors are open without clients, {quiet.descriptors()} in a new server")
        try:
            until(lambda: growth is None or resident(server) <= resident(quiet) + growth, "memory comes back")
        except TimeoutError:
            self.fault(f"{resident(server):.1f} MB are resident without clients, {resident(quiet):.1f} MB in a new server")
        memory, new, descriptors = server.memory_mb(), resident(quiet), server.descriptors()
        quiet.stop()
        for protocol, report in reports.items():
            good = "0" if protocol == "grpc" else "200"
            starting = "14" if protocol == "grpc" else "503"  # the model is being loaded after a kill
            others = {status: n for status, n in report["status"].items() if status not in (good, starting)}
            if report["wrong"]:
                self.fault(f"{report['wrong']} wrong answers over {protocol}")
            if others:
                self.fault(f"answers over {protocol} by status: {others}")
            if report["status"].get(starting) and not self.options.kills:
                self.fault(f"{report['status'][starting]} answers over {protocol} say that the model is not there")
            if report["lost"] > LOST_A_KILL * self.options.kills:
                self.fault(f"{report['lost']} requests over {protocol} were lost, at most {LOST_A_KILL} a kill are due; "
                           f"{self.loads[protocol].said[-500:]}")
        code = server.stop()
        if code != 0:
            self.fault(f"SIGTERM ended the server with {code}: {server.said[-2000:]}")
        if "Sanitizer" in server.said:
            self.fault(server.said[-4000:])
        return {"good": not self.faults, "faults": self.faults[:20], "clients": dict(self.counts), "rss_mb": [new, memory["VmRSS"]],
                "peak_mb": memory["VmHWM"], "descriptors": descriptors, "loads": reports}


def soak(options: argparse.Namespace) -> dict:
    with tempfile.TemporaryDirectory(prefix="soak") as folder:
        made = Soak(options, Path(folder))
        try:
            return made.run()
        finally:
            made.server.stop(signal.SIGKILL)
            for load in made.loads.values():
                load.process.kill()


def show(result: dict) -> None:
    keys = ("requests", "ok", "wrong", "lost", "reconnects", "ok_per_s")
    print_table([("load", *keys, "p99 ms")] + [(name, *(r[k] for k in keys), r["latency_ms"]["p99"])
                                               for name, r in result["loads"].items()])
    print_table([("clients", "times"), *sorted(result["clients"].items())])
    new, after = result["rss_mb"]
    print(f"resident {after:.1f} MB when all clients have left, {new:.1f} MB in a new server, peak {result['peak_mb']:.1f} MB; "
          f"{result['descriptors']} descriptors at the end")
    for fault in result["faults"]:
        print(f"fault: {fault}")
    print("good" if result["good"] else "BAD")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--idle", type=int, default=10000, help="idle connections (10000), as far as descriptors allow")
    parser.add_argument("--kills", type=int, default=3, help="kill -9 and start again, so often (3)")
    parser.add_argument("--growth-mb", type=float, default=64, help="as much more memory than a new server may stay resident (64)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = max(0, hard - 600)
    if options.idle > most:
        print(f"soak: {most} idle connections instead of {options.idle}: the limit of open files is {hard}", file=sys.stderr)
        options.idle = most
    result = soak(options)
    report(options, result, show)
    return 0 if result["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
