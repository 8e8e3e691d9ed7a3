"""The shared library: loading it, calling it, and the one context that a process has.

cffi reads the declarations that were made from the public headers when the wheel was built, and calls through the ABI.
Calls release the interpreter's lock, so threads and Ctrl-C stay alive while C computes.
"""
from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import cffi

from ._errors import BY_STATUS, Error, InvalidArgumentError

_HERE = Path(__file__).resolve().parent


def _load() -> tuple[Any, Any, list[Any]]:
    """(ffi, lib, libraries kept loaded)."""
    try:
        declarations = (_HERE / "_declarations.h").read_text(encoding="utf-8")
        libraries = sorted((_HERE / "lib").glob("*.so*"))
        main = next(path for path in libraries if path.name.startswith("libdeepseek.so"))
    except (OSError, StopIteration):
        raise ImportError(f"{_HERE} lacks the shared library or its declarations: in a checkout run `make wheel` and "
                          "install dist/*.whl") from None
    ffi = cffi.FFI()
    ffi.cdef(declarations)
    # Once these are loaded the loader takes them, and not the system's, for what the main library needs.
    kept = [ffi.dlopen(str(path)) for path in libraries if path != main]
    return ffi, ffi.dlopen(str(main)), kept


ffi, lib, _kept = _load()
# Objects are given back by finalizers, which the garbage collector may run anywhere, also while cffi holds its lock to
# look a function up for the first time. These are looked up now, so that finalizers never wait for that lock.
for _name in ("ds_tokenizer_close", "ds_encoding_destroy", "ds_session_destroy", "ds_model_close", "ds_trainer_destroy"):
    getattr(lib, _name)
__version__: str = ffi.string(lib.ds_version()).decode()


def check(status: int, error: Any) -> None:
    """Raises what a status other than DS_OK means, with the library's sentence."""
    if status == lib.DS_OK:
        return
    name = ffi.string(lib.ds_status_name(status)).decode()
    message = ffi.string(error.message).decode("utf-8", "replace")
    raise BY_STATUS.get(name, Error)(message or ffi.string(lib.ds_status_text(status)).decode(), name)


def call(function: str, *arguments: Any) -> None:
    """lib.FUNCTION(*arguments, error), with a failure raised."""
    error = ffi.new("ds_error *")
    check(getattr(lib, function)(*arguments, error), error)


def create(function: str, kind: str, *arguments: Any) -> Any:
    """The handle that lib.FUNCTION(*arguments, &handle, error) makes; the caller owns it."""
    out = ffi.new(f"{kind} **")
    call(function, *arguments, out)
    return out[0]


def text(pointer: Any) -> str:
    """A C string; "" for NULL."""
    return ffi.string(pointer).decode("utf-8", "replace") if pointer != ffi.NULL else ""


_lock = threading.Lock()
_context: Any = None
_threads = 0  # 0: as many as the process may use


def context() -> Any:
    """The process's ds_context, made at the first call. It lives until the process ends."""
    global _context
    with _lock:
        if _context is None:
            options = ffi.new("ds_context_options *", {"threads": _threads})
            _context = create("ds_context_create", "ds_context", options)
        return _context


def set_num_threads(threads: int) -> None:
    """How many threads the library computes with. Only before the first model or tokenizer is opened.

    Raises ValueError for a count outside 1 to 256, and when another count is already in use.
    """
    global _threads
    if not 1 <= threads <= lib.DS_MAX_THREADS:
        raise InvalidArgumentError(f"threads is {threads}, expected 1 to {lib.DS_MAX_THREADS}")
    with _lock:
        if _context is not None and lib.ds_context_threads(_context) != threads:
            raise InvalidArgumentError(f"{lib.ds_context_threads(_context)} threads are in use already: "
                                       "set_num_threads() has to come before the first from_pretrained()")
        _threads = threads


def get_num_threads() -> int:
    """How many threads the library computes with."""
    return int(lib.ds_context_threads(context()))
