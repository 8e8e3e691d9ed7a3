"""Fine-tuning: a model learns which of a bank's teams a question belongs to.

  python finetune.py [--model NAME] [--data FILE.csv] [--output FOLDER]

FILE.csv has the columns text and label (words). Without it, a few sentences made here show that it works.
"""
import argparse
import csv

import numpy as np

from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, pipeline

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="deepseek/base-model", help="a folder, or a name")
parser.add_argument("--data", help="CSV with the columns text and label")
parser.add_argument("--output", default="finetuned")
parser.add_argument("--epochs", type=float, default=4)
options = parser.parse_args()

# ---- Data: anything with __len__ and __getitem__ that gives dicts; here lists ----

if options.data:
    with open(options.data, encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
else:
    things = {"cards": ["My card for {} is lost", "When will my card for {} arrive?", "Someone stole my card for {}"],
              "rates": ["Which rate do you have for {}?", "The rate for {} is wrong", "How is the rate of {} made?"],
              "refunds": ["I want my {} back", "Where is my refund in {}?", "You charged me twice, in {}"]}
    words = ["euros", "dollars", "yen", "pounds", "francs", "rupees", "pesos", "crowns", "real", "won"]
    rows = [(form.format(word), label) for label, forms in things.items() for form in forms for word in words]

names = sorted({label for _, label in rows})
examples = [{"text": text, "label": names.index(label)} for text, label in rows]
held_out = [i % 5 == 0 for i in range(len(examples))]
train_dataset = [one for one, held in zip(examples, held_out) if not held]
eval_dataset = [one for one, held in zip(examples, held_out) if held]

# ---- Training ----

tokenizer = AutoTokenizer.from_pretrained(options.model)
model = AutoModelForSequenceClassification.from_pretrained(options.model, id2label=dict(enumerate(names)))  # a new head


def accuracy(prediction):
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


arguments = TrainingArguments(options.output + ".run", learning_rate=1e-4, num_train_epochs=options.epochs,
                              per_device_train_batch_size=16, warmup_ratio=0.1, weight_decay=0.01, eval_strategy="epoch",
                              save_strategy="no", logging_strategy="epoch")
trainer = Trainer(model, arguments, train_dataset=train_dataset, eval_dataset=eval_dataset, processing_class=tokenizer,
                  compute_metrics=accuracy)
trainer.train()

# ---- The result is a folder like the one it came from ----

trainer.save_model(options.output)
ask = pipeline("text-classification", model=options.output)
for text in [one["text"] for one in eval_dataset[:3]]:
    print(text, "->", ask(text)[0])
