"""Processes are known by id and start time, end when told, and are found again when nobody wrote them down."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from sandbox.home import Home
from sandbox.processes import MARK, Part, ProcessError, Processes, start_time

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def processes(home: Home) -> Generator[Processes]:
    processes = Processes(home)
    yield processes
    for file in home.run.glob("*.json"):
        processes.stop(file.stem, within=1)
    processes.end_strays(within=1)


def part(command: tuple[str, ...] = SLEEP) -> Part:
    return Part("sleeper", command, lambda: True)


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while start_time(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    return start_time(pid) is None


def test_a_part_that_runs_is_not_started_twice(processes: Processes) -> None:
    assert processes.start(part())
    pid = processes.pid("sleeper")
    assert not processes.start(part())
    assert processes.pid("sleeper") == pid


def test_a_part_whose_code_changed_is_started_anew(processes: Processes) -> None:
    old, new = (Part("sleeper", SLEEP, lambda: True, version=version) for version in ("old", "new"))
    assert processes.start(old)
    pid = processes.pid("sleeper")
    assert pid is not None
    assert not processes.start(old)
    assert processes.start(new)
    assert processes.pid("sleeper") not in (None, pid)
    assert gone(pid), "the one with the old code must end, it holds the port"


def test_stopping_ends_the_process_and_what_it_started(processes: Processes, tmp_path: Path) -> None:
    note = tmp_path / "grandchild"
    code = (
        f"import subprocess, sys; c = subprocess.Popen({SLEEP!r}); open({str(note)!r}, 'w').write(str(c.pid)); c.wait()"
    )
    processes.start(part(command=(sys.executable, "-c", code)))
    deadline = time.monotonic() + 10
    while not (note.exists() and note.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    pid = processes.pid("sleeper")
    assert pid is not None
    assert processes.stop("sleeper")
    assert gone(pid)
    assert gone(int(note.read_text()))
    assert processes.pid("sleeper") is None
    assert not processes.stop("sleeper")


def test_a_process_that_ignores_sigterm_is_killed(processes: Processes, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(ready)!r}, 'w').close(); time.sleep(60)"
    stubborn = Part("stubborn", (sys.executable, "-c", code), ready.exists)
    processes.start(stubborn)
    processes.wait_ready([stubborn])
    pid = processes.pid("stubborn")
    assert pid is not None
    processes.stop("stubborn", within=0.3)
    assert gone(pid)


def test_a_recycled_pid_is_never_signalled(processes: Processes, home: Home) -> None:
    with subprocess.Popen(SLEEP) as innocent:
        try:
            (home.run / "old.json").write_text(json.dumps({"pid": innocent.pid, "started": "another:1"}))
            assert processes.pid("old") is None
            assert not processes.stop("old")
            assert innocent.poll() is None, "a process of somebody else was ended"
        finally:
            innocent.kill()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": ""}'])
def test_a_pid_file_that_was_cut_counts_as_not_running(processes: Processes, home: Home, content: str) -> None:
    (home.run / "cut.json").write_text(content)
    assert processes.pid("cut") is None


def test_a_part_that_ends_as_it_starts_is_an_error_with_its_log(processes: Processes, home: Home) -> None:
    broken = Part("broken", (sys.executable, "-c", "raise SystemExit('no such flag')"), lambda: False)
    processes.start(broken)
    with pytest.raises(ProcessError, match="broken ended as it started") as caught:
        processes.wait_ready([broken])
    assert "no such flag" in str(caught.value)
    assert str(home.logs / "broken.log") in str(caught.value)


def test_a_part_that_never_gets_ready_is_an_error_after_its_time(processes: Processes) -> None:
    slow = Part("slow", SLEEP, lambda: False, ready_within=0.2)
    processes.start(slow)
    with pytest.raises(ProcessError, match=r"slow is not ready after 0 s"):
        processes.wait_ready([slow])


def test_a_probe_that_raises_means_not_yet(processes: Processes) -> None:
    answers = iter([OSError("refused"), True])

    def is_ready() -> bool:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    late = Part("late", SLEEP, is_ready)
    processes.start(late)
    processes.wait_ready([late])
    assert next(answers, None) is None


def test_a_program_that_is_not_there_is_an_error_that_names_it(processes: Processes) -> None:
    with pytest.raises(ProcessError, match="/no/such/program"):
        processes.start(part(command=("/no/such/program",)))


def test_a_taken_port_is_an_error_that_names_it(processes: Processes) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ProcessError, match=f"port {port} of 127.0.0.1 is taken"):
            processes.start(Part("server", SLEEP, lambda: True, port=port))


def test_what_a_killed_starter_left_is_found_and_ended_but_only_in_its_own_sandbox(
    processes: Processes, home: Home, tmp_path: Path
) -> None:
    processes.start(part())
    other = Home(tmp_path / "other")
    strays = [
        subprocess.Popen(SLEEP, env={**os.environ, MARK: str(where.root)}, start_new_session=True)
        for where in (home, other)
    ]
    try:
        deadline = time.monotonic() + 5
        while processes.strays() != [strays[0].pid] and time.monotonic() < deadline:
            time.sleep(0.02)
        assert processes.strays() == [strays[0].pid]
        assert processes.end_strays() == 1
        assert gone(strays[0].pid)
        assert strays[1].poll() is None, "a process of another sandbox was ended"
        assert processes.pid("sleeper") is not None, "a known process is no stray"
    finally:
        for stray in strays:
            stray.kill()
            stray.wait()


def test_a_part_carries_its_variables_and_the_mark(processes: Processes, home: Home) -> None:
    code = f"import os; print(os.environ['COLOUR'], os.environ['{MARK}'])"
    speaker = Part("speaker", (sys.executable, "-c", code), lambda: False, environment={"COLOUR": "green"})
    processes.start(speaker)
    with pytest.raises(ProcessError):
        processes.wait_ready([speaker])
    assert f"green {home.root}" in processes.log("speaker").read_text()
