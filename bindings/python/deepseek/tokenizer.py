"""AutoTokenizer: text to token ids, as transformers has it."""
from __future__ import annotations

import os
import shutil
import weakref
from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from . import names
from ._arrays import to_numpy
from ._errors import InvalidArgumentError
from ._library import call, context, create, ffi, lib
from .batch_encoding import BatchEncoding
from .tokenizer_files import TokenizerSettings

FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json",
         "added_tokens.json")
Text = str | Sequence[str]


def _byte_characters() -> dict[str, int]:
    """Byte-level vocabularies write each byte as one printable character: itself, or the next free one from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


BYTES = _byte_characters()


class PreTrainedTokenizer:
    """A tokenizer of a model folder. May be used by several threads at once.

    model_max_length: where truncation=True cuts, special tokens included. padding_side: "right" or "left".
    has_word_pieces: tokens that go on with a word begin with "##"; else they are byte-level.
    pad_token, cls_token, sep_token, unk_token, mask_token (None where there is none), and each with _id.
    """

    pad_token: str | None
    pad_token_id: int | None
    unk_token_id: int | None

    def __init__(self, folder: Path) -> None:
        self.name_or_path = str(folder)
        self._folder = folder
        self._handle = create("ds_tokenizer_open", "ds_tokenizer", context(), os.fsencode(folder))
        self._encodings: list[Any] = []  # free ds_encoding objects
        weakref.finalize(self, _close, self._handle, self._encodings).atexit = False
        self._settings = TokenizerSettings.read(folder)
        self.has_word_pieces = self._settings.word_pieces
        self.model_max_length = self._settings.max_length
        self.padding_side = self._settings.padding_side
        self.model_input_names = self._settings.input_names
        for kind, candidates in self._settings.special_tokens.items():
            known = (token for token in candidates if self._id(token) >= 0)
            token = next(known, None)
            setattr(self, f"{kind}_token", token)
            setattr(self, f"{kind}_token_id", None if token is None else self._id(token))

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], **ignored: Any) -> "PreTrainedTokenizer":
        """name: a folder, or a name as deepseek.names.resolve() understands it.

        use_fast and other switches of transformers' loading are accepted and mean nothing here. Raises NotFoundError, or
        Error where the folder's tokenizer cannot be used, with the reason.
        """
        return cls(names.resolve(name))

    # ---- Vocabulary ----

    def __len__(self) -> int:
        """How many ids there are, added tokens included."""
        return int(lib.ds_tokenizer_size(self._handle))

    @property
    def vocab_size(self) -> int:
        return len(self)

    def _id(self, token: str) -> int:
        data = token.encode("utf-8", "surrogatepass")
        return int(lib.ds_tokenizer_id(self._handle, (ffi.from_buffer(data), len(data))))

    def _token(self, index: int) -> str | None:
        found = lib.ds_tokenizer_token(self._handle, index)
        return None if found.data == ffi.NULL else bytes(ffi.buffer(found.data, found.size)).decode("utf-8", "replace")

    def convert_tokens_to_ids(self, tokens: Text) -> Any:
        """The id of a token, or a list for a list; unknown tokens are unk_token_id (None where there is no such)."""
        if isinstance(tokens, str):
            index = self._id(tokens)
            return index if index >= 0 else self.unk_token_id
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or a list for several; None for an id that does not exist."""
        array = to_numpy(ids)
        if array.ndim == 0:
            return self._token(int(array))
        special = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._token(index) for index in array.tolist() if index not in special]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Tokens put together again: word pieces to words with spaces between, byte-level tokens to their text."""
        if self.has_word_pieces:
            return "".join(token[2:] if token.startswith("##") else token if token[:1] in set(".?!,") else f" {token}"
                           for token in tokens).strip()
        characters = "".join(tokens)
        if all(character in BYTES for character in characters):
            return bytes(BYTES[character] for character in characters).decode("utf-8", "replace")
        return characters

    def get_vocab(self) -> dict[str, int]:
        tokens = ((self._token(index), index) for index in range(len(self)))
        return {token: index for token, index in tokens if token is not None}

    @property
    def special_tokens_map(self) -> dict[str, str]:
        found = {f"{kind}_token": getattr(self, f"{kind}_token") for kind in self._settings.special_tokens}
        return {name: token for name, token in found.items() if token is not None}

    @property
    def all_special_tokens(self) -> list[str]:
        return list(dict.fromkeys(self.special_tokens_map.values()))

    @property
    def all_special_ids(self) -> list[int]:
        return [self._id(token) for token in self.all_special_tokens]

    # ---- Encoding ----

    def __call__(self, text: Text | Sequence[Sequence[str]], text_pair: Text | None = None,
                 add_special_tokens: bool = True, padding: bool | str = False, truncation: bool | str = False,
                 max_length: int | None = None, is_split_into_words: bool = False, pad_to_multiple_of: int | None = None,
                 return_tensors: str | None = None, return_token_type_ids: bool | None = None,
                 return_attention_mask: bool | None = None, return_special_tokens_mask: bool = False,
                 return_offsets_mapping: bool = False, return_length: bool = False) -> BatchEncoding:
        """Encodes one text, or a list of texts.

        text_pair: the second text of each. padding: False, True or "longest" (to the longest of the batch), "max_length".
        truncation: False, True or "longest_first" (the longer of two texts is cut first), at max_length or, without it,
        at model_max_length. is_split_into_words: a text is a list of words. return_tensors: None or "np".
        return_offsets_mapping: adds offset_mapping, (first character, the one behind the last) of each token.

        Raises InvalidArgumentError (a ValueError) for lengths that do not fit and for what is not supported.
        """
        single = isinstance(text, str) or (is_split_into_words and (not text or isinstance(text[0], str)))
        if not single and not isinstance(text, Iterable):
            raise InvalidArgumentError(f"a text is a {type(text).__name__}, expected a str or a list")
        texts: list[Any] = [text] if single else list(text)
        pairs: list[Any] = [None] * len(texts) if text_pair is None else [text_pair] if single else list(text_pair)
        if len(pairs) != len(texts):
            raise InvalidArgumentError(f"there are {len(texts)} texts, but {len(pairs)} second texts")
        limit = self._limit(truncation, max_length)
        rows = [self._encode(one, pair, limit, add_special_tokens, is_split_into_words)
                for one, pair in zip(texts, pairs)]
        columns: dict[str, list[Any]] = {"input_ids": [row["input_ids"] for row in rows]}
        wants_types = "token_type_ids" in self.model_input_names if return_token_type_ids is None else return_token_type_ids
        if wants_types:
            columns["token_type_ids"] = [row["token_type_ids"] for row in rows]
        if return_attention_mask is None or return_attention_mask:
            columns["attention_mask"] = [[1] * len(row["input_ids"]) for row in rows]
        if return_special_tokens_mask:
            columns["special_tokens_mask"] = [[int(word is None) for word in row["words"]] for row in rows]
        if return_offsets_mapping:
            columns["offset_mapping"] = [row["offsets"] for row in rows]
        words = [row["words"] for row in rows]
        if return_length:
            columns["length"] = [len(row["input_ids"]) for row in rows]
        self._pad_columns(columns, words, padding, max_length, pad_to_multiple_of)
        if return_tensors is None:
            return BatchEncoding({name: rows[0] for name, rows in columns.items()} if single else columns, words)
        return BatchEncoding(_arrays(columns, return_tensors), words)

    def encode(self, text: Text, text_pair: Text | None = None, **options: Any) -> Any:
        """input_ids alone; options as for a call."""
        return self(text, text_pair, **options)["input_ids"]

    def tokenize(self, text: str) -> list[str]:
        """The tokens of a text, without special ones."""
        return list(self.convert_ids_to_tokens(self.encode(text, add_special_tokens=False)))

    def pad(self, encoded: Any, padding: bool | str = True, max_length: int | None = None,
            pad_to_multiple_of: int | None = None, return_tensors: str | None = None) -> BatchEncoding:
        """Brings several encodings (a list of dicts, or a dict of lists) to one length. Other keys stay as they are."""
        if not isinstance(encoded, dict):
            examples = list(encoded)
            encoded = {name: [example[name] for example in examples] for name in examples[0]}
        columns = {name: [to_numpy(row).tolist() for row in rows] for name, rows in encoded.items()}
        columns.setdefault("attention_mask", [[1] * len(row) for row in columns["input_ids"]])
        words: list[list[int | None]] = [[None] * len(row) for row in columns["input_ids"]]
        self._pad_columns(columns, words, padding, max_length, pad_to_multiple_of)
        return BatchEncoding(columns if return_tensors is None else _arrays(columns, return_tensors), words)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> tuple[str, ...]:
        """Copies the tokenizer's files into a folder, which is made where it does not exist. Returns their paths."""
        target = Path(save_directory)
        target.mkdir(parents=True, exist_ok=True)
        copied = []
        for name in FILES:
            if (self._folder / name).is_file():
                if not (target / name).exists() or not (target / name).samefile(self._folder / name):
                    shutil.copyfile(self._folder / name, target / name)
                copied.append(str(target / name))
        return tuple(copied)

    def __repr__(self) -> str:
        return (f"PreTrainedTokenizer(name_or_path={self.name_or_path!r}, vocab_size={len(self)}, "
                f"model_max_length={self.model_max_length}, special_tokens={self.special_tokens_map})")

    def _limit(self, truncation: bool | str, max_length: int | None) -> int:
        """Tokens to cut at; 0: never."""
        if truncation in (False, None, "do_not_truncate"):
            return 0
        if truncation not in (True, "longest_first"):
            raise InvalidArgumentError(f"truncation is {truncation!r}, expected True, False or 'longest_first'")
        limit = self.model_max_length if max_length is None else int(max_length)
        if limit < 1:
            raise InvalidArgumentError(f"max_length is {max_length}, expected at least 1")
        return limit

    def _encode(self, text: Any, pair: Any, limit: int, special: bool, split: bool) -> dict[str, list[Any]]:
        sides = [_Side(text, split)] + ([] if pair is None else [_Side(pair, split)])
        if limit and not special and pair is not None:
            raise InvalidArgumentError("two texts can only be truncated together with their special tokens")
        try:
            encoding = self._encodings.pop()
        except IndexError:
            encoding = create("ds_encoding_create", "ds_encoding", context())
        try:
            texts = [ffi.new("ds_text *", (ffi.from_buffer(side.data), len(side.data))) for side in sides]
            # Without special tokens the cut comes afterwards, so that they take no room.
            call("ds_tokenizer_encode", self._handle, texts[0][0], texts[1] if pair is not None else ffi.NULL,
                 limit if special else 0, encoding)
            return _read(encoding, sides, special, limit)
        finally:
            self._encodings.append(encoding)

    def _pad_columns(self, columns: dict[str, list[Any]], words: list[list[int | None]], padding: bool | str,
                     max_length: int | None, multiple: int | None) -> None:
        if padding in (False, "do_not_pad"):
            return
        if padding not in (True, "longest", "max_length"):
            raise InvalidArgumentError(f"padding is {padding!r}, expected True, False, 'longest' or 'max_length'")
        if self.pad_token_id is None:
            raise InvalidArgumentError(f"{self.name_or_path}: the tokenizer has no padding token")
        lengths = [len(row) for row in columns["input_ids"]]
        width = max(lengths, default=0)
        if padding == "max_length":
            width = self.model_max_length if max_length is None else max_length
        if multiple:
            width = -(-width // multiple) * multiple
        fill = {"input_ids": self.pad_token_id, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1,
                "offset_mapping": (0, 0)}
        fill_words: list[tuple[list[Any], Any]] = [(words, None)]
        for rows, value in [(rows, fill[name]) for name, rows in columns.items() if name in fill] + fill_words:
            for i, row in enumerate(rows):
                extra = [value] * (width - lengths[i])
                rows[i] = row + extra if self.padding_side == "right" else extra + row


class _Side:
    """One of two texts as bytes, and what turns byte offsets into characters and words."""

    def __init__(self, text: Any, split: bool) -> None:
        if split:
            ends = np.cumsum([len(word.encode("utf-8", "surrogatepass")) + 1 for word in text])
            self.word_ends: NDArray[np.int64] | None = ends.astype(np.int64)
            text = " ".join(text)
        else:
            self.word_ends = None
        if not isinstance(text, str):
            raise InvalidArgumentError(f"a text is a {type(text).__name__}, expected a str")
        self.text: str = text
        self.data = text.encode("utf-8", "surrogatepass")

    def characters(self, offsets: NDArray[np.int32]) -> NDArray[np.int64]:
        """Byte offsets as characters' numbers."""
        if len(self.data) == len(self.text):
            return offsets.astype(np.int64)
        starts = (np.frombuffer(self.data, np.uint8) & 0xC0) != 0x80
        return np.concatenate([[0], np.cumsum(starts)])[offsets] if len(offsets) else offsets.astype(np.int64)


def _read(encoding: Any, sides: list[_Side], special: bool, limit: int) -> dict[str, list[Any]]:
    """The columns of one encoded text, as lists."""
    size = lib.ds_encoding_size(encoding)

    def array(function: str, columns: int = 1) -> NDArray[np.int32]:
        memory = ffi.buffer(getattr(lib, function)(encoding), size * 4 * columns) if size else b""
        return np.frombuffer(memory, np.int32).copy()

    ids, types, word = array("ds_encoding_ids"), array("ds_encoding_type_ids"), array("ds_encoding_words")
    offsets = array("ds_encoding_offsets", 2).reshape(-1, 2)
    # Which text a token comes from: types tell for the templates that use them, else the order does (RoBERTa's has
    # all zeros): behind the first special token that follows a token of the first text.
    side = np.zeros(size, int)
    if len(sides) == 2:
        side = types.astype(int)
        real = np.flatnonzero(word >= 0)
        if not types.any() and len(real):
            behind = np.flatnonzero((word < 0) & (np.arange(size) > real[0]))
            side[behind[0]:] = 1
    characters = np.zeros((size, 2), np.int64)
    words = word.astype(np.int64)
    for index, one in enumerate(sides):
        mine = (side == index) & (word >= 0)
        characters[mine] = one.characters(offsets[mine])
        if one.word_ends is not None:
            words[mine] = np.searchsorted(one.word_ends, offsets[mine, 1] - 1, side="right")
    keep = np.arange(size) if special else np.flatnonzero(word >= 0)[:limit or None]
    return {"input_ids": ids[keep].tolist(), "token_type_ids": types[keep].tolist(),
            "offsets": [tuple(pair) for pair in characters[keep].tolist()],
            "words": [None if w < 0 else w for w in words[keep].tolist()]}


def _arrays(columns: dict[str, list[Any]], kind: str) -> dict[str, Any]:
    if kind != "np":
        raise InvalidArgumentError(f"return_tensors is {kind!r}, expected None or 'np' (torch.from_numpy() and the like "
                                   "take these arrays without a copy)")
    lengths = {len(row) for row in columns["input_ids"]}
    if len(lengths) > 1:
        raise InvalidArgumentError(f"the texts have {min(lengths)} to {max(lengths)} tokens, which make no array: "
                                   "padding=True brings them to one length")
    return {name: np.array(rows) for name, rows in columns.items()}


def _close(handle: Any, encodings: Iterable[Any]) -> None:
    for encoding in encodings:
        lib.ds_encoding_destroy(encoding)
    lib.ds_tokenizer_close(handle)


class AutoTokenizer:
    """from_pretrained() gives the tokenizer of a model folder, whatever its kind."""

    @staticmethod
    def from_pretrained(name: str | os.PathLike[str], **ignored: Any) -> PreTrainedTokenizer:
        """See PreTrainedTokenizer.from_pretrained."""
        return PreTrainedTokenizer.from_pretrained(name, **ignored)
