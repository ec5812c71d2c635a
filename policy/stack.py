"""A stack's clusters and pools as its resources declare them, whoever wrote the program.

Owns the reading of `ManagedCluster` and `AgentPool`: which pool belongs to which cluster, in which region, and how many
machines it may come to. A pool's maximum is what its autoscaler may bring it to: `maxCount` under AKS's own, the tags
`min` and `max` that the self-hosted one reads, else its `count`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from capacity.quota import default_surge
from policy.facts.facts import Facts
from policy.model import Resource, UnverifiedError
from policy.properties import UNKNOWN, Properties, UnknownValueError

CLUSTER = "containerservice:ManagedCluster"
POOL = "containerservice:AgentPool"
RESERVATION = "compute:CapacityReservation"
OTHER_PROVIDERS = ("azure:containerservice/kubernetesCluster", "azure:containerservice/kubernetesClusterNodePool")
"""The same as the older provider declares it; its properties are named otherwise."""

_SURGE = re.compile(r"[0-9]{1,4}%?")
AUTOSCALER_TAG = "cluster-autoscaler-enabled"


def region_name(location: str) -> str:
    """`West Europe` and `westeurope` are one region."""
    return location.lower().replace(" ", "")


@dataclass(frozen=True)
class Cluster:
    """One managed cluster.

    Attributes:
        resource: as declared; None for one that only the pools name.
        group, name: its resource group and name; None where not known yet.
    """

    resource: Resource | None
    group: str | None
    name: str | None

    @property
    def key(self) -> str:
        """Equal for equal clusters."""
        return self.resource.urn if self.resource else f"{self.group}/{self.name}".lower()

    def region(self, facts: Facts) -> str:
        """Where it lies.

        Raises:
            UnknownValueError, UnverifiedError: nobody says.
        """
        if self.resource is not None:
            location = self.resource.properties.text("location")
            if location:
                return region_name(location)
        live = facts.cluster(self.group, self.name) if self.group and self.name else None
        if live is None:
            raise UnverifiedError(
                f"the region of the cluster {self.name or '(not known yet)'} is unknown: neither the program nor Azure "
                "names it. Give the cluster its location."
            )
        return live.location


@dataclass(frozen=True)
class Pool:
    """One agent pool, of its own or inline in its cluster.

    Attributes:
        resource: what declares it.
        properties: the pool's own.
        label: what its program calls it.
        inline: part of the cluster's body.
    """

    resource: Resource
    properties: Properties
    cluster: Cluster
    label: str
    inline: bool

    @property
    def urn(self) -> str:
        """Of what declares it."""
        return self.resource.urn

    @property
    def name(self) -> str | None:
        """Its name on Azure; None where not known yet."""
        found = self.properties.known("name" if self.inline else "agentPoolName")
        return str(found) if found is not None else (None if self.inline else self.resource.name)

    @property
    def size(self) -> str:
        """The VM size; raises `UnknownValueError`, `UnverifiedError`."""
        found = self.properties.text("vmSize")
        if not found:
            raise UnverifiedError(f"{self.label} names no vmSize, and AKS then chooses one: set vmSize.")
        return found

    @property
    def spot(self) -> bool:
        """Whether its machines are spot machines."""
        return (self.properties.text("scaleSetPriority") or "").lower() == "spot"

    @property
    def system(self) -> bool:
        """Whether it runs Kubernetes' own pods; in a cluster's body that is the default."""
        return (self.properties.text("mode") or "").lower() == "system"

    @property
    def managed(self) -> bool:
        """Whether AKS's own autoscaler keeps its count."""
        return self.properties.flag("enableAutoScaling") is True

    @property
    def self_hosted(self) -> bool:
        """Whether an autoscaler of the stack's own keeps its count, by the tags that it looks for."""
        tags = self._tags
        return str(tags.get(AUTOSCALER_TAG, "")).lower() == "true" or {"min", "max"} <= {*tags}

    @property
    def maximum(self) -> int:
        """Machines at most; raises `UnknownValueError`, `UnverifiedError`."""
        if self.managed:
            return self._said("maxCount")
        return self._tagged("max") if self.self_hosted else self._said("count")

    @property
    def minimum(self) -> int:
        """Machines at least."""
        if self.managed:
            return self.properties.number("minCount") or 0
        if self.self_hosted:
            return self._tagged("min")
        return 0

    @property
    def surge(self) -> str | None:
        """AKS's maxSurge, its default where nothing is set; None on spot, where there is none."""
        if self.spot:
            return None
        given = self.properties.text("upgradeSettings.maxSurge")
        if given and not _SURGE.fullmatch(given):
            raise UnverifiedError(f"{self.label}: upgradeSettings.maxSurge is {given!r:.60}, no number or percentage")
        return given or default_surge(self.maximum)

    @property
    def group(self) -> str | None:
        """The capacity reservation group that it draws from."""
        return self.properties.text("capacityReservationGroupID")

    @property
    def _tags(self) -> dict[str, Any]:
        return self.properties.mapping("tags")

    def _said(self, path: str) -> int:
        found = self.properties.number(path)
        if found is None:
            raise UnverifiedError(f"{self.label} does not say how many machines it may have: set {path}.")
        return found

    def _tagged(self, tag: str) -> int:
        value = self._tags.get(tag)
        if value is UNKNOWN:
            raise UnknownValueError(f"tags.{tag}")
        if not str(value).isdigit():
            raise UnverifiedError(
                f"{self.label} is scaled by an autoscaler of its own, but its tag {tag!r} is {value!r}, no number."
            )
        return int(str(value))


