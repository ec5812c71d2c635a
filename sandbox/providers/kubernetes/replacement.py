"""Which changed fields replace an object rather than update it.

The table is data (`data/replacement.yaml`); what depends on an object's own fields or on settings is here.
"""

from __future__ import annotations

import re
from typing import Any

from sandbox.providers.kubernetes.objects import Json, Kind, as_list, as_map, table

Path = tuple[str | int, ...]
"""Keys and indices from the root of an object to a value; `"*"` in a rule is any index."""

IDENTITY: tuple[Path, ...] = (("metadata", "name"), ("metadata", "namespace"))
_PART = re.compile(r"\[(\*|\d+|\"(?:[^\"\\]|\\.)*\")\]|\.?([^.\[\]]+)")


def parse_path(written: str) -> Path:
    r"""Take apart a path as the engine and `ignore_changes` write it.

    >>> parse_path('spec.containers[0].env[*]["a.b"]')
    ('spec', 'containers', 0, 'env', '*', 'a.b')
    """
    parts: list[str | int] = []
    for match in _PART.finditer(written):
        bracketed, plain = match.group(1), match.group(2)
        if plain is not None:
            parts.append(plain)
        elif bracketed.isdigit():
            parts.append(int(bracketed))
        else:
            parts.append(bracketed.strip('"').replace('\\"', '"'))
    return tuple(parts)


def write_path(path: Path) -> str:
    """The engine's way to write a path; the reverse of `parse_path`."""
    written = ""
    for part in path:
        if isinstance(part, int):
            written += f"[{part}]"
        elif any(mark in part for mark in '."[]'):
            escaped = part.replace('"', '\\"')
            written += f'["{escaped}"]'
        else:
            written += f".{part}" if written else part
    return written


def covers(rule: Path, path: Path) -> bool:
    """Whether the rule names the path or something above it."""
    return len(rule) <= len(path) and all(a in (b, "*") for a, b in zip(rule, path, strict=False))


def touches(rule: Path, path: Path, new: Any) -> bool:
    """Whether a change at the path, to the value `new`, changes what the rule names.

    It does at the rule's path and below it; above it only where `new` has something at the rule's path.
    """
    if len(rule) <= len(path):
        return covers(rule, path)
    return covers(rule[: len(path)], path) and _holds(new, rule[len(path) :])


def _holds(value: Any, path: Path) -> bool:
    if not path:
        return True
    if path[0] == "*":
        return any(_holds(one, path[1:]) for one in as_list(value))
    return path[0] in as_map(value) and _holds(as_map(value)[path[0]], path[1:])


def replacing_paths(obj: Json, *, mutable_config_maps: bool, mutable_secrets: bool) -> tuple[Path, ...]:
    """The rules for an object: a change that touches one of them replaces it."""
    kind = Kind.of(obj)
    immutable = obj.get("immutable") is True
    fields: list[str] = table("replacement.yaml").get(str(kind), [])
    if str(kind) == "v1/Secret" and (not mutable_secrets or immutable):
        fields = ["type", "stringData", "data"]
    elif str(kind) == "v1/ConfigMap" and (not mutable_config_maps or immutable):
        fields = ["binaryData", "data"]
    return (*IDENTITY, *map(parse_path, fields))
