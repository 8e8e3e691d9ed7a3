"""The classes that scripts name: which model class a folder is opened with."""
from __future__ import annotations

from .model import Model, SequenceClassifier, TokenClassifier


class AutoModel:
    """from_pretrained() opens a folder without its head: last_hidden_state and encode()."""

    from_pretrained = staticmethod(Model.from_pretrained)


class AutoModelForSequenceClassification:
    """from_pretrained() opens a folder with a head on texts, a new one where it has none."""

    from_pretrained = staticmethod(SequenceClassifier.from_pretrained)


class AutoModelForTokenClassification:
    """from_pretrained() opens a folder with a head on tokens, a new one where it has none."""

    from_pretrained = staticmethod(TokenClassifier.from_pretrained)
