#!/usr/bin/env python3
"""Twice as much as the server can do: what happens to what it accepts, to what it refuses, to its memory, and afterwards.

  overload.py [--seconds 300] [--measure 20] [--max-queue N] [--memory-limit SIZE] [--model DIR] [--texts FILE]
              [--protocol rest|openai|grpc] [--json]

Capacity is measured in a closed loop of 64 connections, or as many as the queue takes texts; then requests arrive in an open loop
at 80 % of it, at 200 % for --seconds, and at 80 % again.  There are more connections than the queue takes texts, so that the server
has to refuse.  Latency counts from when a request was due.  In the moment in which the overload ends, the second 80 % begins, and a client on its own asks
one text after the other: back to normal is when ten in a row took no longer than the first 80 %'s p99.
"""
import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from measuring import WAIT_S, Load, Server, add_arguments, print_table, report, write_texts

QUEUE = 4096  # the server's default
SPARE_CONNECTIONS, FEW_CONNECTIONS = 512, 256
IN_A_ROW = 10


class Memory(threading.Thread):
    """The most resident memory that was seen while it ran."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.most_mb, self.ends = server, 0.0, threading.Event()

    def run(self) -> None:
        while not self.ends.wait(0.2):
            self.most_mb = max(self.most_mb, self.server.memory_mb()["VmRSS"])

    def stop(self) -> float:
        self.ends.set()
        self.join()
        return self.most_mb


def ms_until_normal(server: Server, model: str, p99_ms: float) -> float:
    """From now on, in ms; the time of the first of ten good answers that were quick enough."""
    begin = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
    body = json.dumps({"model": model, "input": "Where is my card?"})
    row, first = 0, begin
    while row < IN_A_ROW:
        sent = time.monotonic()
        if sent - begin > WAIT_S:
            raise TimeoutError(f"not back to normal within {WAIT_S} s")
        connection.request("POST", "/v1/embeddings", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        good = answer.status == 200 and 1000 * (time.monotonic() - sent) <= p99_ms
        first = first if row else sent
        row = row + 1 if good else 0
        time.sleep(0.005)
    connection.close()
    return 1000 * (first - begin)


def measure(options: argparse.Namespace, folder: Path) -> dict:
    texts = options.texts or write_texts(folder / "texts.txt")
    more = [*(("--max-queue", options.max_queue) if options.max_queue else ()),
            *(("--memory-limit", options.memory_limit) if options.memory_limit else ())]
    connections = (options.max_queue or QUEUE) + SPARE_CONNECTIONS
    server = Server(options.program, "--model", f"m={options.model}", *more)

    def load(*how: object) -> Load:
        return Load(options.load, options.protocol, server, "m", texts, *how)

    def at(share: float, seconds: float) -> Load:
        return load("--rate", max(share * capacity["ok_per_s"], 1), "--seconds", seconds, "--connections",
                    connections if share > 1 else FEW_CONNECTIONS)
    try:
        # With more connections than the queue takes texts, refused ones would ask again at once, and that is what is measured.
        capacity = load("--seconds", options.measure, "--connections", min(64, options.max_queue or 64)).result()
        before = at(0.8, options.measure).result()
        memory = Memory(server)
        memory.start()
        overload = at(2, 10**6)
        time.sleep(options.seconds)
        overload.process.terminate()
        after = at(0.8, options.measure)
        normal = ms_until_normal(server, "m", before["latency_ms"]["p99"])
        during = overload.result()
        after = after.result()
        rss, hwm = memory.stop(), server.memory_mb()["VmHWM"]
        code = server.stop()
    finally:
        server.stop()
    return {"capacity": capacity, "before": before, "during": during, "after": after, "ms_until_normal": normal,
            "rss_most_mb": rss, "hwm_mb": hwm, "memory_limit": options.memory_limit, "exit_code": code}


def show(result: dict) -> None:
    names = {"capacity": "closed loop", "before": "80 %", "during": "200 %", "after": "80 % again"}
    rows = [("load", "requests", "ok/s", "p50 ms", "p99 ms", "refused", "refused p50 ms", "p99 ms", "unsent")]
    for key, name in names.items():
        r = result[key]
        rows.append((name, r["requests"], r["ok_per_s"], r["latency_ms"]["p50"], r["latency_ms"]["p99"], r["requests"] - r["ok"],
                     r["refused_ms"]["p50"], r["refused_ms"]["p99"], r["unsent"]))
    print_table(rows)
    ratio = result["during"]["latency_ms"]["p99"] / max(result["before"]["latency_ms"]["p99"], 1e-9)
    print(f"p99 of what is accepted: {ratio:.1f} times that at 80 %; back to normal after {result['ms_until_normal']:.0f} ms")
    print(f"resident {result['rss_most_mb']:.1f} MB at most, peak {result['hwm_mb']:.1f} MB, limit {result['memory_limit'] or 'none'}; "
          f"exit code {result['exit_code']}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=300, help="of the overload (300)")
    parser.add_argument("--measure", type=float, default=20, help="seconds of each other load (20)")
    parser.add_argument("--protocol", choices=("rest", "openai", "grpc"), default="rest")
    parser.add_argument("--max-queue", type=int, help=f"the server's option ({QUEUE})")
    parser.add_argument("--memory-limit", help="the server's option (none)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overload") as folder:
        result = measure(options, Path(folder))
    report(options, result, show)
    wrong_end = result["exit_code"] != 0 or not result["during"]["ok"]
    return 1 if wrong_end else 0


if __name__ == "__main__":
    sys.exit(main())
