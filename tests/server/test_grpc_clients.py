"""The clients that people have, over gRPC: tritonclient (plain, asynchronous, streams), the generated stubs of KServe's kind,
gRPC's own health checking and reflection.  A package that is not installed skips the tests with a printed reason;
`pip install "tritonclient[grpc]" grpcio-health-checking grpcio-reflection numpy` brings them.

  python3 tests/server/test_grpc_clients.py PROGRAM        (ctest runs it)
"""
import asyncio
import hashlib
import importlib.util
import json
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

from serving import MODELS, ROOT, Case, Server, text_input

Case.PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"

NEEDED = ("numpy", "grpc", "tritonclient", "grpc_health", "grpc_reflection")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
if MISSING:
    print(f"skipped: not installed: {', '.join(MISSING)}", file=sys.stderr)
else:
    import grpc
    import numpy as np
    import tritonclient.grpc as triton
    import tritonclient.grpc.aio as triton_aio
    from google.protobuf import descriptor_pb2
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
    from tritonclient.grpc import service_pb2, service_pb2_grpc
    from tritonclient.utils import InferenceServerException, triton_to_np_dtype

FIXED = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP16", "FP32", "FP64")


def tensor(name: str, datatype: str, values) -> "triton.InferInput":
    made = triton.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def texts(*values: str) -> "triton.InferInput":
    return tensor("text", "BYTES", np.array([v.encode() for v in values], dtype=object))


