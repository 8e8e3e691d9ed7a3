"""Makes tests/data/adapters: LoRA adapters that peft saved, over tiny models of tests/data/models, and what peft answers.

NAME/adapter_config.json, NAME/adapter_model.safetensors   as peft's save_pretrained writes them
NAME/expected.safetensors                                  ids i32 [T], seq_start i32 [B+1], logits f32 [B or T, labels]

Both matrices of each pair are random, so that an adapter counts.  The base model is the first word of a name's row.

  pip install -r requirements.txt
  python make_adapters.py [--output ../data/adapters]
"""
import argparse
import pathlib

import make_models
import numpy as np
import peft
import torch
import transformers
from safetensors.numpy import save_file
from transformers import AutoTokenizer

MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"

# name: base, task, labels of a new head or None, further members of LoraConfig
CASES: dict[str, tuple[str, str, int | None, dict]] = {
    "sequence": ("bert_seq", "SEQ_CLS", None, {"r": 4, "lora_alpha": 8, "target_modules": ["query", "value"]}),
    "new_head": ("bert_base", "SEQ_CLS", 3, {"r": 2, "lora_alpha": 3, "use_rslora": True, "target_modules": "all-linear",
                                             "modules_to_save": ["classifier", "pooler"]}),
    "tokens": ("roberta_token", "TOKEN_CLS", None, {"r": 3, "lora_alpha": 6, "target_modules": ["key", "output.dense"]}),
    "distilbert": ("distilbert_seq", "SEQ_CLS", None, {"r": 2, "lora_alpha": 4, "target_modules": ["q_lin", "lin1"],
                                                       "modules_to_save": ["pre_classifier", "classifier"]}),
}


def logits_of(model: torch.nn.Module, texts: list[list[int]]) -> np.ndarray:
    """Text after text, so that nothing is padded."""
    with torch.no_grad():
        rows = [model(input_ids=torch.tensor([ids])).logits[0] for ids in texts]
    return np.concatenate([row.reshape(-1, row.shape[-1]).numpy() for row in rows])


def make(name: str, output: pathlib.Path) -> None:
    base, task, labels, members = CASES[name]
    torch.manual_seed(make_models.SEED + len(name))
    kind = getattr(transformers, "AutoModelFor" + ("Token" if task == "TOKEN_CLS" else "Sequence") + "Classification")
    size = {"num_labels": labels} if labels else {}
    model = kind.from_pretrained(MODELS / base, attn_implementation="eager", dtype=torch.float32, **size)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type=task, **members)).eval()
    for parameter_name, parameter in model.named_parameters():
        if "lora_" in parameter_name or "modules_to_save" in parameter_name:
            torch.nn.init.normal_(parameter, std=0.3)
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(output / name)
    (output / name / "README.md").unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / base)
    texts = [tokenizer(text)["input_ids"][:20] for text in make_models.TEXTS[:6]]
    starts = np.cumsum([0] + [len(ids) for ids in texts])
    save_file({"ids": np.int32(np.concatenate(texts)), "seq_start": np.int32(starts), "logits": logits_of(model, texts)},
              output / name / "expected.safetensors")
    for path in (output / name).iterdir():
        path.chmod(0o644)
        assert path.stat().st_size < 100_000, path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=MODELS.parent / "adapters")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    for name in CASES:
        make(name, args.output)


if __name__ == "__main__":
    main()
