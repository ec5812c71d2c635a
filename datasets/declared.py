"""What a deployed stack says of its datasets: the outputs `datasets` and `kubeconfig` of `pulumi stack output`.

Owns the output's shape on the reading side (`components/datasets.py` writes it).
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from datasets.problems import FAILED, USAGE, CommandError


@dataclass(frozen=True)
class Declared:
    """One dataset of a deployed stack.

    Attributes:
        source: `{"folder"}`, `{"container", "path"}` or `{"url", "sha256"}`.
        target: `{"container", "path"}` or `{"claim", "protocol", "path"}`; containers as https addresses.
        namespace, service_account: where the Job runs, and as whom.
    """

    name: str
    source: Mapping[str, str]
    target: Mapping[str, str]
    namespace: str
    service_account: str

    @property
    def source_text(self) -> str:
        """The source in one line."""
        return _place(self.source)

    @property
    def target_text(self) -> str:
        """The target in one line."""
        return _place(self.target)


@dataclass(frozen=True)
class Deployed:
    """A stack's outputs, as far as datasets need them."""

    stack: str
    datasets: Mapping[str, Declared]
    kubeconfig: str

    def dataset(self, name: str) -> Declared:
        """One of them.

        Raises:
            CommandError: there is none of that name.
        """
        if name in self.datasets:
            return self.datasets[name]
        near = difflib.get_close_matches(name, self.datasets, n=1)
        known = ", ".join(sorted(self.datasets)) or "none"
        hint = f"Did you mean {near[0]}?" if near else "Add it to trainyard:datasets and run pulumi up."
        raise CommandError(USAGE, f"stack {self.stack} has no dataset {name!r}; deployed are: {known}. {hint}")


def read_deployed(stack: str | None, folder: Path) -> Deployed:
    """Ask Pulumi for a stack's outputs.

    Args:
        stack: its name; None: the selected one, or `$PULUMI_STACK`.
        folder: where Pulumi.yaml lies.

    Raises:
        CommandError: Pulumi cannot tell, or the stack is older than datasets.
    """
    stack = stack or os.environ.get("PULUMI_STACK")
    command = ["pulumi", "stack", "output", "--json", "--show-secrets", "--non-interactive", "--cwd", str(folder)]
    command += ["--stack", stack] if stack else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CommandError(
            USAGE, 'pulumi is not on PATH: install it, or eval "$(make -s env)" for the sandbox\'s'
        ) from None
    if done.returncode:
        raise CommandError(USAGE, f"the stack's outputs cannot be read: {done.stderr.strip() or done.stdout.strip()}")
    outputs = cast("dict[str, Any]", json.loads(done.stdout or "{}"))
    shown = stack or "(selected)"
    if "datasets" not in outputs or "kubeconfig" not in outputs:
        told = "deploy it first: pulumi up" if not outputs else "it was deployed by an older program: pulumi up"
        raise CommandError(FAILED, f"stack {shown} has no output `datasets`; {told}")
    return Deployed(shown, declared(outputs["datasets"]), _text(outputs["kubeconfig"]))


def declared(output: Mapping[str, Any]) -> dict[str, Declared]:
    """The stack output `datasets` as values."""
    return {
        name: Declared(
            name,
            {key: str(value) for key, value in one["source"].items()},
            {key: str(value) for key, value in one["target"].items()},
            str(one["namespace"]),
            str(one["serviceAccount"]),
        )
        for name, one in output.items()
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _place(place: Mapping[str, str]) -> str:
    if "folder" in place:
        return place["folder"]
    if "url" in place:
        return place["url"].split("?")[0]
    first = place.get("container") or f"claim {place['claim']}"
    return f"{first}/{place['path']}" if place.get("path") else first
