"""pipeline(): transformers' shapes."""
import json
import shutil

import numpy as np
import pytest

from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Error, expected_calibration_error, pipeline
from conftest import MODELS, read_safetensors, texts_of


def test_text_classification():
    pipe = pipeline("text-classification", model=str(MODELS / "bert_seq"), batch_size=3)
    texts, logits = texts_of("bert_seq"), read_safetensors(MODELS / "bert_seq" / "expected.safetensors")["logits"]
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    results = pipe(texts)
    assert [one["score"] for one in results] == pytest.approx(scores.max(1).tolist(), abs=1e-5)
    assert [one["label"] for one in results] == [pipe.model.config.id2label[i] for i in scores.argmax(1)]
    assert pipe(texts[0]) == [results[0]]
    best = pipe(texts[0], top_k=2)
    assert len(best) == 2 and best[0] == results[0] and best[0]["score"] >= best[1]["score"]
    assert len(pipe(texts[:2], top_k=None)[1]) == 5 and len(pipe(texts[:2], top_k=1)[0]) == 1
    always = pipeline("text-classification", model=pipe.model, tokenizer=pipe.tokenizer, top_k=None)
    assert len(always(texts[0])) == 1 and len(always(texts[0])[0]) == 5
    assert pipe({"text": "Hi", "text_pair": "card"})["label"] in pipe.model.config.label2id
    raw = pipe(texts[0], top_k=None, function_to_apply="none")
    assert sorted(one["score"] for one in raw) == pytest.approx(sorted(logits[0].tolist()), abs=1e-5)
    with pytest.raises(ValueError, match="function_to_apply"):
        pipe("Hi", function_to_apply="argmax")


def test_temperature_and_threshold(tmp_path):
    plain = pipeline("text-classification", model=MODELS / "bert_seq", top_k=None)
    texts = texts_of("bert_seq")
    shutil.copytree(MODELS / "bert_seq", tmp_path / "warm")
    config = json.loads((tmp_path / "warm/config.json").read_text())
    (tmp_path / "warm/config.json").write_text(json.dumps({**config, "temperature": 2}))
    warm = pipeline("text-classification", model=tmp_path / "warm", top_k=None)
    raw = {"function_to_apply": "none"}
    assert warm(texts, **raw) == plain(texts, **raw)
    for one, other in zip(plain(texts), warm(texts)):
        roots = {label["label"]: label["score"] ** 0.5 for label in one}
        assert {label["label"]: label["score"] for label in other} == pytest.approx(
            {name: root / sum(roots.values()) for name, root in roots.items()}, abs=1e-6)
    warm.model.save_pretrained(tmp_path / "copy")
    assert json.loads((tmp_path / "copy/config.json").read_text())["temperature"] == 2
    scores = sorted(one[0]["score"] for one in warm(texts))
    middle = scores[len(scores) // 2]
    for one, best, cut in zip(warm(texts), warm(texts, top_k="", threshold=middle), warm(texts, threshold=middle)):
        unknown = one[0]["score"] < middle
        assert best == {"label": "unknown" if unknown else one[0]["label"], "score": one[0]["score"]}
        assert cut == ([best] if unknown else one)
    multi = pipeline("text-classification", model=MODELS / "bert_multilabel", top_k=None)
    (all_of_it,) = multi(texts[:1])
    assert multi(texts[:1], threshold=0.5) == [[label for label in all_of_it if label["score"] >= 0.5]]
    assert multi(texts[0], top_k="", threshold=1)["label"] == "unknown"
    for bad in ({"threshold": 1.5}, {"threshold": float("nan")}, {"threshold": 0.5, **raw}):
        with pytest.raises(ValueError, match="threshold"):
            plain(texts[0], **bad)
    (tmp_path / "warm/config.json").write_text(json.dumps({**config, "temperature": 0}))
    with pytest.raises(Error, match="temperature is 0"):
        pipeline("text-classification", model=tmp_path / "warm")(texts[0])


def test_expected_calibration_error():
    scores = np.array([[0.95, 0.05], [0.41, 0.59], [0.4, 0.6], [0.61, 0.39]])
    error = expected_calibration_error(scores, np.array([1, 0, 1, 0]))
    assert error == pytest.approx((0.95 + abs(1 - 1.19) + abs(1 - 0.61)) / 4, abs=1e-6)
    for bad in (scores[0], scores * 2, scores[:0]):
        with pytest.raises(ValueError, match="scores"):
            expected_calibration_error(bad, np.array([1, 0, 1, 0])[:len(bad)])


def test_other_problems():
    multi = pipeline("text-classification", model=MODELS / "bert_multilabel", top_k=None)
    logits = read_safetensors(MODELS / "bert_multilabel" / "expected.safetensors")["logits"][0]
    scores = {one["label"]: one["score"] for one in multi(texts_of("bert_multilabel")[:1])[0]}
    assert scores["über"] == pytest.approx(float(1 / (1 + np.exp(-logits[11]))), abs=1e-5)
    value = pipeline("text-classification", model=MODELS / "bert_regression")(texts_of("bert_regression")[0])
    expected = read_safetensors(MODELS / "bert_regression" / "expected.safetensors")["logits"][0, 0]
    assert value[0]["score"] == pytest.approx(float(expected), abs=1e-5)


def test_token_classification():
    pipe = pipeline("ner", model=MODELS / "bert_token", ignore_labels=[])
    text = "Anna Berger works for the Bank of Norway in Oslo."
    tokens = pipe(text)
    assert list(tokens[0]) == ["entity", "score", "index", "word", "start", "end"]
    assert tokens[0]["index"] == 1 and text[tokens[0]["start"]:tokens[0]["end"]] == tokens[0]["word"]
    kept = pipe(text, ignore_labels=["O"])
    assert kept == [one for one in tokens if one["entity"] != "O"]
    for strategy in ("simple", "first", "average", "max"):
        groups = pipe(text, aggregation_strategy=strategy)
        assert list(groups[0]) == ["entity_group", "score", "word", "start", "end"]
        assert groups[0]["start"] == 0 and groups[-1]["end"] == len(text)
        assert not any(one["entity_group"].startswith(("B-", "I-")) for one in groups)
    both = pipe([text, "Hi"])
    assert both[0] == tokens and pipe([]) == []
    with pytest.raises(ValueError, match="aggregation_strategy"):
        pipe(text, aggregation_strategy="last")


def test_feature_extraction():
    pipe = pipeline("feature-extraction", model=MODELS / "bert_base")
    expected = read_safetensors(MODELS / "bert_base" / "expected.safetensors")
    texts = texts_of("bert_base")[:2]
    one = pipe(texts[0])
    assert isinstance(one, list) and np.shape(one) == (1, expected["seq_start"][1], pipe.model.config.hidden_size)
    several = pipe(texts, return_tensors=True)
    assert np.abs(several[1][0] - expected["hidden"][slice(*expected["seq_start"][1:3])]).max() < 1e-5


def test_what_does_not_fit():
    with pytest.raises(ValueError, match="summarization"):
        pipeline("summarization", model=MODELS / "bert_seq")
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_seq")
    with pytest.raises(ValueError, match="TokenClassifier"):
        pipeline("token-classification", model=model)
    with pytest.raises(ValueError, match="int"):
        pipeline("text-classification", model=model, tokenizer=AutoTokenizer.from_pretrained(MODELS / "bert_seq"))([3])
