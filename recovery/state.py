"""A stack's exported state: what is in it, what is pending, and how a resource is taken into it.

Pure: works on the JSON of `pulumi stack export`, whose secrets stay encrypted.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

Json = dict[str, Any]

SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Marks secrets and other special values in a state."""
AZURE = "azure-native:"


@dataclass(frozen=True)
class Pending:
    """An operation that the engine had begun and not recorded the end of.

    Attributes:
        kind: `creating`, `updating`, `deleting`, `reading` or `importing`.
        resource: the resource's entry as the state would hold it, without outputs.
    """

    kind: str
    resource: Json

    @property
    def urn(self) -> str:
        """Names the resource in the program."""
        return str(self.resource["urn"])

    @property
    def type(self) -> str:
        """`azure-native:network:Subnet`."""
        return str(self.resource["type"])


@dataclass(frozen=True)
class Adoption:
    """A resource to take into the state.

    Attributes:
        resource: its entry, inputs and all.
        resource_id: as Azure writes it.
        outputs: as azure-native would have put them there.
        failure: why its creation failed, if it did: the next deployment then sends it again.
    """

    resource: Json
    resource_id: str
    outputs: Json
    failure: str | None = None

    @property
    def urn(self) -> str:
        """Names the resource in the program."""
        return str(self.resource["urn"])


class State:
    """One exported state.

    Args:
        exported: the whole document of `pulumi stack export`.
    """

    def __init__(self, exported: Mapping[str, Any]) -> None:
        self.exported = copy.deepcopy(dict(exported))
        self._deployment = cast(Json, self.exported.get("deployment") or {})

    @property
    def resources(self) -> list[Json]:
        """Every entry, in the state's order: what a resource depends on comes before it."""
        return cast(list[Json], self._deployment.get("resources") or [])

    @property
    def pending(self) -> list[Pending]:
        """The operations begun and not ended."""
        entries = cast(list[Json], self._deployment.get("pending_operations") or [])
        return [Pending(str(entry["type"]), cast(Json, entry["resource"])) for entry in entries]

    @property
    def holds_anything(self) -> bool:
        """Whether there is any resource besides the stack, components and providers."""
        return any(entry.get("custom") and not str(entry["type"]).startswith("pulumi:") for entry in self.resources)

    @property
    def ids(self) -> frozenset[str]:
        """The ids of all resources, lower case."""
        return frozenset(str(entry["id"]).lower() for entry in self.resources if entry.get("id"))

    @property
    def urns(self) -> frozenset[str]:
        """The names of all resources."""
        return frozenset(str(entry["urn"]) for entry in self.resources)

    def provider_inputs(self, resource: Mapping[str, Any]) -> Json:
        """The configuration of a resource's provider; empty when the state does not hold it."""
        urn = str(resource.get("provider", "")).rpartition("::")[0]
        found = next((entry for entry in self.resources if entry["urn"] == urn), None)
        return cast(Json, found.get("inputs") or {}) if found else {}

    def missing_for(self, resource: Mapping[str, Any], besides: Iterable[Json] = ()) -> str | None:
        """What a resource's entry refers to and neither the state nor `besides` holds; None when nothing is missing."""
        provider = str(resource.get("provider", "")).rpartition("::")[0]
        known = self.urns | {str(entry["urn"]) for entry in besides}
        for urn in (resource.get("parent"), provider, *cast(list[str], resource.get("dependencies") or [])):
            if urn and urn not in known:
                return str(urn)
        return None

    def mended(self, adoptions: Iterable[Adoption], *, forget_pending: bool, surroundings: Iterable[Json] = ()) -> Json:
        """The document to import: with these resources and, on request, without pending operations.

        `surroundings` are entries of what the resources belong to, and come before them.

        A resource that was being replaced keeps its old entry, marked as to be deleted, unless it was deleted
        before already.
        """
        exported = copy.deepcopy(self.exported)
        deployment = cast(Json, exported["deployment"])
        # A destroyed stack has no list at all, or an empty value.
        resources = cast(list[Json], deployment.get("resources") or [])
        deployment["resources"] = resources
        resources.extend(copy.deepcopy(list(surroundings)))
        for adoption in adoptions:
            resources[:] = [
                entry for entry in resources if entry["urn"] != adoption.urn or not entry.get("pendingReplacement")
            ]
            for entry in resources:
                if entry["urn"] == adoption.urn:
                    entry["delete"] = True
            resources.append(_entry(adoption))
        if forget_pending:
            deployment.pop("pending_operations", None)
        return exported


def _entry(adoption: Adoption) -> Json:
    resource = copy.deepcopy(adoption.resource)
    inputs = cast(Json, resource.get("inputs") or {})
    secret = {name: value for name, value in inputs.items() if is_secret(value)}
    resource["id"] = adoption.resource_id
    resource["custom"] = True
    resource["outputs"] = {
        **adoption.outputs,
        **{name: value for name, value in secret.items() if name in adoption.outputs},
    }
    if adoption.failure:
        resource["initErrors"] = [adoption.failure]
    return resource


def is_secret(value: object) -> bool:
    """Whether a value is a secret's, or another special value's, envelope."""
    return isinstance(value, dict) and SIGNATURE in value
