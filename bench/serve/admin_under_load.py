#!/usr/bin/env python3
"""Load, unload, labels and rollback while clients ask: no request may fail.

  admin_under_load.py [--cycles 20] [--before 10] [--model DIR] [--texts FILE] [--json]

Three loads in a closed loop with --verify: REST and gRPC on the current version, REST on the label `stable`.  They run for
--before seconds alone, then beside the cycles.  A cycle loads and unloads a second model and loads a new version of the
one that is asked, moves `canary` and `stable` to it, rolls back twice, moves `stable` back and loads the first version again.
All versions hold the same model, so every answer must have the bits of its text alone, whichever version it came from.

The verdict is good if every request of every load was answered well and every call of administration had its 200.
"""
import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from measuring import Load, Server, add_arguments, print_table, report, until, write_texts

LOADS = (("rest", "m"), ("grpc", "m"), ("rest", "m/versions/stable"))
CONNECTIONS = 16


class Administration:
    """The cycles; counts what is not answered with 200."""

    def __init__(self, server: Server, models: Path, model: Path) -> None:
        self.server, self.models, self.model = server, models, model
        self.calls = 0
        self.refused: list[str] = []
        self.seconds: dict[str, list[float]] = {}

    def call(self, method: str, path: str, body: object = None) -> None:
        begin = time.monotonic()
        status, answer = self.server.ask(method, f"/v2/repository/models/{path}", body)
        self.calls += 1
        self.seconds.setdefault(path.split("/")[1], []).append(time.monotonic() - begin)
        if status != 200:
            self.refused.append(f"{method} {path} {body}: {status} {answer}")

    def cycle(self, number: int) -> None:
        version = number + 2
        shutil.copytree(self.model, self.models / "m" / str(version))
        self.call("POST", "other/load")
        self.call("POST", "m/load")
        self.call("PUT", "m/labels/canary", {"version": version})
        self.call("PUT", "m/labels/stable", {"version": version})
        self.call("POST", "m/rollback")
        self.call("POST", "m/rollback")
        self.call("POST", "other/unload")
        self.call("POST", "m/load", {"version": 1})
        self.call("PUT", "m/labels/stable", {"version": 1})
        self.call("DELETE", "m/labels/canary")
        shutil.rmtree(self.models / "m" / str(version))


def start_loads(options: argparse.Namespace, server: Server, texts: Path) -> list[Load]:
    loads = []
    for protocol, model in LOADS:
        loads.append(Load(options.load, protocol, server, model, texts, "--verify", "--seconds", 10**6, "--connections",
                          CONNECTIONS))
        loads[-1].wait_until_learnt()
    return loads


def measure(options: argparse.Namespace, folder: Path) -> dict:
    models = folder / "models"
    for name in ("m", "other"):
        shutil.copytree(options.model, models / name / "1")
    texts = options.texts or write_texts(folder / "texts.txt")
    server = Server(options.program, "--model-repository", models)
    try:
        administration = Administration(server, models, options.model)
        administration.call("PUT", "m/labels/stable", {"version": 1})
        administration.call("POST", "other/unload")
        loads = start_loads(options, server, texts)
        time.sleep(options.before)
        before = [load.result(stop=True) for load in loads]
        loads = start_loads(options, server, texts)
        for number in range(options.cycles):
            administration.cycle(number)
        during = [load.result(stop=True) for load in loads]
        until(lambda: server.ask("GET", "/v2/health/ready")[0] == 200, "the server is ready")
        memory, code = server.memory_mb(), server.stop()
    finally:
        server.stop()
    failed = sum(r["requests"] - r["ok"] + r["wrong"] for r in before + during)
    return {"good": failed == 0 and not administration.refused and code == 0, "failed": failed, "calls": administration.calls,
            "refused": administration.refused, "exit_code": code, "memory_mb": memory, "before": before, "during": during,
            "slowest_call_s": {name: max(times) for name, times in administration.seconds.items()}}


def show(result: dict) -> None:
    rows = [("load", "requests", "failed", "wrong", "p99 ms before", "p99 ms during", "ratio")]
    for (protocol, model), before, during in zip(LOADS, result["before"], result["during"]):
        first, second = before["latency_ms"]["p99"], during["latency_ms"]["p99"]
        rows.append((f"{protocol} {model}", before["requests"] + during["requests"],
                     before["requests"] - before["ok"] + during["requests"] - during["ok"], before["wrong"] + during["wrong"],
                     first, second, second / first if first else 0.0))
    print_table(rows)
    slowest = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result["slowest_call_s"].items())
    print(f"{result['calls']} calls of administration, {len(result['refused'])} refused; the slowest: {slowest}")
    for line in result["refused"][:10]:
        print(f"refused: {line}")
    print("good" if result["good"] else "BAD")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--before", type=float, default=10, help="seconds of load without administration (10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="admin") as folder:
        result = measure(options, Path(folder))
    report(options, result, show)
    return 0 if result["good"] else 1


if __name__ == "__main__":
    sys.exit(main())
