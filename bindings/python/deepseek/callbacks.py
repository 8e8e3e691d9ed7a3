"""What can be hooked into training, and the callbacks that are always there."""
from __future__ import annotations

import warnings
from typing import Any

from ._errors import InvalidArgumentError
from .progress import ProgressBar
from .state import TrainerControl, TrainerState
from .training_args import TrainingArguments

EVENTS = ("on_init_end", "on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end", "on_step_begin",
          "on_pre_optimizer_step", "on_optimizer_step", "on_substep_end", "on_step_end", "on_evaluate", "on_predict", "on_save",
          "on_log", "on_prediction_step")


class TrainerCallback:
    """Every hook gets (args, state, control) and by name model, processing_class, train_dataset, eval_dataset, and
    metrics (on_evaluate, on_predict) or logs (on_log). It changes `control`, or returns another one.

    A step is one call of the library: on_optimizer_step comes right behind it, when model.named_gradients() are those of
    the step; on_pre_optimizer_step and on_substep_end have no place in it and are never called.
    """

    def on_init_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The trainer was made."""

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Before the first epoch."""

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind the last one."""

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Before an epoch's first step."""

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind an epoch's last step."""

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Before a step."""

    def on_pre_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                              **kwargs: Any) -> Any:
        """Never called."""

    def on_optimizer_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """The weights have just changed; state.global_step does not count the step yet."""

    def on_substep_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Never called."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind a step."""

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind an evaluation."""

    def on_predict(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind predict()."""

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """A checkpoint was written."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Something was logged."""

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> Any:
        """Behind a batch of an evaluation or a prediction; done and total count examples."""


class DefaultFlowCallback(TrainerCallback):
    """When to log, evaluate, save and stop, as the arguments say."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        step, last = state.global_step, state.global_step >= state.max_steps

        def due(strategy: str, every: float) -> bool:
            return strategy == "steps" and every > 0 and step % every == 0

        if due(args.logging_strategy, state.logging_steps) or (step == 1 and args.logging_first_step):
            control.should_log = True
        if step >= args.eval_delay and (due(args.eval_strategy, state.eval_steps) or (last and args.eval_strategy == "steps")):
            control.should_evaluate = True
        if due(args.save_strategy, state.save_steps) or (last and args.save_strategy == "steps"):
            control.should_save = True
        if last:
            control.should_training_stop = True

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.logging_strategy == "epoch":
            control.should_log = True
        if args.eval_strategy == "epoch" and state.epoch >= args.eval_delay:
            control.should_evaluate = True
        if args.save_strategy == "epoch":
            control.should_save = True


class PrinterCallback(TrainerCallback):
    """Prints every log."""

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None,
               **kwargs: Any) -> None:
        print({name: f"{value:.4g}" if isinstance(value, float) else value for name, value in (logs or {}).items()},
              flush=True)


class ProgressCallback(PrinterCallback):
    """The same, with a bar on the terminal."""

    def __init__(self) -> None:
        self._training: ProgressBar | None = None
        self._prediction: ProgressBar | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._training = ProgressBar(state.max_steps, "steps")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._training:
            self._training.move_to(state.global_step)

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, done: int = 0,
                           total: int = 0, **kwargs: Any) -> None:
        if self._training is None:  # within training its own bar stays
            self._prediction = self._prediction or ProgressBar(total, "examples")
            self._prediction.move_to(done)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._training is None:
            self.close()

    def on_predict(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.on_evaluate(args, state, control)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None,
               **kwargs: Any) -> None:
        for bar in (self._training, self._prediction):
            if bar:
                bar.clear()
        super().on_log(args, state, control, logs)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Ends the line of a bar that is shown."""
        for bar in (self._training, self._prediction):
            if bar:
                bar.close()
        self._training = self._prediction = None


class EarlyStoppingCallback(TrainerCallback):
    """Stops when metric_for_best_model did not get better in `early_stopping_patience` evaluations in a row.

    early_stopping_threshold: by how much it has to get better to count.
    """

    def __init__(self, early_stopping_patience: int = 1, early_stopping_threshold: float = 0.0) -> None:
        self.early_stopping_patience = early_stopping_patience
        self.early_stopping_threshold = early_stopping_threshold
        self.early_stopping_patience_counter = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if args.metric_for_best_model is None:
            raise InvalidArgumentError("EarlyStoppingCallback needs metric_for_best_model")
        if args.eval_strategy == "no":
            raise InvalidArgumentError("EarlyStoppingCallback needs eval_strategy 'steps' or 'epoch'")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
                    metrics: dict[str, float] | None = None, **kwargs: Any) -> None:
        name = f"eval_{str(args.metric_for_best_model).removeprefix('eval_')}"
        value = (metrics or {}).get(name)
        if value is None:
            warnings.warn(f"there is no metric {name}, so training is not stopped early", stacklevel=2)
            return
        gain = None if state.best_metric is None else value - state.best_metric
        if gain is not None and not args.greater_is_better:
            gain = -gain
        if gain is None or gain > self.early_stopping_threshold:
            self.early_stopping_patience_counter = 0
        else:
            self.early_stopping_patience_counter += 1
        if self.early_stopping_patience_counter >= self.early_stopping_patience:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it; callbacks that have this method are brought back when training goes on."""
        return {"early_stopping_patience_counter": self.early_stopping_patience_counter}


class CallbackHandler:
    """Calls the callbacks one after the other."""

    def __init__(self, callbacks: list[Any], **shared: Any) -> None:
        self.callbacks: list[TrainerCallback] = []
        self.shared = shared
        for callback in callbacks:
            self.add(callback)

    def add(self, callback: Any) -> None:
        self.callbacks.append(callback() if isinstance(callback, type) else callback)

    def find(self, callback: Any) -> TrainerCallback | None:
        """The object itself, or the first one of a class."""
        return next((one for one in self.callbacks if one is callback
                     or (isinstance(callback, type) and isinstance(one, callback))), None)

    def call(self, event: str, args: TrainingArguments, state: TrainerState, control: TrainerControl,
             **extra: Any) -> TrainerControl:
        for callback in self.callbacks:
            hook = getattr(callback, event, None)
            answer = hook(args, state, control, **self.shared, **extra) if hook else None
            control = answer if answer is not None else control
        return control

    def states(self) -> dict[str, Any]:
        """By class name: what the callbacks with a method state() keep."""
        return {type(one).__name__: one.state() for one in self.callbacks if hasattr(one, "state")}

    def restore(self, states: dict[str, Any]) -> None:
        for one in self.callbacks:
            if hasattr(one, "state"):
                vars(one).update(states.get(type(one).__name__, {}))
