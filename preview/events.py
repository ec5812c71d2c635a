"""What the engine reported of one preview.

Owns the reading of engine events, one JSON object a line, as `PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true pulumi preview
--json` and `--event-log` write them. Never raises for what a line says: a preview that broke is what it is for.
Everything kept here is already free of secrets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from preview.redact import HIDDEN, redact, scrub

KEPT_EVENTS = ("preludeEvent", "resourcePreEvent", "diagnosticEvent", "policyEvent", "summaryEvent")
ROOT = "pulumi:pulumi:Stack"
_MOST_DIAGNOSTICS = 400
_PREFIX = "trainyard:"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing the engine would do to one resource.

    Attributes:
        op: the engine's word: create, update, delete, same, replace, create-replacement, delete-replaced, read, …
        urn, type, name, parent: of the resource; `parent` is a URN.
        old, new: inputs before and after; None where there is none.
        keys: properties that force a replacement.
        diff: property path to what kind of difference the provider says it is; empty where it does not say.
        retained: whether Azure keeps it when the stack forgets it.
    """

    op: str
    urn: str
    type: str
    name: str
    parent: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    keys: tuple[str, ...]
    diff: Mapping[str, str]
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a policy says.

    Attributes:
        level: mandatory, advisory, remediate.
    """

    policy: str
    pack: str
    level: str
    message: str
    resource: str


@dataclass(slots=True)
class Events:
    """One preview.

    Attributes:
        steps: in the engine's order, one for each resource and op.
        errors, warnings: what the engine and the program said, each message once.
        violations: of policies.
        result: the engine's own word at the end, `succeeded` or `failed`; None: it did not get there.
        packs: policy packs that ran, with their versions.
        config: `trainyard:` keys without their prefix, parsed; secret ones hidden.
        noise: lines that are no events, as a shell's or the engine's own messages.
    """

    steps: list[Step] = field(default_factory=list[Step])
    errors: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    violations: list[Violation] = field(default_factory=list[Violation])
    result: str | None = None
    packs: dict[str, str] = field(default_factory=dict[str, str])
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    noise: list[str] = field(default_factory=list[str])


def read_events(lines: Iterable[str]) -> Events:
    """The preview that some lines tell of."""
    found = Events()
    for line in lines:
        text = line.strip()
        if not text:
            continue
        event = _parsed(text)
        if event is None:
            found.noise.append(scrub(text))
        else:
            _add(found, event)
    return found


def reduced(line: str) -> str | None:
    """A line as it may be kept and handed on: only what a comment is made of, without secrets; None: nothing of it.

    Outputs are left out altogether: no part of a comment needs them, and they hold what deployments produce.
    """
    event = _parsed(line)
    kept = next((name for name in KEPT_EVENTS if event and name in event), None)
    if event is None or kept is None:
        return None
    body = _mapping(event[kept])
    if kept == "resourcePreEvent":
        metadata = dict(_mapping(body.get("metadata")))
        for side in ("old", "new"):
            state = _mapping(metadata.get(side))
            metadata[side] = {key: state[key] for key in _STATE if key in state} if state else None
        body = {"metadata": metadata}
    return json.dumps({kept: redact(body)}, separators=(",", ":"))


_STATE = ("type", "urn", "custom", "parent", "inputs", "retainOnDelete", "protect")


def _parsed(text: str) -> dict[str, Any] | None:
    """An engine event, or None."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", event) if isinstance(event, dict) else None


def _add(found: Events, event: dict[str, Any]) -> None:
    if "resourcePreEvent" in event:
        _add_step(found, _mapping(_mapping(event["resourcePreEvent"]).get("metadata")))
    elif "diagnosticEvent" in event:
        _add_diagnostic(found, _mapping(event["diagnosticEvent"]))
    elif "policyEvent" in event:
        body = _mapping(event["policyEvent"])
        found.violations.append(
            Violation(
                policy=_text(body, "policyName"),
                pack=_text(body, "policyPackName"),
                level=_text(body, "enforcementLevel") or "advisory",
                message=scrub(_text(body, "message").strip()),
                resource=_text(body, "resourceUrn"),
            )
        )
    elif "summaryEvent" in event:
        body = _mapping(event["summaryEvent"])
        found.result = _text(body, "result") or None
        found.packs = {name: str(version) for name, version in _mapping(body.get("PolicyPacks")).items()}
    elif "preludeEvent" in event:
        config = _mapping(_mapping(event["preludeEvent"]).get("config"))
        found.config = {
            key.removeprefix(_PREFIX): redact(_value(value), key)
            for key, value in config.items()
            if key.startswith(_PREFIX)
        }


def _add_step(found: Events, body: Mapping[str, Any]) -> None:
    old, new = _mapping(body.get("old")), _mapping(body.get("new"))
    urn = _text(body, "urn")
    type_, name = _type_and_name(urn)
    details = _mapping(body.get("detailedDiff"))
    diff = {path: _text(_mapping(kind), "diffKind") for path, kind in details.items()}
    if not diff:
        diff = dict.fromkeys(_texts(body.get("diffs")), "update")
    found.steps.append(
        Step(
            op=_text(body, "op"),
            urn=urn,
            type=_text(body, "type") or type_,
            name=name,
            parent=_text(new, "parent") or _text(old, "parent"),
            old=_inputs(old) if old else None,
            new=_inputs(new) if new else None,
            keys=_texts(body.get("keys")),
            diff=diff,
            retained=old.get("retainOnDelete") is True,
        )
    )


def _inputs(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A resource's inputs without secrets; all of them may be one."""
    found = redact(state.get("inputs") or {})
    return _mapping(found) if isinstance(found, dict) else {"inputs": HIDDEN}


def _add_diagnostic(found: Events, body: Mapping[str, Any]) -> None:
    severity = _text(body, "severity")
    message = scrub(_text(body, "message").strip())
    said = found.errors if severity in ("error", "info#err") else found.warnings if severity == "warning" else None
    if said is not None and message and message not in said and len(said) < _MOST_DIAGNOSTICS:
        said.append(message)


def _value(value: Any) -> Any:
    """A config value: mappings and lists come as JSON text."""
    if isinstance(value, str) and value[:1] in "{[":
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _type_and_name(urn: str) -> tuple[str, str]:
    """`urn:pulumi:STACK::PROJECT::PARENTS$TYPE::NAME`; the name may hold anything."""
    parts = urn.split("::", 3)
    return (parts[2].rpartition("$")[2], parts[3]) if len(parts) == 4 else ("", urn)


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _texts(value: Any) -> tuple[str, ...]:
    """A list's texts; what is no list has none."""
    return tuple(str(one) for one in cast("list[Any]", value)) if isinstance(value, list) else ()


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""
