"""The record of one environment's preview: a folder that holds all that a comment is made of.

Owns the folder's files and their limits. A record may come from a run that nobody trusts (a fork's): it is read as
data, within bounds, and what does not fit is left out.

Files: `run.json` (stack, exit code, origin, messages), `events.jsonl` (reduced events), `live.json`, `policy.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from preview.events import Events, read_events
from preview.live import Live, live_from
from preview.redact import redact, scrub

Origin = Literal["sandbox", "azure", "file"]
MOST_BYTES = 64 * 2**20
"""Of a record's events: 1,000 resources have about 4 MB."""

_MOST_MESSAGES = 100
_STACK = re.compile(r"^[A-Za-z0-9._-]{1,100}$")


class RecordError(Exception):
    """A folder is no record; the message says why."""


@dataclass(slots=True)
class Record:
    """One environment's preview.

    Attributes:
        stack: the environment.
        exit_code: Pulumi's; None where only events are known.
        origin: where it ran.
        messages: what Pulumi said outside of its events.
        not_seen: what this preview could not look at, in sentences.
        live: what runs now; None where nobody looked.
        policy: the pack's own report, as it wrote it; None without.
    """

    stack: str
    events: Events
    exit_code: int | None = None
    origin: Origin = "file"
    messages: list[str] = field(default_factory=list[str])
    not_seen: list[str] = field(default_factory=list[str])
    live: Live | None = None
    policy: Mapping[str, Any] | None = None

    @property
    def failed(self) -> bool:
        """Whether the preview did not succeed; one that was cut off did not."""
        if self.exit_code is not None:
            return self.exit_code != 0
        return self.events.result != "succeeded"


def write_run(folder: Path, record: Record) -> None:
    """Write everything but the events, which are written while they come."""
    run = {
        "stack": record.stack,
        "exitCode": record.exit_code,
        "origin": record.origin,
        "messages": record.messages,
        "notSeen": record.not_seen,
    }
    (folder / "run.json").write_text(json.dumps(redact(run), indent=1) + "\n")
    if record.live is not None:
        (folder / "live.json").write_text(json.dumps(record.live.written(), indent=1) + "\n")


def read_record(path: Path) -> Record:
    """A record from its folder, or from a file of events alone.

    Raises:
        RecordError: there is no such thing, it is too large, or it is none of ours.
    """
    if path.is_symlink():
        raise RecordError(f"{path}: is a link")
    if path.is_dir():
        run = _json(path / "run.json")
        if not isinstance(run, dict):
            raise RecordError(f"{path}: has no run.json with an object in it")
        return _record(path, cast("dict[str, Any]", run))
    lines = _lines(path)
    stack = next((found[1] for line in lines if (found := re.search(r'"urn:pulumi:([^:"]{1,100})::', line))), path.stem)
    return Record(stack=stack if _STACK.match(stack) else "unnamed", events=read_events(lines))


def _record(folder: Path, run: Mapping[str, Any]) -> Record:
    stack, code, origin = run.get("stack"), run.get("exitCode"), run.get("origin")
    if not isinstance(stack, str) or not _STACK.match(stack):
        raise RecordError(f"{folder}/run.json: stack is {stack!r:.60}, no name of a stack")
    events = folder / "events.jsonl"
    live, policy = _json(folder / "live.json"), _json(folder / "policy.json")
    return Record(
        stack=stack,
        events=read_events(_lines(events) if events.exists() else []),
        exit_code=code if isinstance(code, int) else None,
        origin=cast("Origin", origin) if origin in ("sandbox", "azure") else "file",
        messages=_texts(run.get("messages")),
        not_seen=_texts(run.get("notSeen")),
        live=live_from(live),
        policy=cast("dict[str, Any]", redact(policy)) if isinstance(policy, dict) else None,
    )


def _texts(value: Any) -> list[str]:
    listed = cast("list[Any]", value) if isinstance(value, list) else []
    return [scrub(one) for one in listed[:_MOST_MESSAGES] if isinstance(one, str)]


def _lines(path: Path) -> list[str]:
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            raise RecordError(f"{path}: is a link, or has more than {MOST_BYTES} bytes")
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror})") from None


def _json(path: Path) -> Any:
    """What a file holds; None where there is none, or no JSON in it."""
    if not path.exists():
        return None
    try:
        return json.loads("\n".join(_lines(path)))
    except (ValueError, RecursionError):
        return None
