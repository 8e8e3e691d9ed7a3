"""pipeline(): from texts to labels, tags or features in one call, in the shapes that transformers returns."""
from __future__ import annotations

import os
from typing import Any, Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from . import losses
from ._errors import InvalidArgumentError
from .model import Model, PreTrainedModel, SequenceClassifier, TokenClassifier
from .tagging import Tags, group
from .tokenizer import AutoTokenizer, PreTrainedTokenizer

FUNCTIONS = {"softmax": losses.softmax, "sigmoid": losses.sigmoid, "none": lambda logits: logits}
UNKNOWN = "unknown"  # the label of a text that no label fits


class Pipeline:
    """model, tokenizer: what it runs. batch_size: texts of one call of the model."""

    _batch: Callable[..., list[Any]]  # of a subclass: a list of inputs to a result for each, with its options by name

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizer, batch_size: int, **options: Any) -> None:
        self.model, self.tokenizer, self.batch_size = model, tokenizer, batch_size
        self.options = options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """inputs: one text or a list; one result or a list of results. Options of pipeline() may be given again."""
        single = isinstance(inputs, (str, dict))
        results = self._results([inputs] if single else list(inputs), {**self.options, **options})
        return results[0] if single else results

    def _results(self, inputs: list[Any], options: dict[str, Any]) -> list[Any]:
        results: list[Any] = []
        for start in range(0, len(inputs), self.batch_size):
            results += self._batch(inputs[start:start + self.batch_size], **options)
        return results

    def _encode(self, inputs: list[Any], **options: Any) -> Any:
        wrong = next((one for one in inputs if not isinstance(one, (str, dict))), None)
        if wrong is not None:
            raise InvalidArgumentError(f"a text is a {type(wrong).__name__}, expected a str, or a dict with text and text_pair")
        texts = [one if isinstance(one, str) else one["text"] for one in inputs]
        pairs = [None if isinstance(one, str) else one.get("text_pair") for one in inputs]
        rows = [self.tokenizer(text, pair, truncation=True, **options) for text, pair in zip(texts, pairs)]
        return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


class TextClassificationPipeline(Pipeline):
    """{"label": .., "score": ..} for the likeliest label; with top_k a list of that many (None: of all), best first.

    One text without top_k gives a list of one, as in transformers. function_to_apply: "softmax", "sigmoid" or "none";
    without it as problem_type says. Logits are divided by the configuration's temperature first, if a folder was
    calibrated (deepseek calibrate), but for "none". threshold: where the best score is under it, the answer is
    {"label": "unknown"} with that score; of several labels a text (with top_k) those under it are left out.
    An input may be {"text": .., "text_pair": ..}.
    """

    def __call__(self, inputs: Any, **options: Any) -> Any:
        result = super().__call__(inputs, **options)
        return [result] if isinstance(inputs, str) and "top_k" not in options else result

    def _batch(self, inputs: list[Any], top_k: Any = "", function_to_apply: str | None = None,
               threshold: float | None = None) -> list[Any]:
        function = self._function(function_to_apply)
        if threshold is not None and not (function != "none" and 0 <= threshold <= 1):
            raise InvalidArgumentError(f"threshold is {threshold!r} with function_to_apply {function!r}, expected a number "
                                       "from 0 to 1, and softmax or sigmoid")
        encoded = self.tokenizer.pad(self._encode(inputs), return_tensors="np")
        logits = self.model(**encoded)["logits"]
        if function != "none":
            logits = logits.astype(np.float64) / (getattr(self.model.config, "temperature", None) or 1.0)
        return [self._answer(row, top_k, threshold) for row in FUNCTIONS[function](logits)]

    def _answer(self, scores: NDArray[np.float32], top_k: Any, threshold: float | None) -> Any:
        names = self.model.config.id2label
        best = {"label": names[int(scores.argmax())], "score": float(scores.max())}
        many = self.model.config.problem_type == "multi_label_classification" and top_k != ""
        if threshold is not None and not many and not best["score"] >= threshold:
            best["label"] = UNKNOWN
            return best if top_k == "" else [best]
        if top_k == "":
            return best
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_k]
        return [{"label": names[i], "score": float(scores[i])} for i in order
                if not (many and threshold is not None) or scores[i] >= threshold]

    def _function(self, name: str | None) -> str:
        config = self.model.config
        if name is None:
            if config.problem_type == "regression":
                name = "none"
            else:
                sigmoid = config.problem_type == "multi_label_classification" or config.num_labels == 1
                name = "sigmoid" if sigmoid else "softmax"
        if name not in FUNCTIONS:
            raise InvalidArgumentError(f"function_to_apply is {name!r}, expected one of {', '.join(FUNCTIONS)}")
        return name


