"""What the user sees while bytes go by: one line that is written over on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from typing import TextIO

_EVERY = 0.5
_EVERY_LINE = 15.0
_WINDOW = 30.0


class Progress:
    """Counts of one phase.

    Args:
        output: where it is shown.
        quiet: show nothing but what is said.
    """

    def __init__(self, output: TextIO = sys.stderr, *, quiet: bool = False) -> None:
        self._output = output
        self._quiet = quiet
        self._terminal = output.isatty()
        self._lock = threading.RLock()
        self._width = 0
        self.begin("", 0, 0)

    def begin(self, what: str, files: int, size: int) -> None:
        """A new phase: what it is, and how much there is of it."""
        with self._lock:
            self._what, self._files, self._size = what, files, size
            self._files_done = self._done = 0
            self._shown = time.monotonic() if not self._terminal else 0.0
            self._samples = deque([(time.monotonic(), 0)])

    def add(self, size: int = 0, files: int = 0) -> None:
        """So much more is done."""
        with self._lock:
            self.reach(self._done + size, self._files_done + files)

    def reach(self, size: int, files: int) -> None:
        """So much is done in all."""
        with self._lock:
            self._done, self._files_done = size, files
            now = time.monotonic()
            if now - self._shown >= (_EVERY if self._terminal else _EVERY_LINE):
                self._shown = now
                self._samples.append((now, size))
                while len(self._samples) > 2 and now - self._samples[0][0] > _WINDOW:
                    self._samples.popleft()
                self._write(self.line())

    def line(self) -> str:
        """The phase in one line: files, bytes, rate, rest."""
        first, now = self._samples[0], time.monotonic()
        rate = (self._done - first[1]) / max(now - first[0], 1e-3)
        rest = f", {duration((self._size - self._done) / rate)} left" if rate > 1 and self._size > self._done else ""
        share = f" ({100 * self._done // self._size}%)" if self._size else ""
        return (
            f"{self._what}: {self._files_done}/{self._files} files, {amount(self._done)}/{amount(self._size)}{share}, "
            f"{amount(rate)}/s{rest}"
        )

    def say(self, text: str) -> None:
        """A line of its own."""
        with self._lock:
            self._clear()
            print(text, file=self._output, flush=True)

    def end(self) -> None:
        """Take the line away."""
        with self._lock:
            self._clear()

    def _write(self, line: str) -> None:
        if self._quiet:
            return
        if self._terminal:
            self._output.write(f"\r{line:<{self._width}}")
            self._width = len(line)
        else:
            self._output.write(f"{line}\n")
        self._output.flush()

    def _clear(self) -> None:
        if self._terminal and self._width:
            self._output.write(f"\r{'':<{self._width}}\r")
            self._output.flush()
            self._width = 0


def amount(size: float) -> str:
    """Bytes as people read them, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(size) < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("the last unit takes all")


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
