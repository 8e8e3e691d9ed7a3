"""What from_pretrained() is asked for, checked against what the folder has."""
from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import names
from ._errors import InvalidArgumentError
from .config import PretrainedConfig
from .engine import PRECISIONS

# Switches of transformers' loading that have no meaning where nothing is downloaded and there is one device.
MEANINGLESS = {"cache_dir", "force_download", "local_files_only", "token", "revision", "trust_remote_code", "use_safetensors",
               "low_cpu_mem_usage", "attn_implementation", "ignore_mismatched_sizes", "output_attentions",
               "output_hidden_states", "add_pooling_layer"}
PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


@dataclass
class Asked:
    """The options of from_pretrained(), as they came."""

    num_labels: int | None
    id2label: dict[Any, str] | None
    label2id: dict[str, int] | None
    problem_type: str | None
    device_map: Any
    dtype: Any
    quantization: str | None
    dropout: float | None


@dataclass
class Loading:
    """The same, settled."""

    folder: Path
    config: PretrainedConfig
    precision: str  # "float32", "bfloat16" or "auto" (the faster one)
    int8: bool
    new_head: bool  # the folder's is not used
    has_head: bool
    dropout: float | None  # None: as config.json says

    @classmethod
    def read(cls, name: str | os.PathLike[str], head: str | None, asked: Asked, others: dict[str, Any]) -> "Loading":
        """head: what the class's architectures end in, "ForSequenceClassification"; None: the class has no head."""
        unknown = sorted(others.keys() - MEANINGLESS)
        if unknown:
            raise TypeError(f"from_pretrained() got options it does not know: {', '.join(unknown)}")
        folder = names.resolve(name)
        config = PretrainedConfig.from_pretrained(folder)
        _check_device(asked.device_map)
        precision = _precision(asked.dtype, config)
        if asked.quantization not in (None, "int8"):
            raise InvalidArgumentError(f"quantization is {asked.quantization!r}, expected None or 'int8'")
        if asked.problem_type is not None:
            if asked.problem_type not in PROBLEMS:
                raise InvalidArgumentError(f"problem_type is {asked.problem_type!r}, expected one of "
                                           f"{', '.join(PROBLEMS)}")
            config.problem_type = asked.problem_type
        if asked.dropout is not None:
            setattr(config, "hidden_dropout_prob", asked.dropout)
        new_head = head is not None and _settle_head(folder, config, head, asked)
        return cls(folder, config, precision, asked.quantization == "int8", new_head, head is not None, asked.dropout)

    def trainer_options(self, task: str) -> dict[str, Any]:
        """The members of ds_trainer_options that the model decides."""
        precision = PRECISIONS[self.precision]
        members: dict[str, Any] = {"task": task, "precision": precision}
        if self.has_head:
            members |= {"labels": self.config.num_labels, "label_names": list(self.config.id2label.values())}
        if self.dropout is not None:
            members["dropout"] = self.dropout or -1.0  # the library's 0 means config.json's
        return members


def _check_device(device_map: Any) -> None:
    device = next(iter(device_map.values()), "cpu") if isinstance(device_map, dict) and len(device_map) == 1 else device_map
    if device is not None and str(device) not in ("auto", "cpu"):
        raise InvalidArgumentError(f"device_map is {device_map!r}, expected None, 'auto' or 'cpu': this library computes "
                                   "on the CPU")


def _precision(asked: Any, config: PretrainedConfig) -> str:
    if asked is None:
        return "float32"
    name = str(getattr(asked, "__name__", asked)).removeprefix("torch.")
    if name == "auto":
        # As transformers means it: what is stored. Weights of 16 bits lose nothing in either, so the faster one is taken.
        stored = str(getattr(config, "dtype", None) or getattr(config, "torch_dtype", None) or "float32")
        return "auto" if stored == "bfloat16" else "float32"
    if name in ("float32", "bfloat16"):
        return name
    raise InvalidArgumentError(f"dtype is {asked!r}, expected 'float32', 'bfloat16' or 'auto'")


def _settle_head(folder: Path, config: PretrainedConfig, head: str, asked: Asked) -> bool:
    """Sets the configuration's labels; whether the folder's head (if any) is replaced, which is warned of."""
    architectures = getattr(config, "architectures", None) or [""]
    stored = config.num_labels if str(architectures[0]).endswith(head) else None
    count = asked.num_labels
    if asked.id2label is not None:
        named = {int(key): str(name) for key, name in asked.id2label.items()}
        if sorted(named) != list(range(len(named))):
            raise InvalidArgumentError(f"id2label has the keys {sorted(named)}, expected 0 to {len(named) - 1}")
        if count is not None and count != len(named):
            raise InvalidArgumentError(f"num_labels is {count}, but id2label names {len(named)}")
        config.set_labels(named, asked.label2id)
    elif count is not None:
        if count < 1:
            raise InvalidArgumentError(f"num_labels is {count}, expected at least 1")
        if count != config.num_labels or stored is None:
            config.num_labels = count
    if stored == config.num_labels:
        return False
    vars(config).pop("temperature", None)  # it was fitted to the other head
    has = f"no head {head}" if stored is None else f"a head for {stored} labels"
    warnings.warn(f"{folder} has {has}: a new one for {config.num_labels} is drawn at random. Train the model before you "
                  "use what it predicts.", stacklevel=4)
    return True
