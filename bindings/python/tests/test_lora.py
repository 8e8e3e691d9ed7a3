"""LoRA as peft has it."""
import json

import numpy as np
import pytest

from deepseek import (AutoModelForSequenceClassification, AutoTokenizer, LoraConfig, NotFoundError, PeftModel, Trainer,
                      TrainingArguments, get_peft_model)
from conftest import MODELS, read_safetensors, rows

pytestmark = pytest.mark.usefixtures("quiet")


def trained(tmp_path, config):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=5)
    model = get_peft_model(model, config)
    Trainer(model, TrainingArguments(str(tmp_path / "out"), max_steps=8, learning_rate=1e-2, save_steps=4, disable_tqdm=True),
            train_dataset=rows(40)).train()
    return model


def batch():
    return AutoTokenizer.from_pretrained(MODELS / "bert_base")(["my card", "a refund"], padding=True, return_tensors="np")


def test_adapters(tmp_path, capsys):
    model = trained(tmp_path, LoraConfig(r=4, lora_alpha=8, target_modules=["query", "key", "value"], task_type="SEQ_CLS"))
    model.print_trainable_parameters()
    assert "trainable params: 2,301" in capsys.readouterr().out  # 2 layers x 3 x 2 x 4 x 28, and the head
    names = [name for name, _ in model.named_parameters()]
    assert sum(".lora_A." in name for name in names) == 6
    model.save_pretrained(tmp_path / "adapters")
    assert {path.name for path in (tmp_path / "adapters").iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    config = json.loads((tmp_path / "adapters/adapter_config.json").read_text())
    assert config["r"] == 4 and config["lora_alpha"] == 8 and set(config["target_modules"]) == {"query", "key", "value"}
    tensors = read_safetensors(tmp_path / "adapters/adapter_model.safetensors")
    assert len(tensors) == 16 and all(name.startswith("base_model.model.") for name in tensors)


def test_merging(tmp_path):
    model = trained(tmp_path, LoraConfig())
    before = model(**batch()).logits
    merged = model.merge_and_unload()
    assert merged is model and np.abs(model(**batch()).logits - before).max() < 1e-5
    assert not any(".lora_" in name for name, _ in model.named_parameters())
    model.save_pretrained(tmp_path / "merged")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert np.abs(again(**batch()).logits - before).max() < 1e-5
    assert model.num_parameters(only_trainable=True) == model.num_parameters()


def test_frozen_weights_stay(tmp_path):
    model = trained(tmp_path, LoraConfig(target_modules="all-linear"))
    assert not any("classifier.lora" in name or "pooler.dense.lora" in name for name, _ in model.named_parameters())
    start = read_safetensors(MODELS / "bert_base/model.safetensors")
    for name, data in model.named_parameters():
        stored = start.get(name.removeprefix("bert."))
        if stored is not None and "pooler" not in name:  # which belongs to the head
            assert (data == stored).all()


def test_resume(tmp_path):
    model = trained(tmp_path, LoraConfig())
    again = get_peft_model(AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=5), LoraConfig())
    trainer = Trainer(again, TrainingArguments(str(tmp_path / "out"), max_steps=8, learning_rate=1e-2, disable_tqdm=True),
                      train_dataset=rows(40))
    trainer.train(resume_from_checkpoint=str(tmp_path / "out/checkpoint-4"))
    assert (again(**batch()).logits == model(**batch()).logits).all()


ADAPTERS = MODELS.parent / "adapters"


@pytest.mark.parametrize("name, base, labels", [("sequence", "bert_seq", 5), ("new_head", "bert_base", 3),
                                                ("distilbert", "distilbert_seq", 3)])
def test_adapters_of_peft(tmp_path, name, base, labels):
    expected = read_safetensors(ADAPTERS / name / "expected.safetensors")
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / base, num_labels=labels)
    assert PeftModel.from_pretrained(model, ADAPTERS / name) is model
    ends = expected["seq_start"].tolist()
    rows_of = [model(input_ids=[expected["ids"][a:b].tolist()]).logits[0] for a, b in zip(ends, ends[1:])]
    assert np.abs(np.stack(rows_of) - expected["logits"]).max() < 1e-4
    model.save_pretrained(tmp_path / "merged")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    assert again.config.num_labels == labels
    assert np.abs(again(input_ids=[expected["ids"][:ends[1]].tolist()]).logits[0] - expected["logits"][0]).max() < 1e-4


def test_our_adapters_come_back(tmp_path):
    model = trained(tmp_path, LoraConfig(r=2))
    before = model(**batch()).logits
    model.save_pretrained(tmp_path / "adapters")
    base = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=5)
    assert np.abs(PeftModel.from_pretrained(base, tmp_path / "adapters")(**batch()).logits - before).max() < 1e-5


def test_adapters_that_do_not_fit():
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=4)
    with pytest.raises(ValueError, match="no head for the model's 4 labels"):
        PeftModel.from_pretrained(model, ADAPTERS / "new_head")
    with pytest.raises(NotFoundError, match="adapter_config.json"):
        PeftModel.from_pretrained(model, MODELS / "bert_base")
    with pytest.raises(ValueError, match="already"):
        PeftModel.from_pretrained(get_peft_model(model, LoraConfig()), ADAPTERS / "new_head")


@pytest.mark.parametrize("name", ["distilbert_seq", "roberta_seq"])
def test_other_architectures(tmp_path, name):
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(MODELS / name), LoraConfig(r=2))
    count = model.config.num_labels
    Trainer(model, TrainingArguments(str(tmp_path), max_steps=2, save_strategy="no", disable_tqdm=True),
            train_dataset=rows(8, count)).train()
    assert sum(".lora_A." in name for name, _ in model.named_parameters()) == 2 * len(
        {name.split("layer.")[1].split(".")[0] for name, _ in model.named_parameters() if "layer." in name})


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match="r is 0"):
        LoraConfig(r=0)
    with pytest.raises(ValueError, match="bias"):
        LoraConfig(bias="all")
    model = get_peft_model(AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq"), LoraConfig())
    with pytest.raises(ValueError, match="already"):
        get_peft_model(model, LoraConfig())
    with pytest.warns(UserWarning, match="lora_dropout"):
        LoraConfig(lora_dropout=0.1)
