"""Runs Pulumi's engine on a sandbox, and mends what a killed one left.

The engine runs in a session of its own: an interrupt reaches it once, through here, so that it finishes what is under
way and leaves a state that is whole. A note in the sandbox's folder says that a deployment has begun; it goes when the
deployment has ended well, so its presence means that an earlier one was killed or failed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from sandbox.processes import MARK, Processes, start_time

PROJECT = "trainyard"
_PATIENCE = 180.0


class EngineError(Exception):
    """The engine ended with an error, which it has printed; the message says what to do next."""


class Engine:
    """Pulumi on one stack of one sandbox.

    Args:
        home: a sandbox that is started.
        stack: the stack's name, `sandbox`.
        folder: where `Pulumi.yaml` is.
    """

    def __init__(self, home: Home, stack: str, folder: Path = REPOSITORY) -> None:
        self._home = home
        self._stack = stack
        self._folder = folder
        self._note = home.root / "deploying"

    @property
    def has_stack(self) -> bool:
        """Whether the stack is there; asks the backend's folder, so nothing needs to run."""
        return self._checkpoint.exists()

    @property
    def holds_anything(self) -> bool:
        """Whether there is something to destroy: resources, or an operation that was cut off."""
        return bool(self.resources or self._deployment().get("pending_operations"))

    @property
    def resources(self) -> list[dict[str, Any]]:
        """What the stack's state holds, besides providers and the stack itself; read from the backend's folder."""
        resources: list[dict[str, Any]] = self._deployment().get("resources") or []
        return [one for one in resources if one.get("custom") and not str(one["type"]).startswith("pulumi:")]

    def select(self) -> None:
        """Create the stack where it is not there, and select it.

        Raises:
            EngineError: the stack file or the backend cannot be used.
        """
        self._call("login", self.variables["PULUMI_BACKEND_URL"])
        if self.has_stack:
            self._call("stack", "select", self._stack)
        else:
            self._call("stack", "init", self._stack)

    def deploy(self) -> None:
        """`pulumi up`, after mending what an earlier deployment left.

        Raises:
            EngineError: it failed; the engine has said why.
        """
        mended = self._mend()
        self._note.touch()
        self._deploying("up", "--yes", "--skip-preview", *(["--refresh"] if mended else []))
        self._note.unlink(missing_ok=True)

    def destroy(self) -> None:
        """`pulumi destroy`, after mending what an earlier deployment left.

        Raises:
            EngineError: it failed; the engine has said why.
        """
        self._mend()
        self._note.touch()
        self._deploying("destroy", "--yes", "--skip-preview")
        self._note.unlink(missing_ok=True)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs; secrets are left out."""
        return json.loads(self._call("stack", "output", "--stack", self._stack, "--json"))

    def end_running(self) -> None:
        """End an engine that outlived the `make` that started it: it is asked to finish what is under way first."""
        processes = Processes(self._home)
        for pid in [pid for pid in processes.strays() if _is_engine(pid)]:
            _interrupt(pid)
        processes.end_strays()

    def _mend(self) -> bool:
        """Run the recovery where a deployment was killed or failed; gives whether it did."""
        if not (self._note.exists() or self._locks() or self._deployment().get("pending_operations")):
            return False
        print("an earlier deployment did not end well: looking for what it left", flush=True)
        code = self._run([sys.executable, "-m", "recovery", "--stack", self._stack, "--yes"])
        if code != 0:
            raise EngineError(f"the recovery of stack {self._stack} failed: see above; then run the same again")
        return True

    def _deploying(self, *arguments: str) -> None:
        color = "always" if sys.stdout.isatty() else "never"
        code = self._run([self._pulumi, *arguments, "--stack", self._stack, "--suppress-progress", "--color", color])
        if code != 0:
            raise EngineError(
                f"`pulumi {arguments[0]}` failed (exit code {code}): it says above why; logs: {self._home.logs}"
            )

    def _run(self, command: Sequence[str]) -> int:
        """Run a command in a session of its own and pass an interrupt on to it, once; a second one ends it hard."""
        process = subprocess.Popen(
            command, cwd=self._folder, env=self._marked, stdin=subprocess.DEVNULL, start_new_session=True
        )
        interrupts = 0
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                interrupts += 1
                if interrupts == 1:
                    print("\ninterrupted: waiting for what is under way (again: end at once)", flush=True)
                    process.send_signal(signal.SIGINT)
                else:
                    os.killpg(process.pid, signal.SIGKILL)
        if interrupts:
            raise KeyboardInterrupt
        return code

    def _call(self, *arguments: str) -> str:
        """Run Pulumi for its output."""
        done = subprocess.run(
            [self._pulumi, *arguments, "--non-interactive"],
            cwd=self._folder,
            env=self._marked,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed:\n{done.stdout}{done.stderr}".strip())
        return done.stdout

    @property
    def variables(self) -> dict[str, str]:
        """The environment the engine runs in."""
        return process_environment(self._home)

    @property
    def _marked(self) -> dict[str, str]:
        return {**self.variables, MARK: str(self._home.root)}

    @property
    def _pulumi(self) -> str:
        return str(self._home.bin / "pulumi")

    @property
    def _checkpoint(self) -> Path:
        return self._home.pulumi_state / ".pulumi" / "stacks" / PROJECT / f"{self._stack}.json"

    def _deployment(self) -> dict[str, Any]:
        """The state as the backend keeps it; empty where there is none."""
        if not self._checkpoint.exists():
            return {}
        document: dict[str, Any] = json.loads(self._checkpoint.read_text())
        checkpoint: dict[str, Any] = document.get("checkpoint") or {}
        return checkpoint.get("latest") or {}

    def _locks(self) -> list[Path]:
        folder = self._home.pulumi_state / ".pulumi" / "locks" / "organization" / PROJECT / self._stack
        return list(folder.glob("*.json"))


def _is_engine(pid: int) -> bool:
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name.removesuffix(" (deleted)") == "pulumi"
    except OSError:
        return False


def _interrupt(pid: int) -> None:
    """SIGINT, and wait for the process to end; whoever is still there later is ended otherwise."""
    started = start_time(pid)
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + _PATIENCE
    while started is not None and start_time(pid) == started and time.monotonic() < deadline:
        time.sleep(0.2)
