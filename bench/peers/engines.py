"""The peers behind one face: open a model folder, run padded ids. Each imports what it needs when it is asked for."""
import os
import pathlib
import time
from collections.abc import Callable

import numpy as np

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids, mask: int64 [texts, tokens] -> the last hidden state


def onnxruntime(folder: pathlib.Path, precision: str, threads: int) -> tuple[Run, float]:
    import onnxruntime as ort
    path = folder / "model.onnx"
    if precision == "int8":
        quantized = folder / "model.int8.onnx"
        if not quantized.exists():
            from onnxruntime.quantization import QuantType, quantize_dynamic
            quantize_dynamic(path, quantized, weight_type=QuantType.QInt8)
        path = quantized
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    start = time.perf_counter()
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    load = time.perf_counter() - start
    return lambda ids, mask: session.run(None, {"input_ids": ids, "attention_mask": mask})[0], load


def openvino(folder: pathlib.Path, precision: str, threads: int) -> tuple[Run, float]:
    import openvino as ov
    core = ov.Core()
    start = time.perf_counter()
    model = core.compile_model(str(folder / "model.onnx"), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision})
    load = time.perf_counter() - start
    request = model.create_infer_request()
    return lambda ids, mask: request.infer([ids, mask])[model.output(0)], load


def ctranslate2(folder: pathlib.Path, precision: str, threads: int) -> tuple[Run, float]:
    import ctranslate2 as ct2
    converted = folder / "ct2"
    if not converted.exists():
        ct2.converters.TransformersConverter(str(folder)).convert(str(converted))
    start = time.perf_counter()
    encoder = ct2.Encoder(str(converted), device="cpu", compute_type={"f32": "float32"}.get(precision, precision),
                          intra_threads=threads, inter_threads=1)
    load = time.perf_counter() - start

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:  # it drops padding itself
        texts = [row[:count].tolist() for row, count in zip(ids, mask.sum(1))]
        return np.array(encoder.forward_batch(texts).last_hidden_state)
    return run, load


def torch(folder: pathlib.Path, precision: str, threads: int) -> tuple[Run, float]:
    import torch as pt
    from transformers import AutoModel
    pt.set_num_threads(threads)
    start = time.perf_counter()
    model = AutoModel.from_pretrained(folder, dtype=pt.bfloat16 if precision == "bf16" else pt.float32).eval()
    if precision == "int8":
        model = pt.ao.quantization.quantize_dynamic(model, {pt.nn.Linear}, dtype=pt.qint8)
    load = time.perf_counter() - start

    def run(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with pt.inference_mode():
            out = model(input_ids=pt.from_numpy(ids), attention_mask=pt.from_numpy(mask))
            return out.last_hidden_state.float().numpy()
    return run, load


ENGINES = {"onnxruntime": onnxruntime, "openvino": openvino, "ctranslate2": ctranslate2, "torch": torch}


def limit_threads(threads: int) -> None:
    """Before any engine is imported: their pools read these."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ["HF_HUB_OFFLINE"] = "1"
