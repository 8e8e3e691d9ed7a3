"""The examples run as they stand, on deepseek/base-model."""
import pytest

from conftest import MODELS, ROOT

EXAMPLES = ROOT / "examples" / "python"


def test_finetune_and_distil(run_script, tmp_path):
    done = run_script(EXAMPLES / "finetune.py", "--epochs", "2")
    assert done.returncode == 0 and "eval_accuracy" in done.stdout and "->" in done.stdout, done.stderr
    (tmp_path / "texts.txt").write_text("my card\n\nthe rate\n")
    for more in ([], ["--texts", "texts.txt"]):
        done = run_script(EXAMPLES / "distil.py", "finetuned", "--epochs", "1", "--output", f"out{len(more)}", *more)
        assert done.returncode == 0 and "agrees" in done.stdout, done.stderr


def test_finetune_on_a_file(run_script, tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n" + "my card,a\nthe fee,b\n" * 10)
    done = run_script(EXAMPLES / "finetune.py", "--data", "data.csv", "--model", str(MODELS / "bert_base"), "--output", "m")
    assert done.returncode == 0 and (tmp_path / "m/config.json").is_file(), done.stderr


@pytest.mark.parametrize("name, said", [("lora.py", "trainable params"), ("resume.py", "the same bits")])
def test_the_others(run_script, name, said):
    done = run_script(EXAMPLES / name)
    assert done.returncode == 0 and said in done.stdout, done.stderr
