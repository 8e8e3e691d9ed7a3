"""Makes the tiny random models of tests/data/models and what PyTorch computes with them.

Every folder is a model as Hugging Face (or sentence-transformers) stores it, under 200 kB, plus
  texts.txt             one UTF-8 text a line (bert_pair: texts.tsv, a header line, then text TAB text_pair)
  expected.safetensors  what transformers computes for these texts, each text run alone, in f32:
      ids        i32 [T]     token ids of all texts, one after the other, no padding, special tokens included,
                             truncated (longest first) to the model's positions, which are 64 tokens everywhere
      type_ids   i32 [T]     token type ids
      seq_start  i32 [B+1]   where each text begins in the T rows
      offsets    i32 [T,2]   byte offsets into the UTF-8 text (a pair: each into its own text), 0,0 for special tokens
      hidden     f32 [T,H]   last hidden state
      logits     f32 [B,L] or [T,L]   where the model has a head
      pooled     f32 [B,H]   where the model has BERT's pooler
      embedding  f32 [B,H]   sentence-transformers' encode(): pooled, normalised and TRUNCATED as the folder says;
                             without modules.json the mean over all tokens, not normalised (bert_pair has none)
The weights depend on the seed below only. `hidden` may differ in the last bits from one machine to another.

  pip install -r requirements.txt
  python make_models.py [--output ../data/models] [NAME ...]
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import zlib

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
from tokenizers import (AddedToken, BertWordPieceTokenizer, Tokenizer, models, normalizers, pre_tokenizers,
                        trainers)
from transformers import AutoTokenizer, BertTokenizer, DistilBertTokenizer, RobertaTokenizer

MAX_TOKENS = 64
SEED = 20240229

CORPUS = [  # what the small vocabularies are trained on
    "Where is my new card? I ordered it two weeks ago and it has not arrived yet.",
    "How do I activate the card, and can I track the delivery of my card?",
    "The exchange rate that you applied to my transfer is wrong, please check the rate again.",
    "My account was charged twice for the same payment: $12.50 and $12.50.",
    "I want a refund of 1,234.56 euros because the transfer to Angela failed on 29/02/2024.",
    "Can you tell me why my top-up was reverted? It's pending, isn't it?",
    "I've lost my phone and someone else is using the account; block it!",
    "Anna Berger works for the Bank of Norway in Oslo, and Karl lives in Berlin.",
    "Unbelievable: the international transaction fee is 3% higher than the ordinary fee.",
    "Café crème, déjà vu, naïve façade, für die Straße, smörgåsbord and œuvre.",
    "我的银行卡丢了,请帮我冻结账户。卡在哪里?",
]
TEXTS = [
    "Hi",
    "Where is my new card? I ordered it two weeks ago.",
    "Unbelievably, they charged me 3 times: $12.50, €1,234.56 and ¥900!",
    "Café crème, déjà vu - ÀÉÎÕÜ für die Straße ŒUVRE.",
    "Zoe\u0308 re\u0301sume\u0301: combining marks, a soft\u00adhyphen and a zero\u200bwidth space.",
    "我的银行卡丢了，怎么办？请帮我冻结账户。",
    "I paid for \U0001f355\U0001f363 twice \U0001f468\u200d\U0001f469\u200d\U0001f467 - refund \U0001f64f\U0001f3fd!",
    "  spaces  before,\tbetween   and\u00a0after\u3000it  ",
    "The [MASK] is not <mask>, they said; it's Anna's, isn't it?",
    "안녕하세요 Oslo, здравствуй Berlin, مرحبا Norway",
    "Anna Berger works for the Bank of Norway in Oslo.",
    "transactiontransferexchangeinternational" * 3,
    "?",
    "I want to know why the exchange rate that you applied to my transfer to Berlin is wrong, because the fee is "
    "higher than the ordinary fee, the payment is pending, the top-up was reverted, and someone else is using the "
    "account: please check the card, the account, the transfer, the rate and the refund again, and tell me, please!",
]
PAIRS = [
    ("Where is my card?", "The card has not arrived yet."),
    ("Hi", "?"),
    ("我的银行卡丢了", "Café crème, déjà vu"),
    ("The card has not arrived yet.", "Where is my card?"),
    ("refund \U0001f64f", "They charged me 3 times: $12.50, isn't it?"),
    (TEXTS[-1], "Please check the rate."),
    ("Please check the rate.", TEXTS[-1]),
    (TEXTS[-1], TEXTS[-1][40:]),
]
INTENTS = ["card_arrival", "exchange_rate", "lost_or_stolen_card", "Refund_not_showing_up", "transfer_fee_charged"]
TOPICS = ["card", "fee", "rate", "transfer", "refund", "phone", "account", "limit", "fraud", "cash", "top-up", "über"]
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]


def rng(name: str) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


# ---- tokenizers -----------------------------------------------------------------------------------------------------

def wordpiece_vocab(lowercase: bool) -> dict[str, int]:
    """Single characters, then the words and short pieces that cover most of the corpus.

    Made by hand because the trainer of `tokenizers` breaks ties in another way every time it runs.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    count: collections.Counter[str] = collections.Counter()
    for text in CORPUS:
        for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(normalizer.normalize_str(text)):
            pieces = [(a, b) for a in range(len(word)) for b in range(a + 1, min(a + 3, len(word)) + 1)]
            count.update({("##" if a else "") + word[a:b] for a, b in pieces} | {word})
    ranked = sorted(count, key=lambda t: (len(t.removeprefix("##")) > 1, -count[t] * len(t.removeprefix("##")), t))
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return {t: i for i, t in enumerate(special + ranked[:255 if lowercase else 275])}


