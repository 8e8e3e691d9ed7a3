#!/usr/bin/env python3
"""What the server makes of the engine: its throughput as a share of `deepseek bench`, what batching brings, what a request costs
beside the model.

  throughput.py --model DIR --texts dev.tsv [--batch-texts banking77.csv] [--rounds 3] [--seconds 8] [--json]

In turn, every round, with the engine's threads and the load generator on the same cores:
  engine      arrival_per_s of `deepseek bench`: texts in the order of the file, 32 at a time, tokenising included
  64 conn.    one text a request, closed loop, over REST (Open Inference Protocol), /v1/embeddings and gRPC
  batching    64 connections over gRPC, against the same with --max-batch-tokens 1, which runs one text at a time; and what a
              text costs in the engine alone either way, from /metrics
  one conn.   mean time of a request, less the engine's mean time of its batch
  health      wrk on /v2/health/live, keep-alive
"""
import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import urllib.request
from collections import Counter

from measuring import (Load, Server, add_arguments, add_round_arguments, precision_options, print_table, read_round_arguments,
                       report)


def metrics(server: Server) -> Counter[str]:
    """Each metric's sum over its labels."""
    found: Counter[str] = Counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        for name, value in re.findall(r"^(deepseek_\w+)(?:\{.*\})? (\S+)$", answer.read().decode(), re.M):
            found[name] += float(value)
    return found


class Throughput:
    def __init__(self, o: argparse.Namespace) -> None:
        self.o = o
        self.how = precision_options(o)
        self.figures: dict[str, list[float]] = {}

    def note(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def start(self, *options: object) -> Server:
        return Server(self.o.program, "--model", f"m={self.o.model}", "--threads", self.o.threads, *self.how, *options)

    def load(self, server: Server, protocol: str, texts, *options: object) -> dict:
        return Load(self.o.load, protocol, server, "m", texts, "--seconds", self.o.seconds, *options).result()

    def engine(self) -> None:
        out = subprocess.run([self.o.program, "bench", self.o.model, "--texts", self.o.texts, "--threads", str(self.o.threads),
                              *self.how, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        self.note("engine", json.loads(out)["arrival_per_s"])

    def many(self, server: Server) -> None:
        for protocol in ("rest", "openai", "grpc"):
            got = self.load(server, protocol, self.o.texts)
            self.note(protocol, got["ok_per_s"])
            self.note(f"{protocol} p99", got["latency_ms"]["p99"])

    def one(self, server: Server) -> None:
        for protocol in ("rest", "openai", "grpc"):
            before = metrics(server)
            got = self.load(server, protocol, self.o.texts, "--connections", 1)
            after = metrics(server)
            engine_s = ((after["deepseek_compute_seconds_sum"] - before["deepseek_compute_seconds_sum"]) /
                        (after["deepseek_compute_seconds_count"] - before["deepseek_compute_seconds_count"]))
            self.note(f"{protocol} over the engine, us", 1e3 * got["latency_ms"]["mean"] - 1e6 * engine_s)
            self.note(f"{protocol} one p50, ms", got["latency_ms"]["p50"])

    def batching(self, name: str, *options: object) -> None:
        server = self.start(*options)
        self.load(server, "grpc", self.o.batch_texts)  # warm-up
        before = metrics(server)
        got = self.load(server, "grpc", self.o.batch_texts)
        after = metrics(server)
        server.stop()
        spent = {key: after[f"deepseek_{key}_sum"] - before[f"deepseek_{key}_sum"] for key in ("compute_seconds", "batch_texts")}
        self.note(name, got["ok_per_s"])
        self.note(f"{name} p99", got["latency_ms"]["p99"])
        self.note(f"{name} engine", spent["batch_texts"] / spent["compute_seconds"])

    def health(self, server: Server) -> None:
        if not shutil.which("wrk"):
            print("skipped: health, which needs wrk", file=sys.stderr)
            return
        out = subprocess.run(["wrk", "-t1", "-c64", f"-d{self.o.seconds:g}", f"http://127.0.0.1:{server.port}/v2/health/live"],
                             stdout=subprocess.PIPE, check=True).stdout.decode()
        self.note("health", float(re.search(r"Requests/sec:\s+(\S+)", out)[1]))

    def run(self) -> dict[str, float]:
        for _ in range(self.o.rounds):
            self.engine()
            server = self.start()
            self.load(server, "grpc", self.o.texts)  # warm-up
            self.many(server)
            self.one(server)
            self.health(server)
            server.stop()
            self.batching("batched")
            self.batching("one by one", "--max-batch-tokens", 1)
        return {name: statistics.median(values) for name, values in self.figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--batch-texts", help="texts to measure batching with (those of --texts)")
    add_round_arguments(parser)
    o = read_round_arguments(parser)
    o.batch_texts = o.batch_texts or o.texts
    report(o, Throughput(o).run(), show)


def show(m: dict[str, float]) -> None:
    print_table([("64 connections", "ok/s", "of the engine's", "p99 ms"), ("engine", m["engine"], 1.0, "")] +
                [(p, m[p], f"{m[p] / m['engine']:.2f}", m[f"{p} p99"]) for p in ("rest", "openai", "grpc")])
    print()
    print_table([("batching", "ok/s", "p99 ms", "engine alone, texts/s")] +
                [(n, m[n], m[f"{n} p99"], m[f"{n} engine"]) for n in ("one by one", "batched")])
    print(f"  {m['batched'] / m['one by one']:.2f} times; the engine alone "
          f"{m['batched engine'] / m['one by one engine']:.2f} times\n")
    print_table([("one connection", "p50 ms", "over the engine, us (means)")] +
                [(p, f"{m[f'{p} one p50, ms']:.3f}", m[f"{p} over the engine, us"]) for p in ("rest", "openai", "grpc")])
    if "health" in m:
        print(f"\nhealth: {m['health']:.0f}/s")


if __name__ == "__main__":
    main()
