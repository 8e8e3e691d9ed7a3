"""Models: what computes, what is trained, what is saved, with the names that transformers has."""
from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Iterator, Sequence, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import losses
from ._arrays import FloatArray, Packed, Padded, integers, to_numpy
from ._errors import InvalidArgumentError
from ._library import call, context, ffi, lib, text
from .config import PretrainedConfig
from .engine import Engine
from .loading import Asked, Loading
from .lora import LoraConfig
from .outputs import BaseModelOutput, ModelOutput, SequenceClassifierOutput, TokenClassifierOutput
from .progress import ProgressBar
from .saving import copy_model, update_config, write_into
from .weights import TrainBatch, Weights

Self = TypeVar("Self", bound="PreTrainedModel")
TEXTS_PER_CALL = 512  # of encode: between two calls Ctrl-C is seen and the bar moves

# For weights that no training is planned for, the least memory: SGD keeps nothing beside the gradient.
WEIGHTS_ONLY = {"optimizer": "DS_OPTIMIZER_SGD", "schedule": "DS_SCHEDULE_CONSTANT"}


class PreTrainedModel:
    """A model folder, opened. As long as it is only computed with, the folder's weights are mapped and shared; once it is
    trained (or its head is new) it has weights of its own in float32.

    config: a PretrainedConfig. Calls may come from several threads at once.
    """

    head: ClassVar[str | None] = None  # what the class's architectures end in

    def __init__(self, loading: Loading) -> None:
        self.config: PretrainedConfig = loading.config
        self.name_or_path = str(loading.folder)
        self.training = False
        self.peft_config: LoraConfig | None = None
        self._loading = loading
        self._folder: Path = loading.folder
        self._engine: Engine | None = None
        self._engine_version: int | None = None  # of the weights that the engine was made from; None: the folder's
        self._weights: Weights | None = None
        self._weights_are_out = False  # the host has writable views
        self._merged: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def from_pretrained(cls: type[Self], name: str | os.PathLike[str], *, num_labels: int | None = None,
                        id2label: dict[Any, str] | None = None, label2id: dict[str, int] | None = None,
                        problem_type: str | None = None, device_map: Any = None, dtype: Any = None,
                        torch_dtype: Any = None, quantization: str | None = None,
                        hidden_dropout_prob: float | None = None, **ignored: Any) -> Self:
        """Opens a model folder; name as deepseek.names.resolve() understands it.

        num_labels, id2label, label2id: of the head; one of another size than the folder's is replaced by a new one, with
        a warning. device_map: None, "auto" or "cpu". dtype (or torch_dtype): "float32" (default), "bfloat16", "auto"
        (what the folder stores). quantization: None or "int8" for computing. problem_type:
        "single_label_classification", "multi_label_classification" or "regression". hidden_dropout_prob: of training.
        Switches of transformers' loading that have no meaning here (revision, trust_remote_code, ...) are accepted.

        Raises NotFoundError, InvalidArgumentError, UnsupportedError, or Error with the file's fault.
        """
        return cls(Loading.read(name, cls.head, Asked(num_labels, id2label, label2id, problem_type, device_map,
                                                      dtype if dtype is not None else torch_dtype, quantization,
                                                      hidden_dropout_prob), ignored))

    # ---- Computing ----

    def __call__(self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None,
                 labels: Any = None, **ignored: Any) -> ModelOutput:
        """input_ids, attention_mask, token_type_ids: [texts, length]; labels: see the class. Padding is never computed:
        outputs are zeros there. Always without dropout. Raises InvalidArgumentError for shapes that disagree.
        """
        padded = Padded.read(input_ids, attention_mask, token_type_ids)
        return self._output(padded, labels)

    forward = __call__

    def _output(self, padded: Padded, labels: Any) -> ModelOutput:
        raise NotImplementedError

    def logits(self, packed: Packed) -> FloatArray:
        """[texts, labels], or [tokens, labels] of a head on tokens."""
        if self._weights is None and not self._loading.new_head:
            return self._get_engine().forward(packed, "DS_OUTPUT_LOGITS")
        return self.own_weights().evaluate(TrainBatch(packed), with_loss=False)[0]

    def encode(self, sentences: str | Sequence[str], *, batch_size: int = 32, show_progress_bar: bool | None = None,
               convert_to_numpy: bool = True, normalize_embeddings: bool = False) -> Any:
        """Texts to vectors, pooled and normalised as the folder says, as sentence-transformers has it.

        sentences: one text, or a list. Returns float32 [texts, hidden_size] ([hidden_size] for one text), or with
        convert_to_numpy=False a list of vectors. normalize_embeddings: to length 1 also where the folder does not.
        batch_size is accepted; batches are made by tokens, and results do not depend on them.
        """
        single = isinstance(sentences, str)
        texts = [sentences] if isinstance(sentences, str) else list(sentences)
        engine = self._get_engine()
        out = np.empty((len(texts), engine.info.hidden_size), np.float32)
        with ProgressBar(len(texts), "texts", bool(show_progress_bar)) as bar:
            for start in range(0, len(texts), TEXTS_PER_CALL):
                part = texts[start:start + TEXTS_PER_CALL]
                out[start:start + len(part)] = engine.embed(part, normalize_embeddings)
                bar.advance(len(part))
        if single:
            return out[0]
        return out if convert_to_numpy else list(out)

    def _get_engine(self) -> Engine:
        """One that computes with the present weights: the folder's, or a copy written for it where they were changed."""
        if self._weights is None:
            if self._engine is None or self._engine_version is not None:
                self._engine, self._engine_version = self._open(self._folder), None
        elif self._engine is None or self._weights_are_out or self._engine_version != self._weights.version:
            with tempfile.TemporaryDirectory(prefix="deepseek-") as temporary:
                self._weights.save(Path(temporary) / "model")
                # Mapped files stay readable after they are removed.
                self._engine, self._engine_version = self._open(Path(temporary) / "model"), self._weights.version
        return self._engine

    def _open(self, folder: Path) -> Engine:
        return Engine(folder, self._loading.precision, self._loading.int8)

    # ---- Weights of its own ----

    def own_weights(self, options: dict[str, Any] | None = None) -> Weights:
        """The weights that are attached. options: attaches new ones with these members of ds_trainer_options first, which
        take over what the ones before had learned; without options, ones that no training is planned for.
        """
        if self._weights is not None and options is None and self._weights.options["task"] == self.task():
            return self._weights
        members = self._loading.trainer_options(self.task())
        if self.peft_config is not None:
            members |= self.peft_config.options()
        weights = Weights(self._folder, members | (WEIGHTS_ONLY if options is None else options))
        if self._weights is not None:
            weights.copy_from(self._weights)
        self._weights, self._weights_are_out = weights, False
        self._engine = None
        return weights

    def evaluate_batch(self, batch: TrainBatch, with_loss: bool, loss: str | None) -> tuple[FloatArray, float | None]:
        """(logits, or vectors without a head; the mean loss), without dropout. loss: a constant of ds_loss; None: the
        task's.
        """
        if self._weights is None and self.head is not None and not self._loading.new_head and loss is None:
            logits = self.logits(batch.packed)
            return logits, float(self.packed_loss(logits, batch)) if with_loss else None
        if loss is not None and (self._weights is None or self._weights.options.get("loss") != loss):
            self.own_weights(WEIGHTS_ONLY | {"loss": loss})
        return self.own_weights().evaluate(batch, with_loss)

    def packed_loss(self, logits: FloatArray, batch: TrainBatch) -> np.float32:
        raise NotImplementedError

    def forget_temperature(self) -> None:
        """What `deepseek calibrate` fitted to the logits of other weights: from now on scores are plain again."""
        vars(self.config).pop("temperature", None)

    def task(self) -> str:
        """What the weights are trained for: a constant of ds_train_task."""
        raise NotImplementedError

    def set_adapters(self, config: LoraConfig) -> None:
        """See deepseek.get_peft_model."""
        if self.peft_config is not None:
            raise InvalidArgumentError("the model has adapters already: merge_and_unload() first")
        self._keep_weights()
        self.peft_config = config

    def merge_adapter(self, folder: str | os.PathLike[str]) -> None:
        """See deepseek.PeftModel.from_pretrained."""
        if self.peft_config is not None:
            raise InvalidArgumentError("the model has adapters already: merge_and_unload() first")
        self._keep_weights()
        members = self._loading.trainer_options(self.task()) | WEIGHTS_ONLY
        weights = Weights(self._folder, members | {"adapter": os.fsencode(folder)})
        if weights.info.new_head:
            raise InvalidArgumentError(f"{folder} has no head for the model's {self.config.num_labels} labels, nor has "
                                       f"{self.name_or_path}")
        self._weights = weights
        self._keep_weights()

    def merge_and_unload(self: Self) -> Self:
        """Puts the adapters into the weights and returns the model, which trains all of them again."""
        self._keep_weights()
        self.peft_config = None
        return self

    def _keep_weights(self) -> None:
        """Makes a folder of what is attached, merged, the one that everything starts from."""
        if self._weights is None:
            return
        merged = tempfile.TemporaryDirectory(prefix="deepseek-")
        self._weights.save(Path(merged.name) / "model")
        self._folder, self._merged = Path(merged.name) / "model", merged
        self._loading.new_head = False
        self._weights = self._engine = None

    def named_parameters(self) -> Iterator[tuple[str, FloatArray]]:
        """(name, float32 array) of every tensor, looking into the library's memory: writing changes the model.

        Attaches weights of its own where there are none. Arrays stay valid, but belong to the weights that were attached
        when they were taken: training attaches new ones.
        """
        weights = self.own_weights()
        self._weights_are_out = True
        for name, data, _ in weights.tensors():
            yield name, data

    def named_gradients(self) -> Iterator[tuple[str, FloatArray]]:
        """(name, read-only array) of the last step's gradients, before clipping; frozen tensors are left out,
        and all where memory_efficient applied gradients without keeping them."""
        for name, _, gradient in self.own_weights().tensors():
            if gradient is not None:
                yield name, gradient

    def num_parameters(self, only_trainable: bool = False) -> int:
        """Elements of all tensors; only_trainable: of those that training changes."""
        if self._weights is None and not only_trainable and not self._loading.new_head:
            return int(self._get_engine().info.parameters)
        info = self.own_weights().info
        return int(info.trained_parameters if only_trainable else info.parameters)

    def print_trainable_parameters(self) -> None:
        """As peft's models have it."""
        trained, every = self.num_parameters(only_trainable=True), self.num_parameters()
        print(f"trainable params: {trained:,} || all params: {every:,} || trainable%: {100 * trained / every:.4f}")

    # ---- Saving ----

    def save_pretrained(self, save_directory: str | os.PathLike[str], dtype: str | None = None,
                        card: str | None = None) -> None:
        """Writes a model folder that transformers and this library load, tokenizer included.

        dtype: "float32", "float16", "bfloat16" or "int8"; None: float32, or what the folder has when nothing was changed
        ("int8" when it was opened so). card: the text of README.md. With adapters (get_peft_model) they alone are
        written. Files of the same names are replaced.
        """
        known = ("float32", "float16", "bfloat16", "int8")
        if dtype is not None and dtype not in known:
            raise InvalidArgumentError(f"dtype is {dtype!r}, expected one of {', '.join(known)}")
        target = Path(save_directory)
        adapters = self.peft_config is not None
        unchanged = self._weights is None and not self._loading.new_head and not adapters
        if unchanged and dtype is None and not self._loading.int8:
            write_into(target, self._copy)
        elif unchanged and dtype in (None, "int8"):
            write_into(target, self._quantize)
        else:
            weights = self.own_weights()
            write_into(target, lambda path: weights.save(path, dtype or "float32", adapters, card))
        if not adapters:
            self._name_labels(target)

    def _copy(self, path: Path) -> None:
        path.mkdir()
        copy_model(self._folder, path, weights=True)

    def _quantize(self, path: Path) -> None:
        stats = ffi.new("ds_quantize_stats *")
        call("ds_model_quantize", context(), os.fsencode(self._folder), os.fsencode(path), ffi.NULL, stats)

    def _name_labels(self, folder: Path) -> None:
        if self.head is not None:
            members = self.config.to_dict()
            names = ("id2label", "label2id", "problem_type")
            update_config(folder, {name: members[name] for name in names if name in members})

    def complete_checkpoint(self, folder: Path) -> None:
        """Puts the configuration and the tokenizer beside a checkpoint's weights, so that from_pretrained() opens it.
        Only where all weights are trained: else the checkpoint holds a part of them.
        """
        weights = self.own_weights()
        if weights.info.trained_parameters != weights.info.parameters:
            return
        copy_model(self._folder, folder, weights=False)
        if self.head is not None:
            name = (self.config.to_dict().get("architectures") or ["Bert"])[0]
            update_config(folder, {"architectures": [re.sub(r"(Model|For\w+)$", "", str(name)) + self.head]},
                          removed=("temperature",))
        self._name_labels(folder)

    # ---- What transformers' models have and is the same here ----

    def eval(self: Self) -> Self:
        """Itself: calls are always without dropout, only the trainer's steps have it."""
        return self.train(False)

    def train(self: Self, mode: bool = True) -> Self:
        self.training = mode
        return self

    def to(self: Self, *ignored: Any, **also_ignored: Any) -> Self:
        """Itself: there is only the CPU."""
        return self

    @property
    def device(self) -> str:
        return "cpu"

    @property
    def dtype(self) -> str:
        """"float32" or "bfloat16": what it computes in."""
        if self._loading.precision != "auto":
            return self._loading.precision
        return text(lib.ds_precision_name(self._get_engine().info.precision))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name_or_path!r}, {(self.config.to_dict().get('architectures') or ['?'])[0]})"


