"""Models without a head learn from pairs and from a teacher's vectors; heads from a teacher's probabilities."""
import numpy as np
import pytest

from deepseek import AutoModel, AutoModelForSequenceClassification, Trainer, TrainingArguments
from conftest import MODELS, WORDS, rows

pytestmark = pytest.mark.usefixtures("quiet")


def pairs(count):
    return [{"text": f"the {WORDS[i % 5]} {i}", "text_pair": f"my {WORDS[(i * i) % 5]}", "label": float(i % 5 == (i * i) % 5)}
            for i in range(count)]


def trainer(model, data, tmp_path, **options):
    chosen = {"max_steps": 60, "learning_rate": 3e-3, "save_strategy": "no", "disable_tqdm": True, **options}
    return Trainer(model, TrainingArguments(str(tmp_path), **chosen), train_dataset=data, eval_dataset=data)


def test_scores(tmp_path):
    model, data = AutoModel.from_pretrained(MODELS / "st_mean"), pairs(20)
    trainer_ = trainer(model, data, tmp_path)
    before = trainer_.evaluate()["eval_loss"]
    trainer_.train()
    metrics = trainer_.evaluate()
    assert metrics["eval_loss"] < before * 0.9
    output = trainer_.predict(data)
    assert output.predictions.shape == (20, 2, model.config.hidden_size) and output.label_ids.shape == (20,)
    a, b = output.predictions[:, 0], output.predictions[:, 1]
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert metrics["eval_loss"] == pytest.approx(((cosine - output.label_ids) ** 2).mean(), abs=1e-5)
    assert np.abs(model.encode([row["text"] for row in data]) - a).max() < 1e-6  # encode() sees what was learned
    model.save_pretrained(tmp_path / "model")
    assert np.abs(AutoModel.from_pretrained(tmp_path / "model").encode("the card 0") - a[0]).max() < 1e-5


def test_other_pairs_as_wrong_answers(tmp_path):
    data = [{"text": f"the {word}", "text_pair": f"my {WORDS[(i + 2) % 5]}"} for i, word in enumerate(WORDS)]
    model = AutoModel.from_pretrained(MODELS / "bert_base", hidden_dropout_prob=0.0)
    run = trainer(model, data, tmp_path, per_device_train_batch_size=5, learning_rate=5e-4)
    before = run.evaluate()["eval_loss"]
    run.train()
    assert run.evaluate()["eval_loss"] < before and run.predict(data).label_ids is None


def test_a_teachers_vectors(tmp_path):
    teacher = AutoModel.from_pretrained(MODELS / "bert_base")
    texts = [row["text"] for row in rows(10)]
    target = np.tile(np.linspace(-0.5, 0.5, teacher.config.hidden_size, dtype=np.float32), (10, 1))
    student = AutoModel.from_pretrained(MODELS / "bert_base")
    run = trainer(student, [{"text": text, "labels": vector} for text, vector in zip(texts, target)], tmp_path)
    before = run.evaluate()["eval_loss"]
    assert before == pytest.approx(((teacher.encode(texts) - target) ** 2).mean(), rel=1e-4)
    run.train()
    assert run.evaluate()["eval_loss"] < before / 2


def test_a_teachers_probabilities(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_base", num_labels=3, hidden_dropout_prob=0.0)
    data = [{"text": row["text"], "labels": [0.2, 0.3, 0.5]} for row in rows(16)]
    run = trainer(model, data, tmp_path, loss="soft_labels")
    run.train()
    entropy = -(np.array([0.2, 0.3, 0.5]) * np.log([0.2, 0.3, 0.5])).sum()
    assert run.evaluate()["eval_loss"] == pytest.approx(entropy, abs=0.05)
    assert model.config.problem_type == "single_label_classification"


def test_pairs_of_classification_are_one_text(tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / "bert_pair")
    output = trainer(model, None, tmp_path).predict([{"text": "my card", "text_pair": "the card", "label": 1}])
    assert output.predictions.shape == (1, 2)
