"""What a change of inputs does to a resource: nothing, an update or a replacement.

Replacements are where the real provider makes them: its path parameters, and the properties of
`replacement.json`, taken from pulumi-azure-native's `provider/pkg/gen/replacement.go` (3.29) and from what the
ARM specifications of our API versions mark as create-only (`x-ms-mutability`). Everything else is sent to Azure as
an update, also what Azure will refuse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from arm.ids import arm_type

Kind = Literal["add", "delete", "update"]
PathStep = str | int
PropertyPath = tuple[PathStep, ...]

CREATE_BEFORE_DELETE = "__createBeforeDelete"
"""Set among the inputs when the name was made up: the new one cannot collide with the old."""

_PLAIN_KEY = re.compile(r"[A-Za-z_$][\w$/-]*")
_SKU_NAMES = {"Basic": "Base"}
_SKU_TIERS = {"Paid": "Standard"}


@dataclass(frozen=True)
class Change:
    """One property that differs.

    Attributes:
        path: steps from the top, numbers for places in a list.
        replaces: the resource has to be made anew for it.
    """

    path: PropertyPath
    kind: Kind
    replaces: bool

    @property
    def key(self) -> str:
        """The path as the engine writes it: `tags["a.b"]`, `subnets[0].name`."""
        return _written(self.path)


def changes(token: str, old: Mapping[str, Any], new: Mapping[str, Any], ignored: Sequence[str] = ()) -> list[Change]:
    """All differences between two sets of inputs of a resource.

    Args:
        ignored: property paths to leave out, as the program's `ignore_changes` gives them. The engine has applied
            them already where a program ran; in a refresh it leaves them to the provider.
    """
    replacing = _replacing(token)
    hidden = [_steps(path) for path in ignored]
    return [
        Change(path, kind, _replaces(path, replacing))
        for path, kind in _differences(_normal(old), _normal(new), ())
        if not any(_covers(prefix, path) for prefix in hidden)
    ]


def carry_over(inputs: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with what changed remotely applied to them.

    A service fills many properties that a program left open, and none of those may show as a difference: so only
    what differs between the outputs of last time and of now, both cut down to what can be an input, is applied.

    Args:
        inputs: of the state.
        before, now: outputs in the form of inputs.
    """
    result = {name: value for name, value in inputs.items() if name in now or name not in before}
    for name, value in now.items():
        if name not in before:
            result[name] = value
        elif before[name] != value:
            result[name] = _carried(result[name], before[name], value) if name in result else value
    return result


def _carried(value: Any, before: Any, now: Any) -> Any:
    if isinstance(value, dict) and isinstance(before, dict) and isinstance(now, dict):
        return carry_over(cast(dict[str, Any], value), cast(dict[str, Any], before), cast(dict[str, Any], now))
    if isinstance(value, list) and isinstance(before, list) and isinstance(now, list):
        mine, old, new = cast(list[Any], value), cast(list[Any], before), cast(list[Any], now)
        both = min(len(mine), len(old))
        return [
            one if index >= both else mine[index] if old[index] == one else _carried(mine[index], old[index], one)
            for index, one in enumerate(new)
        ]
    return now


@cache
def _replacing(token: str) -> frozenset[str]:
    table: dict[str, list[str]] = json.loads(Path(__file__).with_name("replacement.json").read_text())
    return frozenset({*arm_type(token).parameters, *table.get(arm_type(token).token, ())})


def _replaces(path: PropertyPath, replacing: frozenset[str]) -> bool:
    """Whether the property at the path, or one that it lies in, cannot change in place."""
    names = [step for step in path if isinstance(step, str)]
    return any(".".join(names[:length]) in replacing for length in range(1, len(names) + 1))


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], base: PropertyPath
) -> Iterator[tuple[PropertyPath, Kind]]:
    for name in sorted({*old, *new}):
        if name.startswith("__"):
            continue
        path = (*base, name)
        if name not in new:
            yield path, "delete"
        elif name not in old:
            yield path, "add"
        else:
            yield from _value_differences(old[name], new[name], path)


def _value_differences(old: Any, new: Any, path: PropertyPath) -> Iterator[tuple[PropertyPath, Kind]]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _differences(cast(dict[str, Any], old), cast(dict[str, Any], new), path)
    elif isinstance(old, list) and isinstance(new, list):
        before, after = cast(list[Any], old), cast(list[Any], new)
        for index, (one, other) in enumerate(zip(before, after, strict=False)):
            yield from _value_differences(one, other, (*path, index))
        for index in range(len(before), len(after)):
            yield (*path, index), "add"
        for index in range(len(after), len(before)):
            yield (*path, index), "delete"
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, "update"


def _normal(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs with what Azure reads as one written in one way: locations, groups' names, AKS's old SKU words."""
    normal = dict(inputs)
    if isinstance(location := normal.get("location"), str):
        normal["location"] = location.replace(" ", "").lower()
    if isinstance(group := normal.get("resourceGroupName"), str):
        normal["resourceGroupName"] = group.lower()
    sku = cast(dict[str, Any], normal.get("sku")) if isinstance(normal.get("sku"), dict) else {}
    if set(sku) == {"name", "tier"}:
        name, tier = str(sku["name"]), str(sku["tier"])
        normal["sku"] = {"name": _SKU_NAMES.get(name, name), "tier": _SKU_TIERS.get(tier, tier)}
    return normal


def _written(path: PropertyPath) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            escaped = step.replace("\\", "\\\\").replace('"', '\\"')
            text += f'["{escaped}"]'
    return text


def _steps(path: str) -> PropertyPath:
    """A written path taken apart; `[*]` and `*` stay as they are."""
    found: list[PathStep] = []
    for name, quoted, place in re.findall(r'([^.\[\]]+)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]', path):
        if place:
            found.append(place if place == "*" else int(place))
        else:
            found.append(name or quoted.replace('\\"', '"').replace("\\\\", "\\"))
    return tuple(found)


def _covers(prefix: PropertyPath, path: PropertyPath) -> bool:
    return len(prefix) <= len(path) and all(wanted in ("*", step) for wanted, step in zip(prefix, path, strict=False))
