"""One preview, run and recorded: Pulumi's events, its exit code, and what runs on the cluster meanwhile.

Owns the child process and the record's folder. What is written is reduced and free of secrets (`preview.events`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from preview.events import Events, read_events, reduced
from preview.live import Live, read_live
from preview.record import Origin, Record, write_run
from preview.redact import scrub

_MOST_MESSAGES = 100
_LEFT = ("policy.json", "live.json", "run.json")
"""What an earlier preview may have left in a record's folder."""

_NOT_STARTED = 127
"""As a shell says of a command that is not there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to preview.

    Attributes:
        stack: the environment.
        folder: where the record goes; made if it is not there.
        arguments: more for `pulumi preview`, as `--policy-pack policy`.
        origin: where it runs.
        look: whether to read what runs on the cluster.
        not_seen: what this run cannot see, known beforehand.
    """

    stack: str
    folder: Path
    arguments: Sequence[str] = ()
    origin: Origin = "sandbox"
    look: bool = False
    not_seen: Sequence[str] = ()


def judged_by_own_settings(stacks: Path, stack: str, arguments: Sequence[str]) -> list[str]:
    """`arguments` with the policy pack's configuration of one environment, `policies.<environment>.json`.

    Left as they are where there is no such file, where the pack's configuration is named already, and unless one pack
    is named: which of several the file is for is not known here.

    Args:
        stacks: the folder of the stack files.
    """
    named = [argument.partition("=")[0] for argument in arguments]
    own = stacks / f"policies.{stack}.json"
    if named.count("--policy-pack") != 1 or "--policy-pack-config" in named or not own.exists():
        return list(arguments)
    return [*arguments, "--policy-pack-config", str(own)]


def no_settings(stacks: Path, stack: str) -> str:
    """Why `policies.<environment>.json` is no configuration; empty: it is one, or there is none.

    The engine takes an empty file for the pack's defaults, without a word.
    """
    own = stacks / f"policies.{stack}.json"
    if not own.exists():
        return ""
    try:
        found = json.loads(own.read_text(encoding="utf-8"))
    except (OSError, ValueError) as wrong:
        return f"{own} cannot be read as the policy pack's configuration: {str(wrong) or type(wrong).__name__}"
    return "" if isinstance(found, dict) else f"{own} is no configuration of a policy pack: it holds no object"


def not_run(wanted: Wanted, why: str) -> Record:
    """The record of a preview that could not begin, written."""
    record = Record(wanted.stack, Events(), exit_code=1, origin=wanted.origin, messages=[why])
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for left in (*_LEFT, "events.jsonl"):
        (wanted.folder / left).unlink(missing_ok=True)
    write_run(wanted.folder, record)
    return record


def run(wanted: Wanted, say: Callable[[str], None] | None = None) -> Record:
    """Run the preview to its end, whatever that is, and write its record."""
    tell = say or _to_stderr
    folder = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    for left in _LEFT:
        (folder / left).unlink(missing_ok=True)
    looked: list[Live] = []
    looking = threading.Thread(target=lambda: looked.append(read_live()), daemon=True) if wanted.look else None
    if looking is not None:
        looking.start()
    code, lines, messages = _previewed(wanted, tell)
    if looking is not None:
        looking.join()
    record = Record(
        stack=wanted.stack,
        events=read_events(lines),
        exit_code=code,
        origin=wanted.origin,
        messages=messages,
        not_seen=list(wanted.not_seen),
        live=looked[0] if looked else None,
    )
    write_run(folder, record)
    return record


def _previewed(wanted: Wanted, tell: Callable[[str], None]) -> tuple[int, list[str], list[str]]:
    """Exit code, reduced events, and what was said outside of them."""
    command = ["pulumi", "preview", "--json", "--non-interactive", "--stack", wanted.stack, *wanted.arguments]
    variables = {
        **os.environ,
        "PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true",
        "TRAINYARD_POLICY_REPORT": str((wanted.folder / "policy.json").resolve()),
    }
    lines: list[str] = []
    messages: list[str] = []

    def message(text: str) -> None:
        if text.strip() and len(messages) < _MOST_MESSAGES:
            messages.append(scrub(text.rstrip()))
            tell(messages[-1])

    with (wanted.folder / "events.jsonl").open("w", encoding="utf-8") as kept:
        try:
            child = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except OSError as error:
            message(f"pulumi could not be started: {error.strerror or error}")
            return _NOT_STARTED, lines, messages
        with child:
            assert child.stdout is not None  # noqa: S101  a pipe was asked for
            assert child.stderr is not None  # noqa: S101
            errors = threading.Thread(target=_each_line, args=(child.stderr, message), daemon=True)
            errors.start()
            for raw in child.stdout:
                line = raw.decode(errors="replace")
                if not line.lstrip().startswith("{"):
                    message(line)
                elif (event := reduced(line)) is not None:
                    lines.append(event)
                    kept.write(event + "\n")
                    _report(event, tell)
            errors.join()
            code = child.wait()
    return code, lines, messages


def _each_line(pipe: IO[bytes], take: Callable[[str], None]) -> None:
    for line in pipe:
        take(line.decode(errors="replace"))


def _report(event: str, tell: Callable[[str], None]) -> None:
    """Errors and policies go to the log as they come."""
    if event.startswith(('{"diagnosticEvent"', '{"policyEvent"')):
        found: Events = read_events([event])
        for text in (*found.errors, *found.warnings):
            tell(text)
        for one in found.violations:
            tell(f"[{one.level}] {one.policy}: {one.message}")


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
