"""Figures of predictions, for compute_metrics."""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidArgumentError

BINS = 15


def expected_calibration_error(scores: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """How far the best label's score is from how often it is right, 0 to 1, over 15 bins of scores of equal width
    (Naeini et al. 2015), as `deepseek eval` has it. scores: [texts, labels] of a softmax; labels: [texts].

    Raises InvalidArgumentError where the shapes disagree or scores are not from 0 to 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not len(labels):
        raise InvalidArgumentError(f"scores have the shape {scores.shape} and labels {labels.shape}, expected "
                                   "[texts, labels] and [texts], at least one text")
    if not (scores.min() >= 0 and scores.max() <= 1):
        raise InvalidArgumentError(f"scores go from {scores.min()} to {scores.max()}, expected 0 to 1: softmax of logits")
    confidence = scores.max(axis=1).astype(np.float64)
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(int)
    gaps = np.bincount(bins, right, BINS) - np.bincount(bins, confidence, BINS)
    return float(np.abs(gaps).sum() / len(labels))
