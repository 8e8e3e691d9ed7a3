#!/usr/bin/env python3
"""What the process really takes under --memory-limit: peak resident memory against the limit.

  memory_limit.py DEEPSEEK MODEL TEXTS [LIMIT_MB ...]

Promise: the peak (VmHWM) is at most the limit + the mapped weight files + 16 MB; a limit that is too small is refused with
both numbers. Prints a line for each limit and exits with 1 when the promise is broken.
"""
import os
import subprocess
import sys
from pathlib import Path

MB = 1024 * 1024
ALLOWANCE = 16


def run(program: str, model: str, texts: str, limit: int) -> tuple[int, float, str]:
    """Exit code, peak resident MB, and what was said on standard error."""
    with open(os.devnull, "wb") as null:
        child = subprocess.Popen([program, "embed", model, "--texts", texts, "--memory-limit", f"{limit}M"], stdout=null,
                                 stderr=subprocess.PIPE, text=True)
        said = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss / 1024, said.strip()


def main() -> int:
    if len(sys.argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    program, model, texts = sys.argv[1:4]
    weights = sum(p.stat().st_size for p in Path(model).glob("*.safetensors")) / MB
    broken = 0
    print(f"mapped weights {weights:.1f} MB; allowed: limit + weights + {ALLOWANCE} MB\n   limit     peak  allowed  result")
    for limit in map(int, sys.argv[4:] or ["20", "40", "45", "50", "60", "80", "120", "200"]):
        code, peak, said = run(program, model, texts, limit)
        allowed = limit + weights + ALLOWANCE
        broken += peak > allowed
        print(f"{limit:5d} MB {peak:5.1f} MB {allowed:5.1f} MB  {'done' if code == 0 else said}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
