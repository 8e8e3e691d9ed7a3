"""The REST side as clients meet it: the Open Inference Protocol, OpenAI's routes, administration.

  python3 tests/server/test_rest.py PROGRAM        (ctest runs it)
"""
import base64
import gzip
import json
import math
import shutil
import socket
import struct
import subprocess
import sys
import unittest
import zlib

from serving import MODELS, Case, Connection, text_input, until

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
Case.PROGRAM = PROGRAM

FIXED = {"BOOL": ("?", [True, False]), "UINT8": ("B", [0, 255]), "UINT16": ("H", [0, 65535]),
         "UINT32": ("I", [0, 2**32 - 1]), "UINT64": ("Q", [0, 2**64 - 1]), "INT8": ("b", [-128, 127]),
         "INT16": ("h", [-2**15, 2**15 - 1]), "INT32": ("i", [-2**31, 2**31 - 1]), "INT64": ("q", [-2**63, 2**63 - 1]),
         "FP32": ("f", [0.5, -1.25]), "FP64": ("d", [0.1, -1e300])}


BASE = "../../../models/deepseek/base-model"  # which has a temperature


def program(command: str, model: str, *texts: str) -> list[dict]:
    """What the command line answers."""
    result = subprocess.run([PROGRAM, command, str(MODELS / model)], input="\n".join(texts).encode(), capture_output=True,
                            timeout=60, check=True)
    return [json.loads(line) for line in result.stdout.decode().split("\n")[:-1]]


