"""The server as who operates it meets it: tenants, a full queue, signals, TLS, configuration.

  python3 tests/server/test_operation.py PROGRAM        (ctest runs it)
"""
import hashlib
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

from serving import MODELS, Connection, Server, text_input, until

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"


class Operation(unittest.TestCase):
    """Servers of their own: tenants, a full queue, signals, TLS, configuration."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def start(self, *arguments: object, **how) -> Server:
        server = Server(PROGRAM, *arguments, **how)

        def end() -> None:
            code = server.stop(9)
            self.assertIn(code, (0, -9), server.said)
            self.assertNotIn("Sanitizer", server.said)
        self.addCleanup(end)
        return server

    def keys(self, **changes: dict) -> Path:
        def line(name: str, **more) -> str:
            return json.dumps({"tenant": name, "keys": [hashlib.sha256(f"key-{name}".encode()).hexdigest()], **more})
        lines = [line("root", admin=True), line("one", models=["a"], **changes.get("one", {})), line("two", log_text=True)]
        path = self.folder / "keys.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def test_tenants(self) -> None:
        model = MODELS / "st_mean"
        keys = self.keys(one={"requests_per_second": 2})
        server = self.start("--model", f"a={model}", "--model", f"b={model}", "--api-keys", keys)

        def ask(key: str, model: str = "a"):
            return server.ask("POST", f"/v2/models/{model}/infer", {"inputs": [text_input("hello " + model)]},
                              Authorization="Bearer " + key)
        self.assertEqual(server.ask("GET", "/v2/health/ready").status, 200)
        self.assertEqual(server.ask("GET", "/v2/models/a").status, 401)
        self.assertEqual(server.ask("GET", "/v2/models/a").headers["www-authenticate"], "Bearer")
        self.assertEqual(ask("wrong").status, 401)
        self.assertEqual(ask("key-two", "b").status, 200)
        self.assertEqual(ask("key-one", "b").status, 403)
        codes = [ask("key-one").status]
        while codes[-1] == 200 and len(codes) < 1000:
            codes.append(ask("key-one").status)
        self.assertEqual((codes[:2], codes[-1]), ([200, 200], 429))
        listed = server.ask("GET", "/v1/models", Authorization="Bearer key-one").json["data"]
        self.assertEqual([m["id"] for m in listed], ["a"])
        self.assertEqual(server.ask("POST", "/v2/repository/models/a/load", Authorization="Bearer key-two").status, 403)
        self.assertEqual(server.ask("POST", "/v2/repository/models/a/load", Authorization="Bearer key-root").status, 200)
        self.assertEqual(server.ask("GET", "/metrics", Authorization="Bearer key-two").status, 403)
        self.assertGreater(server.metric('tenant_refused_total{tenant="one"'), 0)
        bodies = [line.get("body", "") for line in server.access("hello b")]
        self.assertTrue(any("hello b" in body for body in bodies))  # the tenant has asked for it
        self.assertFalse(any("hello a" in body for body in bodies))
        keys.write_text("{", encoding="utf-8")
        server.process.send_signal(1)
        server.wait_for("stay as they were")
        self.assertEqual(ask("key-two").status, 200)
        keys.write_text(self.keys().read_text(encoding="utf-8").split("\n")[0] + "\n", encoding="utf-8")
        server.process.send_signal(1)
        server.wait_for("read again")
        self.assertEqual((ask("key-two").status, ask("key-root").status), (401, 200))
        self.assertEqual(server.stop(), 0)

    def test_what_clients_make_wait_in_buffers_counts(self) -> None:
        limit, size, ahead = 64 << 20, 12 << 20, 240 << 10
        server = self.start("--enable-test-models", "--memory-limit", limit)
        head = json.dumps({"inputs": [{"name": "A", "shape": [size], "datatype": "UINT8", "parameters": {"binary_data_size": size}}],
                           "parameters": {"binary_data_output": True}}).encode()
        large = (b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: t\r\nInference-Header-Content-Length: %d\r\n"
                 b"Content-Length: %d\r\n\r\n" % (len(head), len(head) + size) + head + bytes(size))
        next_one = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % ahead + b" " * ahead

        def held() -> float:
            return server.metric("allocated_bytes")
        before = held()
        with server.connect() as c:  # an answer that nobody reads, and a request that waits behind it
            c.send(large)
            until(lambda: server.metric("tenant_requests_total") == 1 and server.metric("tenant_running") == 0, "it is answered")
            until(lambda: held() == held(), "the sockets are full")
            answered = held()
            c.send(next_one)
            until(lambda: held() > answered + ahead / 2, "what is sent ahead counts")
        until(lambda: held() < before + ahead, "nothing of it is kept")
        many = [server.connect() for _ in range(60)]
        for c in many:  # together far more than there is: who finds no room is refused, or loses the connection
            c.socket.setblocking(False)
            try:
                for at in range(0, size, 1 << 20):
                    c.socket.send(large[at:at + (1 << 20)])
            except (BlockingIOError, ConnectionResetError, BrokenPipeError):
                pass
        until(lambda: self.metric_or(server, "allocated_bytes", 0) > limit / 4, "memory is taken")
        self.assertLessEqual(self.metric_or(server, "allocated_bytes", 0), limit)
        for c in many:
            c.close()
        until(lambda: self.metric_or(server, "allocated_bytes", limit) < before + ahead, "it is given back")
        self.assertEqual(server.ask("GET", "/v2/health/ready").status, 200)
        self.assertEqual(server.stop(), 0)

    def metric_or(self, server: Server, name: str, otherwise: float) -> float:
        """A server without memory may have none for the page either."""
        try:
            return server.metric(name)
        except (EOFError, ConnectionResetError, BrokenPipeError):
            return otherwise

    def test_a_full_queue_is_429_with_retry_after(self) -> None:
        server = self.start("--model", f"a={MODELS / 'st_mean'}", "--max-queue", "8")
        body = {"inputs": [text_input(*["Where is my card?"] * 4000)]}
        codes, retry = [], []

        def client() -> None:
            answer = server.ask("POST", "/v2/models/a/infer", body)
            codes.append(answer.status)
            if answer.status == 429:
                retry.append(int(answer.headers["retry-after"]))
        for _ in range(20):  # on a fast machine all of them may be answered one after the other
            threads = [threading.Thread(target=client) for _ in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if retry:
                break
        self.assertEqual(set(codes), {200, 429})
        self.assertTrue(all(r >= 1 for r in retry))
        self.assertEqual(server.stop(), 0)

    def keep_busy(self, server: Server, connection: Connection) -> None:
        """Asks for something long, and returns while it is computed."""
        body = json.dumps({"inputs": [text_input(*["Where is my card?"] * 16000)]}).encode()
        for _ in range(20):
            connection.send(b"POST /v2/models/a/infer HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            if server.running(connection):
                return
            self.assertEqual(connection.read().status, 200)
        self.fail("all requests were answered before they were seen to run")

    def test_sigterm_finishes_what_runs(self) -> None:
        server = self.start("--model", f"a={MODELS / 'st_mean'}")
        with server.connect() as busy, server.connect() as idle:
            idle.ask("GET", "/v2/health/live")
            self.keep_busy(server, busy)
            server.process.send_signal(15)
            answer = busy.read()
            self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
            self.assertTrue(idle.is_closed())
        self.assertEqual(server.stop(), 0)

    def test_the_grace_ends(self) -> None:
        server = self.start("--model", f"a={MODELS / 'st_mean'}", "--grace-seconds", "0")
        with server.connect() as busy:
            self.keep_busy(server, busy)
            self.assertEqual(server.stop(), 0)

    def test_tls(self) -> None:
        cert, key = self.folder / "cert.pem", self.folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
        server = self.start("--model", f"a={MODELS / 'st_mean'}", "--tls-cert", cert, "--tls-key", key)
        trust = ssl.create_default_context(cafile=str(cert))
        trust.check_hostname = False
        with server.connect(lambda s: trust.wrap_socket(s, server_hostname="localhost")) as c:
            for _ in range(3):
                self.assertEqual(c.ask("GET", "/v2/health/ready").status, 200)
            body = {"inputs": [text_input(*["a"] * 3000)]}
            self.assertEqual(len(c.ask("POST", "/v2/models/a/infer", body).json["outputs"]), 1)
        # 'deepseek models', whose certificates are verified; this one has no address, and another one did not sign it.
        other = self.folder / "other.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key.with_name("other.key"), "-out", other, "-days", "2", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        url = f"https://localhost:{server.port}"
        for arguments, code, word in ((("--url", url, "--tls-ca", cert), 0, "READY"),
                                      (("--url", url + "/", "--tls-ca", cert), 0, "READY"),
                                      (("--url", url), 1, "--tls-ca"),
                                      (("--url", url, "--tls-ca", other), 1, "not accepted"),
                                      (("--url", url, "--tls-ca", self.folder / "none"), 1, "none"),
                                      (("--url", url.replace("localhost", "127.0.0.1"), "--tls-ca", cert), 1, "IP address"),
                                      (("--url", url.replace("https", "http")), 1, "answer"),
                                      (("--url", url.replace("https", "http"), "--tls-ca", cert), 2, "https"),
                                      (("--url", "ftp://localhost"), 2, "ftp"), (("--url", "https://:80"), 2, "https://:80")):
            with self.subTest(arguments):
                result = subprocess.run([PROGRAM, "models", "list", *arguments], capture_output=True, timeout=60, text=True)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(word, result.stdout + result.stderr)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, OSError)):
            server.connect(old.wrap_socket)
        with server.connect() as c:  # plain HTTP at the TLS port
            c.send(b"GET / HTTP/1.1\r\n\r\n")
            try:
                self.assertNotIn(b"200", c.socket.recv(100))
            except ConnectionResetError:
                pass
        self.assertEqual(server.stop(), 0)

    def test_check(self) -> None:
        good = subprocess.run([PROGRAM, "serve", "--model", f"a={MODELS / 'st_mean'}", "--check"], capture_output=True, timeout=60)
        self.assertEqual((good.returncode, good.stdout), (0, b"a version 1: READY\n"))
        bad = subprocess.run([PROGRAM, "serve", "--model", f"a={self.folder}", "--check"], capture_output=True, timeout=60)
        self.assertEqual(bad.returncode, 1)
        self.assertIn(b"config.json", bad.stderr)

    def test_a_model_that_does_not_load_leaves_the_others_and_is_not_ready(self) -> None:
        server = self.start("--model", f"a={MODELS / 'st_mean'}", "--model", f"b={self.folder}", ready=False)
        server.wait_for("cannot load b version 1")
        until(lambda: server.ask("GET", "/v2/models/a/ready").status == 200, "a is ready")
        self.assertEqual(server.ask("GET", "/v2/health/ready").status, 503)
        self.assertEqual(server.ask("GET", "/v2/models/b/ready").status, 503)
        self.assertEqual(server.stop(), 0)

    def test_configuration(self) -> None:
        config = self.folder / "serve.json"
        config.write_text(json.dumps({"models": {"m": {"folder": str(MODELS / "st_mean")}}, "max-queue": 77, "threads": 1,
                                      "enable-test-models": True, "bind": "127.0.0.1"}), encoding="utf-8")
        server = self.start("--config", config)
        self.assertEqual([m["id"] for m in server.ask("GET", "/v1/models").json["data"]], ["identity", "m"])
        self.assertEqual(server.stop(), 0)
        for text, word in (('{"max-queue": 0}', "max-queue"), ('{"what": 1}', "what"), ('{"models": {"a": {"x": 1}}}', "x"),
                           ('{"threads": 0}', "threads"), ("[", "serve.json"), ('{"models": {"a": {}}}', '"a" has no folder'),
                           ('{"models": {"a": {"dtype": "f8"}}}', '"f8"'), ('{"models": {"a": {"max-seq-len": 0}}}', "max-seq-len"),
                           ('{"models": {"a": {"quantization": "int4"}}}', '"int4"'), ('{"models": {"a": {"labels": {"x": 0}}}}', "x"),
                           ('{"models": {"a": {"labels": [1]}}}', "labels"),
                           (json.dumps({"models": {"a": {"labels": {f"l{i}": 1 for i in range(33)}}}}), "more than 32 labels")):
            config.write_text(text, encoding="utf-8")
            with self.subTest(text):
                result = subprocess.run([PROGRAM, "serve", "--config", config], capture_output=True, timeout=60)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(word, result.stderr.decode())

    def test_a_section_a_model(self) -> None:
        config = self.folder / "serve.json"
        repository = self.folder / "models"
        for version in ("1", "2", "3"):
            shutil.copytree(MODELS / "st_mean", repository / "m" / version)
        shutil.copytree(MODELS / "st_mean", repository / "other" / "1")
        (repository / "m" / "4").mkdir()
        (repository / "m" / "4" / "config.json").write_text("{", encoding="utf-8")
        folder = str(MODELS / "bert_seq")
        sections = {"m": {"max-seq-len": 7, "labels": {"gone": 9, "stable": 1, "canary": 3, "broken": 4, "7": 1}},
                    "plain": {"folder": folder}, "narrow": {"folder": folder, "dtype": "bfloat16", "max-seq-len": 9},
                    "int8": {"folder": folder, "quantization": "int8"}}
        config.write_text(json.dumps({"model-repository": str(repository), "max-seq-len": 11, "models": sections}), encoding="utf-8")
        server = self.start("--config", config)
        limits = {name: server.ask("GET", f"/v2/models/{name}/config").json["parameters"]["max_tokens"]
                  for name in ("m", "other", "plain", "narrow")}
        self.assertEqual(limits, {"m": 7, "other": 11, "plain": 11, "narrow": 9})
        text = {"inputs": [text_input("hello")]}

        def logits(name: str) -> list[float]:
            return server.ask("POST", f"/v2/models/{name}/infer", text).json["outputs"][0]["data"]
        plain = [json.loads(subprocess.run([PROGRAM, "classify", folder, *option], input=b"hello", capture_output=True,
                                           timeout=60, check=True).stdout)["labels"][0]["score"]
                 for option in ((), ("--dtype", "bfloat16"), ("--quantization", "int8"))]
        for name, score in zip(("plain", "narrow", "int8"), plain):
            answer = server.ask("POST", f"/v2/models/{name}/infer", {**text, "outputs": [{"name": "score"}]})
            self.assertEqual(answer.json["outputs"][0]["data"], [score])
        self.assertNotEqual(logits("plain"), logits("narrow"))
        self.assertNotEqual(logits("plain"), logits("int8"))

        # The newest version is broken, and so are three of the labels: what there is serves.
        def version(wanted: str) -> str:
            return server.ask("POST", f"/v2/models/m{wanted}/infer", text).json["model_version"]
        self.assertEqual([version(w) for w in ("", "/versions/stable", "/versions/canary")], ["3", "1", "3"])
        for label in ("gone", "broken", "7"):
            self.assertEqual(server.ask("POST", f"/v2/models/m/versions/{label}/infer", text).status, 404)
            self.assertEqual(server.said.count(f"m gets no label {label}: "), 1)
        entries = [e for e in server.ask("POST", "/v2/repository/index").json if e["name"] == "m"]
        self.assertEqual([(e["version"], e["state"]) for e in entries], [("1", "READY"), ("3", "READY"), ("4", "UNAVAILABLE")])
        self.assertIn("config.json", entries[-1]["reason"])
        self.assertEqual(server.ask("POST", "/v2/repository/models/m/load", {"version": 2}).status, 200)
        self.assertEqual([version(w) for w in ("", "/versions/stable", "/versions/canary")], ["2", "1", "3"])
        self.assertEqual(server.stop(), 0)
        check = subprocess.run([PROGRAM, "serve", "--config", config, "--check"], capture_output=True, timeout=60)
        self.assertEqual(check.returncode, 1)
        self.assertIn(b"m version 3: READY", check.stdout)
        # The command line's folder goes before the file's; the rest of the section stays.
        shutil.rmtree(repository / "m" / "4")
        sections["m"]["labels"] = {"stable": 1}
        config.write_text(json.dumps({"model-repository": str(repository), "models": sections}), encoding="utf-8")
        check = subprocess.run([PROGRAM, "serve", "--config", config, "--model", f"plain={MODELS / 'bert_multilabel'}", "--check"],
                               capture_output=True, timeout=60, text=True)
        self.assertEqual((check.returncode, check.stdout.split("\n")[:3]),
                         (0, ["int8 version 1: READY", "m version 1: READY", "m version 3: READY"]), check.stderr)

    def test_wrong_usage(self) -> None:
        for arguments, word in ((["--model", "x"], "NAME=DIR"), ([], "no model"), (["--model", "a=b", "--tls-cert", "c"], "tls-key"),
                                (["--model", "a=b", "--http-port", "70000"], "65535")):
            with self.subTest(arguments):
                result = subprocess.run([PROGRAM, "serve", *arguments], capture_output=True, timeout=60)
                self.assertEqual(result.returncode, 2)
                self.assertIn(word, result.stderr.decode())
        there = f"a={MODELS / 'st_mean'}"
        for arguments, word in ((["--model", there, "--bind", "nowhere"], "nowhere"), (["--model", "a=b"], 'no model "b"'),
                                (["--model", f"a b={MODELS / 'st_mean'}"], "a b"), (["--model-repository", str(self.folder / "none")], "none"),
                                (["--model", there, "--api-keys", str(self.folder / "none")], "none"),
                                (["--model", there, "--tls-cert", "none", "--tls-key", "none"], "none")):
            with self.subTest(arguments):
                result = subprocess.run([PROGRAM, "serve", "--http-port", "0", "--metrics-port", "0", *arguments],
                                        capture_output=True, timeout=60)
                self.assertEqual(result.returncode, 1)
                self.assertIn(word, result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
