"""What a resource belongs to in the program, for a state that does not hold it: after a destroy it holds nothing.

Owns the entries of the stack, of components and of default providers, made from a preview's events. A provider that the
program declares itself is not made up: its configuration is the program's to give.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import cast

from recovery.state import Json, State

_DEFAULT_PROVIDER = re.compile(r".*::(pulumi:providers:[\w-]+)::default(?:_(\d+)_(\d+)_(\d+))?$")


class Surroundings:
    """The parents and providers of what a preview would create.

    Args:
        events: the preview's events.
        state: what is there already.
    """

    def __init__(self, events: Iterable[Json], state: State) -> None:
        self._made: dict[str, Json] = {}
        self._known = state.urns
        self._components: dict[str, Json] = {}
        for event in events:
            metadata = cast(Json, cast(Json, event.get("resourcePreEvent") or {}).get("metadata") or {})
            resource = cast(Json, metadata.get("new") or {})
            if metadata.get("op") == "create" and resource and not resource.get("custom"):
                self._components[str(resource["urn"])] = resource

    @property
    def made(self) -> list[Json]:
        """Entries to add to the state, what others belong to first."""
        return list(self._made.values())

    def settle(self, resource: Json) -> Json:
        """Make the entries that a resource needs; gives the resource with a reference to them."""
        self._component(str(resource.get("parent") or ""))
        reference = str(resource.get("provider") or "")
        urn, _, identifier = reference.rpartition("::")
        provider = self._provider(urn)
        return {**resource, "provider": f"{urn}::{provider['id'] if provider else identifier}"} if urn else resource

    def _component(self, urn: str) -> None:
        found = self._components.get(urn)
        if found is None or urn in self._known or urn in self._made:
            return
        self._component(str(found.get("parent") or ""))
        entry: Json = {"urn": urn, "custom": False, "type": found["type"]}
        if found.get("parent"):
            entry["parent"] = found["parent"]
        self._made[urn] = entry

    def _provider(self, urn: str) -> Json | None:
        match = _DEFAULT_PROVIDER.fullmatch(urn)
        if urn in self._known or match is None:
            return None
        if urn not in self._made:
            self._component(next((one for one in self._components if "::pulumi:pulumi:Stack::" in one), ""))
            version = {"version": ".".join(match.groups()[1:])} if match[2] else {}
            self._made[urn] = {
                "urn": urn,
                "custom": True,
                "id": str(uuid.uuid4()),
                "type": match[1],
                "inputs": version,
                "outputs": dict(version),
            }
        return self._made[urn]
