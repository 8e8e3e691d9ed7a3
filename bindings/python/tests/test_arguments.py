"""TrainingArguments: transformers' names and defaults, and what is refused."""
import warnings

import pytest

from deepseek import TrainingArguments


def test_defaults():
    args = TrainingArguments()
    assert (args.output_dir, args.per_device_train_batch_size, args.learning_rate, args.weight_decay, args.num_train_epochs,
            args.max_steps, args.lr_scheduler_type, args.logging_steps, args.save_steps, args.seed, args.max_grad_norm) == (
                "trainer_output", 8, 5e-5, 0.0, 3.0, -1, "linear", 500, 500, 42, 1.0)
    options = args.trainer_options(100)
    assert options["weight_decay"] < 0  # the library's 0 would mean 0.01
    assert options["total_steps"] == 100 and options["warmup_steps"] == 0 and "precision" not in options


def test_unknown_names():
    with pytest.raises(TypeError, match="learning_rate"):
        TrainingArguments(learnig_rate=1e-3)
    with pytest.raises(TypeError, match="eval_strategy"):
        TrainingArguments(evaluation_strategy="epoch")
    with pytest.raises(TypeError, match="zzzz"):
        TrainingArguments(zzzz=1)


@pytest.mark.parametrize("wrong", [{"optim": "lion"}, {"lr_scheduler_type": "polynomial"}, {"eval_strategy": "never"},
                                   {"per_device_train_batch_size": 0}, {"gradient_accumulation_steps": 0},
                                   {"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"adam_beta1": 0}, {"fp16": True},
                                   {"push_to_hub": True}, {"num_train_epochs": 0}, {"loss": "hinge"}, {"save_steps": 0},
                                   {"load_best_model_at_end": True},
                                   {"load_best_model_at_end": True, "eval_strategy": "epoch"}])
def test_refused(wrong):
    with pytest.raises(ValueError):
        TrainingArguments(**wrong)


def test_what_follows():
    best = TrainingArguments(load_best_model_at_end=True, eval_strategy="epoch", save_strategy="epoch")
    assert best.metric_for_best_model == "loss" and best.greater_is_better is False
    assert TrainingArguments(metric_for_best_model="accuracy").greater_is_better is True
    assert TrainingArguments(eval_strategy="steps", logging_steps=20).eval_steps == 20
    assert TrainingArguments(warmup_ratio=0.1).warmup(95) == 10 and TrainingArguments(warmup_steps=7).warmup(95) == 7
    assert TrainingArguments(warmup_steps=0.1).warmup(95) == 10
    assert TrainingArguments(lr_scheduler_type="constant", warmup_steps=5).trainer_options(9)["warmup_steps"] == 0
    assert TrainingArguments(bf16=True, freeze=["*embed*"]).trainer_options(9)["freeze_count"] == 1
    with pytest.warns(UserWarning, match="wandb"):
        TrainingArguments(report_to="wandb")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrainingArguments("out", report_to="none", remove_unused_columns=False, dataloader_num_workers=4, use_cpu=True)
