"""Starts, watches and stops the processes of one sandbox.

A process runs in a session of its own, logs to `logs/<name>.log` and is remembered in `run/<name>.json` by its id and
its start time, so that an id which the system gave to somebody else is never signalled. Every process also carries the
sandbox's folder in its environment: what a killed starter did not write down is found by that (on Linux).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.home import Home

MARK = "TRAINYARD_SANDBOX_PROCESS_OF"
"""The environment variable that says which sandbox a process belongs to."""
_TAIL_LINES = 20
_POLL = 0.05
_LOG_LIMIT = 20_000_000


class ProcessError(Exception):
    """A process did not start, did not become ready or could not be stopped; the message names its log."""


@dataclass(frozen=True)
class Part:
    """One process of a sandbox.

    Attributes:
        name: of its log and its pid file.
        command: what is run.
        environment: variables on top of the starter's.
        port: the loopback port it listens on, where it must be free before.
        is_ready: whether it serves; asked again and again, an exception means no.
        ready_within: seconds until it must.
        stop_within: seconds after SIGTERM before SIGKILL.
        version: of the code it runs; one that runs with another version is started anew.
    """

    name: str
    command: tuple[str, ...]
    is_ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    port: int | None = None
    ready_within: float = 60
    stop_within: float = 10
    version: str = ""


class Processes:
    """The processes of one sandbox."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def log(self, name: str) -> Path:
        """Where a process's output goes."""
        return self._home.logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """The process that runs under this name, None where none does."""
        return self._running(name)[0]

    def _running(self, name: str) -> tuple[int | None, str]:
        """The process of that name, None where none runs, and the version it was started with."""
        try:
            recorded = json.loads(self._pid_file(name).read_text())
            pid, started = int(recorded["pid"]), str(recorded["started"])
        except (OSError, ValueError, KeyError, TypeError):
            return None, ""
        return pid if start_time(pid) == started else None, str(recorded.get("version", ""))

    def start(self, part: Part) -> bool:
        """Start a part unless it runs already, with the code it was started with.

        Returns:
            Whether it was started.

        Raises:
            ProcessError: the program cannot be run, or its port is taken.
        """
        running, version = self._running(part.name)
        if running is not None and version == part.version:
            return False
        if running is not None:
            self.stop(part.name, part.stop_within)
        if part.port is not None and accepts(part.port):
            raise ProcessError(
                f"{part.name} cannot be started: port {part.port} of 127.0.0.1 is taken by a program that is not of "
                f"this sandbox; end that one, or get new ports with `make down` and `make up`"
            )
        log = self.log(part.name)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            output.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S')} {' '.join(part.command)}\n".encode())
            output.flush()
            try:
                process = subprocess.Popen(
                    part.command,
                    env={**os.environ, **part.environment, MARK: str(self._home.root)},
                    cwd=self._home.root,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{part.name} cannot be started: {part.command[0]}: {error.strerror}") from error
        self._remember(part, process.pid)
        return True

    def wait_ready(self, parts: Iterable[Part]) -> None:
        """Wait until all parts serve.

        Raises:
            ProcessError: one ended or is not ready in time; with the end of its log.
        """
        began = time.monotonic()
        waiting = list(parts)
        while waiting:
            waiting = [part for part in waiting if not _answers(part)]
            for part in waiting:
                if self.pid(part.name) is None:
                    raise ProcessError(f"{part.name} ended as it started{self._evidence(part.name)}")
                if time.monotonic() - began > part.ready_within:
                    raise ProcessError(
                        f"{part.name} is not ready after {part.ready_within:.0f} s{self._evidence(part.name)}"
                    )
            time.sleep(_POLL if waiting else 0)

    def stop(self, name: str, within: float = 10) -> bool:
        """End the process of that name: SIGTERM to its session, SIGKILL after `within` seconds.

        Returns:
            Whether it ran.
        """
        pid = self.pid(name)
        if pid is not None:
            _end(pid, start_time(pid), within)
        self._pid_file(name).unlink(missing_ok=True)
        return pid is not None

    def strays(self) -> list[int]:
        """Processes of this sandbox that no pid file knows: left by a starter that was killed."""
        known = {self.pid(file.stem) for file in self._home.run.glob("*.json")}
        mark = f"{MARK}={self._home.root}".encode()
        found: list[int] = []
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            with contextlib.suppress(OSError):
                if pid not in known and pid != os.getpid() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(pid)
        return [pid for pid in found if _session(pid) not in known]

    def end_strays(self, within: float = 10) -> int:
        """End the strays; gives how many there were."""
        strays = self.strays()
        for pid in strays:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in strays:
            _end(pid, start_time(pid), within)
        return len(strays)

    def _remember(self, part: Part, pid: int) -> None:
        file = self._pid_file(part.name)
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps({"pid": pid, "started": start_time(pid), "version": part.version}))
        partial.replace(file)

    def _pid_file(self, name: str) -> Path:
        return self._home.run / f"{name}.json"

    def _evidence(self, name: str) -> str:
        """The end of the log of the last start."""
        log = self.log(name)
        lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:] if log.exists() else []
        return f". The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


def start_time(pid: int) -> str | None:
    """When a process began, in the system's own words; None where it is gone or only a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None if Path("/proc/self").exists() else _start_time_from_ps(pid)
    except (ProcessLookupError, PermissionError):
        return None
    state, started = fields[0], fields[19]
    return None if state in {"Z", "X"} else f"{_boot_id()}:{started}"


def accepts(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _start_time_from_ps(pid: int) -> str | None:
    """The same where there is no /proc."""
    done = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = done.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def _answers(part: Part) -> bool:
    try:
        return part.is_ready()
    except Exception:  # noqa: BLE001  whatever a probe raises means: not yet
        return False


def _end(pid: int, started: str | None, within: float) -> None:
    """SIGTERM, then SIGKILL; whatever else is in the session it leads is killed after it."""
    if started is None:
        return
    members = {member: start_time(member) for member in _members(pid)}
    for sign, seconds in ((signal.SIGTERM, within), (signal.SIGKILL, 10.0)):
        _signal(pid, started, sign)
        deadline = time.monotonic() + seconds
        while start_time(pid) == started and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(_POLL)
    if start_time(pid) == started:
        raise ProcessError(f"process {pid} does not end, not even on SIGKILL: it hangs in the kernel")
    for member, began in members.items():
        if began is not None:
            _signal(member, began, signal.SIGKILL)


def _signal(pid: int, started: str, sign: signal.Signals) -> None:
    """Signal a process, unless it is gone and its id perhaps somebody else's."""
    if start_time(pid) == started:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)


def _members(leader: int) -> list[int]:
    """The other processes of the session that `leader` leads; none where there is no /proc."""
    pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
    return [pid for pid in pids if pid != leader and _session(pid) == leader]


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that it is no zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
