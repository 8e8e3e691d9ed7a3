"""ONNX Runtime as a runtime of MLServer: `text` (BYTES) in, `embedding` (FP32) out, mean-pooled and normalised.

Its folder and precision come from the environment: MODEL (with model.onnx, and model.int8.onnx for PRECISION=int8), THREADS.
MLServer's adaptive batching joins requests where model-settings.json says so; compare_servers.py writes that file.
"""
import os

import numpy as np
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse
from tokenizers import Tokenizer


class Embedder(MLModel):
    async def load(self) -> bool:
        folder = os.environ["MODEL"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("THREADS", "2"))
        name = "model.int8.onnx" if os.environ.get("PRECISION") == "int8" else "model.onnx"
        self.session = ort.InferenceSession(os.path.join(folder, name), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(256)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        encoded = self.tokenizer.encode_batch(StringCodec.decode_input(payload.inputs[0]))
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        hidden = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        vectors = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("embedding", vectors.astype(np.float32))])
