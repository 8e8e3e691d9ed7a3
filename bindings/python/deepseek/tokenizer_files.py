"""What a folder says about its tokenizer beside the vocabulary: special tokens, longest text, inputs of the model."""
from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

UNLIMITED = 10**9  # transformers writes 1e30 where a length is not known
# Where no file names them: BERT's, then RoBERTa's.
USUAL = {"unk": ("[UNK]", "<unk>"), "sep": ("[SEP]", "</s>"), "pad": ("[PAD]", "<pad>"), "cls": ("[CLS]", "<s>"),
         "mask": ("[MASK]", "<mask>"), "bos": (), "eos": ()}
WITHOUT_TYPES = ("Roberta", "DistilBert")


@dataclass
class TokenizerSettings:
    special_tokens: dict[str, tuple[str, ...]]  # by kind ("pad"): the one that is named, or what may be
    max_length: int
    padding_side: str
    input_names: list[str]
    word_pieces: bool

    @classmethod
    def read(cls, folder: Path) -> "TokenizerSettings":
        settings = {**_json(folder / "special_tokens_map.json"), **_json(folder / "tokenizer_config.json")}
        config = _json(folder / "config.json")
        special: dict[str, tuple[str, ...]] = {}
        for kind, usual in USUAL.items():
            named = settings.get(f"{kind}_token")
            named = named.get("content") if isinstance(named, dict) else named
            special[kind] = (named,) if isinstance(named, str) else usual
        length = settings.get("model_max_length", UNLIMITED)
        if not isinstance(length, (int, float)) or not 0 < length < UNLIMITED:
            length = _positions(config) or UNLIMITED
        kind = f"{settings.get('tokenizer_class', '')} {' '.join(config.get('architectures') or [])}"
        names = ["input_ids", "token_type_ids", "attention_mask"]
        if any(word in kind for word in WITHOUT_TYPES):
            names.remove("token_type_ids")
        return cls(special, int(length), settings.get("padding_side", "right"),
                   settings.get("model_input_names") or names, _has_word_pieces(folder))


def _positions(config: dict[str, Any]) -> int:
    """How many tokens the folder's model has positions for; 0: not known."""
    positions = int(config.get("max_position_embeddings") or 0)
    reserved = config.get("pad_token_id", 1) + 1 if config.get("model_type") == "roberta" else 0
    return max(positions - reserved, 0)


def _has_word_pieces(folder: Path) -> bool:
    path = folder / "tokenizer.json"
    return not path.is_file() or _json(path).get("model", {}).get("type") == "WordPiece"


def _json(path: Path) -> dict[str, Any]:
    """{} for a file that is missing or no JSON object: what matters is checked where the library opens the folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
