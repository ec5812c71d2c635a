"""From the engine's steps to what changes: one entry a resource, with the properties that really differ.

Owns what counts as no change: the order of tags and of other sets, machine counts that an autoscaler keeps, and what
Azure fills in by itself. The provider's word decides how a resource changes; its inputs say what of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from preview.events import ROOT, Step
from preview.redact import COMPUTED, HIDDEN

Kind = Literal["create", "update", "replace", "delete"]
KINDS: tuple[Kind, ...] = ("replace", "delete", "update", "create")
_OPS: Mapping[str, Kind] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
    "discard-replaced": "replace",
    "remove-pending-replace": "replace",
    "delete": "delete",
}
AGENT_POOL = "azure-native:containerservice:AgentPool"
CLUSTER = "azure-native:containerservice:ManagedCluster"
ABSENT = object()
"""A property that is not there."""

_SETS = re.compile(
    r"(?i)(^|\.)(tags|zones|availabilityZones|nodeTaints|authorizedIPRanges|adminGroupObjectIDs|addressPrefixes|"
    r"groupIds|dnsServers|finalizers|accessModes|mountOptions|publicIpAddresses|subnets|securityRules|"
    r"userAssignedIdentities|notActions|dataActions|actions|assignableScopes)$"
)
"""Lists whose order means nothing to Azure."""

_FILLED_IN: Mapping[str, re.Pattern[str]] = {
    CLUSTER: re.compile(r"^agentPoolProfiles\b"),
    "azure-native:network:PublicIPAddress": re.compile(r"^natGateway\b"),
}
"""What Azure adds to a resource from others, by type: after a refresh it shows as a difference of nobody's making."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One property that differs; `ABSENT` where a side has none.

    Attributes:
        forces: whether it makes the resource be replaced.
    """

    path: str
    before: Any
    after: Any
    forces: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one resource.

    Attributes:
        component: type and name of the component of ours that it belongs to.
        old, new: inputs before and after; None where there is none.
        retained: whether Azure keeps it when the stack forgets it.
    """

    kind: Kind
    urn: str
    type: str
    name: str
    component: tuple[str, str]
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    differences: tuple[Difference, ...]
    retained: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """All of a preview.

    Attributes:
        listed: replacements first, then deletions, updates, creations.
        unchanged: resources that stay as they are.
        quiet: resources whose only difference means nothing, with what it is.
    """

    listed: tuple[Change, ...]
    unchanged: int
    quiet: tuple[tuple[str, str], ...]

    def of(self, kind: Kind) -> list[Change]:
        """Those of one kind."""
        return [change for change in self.listed if change.kind == kind]


def find_changes(steps: Sequence[Step]) -> Changes:
    """Everything that the steps change, one entry a resource."""
    by_urn: dict[str, list[Step]] = {}
    for step in steps:
        by_urn.setdefault(step.urn, []).append(step)
    parents = {step.urn: step.parent for step in steps}
    listed: list[Change] = []
    quiet: list[tuple[str, str]] = []
    unchanged = 0
    for urn, own in by_urn.items():
        kind = _kind(own)
        if kind is None:
            unchanged += 1
            continue
        change = _change(kind, own, _component(urn, parents))
        why = _nothing(change, own[-1]) if kind == "update" else None
        if why is None:
            listed.append(change)
        else:
            unchanged += 1
            quiet.append((change.name, why))
    listed.sort(key=lambda one: KINDS.index(one.kind))
    return Changes(tuple(listed), unchanged, tuple(quiet))


def _kind(steps: Sequence[Step]) -> Kind | None:
    kinds = {_OPS[step.op] for step in steps if step.op in _OPS}
    return "replace" if "replace" in kinds else next((kind for kind in KINDS if kind in kinds), None)


def _change(kind: Kind, steps: Sequence[Step], component: tuple[str, str]) -> Change:
    last = steps[-1]
    old = next((step.old for step in steps if step.old is not None), None)
    new = None if kind == "delete" else next((step.new for step in reversed(steps) if step.new is not None), None)
    forcing = [key for step in steps for key in step.keys]
    found = tuple(
        Difference(one.path, one.before, one.after, any(_below(one.path, key) for key in forcing))
        for one in _differences(old or {}, new or {}, "")
        if not _keeps_itself(last.type, one.path, old or {}, new or {})
    )
    return Change(
        kind,
        last.urn,
        last.type,
        last.name,
        component,
        old,
        new,
        found if kind in ("update", "replace") else (),
        any(step.retained for step in steps),
    )