class StackView:
    """The whole stack.

    Args:
        resources: everything that the program declares.
        facts: what Azure says.
        config: the stack's own configuration, as the engine hands it over.
    """

    def __init__(self, resources: Sequence[Resource], facts: Facts, config: Mapping[str, str] | None = None) -> None:
        self.resources = resources
        self.facts = facts
        self.config = config or {}
        self._by_urn = {one.urn: one for one in resources}

    def with_facts(self, facts: Facts) -> StackView:
        """The same stack, other facts."""
        return StackView(self.resources, facts, self.config)

    def of(self, *kinds: str) -> list[Resource]:
        """The resources of some kinds."""
        return [one for one in self.resources if one.kind in kinds]

    @property
    def foreign(self) -> list[Resource]:
        """Clusters and pools that are declared through a provider that the pack does not read."""
        return [one for one in self.resources if one.type.startswith(OTHER_PROVIDERS)]

    @cached_property
    def clusters(self) -> list[Cluster]:
        """The clusters that the program declares."""
        return [
            Cluster(one, _known(one.properties, "resourceGroupName"), _known(one.properties, "resourceName"))
            for one in self.of(CLUSTER)
        ]

    @cached_property
    def pools(self) -> list[Pool]:
        """All pools; one that is declared by itself counts once, even where the cluster's body has it, too."""
        own = [self._own_pool(one) for one in self.of(POOL)]
        taken = {(pool.cluster.key, pool.name) for pool in own}
        inline = [
            pool for cluster in self.clusters for pool in _inline(cluster) if (cluster.key, pool.name) not in taken
        ]
        return [*inline, *own]

    def _own_pool(self, resource: Resource) -> Pool:
        return Pool(resource, resource.properties, self._cluster_of(resource), resource.name, inline=False)

    def _cluster_of(self, pool: Resource) -> Cluster:
        """By where its cluster's name comes from, else by the name, else the program's only one."""
        sources = pool.depends.get("resourceName", ())
        for cluster in self.clusters:
            if cluster.resource is not None and cluster.resource.urn in sources:
                return cluster
        group, name = _known(pool.properties, "resourceGroupName"), _known(pool.properties, "resourceName")
        for cluster in self.clusters:
            if name and cluster.name and cluster.name.lower() == name.lower():
                return cluster
        if name is None and len(self.clusters) == 1:
            return self.clusters[0]
        return Cluster(None, group, name)


def _inline(cluster: Cluster) -> Iterator[Pool]:
    """The pools in a cluster's own body.

    A refresh fills an ignored list with every pool of the cluster; of such a list only system pools are the program's.
    """
    resource = cluster.resource
    if resource is None:
        return
    ignored = "agentPoolProfiles" in resource.ignore_changes
    for profile in resource.properties.sections("agentPoolProfiles"):
        if ignored and str(profile.known("mode")).lower() == "user":
            continue
        label = str(profile.known("name") or "the cluster's own pool")
        yield Pool(resource, profile, cluster, label, inline=True)


def _known(properties: Properties, path: str) -> str | None:
    found = properties.known(path)
    return None if found is None else str(found)


def by_region(stack: StackView) -> Mapping[str, list[Pool]]:
    """Region to the pools in it; raises `UnknownValueError`, `UnverifiedError`."""
    found: dict[str, list[Pool]] = {}
    for pool in stack.pools:
        found.setdefault(pool.cluster.region(stack.facts), []).append(pool)
    return found
