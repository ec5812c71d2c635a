"""A killed `make up` is finished by the next one.

Run it: `python -m tests.end_to_end.kill_trials --trials 10 --seed N [--home DIR]`.

A trial starts `make up` in a fresh sandbox, kills it with SIGKILL at a random moment of an undisturbed run's duration,
runs `make up` again, and compares what is there with what the undisturbed run made. The kill takes make, the command,
the engine, the language host and the program; in every second trial the sandbox's own processes die with them.
A sandbox that failed is left for inspection.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox import parts
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from sandbox.processes import MARK, Processes
from tests.conftest import RunningSandbox, Stack
from tests.end_to_end.whole import Inventory, inventory, settles

STACK = "sandbox"
MAKE_SECONDS = 900
_HOME = "SANDBOX_HOME"
_POLL = 0.05


class TrialFailedError(Exception):
    """What did not hold, with everything that was said."""


@dataclass(frozen=True)
class Undisturbed:
    """A deployment that nobody killed: how long `make up` took, and what it made."""

    seconds: float
    inventory: Inventory


@dataclass(frozen=True)
class Death:
    """What a kill met.

    Attributes:
        processes: how many were killed; 0: `make up` was done already.
        said: the last line that it had printed.
    """

    processes: int
    said: str


def processes_of(home: Home) -> list[int]:
    """Every process that works on a sandbox: its parts, and commands that were told its folder."""
    marks = {f"{_HOME}={home.root}".encode(), f"{MARK}={home.root}".encode()}
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) != os.getpid() and marks & set((entry / "environ").read_bytes().split(b"\0")):
                found.append(int(entry.name))
    return found


def kill(home: Home, *, spare_parts: bool) -> int:
    """SIGKILL everything that works on a sandbox, until nothing is left; gives how many processes that were.

    Args:
        spare_parts: leave the sandbox's own processes and what they started.
    """
    killed: set[int] = set()
    while victims := [pid for pid in processes_of(home) if not (spare_parts and _is_of_a_part(home, pid))]:
        for pid in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= set(victims)
        time.sleep(_POLL)
    return len(killed)


def killed_up(home: Home, seconds: float, *, spare_parts: bool, after: str = "") -> Death:
    """Start `make up` and kill it `seconds` after its beginning, or after it has said `after`."""
    log = home.root.with_suffix(".log")
    with log.open("w") as output:
        making = _make(home, "up", output.fileno())
        while after not in log.read_text() and making.poll() is None:
            time.sleep(_POLL)
        try:
            making.wait(seconds)
        except subprocess.TimeoutExpired:
            killed = kill(home, spare_parts=spare_parts)
        else:
            killed = 0
        making.wait(MAKE_SECONDS)
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    return Death(killed, lines[-1][:100] if lines else "nothing yet")


def made(home: Home, target: str) -> str:
    """`make TARGET`; gives what it said.

    Raises:
        TrialFailedError: it failed.
    """
    making = _make(home, target, subprocess.PIPE)
    said, _ = making.communicate(timeout=MAKE_SECONDS)
    if making.returncode != 0:
        raise TrialFailedError(f"`make {target}` ended with {making.returncode}:\n{said}")
    return said


def running(home: Home) -> RunningSandbox:
    """A sandbox that `make up` has started."""
    return RunningSandbox(home, process_environment(home))


def check_unchanged(home: Home) -> None:
    """A preview and a refresh find nothing to do.

    Raises:
        AssertionError: they do; with what they said.
    """
    stack = Stack(running(home), REPOSITORY, STACK)
    stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    stack.pulumi("preview", "--diff", "--expect-no-changes")
    pending = stack.export().get("pending_operations")
    assert not pending, f"the state still has pending operations: {pending}"


def check_gone(home: Home) -> None:
    """`make down` left no process and no folder.

    Raises:
        AssertionError: it did.
    """
    left = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in processes_of(home)}
    assert not left, f"processes are left: {left}"
    assert not home.root.exists(), f"{home.root} is left: {sorted(home.root.rglob('*'))}"


def undisturbed(home: Home) -> Undisturbed:
    """Deploy once without a kill, look, and take it down."""
    began = time.monotonic()
    made(home, "up")
    seconds = time.monotonic() - began
    found = inventory(running(home))
    check_unchanged(home)
    made(home, "down")
    check_gone(home)
    return Undisturbed(seconds, found)


def trial(home: Home, expected: Undisturbed, moment: float, *, spare_parts: bool) -> str:
    """One trial; gives what happened in a line.

    A kill that comes after the end met nothing: it is done again at the same share of the time that was really taken.

    Args:
        moment: share of the whole time after which the kill comes, 0 to 1.

    Raises:
        TrialFailedError, AssertionError: something did not hold.
    """
    seconds = moment * expected.seconds
    began = time.monotonic()
    while not (death := killed_up(home, seconds, spare_parts=spare_parts)).processes:
        seconds = moment * (time.monotonic() - began)
        made(home, "down")
        began = time.monotonic()
    began = time.monotonic()
    made(home, "up")
    took = time.monotonic() - began
    found = settles(running(home), expected.inventory)
    check_unchanged(home)
    made(home, "down")
    check_gone(home)
    return (
        f"killed {death.processes} processes after {seconds:.1f} s, at `{death.said}`; "
        f"the next one took {took:.0f} s: {found}, no change, nothing left after `make down`"
    )


def _make(home: Home, target: str, output: int) -> subprocess.Popen[str]:
    """Begin `make TARGET` on a sandbox, in a process group of its own."""
    led_away = {MARK, "SANDBOX_STACK", "SANDBOX_FORCE", "MAKEFLAGS", "MAKELEVEL"}
    kept = {name: value for name, value in os.environ.items() if name not in led_away}
    return subprocess.Popen(
        ["make", target],
        cwd=REPOSITORY,
        env={**kept, _HOME: str(home.root)},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )


def _is_of_a_part(home: Home, pid: int) -> bool:
    """Whether a process is one of the sandbox's own, or was started by one: each leads a session."""
    processes = Processes(home)
    with contextlib.suppress(ProcessLookupError):
        return os.getsid(pid) in {processes.pid(name) for name in parts.NAMES}
    return False


def main() -> int:
    """The command line; 1 where a trial failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.end_to_end.kill_trials", description=__doc__)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--home", type=Path, help="an empty folder for the sandboxes; default: a temporary one")
    arguments = parser.parse_args()
    root: Path = (arguments.home or Path(tempfile.mkdtemp(prefix="kill-trials-"))).absolute()
    root.mkdir(parents=True, exist_ok=True)
    chance = random.Random(arguments.seed)
    expected = undisturbed(Home(root / "undisturbed"))
    print(f"seed {arguments.seed}; undisturbed: {expected.seconds:.1f} s, {expected.inventory}", flush=True)
    failed = 0
    for number in range(1, arguments.trials + 1):
        home, moment = Home(root / f"trial-{number}"), chance.random()
        try:
            said = "ok: " + trial(home, expected, moment, spare_parts=number % 2 == 1)
        except (TrialFailedError, AssertionError, subprocess.TimeoutExpired) as problem:
            failed += 1
            said = (
                f"FAILED, killed at {moment:.0%} of the time (its output: {home.root.with_suffix('.log')}); "
                f"left in {home.root}:\n{problem}"
            )
        print(f"trial {number} of {arguments.trials}: {said}", flush=True)
    print(f"{arguments.trials - failed} of {arguments.trials} trials passed (seed {arguments.seed})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