def _nothing(change: Change, step: Step) -> str | None:
    """Why an update means nothing; None where it means something."""
    if change.differences:
        return None
    said = [path for path in step.diff if not _keeps_itself(change.type, path, change.old or {}, change.new or {})]
    filled = _FILLED_IN.get(change.type)
    drifted = [path for path in said if not (filled and filled.search(path))]
    if change.old == change.new and drifted:
        # The inputs are the same, so what runs has moved away from them, and the update puts it back.
        return None if not all(_SETS.search(re.sub(r"\[\d+\].*$", "", path)) for path in drifted) else "order only"
    if said and not drifted:
        return "filled in by Azure"
    return (
        "machines that the autoscaler keeps" if change.type == AGENT_POOL and not said and step.diff else "order only"
    )


def _keeps_itself(type_: str, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a property is an autoscaler's to change."""
    if type_ != AGENT_POOL or path != "count":
        return False
    scaled = [_scaled(side) for side in (old, new) if side]
    return bool(scaled) and all(scaled)


def _scaled(inputs: Mapping[str, Any]) -> bool:
    tags = inputs.get("tags")
    return inputs.get("enableAutoScaling") is True or (isinstance(tags, dict) and "cluster-autoscaler-enabled" in tags)


def _differences(old: Any, new: Any, path: str) -> Iterator[Difference]:
    """Each property in which two values differ, as deep as both are alike."""
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", new)
        for key in sorted({*before, *after}):
            if key not in ("__defaults", "__internal", "__inputs"):
                inner = f"{path}.{key}" if path and re.fullmatch(r"\w+", key) else f'{path}["{key}"]' if path else key
                yield from _differences(before.get(key, ABSENT), after.get(key, ABSENT), inner)
    elif isinstance(old, list) and isinstance(new, list):
        before_list, after_list = cast("list[Any]", old), cast("list[Any]", new)
        if _SETS.search(path) and sorted(map(repr, before_list)) == sorted(map(repr, after_list)):
            return
        if len(before_list) == len(after_list):
            for index, pair in enumerate(zip(before_list, after_list, strict=True)):
                yield from _differences(*pair, f"{path}[{index}]")
        else:
            yield Difference(path, before_list, after_list)
    elif not _same(old, new):
        yield Difference(path, old, new)


def _same(old: Any, new: Any) -> bool:
    """Whether two plain values are one: 1 and 1.0 are, an empty list and none are, 1 and true are not."""
    if isinstance(old, bool) != isinstance(new, bool):
        return False
    return (_is_nothing(old) and _is_nothing(new)) or bool(old == new)


def _is_nothing(value: Any) -> bool:
    return value is ABSENT or value is None or value in ([], {})


def _below(path: str, key: str) -> bool:
    return path == key or path.startswith((f"{key}.", f"{key}["))


def _component(urn: str, parents: Mapping[str, str]) -> tuple[str, str]:
    """The component below the program's own root that a resource hangs under; its own type where there is none."""
    chain = [urn]
    while (above := parents.get(chain[-1])) and above not in chain:
        chain.append(above)
    ours = [one for one in chain if not _type(one).startswith((ROOT, "azure-native:", "kubernetes:", "pulumi:"))]
    if not ours:
        return ("the stack itself" if _type(urn) == ROOT else _type(urn), _name(urn))
    if len(ours) == 1 and ours[0] == urn:
        return ("the stack itself", _name(urn))
    chosen = ours[-2] if len(ours) > 1 else ours[-1]
    return (_type(chosen).rpartition(":")[2], _name(chosen))


def _type(urn: str) -> str:
    parts = urn.split("::", 3)
    return parts[2].rpartition("$")[2] if len(parts) == 4 else ""


def _name(urn: str) -> str:
    return urn.split("::", 3)[-1]


def shown(value: Any) -> str:
    """A value in a diff: short, on one line."""
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{key}: {shown(one)}" for key, one in inner.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(shown(one) for one in cast("list[Any]", value)) + "]"
    if isinstance(value, str):
        return value if value in (COMPUTED, HIDDEN) else f'"{value}"'
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "nothing" if value is ABSENT or value is None else str(value).lower()
