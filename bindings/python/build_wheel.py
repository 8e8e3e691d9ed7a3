#!/usr/bin/env python3
"""Makes the wheel `deepseek-core`: the Python files, the shared library, and the declarations made from the headers.

  build_wheel.py [OUTPUT_FOLDER]     default: dist/ of this checkout; prints the wheel's path

Uses the standard library and a C compiler's preprocessor only. It is also the build backend that pyproject.toml names, so
that `pip install bindings/python` works offline. Shared libraries that libdeepseek needs beyond the C library's
(utf8proc, PCRE2) go into the wheel too, and _library.py loads those first: cffi and numpy are all that has to be there.
"""
from __future__ import annotations

import base64
import hashlib
import platform
import re
import subprocess
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from make_cdef import declarations  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PART_OF_THE_SYSTEM = re.compile(r"(libc|libm|libdl|librt|libpthread|libgcc_s|ld-linux[\w-]*|linux-vdso)\.so")
SUMMARY = "Text models on a few CPU cores: inference and fine-tuning of Hugging Face folders"
EARLIEST = (1980, 1, 1, 0, 0, 0)  # zip's first date: the same files make the same wheel


def version() -> str:
    found = re.search(r'DS_VERSION "([\d.]+)"', (ROOT / "include/deepseek/context.h").read_text(encoding="utf-8"))
    assert found, "include/deepseek/context.h has no DS_VERSION"
    return found[1]


def build_library() -> Path:
    """The release's libdeepseek.so, brought up to date first; under the name that its version's users ask for."""
    release = ROOT / "build/release"
    if (release / "build.ninja").exists():
        command = ["cmake", "--build", str(release), "--target", "deepseek_shared"]
    else:
        command = [str(ROOT / "tools/build"), "release", "-DDS_TESTS=OFF"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout}\nbuild_wheel: {' '.join(command)} failed")
    return release / f"libdeepseek.so.{version().split('.')[0]}"


def needed_libraries(library: Path) -> list[Path]:
    """The files of the shared libraries that it is linked to and that are not the system's own."""
    text = subprocess.run(["ldd", str(library)], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^\s*(\S+) => (/\S+)", text, re.M)
    return [Path(path) for name, path in found if not PART_OF_THE_SYSTEM.match(name)]


def licences(libraries: list[Path]) -> dict[str, bytes]:
    """Our own, and as Debian has them those of the libraries that come along."""
    found = {"LICENSE": (ROOT / "LICENSE").read_bytes()}
    for library in libraries:
        stem = library.name.split(".")[0]
        for path in sorted(Path("/usr/share/doc").glob(f"{stem}*/copyright")):
            found[f"LICENSE.{stem}"] = path.read_bytes()
    return found


def metadata() -> str:
    return (f"Metadata-Version: 2.4\nName: deepseek-core\nVersion: {version()}\nSummary: {SUMMARY}\n"
            "License-Expression: Apache-2.0\nLicense-File: LICENSE\nRequires-Python: >=3.10\n"
            "Requires-Dist: cffi>=1.15\nRequires-Dist: numpy>=1.24\nDescription-Content-Type: text/markdown\n\n"
            + (HERE / "README.md").read_text(encoding="utf-8"))


def contents() -> dict[str, bytes]:
    """Every file of the wheel by its name in it, RECORD left out."""
    library = build_library()
    others = needed_libraries(library)
    files = {path.relative_to(HERE).as_posix(): path.read_bytes()
             for path in sorted((HERE / "deepseek").rglob("*")) if path.suffix in {".py", ".typed"}}
    files["deepseek/_declarations.h"] = declarations(ROOT / "include").encode()
    for path in [library, *others]:
        files[f"deepseek/lib/{path.name}"] = path.read_bytes()
    for path in sorted((ROOT / "models" / "deepseek").rglob("*")):  # the model that comes with the repository
        if path.is_file():
            files[f"deepseek/models/{path.relative_to(ROOT / 'models').as_posix()}"] = path.read_bytes()
    about = f"deepseek_core-{version()}.dist-info"
    files[f"{about}/METADATA"] = metadata().encode()
    files[f"{about}/WHEEL"] = ("Wheel-Version: 1.0\nGenerator: build_wheel.py\nRoot-Is-Purelib: false\n"
                               f"Tag: {tag()}\n").encode()
    for name, text in licences(others).items():
        files[f"{about}/licenses/{name}"] = text
    return files


def tag() -> str:
    return f"py3-none-linux_{platform.machine()}"


def record(files: dict[str, bytes], name: str) -> bytes:
    lines = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(content)}\n")
    return "".join([*lines, f"{name},,\n"]).encode()


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    """The build backend's hook (PEP 517): writes the wheel and returns its file name."""
    files = contents()
    about = f"deepseek_core-{version()}.dist-info/RECORD"
    files[about] = record(files, about)
    name = f"deepseek_core-{version()}-{tag()}.whl"
    Path(wheel_directory).mkdir(parents=True, exist_ok=True)
    temporary = Path(wheel_directory) / f".{name}.part"
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, content in files.items():
            info = zipfile.ZipInfo(path, EARLIEST)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            wheel.writestr(info, content)
    temporary.replace(Path(wheel_directory) / name)
    return name


def main() -> int:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"
    print(output / build_wheel(str(output)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
