"""Data collators that scripts name. Trainer needs none: it packs examples without padding."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .batch_encoding import BatchEncoding
from .tokenizer import PreTrainedTokenizer


@dataclass
class DataCollatorWithPadding:
    """Pads examples to one length and stacks them; "label" becomes "labels"."""

    tokenizer: PreTrainedTokenizer
    padding: bool | str = True
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    return_tensors: str = "np"

    def __call__(self, features: list[dict[str, Any]]) -> BatchEncoding:
        names = [name for name in features[0] if name not in ("label", "labels", "label_ids")]
        batch = self.tokenizer.pad([{name: feature[name] for name in names} for feature in features], self.padding,
                                   self.max_length, self.pad_to_multiple_of, self.return_tensors)
        for name in ("label", "labels", "label_ids"):
            if name in features[0]:
                batch["labels"] = np.array([feature[name] for feature in features])
        return batch
