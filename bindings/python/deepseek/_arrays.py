"""Arrays from outside, and batches without padding.

Anything that numpy can view comes in: arrays, memoryviews, objects with __array__ or __dlpack__ (tensors of other
libraries, without importing them), and lists. Nothing is copied that has the right type already.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidArgumentError
from ._library import ffi

Int32Array = NDArray[np.int32]
FloatArray = NDArray[np.float32]


def to_numpy(value: Any) -> NDArray[Any]:
    """A view of the value where one is possible, else a copy."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__"):
        try:
            return np.from_dlpack(value)
        except (BufferError, RuntimeError, TypeError):
            pass  # a tensor that asks for gradients, or an older protocol: __array__ may still do
    if hasattr(value, "detach"):
        value = value.detach()
    return np.asarray(value)


def integers(value: Any, what: str) -> Int32Array:
    """Dense int32. Raises InvalidArgumentError for other kinds of numbers and for values that int32 cannot hold."""
    array = to_numpy(value)
    if array.dtype == np.int32:
        return np.ascontiguousarray(array)
    if array.size and array.dtype.kind not in "iub":
        raise InvalidArgumentError(f"{what} is {array.dtype}, expected integers")
    if array.size and (array.min() < -2**31 or array.max() >= 2**31):
        raise InvalidArgumentError(f"{what} goes from {array.min()} to {array.max()}, more than 32 bits hold")
    return np.ascontiguousarray(array, dtype=np.int32)


def pointer(array: NDArray[Any] | None, ctype: str) -> Any:
    """A C pointer into the array, which it keeps alive; NULL for None."""
    return ffi.NULL if array is None else ffi.from_buffer(f"{ctype}[]", array)


@dataclass
class Packed:
    """Token ids of several texts, one behind the other: the form that everything is computed in."""

    ids: Int32Array  # [tokens]
    seq_start: Int32Array  # [texts + 1]
    type_ids: Int32Array | None = None  # [tokens]; None: zeros

    @property
    def texts(self) -> int:
        return len(self.seq_start) - 1

    @property
    def tokens(self) -> int:
        return len(self.ids)

    @classmethod
    def join(cls, ids: list[Int32Array], type_ids: list[Int32Array | None]) -> "Packed":
        """From one array of ids a text."""
        start = np.zeros(len(ids) + 1, np.int32)
        np.cumsum([len(row) for row in ids], out=start[1:])
        if any(len(row) == 0 for row in ids):
            raise InvalidArgumentError(f"text {[len(row) for row in ids].index(0)} of the batch has no tokens")
        types = None
        if any(row is not None for row in type_ids):
            types = np.concatenate([np.zeros_like(i) if t is None else t for i, t in zip(ids, type_ids)])
        return cls(np.concatenate(ids), start, types)

    def structure(self) -> tuple[Any, list[Any]]:
        """(ds_packed_batch *, what has to stay alive with it)."""
        kept = [pointer(self.ids, "int32_t"), pointer(self.type_ids, "int32_t"), pointer(self.seq_start, "int32_t")]
        batch = ffi.new("ds_packed_batch *", {"ids": kept[0], "type_ids": kept[1], "seq_start": kept[2],
                                              "texts": self.texts})
        return batch, kept


@dataclass
class Padded:
    """A batch as transformers has it, [texts, length] with a mask, and how it is packed."""

    packed: Packed
    mask: NDArray[np.bool_]  # [texts, length]

    @classmethod
    def read(cls, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> "Padded":
        """Ids are [texts, length], or [length] for one text; without a mask every token is real."""
        ids = np.atleast_2d(integers(input_ids, "input_ids"))
        if ids.ndim != 2:
            raise InvalidArgumentError(f"input_ids has {ids.ndim} dimensions, expected [texts, length]")
        types = None if token_type_ids is None else cls._alike(integers(token_type_ids, "token_type_ids"), ids.shape,
                                                               "token_type_ids")
        if attention_mask is None:
            mask = np.ones(ids.shape, bool)
        else:
            mask = cls._alike(to_numpy(attention_mask), ids.shape, "attention_mask") != 0
        lengths = mask.sum(axis=1, dtype=np.int32)
        if not lengths.all():
            raise InvalidArgumentError(f"text {int(np.argmin(lengths))} of the batch has no tokens")
        start = np.zeros(len(ids) + 1, np.int32)
        np.cumsum(lengths, out=start[1:])
        whole = bool(start[-1] == ids.size)  # nothing is padded: no copy
        flat_ids = ids.reshape(-1) if whole else ids[mask]
        flat_types = None if types is None else types.reshape(-1) if whole else types[mask]
        return cls(Packed(flat_ids, start, flat_types), mask)

    @staticmethod
    def _alike(array: NDArray[Any], shape: tuple[int, ...], what: str) -> NDArray[Any]:
        array = np.atleast_2d(array)
        if array.shape != shape:
            raise InvalidArgumentError(f"{what} has the shape {array.shape}, but input_ids {shape}")
        return array

    def unpack(self, rows: FloatArray) -> FloatArray:
        """[tokens, n] -> [texts, length, n], zeros where there is padding."""
        if len(rows) == self.mask.size:
            return rows.reshape(*self.mask.shape, -1)
        out = np.zeros((*self.mask.shape, rows.shape[-1]), np.float32)
        out[self.mask] = rows
        return out
