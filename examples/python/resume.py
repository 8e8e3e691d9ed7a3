"""Stopping and going on: the same bits as if nothing had happened.

  python resume.py [--model NAME] [--output FOLDER]

Trains once in one go and once with a stop in between (Ctrl-C, a crash or a full disk would do as well), and compares.
"""
import argparse

from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainerCallback, TrainingArguments

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="deepseek/base-model", help="a folder, or a name")
parser.add_argument("--output", default="resumed")
options = parser.parse_args()

tokenizer = AutoTokenizer.from_pretrained(options.model)
train_dataset = [{"text": f"{word} number {i}", "label": i % 2} for i in range(40) for word in ("card", "fee")]


class StopAt(TrainerCallback):
    """Ends the run behind a step, as a failing machine might."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        control.should_training_stop = state.global_step == self.step


def train(folder, callbacks=(), resume=None):
    model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2)
    arguments = TrainingArguments(folder, num_train_epochs=2, save_steps=4, save_total_limit=2, logging_steps=5)
    trainer = Trainer(model, arguments, train_dataset=train_dataset, processing_class=tokenizer, callbacks=list(callbacks))
    trainer.train(resume_from_checkpoint=resume)
    return dict(model.named_parameters())


whole = train(options.output + "/whole")
train(options.output + "/parts", [StopAt(9)])  # the last checkpoint is that of step 8
again = train(options.output + "/parts", resume=True)
same = all((again[name] == whole[name]).all() for name in whole)
print("every weight has the same bits" if same else "the weights differ")
raise SystemExit(0 if same else 1)
