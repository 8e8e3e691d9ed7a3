"""The wheel in a fresh environment: cffi and numpy are all it brings."""
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import MODELS, ROOT

WHEEL = Path(os.environ.get("DEEPSEEK_WHEEL", ""))
needs_wheel = pytest.mark.skipif(not WHEEL.is_file(), reason="DEEPSEEK_WHEEL names no wheel (tools/test-python sets it)")


@needs_wheel
def test_contents():
    with zipfile.ZipFile(WHEEL) as wheel:
        names = wheel.namelist()
        declarations = wheel.read("deepseek/_declarations.h").decode()
        assert wheel.testzip() is None
    assert {"deepseek/py.typed", "deepseek/lib/libdeepseek.so.0"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "ds_trainer_create" in declarations and "#" not in declarations and "inline" not in declarations
    for header in (ROOT / "include/deepseek").glob("*.h"):
        for line in header.read_text(encoding="utf-8").splitlines():
            if line.startswith("DS_API ") and "(" in line:
                assert f"{line.split('(')[0].split()[-1].lstrip('*')}(" in declarations


@needs_wheel
def test_fresh_environment(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(WHEEL)],
                               capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"pip could not get cffi and numpy: {installed.stderr[-200:]}")
    listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check"], check=True,
                            capture_output=True, text=True).stdout
    packages = {line.split("==")[0].lower() for line in listed.splitlines()}
    assert packages <= {"pip", "setuptools", "wheel", "cffi", "numpy", "pycparser", "deepseek-core"}
    script = "import sys, deepseek; print(deepseek.pipeline('text-classification', model=sys.argv[1])('my card')[0]['label'])"
    done = subprocess.run([python, "-c", script, str(MODELS / "bert_seq")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr
