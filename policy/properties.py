"""A resource's properties as a rule reads them, and what a preview cannot know yet.

Owns the reading of what the engine sends. In a preview a value that another resource will only have once it is made is
unknown; the engine sends a marker in its place. Touching one raises `UnknownValueError`, so that a rule can neither
take it for a value nor for an absent one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, cast

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105  the engine's mark of a secret, not one
_UNKNOWN_MARKS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""What the engine sends for unknown values: pulumi/sdk/go/common/resource/plugin/rpc.go."""


class _Unknown:
    """The one value that stands for what a preview cannot know."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
Network = IPv4Network | IPv6Network
_MOST = 2**53
"""The largest whole number that the engine's message holds."""


class UnknownValueError(Exception):
    """A rule needs a value that only the deployment will give.

    Args:
        path: the property, `networkProfile.podCidr`.
    """

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is known only once the deployment runs")
        self.path = path


class UnverifiedError(Exception):
    """A rule cannot be judged; the message says what could not be read, and what to do about it."""


def plain(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The engine's message as plain values: secrets opened, numbers whole where they are, unknown ones `UNKNOWN`."""
    return {key: _value(value) for key, value in struct.fields.items()}


def _value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value in _UNKNOWN_MARKS else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_value(one) for one in value.list_value.values]
    if kind == "struct_value":
        found = plain(value.struct_value)
        return found.get("value") if found.get(_SIGNATURE) == _SECRET else found
    return None


def _known(value: Any) -> Any:
    """A copy without what is unknown."""
    if isinstance(value, Mapping):
        pairs = cast(Mapping[str, Any], value).items()
        return {key: _known(one) for key, one in pairs if one is not UNKNOWN}
    if isinstance(value, list):
        return [_known(one) for one in cast(list[Any], value) if one is not UNKNOWN]
    return value


def as_flag(value: Any) -> Any:
    """`true` and `false` in text as what Azure takes them for; anything else as it is."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


class Properties:
    """Reads nested values by their path, `upgradeSettings.maxSurge`.

    Args:
        values: as `plain` gives them.
        within: the path that leads here, for messages.
    """

    def __init__(self, values: Mapping[str, Any], within: str = "") -> None:
        self._values = values
        self._within = within

    def __bool__(self) -> bool:
        return bool(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def plain(self) -> dict[str, Any]:
        """Everything that is known, as plain values; what is not is left out."""
        return cast(dict[str, Any], _known(self._values))

    def raw(self, path: str) -> Any:
        """The value, None where it is absent, `UNKNOWN` where it or what it lies in is not known yet."""
        found: Any = self._values
        for part in path.split("."):
            if found is UNKNOWN:
                return UNKNOWN
            if not isinstance(found, Mapping):
                return None
            found = cast(Mapping[str, Any], found).get(part)
        return found

    def get(self, path: str) -> Any:
        """The value, None where it is absent.

        Raises:
            UnknownValueError: it is not known yet.
        """
        found = self.raw(path)
        if found is UNKNOWN:
            raise UnknownValueError(self._path(path))
        return found

    def known(self, path: str) -> Any:
        """The value, None where it is absent or not known yet."""
        found = self.raw(path)
        return None if found is UNKNOWN else found

    def text(self, path: str) -> str | None:
        """The same for text; anything else as text."""
        found = self.get(path)
        return None if found is None else str(found)

    def number(self, path: str) -> int | None:
        """A whole number, None where it is absent or none."""
        found = self.get(path)
        if isinstance(found, str) and found.strip().isdecimal():
            return int(found)
        known = isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < _MOST
        return int(found) if known else None

    def network(self, path: str) -> Network | None:
        """A range of addresses, None where it is absent; raises `UnverifiedError` where it is none."""
        found = self.get(path)
        return None if found is None else self._network(path, str(found))

    def networks(self, path: str) -> list[Network]:
        """A list of ranges of addresses; raises as `network` does."""
        return [self._network(path, one) for one in self.texts(path)]

    def _network(self, path: str, found: str) -> Network:
        try:
            return ip_network(found, strict=False)
        except ValueError as wrong:
            raise UnverifiedError(f"{self._path(path)} is {found!r:.60}, no range of addresses: mend it") from wrong

    def flag(self, path: str) -> bool | None:
        """True or false, None where it is absent or neither."""
        found = as_flag(self.get(path))
        return found if isinstance(found, bool) else None

    def section(self, path: str) -> Properties:
        """An object, empty where it is absent."""
        found = self.get(path)
        values = cast(Mapping[str, Any], found if isinstance(found, Mapping) else {})
        return Properties(values, self._path(path))

    def texts(self, path: str) -> list[str]:
        """A list of texts, empty where it is absent."""
        return [str(one) for one in self._items(path)]

    def sections(self, path: str) -> Iterator[Properties]:
        """A list's objects, none where it is absent; what is not known yet comes last, as `UnknownValueError`."""
        found = self.get(path)
        items = list(cast(Sequence[Any], found)) if isinstance(found, Sequence) and not isinstance(found, str) else []
        for index, one in enumerate(items):
            if isinstance(one, Mapping):
                yield Properties(cast(Mapping[str, Any], one), f"{self._path(path)}[{index}]")
        if UNKNOWN in items:
            raise UnknownValueError(f"{self._path(path)}[{items.index(UNKNOWN)}]")

    def mapping(self, path: str) -> dict[str, Any]:
        """An object's keys and values; values may be `UNKNOWN`."""
        found = self.get(path)
        return dict(cast(Mapping[str, Any], found)) if isinstance(found, Mapping) else {}

    def _items(self, path: str) -> list[Any]:
        found = self.get(path)
        if not isinstance(found, Sequence) or isinstance(found, str):
            return []
        items = list(cast(Sequence[Any], found))
        for index, one in enumerate(items):
            if one is UNKNOWN:
                raise UnknownValueError(f"{self._path(path)}[{index}]")
        return items

    def _path(self, path: str) -> str:
        return f"{self._within}.{path}" if self._within else path
