"""What the sandbox is doing right now, for people and for logs.

Owns the lines: on a terminal one live line of everything that runs, elsewhere plain lines with a sign of life
now and then. Several tasks may run at once, from several threads.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TextIO

_LIVE_INTERVAL = 0.2
_PLAIN_INTERVAL = 15.0


class Task:
    """One thing under way: its title, when it began, and the last detail said about it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.detail = ""
        self.result = ""
        self.began = time.monotonic()

    def say(self, detail: str) -> None:
        """Replace the detail shown beside the elapsed time."""
        self.detail = detail

    def finish(self, result: str) -> None:
        """Give what the closing line says instead of the bare title."""
        self.result = result

    def line(self) -> str:
        """`title, elapsed, detail` as of now."""
        parts = [self.title, elapsed(time.monotonic() - self.began), self.detail]
        return ", ".join(part for part in parts if part)


class Progress:
    """Shows tasks as they run.

    Args:
        stream: where to; default: standard output.
        quiet: show nothing but failures.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream or sys.stdout
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()
        self._tasks: list[Task] = []
        self._lock = threading.Lock()
        self._ticker: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Print one line above the live one."""
        if not self._quiet:
            with self._lock:
                self._print(text)

    @contextmanager
    def task(self, title: str) -> Generator[Task]:
        """Show `title` as running until the block ends, then whether and after how long it did."""
        task = Task(title)
        with self._lock:
            self._tasks.append(task)
            if not self._quiet and not self._live:
                self._print(f"  … {title}")
            self._tick()
        failed = True
        try:
            yield task
            failed = False
        finally:
            with self._lock:
                self._tasks.remove(task)
                took = elapsed(time.monotonic() - task.began)
                if failed:
                    self._print(f"  {self._mark('✗', 'FAILED')} {title} ({took})")
                elif not self._quiet:
                    self._print(f"  {self._mark('✓', 'ok')} {task.result or title} ({took})")

    def _mark(self, sign: str, plain: str) -> str:
        """The sign where the stream can show it, else a word."""
        try:
            sign.encode(self._stream.encoding or "utf-8")
        except UnicodeEncodeError:
            return plain
        return sign

    def _print(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        self._stream.write(f"\r\033[K{text}\n" if self._live else f"{text}\n")
        self._stream.flush()

    def _tick(self) -> None:
        """Have one thread refresh the lines for as long as tasks run; called with the lock held."""
        if self._quiet or (self._ticker is not None and self._ticker.is_alive()):
            return
        self._ticker = threading.Thread(target=self._refresh, daemon=True)
        self._ticker.start()

    def _refresh(self) -> None:
        interval = _LIVE_INTERVAL if self._live else _PLAIN_INTERVAL
        while True:
            time.sleep(interval)
            with self._lock:
                if not self._tasks:
                    self._ticker = None
                    return
                if self._live:
                    line = " | ".join(task.line() for task in self._tasks)
                    self._stream.write(f"\r\033[K  {line[: _width() - 3]}")
                    self._stream.flush()
                else:
                    for task in self._tasks:
                        self._print(f"    {task.line()}")


def elapsed(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 46 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns
