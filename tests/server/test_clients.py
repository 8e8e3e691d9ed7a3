"""The clients that people have: tritonclient over HTTP, OpenAI's package (plain and asynchronous), curl, and our own
'deepseek models'.  A package that is not installed skips its tests with a printed reason; `pip install "tritonclient[http]"
openai numpy` brings them.

  python3 tests/server/test_clients.py PROGRAM        (ctest runs it)
"""
import asyncio
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from serving import MODELS, Case

Case.PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"


def needs(*packages: str):
    missing = [p for p in packages if importlib.util.find_spec(p) is None]
    if missing:
        print(f"skipped: not installed: {', '.join(missing)}", file=sys.stderr)
    return unittest.skipIf(missing, f"not installed: {', '.join(missing)}")


class Clients(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder_of_models = tempfile.TemporaryDirectory()
        cls.repository = Path(cls.folder_of_models.name)
        for version in ("1", "2"):
            shutil.copytree(MODELS / "st_mean", cls.repository / "m" / version)
        shutil.copytree(MODELS / "bert_seq", cls.repository / "c" / "1")
        cls.ARGUMENTS = ("--model-repository", cls.repository, "--enable-test-models")
        super().setUpClass()
        cls.url = f"127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.folder_of_models.cleanup()

    def models(self, *words: str, code: int = 0) -> str:
        result = subprocess.run([self.PROGRAM, "models", *words, "--url", "http://" + self.url], capture_output=True,
                                timeout=60, text=True)
        self.assertEqual(result.returncode, code, result.stderr)
        return result.stdout if code == 0 else result.stderr

    def test_deepseek_models(self) -> None:
        self.assertEqual(self.models("ready"), "")
        self.assertIn("READY", self.models("list"))
        self.assertEqual(self.models("load", "m", "1"), "load m: version 1\n")
        self.assertEqual(self.models("label", "m", "stable", "1"), "label m: version 1\n")
        self.assertEqual(self.models("rollback", "m"), "rollback m: version 2\n")
        self.assertEqual(self.models("unlabel", "m", "stable"), "unlabel m\n")
        self.assertIn("not loaded", self.models("label", "m", "stable", "7", code=1))
        self.assertIn("none", self.models("load", "none", code=1))
        self.assertEqual(self.models("unload", "m"), "unload m\n")
        self.assertIn("UNAVAILABLE", self.models("list"))
        self.assertEqual(self.models("load", "m"), "load m: version 2\n")
        for words in (["fly"], [], ["load"], ["label", "m", "x"], ["load", "m", "x"], ["load", "a/b"], ["list", "m"]):
            self.models(*words, code=2)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl(self) -> None:
        for more in ([], ["--http1.0"], ["-H", "Expect: 100-continue"], ["--compressed"]):
            answer = subprocess.run(["curl", "-sSf", *more, f"http://{self.url}/v1/embeddings", "-d",
                                     '{"model": "m", "input": "hello"}'], capture_output=True, timeout=60, check=True)
            self.assertIn(b'"embedding"', answer.stdout)

    @needs("tritonclient", "numpy")
    def test_triton_datatypes(self) -> None:
        import numpy as np
        import tritonclient.http as triton
        values = {"BOOL": np.array([True, False]), "UINT8": np.array([0, 255], np.uint8),
                  "UINT16": np.array([1, 65535], np.uint16), "UINT32": np.array([1, 2**32 - 1], np.uint32),
                  "UINT64": np.array([1, 2**64 - 1], np.uint64), "INT8": np.array([-128, 1], np.int8),
                  "INT16": np.array([-2**15, 1], np.int16), "INT32": np.array([-2**31, 1], np.int32),
                  "INT64": np.array([-2**63, 1], np.int64), "FP16": np.array([0.5, -2], np.float16),
                  "FP32": np.array([0.5, -2], np.float32), "FP64": np.array([0.1, -2], np.float64),
                  "BYTES": np.array([b"a", b"\xff\x00"], object)}
        with triton.InferenceServerClient(self.url) as client:
            for datatype, value in values.items():
                for is_binary in (True, False):
                    for compression in (None, "gzip", "deflate"):
                        if not is_binary and datatype in ("FP16", "BYTES"):
                            continue  # the client itself cannot: halves and bytes that are no UTF-8
                        with self.subTest(datatype=datatype, binary=is_binary, compression=compression):
                            given = triton.InferInput("INPUT0", [1, 2], datatype)
                            given.set_data_from_numpy(value.reshape(1, 2), binary_data=is_binary)
                            wanted = triton.InferRequestedOutput("OUTPUT0", binary_data=is_binary)
                            answer = client.infer("identity", [given], outputs=[wanted], request_id="x",
                                                  request_compression_algorithm=compression,
                                                  response_compression_algorithm=compression)
                            self.assertEqual(answer.get_response()["id"], "x")
                            np.testing.assert_array_equal(answer.as_numpy("OUTPUT0"), value.reshape(1, 2))

    @needs("tritonclient", "numpy")
    def test_triton_models(self) -> None:
        import numpy as np
        import tritonclient.http as triton
        with triton.InferenceServerClient(self.url, concurrency=4) as client:
            self.assertTrue(client.is_server_live() and client.is_server_ready() and client.is_model_ready("m"))
            self.assertFalse(client.is_model_ready("none"))
            self.assertEqual(client.get_server_metadata()["name"], "deepseek")
            self.assertEqual(client.get_model_metadata("m")["outputs"][0]["name"], "embedding")
            self.assertEqual(client.get_model_config("m")["name"], "m")
            self.assertTrue(client.get_inference_statistics("m")["model_stats"])
            text = triton.InferInput("text", [2], "BYTES")
            text.set_data_from_numpy(np.array(["hello", "two"], object))
            plain = client.infer("m", [text]).as_numpy("embedding")
            self.assertEqual(plain.shape[0], 2)
            waiting = [client.async_infer("m", [text]) for _ in range(8)]
            for one in waiting:
                np.testing.assert_array_equal(one.get_result().as_numpy("embedding"), plain)
            label = client.infer("c", [text], outputs=[triton.InferRequestedOutput("label")]).as_numpy("label")
            self.assertEqual(label.shape, (2,))
            with self.assertRaisesRegex(triton.InferenceServerException, "none"):
                client.infer("none", [text])
            client.unload_model("c")
            self.assertFalse(client.is_model_ready("c"))
            client.load_model("c")
            self.assertTrue(client.is_model_ready("c"))
            self.assertIn("c", [m["name"] for m in client.get_model_repository_index()])
            with self.assertRaises(triton.InferenceServerException):
                client.load_model("none")

    @needs("openai", "numpy")
    def test_openai(self) -> None:
        import numpy as np
        import openai
        with openai.OpenAI(base_url=f"http://{self.url}/v1", api_key="none", max_retries=0) as client:
            self.assertIn("m", [m.id for m in client.models.list()])
            packed = client.embeddings.create(model="m", input=["hello", "two"])  # base64, if numpy is there
            plain = client.embeddings.create(model="m", input=["hello", "two"], encoding_format="float")
            for a, b in zip(packed.data, plain.data):
                np.testing.assert_allclose(a.embedding, b.embedding, atol=1e-7)
            self.assertEqual(len(client.embeddings.create(model="m", input=[[5, 6], [7]], dimensions=4).data[1].embedding), 4)
            self.assertGreater(plain.usage.prompt_tokens, 0)
            with self.assertRaises(openai.NotFoundError):
                client.embeddings.create(model="none", input="a")
            with self.assertRaisesRegex(openai.BadRequestError, "empty"):
                client.embeddings.create(model="m", input=[])

    @needs("openai")
    def test_openai_asynchronously(self) -> None:
        import openai

        async def many() -> None:
            async with openai.AsyncOpenAI(base_url=f"http://{self.url}/v1", api_key="none", max_retries=0) as client:
                answers = await asyncio.gather(*[client.embeddings.create(model="m", input=f"text {i % 5}") for i in range(40)])
            for i, answer in enumerate(answers):
                self.assertEqual(answer.data[0].embedding, answers[i % 5].data[0].embedding)
        asyncio.run(many())


if __name__ == "__main__":
    unittest.main()