def byte_level_bpe() -> tuple[dict[str, int], list]:
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=349, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    model = json.loads(tok.to_str())["model"]
    return model["vocab"] | {"<mask>": len(model["vocab"])}, [tuple(m) for m in model["merges"]]


def tokenizer_for(family: str, cased: bool):
    if family == "roberta":
        vocab, merges = byte_level_bpe()
        mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)  # as in the published RoBERTa
        return RobertaTokenizer(vocab=vocab, merges=merges, mask_token=mask, model_max_length=MAX_TOKENS)
    kind = DistilBertTokenizer if family == "distilbert" else BertTokenizer
    return kind(vocab=wordpiece_vocab(not cased), do_lower_case=not cased, model_max_length=MAX_TOKENS)


def write_vocab_txt(folder: pathlib.Path, cased: bool) -> None:
    """The folder as an old transformers wrote it: vocab.txt and a configuration, no tokenizer.json."""
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("".join(t + "\n" for t in wordpiece_vocab(not cased)), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {
        "clean_up_tokenization_spaces": True, "cls_token": "[CLS]", "do_basic_tokenize": True,
        "do_lower_case": not cased, "mask_token": "[MASK]", "model_max_length": MAX_TOKENS, "never_split": None,
        "pad_token": "[PAD]", "sep_token": "[SEP]", "strip_accents": None, "tokenize_chinese_chars": True,
        "tokenizer_class": "BertTokenizer", "unk_token": "[UNK]"})
    fast = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=not cased)
    slow = BertTokenizer.from_pretrained(folder)
    assert all(fast.encode(t).ids == slow(t)["input_ids"] for t in TEXTS)


# ---- weights --------------------------------------------------------------------------------------------------------

def randomise(model: torch.nn.Module, name: str) -> None:
    """Values large enough that every bias, scale and non-linearity shows in the output."""
    r = rng(name)
    for key, p in model.named_parameters():
        if "LayerNorm.weight" in key or "layer_norm.weight" in key:
            value = 1 + 0.25 * r.standard_normal(p.shape)
        elif p.ndim == 1:
            value = 0.25 * r.standard_normal(p.shape)
        elif "embeddings" in key:
            value = 0.6 * r.standard_normal(p.shape)
        else:
            value = 1.3 / np.sqrt(p.shape[1]) * r.standard_normal(p.shape)
        p.data = torch.from_numpy(value.astype(np.float32))


