"""Requests that are wrong, each answered with the right status and one sentence; the server answers the next good one.

  python3 tests/server/test_malformed.py PROGRAM        (ctest runs it)
"""
import gzip
import json
import struct
import sys
import time
import unittest
import zlib

from serving import MODELS, Case, text_input

Case.PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"

INFER = "/v2/models/m/infer"
TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
IDS = {"name": "input_ids", "shape": [1, 2], "datatype": "INT64", "data": [5, 6]}


def get(path: str = "/v2/health/live", version: str = "HTTP/1.1", head: str = "Host: t\r\n") -> bytes:
    return f"GET {path} {version}\r\n{head}\r\n".encode("latin-1")


def post(path: str, body: bytes, head: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def infer(body, head: str = "") -> bytes:
    return post(INFER, body if isinstance(body, bytes) else json.dumps(body).encode(), head)


def one(**changes) -> bytes:
    """An inference request whose one input differs from a good one."""
    return infer({"inputs": [{**TEXT, **changes}]})


def ids(mask=None, **changes) -> bytes:
    inputs = [{**IDS, **changes}]
    if mask is not None:
        inputs.append({"name": "attention_mask", "shape": [1, len(mask)], "datatype": "INT64", "data": mask})
    return infer({"inputs": inputs})


def binary(size: int, data: bytes, length=None, datatype: str = "BYTES", shape=(1,), model: str = "m") -> bytes:
    text = json.dumps({"inputs": [{"name": "text", "shape": list(shape), "datatype": datatype,
                                   "parameters": {"binary_data_size": size}}]}).encode()
    return post(f"/v2/models/{model}/infer", text + data,
                f"Inference-Header-Content-Length: {len(text) if length is None else length}\r\n")


def openai(body, path: str = "/v1/embeddings") -> bytes:
    return post(path, body if isinstance(body, bytes) else json.dumps(body).encode())


def chunked(body: bytes) -> bytes:
    return f"POST {INFER} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + body


# name, bytes, status, a word of the sentence
HTTP = [
    ("no target", b"GET\r\n\r\n", 400, "target"),
    ("no version", b"GET /\r\n\r\n", 400, "version"),
    ("a version from the future", get(version="HTTP/2.0"), 505, "HTTP/1.1"),
    ("a version without a point", get(version="HTTP/11"), 400, "HTTP/1.1"),
    ("a version of another protocol", get(version="FTP/1.1"), 400, "HTTP/1.1"),
    ("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"),
    ("a space too many", b"GET  /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n", 400, ""),
    ("words behind the version", b"GET / HTTP/1.1 x\r\nHost: t\r\n\r\n", 400, ""),
    ("a method with a brace", b"G{T / HTTP/1.1\r\nHost: t\r\n\r\n", 400, "method"),
    ("a method of 17 letters", b"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\nHost: t\r\n\r\n", 400, "method"),
    ("a method that is not known", b"BREW /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n", 405, "method"),
    ("a method that the path does not take", b"DELETE /v2/health/live HTTP/1.1\r\nHost: t\r\n\r\n", 405, "method"),
    ("a target without a slash", get("v2"), 400, "slash"),
    ("an asterisk as target", get("*"), 400, "slash"),
    ("a byte over 127 in the target", get("/v2/\xe9"), 400, "percent"),
    ("a control character in the target", get("/v2/\x01"), 400, "percent"),
    ("a fragment in the target", get("/v2#x"), 400, "percent"),
    ("a target that is too long", get("/" + "a" * 5000), 414, "4096"),
    ("a percent sign alone", get("/v2/models/a%"), 400, "percent"),
    ("a percent sign before a letter", get("/v2/models/%gg"), 400, "percent"),
    ("an escaped NUL", get("/v2/models/a%00"), 400, "percent"),
    ("nothing there", get("/nothing"), 404, "openapi"),
    ("a segment too many", get("/v2/health/live/x"), 404, "openapi"),
    ("an empty segment", get("/v2//live"), 404, "openapi"),
    ("an empty model", get("/v2/models//ready"), 404, ""),
    ("a line that ends in LF alone", b"GET /v2/health/live HTTP/1.1\nHost: t\r\n\r\n", 400, "CR LF"),
    ("a header that ends in LF alone", b"GET /v2/health/live HTTP/1.1\r\nHost: t\n\r\n\r\n", 400, "CR LF"),
    ("a header without a colon", get(head="Host: t\r\nnothing\r\n"), 400, "colon"),
    ("a header without a name", get(head="Host: t\r\n: x\r\n"), 400, "name"),
    ("a space before the colon", get(head="Host : t\r\n"), 400, "name"),
    ("a continued header", get(head="Host: t\r\nA: b\r\n c\r\n"), 400, ""),
    ("a NUL in a header", get(head="Host: t\r\nA: \x00\r\n"), 400, "control"),
    ("a CR in a header", get(head="Host: t\r\nA: x\ry\r\n"), 400, "control"),
    ("no Host", get(head=""), 400, "Host"),
    ("two Hosts", get(head="Host: a\r\nHost: b\r\n"), 400, "Host"),
    ("65 headers", get(head="Host: t\r\n" + "A: b\r\n" * 64), 431, "64"),
    ("a head that is too large", get(head="Host: t\r\nA: " + "b" * 17000 + "\r\n"), 431, "16384"),
    ("a head without an end", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 3000, 431, "16384"),
    ("binary noise", bytes(range(1, 256)) * 3 + b"\r\n\r\n", 400, ""),
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\r\n\r\n", 400, ""),
    ("Content-Length with a sign", get(head="Host: t\r\nContent-Length: +1\r\n"), 400, "Content-Length"),
    ("Content-Length that is negative", get(head="Host: t\r\nContent-Length: -1\r\n"), 400, "Content-Length"),
    ("Content-Length in hexadecimal", get(head="Host: t\r\nContent-Length: 0x10\r\n"), 400, "Content-Length"),
    ("Content-Length that overflows", get(head="Host: t\r\nContent-Length: 18446744073709551617\r\n"), 400, "Content-Length"),
    ("Content-Length that is empty", get(head="Host: t\r\nContent-Length: \r\n"), 400, "Content-Length"),
    ("Content-Length as a list", get(head="Host: t\r\nContent-Length: 1, 1\r\n"), 400, "Content-Length"),
    ("two lengths that disagree", get(head="Host: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n"), 400, "disagree"),
    ("length and chunks", get(head="Host: t\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"), 400, "both"),
    ("a length that is too large", f"POST {INFER} HTTP/1.1\r\nHost: t\r\nContent-Length: 999999999\r\n\r\n".encode(), 413, "134217728"),
    ("an unknown transfer encoding", get(head="Host: t\r\nTransfer-Encoding: gzip\r\n"), 501, "chunked"),
    ("chunked and something", get(head="Host: t\r\nTransfer-Encoding: chunked, identity\r\n"), 501, "chunked"),
    ("chunked twice", get(head="Host: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400, "twice"),
    ("chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "HTTP/1.0"),
    ("an expectation that is not known", get(head="Host: t\r\nExpect: miracles\r\n"), 417, "100-continue"),
    ("an encoding that is not known", infer(b"x", "Content-Encoding: br\r\n"), 415, "gzip"),
    ("a chunk's size that is no number", chunked(b"z\r\n"), 400, "hexadecimal"),
    ("a chunk's size that is empty", chunked(b"\r\n"), 400, "hexadecimal"),
    ("a chunk's size with a sign", chunked(b"-1\r\n"), 400, "hexadecimal"),
    ("a chunk's size that overflows", chunked(b"fffffffffffffffff\r\n"), 413, ""),
    ("a chunk that is too large", chunked(b"fffffff0\r\n"), 413, "134217728"),
    ("a chunk's line without an end", chunked(b"1;" + b"a" * 200), 400, "128"),
    ("a chunk's line that ends in LF", chunked(b"1\na\r\n"), 400, "CR LF"),
    ("a chunk that is longer than its size", chunked(b"1\r\nabc\r\n"), 400, ""),
    ("a trailer that is too long", chunked(b"0\r\n" + b"A: b\r\n" * 2000), 431, "8192"),
    ("gzip that is none", infer(b"hello", "Content-Encoding: gzip\r\n"), 400, "Content-Encoding"),
    ("gzip that ends too early", infer(gzip.compress(b'{"inputs": []}')[:-6], "Content-Encoding: gzip\r\n"), 400, "early"),
    ("something behind gzip", infer(gzip.compress(b"{}") + b"x", "Content-Encoding: gzip\r\n"), 400, "behind"),
    ("gzip with a wrong sum", infer(gzip.compress(b"{}")[:-8] + bytes(8), "Content-Encoding: gzip\r\n"), 400, ""),
    ("deflate that is none", infer(b"\xff" * 20, "Content-Encoding: deflate\r\n"), 400, ""),
    ("a bomb", infer(zlib.compress(bytes(300 << 20)), "Content-Encoding: deflate\r\n"), 413, "134217728"),
]

PROTOCOL = [
    ("no body", post(INFER, b""), 400, ""),
    ("no JSON", infer(b"hello"), 400, ""),
    ("a list", infer(b"[]"), 400, ""),
    ("half an object", infer(b'{"inputs": ['), 400, ""),
    ("something behind the object", infer(b"{} x"), 400, ""),
    ("nested too deep", infer(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"), 400, "deep"),
    ("half a surrogate", infer(b'{"id": "\\ud800", "inputs": []}'), 400, ""),
    ("invalid UTF-8", infer(b'{"id": "\xff", "inputs": []}'), 400, "UTF-8"),
    ("an id that is a number", infer({"id": 7, "inputs": [TEXT]}), 400, "id"),
    ("no inputs", infer({}), 400, "inputs"),
    ("inputs that are null", infer({"inputs": None}), 400, ""),
    ("inputs that are an object", infer({"inputs": {}}), 400, ""),
    ("an empty list of inputs", infer({"inputs": []}), 400, "neither text nor input_ids"),
    ("an input that is a string", infer({"inputs": ["text"]}), 400, ""),
    ("65 inputs", infer({"inputs": [TEXT] * 65}), 400, "64"),
    ("65 outputs", infer({"inputs": [TEXT], "outputs": [{"name": "embedding"}] * 65}), 400, "64"),
    ("an input twice", infer({"inputs": [TEXT, TEXT]}), 400, "twice"),
    ("an input of another name", one(name="texts"), 400, "texts"),
    ("an input without a name", infer({"inputs": [{k: v for k, v in TEXT.items() if k != "name"}]}), 400, "name"),
    ("an input with an empty name", one(name=""), 400, "name"),
    ("an input without a shape", infer({"inputs": [{k: v for k, v in TEXT.items() if k != "shape"}]}), 400, "shape"),
    ("an input without a datatype", infer({"inputs": [{k: v for k, v in TEXT.items() if k != "datatype"}]}), 400, "datatype"),
    ("an input without data", infer({"inputs": [{k: v for k, v in TEXT.items() if k != "data"}]}), 400, "neither"),
    ("data and binary data", one(parameters={"binary_data_size": 1}), 400, "both"),
    ("an unknown datatype", one(datatype="STRING"), 400, "STRING"),
    ("a datatype that is a number", one(datatype=7), 400, "datatype"),
    ("another datatype than the model's", one(datatype="INT32", data=[1]), 400, "INT32"),
    ("a shape that is negative", one(shape=[-1]), 400, "shape"),
    ("a shape of strings", one(shape=["1"]), 400, "shape"),
    ("a shape with a fraction", one(shape=[1.5]), 400, "shape"),
    ("a shape that overflows", one(shape=[2**62, 4]), 400, ""),
    ("a shape whose product overflows", one(shape=[2**32, 2**32]), 400, ""),
    ("a shape of 2^39 with one text", one(shape=[2**39]), 400, "fewer"),
    ("a shape of nine dimensions", one(shape=[1] * 9), 400, "8"),
    ("a shape that is a number", one(shape=1), 400, ""),
    ("a shape of no dimension", one(shape=[]), 400, "dimensions"),
    ("a shape of two columns", one(shape=[1, 2], data=["a", "b"]), 400, "dimensions"),
    ("a shape of no text", one(shape=[0], data=[]), 400, "0 texts"),
    ("more data than the shape", one(data=["a", "b"]), 400, "more"),
    ("less data than the shape", one(shape=[2], data=["abcdef"]), 400, ""),
    ("data that is a string", one(data="a"), 400, "data"),
    ("data that is null", one(data=None), 400, "data"),
    ("a number in place of a text", one(data=[1]), 400, ""),
    ("null in place of a text", one(data=[None]), 400, ""),
    ("data nested too deep", one(data=[[[[[[[[[["a"]]]]]]]]]]), 400, ""),
    ("FP16 as JSON", post("/v2/models/identity/infer", json.dumps(
        {"inputs": [{"name": "A", "shape": [1], "datatype": "FP16", "data": [1]}]}).encode()), 400, "binary"),
    ("FP16 out as JSON", binary(2, b"\x00\x00", datatype="FP16", model="identity"), 400, "binary"),
    ("a number that the datatype has not", post("/v2/models/identity/infer", json.dumps(
        {"inputs": [{"name": "A", "shape": [1], "datatype": "UINT8", "data": [256]}]}).encode()), 400, "255"),
    ("a negative natural number", post("/v2/models/identity/infer", json.dumps(
        {"inputs": [{"name": "A", "shape": [1], "datatype": "UINT64", "data": [-1]}]}).encode()), 400, "-1"),
    ("a fraction as an integer", post("/v2/models/identity/infer", json.dumps(
        {"inputs": [{"name": "A", "shape": [1], "datatype": "INT32", "data": [1.5]}]}).encode()), 400, "1.5"),
    ("a number as a truth", post("/v2/models/identity/infer", json.dumps(
        {"inputs": [{"name": "A", "shape": [1], "datatype": "BOOL", "data": [1]}]}).encode()), 400, ""),
    ("NaN", post("/v2/models/identity/infer", b'{"inputs":[{"name":"A","shape":[1],"datatype":"FP32","data":[NaN]}]}'), 400, ""),
    ("1e999", post("/v2/models/identity/infer", b'{"inputs":[{"name":"A","shape":[1],"datatype":"FP32","data":[1e999]}]}'), 400, ""),
    ("an output of another name", infer({"inputs": [TEXT], "outputs": [{"name": "x"}]}), 400, '"x"'),
    ("an output without a name", infer({"inputs": [TEXT], "outputs": [{}]}), 400, "name"),
    ("an output that is a string", infer({"inputs": [TEXT], "outputs": ["embedding"]}), 400, ""),
    ("classification of Triton", infer({"inputs": [TEXT], "outputs": [{"name": "embedding", "parameters": {"classification": 3}}]}),
     400, "classification"),
    ("truncate as a number", infer({"inputs": [TEXT], "parameters": {"truncate": 1}}), 400, "truncate"),
    ("a negative priority", infer({"inputs": [TEXT], "parameters": {"priority": -1}}), 400, "priority"),
    ("a negative timeout", infer({"inputs": [TEXT], "parameters": {"timeout": -1}}), 400, "timeout"),
    ("parameters that are a list", infer({"inputs": [TEXT], "parameters": []}), 400, ""),
    ("ids that are negative", ids(data=[-1, 5]), 400, "-1"),
    ("ids beyond the vocabulary", ids(data=[5, 2**40]), 400, str(2**40)),
    ("ids of one dimension", ids(shape=[2]), 400, "dimensions"),
    ("ids of no token", ids(shape=[1, 0], data=[]), 400, "no token"),
    ("ids and texts", infer({"inputs": [TEXT, IDS]}), 400, "both"),
    ("too many ids", ids(shape=[1, 3000], data=[5] * 3000), 400, "3000"),
    ("a mask alone", infer({"inputs": [TEXT, {**IDS, "name": "attention_mask", "data": [1, 1]}]}), 400, "no input_ids"),
    ("a mask of another shape", ids(mask=[1, 1, 1]), 400, "[1, 3]"),
    ("a mask of twos", ids(mask=[1, 2]), 400, "0 or 1"),
    ("a mask with padding in front", ids(mask=[0, 1]), 400, "padding"),
    ("a mask of nothing", ids(mask=[0, 0]), 400, "no token"),
    ("a text of no use", infer({"inputs": [text_input("x" * 3000000)]}), 400, "3000000"),
    ("a length of the head that is a word", infer(b"{}", "Inference-Header-Content-Length: x\r\n"), 400, "Inference-Header"),
    ("a length of the head that is negative", infer(b"{}", "Inference-Header-Content-Length: -1\r\n"), 400, "-1"),
    ("a length of the head beyond the body", infer(b"{}", "Inference-Header-Content-Length: 3\r\n"), 400, "0 to 2"),
    ("binary data that are missing", binary(9, b""), 400, "9"),
    ("binary data without the header", infer(b'{"inputs":[{"name":"text","shape":[1],"datatype":"BYTES","parameters":'
                                             b'{"binary_data_size":5}}]}'), 400, "5"),
    ("binary data left over", binary(5, struct.pack("<I", 1) + b"ab"), 400, "1 bytes"),
    ("binary data with a negative size", binary(-1, b""), 400, "binary_data_size"),
    ("an element longer than the data", binary(5, struct.pack("<I", 100) + b"a"), 400, "100"),
    ("an element of 4 GiB", binary(5, struct.pack("<I", 0xFFFFFFFF) + b"a"), 400, "4294967295"),
    ("fewer elements than the shape", binary(5, struct.pack("<I", 1) + b"a", shape=(2,)), 400, ""),
    ("bytes behind the last element", binary(6, struct.pack("<I", 1) + b"ab"), 400, "behind"),
    ("too few bytes for a length", binary(3, b"abc"), 400, "3 bytes"),
    ("half a number", binary(3, b"abc", datatype="INT32", model="identity"), 400, "needs 4"),
    ("a model that is not there", post("/v2/models/none/infer", json.dumps({"inputs": [TEXT]}).encode()), 404, "none"),
    ("a version that is not there", post("/v2/models/m/versions/7/infer", json.dumps({"inputs": [TEXT]}).encode()), 404, "7"),
    ("a version that overflows", get("/v2/models/m/versions/99999999999999999999/ready"), 404, "9999"),
    ("a version of zero", get("/v2/models/m/versions/0/ready"), 404, '"0"'),
    ("a parameter of load that is not known", post("/v2/repository/models/m/load", b'{"parameters": {"config": "{}"}}'), 400, "config"),
    ("a version of load that is a string", post("/v2/repository/models/m/load", b'{"version": "1"}'), 400, "version"),
    ("a version of load that is not there", post("/v2/repository/models/m/load", b'{"version": 5}'), 404, "5"),
    ("a label that is a number", b"PUT /v2/repository/models/m/labels/7 HTTP/1.1\r\nHost: t\r\nContent-Length: 13\r\n\r\n"
                                 b'{"version":1}', 400, '"7"'),
    ("a label with a space", b"PUT /v2/repository/models/m/labels/a%20b HTTP/1.1\r\nHost: t\r\nContent-Length: 13\r\n\r\n"
                             b'{"version":1}', 400, "a b"),
    ("a label without a version", b"PUT /v2/repository/models/m/labels/a HTTP/1.1\r\nHost: t\r\n\r\n", 400, "version"),
    ("ready that is a number", post("/v2/repository/index", b'{"ready": 1}'), 400, "ready"),
]

OPENAI = [
    ("no model", openai({"input": "a"}), 404, ""),
    ("another model", openai({"model": "gpt", "input": "a"}), 404, "gpt"),
    ("a model that is a number", openai({"model": 1, "input": "a"}), 400, "model"),
    ("no input", openai({"model": "m"}), 400, "input"),
    ("an input of null", openai({"model": "m", "input": None}), 400, ""),
    ("an input of a number", openai({"model": "m", "input": 1}), 400, ""),
    ("an empty list", openai({"model": "m", "input": []}), 400, "empty"),
    ("an empty list in a list", openai({"model": "m", "input": [[]]}), 400, ""),
    ("texts and numbers", openai({"model": "m", "input": ["a", 1]}), 400, ""),
    ("numbers and texts", openai({"model": "m", "input": [1, "a"]}), 400, ""),
    ("numbers and lists", openai({"model": "m", "input": [1, [2]]}), 400, "side by side"),
    ("lists of texts", openai({"model": "m", "input": [["a"]]}), 400, ""),
    ("2049 texts", openai({"model": "m", "input": ["a"] * 2049}), 400, "2048"),
    ("an id that is negative", openai({"model": "m", "input": [-5]}), 400, "-5"),
    ("an id beyond the vocabulary", openai({"model": "m", "input": [10**9]}), 400, str(10**9)),
    ("a format that is not known", openai({"model": "m", "input": "a", "encoding_format": "xml"}), 400, "xml"),
    ("dimensions of zero", openai({"model": "m", "input": "a", "dimensions": 0}), 400, "dimensions"),
    ("dimensions of a string", openai({"model": "m", "input": "a", "dimensions": "8"}), 400, "dimensions"),
    ("embeddings of what has none", openai({"model": "identity", "input": "a"}), 400, "outputs"),
    ("classes of an embedder", openai({"model": "m", "input": "a"}, "/v1/classify"), 400, "labels"),
    ("classes of ids", openai({"model": "c", "input": [1, 2]}, "/v1/classify"), 400, ""),
    ("no JSON at all", openai(b"hello"), 400, ""),
]


class Malformed(Case):
    ARGUMENTS = ("--model", f"m={MODELS / 'st_mean'}", "--model", f"c={MODELS / 'bert_seq'}", "--enable-test-models")

    def check(self, table: list) -> None:
        for name, data, status, word in table:
            with self.subTest(name), self.server.connect() as c:
                try:
                    c.send(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # it has answered already
                self.refused(c.read(), status, word)
                self.good(self.server.ask("GET", "/v2/health/live"))

    def test_http(self) -> None:
        self.check(HTTP)

    def test_protocol(self) -> None:
        self.check(PROTOCOL)

    def test_openai(self) -> None:
        self.check(OPENAI)

    def test_there_are_enough(self) -> None:
        self.assertGreaterEqual(len(HTTP) + len(PROTOCOL) + len(OPENAI), 180)

    def test_mistakes_in_the_body_keep_the_connection(self) -> None:
        with self.server.connect() as c:
            for name, data, status, _ in PROTOCOL + OPENAI:
                with self.subTest(name):
                    c.send(data)
                    self.assertEqual(c.read().status, status)
            self.good(c.ask("GET", "/v2/health/live"))

    def test_a_request_that_never_ends(self) -> None:
        with self.server.connect() as c:  # a head, byte by byte, for longer than the ten seconds it may take
            start = time.monotonic()
            c.send(b"GET /v2/health/live HTTP/1.1\r\nA: ")
            c.socket.settimeout(0.5)
            while time.monotonic() - start < 20:
                try:
                    c.send(b"x")
                    if c.socket.recv(12) == b"HTTP/1.1 408":
                        break
                except TimeoutError:
                    continue
            self.assertLess(time.monotonic() - start, 15)

    def test_cut_anywhere(self) -> None:
        """A good request whose sender leaves after any byte of it."""
        request = infer({"inputs": [TEXT]}, "Accept: x\r\n")
        for end in range(0, len(request), 7):
            with self.server.connect() as c:
                c.send(request[:end])
        self.good(self.server.ask("POST", INFER, {"inputs": [TEXT]}))


if __name__ == "__main__":
    unittest.main()
