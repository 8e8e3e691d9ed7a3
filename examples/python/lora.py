"""LoRA: the weights stay as they are, small matrices beside them are trained; peft loads what comes out.

  python lora.py [--model NAME] [--output FOLDER]
"""
import argparse

from deepseek import (AutoModelForSequenceClassification, AutoTokenizer, LoraConfig, Trainer, TrainingArguments,
                      get_peft_model)

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--model", default="deepseek/base-model", help="a folder, or a name")
parser.add_argument("--output", default="lora")
parser.add_argument("--steps", type=int, default=40)
options = parser.parse_args()

subjects = ["the card", "my phone", "this app", "your bank", "the fee", "that rate", "the transfer", "my account"]
train_dataset = [{"text": f"{subject} is {word}", "label": label} for subject in subjects
                 for label, words in enumerate((["awful", "broken", "too slow"], ["great", "quick", "just right"]))
                 for word in words]

tokenizer = AutoTokenizer.from_pretrained(options.model)
model = AutoModelForSequenceClassification.from_pretrained(options.model, num_labels=2)
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], task_type="SEQ_CLS"))
model.print_trainable_parameters()

# Adapters start at zero and want a higher rate than whole models.
arguments = TrainingArguments(options.output + ".run", learning_rate=1e-3, max_steps=options.steps, logging_steps=10,
                              save_strategy="no")
Trainer(model, arguments, train_dataset=train_dataset, processing_class=tokenizer).train()

# With adapters on, only they (and the head) are saved: adapter_config.json and adapter_model.safetensors.
model.save_pretrained(options.output + "/adapters")

# Merged, it is a model like any other, and as fast.
merged = model.merge_and_unload()
merged.save_pretrained(options.output + "/merged")
batch = tokenizer(["your bank is great", "the app is awful"], padding=True, return_tensors="np")
print(merged(**batch).logits.round(2))