def some(datatype: str, shape: tuple[int, ...]):
    return (np.arange(int(np.prod(shape))).reshape(shape) % 100).astype(triton_to_np_dtype(datatype))


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class Clients(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder_of_models = tempfile.TemporaryDirectory()
        cls.repository = Path(cls.folder_of_models.name)
        for version in ("1", "2"):
            shutil.copytree(MODELS / "st_mean", cls.repository / "m" / version)
        cls.ARGUMENTS = ("--model-repository", cls.repository, "--model", f"c={MODELS / 'bert_seq'}", "--enable-test-models")
        super().setUpClass()
        cls.url = f"127.0.0.1:{cls.server.grpc_port}"
        cls.client = triton.InferenceServerClient(cls.url)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()
        super().tearDownClass()
        cls.folder_of_models.cleanup()

    def fails(self, code: str, *words: str):
        case = self

        class Context:
            def __enter__(self) -> None: ...

            def __exit__(self, kind, error, trace) -> bool:
                case.assertIsNotNone(error, "nothing failed")
                text = str(error)
                case.assertIn(code, text)
                for word in words:
                    case.assertIn(word, text)
                return True
        return Context()

    def test_asking(self) -> None:
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("m"))
        self.assertTrue(self.client.is_model_ready("m", "2"))
        self.assertFalse(self.client.is_model_ready("m", "7"))
        self.assertFalse(self.client.is_model_ready("none"))
        self.assertEqual(self.client.get_server_metadata().name, "deepseek")
        about = self.client.get_model_metadata("m")
        self.assertEqual((about.name, list(about.outputs[0].shape), about.outputs[0].datatype), ("m", [-1, 32], "FP32"))
        config = self.client.get_model_config("m").config
        self.assertEqual((config.name, config.input[0].name, config.max_batch_size), ("m", "text", 0))
        with self.fails("NOT_FOUND", "none"):
            self.client.get_model_metadata("none")
        states = {(m.name, m.version): m.state for m in self.client.get_model_repository_index().models}
        self.assertEqual(states["m", "2"], "READY")

    def test_every_datatype_in_every_compression(self) -> None:
        for datatype in FIXED:
            values = some(datatype, (3, 500))
            for compression in (None, "gzip", "deflate"):
                answer = self.client.infer("identity", [tensor("INPUT0", datatype, values)], compression_algorithm=compression)
                got = answer.as_numpy("OUTPUT0")
                self.assertEqual(got.dtype, values.dtype)
                self.assertTrue((got == values).all(), datatype)
        words = np.array([b"", b"\x00\xff", "äöü".encode(), b"x" * 70000], dtype=object).reshape(2, 2)
        got = self.client.infer("identity", [tensor("INPUT0", "BYTES", words)]).as_numpy("OUTPUT0")
        self.assertEqual(got.tolist(), words.tolist())
        request = service_pb2.ModelInferRequest(model_name="identity", raw_input_contents=[b"\x80\x3f\x20\xc0"])
        request.inputs.add(name="x", datatype="BF16", shape=[2])  # numpy has none
        with grpc.insecure_channel(self.url) as channel:
            got = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request)
        self.assertEqual((got.outputs[0].datatype, got.raw_output_contents[0]), ("BF16", b"\x80\x3f\x20\xc0"))
        empty = np.zeros((0, 4), dtype=np.float32)
        self.assertEqual(self.client.infer("identity", [tensor("x", "FP32", empty)]).as_numpy("x").shape, (0, 4))

    def test_64_megabytes_in_one_message(self) -> None:
        values = np.random.default_rng(1).integers(-2**62, 2**62, (8 << 20,), dtype=np.int64)
        got = self.client.infer("identity", [tensor("x", "INT64", values)]).as_numpy("x")
        self.assertTrue((got == values).all())

    def test_the_same_numbers_as_over_rest(self) -> None:
        lines = ["hello", "", "wörld " * 3]
        answer = self.client.infer("m", [texts(*lines)], request_id="r7", outputs=[triton.InferRequestedOutput("embedding")])
        rest = self.good(self.server.ask("POST", "/v2/models/m/infer", {"inputs": [text_input(*lines)]})).json
        self.close(answer.as_numpy("embedding").ravel().tolist(), rest["outputs"][0]["data"])
        response = answer.get_response()
        self.assertEqual((response.id, response.model_name, response.model_version), ("r7", "m", rest["model_version"]))
        labels = self.client.infer("c", [texts("hello")])
        self.assertEqual(labels.as_numpy("label").dtype, np.object_)
        self.assertIsNone(labels.as_numpy("embedding"))

    def test_vectors_of_a_model_with_a_head_are_the_command_lines_to_the_bit(self) -> None:
        lines = ["hello", "w\u00f6rld " * 3]
        result = subprocess.run([Case.PROGRAM, "embed", str(MODELS / "bert_seq")], input="\n".join(lines).encode(),
                                capture_output=True, timeout=60, check=True)
        want = np.array([json.loads(line)["embedding"] for line in result.stdout.decode().split("\n")[:-1]], dtype=np.float32)
        self.assertEqual([o.name for o in self.client.get_model_metadata("c").outputs], ["logits", "label", "score", "embedding"])
        wish = [triton.InferRequestedOutput(name) for name in ("embedding", "label")]
        for outputs in (wish[:1], wish):
            answer = self.client.infer("c", [texts(*lines)], outputs=outputs)
            self.assertEqual(answer.as_numpy("embedding").tobytes(), want.tobytes())

    def test_errors_have_a_code_and_a_sentence(self) -> None:
        with self.fails("NOT_FOUND", "none"):
            self.client.infer("none", [texts("x")])
        with self.fails("NOT_FOUND", "9"):
            self.client.infer("m", [texts("x")], model_version="9")
        with self.fails("INVALID_ARGUMENT", "nope"):
            self.client.infer("m", [tensor("nope", "INT64", some("INT64", (1, 2)))])
        with self.fails("INVALID_ARGUMENT", "embeddings"):
            self.client.infer("m", [texts("x")], outputs=[triton.InferRequestedOutput("embeddings")])
        with self.fails("INVALID_ARGUMENT"):
            self.client.infer("m", [texts("word " * 5000)])
        self.client.infer("m", [texts("word " * 5000)], parameters={"truncate": True})
        with self.fails("StatusCode.DEADLINE_EXCEEDED"):
            self.client.infer("m", [texts(*["word " * 200] * 500)], parameters={"truncate": True}, client_timeout=0.003)

    def test_typed_contents_as_other_clients_send_them(self) -> None:
        with grpc.insecure_channel(self.url) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            request = service_pb2.ModelInferRequest(model_name="m", id="7")
            request.inputs.add(name="text", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([b"hello", b"you"])
            typed = stub.ModelInfer(request)
            raw = self.client.infer("m", [texts("hello", "you")]).as_numpy("embedding")
            self.assertEqual(typed.raw_output_contents[0], raw.tobytes())
            self.assertEqual(typed.id, "7")
            request.raw_input_contents.append(b"\0\0\0\0")
            with self.fails("INVALID_ARGUMENT", "one of the two"):
                stub.ModelInfer(request)
            for name, values in (("int_contents", [1, -2]), ("int64_contents", [-2**63, 5]), ("fp64_contents", [0.1, -1e300]),
                                 ("bool_contents", [True, False]), ("uint64_contents", [2**64 - 1, 0])):
                datatype = {"int_contents": "INT32", "int64_contents": "INT64", "fp64_contents": "FP64",
                            "bool_contents": "BOOL", "uint64_contents": "UINT64"}[name]
                request = service_pb2.ModelInferRequest(model_name="identity")
                getattr(request.inputs.add(name="x", datatype=datatype, shape=[2]).contents, name).extend(values)
                got = stub.ModelInfer(request).raw_output_contents[0]
                self.assertEqual(got, np.array(values, dtype=triton_to_np_dtype(datatype)).tobytes())

    def test_many_at_once(self) -> None:
        done: queue.Queue = queue.Queue()
        for i in range(300):
            value = np.array([i], dtype=np.int64)
            self.client.async_infer("identity", [tensor("x", "INT64", value)], request_id=str(i),
                                    callback=lambda result, error: done.put((result, error)))
        for _ in range(300):
            result, error = done.get(timeout=60)
            self.assertIsNone(error)
            self.assertEqual(result.as_numpy("x")[0], int(result.get_response().id))

    def test_asyncio(self) -> None:
        async def ask() -> list:
            async with triton_aio.InferenceServerClient(self.url) as client:
                return await asyncio.gather(*(client.infer("m", [texts(f"text {i}")]) for i in range(40)))
        for i, answer in enumerate(asyncio.run(ask())):
            alone = self.client.infer("m", [texts(f"text {i}")]).as_numpy("embedding")
            self.assertTrue((answer.as_numpy("embedding") == alone).all())

    def test_a_stream(self) -> None:
        done: queue.Queue = queue.Queue()
        with triton.InferenceServerClient(self.url) as client:
            client.start_stream(callback=lambda result, error: done.put((result, error)))
            for i in range(200):
                client.async_stream_infer("none" if i == 77 else "identity",
                                          [tensor("x", "INT64", np.array([i], dtype=np.int64))], request_id=str(i))
            for i in range(200):
                result, error = done.get(timeout=60)
                if i == 77:
                    self.assertIn("none", str(error))
                else:
                    self.assertIsNone(error)
                    self.assertEqual((result.as_numpy("x")[0], result.get_response().id), (i, str(i)))
            client.stop_stream()

    def test_load_and_unload(self) -> None:
        self.client.unload_model("m")
        self.assertFalse(self.client.is_model_ready("m"))
        with self.fails("", "m"):
            self.client.infer("m", [texts("x")])
        self.client.load_model("m")
        self.assertEqual(self.client.infer("m", [texts("x")]).get_response().model_version, "2")
        with self.fails("INVALID_ARGUMENT", "config"):
            self.client.load_model("m", config="{}")
        with self.fails("NOT_FOUND", "none"):
            self.client.load_model("none")

    def test_the_access_log(self) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        self.client.infer("c", [texts("secret words")], request_id="log-1", headers={"traceparent": trace})
        with self.fails("NOT_FOUND"):
            self.client.infer("none", [texts("secret words")], request_id="log-2")
        self.client.is_server_live()
        lines = self.server.access('"log-2"')
        self.assertNotIn("secret", json.dumps(lines))
        good, bad = ([line for line in lines if line.get("id") == name][-1] for name in ("log-1", "log-2"))
        self.assertEqual((good["method"], good["path"], good["status"], good["model"], good["traceparent"], good["tokens"] > 2),
                         ("gRPC", "/inference.GRPCInferenceService/ModelInfer", 0, "c", trace, True))
        self.assertEqual((bad["status"], bad["model"]), (5, "none"))
        self.assertFalse([line for line in lines if line["path"].endswith("ServerLive")])

    def test_statistics_count(self) -> None:
        def count() -> int:
            return self.client.get_inference_statistics("c").model_stats[0].inference_stats.success.count
        before = count()
        self.client.infer("c", [texts("x", "y")])
        self.assertEqual(count(), before + 1)
        names = {m.name for m in self.client.get_inference_statistics().model_stats}
        self.assertLessEqual({"m", "c", "identity"}, names)

    def test_health_and_reflection(self) -> None:
        with grpc.insecure_channel(self.url) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            serving = health_pb2.HealthCheckResponse.SERVING
            for name in ("", "inference.GRPCInferenceService", "c"):
                self.assertEqual(stub.Check(health_pb2.HealthCheckRequest(service=name)).status, serving)
            with self.fails("NOT_FOUND", "none"):
                stub.Check(health_pb2.HealthCheckRequest(service="none"))
            watch = stub.Watch(health_pb2.HealthCheckRequest(service="c"))
            self.assertEqual(next(watch).status, serving)
            self.client.unload_model("c")
            self.assertNotEqual(next(watch).status, serving)
            self.client.load_model("c")
            self.assertEqual(next(watch).status, serving)
            watch.cancel()
            database = ProtoReflectionDescriptorDatabase(channel)
            self.assertIn("inference.GRPCInferenceService", database.get_services())
            file = database.FindFileContainingSymbol("inference.ModelInferRequest.InferInputTensor")
            self.assertEqual(file.package, "inference")
            with self.assertRaises(KeyError):
                database.FindFileContainingSymbol("inference.None")

    def test_an_odd_call(self) -> None:
        with grpc.insecure_channel(self.url) as channel:
            for path, code in (("/inference.GRPCInferenceService/Nope", "UNIMPLEMENTED"), ("/a/b", "UNIMPLEMENTED")):
                with self.fails(code, "no method " + path):
                    channel.unary_unary(path)(b"")
            with self.fails("INVALID_ARGUMENT", "does not end"):
                channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(b"\xff")


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
class Servers(unittest.TestCase):
    """Servers of a test's own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, *arguments: object) -> Server:
        server = Server(Case.PROGRAM, "--enable-test-models", *arguments)
        self.addCleanup(server.stop)
        return server

    def test_tenants(self) -> None:
        keys = self.folder / "keys.jsonl"
        lines = [{"tenant": name, "keys": [hashlib.sha256(f"key-{name}".encode()).hexdigest()], **more}
                 for name, more in (("one", {"models": ["identity"]}), ("two", {"models": ["other"]}), ("root", {"admin": True}))]
        keys.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        server = self.start("--api-keys", keys)
        client = triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}")
        self.addCleanup(client.close)
        value = [tensor("x", "INT64", np.array([1], dtype=np.int64))]
        key = {name: {"authorization": f"Bearer key-{name}"} for name in ("one", "two", "root", "nobody")}
        self.assertTrue(client.is_server_ready())
        self.assertEqual(client.infer("identity", value, headers=key["one"]).as_numpy("x")[0], 1)
        for headers, code in ((None, "UNAUTHENTICATED"), (key["nobody"], "UNAUTHENTICATED"), (key["two"], "PERMISSION_DENIED")):
            for call in (lambda h: client.infer("identity", value, headers=h),
                         lambda h: client.get_model_metadata("identity", headers=h)):
                with self.assertRaises(InferenceServerException) as caught:
                    call(headers)
                self.assertIn(code, str(caught.exception))
        self.assertEqual(len(client.get_model_repository_index(headers=key["one"]).models), 1)
        self.assertEqual(len(client.get_model_repository_index(headers=key["two"]).models), 0)
        with self.assertRaises(InferenceServerException) as caught:
            client.unload_model("identity", headers=key["one"])
        self.assertIn("PERMISSION_DENIED", str(caught.exception))
        client.unload_model("identity", headers=key["root"])

    def test_a_tenant_with_a_limit_and_one_that_logs_texts(self) -> None:
        keys = self.folder / "keys.jsonl"
        lines = [{"tenant": name, "keys": [hashlib.sha256(f"key-{name}".encode()).hexdigest()], **more}
                 for name, more in (("slow", {"requests_per_second": 0.001}), ("open", {"log_text": True}))]
        keys.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        server = self.start("--api-keys", keys, "--model", f"m={MODELS / 'st_mean'}")
        slow, opened = ({"authorization": f"Bearer key-{name}"} for name in ("slow", "open"))
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

            def ask(text: bytes, key: dict, **more):
                request = service_pb2.ModelInferRequest(model_name="m", **more)
                request.inputs.add(name="text", datatype="BYTES", shape=[2]).contents.bytes_contents.extend([text, b"two"])
                return stub.ModelInfer(request, metadata=list(key.items()))
            ask(b"hidden words", slow)
            with self.assertRaises(grpc.RpcError) as caught:
                ask(b"hidden words", slow)
            self.assertEqual(caught.exception.code().name, "RESOURCE_EXHAUSTED")
            self.assertEqual(dict(caught.exception.trailing_metadata())["grpc-retry-pushback-ms"], "1000000")
            ask("seen w\u00f6rds".encode(), opened, id="good")
            with self.assertRaises(grpc.RpcError):
                ask(b"seen, too " * 5000, opened, id="bad")
            done: queue.Queue = queue.Queue()
            with triton.InferenceServerClient(f"127.0.0.1:{server.grpc_port}") as client:
                client.start_stream(callback=lambda result, error: done.put(error), headers=opened)
                client.async_stream_infer("m", [texts("streamed")], request_id="stream")
                self.assertIsNone(done.get(timeout=60))
                client.stop_stream()
        found = {line.get("id"): line for line in server.access('"stream"')}
        self.assertEqual(found["good"]["text"], ["seen w\u00f6rds", "two"])
        self.assertEqual(found["bad"]["text"][1], "two")
        self.assertEqual(found["stream"]["text"], ["streamed"])
        self.assertNotIn("hidden", json.dumps(server.access('"stream"')))

    @unittest.skipIf(shutil.which("openssl") is None, "there is no openssl to make a certificate with")
    def test_tls(self) -> None:
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key,
                        "-out", certificate], check=True, capture_output=True)
        server = self.start("--tls-cert", certificate, "--tls-key", key)
        url = f"127.0.0.1:{server.grpc_port}"
        with triton.InferenceServerClient(url, ssl=True, root_certificates=str(certificate)) as client:
            values = np.arange(1 << 20, dtype=np.int64)
            for _ in range(3):
                got = client.infer("identity", [tensor("x", "INT64", values)]).as_numpy("x")
                self.assertTrue((got == values).all())
        for arguments in (["-tls1_1", "-alpn", "h2"], ["-alpn", "http/1.1"], []):
            result = subprocess.run(["openssl", "s_client", "-connect", url, *arguments], input=b"", capture_output=True,
                                    timeout=60)
            self.assertNotIn(b"ALPN protocol: h2", result.stdout)
        with triton.InferenceServerClient(url) as client, self.assertRaises(InferenceServerException):
            client.is_server_live(client_timeout=5)
        with triton.InferenceServerClient(url, ssl=True, root_certificates=str(certificate)) as client:
            self.assertTrue(client.is_server_live())

    def test_stopping_under_load(self) -> None:
        """What was accepted is answered; what comes too late is UNAVAILABLE, never something else."""
        server = self.start()
        codes: list[str] = []
        stop = threading.Event()

        def load() -> None:
            with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
                stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
                request = service_pb2.ModelInferRequest(model_name="identity", raw_input_contents=[b"\1"])
                request.inputs.add(name="x", datatype="UINT8", shape=[1])
                while not stop.is_set():
                    try:
                        stub.ModelInfer(request, timeout=20)
                        codes.append("OK")
                    except grpc.RpcError as error:
                        codes.append(error.code().name)
                        return
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        self.assertEqual(server.stop(signal.SIGTERM), 0, server.said)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertGreater(codes.count("OK"), 4)
        self.assertLessEqual(set(codes), {"OK", "UNAVAILABLE"})

    def test_a_stream_ends_when_the_server_stops(self) -> None:
        server = self.start()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            next(watch)
            process = threading.Thread(target=server.stop)
            process.start()
            with self.assertRaises(grpc.RpcError) as caught:
                while True:
                    next(watch)
            self.assertEqual(caught.exception.code().name, "UNAVAILABLE")
            process.join()
        self.assertEqual(server.process.returncode, 0)


@unittest.skipIf(MISSING, f"not installed: {', '.join(MISSING)}")
@unittest.skipIf(shutil.which("protoc-c") is None, "there is no protoc-c (Debian: protobuf-c-compiler)")
class Protos(unittest.TestCase):
    """protos/ says what the published clients say, name by name and number by number."""

    def fields(self, message, prefix: str = "") -> dict[str, tuple]:
        found = {f"{prefix}{message.name}.{f.name}": (f.number, f.type, f.label, f.type_name) for f in message.field}
        for inner in message.nested_type:
            found |= self.fields(inner, f"{prefix}{message.name}.")
        return found

    def test_protos(self) -> None:
        theirs: dict[str, dict] = {}
        for module in (service_pb2, triton.model_config_pb2, health_pb2, reflection_pb2):
            file = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(file)
            known = theirs.setdefault(file.package, {})
            for message in file.message_type:
                known |= self.fields(message)
            for service in file.service:
                known |= {f"{service.name}/{m.name}": (m.input_type, m.output_type, m.client_streaming, m.server_streaming)
                          for m in service.method}
            for enum in [*file.enum_type, *(e for m in file.message_type for e in m.enum_type)]:
                known |= {f"{enum.name}:{v.name}": v.number for v in enum.value}
        for path in sorted((ROOT / "protos").glob("*.proto")):
            with tempfile.NamedTemporaryFile() as out:
                subprocess.run(["protoc-c", f"-I{path.parent}", f"--descriptor_set_out={out.name}", path], check=True)
                ours = descriptor_pb2.FileDescriptorSet.FromString(Path(out.name).read_bytes()).file[0]
            known, count = theirs[ours.package], 0
            for message in ours.message_type:
                for name, field in self.fields(message).items():
                    self.assertEqual(field, known.get(name), f"{path.name}: {name}")
                    count += 1
            for service in ours.service:
                for m in service.method:
                    self.assertEqual((m.input_type, m.output_type, m.client_streaming, m.server_streaming),
                                     known.get(f"{service.name}/{m.name}"), f"{path.name}: {m.name}")
                    count += 1
            for enum in [*ours.enum_type, *(e for m in ours.message_type for e in m.enum_type)]:
                for value in enum.value:
                    self.assertEqual(value.number, known.get(f"{enum.name}:{value.name}"), f"{path.name}: {value.name}")
            self.assertGreater(count, 2)


if __name__ == "__main__":
    unittest.main()