class TokenClassificationPipeline(Pipeline):
    """A text's entities: {"entity", "score", "index", "word", "start", "end"} for each token whose label is not in
    ignore_labels (["O"]); with an aggregation_strategy of "simple", "first", "average" or "max" {"entity_group", "score",
    "word", "start", "end"} for each group. start and end count characters.
    """

    def _batch(self, inputs: list[Any], aggregation_strategy: str = "none",
               ignore_labels: Sequence[str] = ("O",)) -> list[Any]:
        encoded = self._encode(inputs, return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets, special = encoded.pop("offset_mapping"), encoded.pop("special_tokens_mask")
        batch = self.tokenizer.pad(encoded, return_tensors="np")
        logits = self.model(**batch)["logits"]
        found = []
        for i, text in enumerate(inputs):
            mask = batch["attention_mask"][i] != 0
            tags = Tags(text, batch["input_ids"][i][mask].tolist(), losses.softmax(logits[i][mask]), offsets[i], special[i])
            found.append(group(tags, self.tokenizer, self.model.config.id2label, aggregation_strategy, set(ignore_labels)))
        return found


class FeatureExtractionPipeline(Pipeline):
    """The last hidden state of a text, [1, tokens, hidden_size], as nested lists; return_tensors=True: as an array."""

    def _batch(self, inputs: list[Any], return_tensors: bool = False) -> list[Any]:
        batch = self.tokenizer.pad(self._encode(inputs), return_tensors="np")
        hidden: NDArray[np.float32] = self.model(**batch)["last_hidden_state"]
        rows = [hidden[i][mask != 0][None] for i, mask in enumerate(batch["attention_mask"])]
        return rows if return_tensors else [row.tolist() for row in rows]


TASKS: dict[str, tuple[type[Pipeline], type[PreTrainedModel]]] = {
    "text-classification": (TextClassificationPipeline, SequenceClassifier),
    "sentiment-analysis": (TextClassificationPipeline, SequenceClassifier),
    "token-classification": (TokenClassificationPipeline, TokenClassifier),
    "ner": (TokenClassificationPipeline, TokenClassifier),
    "feature-extraction": (FeatureExtractionPipeline, Model),
}


def pipeline(task: str, model: PreTrainedModel | str | os.PathLike[str],
             tokenizer: PreTrainedTokenizer | str | os.PathLike[str] | None = None, *, device: Any = None,
             batch_size: int = 8, **options: Any) -> Pipeline:
    """task: "text-classification", "token-classification" or "feature-extraction". model, tokenizer: objects, or names as
    from_pretrained() takes them; without a tokenizer the model folder's. device is accepted. options: of the pipeline's
    class (top_k, function_to_apply, threshold; aggregation_strategy, ignore_labels; return_tensors).

    Raises InvalidArgumentError for another task, and where the model is of another kind.
    """
    if task not in TASKS:
        raise InvalidArgumentError(f"task is {task!r}, expected one of {', '.join(TASKS)}")
    kind, model_class = TASKS[task]
    opened = model if isinstance(model, PreTrainedModel) else model_class.from_pretrained(model)
    if not isinstance(opened, model_class):
        raise InvalidArgumentError(f"{task} needs a {model_class.__name__}, but the model is a {type(opened).__name__}")
    if tokenizer is None:
        tokenizer = opened.name_or_path
    if not isinstance(tokenizer, PreTrainedTokenizer):
        tokenizer = AutoTokenizer.from_pretrained(tokenizer)
    return kind(opened, tokenizer, batch_size, **options)
