#!/usr/bin/env python3
"""This server beside what people build today, in turn, on the same cores: throughput, latency, memory.

  compare_servers.py --model DIR --texts dev.tsv --python VENV/bin/python [--fastapi-ort serve_ort.py] [--mlserver VENV/bin/mlserver]
                     [--infinity VENV/bin/infinity_emb] [--quantization int8] [--rounds 3] [--seconds 8] [--json]

Peers that are given are measured: ONNX Runtime behind FastAPI (a file that uvicorn serves), ONNX Runtime behind MLServer with
its adaptive batching, Infinity with PyTorch (float32 only).  DIR also holds model.onnx, and model.int8.onnx for int8.

Every round starts each server anew and measures, after a warm-up: 64 connections, closed loop; one connection.  Then each peer
and this server get the same open loop: 80 % of what that peer reached.  Medians over the rounds; memory is the largest
resident set of the process and its children.  README.md has what the columns mean.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from measuring import (Load, Server, add_arguments, add_round_arguments, precision_options, print_table, read_round_arguments,
                       report, until)

HERE = Path(__file__).resolve().parent


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def peak_mb(pid: int) -> float:
    """VmHWM of a process and of all that descend from it."""
    total = 0.0
    pending = [pid]
    while pending:
        process = pending.pop()
        try:
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
            total += int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
            pending += map(int, Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split())
        except (FileNotFoundError, TypeError):
            continue
    return total


class Peer:
    """Another project's server as a process group of its own; has what Load asks of a server."""

    def __init__(self, command: list, ready: str, folder: Path, port: int, **environment: str) -> None:
        self.port = self.grpc_port = port
        self.log = tempfile.NamedTemporaryFile(prefix="peer", suffix=".log")
        self.process = subprocess.Popen([str(c) for c in command], cwd=folder, env={**os.environ, **environment},
                                        stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True)
        until(lambda: self.answers(ready), f"{command[0]} answers")

    def answers(self, path: str) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"it has ended: {Path(self.log.name).read_text(encoding='utf-8', errors='replace')[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def stop(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start_fastapi(o: argparse.Namespace, folder: Path) -> Peer:
    port = free_port()
    shutil.copy(o.fastapi_ort, folder / "serve_ort.py")
    return Peer([o.python, "-m", "uvicorn", "serve_ort:app", "--port", port, "--log-level", "warning"], "/openapi.json", folder,
                port, MODEL=str(o.model.resolve()), PRECISION=o.quantization or "f32", THREADS=str(o.threads))


def start_mlserver(o: argparse.Namespace, folder: Path) -> Peer:
    port = free_port()
    (folder / "settings.json").write_text(json.dumps(
        {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port(), "parallel_workers": 0, "debug": False}))
    (folder / "model-settings.json").write_text(json.dumps(
        {"name": "m", "implementation": "mlserver_ort.Embedder", "max_batch_size": 32, "max_batch_time": 0.005}))
    shutil.copy(HERE / "mlserver_ort.py", folder)
    return Peer([o.mlserver, "start", folder], "/v2/health/ready", folder, port, MODEL=str(o.model.resolve()),
                PRECISION=o.quantization or "f32", THREADS=str(o.threads), PYTHONPATH=str(folder))


def start_infinity(o: argparse.Namespace, folder: Path) -> Peer:
    port = free_port()
    return Peer([o.infinity, "v2", "--model-id", o.model.resolve(), "--served-model-name", "m", "--engine", "torch", "--device",
                 "cpu", "--port", port, "--url-prefix", "/v1", "--log-level", "error"], "/v1/models", folder, port,
                HF_HUB_OFFLINE="1", DO_NOT_TRACK="1", OMP_NUM_THREADS=str(o.threads))


def start_ours(o: argparse.Namespace, _: Path) -> Server:
    return Server(o.program, "--model", f"m={o.model}", "--threads", o.threads, "--max-seq-len", 256, *precision_options(o))


