"""Makes tests/data/train: ten training steps of the tiny models of tests/data/models, as PyTorch makes them.

Every file is one case (CASES below).  The models are those of transformers, sentence-transformers and peft, the losses
theirs or torch's, the batches padded and masked as their data collators do it, the optimiser torch's, the schedule
transformers', clipping torch.nn.utils.clip_grad_norm_; dropout is 0.  All of it runs in float64 and is stored in
float32, so that a difference to these files is an error of whoever compares and not the sum of two; --float32 shows how
far PyTorch itself is from it in float32.

Unless a case says otherwise: AdamW, rate 1e-3, weight decay 0.01 (none on biases and LayerNorm), betas 0.9 and 0.999,
eps 1e-8, linear decay to zero over the ten steps without warm-up, gradient norm clipped at 1.

  ids, type_ids   i32 [T]    tokens of all texts of all batches, one after the other, no padding
  seq_start       i32 [N+1]  where each text begins in the T rows
  batch_start     i32 [11]   where each batch begins in the N texts; pairs of embeddings are texts 2i and 2i+1 of a batch
  labels          i32        classification [N]; tagging [T], -100 where there is none
  targets         f32        a row for each text (cosine: for each pair): multi-label, regression, soft labels, vectors
  loss, norm, rate  f32 [10] each step's loss before the step, norm of the gradient before clipping, learning rate
  stride          i32 [3]    of first, last, final: of tensors with over 512 elements only the elements 0, stride,
                             2 * stride, ... of the flat tensor are stored (17 divides no row length here)
  init.NAME       f32        what the folder does not say: a new head, LoRA's A (B is zero)
  first.NAME, last.NAME   f32  gradients of the first and of the tenth step, before clipping; tensors without a gradient
                             (frozen, or not part of the loss, such as an unused pooler) are absent
  final.NAME      f32        weights after ten steps, of what has a gradient or is frozen by the case

Names are those that the trained model is saved with; LoRA's are peft's without "base_model.model.".

Layer decay d: head and pooler have the full rate, layer i of L (from 0) has d^(L - i) of it, embeddings d^(L + 1).

  pip install -r requirements.txt
  python make_training.py [--output ../data/train] [--float32] [NAME ...]
"""
import argparse
import dataclasses
import pathlib
import re

import make_models
import numpy as np
import peft
import torch
import torch.nn.functional as F
import transformers
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import losses
from transformers import AutoTokenizer

STEPS, FULL, STRIDE = 10, 512, 17
MODELS = pathlib.Path(__file__).resolve().parent.parent / "data" / "models"
ST_LOSSES = {"cosine": losses.CosineSimilarityLoss, "negatives": losses.MultipleNegativesRankingLoss,
             "vectors": losses.MSELoss}


@dataclasses.dataclass
class Case:
    folder: str
    loss: str  # classes, tags, bits, values, soft; cosine, negatives, vectors
    full: bool = False  # both gradients are stored whole
    labels: int | None = None  # a new head
    smoothing: float = 0
    weights: tuple[float, ...] = ()
    optimizer: str = "adamw"
    rate: float = 1e-3
    decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: bool = True
    schedule: str = "linear"
    warmup: int = 0
    freeze: str = ""  # a regular expression for the start of names
    layer_decay: float = 1
    lora: bool = False
    pads: bool = False  # every seventh token is the padding token, and is attended to


