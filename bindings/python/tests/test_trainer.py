"""Trainer: its steps are those of transformers' Trainer, data of every form, logs, best models, callbacks."""
import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

import deepseek
from deepseek import (AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer,
                      DataCollatorWithPadding, EarlyStoppingCallback, Trainer, TrainerCallback, TrainerState,
                      TrainingArguments)
from deepseek.callbacks import EVENTS
from conftest import MODELS, rows, texts_of

pytestmark = pytest.mark.usefixtures("quiet")

# transformers 5.23's Trainer on the same models and texts: one batch of all 14 texts a step, without dropout, AdamW with a
# rate of 2e-3, a weight decay of 0.01 and two steps of warming up. Losses and gradient norms of six steps, then the loss
# of an evaluation.
TRANSFORMERS = {
    "bert_seq": ([1.85917, 1.85917, 1.6665, 1.5165, 1.43994, 1.37265], [3.5117, 3.5117, 1.8946, 1.6661, 1.9431, 1.9429],
                 1.33131),
    "bert_multilabel": ([0.83264, 0.83264, 0.79382, 0.74414, 0.72317, 0.71214],
                        [0.734, 0.734, 0.6315, 0.4024, 0.3467, 0.3317], 0.70676),
    "bert_regression": ([1.19498, 1.19498, 0.5587, 0.2367, 0.24323, 0.21565],
                        [15.7004, 15.7004, 9.1626, 2.385, 3.6055, 3.053], 0.19459),
    "roberta_seq": ([0.71358, 0.71358, 0.62879, 0.58328, 0.54213, 0.52043], [2.9766, 2.9766, 1.4907, 1.9934, 0.9224, 1.0853],
                    0.50487),
    "distilbert_token": ([1.99899, 1.99899, 1.80151, 1.75673, 1.71144, 1.6629],
                         [4.747, 4.747, 1.9552, 2.9625, 2.7464, 2.326], 1.63455),
}


def arguments(folder, **options):
    return TrainingArguments(str(folder), **{"learning_rate": 5e-3, "disable_tqdm": True, "save_strategy": "no", **options})


def new_model(labels=5, **options):
    return AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=labels, **options)


def labels_for(model, i, mask):
    count = model.config.num_labels
    if model.head == "ForTokenClassification":
        return [(j * i) % count if real and j % 3 else -100 for j, real in enumerate(mask)]
    return {"multi_label_classification": [float((i + j) % 2) for j in range(count)],
            "regression": i * 0.1}.get(model.config.problem_type, i % count)


def test_training_ends_a_calibration(tmp_path):
    shutil.copytree(MODELS / "bert_seq", tmp_path / "warm")
    config = json.loads((tmp_path / "warm/config.json").read_text())
    (tmp_path / "warm/config.json").write_text(json.dumps({**config, "temperature": 2}))
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "warm")
    assert model.config.temperature == 2
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "warm")
    data = [{**tokenizer(text, truncation=True), "labels": i % 5} for i, text in enumerate(texts_of("bert_seq"))]
    Trainer(model, arguments(tmp_path / "run", max_steps=2, save_strategy="steps", save_steps=2), train_dataset=data).train()
    assert not hasattr(model.config, "temperature")
    model.save_pretrained(tmp_path / "saved")
    for folder in (tmp_path / "saved", tmp_path / "run/checkpoint-2"):
        assert "temperature" not in json.loads((folder / "config.json").read_text())
    with pytest.warns(UserWarning, match="new one"):
        other = AutoModelForSequenceClassification.from_pretrained(tmp_path / "warm", num_labels=3)
    assert not hasattr(other.config, "temperature")


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_steps_of_transformers(name, tmp_path):
    kind = AutoModelForTokenClassification if name.endswith("token") else AutoModelForSequenceClassification
    model, tokenizer = kind.from_pretrained(MODELS / name, hidden_dropout_prob=0.0), AutoTokenizer.from_pretrained(MODELS / name)
    data = []
    for i, text in enumerate(texts_of(name)):
        encoded = tokenizer(text, truncation=True, padding="max_length", max_length=64)
        data.append({**encoded, "labels": labels_for(model, i, encoded["attention_mask"])})
    trainer = Trainer(model, arguments(tmp_path, learning_rate=2e-3, max_steps=6, per_device_train_batch_size=14,
                                       logging_steps=1, warmup_steps=2, weight_decay=0.01),
                      train_dataset=data, eval_dataset=data)
    result = trainer.train()
    logs = [log for log in trainer.state.log_history if "loss" in log]
    losses, norms, evaluated = TRANSFORMERS[name]
    assert [log["loss"] for log in logs] == pytest.approx(losses, abs=2e-4)
    assert [log["grad_norm"] for log in logs] == pytest.approx(norms, rel=1e-3)
    assert [log["learning_rate"] for log in logs] == pytest.approx([0, 1e-3, 2e-3, 1.5e-3, 1e-3, 5e-4])
    assert result.training_loss == pytest.approx(np.mean(losses), abs=2e-4) and result.global_step == 6
    assert trainer.evaluate()["eval_loss"] == pytest.approx(evaluated, abs=2e-4)


