"""What the tests share. They run against the installed wheel: tools/test-python."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[3]
MODELS = ROOT / "tests" / "data" / "models"
WORDS = ["card", "rate", "fee", "refund", "account"]
TYPES = {"F32": np.float32, "I32": np.int32}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + size])
    header.pop("__metadata__", None)
    return {name: np.frombuffer(content[8 + size:], TYPES[about["dtype"]], int(np.prod(about["shape"])),
                                about["data_offsets"][0]).reshape(about["shape"]) for name, about in header.items()}


def texts_of(model: str) -> list[str]:
    return (MODELS / model / "texts.txt").read_text(encoding="utf-8").split("\n")[:-1]


def rows(count: int, labels: int = 5) -> list[dict[str, Any]]:
    """Texts whose label is told by one word."""
    return [{"text": f"the {WORDS[i % 5]} {i} my", "label": i % labels} for i in range(count)]


@pytest.fixture
def quiet() -> Any:
    """New heads are drawn in most training tests; the warning has a test of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python code, or a file, in a process of its own."""

    def run(script: str | Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["-c", script] if isinstance(script, str) else [str(script)]
        return subprocess.run([sys.executable, *command, *arguments], cwd=tmp_path, capture_output=True, text=True,
                              env={**os.environ, **environment}, timeout=300)

    return run
