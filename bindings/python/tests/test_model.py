"""Models against what PyTorch computed, and the surface that transformers' models have."""
import gc
import json
import threading
import warnings

import numpy as np
import pytest

import deepseek
from deepseek import (AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoTokenizer)
from conftest import MODELS, read_safetensors, texts_of

NAMES = ["bert_seq", "bert_token", "bert_multilabel", "bert_regression", "roberta_seq", "roberta_token", "distilbert_seq",
         "distilbert_token", "bert_base", "bert_sharded", "st_max"]
TOLERANCE = 1e-5


def opened(name):
    kind = (AutoModelForTokenClassification if name.endswith("_token") else AutoModel if name.split("_")[1] in
            ("base", "sharded", "max") else AutoModelForSequenceClassification)
    return kind.from_pretrained(MODELS / name)


def batch_of(name, **options):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    return tokenizer(texts_of(name), truncation=True, max_length=64, padding=True, return_tensors="np", **options)


@pytest.mark.parametrize("name", NAMES)
def test_outputs_of_pytorch(name):
    expected, batch = read_safetensors(MODELS / name / "expected.safetensors"), batch_of(name)
    mask = batch["attention_mask"] != 0
    model = opened(name)
    output = model(**batch)
    if model.head is None:
        assert np.abs(output.last_hidden_state[mask] - expected["hidden"]).max() < TOLERANCE
        assert not output.last_hidden_state[~mask].any()
    else:
        logits = output.logits[mask] if output.logits.ndim == 3 else output.logits
        assert np.abs(logits - expected["logits"]).max() < TOLERANCE
        assert output.loss is None and output[0] is output.logits and list(output) == ["logits"]
    assert np.abs(AutoModel.from_pretrained(MODELS / name).encode(texts_of(name)) - expected["embedding"]).max() < TOLERANCE


def test_padding_changes_nothing():
    model, tokenizer = opened("bert_seq"), AutoTokenizer.from_pretrained(MODELS / "bert_seq")
    alone = [model(np.array([tokenizer(text)["input_ids"]])).logits[0] for text in ("Hi", "Where is my card?")]
    for padding in (True, "max_length"):
        together = model(**tokenizer(["Hi", "Where is my card?"], padding=padding, return_tensors="np")).logits
        assert (together == np.stack(alone)).all()
    assert (model(tokenizer("Hi")["input_ids"]).logits[0] == alone[0]).all()  # lists, one text


def test_losses():
    model, batch = opened("bert_seq"), batch_of("bert_seq")
    labels = np.arange(len(batch["input_ids"])) % 5
    output = model(**batch, labels=labels)
    shifted = output.logits - output.logits.max(1, keepdims=True)
    expected = -(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))[np.arange(len(labels)), labels].mean()
    assert output.loss == pytest.approx(expected, rel=1e-5) and output["loss"] is output[0]
    with pytest.raises(ValueError, match="0 to 4"):
        model(**batch, labels=labels + 5)
    with pytest.raises(ValueError, match="shape"):
        model(**batch, labels=labels[:3])
    multi, batch = opened("bert_multilabel"), batch_of("bert_multilabel")
    targets = np.zeros((len(batch["input_ids"]), 12))
    logits = multi(**batch).logits
    assert multi(**batch, labels=targets).loss == pytest.approx(np.log1p(np.exp(logits)).mean(), rel=1e-5)
    regression, batch = opened("bert_regression"), batch_of("bert_regression")
    values = regression(**batch).logits
    assert regression(**batch, labels=values[:, 0] + 2).loss == pytest.approx(4, rel=1e-5)
    token, batch = opened("bert_token"), batch_of("bert_token")
    tags = np.where(batch["attention_mask"] != 0, 3, -100)
    everything = token(**batch, labels=tags).loss
    tags[:, 0] = -100
    assert np.isfinite(everything) and token(**batch, labels=tags).loss != everything
    with pytest.raises(ValueError, match="no loss"):
        AutoModel.from_pretrained(MODELS / "bert_seq")(**batch_of("bert_seq"), labels=[1])


def test_inputs_that_do_not_fit():
    model = opened("bert_seq")
    with pytest.raises(ValueError, match="attention_mask"):
        model([[1, 2, 3]], attention_mask=[[1, 1]])
    with pytest.raises(ValueError, match="no tokens"):
        model([[1, 2], [1, 2]], attention_mask=[[1, 1], [0, 0]])
    with pytest.raises(ValueError, match="integers"):
        model(np.ones((1, 3)))
    with pytest.raises(ValueError) as caught:
        model([[1, 2, 10**6]])
    assert isinstance(caught.value, deepseek.Error) and caught.value.status == "DS_INVALID_ARGUMENT"
    with pytest.raises(deepseek.Error):
        model([[5] * 65])


def test_encode():
    model = AutoModel.from_pretrained(MODELS / "bert_seq_st")
    texts = texts_of("bert_seq_st") * 60  # more than one call of the library
    vectors = model.encode(texts, batch_size=4, show_progress_bar=True)
    assert vectors.shape == (len(texts), model.config.hidden_size) and vectors.dtype == np.float32
    assert (vectors[:14] == model.encode(texts[:14])).all() and (model.encode(texts[3]) == vectors[3]).all()
    assert isinstance(model.encode(texts[:2], convert_to_numpy=False), list)
    unit = model.encode(texts[:5], normalize_embeddings=True)
    assert np.allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
    assert model.encode([]).shape == (0, model.config.hidden_size)