def test_the_script_as_it_stands(run_script, monkeypatch, tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows(40)))
    script = """
import csv
from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

class FinancialDataset:
    def __init__(self, tokenizer, max_length):
        with open("data.csv", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file))
        self.tokenizer, self.max_length = tokenizer, max_length
    def __len__(self):
        return len(self.rows)
    def __getitem__(self, i):
        row = self.rows[i]
        encoded = self.tokenizer(row["text"], truncation=True, padding="max_length", max_length=self.max_length)
        return {**encoded, "labels": int(row["label"])}

model = AutoModelForSequenceClassification.from_pretrained("deepseek/base-model", num_labels=5, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("deepseek/base-model")
train_dataset = FinancialDataset(tokenizer, max_length=512)
trainer = Trainer(model=model, args=TrainingArguments(per_device_train_batch_size=32, gradient_accumulation_steps=4, learning_rate=3e-5), train_dataset=train_dataset)
trainer.train()
"""
    done = run_script(script)
    assert done.returncode == 0, done.stderr
    assert "train_loss" in done.stdout and (tmp_path / "trainer_output/checkpoint-3").is_dir()
    assert "\r" not in done.stderr  # no bar where there is no terminal


def test_padding_is_never_computed(tmp_path):
    """Padded and unpadded examples, lists and arrays, collated or not: the same bits."""
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "bert_base")
    plain = [{**tokenizer(row["text"]), "label": row["label"]} for row in rows(20)]
    padded = [{**tokenizer(row["text"], padding="max_length", max_length=60, return_tensors="np"),
               "labels": np.int64(row["label"])} for row in rows(20)]
    results = []
    for data, collate in ((plain, None), (padded, None), (rows(20), None), (plain, DataCollatorWithPadding(tokenizer))):
        model = new_model()
        trainer = Trainer(model, arguments(tmp_path, max_steps=4), collate, data, tokenizer=tokenizer)
        result = trainer.train()
        results.append((result.training_loss, trainer.state.num_input_tokens_seen,
                        dict(model.named_parameters())["classifier.weight"].copy()))
    for other in results[1:]:
        assert other[:2] == results[0][:2] and (other[2] == results[0][2]).all()


def test_accumulation_is_one_step(tmp_path):
    logs = []
    for batch, parts in ((8, 1), (2, 4)):
        trainer = Trainer(new_model(), arguments(tmp_path, per_device_train_batch_size=batch, gradient_accumulation_steps=parts,
                                                 num_train_epochs=2, logging_steps=1), train_dataset=rows(20))
        assert trainer.train().global_step == 6  # two full steps and one of four examples an epoch
        logs.append([log["loss"] for log in trainer.state.log_history if "loss" in log])
    assert logs[0] == logs[1]
    dropped = Trainer(new_model(), arguments(tmp_path, dataloader_drop_last=True, num_train_epochs=2), train_dataset=rows(20))
    assert dropped.train().global_step == 4


def test_seeds(tmp_path):
    def losses(**seeds):
        trainer = Trainer(new_model(), arguments(tmp_path, max_steps=4, logging_steps=1, **seeds), train_dataset=rows(40))
        trainer.train()
        return [log["loss"] for log in trainer.state.log_history if "loss" in log]

    first = losses()
    assert losses() == first and losses(seed=7) != first
    assert losses(data_seed=7) != first  # another order, the same head


