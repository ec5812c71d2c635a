"""What the autoscaler believes of its scale sets: sizes asked for and machines there, read anew as rarely as it does.

Source: AZ `azure_scale_set.go`, `azure_scale_set_instance_cache.go`. The times are those of the Deployment's variables
`AZURE_VMSS_CACHE_TTL` and `AZURE_VMSS_VMS_CACHE_TTL`: they decide how soon a failed machine is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox.autoscaler.groups import Pool
from sandbox.nodes.objects import Json, items, text

State = Literal["running", "creating", "failed", "deleting"]
_SETS_SECONDS = 60.0
_MACHINES_SECONDS = 300.0
_SPOT_SIZE_SECONDS = 30.0
"""How old a spot set's size may be (AZ `getVmssSizeRefreshPeriod`)."""
_ON = {"true", "1", "t"}


@dataclass(frozen=True)
class Caching:
    """How long what was read is believed, in seconds, and whether failed machines are removed at once."""

    sets: float = _SETS_SECONDS
    machines: float = _MACHINES_SECONDS
    fast_delete: bool = False

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Caching:
        """From the container's variables.

        Raises:
            ValueError: one that is to be a number is none.
        """
        return cls(
            sets=float(variables.get("AZURE_VMSS_CACHE_TTL") or _SETS_SECONDS),
            machines=float(variables.get("AZURE_VMSS_VMS_CACHE_TTL") or _MACHINES_SECONDS),
            fast_delete=variables.get("AZURE_ENABLE_FAST_DELETE_ON_FAILED_PROVISIONING", "").lower() in _ON,
        )


@dataclass(frozen=True)
class Instance:
    """One machine of a scale set.

    Attributes:
        id: its number in the set.
        provider_id: as its Node names it.
        state: `failed` only where the flag for fast deletion is on; a failed machine counts as running without.
    """

    id: str
    provider_id: str
    state: State


def instance(document: Json, *, fast_delete: bool) -> Instance:
    """A machine as the autoscaler reads it (AZ `instanceStatusFromVM`)."""
    word = text(document, "properties", "provisioningState")
    codes = {str(one.get("code")) for one in items(document, "properties", "instanceView", "statuses")}
    powered = not codes or bool(codes & {"PowerState/running", "PowerState/starting"})
    state: State = "running"
    if word == "Deleting":
        state = "deleting"
    elif word == "Creating":
        state = "creating"
    elif word == "Failed" and fast_delete and not powered:
        state = "failed"
    parts = text(document, "id").split("/")
    parts[4] = parts[4].lower()
    return Instance(text(document, "instanceId"), "azure://" + "/".join(parts), state)


@dataclass
class Known:
    """What is believed of one scale set.

    Attributes:
        target: machines it is to have.
        sized_at: when `target` was last read or asked for.
        instances: by provider id.
        read_at: when they were read; None: they must be read.
        first_seen: provider id to when it was first seen.
        growing: changes of capacity under way.
    """

    target: int
    sized_at: float
    instances: dict[str, Instance] = field(default_factory=dict[str, Instance])
    read_at: float | None = None
    first_seen: dict[str, float] = field(default_factory=dict[str, float])
    growing: int = 0

    def sized(self, pool: Pool, now: float, caching: Caching) -> None:
        """Take over what the set's document says, where the own number is too old to be believed."""
        age = now - self.sized_at
        if age >= (min(_SPOT_SIZE_SECONDS, caching.sets) if pool.spot else caching.sets):
            if self.target != pool.capacity:
                self.read_at = None
            self.target, self.sized_at = pool.capacity, now

    def is_stale(self, now: float, caching: Caching) -> bool:
        """Whether the machines have to be read before they are looked at."""
        alive = sum(1 for one in self.instances.values() if one.state != "deleting")
        return self.read_at is None or now - self.read_at >= caching.machines or alive != self.target

    def read(self, documents: Iterable[Json], now: float, caching: Caching) -> None:
        """Take over the list of machines."""
        found = [instance(one, fast_delete=caching.fast_delete) for one in documents]
        self.instances = {one.provider_id: one for one in found}
        self.first_seen = {one.provider_id: self.first_seen.get(one.provider_id, now) for one in found}
        self.read_at = now

    def asked_for(self, target: int, now: float) -> None:
        """A capacity was asked for."""
        self.target, self.sized_at = target, now

    def deleted(self, provider_ids: Iterable[str], now: float) -> None:
        """Deletion of machines was asked for: they no longer count."""
        for one in provider_ids:
            present = self.instances.get(one)
            if present is not None and present.state != "deleting":
                self.instances[one] = Instance(present.id, one, "deleting")
                self.target = max(0, self.target - 1)
        self.sized_at = now

    def distrust(self) -> None:
        """A change ended, or went wrong: read size and machines anew."""
        self.sized_at, self.read_at = float("-inf"), None
