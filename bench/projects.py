"""Pulumi projects to measure: a folder, one new stack in a state of its own, and the environment it is run in."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.home import REPOSITORY

_STACK = "bench"


@dataclass(frozen=True)
class Program:
    """One program: where its project lies, and the environment it is run in."""

    name: str
    folder: Path
    environment: dict[str, str]

    def preview(self) -> float:
        """Seconds of one preview.

        Raises:
            SystemExit: it failed; with its output.
        """
        began = time.monotonic()
        self.pulumi("preview")
        return time.monotonic() - began

    def pulumi(self, command: str, *arguments: str) -> None:
        """Run `pulumi COMMAND` on the stack.

        Raises:
            SystemExit: it failed; with its output.
        """
        done = subprocess.run(
            ["pulumi", command, "--non-interactive", "--suppress-progress", "--stack", _STACK, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
            sys.exit(f"bench: `pulumi {command}` of {self.name} failed:\n{said}")


def project(name: str, parent: Path, main: Path, stack: Mapping[str, Any], environment: Mapping[str, str]) -> Program:
    """A project that runs `main`, with one new stack of these settings.

    Raises:
        SystemExit: the stack could not be made; with the reason.
    """
    folder = parent / name
    state = folder / "state"
    state.mkdir(parents=True)
    settings = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text())
    settings |= {"main": str(main), "stackConfigDir": "."}
    settings["runtime"]["options"]["virtualenv"] = str(REPOSITORY / ".venv")
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(settings))
    (folder / f"Pulumi.{_STACK}.yaml").write_text(yaml.safe_dump(dict(stack), sort_keys=False))
    own = {**environment, "PULUMI_BACKEND_URL": f"file://{state}"}
    init = ["pulumi", "stack", "init", _STACK, "--non-interactive"]
    done = subprocess.run(init, cwd=folder, env=own, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"bench: no stack could be made in {folder}: {done.stderr}")
    return Program(name, folder, own)


def encryption_salt() -> str:
    """The salt of the sandbox's passphrase, which a stack file carries so that nothing is written into it."""
    return yaml.safe_load((REPOSITORY / "stacks" / "Pulumi.sandbox.yaml").read_text())["encryptionsalt"]