def bert_config(family: str, hidden: int, layers: int, heads: int, inner: int, vocab: int, options: dict):
    if family == "distilbert":
        return transformers.DistilBertConfig(vocab_size=vocab, dim=hidden, n_layers=layers, n_heads=heads,
                                             hidden_dim=inner, max_position_embeddings=MAX_TOKENS, **options)
    kind = transformers.RobertaConfig if family == "roberta" else transformers.BertConfig
    if family == "roberta":  # the first position used is pad_token_id + 1
        options = {"max_position_embeddings": MAX_TOKENS + 2, "type_vocab_size": 1, "layer_norm_eps": 1e-5} | options
    return kind(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                intermediate_size=inner, **({"max_position_embeddings": MAX_TOKENS} | options))


def labels(names: list[str]) -> dict:
    return {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}}


# ---- folders that differ from what save_pretrained writes -----------------------------------------------------------

def write_json(path: pathlib.Path, value) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def legacy_names(folder: pathlib.Path) -> None:
    """As bert-base-uncased is stored: LayerNorm.gamma and .beta, a position_ids buffer, an old config.json."""
    path = folder / "model.safetensors"
    tensors = {k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
               for k, v in load_file(path).items()}
    tensors["bert.embeddings.position_ids"] = np.arange(MAX_TOKENS, dtype=np.int64)[None]
    save_file(tensors, path, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["torch_dtype"] = config.pop("dtype")
    write_json(folder / "config.json", config | {"position_embedding_type": "absolute",
                                                 "gradient_checkpointing": False, "transformers_version": "4.6.0"})


def published_bpe(folder: pathlib.Path) -> None:
    """tokenizer.json as the published RoBERTa has it: merges as strings, special tokens "normalized"."""
    value = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    value["model"]["merges"] = [" ".join(pair) for pair in value["model"]["merges"]]
    for token in value["added_tokens"]:
        token["normalized"] = True
    write_json(folder / "tokenizer.json", value)


def classic_st(folder: pathlib.Path, hidden: int, max_seq_len: int) -> None:
    """modules.json as sentence-transformers 2 to 5 wrote it, which most published folders have."""
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    write_json(folder / "modules.json", [{"idx": i, "name": str(i), "path": path,
                                          "type": "sentence_transformers.models." + kind}
                                         for i, (path, kind) in enumerate(kinds)])
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_len, "do_lower_case": False})
    write_json(folder / "1_Pooling" / "config.json", {
        "word_embedding_dimension": hidden, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False})
    # 2_Normalize is an empty folder, which no git repository can hold: it is absent there too.


def trap_truncation(folder: pathlib.Path) -> None:
    """MiniLM's tokenizer.json asks for truncation and padding; neither may have an effect."""
    tok = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tok.enable_truncation(16)
    tok.enable_padding(length=16)
    tok.save(str(folder / "tokenizer.json"))


def modern_st(folder: pathlib.Path, hidden: int, pooling: str, normalize: bool, max_seq_len: int) -> None:
    """The same as sentence-transformers 6 writes it: other class names, `pooling_mode`, length in the tokenizer."""
    modules = [Transformer(str(folder), max_seq_length=max_seq_len), Pooling(hidden, pooling)]
    SentenceTransformer(modules=modules + [Normalize()] * normalize).save(str(folder), create_model_card=False)


def clean(folder: pathlib.Path) -> None:
    """Nothing that belongs to this machine stays in the files."""
    for path in folder.rglob("*config.json"):
        value = json.loads(path.read_text())
        for key in ("_name_or_path", "name_or_path", "is_local", "local_files_only"):
            value.pop(key, None)
        write_json(path, value)
    for path in folder.rglob("*.json"):
        assert str(folder.parent) not in path.read_text(), path


# ---- expected outputs -----------------------------------------------------------------------------------------------

def byte_offsets(chars: list[tuple[int, int]], kinds: list, texts: tuple[str, ...]) -> list[tuple[int, int]]:
    """Character to byte offsets; kinds[i] is None for a special token, else which of the texts the token is from."""
    prefix = [np.cumsum([0] + [len(c.encode()) for c in t]) for t in texts]
    return [(0, 0) if k is None else (int(prefix[k][a]), int(prefix[k][b])) for (a, b), k in zip(chars, kinds)]


