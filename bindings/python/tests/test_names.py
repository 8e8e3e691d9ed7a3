"""From names to folders, and what is said when there is none."""
import shutil
from pathlib import Path

import pytest

from deepseek import AutoModel, AutoTokenizer, Error, NotFoundError, names
from conftest import MODELS


def test_a_path_wins(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSEEK_MODELS", str(tmp_path))
    assert names.resolve(str(MODELS / "bert_seq")) == MODELS / "bert_seq"
    assert names.resolve(MODELS / "bert_seq") == MODELS / "bert_seq"
    monkeypatch.chdir(MODELS)
    (tmp_path / "bert_seq").mkdir()
    assert names.resolve("bert_seq").resolve() == MODELS / "bert_seq"


def test_roots_in_their_order(monkeypatch, tmp_path):
    for root in ("a", "b"):
        (tmp_path / root / "team/model").mkdir(parents=True)
    monkeypatch.setenv("DEEPSEEK_MODELS", f"{tmp_path}/none::{tmp_path}/b:{tmp_path}/a")
    assert names.resolve("team/model") == tmp_path / "b/team/model"


def test_data_home(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPSEEK_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    shutil.copytree(MODELS / "bert_seq", tmp_path / "deepseek/models/team/model")
    assert AutoModel.from_pretrained("team/model").config.model_type == "bert"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".local/share/deepseek/models/x").mkdir(parents=True)
    assert names.resolve("x") == tmp_path / ".local/share/deepseek/models/x"


def test_base_model(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPSEEK_MODELS", raising=False)
    model = AutoModel.from_pretrained("deepseek/base-model")  # the package's own
    assert model.config.hidden_size == 384 and len(AutoTokenizer.from_pretrained("deepseek/base-model")) == model.config.vocab_size
    (tmp_path / "deepseek/base-model").mkdir(parents=True)
    monkeypatch.setenv("DEEPSEEK_MODELS", str(tmp_path))
    assert names.resolve("deepseek/base-model") == tmp_path / "deepseek/base-model"


def test_base_model_of_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(names, "_HERE", tmp_path / "package")
    monkeypatch.setattr(names, "_checkout", lambda: tmp_path)
    (tmp_path / "models/deepseek/base-model").mkdir(parents=True)
    assert names.resolve("deepseek/base-model") == tmp_path / "models/deepseek/base-model"


def test_not_found(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPSEEK_MODELS", f"{tmp_path}/one")
    monkeypatch.setenv("XDG_DATA_HOME", f"{tmp_path}/two")
    for opener in (AutoTokenizer, AutoModel):
        with pytest.raises(FileNotFoundError) as caught:
            opener.from_pretrained("no/such-model")
        assert isinstance(caught.value, (NotFoundError, OSError)) and caught.value.status == "DS_NOT_FOUND"
        for place in (f"{tmp_path}/one/no/such-model", f"{tmp_path}/two/deepseek/models/no/such-model"):
            assert place in str(caught.value)


def test_folders_that_are_no_models(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json"):
        AutoModel.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Error, match="config.json") as caught:
        AutoModel.from_pretrained(tmp_path)
    assert caught.value.status == "DS_BAD_FORMAT"
    with pytest.raises(Error):
        AutoTokenizer.from_pretrained(tmp_path)