CASES = {
    "bert": Case("bert_seq", "classes", full=True),
    "roberta": Case("roberta_seq", "classes", full=True),
    "distilbert": Case("distilbert_seq", "classes", full=True),
    "tagging": Case("bert_token", "tags", full=True),
    "tagging_distilbert": Case("distilbert_token", "tags"),
    "tagging_roberta": Case("roberta_token", "tags"),
    "new_head": Case("bert_base", "classes", labels=3),
    "new_head_roberta": Case("roberta_base", "classes", labels=4),
    "smoothing": Case("bert_seq", "classes", smoothing=0.1),
    "class_weights": Case("bert_seq", "classes", weights=(0.5, 1, 2, 0.25, 3)),
    "multilabel": Case("bert_multilabel", "bits"),
    "regression": Case("bert_regression", "values"),
    "soft_labels": Case("bert_seq", "soft"),
    "cosine": Case("st_mean", "cosine", full=True),
    "cosine_max": Case("st_max", "cosine"),
    "negatives": Case("st_mean", "negatives"),
    "vectors": Case("st_mean", "vectors"),
    "vectors_cls": Case("st_cls", "vectors"),
    "sgd": Case("bert_seq", "classes", optimizer="sgd", rate=0.05),
    "warmup": Case("bert_seq", "classes", schedule="cosine", warmup=3),
    "constant": Case("distilbert_seq", "classes", schedule="constant", clip=False, decay=0.1, betas=(0.8, 0.99),
                     epsilon=1e-6),
    "freeze": Case("bert_seq", "classes", freeze=r"bert\.embeddings\."),
    "layer_decay": Case("bert_seq", "classes", layer_decay=0.9),
    "lora": Case("bert_seq", "classes", lora=True),
    "padding_token": Case("bert_seq", "classes", pads=True),
    "padding_token_distilbert": Case("distilbert_seq", "classes", pads=True),
}


# ---- data -----------------------------------------------------------------------------------------------------------

