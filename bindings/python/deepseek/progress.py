"""A progress bar on the terminal's stderr; nothing anywhere else."""
from __future__ import annotations

import sys
import time
from types import TracebackType

WIDTH = 28
INTERVAL = 0.1  # seconds between two drawings


class ProgressBar:
    """total: units to do; unit: their name. Draws nothing when `shown` is False or stderr is no terminal."""

    def __init__(self, total: int, unit: str, shown: bool = True) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self.shown = shown and sys.stderr.isatty()
        self._start = self._last = time.monotonic()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def advance(self, units: int = 1) -> None:
        self.move_to(self.done + units)

    def move_to(self, done: int) -> None:
        self.done = done
        if self.shown and (time.monotonic() - self._last >= INTERVAL or done >= self.total):
            self._last = time.monotonic()
            self._draw()

    def clear(self) -> None:
        """Leaves the line empty, so that something can be printed."""
        if self.shown:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def close(self) -> None:
        if self.shown:
            self._draw()
            sys.stderr.write("\n")
            self.shown = False

    def _draw(self) -> None:
        share = self.done / self.total if self.total else 1.0
        seconds = time.monotonic() - self._start
        left = _clock(seconds * (1 - share) / share) if share > 0 else "?"
        filled = "#" * int(WIDTH * share)
        sys.stderr.write(f"\r\033[K{100 * share:3.0f}% [{filled:<{WIDTH}}] {self.done}/{self.total} {self.unit}, "
                         f"{_clock(seconds)} done, {left} left")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
