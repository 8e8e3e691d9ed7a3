"""Text models on a few CPU cores: inference and fine-tuning, with the names, arguments and defaults of transformers.

    from deepseek import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

Models are folders as Hugging Face stores them; names are looked up on this machine only (deepseek.names.resolve). Arrays go
in and out as numpy's, without copies where types agree. Failures are subclasses of deepseek.Error.
"""
from ._errors import (DivergedError, Error, FileError, InvalidArgumentError, NotFoundError, OutOfMemoryError,
                      UnsupportedError)
from ._library import __version__, get_num_threads, set_num_threads
from .auto import AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification
from .batch_encoding import BatchEncoding
from .callbacks import (DefaultFlowCallback, EarlyStoppingCallback, PrinterCallback, ProgressCallback,
                        TrainerCallback)
from .collators import DataCollatorWithPadding
from .config import PretrainedConfig
from .lora import LoraConfig, PeftModel, get_peft_model
from .metrics import expected_calibration_error
from .model import PreTrainedModel
from .outputs import EvalPrediction, ModelOutput, PredictionOutput, TrainOutput
from .pipelines import pipeline
from .state import TrainerControl, TrainerState
from .tokenizer import AutoTokenizer, PreTrainedTokenizer
from .trainer import Trainer
from .training_args import TrainingArguments

__all__ = [
    "AutoModel", "AutoModelForSequenceClassification", "AutoModelForTokenClassification", "AutoTokenizer", "BatchEncoding",
    "DataCollatorWithPadding", "DefaultFlowCallback", "DivergedError", "EarlyStoppingCallback", "Error", "EvalPrediction",
    "FileError", "InvalidArgumentError", "LoraConfig", "ModelOutput", "NotFoundError", "OutOfMemoryError", "PeftModel",
    "PreTrainedModel", "PreTrainedTokenizer", "PredictionOutput", "PretrainedConfig", "PrinterCallback", "ProgressCallback",
    "TrainOutput", "Trainer", "TrainerCallback", "TrainerControl", "TrainerState", "TrainingArguments", "UnsupportedError",
    "__version__", "expected_calibration_error", "get_num_threads", "get_peft_model", "pipeline", "set_num_threads",
]
