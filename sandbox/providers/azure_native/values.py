"""Property values as the engine writes them into protobuf, and back.

Secrets are taken out of their envelopes: like the real provider this one does not accept them, and the engine
marks outputs as secret where an input of that name was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

Properties = dict[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Stands for a value that is not known before the deployment."""

_UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # of a bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # of a number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # of a list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # of an asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # of an archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # of an object
    }
)
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's constant, no secret
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"


def from_struct(struct: Struct) -> Properties:
    """Plain values; nulls left out, secrets and outputs opened, whole numbers as int."""
    return cast(Properties, _plain(json_format.MessageToDict(struct)))


def to_struct(values: Mapping[str, Any]) -> Struct:
    """The protobuf form of plain values, `UNKNOWN` among them."""
    return json_format.ParseDict(dict(values), Struct())


def is_unknown(value: object) -> bool:
    """Whether this is the mark of a value not known yet."""
    return isinstance(value, str) and value in _UNKNOWNS


def has_unknowns(value: object) -> bool:
    """Whether an unknown lies anywhere within."""
    if isinstance(value, dict):
        return any(has_unknowns(one) for one in cast(Properties, value).values())
    if isinstance(value, list):
        return any(has_unknowns(one) for one in cast(list[object], value))
    return is_unknown(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        mapping = cast(Properties, value)
        signature = mapping.get(_SIGNATURE)
        if signature in (_SECRET, _OUTPUT):
            return _plain(mapping.get("value", UNKNOWN))
        if signature == _RESOURCE:
            return _plain(mapping.get("id", UNKNOWN))
        return {name: _plain(one) for name, one in mapping.items() if one is not None}
    if isinstance(value, list):
        return [_plain(one) for one in cast(list[Any], value)]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if is_unknown(value) else value
