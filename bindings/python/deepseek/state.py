"""Where a training run is, and what callbacks may ask of it."""
from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .training_args import TrainingArguments


@dataclass
class TrainerState:
    """epoch: those done, with the part of the present one. log_history: every log, with its step. best_metric: of the
    evaluations so far, where metric_for_best_model names one.
    """

    epoch: float = 0.0
    global_step: int = 0
    max_steps: int = 0
    num_train_epochs: int = 0
    logging_steps: float = 500
    eval_steps: float = 500
    save_steps: float = 500
    num_input_tokens_seen: int = 0
    log_history: list[dict[str, Any]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True

    def compute_steps(self, args: TrainingArguments) -> None:
        """Brings shares of the run to steps."""
        for kind in ("logging", "eval", "save"):
            steps = getattr(args, f"{kind}_steps")
            if steps is not None:
                setattr(self, f"{kind}_steps", math.ceil(self.max_steps * steps) if steps < 1 else int(steps))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def save_to_json(self, path: str) -> None:
        Path(path).write_text(json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load_from_json(cls, path: str) -> "TrainerState":
        return cls(**json.loads(Path(path).read_text(encoding="utf-8")))


@dataclass
class TrainerControl:
    """Switches that callbacks may set. The trainer clears the last three when it has done what they ask, and
    should_epoch_stop at the next epoch.
    """

    should_training_stop: bool = False
    should_epoch_stop: bool = False
    should_save: bool = False
    should_evaluate: bool = False
    should_log: bool = False
