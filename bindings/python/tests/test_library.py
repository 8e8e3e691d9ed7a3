"""The library under the package: threads, errors, and objects that the garbage collector takes at bad moments."""
import pickle

import pytest

import deepseek
from conftest import MODELS


def test_errors():
    for name, kind in (("DS_INVALID_ARGUMENT", ValueError), ("DS_NOT_FOUND", FileNotFoundError), ("DS_OUT_OF_MEMORY", MemoryError),
                       ("DS_MEMORY_LIMIT", MemoryError), ("DS_IO", OSError), ("DS_UNSUPPORTED", NotImplementedError)):
        error = deepseek._errors.BY_STATUS[name]("a sentence", name)
        assert isinstance(error, kind) and isinstance(error, deepseek.Error) and isinstance(error, RuntimeError)
        assert str(error) == "a sentence" and error.status == name
        assert str(pickle.loads(pickle.dumps(error))) == "a sentence"


def test_threads(run_script):
    script = """
import sys, deepseek
deepseek.set_num_threads(1)
tokenizer = deepseek.AutoTokenizer.from_pretrained(sys.argv[1])
assert deepseek.get_num_threads() == 1
deepseek.set_num_threads(1)
for wrong in (0, 257, 2):
    try:
        deepseek.set_num_threads(wrong)
    except ValueError as error:
        print(error)
"""
    done = run_script(script, str(MODELS / "bert_seq"))
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3, done.stderr


def test_no_framework_is_imported(run_script):
    script = "import sys, deepseek; print([name for name in ('torch', 'transformers', 'tensorflow') if name in sys.modules])"
    assert run_script(script).stdout == "[]\n"


def test_finalizers_at_bad_moments(run_script):
    """Cycles with open objects die wherever the collector runs, also inside of cffi's first look at a function."""
    script = """
import gc, sys, warnings
warnings.simplefilter("ignore")
gc.set_threshold(1)
from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments
def leave_a_cycle():
    model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1], num_labels=3)
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    cycle = [model, tokenizer, tokenizer("Hi")]
    cycle.append(cycle)
    return model
for _ in range(3):
    leave_a_cycle()
    leave_a_cycle()(input_ids=[[2, 3]])
    leave_a_cycle().encode("my card")
    trainer = Trainer(leave_a_cycle(), TrainingArguments("out", max_steps=2, save_steps=1, disable_tqdm=True), train_dataset=[{"text": "a", "label": 1}])
    trainer.train()
print("done")
"""
    done = run_script(script, str(MODELS / "bert_base"))
    assert done.stdout.endswith("done\n"), done.stderr
