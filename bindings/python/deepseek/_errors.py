"""What the library reports as Python exceptions: one class for each kind, all of them deepseek.Error."""
from __future__ import annotations


class Error(RuntimeError):
    """Something the library refused or could not do. str() is its sentence.

    status: the constant's name in include/deepseek/status.h, "DS_BAD_FORMAT".
    """

    status: str = "DS_INTERNAL"

    def __init__(self, message: str, status: str | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class InvalidArgumentError(Error, ValueError):
    """DS_INVALID_ARGUMENT, DS_SHAPE_MISMATCH: an argument is out of its range, or two sizes disagree."""

    status = "DS_INVALID_ARGUMENT"


class NotFoundError(Error, FileNotFoundError):
    """DS_NOT_FOUND: a file, folder, tensor or name does not exist."""

    status = "DS_NOT_FOUND"


class OutOfMemoryError(Error, MemoryError):
    """DS_OUT_OF_MEMORY, DS_MEMORY_LIMIT."""

    status = "DS_OUT_OF_MEMORY"


class FileError(Error, OSError):
    """DS_IO: the operating system could not read or write."""

    status = "DS_IO"


class UnsupportedError(Error, NotImplementedError):
    """DS_UNSUPPORTED: valid, but not something this version can do."""

    status = "DS_UNSUPPORTED"


class DivergedError(Error, ArithmeticError):
    """DS_DIVERGED: a loss or a gradient is not finite; the weights are those before the step (with
    memory_efficient and max_grad_norm=0, other gradients may have been applied before one was seen not to be)."""

    status = "DS_DIVERGED"


BY_STATUS: dict[str, type[Error]] = {
    "DS_OUT_OF_MEMORY": OutOfMemoryError,
    "DS_MEMORY_LIMIT": OutOfMemoryError,
    "DS_INVALID_ARGUMENT": InvalidArgumentError,
    "DS_SHAPE_MISMATCH": InvalidArgumentError,
    "DS_NOT_FOUND": NotFoundError,
    "DS_IO": FileError,
    "DS_UNSUPPORTED": UnsupportedError,
    "DS_DIVERGED": DivergedError,
}
