"""Progress is one live line on a terminal and plain lines elsewhere."""

from __future__ import annotations

import io
import time

import pytest

from sandbox import progress
from sandbox.progress import Progress, elapsed


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_task_has_a_line_when_it_begins_and_when_it_ends() -> None:
    stream = io.StringIO()
    with Progress(stream).task("etcd 3.6.7"):
        assert stream.getvalue() == "  … etcd 3.6.7\n"
    assert stream.getvalue().splitlines()[1].startswith("  ✓ etcd 3.6.7 (0.")


def test_a_long_task_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PLAIN_INTERVAL", 0.05)
    stream = io.StringIO()
    with Progress(stream).task("pulumi") as task:
        task.say("17 packages compiled")
        deadline = time.monotonic() + 5
        while "17 packages" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "pulumi, 0." in stream.getvalue()
    assert "17 packages compiled" in stream.getvalue()


def test_a_task_that_fails_says_so() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Progress(stream).task("kwok"):
        raise ValueError("no")
    assert "✗ kwok" in stream.getvalue()


def test_a_terminal_shows_all_that_runs_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LIVE_INTERVAL", 0.02)
    stream = Terminal()
    shown = Progress(stream)
    with shown.task("pulumi"), shown.task("kwok"):
        deadline = time.monotonic() + 5
        while " | kwok" not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "pulumi, 0." in stream.getvalue()
    assert " | kwok, 0." in stream.getvalue()


def test_a_stream_without_these_signs_gets_words() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    with Progress(stream).task("etcd"):
        pass
    assert b"ok etcd" in raw.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.42, "0.4 s"), (12.3, "12 s"), (166, "2 min 46 s"), (59.8, "1 min 0 s")]
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text
