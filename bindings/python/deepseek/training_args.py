"""TrainingArguments: how a model is trained, under the names that transformers has."""
from __future__ import annotations

import dataclasses
import difflib
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

from ._errors import InvalidArgumentError
from .engine import PRECISIONS

STRATEGIES = ("no", "steps", "epoch")
SCHEDULES = {"linear": "DS_SCHEDULE_LINEAR", "cosine": "DS_SCHEDULE_COSINE", "constant": "DS_SCHEDULE_CONSTANT",
             "constant_with_warmup": "DS_SCHEDULE_CONSTANT"}
OPTIMIZERS = {"adamw_torch": "DS_OPTIMIZER_ADAMW", "adamw_torch_fused": "DS_OPTIMIZER_ADAMW", "adamw_hf": "DS_OPTIMIZER_ADAMW",
              "adamw": "DS_OPTIMIZER_ADAMW", "sgd": "DS_OPTIMIZER_SGD"}
LOSSES = {"cross_entropy": "DS_LOSS_CROSS_ENTROPY", "binary_cross_entropy": "DS_LOSS_BINARY_CROSS_ENTROPY",
          "squared_error": "DS_LOSS_SQUARED_ERROR", "cosine": "DS_LOSS_COSINE",
          "in_batch_negatives": "DS_LOSS_IN_BATCH_NEGATIVES", "soft_labels": "DS_LOSS_SOFT_LABELS"}
# Names of transformers that ask for what is not here; their defaults are accepted.
NOT_HERE = {"fp16": "bf16=True is", "push_to_hub": "nothing is uploaded", "deepspeed": "there is one process",
            "fsdp": "there is one process", "torch_compile": "there is nothing to compile",
            "group_by_length": "padding is never computed, so there is nothing to group for",
            "auto_find_batch_size": "the library cuts batches to the memory by itself"}


