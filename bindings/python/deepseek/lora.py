"""LoRA as peft has it: small matrices beside the frozen ones are trained (Hu et al. 2021)."""
from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ._errors import InvalidArgumentError

if TYPE_CHECKING:
    from .model import PreTrainedModel

Model = TypeVar("Model", bound="PreTrainedModel")


@dataclass
class LoraConfig:
    """r: the rank. lora_alpha: what they add is scaled by lora_alpha / r. target_modules: names of modules ("query"),
    their last parts or patterns; None: query and value; "all-linear": every matrix of the layers.

    Heads are always trained along, with the pooler that belongs to them. Raises InvalidArgumentError for a rank below 1.
    """

    r: int = 8
    lora_alpha: float = 8
    target_modules: list[str] | str | None = None
    lora_dropout: float = 0.0
    bias: str = "none"
    task_type: str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        if self.r < 1:
            raise InvalidArgumentError(f"r is {self.r}, expected at least 1")
        if self.bias != "none":
            raise InvalidArgumentError(f"bias is {self.bias!r}, expected 'none': only matrices get adapters")
        if self.lora_dropout:
            warnings.warn(f"lora_dropout={self.lora_dropout} is not applied: adapters have no dropout of their own",
                          stacklevel=3)

    def options(self) -> dict[str, Any]:
        """The members of ds_trainer_options."""
        chosen: dict[str, Any] = {"lora_rank": self.r, "lora_alpha": float(self.lora_alpha)}
        if self.target_modules is not None:
            named = [self.target_modules] if isinstance(self.target_modules, str) else list(self.target_modules)
            patterns = ["*.layer.*" if name == "all-linear" else name if "*" in name else f"*.{name}" for name in named]
            chosen |= {"lora_targets": patterns, "lora_target_count": len(patterns)}
        return chosen


class PeftModel:
    """What peft's scripts call to open a model with an adapter."""

    @staticmethod
    def from_pretrained(model: Model, model_id: str | os.PathLike[str]) -> Model:
        """Merges the adapter in the folder `model_id`, as peft or this library saved it, into the model and returns it.

        It is plain weights from then on: merge_and_unload() has nothing left to do, and training changes all of them.
        Raises Error (a kind of it) with the file's fault, InvalidArgumentError where neither the model nor the adapter
        has a head of the model's size.
        """
        model.merge_adapter(model_id)
        return model


def get_peft_model(model: Model, peft_config: LoraConfig) -> Model:
    """Makes the model train adapters instead of its weights, and returns it.

    save_pretrained() then writes the adapters alone, in peft's format; merge_and_unload() puts them into the weights.
    """
    model.set_adapters(peft_config)
    return model
