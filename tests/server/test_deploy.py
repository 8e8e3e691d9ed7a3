"""What deploy/ and the schemas in docs/ say is what the program takes, as far as that can be found out here.

  python3 tests/server/test_deploy.py PROGRAM        (ctest runs it)
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from serving import MODELS, ROOT

PROGRAM = sys.argv.pop(1) if len(sys.argv) > 1 else "build/release/deepseek"
DEPLOY, DOCS = ROOT / "deploy", ROOT / "docs"
MAX_BYTES = 40 << 20  # of the image, beside the model


def run(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(a) for a in arguments], capture_output=True, timeout=120, text=True)


class Deploy(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def repository(self) -> Path:
        shutil.copytree(MODELS / "st_mean", self.folder / "models" / "minilm" / "1")
        return self.folder / "models"

    def test_the_examples_are_read(self) -> None:
        result = run(PROGRAM, "serve", "--config", DEPLOY / "serve.json", "--api-keys", DEPLOY / "api-keys.jsonl",
                     "--model-repository", self.repository(), "--check")
        self.assertEqual((result.returncode, result.stdout), (0, "minilm version 1: READY\n"), result.stderr)

    def test_the_schema_has_every_option(self) -> None:
        said = run(PROGRAM, "serve", "--help").stdout
        options = set(re.findall(r"--([a-z][a-z-]+)", said.split("Mandatory or optional")[0].split("\nExamples:")[0]))
        options -= {"help", "usage", "version", "config", "model", "adapter"}  # adapter: refused
        schema = json.loads((DOCS / "serve-config.schema.json").read_text(encoding="utf-8"))
        self.assertEqual(set(schema["properties"]) - {"models"}, options)

    def test_the_keys_schema_has_every_member(self) -> None:
        schema = json.loads((DOCS / "api-keys.schema.json").read_text(encoding="utf-8"))
        path = self.folder / "keys.jsonl"
        full = {"tenant": "a", "keys": ["0" * 64], "models": ["m"], "admin": True, "log_text": False,
                "requests_per_second": 1.5, "concurrent": 2}
        self.assertEqual(set(full), set(schema["properties"]))
        path.write_text(json.dumps(full), encoding="utf-8")
        check = ("serve", "--model-repository", self.repository(), "--check", "--api-keys", path)
        self.assertEqual(run(PROGRAM, *check).returncode, 0)
        for change in ({"tenant": ""}, {"keys": []}, {"keys": ["0" * 63]}, {"keys": ["g" * 64]}, {"keys": ["0" * 64] * 9},
                       {"models": [""]}, {"requests_per_second": 0}, {"concurrent": 0}, {"admin": 1}, {"else": 1}):
            with self.subTest(change):
                path.write_text(json.dumps({**full, **change}), encoding="utf-8")
                result = run(PROGRAM, *check)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertIn("line 1", result.stderr)

    def test_kserves_arguments_are_taken(self) -> None:
        text = (DEPLOY / "kserve-runtime.yaml").read_text(encoding="utf-8")
        arguments = [a.replace("{{.Name}}", "m").replace("/mnt/models", str(MODELS / "st_mean"))
                     for a in re.findall(r"^ +- (--\S+)$", text, re.M)]
        self.assertGreaterEqual(len(arguments), 4)
        self.assertEqual(run(PROGRAM, "serve", *arguments, "--check").returncode, 0)

    def test_the_images_content(self) -> None:
        """The second stage of the Dockerfile, made by its own commands: small, and complete enough to run."""
        root = self.folder / "root"
        (root / "usr/bin").mkdir(parents=True)
        self.assertEqual(run("strip", "-o", root / "usr/bin/deepseek", PROGRAM).returncode, 0)
        if "Sanitizer" in run("nm", PROGRAM).stdout or "libasan" in run("ldd", PROGRAM).stdout:
            self.skipTest("a build with a sanitizer is no image")
        for library in re.findall(r"/[^ ]*", run("ldd", PROGRAM).stdout):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(os.path.realpath(library), target)
        size = sum(f.stat().st_size for f in root.rglob("*") if f.is_file())
        print(f"the image has {size / 2**20:.1f} MiB", file=sys.stderr)
        self.assertLess(size, MAX_BYTES)
        if os.geteuid() == 0:
            shutil.copytree(MODELS / "st_mean", root / "models/m/1")
            (root / "proc").mkdir()
            result = run("chroot", root, "/usr/bin/deepseek", "serve", "--model-repository", "/models", "--check")
            self.assertEqual(result.returncode, 0, result.stderr)

    @unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
    def test_the_unit(self) -> None:
        text = (DEPLOY / "deepseek.service").read_text(encoding="utf-8").replace("/usr/local/bin/deepseek", os.path.abspath(PROGRAM))
        unit = self.folder / "deepseek.service"
        unit.write_text(text, encoding="utf-8")
        result = run("systemd-analyze", "verify", unit)
        self.assertNotIn("deepseek.service:", result.stderr)


if __name__ == "__main__":
    unittest.main()
