"""What a tokenizer returns."""
from __future__ import annotations

from typing import Any


class BatchEncoding(dict[str, Any]):
    """input_ids, token_type_ids, attention_mask and what else was asked for; also as attributes.

    Lists of integers for one text, lists of lists for several; with return_tensors="np" int64 arrays [texts, length].
    """

    def __init__(self, data: dict[str, Any], words: list[list[int | None]]) -> None:
        super().__init__(data)
        self._words = words

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the encoding has no {name!r}; it has {', '.join(self)}") from None

    @property
    def data(self) -> dict[str, Any]:
        return dict(self)

    def word_ids(self, batch_index: int = 0) -> list[int | None]:
        """For each token of a text which word it is part of; None for special tokens and padding.

        Words are those that were given with is_split_into_words, else as the tokenizer cuts a text.
        """
        return self._words[batch_index]

    def to(self, device: Any) -> "BatchEncoding":
        """Itself: everything is in the CPU's memory."""
        return self
