"""From the scores of tokens to entities, as transformers' token-classification pipeline groups them."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import InvalidArgumentError
from .tokenizer import PreTrainedTokenizer

STRATEGIES = ("none", "simple", "first", "average", "max")


@dataclass
class Tags:
    """One text as it was computed."""

    text: str
    ids: list[int]
    scores: NDArray[np.float32]  # [tokens, labels]
    offsets: list[tuple[int, int]]  # characters
    special: list[int]  # 1 for tokens that the template added


@dataclass
class _Piece:
    """A token, or a word made of several."""

    tokens: list[str]
    scores: NDArray[np.float32]  # [labels]
    index: int
    start: int
    end: int
    continues: bool  # the word of the token before it


def group(tags: Tags, tokenizer: PreTrainedTokenizer, names: dict[int, str], strategy: str,
          ignored: set[str]) -> list[dict[str, Any]]:
    """The entities of a text, those with a label in `ignored` left out."""
    if strategy not in STRATEGIES:
        raise InvalidArgumentError(f"aggregation_strategy is {strategy!r}, expected one of {', '.join(STRATEGIES)}")
    pieces = _pieces(tags, tokenizer)
    if strategy == "none":
        found = [_entity(piece, names) for piece in pieces]
        return [entity for entity in found if entity["entity"] not in ignored]
    if strategy != "simple":
        pieces = _words(pieces, strategy)
    groups: list[list[_Piece]] = []
    last = ""
    for piece in pieces:
        begins, kind = _kind(names[int(piece.scores.argmax())])
        if groups and kind == last and not begins:
            groups[-1].append(piece)
        else:
            groups.append([piece])
        last = kind
    found = [_group(members, names, tokenizer) for members in groups]
    return [entity for entity in found if entity["entity_group"] not in ignored]


def _pieces(tags: Tags, tokenizer: PreTrainedTokenizer) -> list[_Piece]:
    pieces = []
    for index, (start, end) in enumerate(tags.offsets):
        if tags.special[index]:
            continue
        token = str(tokenizer.convert_ids_to_tokens(tags.ids[index]))
        written = tags.text[start:end]
        if tokenizer.has_word_pieces:
            continues = len(token) != len(written)  # "##" before a piece that goes on
        else:
            continues = start > 0 and " " not in tags.text[start - 1:start + 1]
        if tags.ids[index] == tokenizer.unk_token_id:
            token, continues = written, False
        pieces.append(_Piece([token], tags.scores[index], index, start, end, continues))
    return pieces


def _entity(piece: _Piece, names: dict[int, str]) -> dict[str, Any]:
    best = int(piece.scores.argmax())
    return {"entity": names[best], "score": piece.scores[best], "index": piece.index, "word": piece.tokens[0],
            "start": piece.start, "end": piece.end}


def _words(pieces: list[_Piece], strategy: str) -> list[_Piece]:
    words: list[list[_Piece]] = []
    for piece in pieces:
        if words and piece.continues:
            words[-1].append(piece)
        else:
            words.append([piece])
    return [_word(members, strategy) for members in words]


def _word(members: list[_Piece], strategy: str) -> _Piece:
    scores = members[0].scores
    if strategy == "max":
        scores = max(members, key=lambda piece: float(piece.scores.max())).scores
    elif strategy == "average":
        scores = np.mean([piece.scores for piece in members], axis=0)
    return _Piece([token for piece in members for token in piece.tokens], scores, members[0].index, members[0].start,
                  members[-1].end, False)


def _kind(name: str) -> tuple[bool, str]:
    """(whether the label begins an entity, which kind): B-PER, I-PER, or a plain PER, which goes on."""
    return (name[:2] == "B-", name[2:]) if name[:2] in ("B-", "I-") else (False, name)


def _group(members: list[_Piece], names: dict[int, str], tokenizer: PreTrainedTokenizer) -> dict[str, Any]:
    best = [int(piece.scores.argmax()) for piece in members]
    return {"entity_group": names[best[0]].split("-", 1)[-1],
            "score": np.mean([piece.scores[label] for piece, label in zip(members, best)]),
            "word": tokenizer.convert_tokens_to_string([token for piece in members for token in piece.tokens]),
            "start": members[0].start, "end": members[-1].end}
