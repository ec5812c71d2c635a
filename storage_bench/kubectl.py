"""kubectl, with whatever cluster and sign-in it is set up for."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, cast


class KubectlError(RuntimeError):
    """kubectl said no; the message is its own."""


class Kubectl:
    """One namespace of the current cluster.

    Raises:
        KubectlError: there is no kubectl on PATH.
    """

    def __init__(self, namespace: str) -> None:
        found = shutil.which("kubectl")
        if found is None:
            raise KubectlError('no kubectl on PATH: install it, or in the sandbox: eval "$(make -s env)"')
        self._command = [found, "--namespace", namespace]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """One object, None if there is none of that name.

        Raises:
            KubectlError: the cluster could not be asked.
        """
        text = self._run("get", kind, name, "--ignore-not-found", "--output", "json")
        return cast("dict[str, Any]", json.loads(text)) if text.strip() else None

    def labelled(self, kind: str, label: str) -> list[dict[str, Any]]:
        """All objects with a label `key=value`, by name."""
        items = cast(
            "list[dict[str, Any]]", json.loads(self._run("get", kind, "-l", label, "--output", "json"))["items"]
        )
        return sorted(items, key=lambda one: one["metadata"]["name"])

    def create(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> None:
        """Make an object; unknown and ill-typed fields are refused. `dry_run`: the cluster only judges it."""
        flags = ["--dry-run=server"] if dry_run else []
        self._run("create", "--validate=strict", *flags, "--filename", "-", given=json.dumps(wanted))

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and all that it owns, and wait until they are gone."""
        self._run("delete", kind, name, "--cascade=foreground", "--wait=true", "--ignore-not-found")

    def logs(self, pod: str) -> str:
        """What a pod printed."""
        return self._run("logs", pod)

    def _run(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run([*self._command, *arguments], input=given, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlError(done.stderr.strip() or f"kubectl {' '.join(arguments)} ended with {done.returncode}")
        return done.stdout
