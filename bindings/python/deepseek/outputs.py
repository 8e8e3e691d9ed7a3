"""What models and the trainer return: fields that can be read as attributes, by name, or by position."""
from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Iterator, NamedTuple

import numpy as np
from numpy.typing import NDArray


class ModelOutput:
    """output.logits, output["logits"], output[0]; fields that are None are left out of the last two."""

    def keys(self) -> list[str]:
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]  # type: ignore[arg-type]

    def to_tuple(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __contains__(self, key: object) -> bool:
        return key in self.keys()


@dataclass
class BaseModelOutput(ModelOutput):
    """last_hidden_state: [texts, length, hidden_size], zeros where there is padding."""

    last_hidden_state: NDArray[np.float32] | None = None


@dataclass
class SequenceClassifierOutput(ModelOutput):
    """loss: the mean, with labels only. logits: [texts, labels]."""

    loss: np.float32 | None = None
    logits: NDArray[np.float32] | None = None


@dataclass
class TokenClassifierOutput(ModelOutput):
    """loss: the mean over the tokens that have a label, with labels only. logits: [texts, length, labels]."""

    loss: np.float32 | None = None
    logits: NDArray[np.float32] | None = None


class TrainOutput(NamedTuple):
    global_step: int
    training_loss: float
    metrics: dict[str, float]


class PredictionOutput(NamedTuple):
    predictions: NDArray[Any]
    label_ids: NDArray[Any] | None
    metrics: dict[str, float] | None


class EvalPrediction(NamedTuple):
    """What compute_metrics gets."""

    predictions: NDArray[Any]
    label_ids: NDArray[Any] | None
