"""Arrays cross without copies: buffers, __array__, DLPack."""
import array

import numpy as np
import pytest

from deepseek import AutoModelForSequenceClassification
from deepseek._arrays import Padded, integers, to_numpy
from conftest import MODELS


class OnlyDLPack:
    """A tensor of another library, as far as this one looks."""

    def __init__(self, values):
        self._values = np.asarray(values)

    def __dlpack__(self, **options):
        return self._values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._values.__dlpack_device__()


class OnlyArray:
    def __init__(self, values):
        self._values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self._values


class NeedsGradient(OnlyArray):
    """Refuses DLPack as tensors in training do, and wants to be detached first."""

    def __dlpack__(self, **options):
        raise BufferError("Can't export tensors that require gradient")

    def __dlpack_device__(self):
        return (1, 0)

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call detach() first")

    def detach(self):
        return self._values


def test_views():
    ids = np.arange(6, dtype=np.int32).reshape(2, 3)
    for value in (ids, memoryview(ids), OnlyDLPack(ids), OnlyArray(ids)):
        assert np.shares_memory(integers(value, "ids"), ids)
    assert np.shares_memory(Padded.read(ids).packed.ids, ids)
    assert np.shares_memory(Padded.read(OnlyDLPack(ids), np.ones((2, 3))).packed.ids, ids)
    assert (to_numpy(NeedsGradient([1, 2])) == [1, 2]).all()


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="float"):
        integers([1.5], "ids")
    with pytest.raises(ValueError, match="32 bits"):
        integers([2**40], "ids")
    assert integers(np.array([True, False]), "ids").tolist() == [1, 0]
    assert integers([], "ids").size == 0


def test_models_take_and_give_them():
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq")
    ids = [[2, 50, 15, 3, 0], [2, 50, 15, 60, 3]]
    mask = [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    expected = model(ids, mask).logits
    for kind in (np.array, OnlyDLPack, OnlyArray):
        assert (model(input_ids=kind(ids), attention_mask=kind(mask)).logits == expected).all()
    assert (model(array.array("q", ids[1])).logits == expected[1:]).all()
    again = np.from_dlpack(model(ids, mask).logits)
    assert (again == expected).all()
    parameter = next(value for _, value in model.named_parameters())
    assert np.shares_memory(np.from_dlpack(parameter), parameter)
    memoryview(parameter)
