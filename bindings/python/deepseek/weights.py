"""Weights that can be changed: a ds_trainer, one step of the optimiser after the other.

This is the thin layer; trainer.py has the loop. The weights are float32 masters that C owns and numpy looks into.
"""
from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import numpy as np
from numpy.typing import NDArray

from ._arrays import FloatArray, Int32Array, Packed, pointer
from ._library import call, context, create, ffi, lib, text


@dataclass
class TrainBatch:
    """A packed batch with what is expected of it; see ds_train_batch for which of the two the task wants."""

    packed: Packed
    labels: Int32Array | None = None
    targets: FloatArray | None = None

    def structure(self) -> tuple[Any, list[Any]]:
        """(ds_train_batch *, what has to stay alive with it)."""
        tokens, kept = self.packed.structure()
        kept += [tokens, pointer(self.labels, "int32_t"), pointer(self.targets, "float")]
        return ffi.new("ds_train_batch *", {"tokens": tokens[0], "labels": kept[-2], "targets": kept[-1]}), kept


@dataclass
class Step:
    """What one step did: loss of the batch before it, norm of the gradient before clipping (0: not known), rate, and the
    seconds of its parts."""

    loss: float
    gradient_norm: float
    learning_rate: float
    step: int
    tokens: int
    forward_s: float
    backward_s: float
    optimizer_s: float


class _View:
    """A tensor's memory for numpy; keeps the trainer alive that owns it."""

    def __init__(self, owner: "Weights", data: Any, shape: tuple[int, ...], writable: bool) -> None:
        self.owner = owner
        self.__array_interface__ = {"data": (int(ffi.cast("uintptr_t", data)), not writable), "shape": shape,
                                    "typestr": "<f4", "version": 3}


class Weights:
    """A ds_trainer. One call at a time: others wait.

    folder: where the weights start from. options: members of ds_trainer_options by name; texts and lists of texts as
    Python has them, enumerations by their constants' names, paths as bytes.
    """

    def __init__(self, folder: Path, options: dict[str, Any]) -> None:
        structure, kept = _options(options)
        self._trainer = create("ds_trainer_create", "ds_trainer", context(), os.fsencode(folder), structure)
        del kept
        weakref.finalize(self, lib.ds_trainer_destroy, self._trainer).atexit = False
        self._lock = threading.Lock()
        self.folder = folder
        self.options = options
        self.info = lib.ds_trainer_describe(self._trainer)
        self.version = 0  # changes with the weights

    @property
    def plan(self) -> dict[str, Any]:
        """Memory in bytes, and what the library chose: precision, micro-batches."""
        names = ("weights", "gradients", "optimizer", "activations", "scratch", "peak", "micro_batch_tokens",
                 "parameters", "trained_parameters")
        return {**{name: int(getattr(self.info, name)) for name in names}, "precision_why": text(self.info.precision_why),
                "plan_why": text(self.info.plan_why)}

    def step(self, batch: TrainBatch) -> Step:
        """Forward, backward, update. Raises DivergedError where the loss is not finite; the weights are unchanged then."""
        structure, kept = batch.structure()
        result = ffi.new("ds_train_step *")
        with self._lock:
            call("ds_trainer_step", self._trainer, structure, result)
            self.version += 1
        del kept
        return Step(result.loss, result.gradient_norm, result.learning_rate, result.step, result.tokens,
                    result.forward_s, result.backward_s, result.optimizer_s)

    def evaluate(self, batch: TrainBatch, with_loss: bool) -> tuple[FloatArray, float | None]:
        """(logits [texts or tokens, labels] or vectors [texts, hidden_size], the mean loss). Without dropout."""
        rows = batch.packed.tokens if self.info.task == lib.DS_TRAIN_TAGGING else batch.packed.texts
        out = np.empty((rows, self.info.labels), np.float32)
        loss = ffi.new("double *") if with_loss else ffi.NULL
        structure, kept = batch.structure()
        with self._lock:
            call("ds_trainer_evaluate", self._trainer, structure, pointer(out, "float"), loss)
        del kept
        return out, loss[0] if with_loss else None

    def tensors(self) -> Iterator[tuple[str, FloatArray, FloatArray | None]]:
        """(name, weights, gradient of the last step or None), all looking into the library's memory."""
        tensor = ffi.new("ds_train_tensor *")
        for index in range(lib.ds_trainer_tensor_count(self._trainer)):
            call("ds_trainer_tensor", self._trainer, index, tensor)
            shape = tuple(tensor.shape[i] for i in range(tensor.rank))
            gradient = None
            if tensor.gradient != ffi.NULL:
                gradient = np.asarray(_View(self, tensor.gradient, shape, writable=False))
            yield text(tensor.name), np.asarray(_View(self, tensor.data, shape, writable=True)), gradient

    def copy_from(self, other: "Weights") -> None:
        """Takes over the tensors that have the same name and shape."""
        theirs: dict[str, NDArray[Any]] = {name: data for name, data, _ in other.tensors()}
        for name, data, _ in self.tensors():
            if name in theirs and theirs[name].shape == data.shape:
                data[...] = theirs[name]

    def save(self, folder: Path, dtype: str = "float32", adapters: bool = False, card: str | None = None) -> None:
        """Writes a model folder (adapters: those of LoRA alone). It must not exist, or be empty."""
        card_text = ffi.NULL if card is None else ffi.new("char[]", card.encode())
        options = ffi.new("ds_save_options *", {"dtype": getattr(lib, f"DS_SAVE_{dtype.upper()}"), "adapters": adapters,
                                                "card": card_text})
        with self._lock:
            call("ds_trainer_save", self._trainer, os.fsencode(folder), options)

    def save_checkpoint(self, folder: Path, state: str) -> None:
        """Writes everything that the next step depends on, and `state`."""
        with self._lock:
            call("ds_trainer_save_checkpoint", self._trainer, os.fsencode(folder), state.encode())

    def load_checkpoint(self, folder: Path) -> str:
        """Goes back to a checkpoint of the same model and options; returns its `state`."""
        state = ffi.new("const char **")
        with self._lock:
            call("ds_trainer_load_checkpoint", self._trainer, os.fsencode(folder), state)
            self.version += 1
        return text(state[0])


def _options(options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """(ds_trainer_options *, what has to stay alive until it was read)."""
    kept: list[Any] = []
    members: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, str):
            value = getattr(lib, value)
        elif isinstance(value, bytes):
            value = ffi.new("char[]", value)
            kept.append(value)
        elif isinstance(value, list) and value and isinstance(value[0], str):
            texts = [ffi.new("char[]", item.encode()) for item in value]
            array = ffi.new("char *[]", texts)
            kept += [texts, array]
            value = ffi.cast("const char *const *", array)
        elif isinstance(value, list):
            array = ffi.new("float[]", value)
            kept.append(array)
            value = array
        members[name] = value
    return ffi.new("ds_trainer_options *", members), kept