def test_logs(tmp_path, capsys):
    trainer = Trainer(new_model(), arguments(tmp_path, num_train_epochs=2, logging_steps=2, logging_first_step=True,
                                             eval_strategy="epoch"),
                      train_dataset=rows(24), eval_dataset=rows(10),
                      compute_metrics=lambda p: {"accuracy": (p.predictions.argmax(-1) == p.label_ids).mean()})
    metrics = trainer.train().metrics
    history = trainer.state.log_history
    assert [log["step"] for log in history if "loss" in log] == [1, 2, 4, 6]
    evaluations = [log for log in history if "eval_loss" in log]
    assert [log["epoch"] for log in evaluations] == [1, 2] and 0 <= evaluations[0]["eval_accuracy"] <= 1
    assert {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"} <= evaluations[0].keys()
    assert {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "epoch"} == metrics.keys()
    assert "'loss': " in capsys.readouterr().out
    trainer.save_state()
    assert TrainerState.load_from_json(f"{tmp_path}/trainer_state.json") == trainer.state
    with pytest.raises(ValueError, match="num_labels"):
        Trainer(new_model(2), arguments(tmp_path), train_dataset=rows(8)).train()


def test_predict(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq")
    trainer = Trainer(model, arguments(tmp_path))
    output = trainer.predict(rows(11))
    assert output.predictions.shape == (11, 5) and output.label_ids.tolist() == [i % 5 for i in range(11)]
    assert output.metrics["test_loss"] > 0 and "test_runtime" in output.metrics
    unlabelled = trainer.predict([{"text": "my card"}])
    assert unlabelled.label_ids is None and "test_loss" not in unlabelled.metrics
    tags = Trainer(AutoModelForTokenClassification.from_pretrained(MODELS / "bert_token"), arguments(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "bert_token")
    encoded = [tokenizer(text, truncation=True) for text in texts_of("bert_token")[:3]]
    data = [{**one, "labels": [1] * len(one["input_ids"])} for one in encoded]
    output = tags.predict(data)
    longest = max(len(one["input_ids"]) for one in encoded)
    assert output.predictions.shape == (3, longest, 7) and output.label_ids.shape == (3, longest)
    assert (output.predictions[0, len(encoded[0]["input_ids"]):] == -100).all()


def test_best_model(tmp_path):
    scores = iter([0.5, 0.9, 0.2, 0.1, 0.3, 0.4])
    taken = {}

    class Take(TrainerCallback):
        def on_save(self, args, state, control, model, **kwargs):
            taken[state.global_step] = dict(model.named_parameters())["classifier.weight"].copy()

    model = new_model()
    trainer = Trainer(model, arguments(tmp_path, num_train_epochs=5, eval_strategy="epoch", save_strategy="epoch",
                                       save_total_limit=2, load_best_model_at_end=True, metric_for_best_model="score"),
                      train_dataset=rows(16), eval_dataset=rows(5), compute_metrics=lambda p: {"score": next(scores)},
                      callbacks=[Take])
    trainer.train()
    assert trainer.state.best_metric == 0.9 and trainer.state.best_model_checkpoint.endswith("checkpoint-4")
    assert (dict(model.named_parameters())["classifier.weight"] == taken[4]).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-4"]
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-4")
    assert opened.config.num_labels == 5 and (dict(opened.named_parameters())["classifier.weight"] == taken[4]).all()


def test_best_metric_that_is_missing(tmp_path):
    trainer = Trainer(new_model(), arguments(tmp_path, eval_strategy="epoch", metric_for_best_model="f1"),
                      train_dataset=rows(8), eval_dataset=rows(5))
    with pytest.raises(ValueError, match="f1"):
        trainer.train()


def test_early_stopping(tmp_path):
    scores = iter([0.5, 0.6, 0.55, 0.5, 0.9, 0.9])
    trainer = Trainer(new_model(), arguments(tmp_path, num_train_epochs=6, eval_strategy="epoch",
                                             metric_for_best_model="score"),
                      train_dataset=rows(8), eval_dataset=rows(5), compute_metrics=lambda p: {"score": next(scores)},
                      callbacks=[EarlyStoppingCallback(early_stopping_patience=2)])
    assert trainer.train().global_step == 4
    with pytest.raises(ValueError, match="metric_for_best_model"):
        Trainer(new_model(), arguments(tmp_path), train_dataset=rows(8), callbacks=[EarlyStoppingCallback]).train()


def test_callbacks(tmp_path):
    seen = []

    def hook(name):
        return lambda self, args, state, control, **kwargs: seen.append((name, state.global_step, set(kwargs)))

    every = type("Every", (TrainerCallback,), {name: hook(name) for name in EVENTS})
    trainer = Trainer(new_model(), arguments(tmp_path, num_train_epochs=1, eval_strategy="epoch", save_strategy="epoch",
                                             logging_steps=1),
                      train_dataset=rows(16), eval_dataset=rows(9), callbacks=[every])
    trainer.train()
    trainer.predict(rows(2))
    names = [name for name, _, _ in seen]
    step = ["on_step_begin", "on_optimizer_step", "on_step_end", "on_log"]
    assert names == ["on_init_end", "on_train_begin", "on_epoch_begin", *step, *step, "on_epoch_end", "on_prediction_step",
                     "on_prediction_step", "on_log", "on_evaluate", "on_save", "on_log", "on_train_end", "on_prediction_step",
                     "on_predict"]
    assert set(EVENTS) - set(names) == {"on_pre_optimizer_step", "on_substep_end"}
    assert all({"model", "processing_class", "train_dataset", "eval_dataset"} <= extra for _, _, extra in seen)
    assert trainer.pop_callback(every) is not None and trainer.pop_callback(every) is None


def test_control(tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_epoch_stop = state.global_step == 1
            control.should_training_stop = state.global_step == 3
            control.should_log = control.should_save = True

    trainer = Trainer(new_model(), arguments(tmp_path, num_train_epochs=9), train_dataset=rows(24), callbacks=[Stop()])
    assert trainer.train().global_step == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1", "checkpoint-2", "checkpoint-3"]
    assert [log["step"] for log in trainer.state.log_history if "loss" in log] == [1, 2, 3]


def test_gradients_are_there_behind_a_step(tmp_path):
    norms = []

    class Look(TrainerCallback):
        def on_optimizer_step(self, args, state, control, model, **kwargs):
            norms.append(math.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for _, g in model.named_gradients())))

    trainer = Trainer(new_model(), arguments(tmp_path, max_steps=2, logging_steps=1), train_dataset=rows(16), callbacks=[Look])
    trainer.train()
    assert norms == pytest.approx([log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log], rel=1e-4)


def test_training_goes_on_from_what_was_learned(tmp_path):
    model = new_model(hidden_dropout_prob=0.0)
    Trainer(model, arguments(tmp_path, num_train_epochs=30), train_dataset=rows(20)).train()
    first = Trainer(model, arguments(tmp_path), eval_dataset=rows(20)).evaluate()["eval_loss"]
    second = Trainer(model, arguments(tmp_path, max_steps=1, learning_rate=1e-9, logging_steps=1), train_dataset=rows(20))
    second.train()
    assert second.state.log_history[0]["loss"] == pytest.approx(first, abs=0.2) and first < 1.3
    model.save_pretrained(tmp_path / "model")
    saved = Trainer(AutoModelForSequenceClassification.from_pretrained(tmp_path / "model"), arguments(tmp_path))
    assert saved.predict(rows(20)).metrics["test_loss"] == pytest.approx(first, abs=1e-5)


def test_save_model(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "bert_base")
    trainer = Trainer(new_model(), arguments(tmp_path / "out", max_steps=1), train_dataset=rows(8), processing_class=tokenizer)
    trainer.train()
    trainer.save_model()
    assert AutoTokenizer.from_pretrained(tmp_path / "out")("Hi") == tokenizer("Hi")
    assert AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").config.num_labels == 5


@pytest.mark.parametrize("item, sentence", [
    ({"label": 1}, "input_ids or text"), ({"text": "a", "label": 9}, "num_labels"), ({"text": "a", "label": -1}, "num_labels"),
    ({"text": "a", "label": [0.5, 0.5]}, "5"), ({"text": 3, "label": 1}, "str"), ({"input_ids": [], "label": 1}, "no tokens"),
    ({"input_ids": [[1, 2], [3, 4]], "label": 1}, "shape"), ({"input_ids": [1.5], "label": 1}, "integers"),
    ({"input_ids": [10**6], "label": 1}, "")])
def test_items_that_cannot_be_used(item, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        Trainer(new_model(), arguments(tmp_path), train_dataset=[item]).train()


def test_datasets_that_cannot_be_used(tmp_path):
    with pytest.raises(ValueError, match="train_dataset"):
        Trainer(new_model(), arguments(tmp_path)).train()
    with pytest.raises(ValueError, match="0 examples"):
        Trainer(new_model(), arguments(tmp_path), train_dataset=[]).train()
    with pytest.raises(TypeError, match="__len__"):
        Trainer(new_model(), arguments(tmp_path), train_dataset=iter([])).train()
    with pytest.raises(TypeError, match="dict"):
        Trainer(new_model(), arguments(tmp_path), train_dataset=["text"]).train()
    with pytest.raises(ValueError, match="have no label"):
        Trainer(new_model(), arguments(tmp_path), train_dataset=[{"text": "a", "label": 1}, {"text": "b"}]).train()


def test_divergence(tmp_path):
    model = new_model()
    next(data for name, data in model.named_parameters() if name == "classifier.bias")[0] = np.nan
    with pytest.raises(deepseek.DivergedError) as caught:
        Trainer(model, arguments(tmp_path), train_dataset=rows(8)).train()
    assert caught.value.status == "DS_DIVERGED"


@pytest.mark.parametrize("options", [{"bf16": True}, {"gradient_checkpointing": True}, {"memory_efficient": True},
                                     {"quantization_aware": True}, {"optim": "sgd"}, {"lr_scheduler_type": "cosine"},
                                     {"lr_scheduler_type": "constant"}, {"layer_decay": 0.9}, {"freeze": ["*embeddings*"]},
                                     {"label_smoothing_factor": 0.1}, {"max_grad_norm": 0}, {"micro_batch_tokens": 64}])
def test_options_reach_the_library(options, tmp_path):
    def trained(**chosen):
        model = new_model()
        Trainer(model, arguments(tmp_path, max_steps=3, **chosen), train_dataset=rows(24)).train()
        return model

    model, weights = trained(**options), dict(trained().named_parameters())
    change = max(float(np.abs(data - weights[name]).max()) for name, data in model.named_parameters())
    same_arithmetic = options.keys() & {"gradient_checkpointing", "memory_efficient", "micro_batch_tokens"}
    assert change < 1e-5 if same_arithmetic else change > 0
    if "freeze" in options:
        assert model.num_parameters(only_trainable=True) < model.num_parameters()
    assert np.isfinite(model([[2, 50, 3]]).logits).all()


def test_interrupt(tmp_path):
    """Ctrl-C ends the run between two steps, and nothing is left half written."""
    script = """
import os, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it ignored
from deepseek import AutoModelForSequenceClassification, Trainer, TrainingArguments
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=2)
rows = [{"text": "my card", "label": 0}, {"text": "a fee", "label": 1}] * 8
trainer = Trainer(model, TrainingArguments("out", max_steps=10**6, save_steps=20, save_total_limit=2, disable_tqdm=True), train_dataset=rows)
threading.Thread(target=lambda: (time.sleep(1.5), os.kill(os.getpid(), signal.SIGINT)), daemon=True).start()
try:
    trainer.train()
except KeyboardInterrupt:
    print("stopped at", trainer.state.global_step, model(input_ids=[[2, 3]]).logits.shape)
"""
    done = subprocess.run([sys.executable, "-c", script, str(MODELS / "bert_base")], cwd=tmp_path, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0 and "stopped at" in done.stdout, done.stderr
    assert all(path.name.startswith("checkpoint-") for path in (tmp_path / "out").iterdir())
