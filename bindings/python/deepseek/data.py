"""From the items of a dataset to packed batches.

An item is a dict with input_ids (and attention_mask, token_type_ids) or with text (and text_pair), and label or labels.
Values may be lists, arrays or tensors of any library; an extra first dimension of 1 is dropped. What attention_mask leaves
out is dropped before anything is computed.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ._arrays import FloatArray, Int32Array, Packed, integers, to_numpy
from ._errors import InvalidArgumentError
from .losses import NO_LABEL
from .tokenizer import PreTrainedTokenizer
from .weights import TrainBatch

LABEL_KEYS = ("labels", "label", "label_ids")


@dataclass
class Example:
    """One item: its text, or two texts that are encoded apart from each other (pairs of embeddings)."""

    ids: list[Int32Array]
    type_ids: list[Int32Array | None]
    label: NDArray[Any] | None


class Reader:
    """pairs: texts of a pair are encoded apart. tokenizer: gives the tokenizer, asked when an item has text."""

    def __init__(self, tokenizer: Callable[[], PreTrainedTokenizer], pairs: bool,
                 label_keys: Sequence[str] | None = None) -> None:
        self._tokenizer = tokenizer
        self._pairs = pairs
        self._label_keys = (*(label_keys or ()), *LABEL_KEYS)

    def examples(self, items: list[Any], collate: Callable[[list[Any]], Any] | None) -> list[Example]:
        """collate: the host's data_collator; its batch is taken apart again, since padding is of no use here."""
        if collate is None:
            return [self.example(item) for item in items]
        batch = {name: to_numpy(value) for name, value in dict(collate(items)).items()}
        return [self.example({name: value[i] for name, value in batch.items()}) for i in range(len(items))]

    def example(self, item: Any) -> Example:
        if not hasattr(item, "keys"):
            raise TypeError(f"an item of the dataset is a {type(item).__name__}, expected a dict")
        label = next((to_numpy(item[key]) for key in self._label_keys if key in item.keys() and item[key] is not None),
                     None)
        if "input_ids" in item.keys():
            if self._pairs and "text_pair" in item.keys():
                raise InvalidArgumentError("pairs for embeddings need 'text' and 'text_pair', not input_ids")
            ids, types, mask = _row(item["input_ids"]), None, None
            if item.get("token_type_ids") is not None:
                types = _row(item["token_type_ids"])
            if item.get("attention_mask") is not None:
                mask = _row(item["attention_mask"]) != 0
            if mask is not None and not mask.all():
                if label is not None and label.ndim and label.shape[-1] == len(ids) == len(mask):
                    label = label.reshape(-1)[mask]
                ids, types = ids[mask], None if types is None else types[mask]
            return Example([ids], [types], label)
        if "text" not in item.keys():
            raise InvalidArgumentError(f"an item of the dataset has the keys {', '.join(map(str, item.keys()))}, expected "
                                       "input_ids or text")
        texts = [(item["text"], item.get("text_pair"))]
        if self._pairs and texts[0][1] is not None:
            texts = [(texts[0][0], None), (texts[0][1], None)]
        encoded = [self._tokenizer()(text, pair, truncation=True, return_token_type_ids=True) for text, pair in texts]
        return Example([_row(one["input_ids"]) for one in encoded], [_row(one["token_type_ids"]) for one in encoded],
                       label)


def _row(values: Any) -> Int32Array:
    array = integers(values, "a row of the dataset")
    if array.ndim == 2 and len(array) == 1:
        array = array[0]
    if array.ndim != 1:
        raise InvalidArgumentError(f"an item of the dataset has ids of the shape {array.shape}, expected [length]")
    return array


def embedding_loss(example: Example) -> str:
    """Which loss the labels of pairs ask for."""
    if example.label is None:
        return "DS_LOSS_IN_BATCH_NEGATIVES"
    return "DS_LOSS_COSINE" if example.label.size == 1 and len(example.ids) == 2 else "DS_LOSS_SQUARED_ERROR"


def to_batch(examples: list[Example], task: str, loss: str | None, labels: int) -> TrainBatch:
    """task, loss: names of the library's constants. labels: of the head. Without labels in the examples, none."""
    packed = Packed.join([ids for one in examples for ids in one.ids],
                         [types for one in examples for types in one.type_ids])
    given = [one.label for one in examples if one.label is not None]
    if not given:
        return TrainBatch(packed)
    if len(given) != len(examples):
        raise InvalidArgumentError(f"{len(examples) - len(given)} of {len(examples)} examples have no label")
    if task == "DS_TRAIN_TAGGING":
        return TrainBatch(packed, labels=_tags(examples, labels))
    if task == "DS_TRAIN_CLASSIFICATION" and loss != "DS_LOSS_SOFT_LABELS":
        return TrainBatch(packed, labels=_classes(given, labels))
    width = given[0].size if task == "DS_TRAIN_EMBEDDING" else labels
    return TrainBatch(packed, targets=_targets(given, width))


def _classes(given: list[NDArray[Any]], labels: int) -> Int32Array:
    if any(label.size != 1 for label in given):
        raise InvalidArgumentError("an example has several labels, but the model has problem_type "
                                   "'single_label_classification'")
    classes = integers(np.array([label.reshape(()) for label in given]), "labels")
    if classes.min() < 0 or classes.max() >= labels:
        raise InvalidArgumentError(f"labels go from {classes.min()} to {classes.max()}, but the model has {labels}, which "
                                   f"are 0 to {labels - 1} (num_labels of from_pretrained)")
    return classes


def _tags(examples: list[Example], labels: int) -> Int32Array:
    rows = []
    for one in examples:
        row = _row(one.label)
        if len(row) != len(one.ids[0]):
            raise InvalidArgumentError(f"an example has {len(one.ids[0])} tokens, but {len(row)} labels")
        rows.append(row)
    tags = np.concatenate(rows)
    known = tags[tags != NO_LABEL]
    if len(known) and (known.min() < 0 or known.max() >= labels):
        raise InvalidArgumentError(f"labels go from {known.min()} to {known.max()}, but the model has {labels}, which are "
                                   f"0 to {labels - 1}, and {NO_LABEL} for none")
    return tags


def _targets(given: list[NDArray[Any]], width: int) -> FloatArray:
    wrong = next((label for label in given if label.size != width), None)
    if wrong is not None:
        raise InvalidArgumentError(f"an example has {wrong.size} labels, expected {width}")
    return np.ascontiguousarray(np.stack([label.reshape(width) for label in given]), np.float32)


def label_array(examples: list[Example]) -> NDArray[Any] | None:
    """The labels of many examples as transformers hands them to compute_metrics; rows of different length are filled up
    with -100.
    """
    given = [one.label for one in examples if one.label is not None]
    if not given:
        return None
    shapes = {label.shape for label in given}
    return np.stack(given) if len(shapes) == 1 else pad_rows(given)


def pad_rows(rows: list[NDArray[Any]]) -> NDArray[Any]:
    """[length, ...] arrays as one [rows, longest, ...], filled up with -100."""
    longest = max(len(row) for row in rows)
    out = np.full((len(rows), longest, *rows[0].shape[1:]), NO_LABEL, rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, :len(row)] = row
    return out