def test_precisions():
    batch = batch_of("bert_seq")
    exact = opened("bert_seq")(**batch).logits
    for options in ({"dtype": "bfloat16"}, {"torch_dtype": "bfloat16"}, {"quantization": "int8"}):
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", **options)
        difference = np.abs(model(**batch).logits - exact).max()
        assert 0 < difference < 0.2
    for options in ({"dtype": "auto"}, {"dtype": "float32"}, {"torch_dtype": np.float32}):
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", **options)
        assert (model(**batch).logits == exact).all() and model.dtype == "float32"
    assert AutoModel.from_pretrained(MODELS / "bert_bf16", dtype="auto").dtype in ("float32", "bfloat16")
    for options in ({"dtype": "float16"}, {"quantization": "int4"}, {"device_map": "cuda"}, {"device_map": {"": 0}},
                    {"problem_type": "ranking"}, {"num_labels": 0}):
        with pytest.raises(ValueError, match=str(list(options)[0])):
            AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", **options)
    with pytest.raises(TypeError, match="flash"):
        AutoModel.from_pretrained(MODELS / "bert_seq", flash=True)
    AutoModel.from_pretrained(MODELS / "bert_seq", device_map="auto", trust_remote_code=True, revision="main")


def test_configuration_and_habits():
    model = opened("bert_seq")
    assert model.config.num_labels == 5 and model.config.id2label[1] == "exchange_rate"
    assert model.config.label2id["exchange_rate"] == 1 and model.config.hidden_size == 32
    assert model.eval() is model and not model.training and model.train().training and model.to("cpu") is model
    assert model.device == "cpu" and "BertForSequenceClassification" in repr(model)
    assert model.num_parameters() == 27245


def test_new_heads_warn():
    with pytest.warns(UserWarning, match="5 labels.*new one for 3"):
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", num_labels=3)
    assert model.config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    with pytest.warns(UserWarning, match="no head"):
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base")
    assert model.config.num_labels == 2
    with pytest.warns(UserWarning, match="no head"):
        model = AutoModelForTokenClassification.from_pretrained(MODELS / "bert_seq", id2label={0: "O", 1: "X"})
    assert model(**batch_of("bert_seq")).logits.shape[2] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", num_labels=5)
        assert model.config.id2label[1] == "exchange_rate"
        renamed = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", id2label=dict(enumerate("abcde")))
    assert renamed.config.label2id == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4}
    assert (renamed(**batch_of("bert_seq")).logits == model(**batch_of("bert_seq")).logits).all()
    with pytest.raises(ValueError, match="id2label"):
        AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", id2label={1: "a"})


def test_a_new_head_is_drawn_once(quiet):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=7)
    batch = batch_of("bert_base")
    assert model(**batch).logits.shape[1] == 7 and (model(**batch).logits == model(**batch).logits).all()
    assert model.num_parameters(only_trainable=True) == model.num_parameters()


def test_parameters_are_the_library_s_memory(quiet):
    model, batch = opened("bert_seq"), batch_of("bert_seq")
    before = model(**batch).logits
    parameters = dict(model.named_parameters())
    assert np.abs(model(**batch).logits - before).max() < TOLERANCE
    bias = parameters["classifier.bias"]
    assert bias.flags.writeable and bias.dtype == np.float32 and not bias.flags.owndata
    bias += 3
    assert np.abs(model(**batch).logits - before - 3).max() < TOLERANCE
    assert dict(model.named_parameters())["classifier.bias"][0] == bias[0]
    del model
    gc.collect()
    bias[...] = 1  # still the library's memory, kept alive by the view
    assert bias.sum() == 5


def test_hidden_states_follow_the_parameters(quiet):
    model = AutoModel.from_pretrained(MODELS / "bert_base")
    before = model.encode("my card")
    dict(model.named_parameters())["embeddings.LayerNorm.bias"][...] += 1
    assert np.abs(model.encode("my card") - before).max() > 1e-3
    assert model([[2, 50, 3]]).last_hidden_state.shape == (1, 3, model.config.hidden_size)


@pytest.mark.parametrize("dtype", [None, "float32", "float16", "bfloat16", "int8"])
def test_save(tmp_path, dtype, quiet):
    model, batch = opened("bert_seq"), batch_of("bert_seq")
    model.save_pretrained(tmp_path / "saved", dtype=dtype)
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved")
    difference = np.abs(again(**batch).logits - model(**batch).logits).max()
    assert difference < {None: 1e-9, "float32": TOLERANCE, "float16": 0.01, "bfloat16": 0.1, "int8": 0.2}[dtype]
    assert again.config.id2label == model.config.id2label
    assert AutoTokenizer.from_pretrained(tmp_path / "saved")("Hi") == AutoTokenizer.from_pretrained(MODELS / "bert_seq")("Hi")


def test_save_over_what_is_there(tmp_path, quiet):
    opened("bert_sharded").save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("model-*.safetensors"))) == 4
    (tmp_path / "notes.txt").write_text("mine")
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq", id2label=dict(enumerate("abcde")))
    model.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.glob("model*.safetensors*")] == ["model.safetensors"]
    assert (tmp_path / "notes.txt").read_text() == "mine" and not list(tmp_path.glob(".*"))
    assert json.loads((tmp_path / "config.json").read_text())["id2label"]["4"] == "e"
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        model.save_pretrained(tmp_path / "file")
    with pytest.raises(ValueError, match="int4"):
        model.save_pretrained(tmp_path / "x", dtype="int4")


def test_threads():
    model, batch = opened("bert_seq"), batch_of("bert_seq")
    expected, wrong = model(**batch).logits, []

    def work():
        for _ in range(20):
            if not (model(**batch).logits == expected).all():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
