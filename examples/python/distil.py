"""Distillation: a student learns a teacher's probabilities from texts that nobody labelled.

  python distil.py TEACHER [--student NAME] [--texts FILE] [--output FOLDER]

TEACHER is a model with a head on texts (finetune.py makes one); FILE has a text a line. Probabilities tell more than a
label: also how near the other labels are.
"""
import argparse

from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, pipeline

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("teacher")
parser.add_argument("--student", default="deepseek/base-model", help="a folder, or a name")
parser.add_argument("--texts", help="a text a line; default: some made here")
parser.add_argument("--output", default="distilled")
parser.add_argument("--epochs", type=float, default=3)
options = parser.parse_args()

if options.texts:
    with open(options.texts, encoding="utf-8") as file:
        texts = [line.strip() for line in file if line.strip()]
else:
    texts = [f"{begin} {thing}{end}" for begin in ("I lost", "Where is", "How do I change", "Please send me")
             for thing in ("my card", "the rate", "a refund", "my account") for end in (".", ", please", "?")]

# What the teacher thinks of every text: a probability for each label.
teacher = pipeline("text-classification", model=options.teacher, top_k=None)
id2label = teacher.model.config.id2label
order = {name: i for i, name in id2label.items()}
train_dataset = []
for text, scores in zip(texts, teacher(texts)):
    probabilities = [0.0] * len(order)
    for score in scores:
        probabilities[order[score["label"]]] = score["score"]
    train_dataset.append({"text": text, "labels": probabilities})

tokenizer = AutoTokenizer.from_pretrained(options.student)
student = AutoModelForSequenceClassification.from_pretrained(options.student, id2label=id2label)
arguments = TrainingArguments(options.output + ".run", loss="soft_labels", learning_rate=1e-4, logging_strategy="epoch",
                              num_train_epochs=options.epochs, save_strategy="no")
Trainer(student, arguments, train_dataset=train_dataset, processing_class=tokenizer).train()

# In int8 the student is a quarter as large, and the same library runs it.
student.save_pretrained(options.output, dtype="int8")
agree = [a["label"] == b["label"] for a, b in zip(pipeline("text-classification", model=options.output)(texts),
                                                  pipeline("text-classification", model=options.teacher)(texts))]
print(f"the student agrees with its teacher on {sum(agree)} of {len(texts)} texts")
