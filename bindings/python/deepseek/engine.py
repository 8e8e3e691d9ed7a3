"""An open model folder that is only computed with: ds_model, and the sessions that threads run it through."""
from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ._arrays import FloatArray, Packed, pointer
from ._library import call, context, create, ffi, lib

PRECISIONS = {"float32": "DS_PRECISION_FLOAT32", "bfloat16": "DS_PRECISION_BFLOAT16", "auto": "DS_PRECISION_AUTO"}


class Engine:
    """May be used by several threads at once; each call takes a session of its own.

    precision: "float32", "bfloat16" or "auto" (the faster one). int8: the layers are brought to int8 on opening.
    info: the library's ds_model_info.
    """

    def __init__(self, folder: Path, precision: str = "float32", int8: bool = False) -> None:
        has_tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
        options = ffi.new("ds_model_options *", {
            "precision": getattr(lib, PRECISIONS[precision]),
            "quantization": lib.DS_QUANTIZATION_INT8 if int8 else lib.DS_QUANTIZATION_AUTO,
            "without_tokenizer": not has_tokenizer})
        self._model = create("ds_model_open", "ds_model", context(), os.fsencode(folder), options)
        self._sessions: list[Any] = []  # free ones
        weakref.finalize(self, _close, self._model, self._sessions).atexit = False
        self.info = lib.ds_model_describe(self._model)
        self.has_tokenizer = has_tokenizer

    def _take(self) -> Any:
        try:
            return self._sessions.pop()
        except IndexError:
            return create("ds_session_create", "ds_session", self._model)

    def forward(self, packed: Packed, output: str) -> FloatArray:
        """output: "DS_OUTPUT_HIDDEN" [tokens, hidden_size], "DS_OUTPUT_LOGITS" [texts or tokens, labels]."""
        info = self.info
        if output == "DS_OUTPUT_HIDDEN":
            shape = (packed.tokens, info.hidden_size)
        else:
            shape = (packed.tokens if info.head == lib.DS_HEAD_TOKEN else packed.texts, info.labels)
        out = np.empty(shape, np.float32)
        batch, kept = packed.structure()
        session = self._take()
        try:
            call("ds_forward", session, batch, getattr(lib, output), pointer(out, "float"))
        finally:
            self._sessions.append(session)
        del kept
        return out

    def embed(self, texts: Sequence[str], normalize: bool) -> FloatArray:
        """[texts, hidden_size], pooled as the folder says; normalised where the folder says so or `normalize` is True."""
        data = [text.encode("utf-8", "surrogatepass") for text in texts]
        kept = [ffi.from_buffer(text) for text in data]
        array = ffi.new("ds_text[]", [(start, len(text)) for start, text in zip(kept, data)])
        options = ffi.new("ds_embed_options *",
                          {"normalize": lib.DS_SWITCH_YES if normalize else lib.DS_SWITCH_AUTO})
        out = np.empty((len(texts), self.info.hidden_size), np.float32)
        session = self._take()
        try:
            call("ds_embed", session, array, len(texts), options, pointer(out, "float"), ffi.NULL)
        finally:
            self._sessions.append(session)
        return out


def _close(model: Any, sessions: list[Any]) -> None:
    for session in sessions:
        lib.ds_session_destroy(session)
    lib.ds_model_close(model)