@torch.inference_mode()
def expected(folder: pathlib.Path, model_class: str, texts: list[tuple[str, ...]]) -> dict[str, np.ndarray]:
    tok = AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, model_class).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()
    base = getattr(model, model.base_model_prefix, model)
    takes_types = "token_type_ids" in tok.model_input_names
    rows: dict[str, list] = {k: [] for k in ("ids", "type_ids", "offsets", "hidden", "logits", "pooled", "embedding")}
    start = [0]
    for text in texts:
        enc = tok(*text, truncation=True, max_length=MAX_TOKENS, return_offsets_mapping=True)
        ids = torch.tensor([enc["input_ids"]])
        types = torch.tensor([enc["token_type_ids"]]) if takes_types else torch.zeros_like(ids)
        args = {"input_ids": ids} | ({"token_type_ids": types} if takes_types else {})
        out = base(**args)
        rows["ids"] += enc["input_ids"]
        rows["type_ids"] += types[0].tolist()
        rows["offsets"] += byte_offsets(enc["offset_mapping"], enc.sequence_ids(0), text)
        rows["hidden"].append(out.last_hidden_state[0].numpy())
        rows["embedding"].append(out.last_hidden_state.mean(1).numpy())
        if out.get("pooler_output") is not None:
            rows["pooled"].append(out.pooler_output.numpy())
        if base is not model:
            logits = model(**args).logits.numpy()
            rows["logits"].append(logits[0] if logits.ndim == 3 else logits)
        start.append(len(rows["ids"]))
    assert max(np.diff(start)) == MAX_TOKENS, "no text is long enough to be cut"
    result = {k: np.array(rows[k], np.int32) for k in ("ids", "type_ids", "offsets")} | {"seq_start": np.int32(start)}
    result |= {k: np.concatenate(rows[k]) for k in ("hidden", "logits", "pooled", "embedding") if rows[k]}
    if len(texts[0]) > 1:
        del result["embedding"]
    elif (folder / "modules.json").exists():
        st = SentenceTransformer(str(folder), device="cpu", model_kwargs={
            "attn_implementation": "eager", "dtype": torch.float32})
        result["embedding"] = st.encode([t for t, in texts], batch_size=1)
    return {k: np.ascontiguousarray(v) for k, v in result.items()}


# ---- the models -----------------------------------------------------------------------------------------------------

