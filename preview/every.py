"""Previews of all stack files, one after the other, each to its end whatever becomes of the others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from preview.record import Record
from preview.run import Wanted, judged_by_own_settings, no_settings, not_run, run


def stack_names(folder: Path) -> list[str]:
    """The environments that have a stack file."""
    return sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in folder.glob("Pulumi.*.yaml"))


def preview_every(folder: Path, out: Path, arguments: Sequence[str], say: Callable[[str], None]) -> list[Record]:
    """Preview each stack of a folder in the state backend that the environment names.

    A stack that was never deployed is made there first. Settings of the policy pack are taken from
    `policies.<environment>.json` beside the stack file.
    """
    records: list[Record] = []
    for name in stack_names(folder):
        say(f"== {name}")
        wanted = Wanted(name, out / name, judged_by_own_settings(folder, name, arguments))
        problem = no_settings(folder, name) or _made(name)
        records.append(not_run(wanted, problem) if problem else run(wanted, say))
    return records


def _made(name: str) -> str:
    """Make a stack where there is none; why that failed, or nothing."""
    there = subprocess.run(
        ["pulumi", "stack", "export", "--stack", name, "--non-interactive"], capture_output=True, check=False
    )
    if there.returncode == 0:
        return ""
    made = subprocess.run(
        ["pulumi", "stack", "init", name, "--no-select", "--non-interactive"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if made.returncode == 0 else (made.stderr or made.stdout).strip()