class Protocol(Case):
    ARGUMENTS = ("--model", f"st={MODELS / 'st_mean'}", "--model", f"seq={MODELS / 'bert_seq'}", "--enable-test-models",
                 "--model", f"multi={MODELS / 'bert_multilabel'}", "--model", f"regression={MODELS / 'bert_regression'}",
                 "--model", "base=deepseek/base-model")

    def infer(self, model: str, body: dict, **headers: str):
        return self.server.ask("POST", f"/v2/models/{model}/infer", body, **headers)

    def binary(self, model: str, head: dict, data: bytes, **headers: str):
        text = json.dumps(head).encode()
        return self.server.ask("POST", f"/v2/models/{model}/infer", text + data,
                               Inference_Header_Content_Length=str(len(text)), **headers)

    # Asking.

    def test_health(self) -> None:
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/st/ready", "/v2/models/st/versions/1/ready"):
            self.good(self.server.ask("GET", path))
        self.refused(self.server.ask("GET", "/v2/models/none/ready"), 404, '"none"')
        self.refused(self.server.ask("GET", "/v2/models/st/versions/2/ready"), 404, '"2"')

    def test_metadata(self) -> None:
        self.assertEqual(self.good(self.server.ask("GET", "/v2")).json["name"], "deepseek")
        about = self.good(self.server.ask("GET", "/v2/models/seq")).json
        self.assertEqual(about["versions"], ["1"])
        self.assertEqual([t["name"] for t in about["inputs"]], ["text", "input_ids", "attention_mask"])
        self.assertEqual([(t["name"], t["datatype"]) for t in about["outputs"]],
                         [("logits", "FP32"), ("label", "BYTES"), ("score", "FP32"), ("embedding", "FP32")])
        self.assertEqual([t["name"] for t in self.good(self.server.ask("GET", "/v2/models/st")).json["outputs"]], ["embedding"])
        config = self.good(self.server.ask("GET", "/v2/models/st/config")).json
        self.assertEqual((config["name"], config["max_batch_size"]), ("st", 0))
        self.assertGreater(config["parameters"]["batch_tokens"], 0)

    def test_statistics_count(self) -> None:
        def now() -> dict:
            return self.good(self.server.ask("GET", "/v2/models/st/stats")).json["model_stats"][0]
        before = now()
        self.good(self.infer("st", {"inputs": [text_input("a", "b", "c")]}))
        after = now()
        self.assertEqual(after["inference_count"] - before["inference_count"], 3)
        self.assertEqual(after["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"], 1)
        self.assertGreaterEqual(len(self.good(self.server.ask("GET", "/v2/models/stats")).json["model_stats"]), 4)

    def test_head_is_get_without_a_body(self) -> None:
        with self.server.connect() as c:
            answer = c.ask("HEAD", "/v2/health/live")
            self.assertEqual((answer.status, answer.headers["content-length"]), (200, "13"))
            self.good(c.ask("GET", "/v2/health/live"))

    # Inference.

    def test_embeddings_are_those_of_the_command_line(self) -> None:
        texts = ["Where is my card?", "I lost my wallet \u00e9", "x"]
        answer = self.good(self.infer("st", {"id": "seven", "inputs": [text_input(*texts)]})).json
        self.assertEqual((answer["id"], answer["model_name"], answer["model_version"]), ("seven", "st", "1"))
        output = answer["outputs"][0]
        width = output["shape"][1]
        self.assertEqual((output["name"], output["datatype"], output["shape"][0]), ("embedding", "FP32", 3))
        for i, row in enumerate(program("embed", "st_mean", *texts)):
            self.close(output["data"][i * width:(i + 1) * width], row["embedding"])

    def test_a_column_of_texts_is_taken_too(self) -> None:
        body = {"inputs": [{"name": "text", "shape": [2, 1], "datatype": "BYTES", "data": [["a"], ["b"]]}]}
        self.assertEqual(self.good(self.infer("st", body)).json["outputs"][0]["shape"][0], 2)

    def test_ids_with_and_without_a_mask(self) -> None:
        def vectors(*inputs: dict) -> list[float]:
            return self.good(self.infer("st", {"inputs": list(inputs)})).json["outputs"][0]["data"]
        ids = {"name": "input_ids", "shape": [1, 3], "datatype": "INT64", "data": [5, 6, 7]}
        padded = {"name": "input_ids", "shape": [2, 4], "datatype": "INT64", "data": [[5, 6, 7, -9], [8, 5, 6, 7]]}
        mask = {"name": "attention_mask", "shape": [2, 4], "datatype": "INT64", "data": [[1, 1, 1, 0], [1, 1, 1, 1]]}
        alone, both = vectors(ids), vectors(padded, mask)
        self.assertEqual(alone, both[:len(alone)])  # the same bits: padding is never computed

    def test_classes_are_those_of_the_command_line(self) -> None:
        texts = ["Where is my card?", "exchange rate"]
        for model, folder in (("seq", "bert_seq"), ("base", BASE)):
            answer = self.good(self.infer(model, {"inputs": [text_input(*texts)]})).json
            outputs = {o["name"]: o["data"] for o in answer["outputs"]}
            for i, row in enumerate(program("classify", folder, *texts)):
                self.assertEqual(outputs["label"][i], row["labels"][0]["label"])
                self.close([outputs["score"][i]], [row["labels"][0]["score"]])

    def test_outputs_by_name(self) -> None:
        body = {"inputs": [text_input("a")], "outputs": [{"name": "score"}, {"name": "label"}]}
        self.assertEqual({o["name"] for o in self.good(self.infer("seq", body)).json["outputs"]}, {"label", "score"})
        self.assertEqual([o["name"] for o in self.good(self.infer("seq", {"inputs": body["inputs"]})).json["outputs"]],
                         ["logits", "label", "score"])
        body["outputs"] = [{"name": "vector"}]
        self.refused(self.infer("seq", body), 400, '"vector"', "embedding")
        self.refused(self.infer("st", {"inputs": body["inputs"], "outputs": [{"name": "score"}]}), 400, '"score"', "embedding")

    def test_vectors_of_a_model_with_a_head_are_the_command_lines_to_the_bit(self) -> None:
        texts = ["Where is my card?", "exchange rate \u00e9", "x", "card " * 600]  # the last one is cut at 256 for vectors
        want = [row["embedding"] for row in program("embed", BASE, *texts)]
        scores = [row["labels"][0] for row in program("classify", BASE, *texts)]
        body = {"inputs": [text_input(*texts)], "outputs": [{"name": "embedding"}], "parameters": {"truncate": True}}
        only = self.good(self.infer("base", body)).json["outputs"]
        self.assertEqual([(o["name"], o["shape"]) for o in only], [("embedding", [4, 384])])
        self.assertEqual(only[0]["data"], [x for row in want for x in row])
        body["outputs"] = [{"name": "embedding"}, {"name": "label"}, {"name": "score"}]  # both, each cut at its own length
        both = {o["name"]: o["data"] for o in self.good(self.infer("base", body)).json["outputs"]}
        self.assertEqual(both["embedding"], only[0]["data"])
        self.assertEqual(both["label"], [s["label"] for s in scores])
        self.assertEqual(both["score"], [s["score"] for s in scores])
        openai = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "base", "input": texts, "truncate": True})).json
        self.assertEqual([item["embedding"] for item in openai["data"]], want)
        del body["parameters"]
        body["outputs"] = [{"name": "label"}]
        body["inputs"] = [text_input("card " * 300)]  # more than vectors have, and not than scores have
        self.good(self.infer("base", body))
        body["outputs"].append({"name": "embedding"})
        self.refused(self.infer("base", body), 400, "302", "256")

    def test_vectors_and_scores_side_by_side(self) -> None:
        import threading
        texts = [f"card {i}" for i in range(40)]
        want = {"embedding": [row["embedding"] for row in program("embed", BASE, *texts)],
                "score": [row["labels"][0]["score"] for row in program("classify", BASE, *texts)]}
        wrong: list[str] = []

        def client(names: list[str]) -> None:
            with self.server.connect() as c:
                for _ in range(3):
                    answer = c.ask("POST", "/v2/models/base/infer",
                                   {"inputs": [text_input(*texts)], "outputs": [{"name": name} for name in names]})
                    got = {o["name"]: o["data"] for o in answer.json.get("outputs", [])}
                    vectors = got.get("embedding", [])
                    got |= {"embedding": [vectors[i:i + 384] for i in range(0, len(vectors), 384)]} if vectors else {}
                    if got != {name: want[name] for name in names}:
                        wrong.append(str(answer.body[:200]))
        threads = [threading.Thread(target=client, args=(names,))
                   for names in (["embedding"], ["score"], ["embedding", "score"], ["embedding"], ["score"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_text_that_is_too_long_is_refused_with_both_lengths_or_cut(self) -> None:
        limit = self.server.ask("GET", "/v2/models/seq/config").json["parameters"]["max_tokens"]
        body = {"inputs": [text_input("short", "a " * 3 * limit)]}
        self.refused(self.infer("seq", body), 400, "text 2", str(limit), "truncate")
        body["parameters"] = {"truncate": True}
        self.good(self.infer("seq", body))
        body = {"inputs": [text_input("x" * limit * 256 + "y")]}
        self.refused(self.infer("seq", body), 400, str(limit * 256), str(limit * 256 + 1))
        body["parameters"] = {"truncate": True}
        self.good(self.infer("seq", body))

    def test_a_large_request_is_split_and_comes_back_in_order(self) -> None:
        words = ["card", "transfer", "rate", "refund", "lost"]
        texts = [" ".join(words[(i * k * k + k) % 5] for k in range(1, 2 + i % 29)) for i in range(3000)]
        answer = self.good(self.infer("seq", {"inputs": [text_input(*texts)], "outputs": [{"name": "logits"}]})).json
        rows = answer["outputs"][0]["data"]
        width = answer["outputs"][0]["shape"][1]
        seen = {}
        for i, text in enumerate(texts):  # equal texts have equal bits, wherever they stood
            row = tuple(rows[i * width:(i + 1) * width])
            self.assertEqual(seen.setdefault(text, row), row)
        self.assertGreater(len(set(seen.values())), 100)

    def test_deadline_and_priority(self) -> None:
        self.good(self.infer("st", {"inputs": [text_input("a")], "parameters": {"timeout": 60000000, "priority": 1}}))
        self.refused(self.infer("st", {"inputs": [text_input("a")], "parameters": {"timeout": 1}}), 504, "deadline")

    def test_version_in_the_path(self) -> None:
        self.good(self.server.ask("POST", "/v2/models/st/versions/1/infer", {"inputs": [text_input("a")]}))
        self.refused(self.server.ask("POST", "/v2/models/st/versions/9/infer", {"inputs": [text_input("a")]}), 404, '"9"')

    # Data types, as JSON and as binary.

    def test_every_datatype_as_json(self) -> None:
        for datatype, (_, values) in FIXED.items():
            with self.subTest(datatype):
                body = {"inputs": [{"name": "INPUT_X", "shape": [1, 2], "datatype": datatype, "data": [values]}]}
                output = self.good(self.infer("identity", body)).json["outputs"][0]
                self.assertEqual((output["name"], output["shape"], output["datatype"]), ("OUTPUT_X", [1, 2], datatype))
                self.assertEqual(output["data"], values)
        body = {"inputs": [{"name": "B", "shape": [3], "datatype": "BYTES", "data": ["", "a\u0000\"\u00e9", "\U0001F600"]}]}
        self.assertEqual(self.good(self.infer("identity", body)).json["outputs"][0]["data"], body["inputs"][0]["data"])

    def test_every_datatype_as_binary(self) -> None:
        raw = {d: struct.pack("<" + code * 2, *values) for d, (code, values) in FIXED.items()}
        raw["FP16"] = struct.pack("<ee", 0.5, -2)
        raw["BF16"] = b"\x00\x3f\x00\xc0"
        raw["BYTES"] = struct.pack("<I", 0) + struct.pack("<I", 3) + b"\xff\x00a"
        for datatype, data in raw.items():
            with self.subTest(datatype):
                head = {"inputs": [{"name": "INPUT", "shape": [2], "datatype": datatype,
                                    "parameters": {"binary_data_size": len(data)}}],
                        "parameters": {"binary_data_output": True}}
                answer = self.good(self.binary("identity", head, data))
                size = int(answer.headers["inference-header-content-length"])
                output = json.loads(answer.body[:size])["outputs"][0]
                self.assertEqual(output["parameters"]["binary_data_size"], len(data))
                self.assertEqual(answer.body[size:], data)

    def test_binary_and_json_side_by_side(self) -> None:
        head = {"inputs": [{"name": "A", "shape": [1], "datatype": "INT32", "parameters": {"binary_data_size": 4}},
                           {"name": "B", "shape": [1], "datatype": "FP32", "data": [1.5]},
                           {"name": "C", "shape": [2], "datatype": "UINT8", "parameters": {"binary_data_size": 2}}],
                "outputs": [{"name": "C", "parameters": {"binary_data": True}}, {"name": "A"}]}
        answer = self.good(self.binary("identity", head, b"\x07\x00\x00\x00\x01\x02"))
        size = int(answer.headers["inference-header-content-length"])
        outputs = {o["name"]: o for o in json.loads(answer.body[:size])["outputs"]}
        self.assertEqual((outputs["A"]["data"], answer.body[size:]), ([7], b"\x01\x02"))
        self.assertNotIn("B", outputs)

    def test_the_header_of_zero_makes_the_body_one_text(self) -> None:
        answer = self.good(self.server.ask("POST", "/v2/models/st/infer", b"Where is my card?",
                                           Inference_Header_Content_Length="0"))
        size = int(answer.headers["inference-header-content-length"])
        vector = list(struct.unpack(f"<{(len(answer.body) - size) // 4}f", answer.body[size:]))
        self.close(vector, program("embed", "st_mean", "Where is my card?")[0]["embedding"])

    def test_compressed_bodies(self) -> None:
        head = {"inputs": [{"name": "A", "shape": [2], "datatype": "INT32", "parameters": {"binary_data_size": 8}}]}
        text = json.dumps(head).encode()
        for name, pack in (("gzip", gzip.compress), ("deflate", zlib.compress)):
            with self.subTest(name):  # the header counts decompressed bytes
                body = pack(text + struct.pack("<ii", 3, 4))
                answer = self.server.ask("POST", "/v2/models/identity/infer", body, Content_Encoding=name,
                                         Inference_Header_Content_Length=str(len(text)))
                self.assertEqual(self.good(answer).json["outputs"][0]["data"], [3, 4])

    # OpenAI.

    def test_openai_embeddings(self) -> None:
        want = program("embed", "st_mean", "hello", "two")
        for given in ("hello", ["hello", "two"]):
            answer = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": given})).json
            self.assertEqual((answer["object"], answer["model"]), ("list", "st"))
            for i, item in enumerate(answer["data"]):
                self.assertEqual((item["object"], item["index"]), ("embedding", i))
                self.close(item["embedding"], want[i]["embedding"])
            self.assertGreater(answer["usage"]["prompt_tokens"], 0)

    def test_openai_base64_and_dimensions(self) -> None:
        plain = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": "a"})).json["data"][0]["embedding"]
        packed = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": "a", "encoding_format": "base64"}))
        raw = base64.b64decode(packed.json["data"][0]["embedding"], validate=True)
        self.close(list(struct.unpack(f"<{len(raw) // 4}f", raw)), plain, 1e-7)
        short = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": "a", "dimensions": 4}))
        length = math.sqrt(sum(x * x for x in plain[:4]))
        self.close(short.json["data"][0]["embedding"], [x / length for x in plain[:4]])
        self.refused(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": "a", "dimensions": 9999}), 400, "9999")

    def test_openai_token_lists(self) -> None:
        one = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": [5, 6, 7]})).json["data"]
        many = self.good(self.server.ask("POST", "/v1/embeddings", {"model": "st", "input": [[5, 6, 7], [8]]})).json["data"]
        self.assertEqual(len(many), 2)
        self.assertEqual(one[0]["embedding"], many[0]["embedding"])

    def test_openai_models(self) -> None:
        names = [m["id"] for m in self.good(self.server.ask("GET", "/v1/models")).json["data"]]
        self.assertEqual(names, ["base", "identity", "multi", "regression", "seq", "st"])
        self.assertEqual(self.good(self.server.ask("GET", "/v1/models/st")).json["object"], "model")
        answer = self.server.ask("GET", "/v1/models/none")
        self.assertEqual((answer.status, answer.json["error"]["type"]), (404, "invalid_request_error"))

    def test_classify(self) -> None:
        for model, folder in (("seq", "bert_seq"), ("multi", "bert_multilabel"), ("regression", "bert_regression"),
                              ("base", BASE)):
            with self.subTest(model):
                answer = self.good(self.server.ask("POST", "/v1/classify", {"model": model, "input": ["hello", "two"]})).json
                for got, want in zip(answer["data"], program("classify", folder, "hello", "two")):
                    self.assertEqual([x["label"] for x in got], [x["label"] for x in want["labels"]])
                    self.close([x["score"] for x in got], [x["score"] for x in want["labels"]])
        self.refused(self.server.ask("POST", "/v1/classify", {"model": "st", "input": "a"}), 400, "labels")

    def test_openapi_describes_every_route(self) -> None:
        paths = self.good(self.server.ask("GET", "/openapi.json")).json["paths"]
        for path in ("/v2/models/{model}/infer", "/v1/embeddings", "/v1/classify", "/v2/repository/models/{model}/load"):
            self.assertIn("post", paths[path])
        self.assertEqual(set(paths["/v2/repository/models/{model}/labels/{label}"]), {"put", "delete"})

    # The connection.

    def test_keep_alive_and_pipelining(self) -> None:
        with self.server.connect() as c:
            for _ in range(20):
                self.good(c.ask("GET", "/v2/health/live"))
            c.send(b"GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n" * 50 +
                   b"GET /v2/models/st HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            for _ in range(50):
                self.assertEqual(c.read().json, {"live": True})
            last = c.read()
            self.assertEqual((last.json["name"], last.headers["connection"]), ("st", "close"))
            self.assertTrue(c.is_closed())

    def test_http_1_0(self) -> None:
        with self.server.connect() as c:
            c.send(b"GET /v2/health/live HTTP/1.0\r\n\r\n")
            self.assertEqual(c.read().headers["connection"], "close")
            self.assertTrue(c.is_closed())

    def test_bodies_in_chunks_and_in_single_bytes(self) -> None:
        body = json.dumps({"inputs": [text_input("a")]}).encode()
        head = b"POST /v2/models/st/infer HTTP/1.1\r\nHost: t\r\n"
        chunked = b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(
            b"%x;name=value\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\nTrailer: x\r\n\r\n"
        with self.server.connect() as c:
            c.send(head + chunked)
            self.good(c.read())
            for byte in head + b"Content-Length: %d\r\n\r\n" % len(body) + body:
                c.send(bytes([byte]))
            self.good(c.read())

    def test_expect_continue(self) -> None:
        body = json.dumps({"inputs": [text_input("a")]}).encode()
        with self.server.connect() as c:
            c.send(b"POST /v2/models/st/infer HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertEqual(c.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue")
            c.send(body)
            self.good(c.read())

    def test_a_large_body_and_a_large_answer(self) -> None:
        data = bytes(range(256)) * (24 << 12)  # 24 MiB
        head = {"inputs": [{"name": "A", "shape": [len(data)], "datatype": "UINT8",
                            "parameters": {"binary_data_size": len(data)}}], "parameters": {"binary_data_output": True}}
        answer = self.good(self.binary("identity", head, data))
        self.assertEqual(answer.body[int(answer.headers["inference-header-content-length"]):], data)

    def test_a_body_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        with self.server.connect() as c:
            c.send(b"POST /v2/models/st/infer HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999\r\n\r\n")
            self.refused(c.read(), 413, "134217728")

    def test_a_client_that_leaves_cancels(self) -> None:
        def cancelled() -> float:
            return self.server.metric('requests_total{outcome="CANCELLED"')
        before = cancelled()
        body = json.dumps({"inputs": [text_input(*["Where is my card?"] * 16000)]}).encode()
        for _ in range(20):  # on a fast machine one may be answered before its client has left
            with self.server.connect() as c:
                c.send(b"POST /v2/models/st/infer HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.server.running(c)
            # Each ends before the next begins: else the next one would take this one for itself and leave too early.
            until(lambda: self.server.metric("tenant_running") == 0, "nothing runs")
            if cancelled() > before:
                break
        self.assertEqual(self.server.metric("queued_texts"), 0)
        self.assertGreater(cancelled(), before)

    def test_a_client_that_closes_its_sending_side_is_answered(self) -> None:
        texts = ["Where is my card?"] * 16000
        body = json.dumps({"inputs": [text_input(*texts)], "outputs": [{"name": "embedding"}]}).encode()
        head = b"POST /v2/models/st/infer HTTP/1.%d\r\nHost: t\r\nContent-Length: %d\r\n\r\n"
        short = b"GET /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n"
        probed = False
        for _ in range(20):  # on a fast machine it may be answered before the end of the sending side is seen
            with self.server.connect() as c:
                c.send(head % (1, len(body)) + body + head % (1, len(body)) + body + short)
                self.server.running(c)
                c.socket.shutdown(socket.SHUT_WR)
                for _ in range(2):  # both, and what stands behind them
                    line = c.until(b"\r\n")
                    if line == b"HTTP/1.1 100 Continue":
                        probed = True
                        self.assertEqual(c.until(b"\r\n"), b"")
                        line = c.until(b"\r\n")
                    self.assertEqual(line, b"HTTP/1.1 200 OK")
                    size = [int(h.split(b":")[1]) for h in c.until(b"\r\n\r\n").split(b"\r\n") if h.startswith(b"Content-Length")]
                    self.assertEqual(json.loads(c.exactly(size[0]))["outputs"][0]["shape"][0], len(texts))
                self.assertEqual(self.good(c.read()).json, {"live": True})
                self.assertTrue(c.is_closed())
            if probed:
                break
        self.assertTrue(probed)
        with self.server.connect() as c:  # HTTP/1.0 cannot be asked: it is over, with an answer or without one
            c.send(head % (0, len(body)) + body)
            c.socket.shutdown(socket.SHUT_WR)
            while c.socket.recv(1 << 20):
                pass
        until(lambda: self.server.metric("tenant_running") == 0, "nothing runs")

    def test_idle_connections(self) -> None:
        many = [self.server.connect() for _ in range(300)]
        self.good(self.server.ask("GET", "/v2/health/live"))
        self.good(many[150].ask("GET", "/v2/health/live"))
        for c in many:
            c.close()

    def test_connections_are_counted(self) -> None:
        before = self.server.metric('connections{protocol="rest"}')
        many = [self.server.connect() for _ in range(7)]
        with Connection(self.server.grpc_port) as grpc:
            until(lambda: self.server.metric('connections{protocol="rest"}') >= before + 7, "REST's connections are counted")
            until(lambda: self.server.metric('connections{protocol="grpc"}') == 1, "gRPC's connection is counted")
            grpc.close()
        for c in many:
            c.close()
        until(lambda: self.server.metric("connections") == 0, "they are gone")

    def test_metrics(self) -> None:
        self.good(self.infer("st", {"inputs": [text_input("a")]}))
        text = self.good(self.server.ask("GET", "/metrics")).body.decode()
        for name in ("queue_seconds_bucket", "compute_seconds_count", "request_seconds_sum", "batch_texts_bucket",
                     "batch_tokens_bucket", "resident_bytes", 'requests_total{outcome="QUEUE_FULL"', "tenant_requests_total"):
            self.assertIn("deepseek_" + name, text)
        with Connection(self.server.metrics_port) as c:
            self.good(c.ask("GET", "/metrics"))
            self.assertEqual(c.ask("GET", "/v2/health/live").status, 404)

    def test_the_access_log_holds_no_text_and_the_trace_passes(self) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = self.infer("st", {"id": "log-me", "inputs": [text_input("secretword")]}, traceparent=trace)
        self.assertEqual(self.good(answer).headers["traceparent"], trace)
        lines = self.server.access('"log-me"')
        mine = [line for line in lines if line.get("id") == "log-me"][0]
        self.assertEqual((mine["status"], mine["model"], mine["traceparent"]), (200, "st", trace))
        self.assertNotIn("secretword", json.dumps(lines))
        self.assertFalse([line for line in lines if line["path"] == "/v2/health/live" and line["status"] == 200])


class Versions(Case):
    """Load, unload, rollback and labels, on a repository of its own."""

    @classmethod
    def setUpClass(cls) -> None:
        import tempfile
        from pathlib import Path
        cls.repository_folder = tempfile.TemporaryDirectory()
        cls.repository = Path(cls.repository_folder.name)
        for version in ("1", "2"):
            shutil.copytree(MODELS / "st_mean", cls.repository / "m" / version)
        cls.ARGUMENTS = ("--model-repository", cls.repository)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.repository_folder.cleanup()

    def admin(self, what: str, body=None, method: str = "POST"):
        return self.server.ask(method, f"/v2/repository/models/m/{what}", body)

    def version(self, wanted: str = "") -> str:
        path = f"/v2/models/m/versions/{wanted}/infer" if wanted else "/v2/models/m/infer"
        return self.good(self.server.ask("POST", path, {"inputs": [text_input("a")]})).json["model_version"]

    def test_1_the_life_of_versions(self) -> None:
        self.assertEqual(self.version(), "2")  # the newest, at the start
        self.refused(self.admin("rollback"), 409, "before")
        self.assertEqual(self.good(self.admin("load", {"parameters": {"version": 1}})).json["version"], 1)
        self.assertEqual((self.version(), self.version("2")), ("1", "2"))
        self.assertEqual(self.good(self.admin("rollback")).json["version"], 2)
        self.assertEqual((self.version(), self.version("1")), ("2", "1"))
        self.good(self.admin("labels/stable", {"version": 1}, "PUT"))
        self.assertEqual(self.version("stable"), "1")
        self.refused(self.admin("labels/stable", {"version": 3}, "PUT"), 409, "3")
        self.assertEqual(self.version("stable"), "1")
        shutil.copytree(MODELS / "st_cls", self.repository / "m" / "3")
        self.good(self.admin("load"))
        self.assertEqual(self.version(), "3")
        self.assertEqual((self.version("stable"), self.version("2")), ("1", "2"))  # labelled; the one before
        (self.repository / "m" / "4").mkdir()
        (self.repository / "m" / "4" / "config.json").write_text("{", encoding="utf-8")
        self.assertEqual(self.admin("load").status, 400)
        self.assertEqual(self.version(), "3")  # the old one serves
        entries = self.server.ask("POST", "/v2/repository/index").json
        failed = [e for e in entries if e["state"] != "READY"]
        self.assertEqual([e["version"] for e in failed], ["4"])
        self.assertIn("config.json", failed[0]["reason"])
        self.assertNotIn("4", [e["version"] for e in self.server.ask("POST", "/v2/repository/index", {"ready": True}).json])
        self.good(self.admin("unload", {"version": 3}))
        self.refused(self.server.ask("GET", "/v2/models/m/versions/3/ready"), 404)
        self.assertEqual(self.version(), "2")
        self.good(self.admin("labels/stable", None, "DELETE"))
        self.refused(self.admin("labels/stable", None, "DELETE"), 404, "stable")
        self.good(self.admin("unload"))
        self.refused(self.server.ask("POST", "/v2/models/m/infer", {"inputs": [text_input("a")]}), 503, "not loaded")
        self.refused(self.server.ask("POST", "/v2/repository/models/none/load"), 404, "none")
        shutil.rmtree(self.repository / "m" / "4")
        self.good(self.admin("load", {"version": 2}))

    def test_2_nothing_fails_while_versions_change(self) -> None:
        import threading
        done, failures, stop = [0], [], threading.Event()

        def client() -> None:
            with self.server.connect() as c:
                while not stop.is_set():
                    answer = c.ask("POST", "/v2/models/m/infer", {"inputs": [text_input("Where is my card?")]})
                    done[0] += 1
                    if answer.status != 200:
                        failures.append(answer.body)
        self.good(self.admin("load", {"version": 2}))
        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(10):
            self.good(self.admin("load", {"version": 1}))
            self.good(self.admin("labels/canary", {"version": 1}, "PUT"))
            self.good(self.admin("load", {"version": 2}))
            self.good(self.admin("rollback"))
            self.good(self.admin("labels/canary", {"version": 2}, "PUT"))
            self.good(self.admin("unload", {"version": 1}))
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(done[0], 20)


if __name__ == "__main__":
    unittest.main()
