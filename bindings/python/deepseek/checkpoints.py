"""The checkpoints of a run: checkpoint-STEP folders side by side in its output folder."""
from __future__ import annotations

import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

NAME = re.compile(r"checkpoint-(\d+)")


def path_of(output: Path, step: int) -> Path:
    return output / f"checkpoint-{step}"


def steps_in(output: Path) -> list[int]:
    """Steps of the checkpoints there are, oldest first."""
    if not output.is_dir():
        return []
    matches = (NAME.fullmatch(path.name) for path in output.iterdir() if path.is_dir())
    return sorted(int(match[1]) for match in matches if match)


def prune(output: Path, limit: int | None, best: int | None, newest: int) -> None:
    """Removes all but the newest `limit` (None: keeps all), the best one and `newest`, which was just written."""
    if limit is None or limit <= 0:
        return
    kept = {newest, best}
    others = [step for step in steps_in(output) if step not in kept]
    for step in others[:max(0, len(others) + len(kept - {None}) - limit)]:
        shutil.rmtree(path_of(output, step), ignore_errors=True)


def random_state() -> dict[str, Any]:
    """Python's and numpy's generators, which datasets may draw from, as JSON has them."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, numbers, gauss = random.getstate()
    return {"python": [version, list(numbers), gauss],
            "numpy": [str(kind), np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)]}


def set_random_state(state: dict[str, Any]) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), position, has_gauss, cached))
