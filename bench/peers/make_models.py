"""Makes the folders that compare.py runs: a model folder with model.onnx beside its weights.

  make_models.py OUT --minilm FOLDER        OUT/minilm (a copy of FOLDER) and OUT/bert-base (random weights, its tokenizer)
"""
import argparse
import pathlib
import shutil

import torch
from transformers import AutoModel, BertConfig, BertModel

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--minilm", type=pathlib.Path, required=True)


class LastHidden(torch.nn.Module):
    """The part of the output that the peers are asked for."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(folder: pathlib.Path) -> None:
    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    ids = torch.randint(1000, 2000, (2, 16))
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(LastHidden(model), (ids, torch.ones_like(ids)), str(folder / "model.onnx"),
                      input_names=["input_ids", "attention_mask"], output_names=["hidden"],
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "hidden": axes}, dynamo=False)


def main() -> None:
    args = parser.parse_args()
    shutil.copytree(args.minilm, args.out / "minilm", dirs_exist_ok=True)
    base = args.out / "bert-base"
    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        if (args.minilm / name).exists():
            shutil.copy(args.minilm / name, base / name)
    for folder in (args.out / "minilm", base):
        export(folder)


if __name__ == "__main__":
    main()