# name: (class that is saved, (hidden, layers, heads, inner), configuration, what else)
SEQ, TOK = "ForSequenceClassification", "ForTokenClassification"
MODELS: dict[str, tuple[str, tuple[int, int, int, int], dict, dict]] = {
    "bert_base": ("BertModel", (28, 2, 4, 66), {}, {}),
    "bert_seq": ("Bert" + SEQ, (32, 2, 2, 52), labels(INTENTS) | {"problem_type": "single_label_classification"}, {}),
    "bert_multilabel": ("Bert" + SEQ, (24, 2, 3, 40), labels(TOPICS) | {"problem_type": "multi_label_classification"},
                        {}),
    "bert_regression": ("Bert" + SEQ, (24, 2, 2, 56), {"num_labels": 1, "problem_type": "regression"}, {}),
    "bert_token": ("Bert" + TOK, (24, 3, 4, 42), labels(TAGS), {"cased": True}),
    "bert_relu": ("BertModel", (30, 2, 3, 44), {"hidden_act": "relu", "layer_norm_eps": 0.05}, {}),
    "bert_gelu_new": ("BertModel", (24, 2, 2, 60), {"hidden_act": "gelu_new"}, {}),
    "bert_prefix": ("BertForPreTraining", (24, 2, 3, 50), {}, {"weights": "prefix"}),
    "bert_prefixless": ("BertModel", (24, 2, 3, 50), {}, {"weights": "prefix"}),
    "bert_legacy": ("BertForPreTraining", (24, 2, 3, 50), {}, {"weights": "prefix", "legacy": True}),
    "bert_f16": ("BertModel", (32, 2, 4, 70), {}, {"dtype": torch.float16}),
    "bert_bf16": ("BertModel", (32, 2, 4, 70), {}, {"dtype": torch.bfloat16}),
    "bert_sharded": ("Bert" + SEQ, (28, 2, 2, 48), labels(INTENTS[:3]), {"shard": "30KB"}),
    "bert_pair": ("Bert" + SEQ, (28, 2, 2, 46), labels(["different", "same"]), {"pairs": True}),
    "bert_vocab_only": ("BertModel", (24, 2, 3, 52), {}, {"vocab_txt": True}),
    "bert_vocab_cased": ("BertModel", (24, 2, 3, 52), {}, {"vocab_txt": True, "cased": True}),
    "roberta_base": ("RobertaModel", (24, 2, 3, 54), {}, {}),
    "roberta_seq": ("Roberta" + SEQ, (28, 2, 4, 40), {"num_labels": 2}, {}),
    "roberta_token": ("Roberta" + TOK, (24, 2, 2, 46), labels(TAGS), {"published_bpe": True}),
    "distilbert_base": ("DistilBertModel", (32, 2, 4, 50), {}, {}),
    "distilbert_seq": ("DistilBert" + SEQ, (28, 2, 2, 58), labels(["NEGATIVE", "NEUTRAL", "POSITIVE"]), {}),
    "distilbert_token": ("DistilBert" + TOK, (24, 3, 3, 38), labels(TAGS[:5]), {"cased": True}),
    "st_mean": ("BertModel", (32, 2, 4, 44), {}, {"classic": 20}),
    "st_cls": ("BertModel", (24, 2, 2, 44), {}, {"modern": ("cls", False, 24)}),
    "st_max": ("BertModel", (24, 2, 3, 58), {}, {"modern": ("max", True, MAX_TOKENS)}),
    "bert_seq_st": ("Bert" + SEQ, (24, 2, 4, 48), labels(INTENTS[:4]), {"classic": 40}),
}


def make(name: str, output: pathlib.Path) -> None:
    kind, (hidden, layers, heads, inner), options, extra = MODELS[name]
    folder = output / name
    shutil.rmtree(folder, ignore_errors=True)
    family = next(f for f in ("distilbert", "roberta", "bert") if kind.lower().startswith(f))
    cased = extra.get("cased", False)
    tok = tokenizer_for(family, cased)
    model = getattr(transformers, kind)(bert_config(family, hidden, layers, heads, inner, len(tok), options))
    randomise(model, name)
    randomise(model.base_model, extra.get("weights", name))  # the part that models with equal "weights" share
    model.to(extra.get("dtype", torch.float32)).save_pretrained(folder, max_shard_size=extra.get("shard", "1MB"))
    tok.save_pretrained(folder)
    if extra.get("legacy"):
        legacy_names(folder)
    if extra.get("published_bpe"):
        published_bpe(folder)
    if extra.get("vocab_txt"):
        write_vocab_txt(folder, cased)
    if "classic" in extra:
        classic_st(folder, hidden, extra["classic"])
        trap_truncation(folder)
    if "modern" in extra:
        modern_st(folder, hidden, *extra["modern"])
    clean(folder)
    texts = PAIRS if extra.get("pairs") else [(t,) for t in TEXTS]
    lines = ["\t".join(t) + "\n" for t in ([("text", "text_pair")] if extra.get("pairs") else []) + texts]
    (folder / ("texts.tsv" if extra.get("pairs") else "texts.txt")).write_text("".join(lines), encoding="utf-8")
    tensors = expected(folder, "BertModel" if "PreTraining" in kind else kind, texts)
    save_file(tensors, folder / "expected.safetensors")
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    assert size < 200_000, f"{name}: {size} bytes"
    print(f"{name:18} {size:7} bytes, vocabulary {len(tok)}:",
          *(f"{k}{list(v.shape)}" for k, v in tensors.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = pathlib.Path(__file__).resolve().parent
    parser.add_argument("--output", type=pathlib.Path, default=here.parent / "data" / "models")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these models (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.names or MODELS:
        make(name, args.output)


if __name__ == "__main__":
    main()
