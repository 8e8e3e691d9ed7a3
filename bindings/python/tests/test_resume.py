"""A run that was stopped and went on gives the same bits as one that never stopped."""
import json
import random

import numpy as np
import pytest

import deepseek
from deepseek import AutoModelForSequenceClassification, EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from conftest import MODELS, rows

pytestmark = pytest.mark.usefixtures("quiet")


class Stop(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


class Augmented:
    """A dataset that draws from Python's and numpy's generators, as many do."""

    def __len__(self):
        return 40

    def __getitem__(self, i):
        row = rows(40)[i]
        return {**row, "text": f"{row['text']} {random.random():.3f} {np.random.rand():.3f}"}


def run(folder, stop=None, resume=None, data=None, **options):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=5)
    chosen = {"learning_rate": 5e-3, "num_train_epochs": 3, "logging_steps": 2, "save_steps": 3, "save_total_limit": 2,
              "eval_strategy": "steps", "eval_steps": 4, "disable_tqdm": True, **options}
    trainer = Trainer(model, TrainingArguments(str(folder), **chosen), train_dataset=data or rows(40), eval_dataset=rows(10),
                      callbacks=[Stop(stop)])
    result = trainer.train(resume_from_checkpoint=resume)
    logs = [{name: value for name, value in log.items() if not name.endswith(("runtime", "per_second"))}
            for log in trainer.state.log_history]
    return {name: data.copy() for name, data in model.named_parameters()}, logs, result.training_loss


def same(a, b):
    return a[0].keys() == b[0].keys() and all((a[0][name] == b[0][name]).all() for name in a[0]) and a[1:] == b[1:]


@pytest.mark.parametrize("stop, resume, options", [
    (5, True, {}),  # inside of the first epoch
    (11, True, {"gradient_accumulation_steps": 1}),
    (6, "checkpoint-5", {"save_steps": 5}),  # at the end of an epoch
    (11, True, {"bf16": True, "warmup_steps": 3})])
def test_same_bits(tmp_path, stop, resume, options):
    whole = run(tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=stop, **options)
    again = run(tmp_path / "parts", resume=resume if resume is True else str(tmp_path / "parts" / resume), **options)
    assert same(whole, again)


def test_generators_go_on(tmp_path):
    whole = run(tmp_path / "whole", data=Augmented())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", stop=8, data=Augmented())
    random.seed(99)
    assert same(whole, run(tmp_path / "parts", resume=True, data=Augmented()))


def test_callbacks_go_on(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=5)
    scores = iter([0.9, 0.5, 0.4, 0.3])

    def trainer(stop):
        options = TrainingArguments(str(tmp_path), num_train_epochs=9, eval_strategy="epoch", save_strategy="epoch",
                                    metric_for_best_model="score", disable_tqdm=True)
        return Trainer(model, options, train_dataset=rows(8), eval_dataset=rows(5), callbacks=[
            EarlyStoppingCallback(3), Stop(stop)], compute_metrics=lambda p: {"score": next(scores)})

    with pytest.raises(KeyboardInterrupt):
        trainer(3).train()
    assert trainer(None).train(resume_from_checkpoint=True).global_step == 4


def test_what_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        run(tmp_path / "none", resume=True)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        run(tmp_path, resume=str(tmp_path / "checkpoint-7"))
    run(tmp_path / "run")
    with pytest.raises(deepseek.Error, match="rate"):
        run(tmp_path / "run", resume=True, learning_rate=1e-3)
    (tmp_path / "run/checkpoint-15/optimizer.safetensors").write_bytes(b"torn")
    with pytest.raises(deepseek.Error, match="optimizer.safetensors"):
        run(tmp_path / "run", resume=True)


def test_a_checkpoint_is_a_model(tmp_path):
    weights = run(tmp_path)[0]
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-15")
    assert all((data == weights[name]).all() for name, data in opened.named_parameters())
    assert json.loads((tmp_path / "checkpoint-15/config.json").read_text())["architectures"] == [
        "BertForSequenceClassification"]