@dataclass
class TrainingArguments:
    """A step of the optimiser sees per_device_train_batch_size * gradient_accumulation_steps examples; the library cuts
    them into parts that fit the memory. Steps below 1 (logging_steps=0.1) are shares of the whole run.

    eval_strategy, logging_strategy: "no", "steps", "epoch"; save_strategy: also "best". warmup_steps wins over
    warmup_ratio. data_seed: of the order of the examples; None: seed. bf16: products in bfloat16. optim: "adamw_torch" or
    "sgd". lr_scheduler_type: "linear", "cosine", "constant" or "constant_with_warmup".

    Beyond transformers: loss ("cross_entropy", "binary_cross_entropy", "squared_error", "cosine", "in_batch_negatives",
    "soft_labels"; None: as the model and the labels say), freeze (patterns of tensors' names that are not trained),
    layer_decay (each layer's rate is this times the next one's above), quantization_aware (rounds as the int8 engine
    will), memory_efficient, micro_batch_tokens (0: 4096, or what memory allows).

    Raises TypeError for a name it does not know, with the closest one, and InvalidArgumentError (a ValueError) for values
    out of their range.
    """

    output_dir: str = "trainer_output"
    per_device_train_batch_size: int = 8
    per_device_eval_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    learning_rate: float = 5e-5
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    max_grad_norm: float = 1.0
    num_train_epochs: float = 3.0
    max_steps: int = -1
    lr_scheduler_type: str = "linear"
    warmup_ratio: float = 0.0
    warmup_steps: float = 0
    optim: str = "adamw_torch"
    label_smoothing_factor: float = 0.0
    bf16: bool = False
    gradient_checkpointing: bool = False
    seed: int = 42
    data_seed: int | None = None
    dataloader_drop_last: bool = False
    logging_strategy: str = "steps"
    logging_steps: float = 500
    logging_first_step: bool = False
    eval_strategy: str = "no"
    eval_steps: float | None = None
    eval_delay: float = 0
    eval_on_start: bool = False
    save_strategy: str = "steps"
    save_steps: float = 500
    save_total_limit: int | None = None
    load_best_model_at_end: bool = False
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    resume_from_checkpoint: str | None = None
    disable_tqdm: bool | None = None
    report_to: Any = "none"
    label_names: list[str] | None = None

    loss: str | None = None
    freeze: list[str] = field(default_factory=list)
    layer_decay: float = 1.0
    quantization_aware: bool = False
    memory_efficient: bool = False
    micro_batch_tokens: int = 0

    # Accepted, and without a meaning here.
    remove_unused_columns: bool = True
    dataloader_num_workers: int = 0
    dataloader_pin_memory: bool = True
    run_name: str | None = None
    logging_dir: str | None = None
    log_level: str = "passive"
    use_cpu: bool = True
    do_train: bool = False
    do_eval: bool = False
    do_predict: bool = False
    save_only_model: bool = False
    overwrite_output_dir: bool = False
    full_determinism: bool = True
    fp16: bool = False
    push_to_hub: bool = False
    deepspeed: Any = None
    fsdp: Any = None
    torch_compile: bool = False
    group_by_length: bool = False
    auto_find_batch_size: bool = False

    def __new__(cls, *arguments: Any, **options: Any) -> "TrainingArguments":
        known = [member.name for member in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1, 0.5)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise TypeError(f"TrainingArguments() does not know {name!r}{hint}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for name, reason in NOT_HERE.items():
            if getattr(self, name):
                raise InvalidArgumentError(f"{name}={getattr(self, name)!r} is not supported: {reason}")
        if self.report_to not in ("none", None, [], ["none"]):
            warnings.warn(f"report_to={self.report_to!r} is ignored: logs are printed and kept in trainer.state.log_history",
                          stacklevel=3)
        self._check_choices()
        self._check_numbers()
        if self.eval_strategy == "steps" and self.eval_steps is None:
            self.eval_steps = self.logging_steps
        if self.load_best_model_at_end or self.save_strategy == "best":
            self._check_best()
        if self.greater_is_better is None and self.metric_for_best_model is not None:
            self.greater_is_better = not self.metric_for_best_model.endswith("loss")

    def _check_choices(self) -> None:
        choices: dict[str, Any] = {"lr_scheduler_type": SCHEDULES, "optim": OPTIMIZERS, "logging_strategy": STRATEGIES,
                                   "eval_strategy": STRATEGIES, "save_strategy": (*STRATEGIES, "best")}
        if self.loss is not None:
            choices["loss"] = LOSSES
        for name, allowed in choices.items():
            value = str(getattr(getattr(self, name), "value", getattr(self, name)))  # an enumeration's member will do
            if value not in allowed:
                raise InvalidArgumentError(f"{name} is {value!r}, expected one of {', '.join(allowed)}")
            setattr(self, name, value)

    def _check_numbers(self) -> None:
        for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "layer_decay"):
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}, expected more than 0")
        for name in ("weight_decay", "warmup_ratio", "warmup_steps", "label_smoothing_factor"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for name in ("logging", "eval", "save"):
            steps = getattr(self, f"{name}_steps")
            if getattr(self, f"{name}_strategy") == "steps" and steps is not None and steps <= 0:
                raise InvalidArgumentError(f"{name}_steps is {steps}, expected more than 0")
        if self.max_steps <= 0 and self.num_train_epochs <= 0:
            raise InvalidArgumentError(f"num_train_epochs is {self.num_train_epochs}, expected more than 0")

    def _check_best(self) -> None:
        if self.eval_strategy == "no":
            raise InvalidArgumentError("the best model is only known where eval_strategy is 'steps' or 'epoch'")
        if self.load_best_model_at_end and self.save_strategy not in ("best", self.eval_strategy):
            raise InvalidArgumentError(f"load_best_model_at_end needs a checkpoint of what was evaluated, but save_strategy "
                                       f"is {self.save_strategy!r} and eval_strategy {self.eval_strategy!r}")
        if self.metric_for_best_model is None:
            self.metric_for_best_model = "loss"

    def warmup(self, total_steps: int) -> int:
        """Steps that the rate climbs for."""
        if self.warmup_steps >= 1:
            return int(self.warmup_steps)
        return math.ceil(total_steps * (self.warmup_steps or self.warmup_ratio))

    def trainer_options(self, total_steps: int) -> dict[str, Any]:
        """The members of ds_trainer_options. Its zeros mean defaults, so that "none" is a negative number there."""
        options: dict[str, Any] = {
            "optimizer": OPTIMIZERS[self.optim], "learning_rate": self.learning_rate,
            "weight_decay": self.weight_decay or -1.0, "beta1": self.adam_beta1, "beta2": self.adam_beta2,
            "epsilon": self.adam_epsilon, "max_grad_norm": self.max_grad_norm or -1.0,
            "schedule": SCHEDULES[self.lr_scheduler_type], "total_steps": total_steps,
            "warmup_steps": 0 if self.lr_scheduler_type == "constant" else self.warmup(total_steps),
            "label_smoothing": self.label_smoothing_factor, "seed": self.seed, "layer_decay": self.layer_decay,
            "quantization_aware": self.quantization_aware, "gradient_checkpointing": self.gradient_checkpointing,
            "memory_efficient": self.memory_efficient, "micro_batch_tokens": self.micro_batch_tokens}
        if self.bf16:
            options["precision"] = PRECISIONS["bfloat16"]
        if self.loss is not None:
            options["loss"] = LOSSES[self.loss]
        if self.freeze:
            options |= {"freeze": list(self.freeze), "freeze_count": len(self.freeze)}
        return options
