"""Trainer: epochs, evaluation, checkpoints and logs around the library's optimiser step, as transformers has it."""
from __future__ import annotations

import json
import math
import random
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from . import checkpoints
from ._errors import InvalidArgumentError, NotFoundError
from .callbacks import (CallbackHandler, DefaultFlowCallback, PrinterCallback, ProgressCallback, TrainerCallback)
from .data import Example, Reader, embedding_loss, label_array, pad_rows, to_batch
from .model import PreTrainedModel, SequenceClassifier
from .outputs import EvalPrediction, PredictionOutput, TrainOutput
from .state import TrainerControl, TrainerState
from .tokenizer import AutoTokenizer, PreTrainedTokenizer
from .training_args import LOSSES, TrainingArguments
from .weights import Step, TrainBatch, Weights


class Trainer:
    """model: of from_pretrained(). args: TrainingArguments. Datasets: objects with __len__ and __getitem__ whose items are
    dicts with input_ids (and attention_mask, token_type_ids) or text (and text_pair), and label or labels. data_collator:
    a function of a list of items that returns a batch; not needed. processing_class (or tokenizer): for items with text;
    without it the model folder's. compute_metrics: a function of an EvalPrediction that returns a dict. callbacks: of
    TrainerCallback, classes or objects.

    Models without a head learn from pairs: items with text and text_pair and a score (cosine), or without labels (the
    other pairs are wrong answers), or text with a vector as its label (a teacher's).

    state: a TrainerState. control: a TrainerControl.
    """

    def __init__(self, model: PreTrainedModel, args: TrainingArguments | None = None,
                 data_collator: Callable[[list[Any]], Any] | None = None, train_dataset: Any = None,
                 eval_dataset: Any = None, processing_class: PreTrainedTokenizer | None = None, *,
                 compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
                 callbacks: Sequence[Any] | None = None, tokenizer: PreTrainedTokenizer | None = None) -> None:
        self.model = model
        self.args = args if args is not None else TrainingArguments()
        self.data_collator = data_collator
        self.train_dataset = train_dataset
        self.eval_dataset = eval_dataset
        self.processing_class = processing_class or tokenizer
        self.compute_metrics = compute_metrics
        self.state = TrainerState()
        self.control = TrainerControl()
        self._reader = Reader(self._get_tokenizer, model.head is None, self.args.label_names)
        self._loss_name: str | None = None if self.args.loss is None else LOSSES[self.args.loss]
        self._output = Path(self.args.output_dir)
        self._loss_sum = 0.0  # over all steps
        self._logged_sum, self._logged_step = 0.0, 0  # of _loss_sum and the step at the last log
        printer = PrinterCallback if self.args.disable_tqdm else ProgressCallback
        self._callbacks = CallbackHandler([DefaultFlowCallback, *(callbacks or ()), printer], model=model,
                                          processing_class=self.processing_class, train_dataset=train_dataset,
                                          eval_dataset=eval_dataset)
        random.seed(self.args.seed)
        np.random.seed(self.args.seed % 2**32)
        self._call("on_init_end")

    # ---- Callbacks ----

    def add_callback(self, callback: Any) -> None:
        """callback: a TrainerCallback, or a class of it."""
        self._callbacks.add(callback)

    def remove_callback(self, callback: Any) -> None:
        """callback: the object, or a class: the first one of it."""
        self.pop_callback(callback)

    def pop_callback(self, callback: Any) -> TrainerCallback | None:
        """The same; returns what it removed."""
        found = self._callbacks.find(callback)
        if found is not None:
            self._callbacks.callbacks.remove(found)
        return found

    def _call(self, event: str, **extra: Any) -> None:
        self.control = self._callbacks.call(event, self.args, self.state, self.control, **extra)

    # ---- Training ----

    def train(self, resume_from_checkpoint: bool | str | None = None) -> TrainOutput:
        """Trains as the arguments say and leaves the model with what it learned.

        resume_from_checkpoint: a checkpoint's folder, or True for the last one in output_dir: goes on as if nothing had
        happened, with the same bits. Returns (global_step, training_loss, metrics).

        Raises DivergedError where a loss is not finite, InvalidArgumentError for data that do not fit the model.
        Ctrl-C ends it between two steps as KeyboardInterrupt; the model keeps what it has learned so far.
        """
        checkpoint = self._checkpoint_to_resume(resume_from_checkpoint)
        count = _length(self.train_dataset, "train_dataset")
        steps_per_epoch = self._plan(count)
        weights = self._attach(self.train_dataset)
        self.model.forget_temperature()
        self.control = TrainerControl()
        self._loss_sum = self._logged_sum = 0.0
        self._logged_step = 0
        if checkpoint is not None:
            self._restore(weights, checkpoint)
        started, first_step = time.monotonic(), self.state.global_step
        self._call("on_train_begin")
        try:
            if self.args.eval_on_start:
                self.evaluate()
            self._epochs(weights, steps_per_epoch, count)
        except BaseException:
            progress = self._callbacks.find(ProgressCallback)
            if isinstance(progress, ProgressCallback):
                progress.close()
            raise
        self._load_best(weights)
        metrics = self._speed("train", started, (self.state.global_step - first_step) * self._examples_a_step(),
                              self.state.global_step - first_step)
        metrics["train_loss"] = self._loss_sum / max(1, self.state.global_step)
        self.log(metrics)
        self._call("on_train_end")
        return TrainOutput(self.state.global_step, metrics["train_loss"], metrics)

    def _examples_a_step(self) -> int:
        return self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps

    def _plan(self, count: int) -> int:
        """Sets the state's plan; returns steps of an epoch. The last step of an epoch takes what is left."""
        args, batch = self.args, self.args.per_device_train_batch_size
        batches = count // batch if args.dataloader_drop_last else math.ceil(count / batch)
        if batches == 0:
            raise InvalidArgumentError(f"train_dataset has {count} examples, fewer than one batch of {batch}")
        steps = math.ceil(batches / args.gradient_accumulation_steps)
        total = args.max_steps if args.max_steps > 0 else math.ceil(args.num_train_epochs * steps)
        self.state = TrainerState(max_steps=total, num_train_epochs=math.ceil(total / steps))
        self.state.compute_steps(args)
        return steps

    def _attach(self, dataset: Any) -> Weights:
        """Gives the model weights that are trained as the arguments say."""
        self._settle(dataset)
        options = self.args.trainer_options(self.state.max_steps)
        if self._loss_name is not None:
            options["loss"] = self._loss_name
        return self.model.own_weights(options)

    def _settle(self, dataset: Any) -> None:
        """Finds out from the first example what the labels are, where nothing said so."""
        example = self._examples(dataset, [0])[0]
        if isinstance(self.model, SequenceClassifier) and example.label is not None:
            if self._loss_name == "DS_LOSS_SOFT_LABELS":
                self.model.config.problem_type = "single_label_classification"
            self.model.settle_problem(example.label)
        if self.model.head is None and self._loss_name is None:
            self._loss_name = embedding_loss(example)

    def _epochs(self, weights: Weights, steps_per_epoch: int, count: int) -> None:
        first_epoch, position = divmod(self.state.global_step, steps_per_epoch)
        for epoch in range(first_epoch, self.state.num_train_epochs):
            order = self._order(epoch, count)
            self.control.should_epoch_stop = False
            self._call("on_epoch_begin")
            step: Step | None = None
            for index in range(position, steps_per_epoch):
                step = self._step(weights, order, index, epoch)
                if self.control.should_epoch_stop or self.control.should_training_stop:
                    break
            position = 0
            self._call("on_epoch_end")
            self._act(weights, step)
            if self.control.should_training_stop:
                break

    def _order(self, epoch: int, count: int) -> NDArray[np.int64]:
        """A seeded order of the examples; RandomState's streams stay the same from one numpy to the next."""
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        return np.random.RandomState([seed % 2**32, epoch]).permutation(count)

    def _step(self, weights: Weights, order: NDArray[np.int64], index: int, epoch: int) -> Step:
        self.control.should_log = self.control.should_evaluate = self.control.should_save = False
        self._call("on_step_begin")
        size, batch = self._examples_a_step(), self.args.per_device_train_batch_size
        usable = len(order) // batch * batch if self.args.dataloader_drop_last else len(order)
        chosen = order[index * size:min((index + 1) * size, usable)]
        step = weights.step(self._batch(self._examples(self.train_dataset, chosen.tolist())))
        self._call("on_optimizer_step")
        self.state.global_step += 1
        self.state.num_input_tokens_seen += step.tokens
        self.state.epoch = epoch + (index * size + len(chosen)) / usable
        self._loss_sum += step.loss
        self._call("on_step_end")
        self._act(weights, step)
        return step

    def _act(self, weights: Weights, step: Step | None) -> None:
        """Does what callbacks asked for: log, evaluate, save."""
        if self.control.should_log and step is not None and self.state.global_step > self._logged_step:
            self.control.should_log = False
            logs = {"loss": (self._loss_sum - self._logged_sum) / (self.state.global_step - self._logged_step),
                    "grad_norm": step.gradient_norm, "learning_rate": step.learning_rate}
            self._logged_sum, self._logged_step = self._loss_sum, self.state.global_step
            self.log(logs)
        if self.control.should_evaluate:
            self.control.should_evaluate = False
            self._note_best(self.evaluate())
        if self.control.should_save:
            self.control.should_save = False
            self._save_checkpoint(weights)

    def _note_best(self, metrics: dict[str, float]) -> None:
        if self.args.metric_for_best_model is None:
            return
        name = f"eval_{self.args.metric_for_best_model.removeprefix('eval_')}"
        if name not in metrics:
            raise InvalidArgumentError(f"metric_for_best_model is {self.args.metric_for_best_model!r}, but the evaluation "
                                       f"gave {', '.join(metrics)}")
        value, best = metrics[name], self.state.best_metric
        better = best is None or (value > best if self.args.greater_is_better else value < best)
        if better:
            self.state.best_metric, self.state.best_global_step = value, self.state.global_step
            if self.args.save_strategy != "no":
                self.state.best_model_checkpoint = str(checkpoints.path_of(self._output, self.state.global_step))
        if better and (self.args.load_best_model_at_end or self.args.save_strategy == "best"):
            self.control.should_save = True

    # ---- Checkpoints ----

    def _save_checkpoint(self, weights: Weights) -> None:
        path = checkpoints.path_of(self._output, self.state.global_step)
        self._output.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)  # of a run before this one
        state = {"state": self.state.to_dict(), "callbacks": self._callbacks.states(), "random": checkpoints.random_state(),
                 "loss_sum": self._loss_sum, "logged_sum": self._logged_sum, "logged_step": self._logged_step}
        weights.save_checkpoint(path, json.dumps(state))
        self.model.complete_checkpoint(path)
        checkpoints.prune(self._output, self.args.save_total_limit, self.state.best_global_step, self.state.global_step)
        self._call("on_save")

    def _checkpoint_to_resume(self, asked: bool | str | None) -> Path | None:
        asked = self.args.resume_from_checkpoint if asked is None else asked
        if not asked:
            return None
        if asked is True or asked == "True":
            steps = checkpoints.steps_in(self._output)
            if not steps:
                raise NotFoundError(f"{self._output} has no checkpoint to go on from")
            return checkpoints.path_of(self._output, steps[-1])
        path = Path(asked)
        if not path.is_dir():
            raise NotFoundError(f"the checkpoint {path} does not exist")
        return path

    def _restore(self, weights: Weights, checkpoint: Path) -> None:
        kept = json.loads(weights.load_checkpoint(checkpoint))
        planned = self.state
        self.state = TrainerState(**kept["state"])
        self.state.max_steps, self.state.num_train_epochs = planned.max_steps, planned.num_train_epochs
        self.state.compute_steps(self.args)
        self._callbacks.restore(kept["callbacks"])
        self._loss_sum, self._logged_sum, self._logged_step = kept["loss_sum"], kept["logged_sum"], kept["logged_step"]
        checkpoints.set_random_state(kept["random"])

    def _load_best(self, weights: Weights) -> None:
        best = self.state.best_model_checkpoint
        if self.args.load_best_model_at_end and best is not None and Path(best).is_dir():
            weights.load_checkpoint(Path(best))

    # ---- Evaluation ----

    def evaluate(self, eval_dataset: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
        """{"eval_loss": .., what compute_metrics returned, "eval_runtime" in seconds, ..}; it is logged too."""
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        metrics = self._predict(dataset, "eval_dataset", metric_key_prefix)[2]
        self.log(metrics)
        self._call("on_evaluate", metrics=metrics)
        return metrics

    def predict(self, test_dataset: Any, metric_key_prefix: str = "test") -> PredictionOutput:
        """(predictions, label_ids, metrics): logits [examples, labels]; of tokens [examples, longest, labels], filled up
        with -100; vectors of pairs [examples, 2, hidden_size]. label_ids and the loss only where items have labels.
        """
        predictions, labels, metrics = self._predict(test_dataset, "test_dataset", metric_key_prefix)
        self._call("on_predict", metrics=metrics)
        return PredictionOutput(predictions, labels, metrics)

    def _predict(self, dataset: Any, name: str, prefix: str) -> tuple[NDArray[Any], NDArray[Any] | None, dict[str, float]]:
        count, size = _length(dataset, name), self.args.per_device_eval_batch_size
        if count == 0:
            raise InvalidArgumentError(f"{name} has no examples")
        started = time.monotonic()
        self._settle(dataset)
        everything: list[Example] = []
        rows: list[NDArray[Any]] = []
        loss_sum = 0.0
        for start in range(0, count, size):
            examples = self._examples(dataset, list(range(start, min(start + size, count))))
            output, loss = self._evaluate_batch(examples)
            rows += _split(output, examples, self.model.task())
            loss_sum += (math.nan if loss is None else loss) * len(examples)
            everything += examples
            self._call("on_prediction_step", done=start + len(examples), total=count)
        shapes = {row.shape for row in rows}
        predictions = np.stack(rows) if len(shapes) == 1 else pad_rows(rows)
        labels = label_array(everything)
        metrics: dict[str, float] = {}
        if not math.isnan(loss_sum):
            metrics[f"{prefix}_loss"] = loss_sum / count
        if self.compute_metrics is not None and labels is not None:
            own = self.compute_metrics(EvalPrediction(predictions, labels))
            metrics |= {name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": _plain(value)
                        for name, value in own.items()}
        metrics |= self._speed(prefix, started, count, math.ceil(count / size))
        return predictions, labels, metrics

    def _evaluate_batch(self, examples: list[Example]) -> tuple[NDArray[Any], float | None]:
        batch = self._batch(examples)
        # Without labels only pairs that are each other's wrong answers have a loss.
        known = batch.labels is not None or batch.targets is not None or self._loss_name == "DS_LOSS_IN_BATCH_NEGATIVES"
        return self.model.evaluate_batch(batch, known, self._loss_name)

    def _speed(self, prefix: str, started: float, examples: int, steps: int) -> dict[str, float]:
        seconds = max(time.monotonic() - started, 1e-9)
        return {f"{prefix}_runtime": round(seconds, 4), f"{prefix}_samples_per_second": round(examples / seconds, 3),
                f"{prefix}_steps_per_second": round(steps / seconds, 3)}

    # ---- Data ----

    def _get_tokenizer(self) -> PreTrainedTokenizer:
        if self.processing_class is None:
            self.processing_class = AutoTokenizer.from_pretrained(self.model.name_or_path)
        return self.processing_class

    def _examples(self, dataset: Any, indices: list[int]) -> list[Example]:
        return self._reader.examples([dataset[index] for index in indices], self.data_collator)

    def _batch(self, examples: list[Example]) -> TrainBatch:
        return to_batch(examples, self.model.task(), self._loss_name, self.model.config.num_labels)

    # ---- The rest ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the epoch, keeps the logs in state.log_history and hands them to the callbacks, which print them."""
        if self.state.epoch:
            logs["epoch"] = self.state.epoch
        self.state.log_history.append({**logs, "step": self.state.global_step})
        self._call("on_log", logs=logs)

    def save_model(self, output_dir: str | None = None) -> None:
        """Writes the model (and the tokenizer that was given) to a folder; None: output_dir of the arguments."""
        folder = self.args.output_dir if output_dir is None else output_dir
        self.model.save_pretrained(folder)
        if self.processing_class is not None:
            self.processing_class.save_pretrained(folder)

    def save_state(self) -> None:
        """Writes output_dir/trainer_state.json."""
        self._output.mkdir(parents=True, exist_ok=True)
        self.state.save_to_json(str(self._output / "trainer_state.json"))


def _length(dataset: Any, name: str) -> int:
    if dataset is None:
        raise InvalidArgumentError(f"the trainer has no {name}")
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise TypeError(f"{name} is a {type(dataset).__name__} without __len__ or __getitem__")
    return len(dataset)


def _plain(value: Any) -> Any:
    """A numpy number as Python's, so that logs can be written as JSON."""
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and np.size(value) == 1 else value


def _split(output: NDArray[Any], examples: list[Example], task: str) -> list[NDArray[Any]]:
    """A batch's rows by example."""
    if task == "DS_TRAIN_TAGGING":
        ends = np.cumsum([len(one.ids[0]) for one in examples])
        return np.split(output, ends[:-1])
    if all(len(one.ids) == 2 for one in examples):
        return list(output.reshape(len(examples), 2, -1))
    return list(output)
