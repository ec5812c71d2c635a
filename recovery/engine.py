"""The `pulumi` commands that recovery needs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from recovery.state import Json


class EngineError(Exception):
    """A `pulumi` command that failed, with what it said."""


class Engine:
    """One stack of the project in a folder.

    Args:
        folder: in or under the one with `Pulumi.yaml`.
        stack: its name; None: the selected one.

    Raises:
        EngineError: no `pulumi`, no project or no stack there.
    """

    def __init__(self, folder: Path, stack: str | None) -> None:
        self._folder = folder
        self.project = _project_name(folder)
        self._stack = stack
        self._stack = stack or self._run("stack", "--show-name", chosen=False).strip()

    @property
    def stack(self) -> str:
        """The stack's name, without organisation and project in front."""
        return str(self._stack).rpartition("/")[2]

    @property
    def organization(self) -> str:
        """Whose stack it is; a file backend knows only `organization`."""
        parts = str(self._stack).split("/")
        return parts[0] if len(parts) > 1 else "organization"

    def backend_url(self) -> str:
        """`file:///…`, or another backend's address."""
        return str(json.loads(self._run("whoami", "--json", chosen=False))["url"])

    def export(self) -> Json:
        """The state, secrets encrypted."""
        return cast(Json, json.loads(self._run("stack", "export")))

    def replace_state(self, file: Path) -> None:
        """Make the file's content the state."""
        self._run("stack", "import", "--file", str(file))

    def break_locks(self) -> None:
        """Take all locks off the stack."""
        self._run("cancel", "--yes")

    def last_deployment_failed(self) -> bool:
        """Whether the last deployment that ended ended badly."""
        history = cast(list[Json], json.loads(self._run("stack", "history", "--json", "--page-size", "1") or "[]"))
        return bool(history) and history[0].get("result") != "succeeded"

    def preview_events(self) -> Iterator[Json]:
        """What a preview would do, as the engine's events; a failing preview still tells what it got to."""
        environment = {**os.environ, "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"}
        found = self._call("preview", "--json", "--show-secrets=false", environment=environment)
        for line in found.stdout.splitlines():
            if line.startswith("{"):
                yield cast(Json, json.loads(line))

    def _run(self, *arguments: str, chosen: bool = True) -> str:
        done = self._call(*arguments, chosen=chosen)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip()).removeprefix("error: ")
            raise EngineError(f"`pulumi {' '.join(arguments)}` failed: {said}")
        return done.stdout

    def _call(
        self, *arguments: str, chosen: bool = True, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", *(["--stack", str(self._stack)] if chosen else [])]
        try:
            return subprocess.run(
                command, cwd=self._folder, env=environment, capture_output=True, text=True, check=False
            )
        except FileNotFoundError as missing:
            raise EngineError('there is no `pulumi` on PATH: in a sandbox, run `eval "$(make -s env)"`') from missing


def _project_name(folder: Path) -> str:
    for place in (folder, *folder.parents):
        file = place / "Pulumi.yaml"
        if file.exists():
            document: Any = yaml.safe_load(file.read_text())
            return str(document["name"])
    raise EngineError(f"neither {folder} nor a folder above it has a Pulumi.yaml: run this in the project")