def batches(name: str, case: Case, labels: int, hidden: int) -> dict[str, np.ndarray]:
    """Ten batches of 4 to 6 texts of any length, some of them pairs where the model has token types."""
    r = make_models.rng("train " + name)
    tok = AutoTokenizer.from_pretrained(MODELS / case.folder)
    longest = 20 if case.folder == "st_mean" else make_models.MAX_TOKENS
    paired = case.folder.startswith("bert") and case.loss != "tags"
    texts = [(t,) for t in make_models.TEXTS] + make_models.PAIRS * paired
    rows: dict[str, list] = {k: [] for k in ("ids", "type_ids", "labels")}
    seq_start, batch_start = [0], [0]
    for step in range(STEPS):
        count = (4, 5, 6)[step % 3] if case.loss not in ("cosine", "negatives") else (4, 6)[step % 2]
        for i in r.choice(len(texts), count, replace=False):
            enc = tok(*texts[i], truncation=True, max_length=longest)
            rows["ids"] += enc["input_ids"]
            rows["type_ids"] += enc.get("token_type_ids", [0] * len(enc["input_ids"]))
            if case.loss == "tags":  # a word's first piece has the label
                words = [None] + enc.word_ids()
                rows["labels"] += [int(r.integers(labels)) if w is not None and w != before else -100
                                   for before, w in zip(words, words[1:])]
            seq_start.append(len(rows["ids"]))
        batch_start.append(len(seq_start) - 1)
    n = batch_start[-1]
    data = {k: np.array(v, np.int32) for k, v in rows.items() if v}
    if case.pads:
        data["ids"][3::7] = tok.pad_token_id
    data |= {"seq_start": np.int32(seq_start), "batch_start": np.int32(batch_start)}
    vectors = r.standard_normal((n, hidden))
    make = {"classes": lambda: ("labels", r.integers(0, labels, n)),
            "bits": lambda: ("targets", r.integers(0, 2, (n, labels)).astype(np.float32)),
            "values": lambda: ("targets", r.uniform(-2, 2, (n, labels)).astype(np.float32)),
            "soft": lambda: ("targets", r.dirichlet(np.ones(labels), n).astype(np.float32)),
            "cosine": lambda: ("targets", r.uniform(0, 1, n // 2).astype(np.float32)),
            "vectors": lambda: ("targets", (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32))}
    if case.loss in make:
        key, value = make[case.loss]()
        data[key] = value.astype(np.int32) if key == "labels" else value
    return data


def padded(data: dict[str, np.ndarray], texts: range, pad: int, takes_types: bool) -> dict[str, torch.Tensor]:
    start = data["seq_start"]
    shape = len(texts), max(start[t + 1] - start[t] for t in texts)
    columns = {"input_ids": ("ids", pad), "token_type_ids": ("type_ids", 0), "labels": ("labels", -100)}
    found = {"attention_mask": torch.zeros(shape, dtype=torch.long)}
    for key, (source, filler) in columns.items():
        if source not in data or len(data[source]) != start[-1] or key == "token_type_ids" and not takes_types:
            continue
        found[key] = torch.full(shape, filler)
        for row, t in enumerate(texts):
            found[key][row, :start[t + 1] - start[t]] = torch.from_numpy(data[source][start[t]:start[t + 1]]).long()
    for row, t in enumerate(texts):
        found["attention_mask"][row, :start[t + 1] - start[t]] = 1
    return found


# ---- models and losses ----------------------------------------------------------------------------------------------

def open_model(case: Case):
    """The module to train, the part whose tensors are named as they are saved, and its configuration."""
    if case.loss in ST_LOSSES:
        model = SentenceTransformer(str(MODELS / case.folder), device="cpu", model_kwargs={
            "attn_implementation": "eager", "dtype": torch.float32})
        return model, model[0].auto_model, model[0].auto_model.config
    kind = getattr(transformers, "AutoModelFor" + ("Token" if case.loss == "tags" else "Sequence") + "Classification")
    size = {"num_labels": case.labels} if case.labels else {}
    model = kind.from_pretrained(MODELS / case.folder, attn_implementation="eager", dtype=torch.float32, **size)
    if case.lora:
        model = peft.get_peft_model(model, peft.LoraConfig(
            task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "value"], lora_dropout=0,
            modules_to_save=["classifier", "pooler"]))
    return model, model, model.config


def saved_name(name: str) -> str:
    name = name.removeprefix("base_model.model.").replace(".modules_to_save.default", "")
    return name.replace(".default.weight", ".weight")


def loss_of(case: Case, model, data: dict, texts: range, config, dtype: torch.dtype) -> torch.Tensor:
    takes_types = config.model_type == "bert"
    target = torch.from_numpy(data["targets"]).to(dtype) if "targets" in data else None
    if case.loss in ST_LOSSES:
        columns = [texts] if case.loss == "vectors" else [texts[0::2], texts[1::2]]
        features = [padded(data, column, config.pad_token_id, takes_types) for column in columns]
        if case.loss == "cosine":
            target = target[texts.start // 2:texts.stop // 2]
        elif target is not None:
            target = target[texts.start:texts.stop]
        return ST_LOSSES[case.loss](model)(features, target)
    inputs = padded(data, texts, config.pad_token_id, takes_types)
    if case.loss == "classes":
        inputs["labels"] = torch.from_numpy(data["labels"][texts.start:texts.stop]).long()
    elif case.loss in ("bits", "values"):
        inputs["labels"] = target[texts.start:texts.stop]
    out = model(**inputs)
    if case.loss == "soft":
        return F.cross_entropy(out.logits, target[texts.start:texts.stop])
    if case.smoothing or case.weights:  # smoothing: as transformers' LabelSmoother, which sums in float32
        weight = torch.tensor(case.weights, dtype=dtype) if case.weights else None
        return F.cross_entropy(out.logits, inputs["labels"], weight, label_smoothing=case.smoothing)
    return out.loss


def rate_factor(case: Case, name: str, layers: int) -> float:
    layer = re.search(r"\.layer\.(\d+)\.", name)
    power = layers - int(layer[1]) if layer else layers + 1 if ".embeddings." in name else 0
    return case.layer_decay ** power


def optimizer_of(case: Case, named: dict[str, torch.nn.Parameter], config):
    groups = [{"params": [p], "lr": case.rate * rate_factor(case, name, config.num_hidden_layers),
               "weight_decay": 0 if "bias" in name or "norm" in name.lower() else case.decay}
              for name, p in named.items() if p.requires_grad]
    if case.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=case.rate, momentum=0.9)
    else:
        optimizer = torch.optim.AdamW(groups, lr=case.rate, betas=case.betas, eps=case.epsilon)
    return optimizer, transformers.get_scheduler(case.schedule, optimizer, case.warmup, STEPS)


# ---- one case -------------------------------------------------------------------------------------------------------

def run(name: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    case = CASES[name]
    torch.manual_seed(make_models.SEED)
    model, part, config = open_model(case)
    data = batches(name, case, getattr(config, "num_labels", 0), config.hidden_size)
    named = {saved_name(n): p for n, p in part.named_parameters() if ".original_module." not in n}
    fresh = [n for n in named if "lora_A" in n or case.labels and n.startswith("classifier.")]
    result = data | {"init." + n: named[n].detach().numpy().copy() for n in fresh}
    model.to(dtype).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    for n, p in named.items():
        if case.freeze and re.match(case.freeze, n):
            p.requires_grad = False
    optimizer, schedule = optimizer_of(case, named, config)
    trained = [p for p in named.values() if p.requires_grad]
    curve: dict[str, list] = {"loss": [], "norm": [], "rate": []}
    stride = [1, 1, STRIDE] if case.full else [STRIDE] * 3

    def keep(kind: str, tensors: dict[str, torch.Tensor]) -> None:
        step = stride[("first", "last", "final").index(kind)]
        for n, t in tensors.items():
            flat = t.detach().numpy().reshape(-1)
            result[f"{kind}.{n}"] = (flat[::step] if flat.size > FULL else flat).copy()

    for step in range(STEPS):
        texts = range(*map(int, data["batch_start"][step:step + 2]))
        loss = loss_of(case, model, data, texts, config, dtype)
        optimizer.zero_grad()
        loss.backward()
        if step in (0, STEPS - 1):
            keep("first" if step == 0 else "last", {n: p.grad for n, p in named.items() if p.grad is not None})
        curve["rate"].append(case.rate * schedule.lr_lambdas[0](step))
        curve["norm"].append(torch.nn.utils.clip_grad_norm_(trained, 1.0 if case.clip else float("inf")).item())
        curve["loss"].append(loss.item())
        optimizer.step()
        schedule.step()
    keep("final", {n: p for n, p in named.items() if p.grad is not None or case.freeze})
    return result | {k: np.array(v) for k, v in curve.items()} | {"stride": np.int32(stride)}


def show_distance(name: str, found: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Largest differences: losses relative, tensors relative to their largest element, and which tensor that is."""
    line = f"  loss {np.max(np.abs(found['loss'] - other['loss']) / np.abs(found['loss'])):.1e}"
    for kind in ("first.", "last.", "final."):
        worst = sorted((np.max(np.abs(v - other[n])) / max(np.max(np.abs(v)), 1e-30), n) for n, v in found.items()
                       if n.startswith(kind) and not n.endswith(("key.bias", "k_lin.bias")))[-1]
        line += f"  {worst[1]} {worst[0]:.1e}"
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=pathlib.Path, default=MODELS.parent / "train")
    parser.add_argument("--float32", action="store_true", help="also run in float32 and show the distance")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these cases (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.names or CASES:
        found = run(name, torch.float64)
        path = args.output / f"{name}.safetensors"
        save_file({k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in found.items()}, path)
        path.chmod(0o644)
        assert path.stat().st_size < 300_000, f"{name}: {path.stat().st_size} bytes"
        print(f"{name:20} {path.stat().st_size:7} bytes, loss {found['loss'][0]:.4f} to {found['loss'][-1]:.4f}, "
              f"norm {found['norm'].min():.2f} to {found['norm'].max():.2f}", flush=True)
        if args.float32:
            show_distance(name, found, run(name, torch.float32))


if __name__ == "__main__":
    main()
