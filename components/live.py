"""What runs now, and which changes to it a deployment must refuse before it begins.

Owns one read of the live cluster and the rules judged on it. The engine's own protection sees resources, not
machines: it would end running jobs with a replaced pool, and replace a cluster whose address range changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerservice as aks

from capacity.network_plan import NetworkPlan
from components.cluster import SYSTEM_POOL
from stacks.settings import Stack

_ABSENT = ("notfound", "not found", "404")


@dataclass(frozen=True)
class LivePool:
    """One agent pool as it is on Azure now.

    Attributes:
        key: the pool's name in the stack file, from its tag; None for pools that are not this program's.
        count: machines it has now.
    """

    name: str
    key: str | None
    count: int
    vm_size: str
    zones: tuple[str, ...]


@dataclass(frozen=True)
class LiveCluster:
    """The cluster as it is on Azure now."""

    pools: tuple[LivePool, ...]
    pod_cidr: str | None
    service_cidr: str | None


def read_live_cluster(resource_group: str, cluster: str) -> LiveCluster | None:
    """Read the cluster, one request.

    Returns:
        None where it does not exist yet.

    Raises:
        pulumi.RunError: Azure did not answer the question; nothing is deployed blindly.
    """
    try:
        found = aks.get_managed_cluster(resource_group_name=resource_group, resource_name=cluster)
    except Exception as error:
        if any(word in str(error).lower() for word in _ABSENT):
            return None
        raise pulumi.RunError(
            f"Cannot read the cluster {cluster!r} in {resource_group!r}, so nothing can be said about the machines "
            f"that run in it: {error}. Sign in again, or give the deployer Reader on the resource group."
        ) from error
    network = found.network_profile
    return LiveCluster(
        pools=tuple(
            LivePool(
                name=pool.name,
                key=(pool.tags or {}).get("trainyard-pool"),
                count=int(pool.count or 0),
                vm_size=pool.vm_size or "",
                zones=tuple(pool.availability_zones or ()),
            )
            for pool in found.agent_pool_profiles or ()
        ),
        pod_cidr=network.pod_cidr if network else None,
        service_cidr=network.service_cidr if network else None,
    )


def refusals(live: LiveCluster | None, settings: Stack, plan: NetworkPlan, names: Mapping[str, str]) -> list[str]:
    """Why this deployment must not begin; nothing where it may.

    Args:
        live: what runs now, None for a first deployment.
        settings: what the stack file asks for.
        plan: the address ranges it comes to.
        names: pool key to the physical name it would get.
    """
    if live is None:
        return []
    return [
        *_cluster_replacements(live, plan),
        *_system_pool_changes(live.pools, settings),
        *_ended_jobs(live.pools, names, settings.allow_replacement),
    ]


def _cluster_replacements(live: LiveCluster, plan: NetworkPlan) -> list[str]:
    changes = (("podCidr", live.pod_cidr, str(plan.pods)), ("serviceCidr", live.service_cidr, str(plan.services)))
    return [
        f"trainyard:network.{key} {wanted}: the cluster was made with {have}, and a change would replace it with "
        f"everything that runs in it. Set `trainyard:network.{key}` to {have}, or make a new stack and move over."
        for key, have, wanted in changes
        if have and have != wanted
    ]


def _system_pool_changes(pools: Iterable[LivePool], settings: Stack) -> list[str]:
    wanted = settings.cluster.system_pool
    return [
        f"trainyard:cluster.systemPool.{key} {want}: the running system pool has {have}. It is part of the cluster's "
        f"own body, and a change there puts every pool into scaling; {remedy}"
        for pool in pools
        if pool.name == SYSTEM_POOL
        for key, have, want, remedy in (
            (
                "count",
                pool.count,
                wanted.count,
                f"run `az aks nodepool scale --name {SYSTEM_POOL} --node-count {wanted.count}`, then deploy again.",
            ),
            ("vmSize", pool.vm_size, wanted.vm_size, f"set it back to {pool.vm_size}."),
            ("zones", list(pool.zones), list(wanted.zones), f"set it back to {list(pool.zones)}."),
        )
        if have != want
    ]


def _ended_jobs(pools: Iterable[LivePool], names: Mapping[str, str], allowed: Iterable[str]) -> list[str]:
    return [
        f"trainyard:pools.{key}: the change replaces the pool ({pool.name} by {names[key]}) and would end what runs on "
        f"its {pool.count} machines. Wait until it is empty, or allow it by name: "
        f"`pulumi config set --path 'trainyard:allowReplacement[0]' {key}`."
        for pool in pools
        if (key := pool.key) is not None
        and key in names
        and pool.name != names[key]
        and pool.count > 0
        and key not in allowed
    ]
