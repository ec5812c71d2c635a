"""The Resource Manager id of a resource that a program declares.

Owns the table `types.json`: for each azure-native type its ARM type, path, API version (the one that the SDK's
class documents) and how a name left out is made up. Path parameters carry the names of the SDK's inputs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote

AutoName = Literal["random", "uuid", "copy"]

_PARAMETER = re.compile(r"{(\w+)}")
_SUBSCRIPTION = "subscriptionId"
_SCOPE = "scope"


class UnknownTypeError(LookupError):
    """A type that `types.json` does not hold."""


class IncompleteInputsError(ValueError):
    """Inputs that do not say where the resource lies: a path parameter is missing, unknown or no text."""


@dataclass(frozen=True)
class ArmType:
    """How one azure-native type is addressed.

    Attributes:
        token: `azure-native:network:Subnet`.
        type: `Microsoft.Network/virtualNetworks/subnets`.
        path: the id with inputs in braces, `/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/…`.
        api_version: sent as `api-version`.
        auto_name: how a missing name is made: the resource's logical name and 8 random hex digits, a UUID, the
            logical name itself; None: the name must be given.
    """

    token: str
    type: str
    path: str
    api_version: str
    auto_name: AutoName | None

    @property
    def parameters(self) -> tuple[str, ...]:
        """The inputs that the id is made of, in order, without the subscription."""
        return tuple(name for name in _PARAMETER.findall(self.path) if name != _SUBSCRIPTION)

    @property
    def name_parameter(self) -> str:
        """The input that names the resource itself."""
        return self.parameters[-1]

    @property
    def is_extension(self) -> bool:
        """Whether it lies on any other resource, named by the input `scope`."""
        return _SCOPE in self.parameters

    def resource_id(self, inputs: Mapping[str, Any], subscription: str) -> str:
        """The id under which Azure knows the resource with these inputs.

        Raises:
            IncompleteInputsError: a path parameter is missing or not yet known.
        """

        def value(match: re.Match[str]) -> str:
            name = match[1]
            found: object = inputs.get(name, subscription if name == _SUBSCRIPTION else None)
            if not isinstance(found, str) or not found:
                raise IncompleteInputsError(
                    f"{self.token}: the input '{name}' is {found!r}, and without it the resource has no id. "
                    "Give it as a text that is known before the deployment."
                )
            return found.strip("/") if name == _SCOPE else quote(found, safe="")

        return _PARAMETER.sub(value, self.path)

    def parse_id(self, resource_id: str) -> dict[str, str]:
        """The path parameters that an id holds, for importing a resource.

        Raises:
            IncompleteInputsError: it is the id of another type.
        """
        parts = (
            f"(?P<{piece[1:-1]}>{'.+' if piece == '{scope}' else '[^/]+'})" if piece.startswith("{") else piece
            for piece in self.path.strip("/").split("/")
        )
        match = re.fullmatch("/?" + "/".join(parts) + "/?", resource_id, re.IGNORECASE)
        if match is None:
            raise IncompleteInputsError(f"'{resource_id}' is no id of {self.token}: expected '{self.path}'.")
        found = match.groupdict()
        found.pop(_SUBSCRIPTION, None)
        return {name: f"/{value}" if name == _SCOPE else value for name, value in found.items()}


@cache
def arm_types() -> Mapping[str, ArmType]:
    """Every type known, by its azure-native token."""
    table = cast(dict[str, dict[str, Any]], json.loads(Path(__file__).with_name("types.json").read_text()))
    return {
        token: ArmType(token, entry["type"], entry["path"], entry["apiVersion"], entry["autoName"])
        for token, entry in table.items()
    }


def arm_type(token: str) -> ArmType:
    """The type of a token; one that carries an API version (`azure-native:network/v20240501:Subnet`) as well.

    Raises:
        UnknownTypeError: not in `types.json`.
    """
    package, _, rest = token.partition(":")
    module, _, name = rest.partition(":")
    found = arm_types().get(f"{package}:{module.split('/')[0]}:{name}")
    if found is None:
        raise UnknownTypeError(f"The type '{token}' is not in arm/types.json: add its path and API version there.")
    return found


def resource_id(token: str, inputs: Mapping[str, Any], subscription: str) -> str:
    """The id of a resource by its type's token; see `ArmType.resource_id`."""
    return arm_type(token).resource_id(inputs, subscription)


def same_id(one: str, other: str) -> bool:
    """Whether two ids name one resource: Resource Manager does not tell upper from lower case."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def ancestors(resource_id: str) -> list[str]:
    """The ids above this one that can be resources themselves, nearest first, the subscription left out.

    Of an extension resource that is what it lies on, of a nested one its parents, then the resource group.
    """
    segments = resource_id.strip("/").split("/")
    found: list[str] = []
    lowered = [segment.lower() for segment in segments]
    while True:
        last = len(lowered) - 1 - lowered[::-1].index("providers") if "providers" in lowered else -1
        if last < 0:
            break
        count = len(segments) - last - 2
        keep = last if count <= 2 else len(segments) - 2
        segments, lowered = segments[:keep], lowered[:keep]
        if len(segments) > 2:
            found.append("/" + "/".join(segments))
    return found