# Name, who starts it, its protocol, the option that must be given, whether it has int8.
SERVERS = [("FastAPI, ONNX Runtime", start_fastapi, "openai", "fastapi_ort", True),
           ("MLServer, ONNX Runtime", start_mlserver, "rest", "mlserver", True),
           ("Infinity, PyTorch", start_infinity, "openai", "infinity", False)]
OURS = [("deepseek, /v1/embeddings", start_ours, "openai", "program", True), ("deepseek, gRPC", start_ours, "grpc", "program", True)]


class Measuring:
    def __init__(self, o: argparse.Namespace) -> None:
        self.o = o
        self.figures: dict[str, dict[str, list[float]]] = {}

    def load(self, server, protocol: str, *options: object) -> dict:
        return Load(self.o.load, protocol, server, "m", self.o.texts, *options).result()

    def note(self, name: str, **figures: float) -> None:
        for key, value in figures.items():
            self.figures.setdefault(name, {}).setdefault(key, []).append(value)

    def with_server(self, entry: tuple, measure) -> None:
        with tempfile.TemporaryDirectory() as folder:
            server = entry[1](self.o, Path(folder))
            try:
                self.load(server, entry[2], "--seconds", 3)  # warm-up
                measure(server)
            finally:
                server.stop()

    def closed(self, entry: tuple) -> None:
        def measure(server) -> None:
            many = self.load(server, entry[2], "--seconds", self.o.seconds)
            one = self.load(server, entry[2], "--seconds", self.o.seconds / 2, "--connections", 1)
            self.note(entry[0], ok_per_s=many["ok_per_s"], p50=many["latency_ms"]["p50"], p99=many["latency_ms"]["p99"],
                      one_p50=one["latency_ms"]["p50"], one_p99=one["latency_ms"]["p99"], peak_mb=peak_mb(server.process.pid),
                      failed=many["requests"] - many["ok"])
        self.with_server(entry, measure)

    def open(self, entry: tuple, rate: float, of: str) -> None:
        def measure(server) -> None:
            got = self.load(server, entry[2], "--seconds", 2 * self.o.seconds, "--rate", round(rate, 2), "--connections", 256)
            self.note(entry[0], **{f"p50 at {of}": got["latency_ms"]["p50"], f"p99 at {of}": got["latency_ms"]["p99"]})
        self.with_server(entry, measure)

    def run(self) -> dict[str, dict[str, float]]:
        peers = [s for s in SERVERS if getattr(self.o, s[3]) and (s[4] or not self.o.quantization)]
        for _ in range(self.o.rounds):
            for entry in peers + OURS:
                self.closed(entry)
        rates = {name: 0.8 * statistics.median(self.figures[name]["ok_per_s"]) for name, *_ in peers}
        for _ in range(self.o.rounds):
            for peer in peers:
                of = f"{rates[peer[0]]:.0f}/s"
                self.open(peer, rates[peer[0]], of)
                self.open((*OURS[0][:2], "openai"), rates[peer[0]], of)
        return {name: {key: statistics.median(values) for key, values in figures.items()}
                for name, figures in self.figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--python", default="python3", help="an interpreter with onnxruntime, tokenizers, fastapi and uvicorn")
    parser.add_argument("--fastapi-ort", type=Path, help="serve_ort.py")
    parser.add_argument("--mlserver", help="the program, with onnxruntime and tokenizers beside it")
    parser.add_argument("--infinity", help="infinity_emb")
    add_round_arguments(parser)
    o = read_round_arguments(parser)
    report(o, Measuring(o).run(), show)


def show(medians: dict[str, dict[str, float]]) -> None:
    print_table([("", "ok/s", "p50 ms", "p99 ms", "one: p50", "p99", "peak MB", "failed")] +
                [(name, *(m[k] for k in ("ok_per_s", "p50", "p99", "one_p50", "one_p99", "peak_mb", "failed")))
                 for name, m in medians.items()])
    print("\nOpen loop, 80 % of what each peer reached, p50 and p99 in ms:")
    for name, m in medians.items():
        for key in m:
            if key.startswith("p99 at "):
                print(f"  {key[7:]:>8}  {name:<26}{m['p50' + key[3:]]:10.1f}{m[key]:10.1f}")


if __name__ == "__main__":
    main()
