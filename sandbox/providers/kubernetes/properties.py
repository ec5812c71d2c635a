"""How the engine sends values, and what they are here.

A protobuf Struct becomes a JSON tree whose secrets are wrapped in `Secret` and whose unknown values are `UNKNOWN`;
numbers that are whole become ints, as Kubernetes wants them. Assets stay the objects that the engine sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf import struct_pb2

from sandbox.providers.kubernetes.objects import UNKNOWN, Json

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the wire format's mark, not a secret
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_UNKNOWNS = frozenset(
    {
        _UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_DASHED = (
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
)
_UNDERSCORED = {key.replace("-", "_"): key for key in _DASHED}
_TO_UNDERSCORED = {dashed: underscored for underscored, dashed in _UNDERSCORED.items()}


@dataclass(frozen=True)
class Secret:
    """A value that the engine keeps encrypted."""

    value: Any


def decode(struct: struct_pb2.Struct) -> Json:
    """The JSON tree of a Struct from the engine."""
    return {key: _decode(value) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode(one) for one in value.list_value.values]
        case "struct_value":
            return _special(decode(value.struct_value))
        case _:
            return None


def _special(tree: Json) -> Any:
    match tree.get(_SIGNATURE):
        case mark if mark == _SECRET:
            return Secret(tree.get("value"))
        case mark if mark == _OUTPUT:
            inner = tree.get("value", UNKNOWN)
            return Secret(inner) if tree.get("secret") is True else inner
        case _:
            return tree


def encode(tree: Json) -> struct_pb2.Struct:
    """The Struct that tells the engine this tree."""
    return struct_pb2.Struct(fields={key: _encode(value) for key, value in tree.items()})


def _encode(value: Any) -> struct_pb2.Value:  # noqa: PLR0911  one return per kind of value
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if value is UNKNOWN:
        return struct_pb2.Value(string_value=_UNKNOWN)
    if isinstance(value, Secret):
        if value.value is UNKNOWN:
            return _encode(UNKNOWN)
        return struct_pb2.Value(struct_value=encode({_SIGNATURE: _SECRET, "value": value.value}))
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, int | float):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, dict):
        return struct_pb2.Value(struct_value=encode(cast("Json", value)))
    if isinstance(value, list):
        values = [_encode(one) for one in cast("list[Any]", value)]
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=values))
    return struct_pb2.Value(string_value=str(value))


def plain(value: Any) -> Any:
    """The tree without its secret marks, and with Kubernetes' own spelling of `x-kubernetes-*` keys."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {_UNDERSCORED.get(key, key): plain(one) for key, one in cast("Json", value).items()}
    if isinstance(value, list):
        return [plain(one) for one in cast("list[Any]", value)]
    return value


def underscored(value: Any) -> Any:
    """The tree with Pulumi's spelling of `x-kubernetes-*` keys."""
    if isinstance(value, dict):
        return {_TO_UNDERSCORED.get(key, key): underscored(one) for key, one in cast("Json", value).items()}
    if isinstance(value, list):
        return [underscored(one) for one in cast("list[Any]", value)]
    return value


def contains_secret(value: Any) -> bool:
    """Whether a secret is anywhere in the tree."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(contains_secret(one) for one in cast("Json", value).values())
    return isinstance(value, list) and any(contains_secret(one) for one in cast("list[Any]", value))


def mark_secrets(outputs: Json, inputs: Any) -> None:
    """Mark in `outputs`, in place, what is secret in `inputs`, and every Secret's data.

    Objects are gone into; an array of which any part was secret is secret as a whole, as its order may differ.
    """
    if outputs.get("kind") == "Secret":
        for key in ("data", "stringData"):
            if key in outputs and not isinstance(outputs[key], Secret):
                outputs[key] = Secret(outputs[key])
        return
    if not isinstance(inputs, dict):
        return
    for key, given in cast("Json", inputs).items():
        if key not in outputs:
            continue
        if isinstance(outputs[key], dict) and isinstance(given, dict):
            mark_secrets(outputs[key], given)
        elif not isinstance(outputs[key], Secret) and contains_secret(given):
            outputs[key] = Secret(outputs[key])
