"""The losses of models that are only computed with, in numpy: means over a batch, as transformers has them."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidArgumentError

NO_LABEL = -100  # a token that takes no part


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    shifted: NDArray[np.float64] = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    total: NDArray[np.float64] = np.exp(shifted).sum(axis=-1, keepdims=True)
    return np.subtract(shifted, np.log(total))


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    return np.exp(log_softmax(logits)).astype(np.float32)


def sigmoid(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    return (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> np.float32:
    """logits: [rows, labels]; labels: [rows], NO_LABEL is left out."""
    rows = np.flatnonzero(labels != NO_LABEL)
    expected = labels[rows]
    if len(rows) and not 0 <= expected.min() <= expected.max() < logits.shape[-1]:
        raise InvalidArgumentError(f"labels go from {expected.min()} to {expected.max()}, expected 0 to "
                                   f"{logits.shape[-1] - 1}")
    return np.float32(-log_softmax(logits[rows])[np.arange(len(rows)), expected].mean())


def binary_cross_entropy(logits: NDArray[np.floating], targets: NDArray[np.floating]) -> np.float32:
    x = logits.astype(np.float64)
    return np.float32((np.maximum(x, 0) - x * targets + np.log1p(np.exp(-np.abs(x)))).mean())


def squared_error(values: NDArray[np.floating], targets: NDArray[np.floating]) -> np.float32:
    return np.float32(((values.astype(np.float64) - targets) ** 2).mean())