class Model(PreTrainedModel):
    """Without a head: last_hidden_state, and encode()."""

    def _output(self, padded: Padded, labels: Any) -> BaseModelOutput:
        if labels is not None:
            raise InvalidArgumentError("labels were given, but a model without a head has no loss")
        hidden = self._get_engine().forward(padded.packed, "DS_OUTPUT_HIDDEN")
        return BaseModelOutput(padded.unpack(hidden))

    def task(self) -> str:
        return "DS_TRAIN_EMBEDDING"


class SequenceClassifier(PreTrainedModel):
    """A head on texts. labels of a call: [texts] integers; [texts, labels] of 0 and 1 for several labels a text; [texts]
    or [texts, labels] values for regression. config.problem_type decides; where it is not set, labels do, as in
    transformers.
    """

    head = "ForSequenceClassification"

    def _output(self, padded: Padded, labels: Any) -> SequenceClassifierOutput:
        logits = self.logits(padded.packed)
        return SequenceClassifierOutput(None if labels is None else self.loss(logits, to_numpy(labels)), logits)

    def settle_problem(self, labels: NDArray[Any]) -> str:
        """config.problem_type, found out from labels and kept where it is not set."""
        if self.config.problem_type is None:
            if self.config.num_labels == 1:
                self.config.problem_type = "regression"
            else:
                whole = labels.dtype.kind in "iub"
                self.config.problem_type = "single_label_classification" if whole else "multi_label_classification"
        return self.config.problem_type

    def loss(self, logits: FloatArray, labels: NDArray[Any]) -> np.float32:
        problem = self.settle_problem(labels)
        if problem == "single_label_classification":
            return losses.cross_entropy(logits, self._shaped(integers(labels, "labels"), (len(logits),)))
        targets = self._shaped(labels, logits.shape).astype(np.float64)
        return (losses.squared_error if problem == "regression" else losses.binary_cross_entropy)(logits, targets)

    def packed_loss(self, logits: FloatArray, batch: TrainBatch) -> np.float32:
        expected = batch.labels if batch.labels is not None else batch.targets
        assert expected is not None
        return self.loss(logits, expected)

    @staticmethod
    def _shaped(labels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        if labels.size != np.prod(shape):
            raise InvalidArgumentError(f"labels have the shape {labels.shape}, expected {shape}")
        return labels.reshape(shape)

    def task(self) -> str:
        problem = self.config.problem_type or ("regression" if self.config.num_labels == 1 else "")
        return {"multi_label_classification": "DS_TRAIN_MULTI_LABEL",
                "regression": "DS_TRAIN_REGRESSION"}.get(problem, "DS_TRAIN_CLASSIFICATION")


class TokenClassifier(PreTrainedModel):
    """A head on tokens. labels of a call: [texts, length] integers, -100 where there is none."""

    head = "ForTokenClassification"

    def _output(self, padded: Padded, labels: Any) -> TokenClassifierOutput:
        logits = self.logits(padded.packed)
        loss = None
        if labels is not None:
            array = np.atleast_2d(integers(labels, "labels"))
            if array.shape != padded.mask.shape:
                raise InvalidArgumentError(f"labels have the shape {array.shape}, but input_ids {padded.mask.shape}")
            loss = losses.cross_entropy(logits, array[padded.mask])
        return TokenClassifierOutput(loss, padded.unpack(logits))

    def packed_loss(self, logits: FloatArray, batch: TrainBatch) -> np.float32:
        assert batch.labels is not None
        return losses.cross_entropy(logits, batch.labels)

    def task(self) -> str:
        return "DS_TRAIN_TAGGING"
