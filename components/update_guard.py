"""No update removes a running node.

With AKS's own autoscaling off, any update of an agent pool or of the cluster, a tag included, can bring scale sets back
to the count that AKS has stored (kubernetes/autoscaler#7943). Owns the two hooks that look at what runs right before
such an update is sent, in a preview too, and refuse it where it would end machines. `python -m scaling update` is the
remedy: with scaling paused and the stored counts brought to the live ones, the same update is let through.

Owns no read of the scale sets: what runs is what AKS shows. A node that the autoscaler adds between this look and the
update is not seen, which is why the remedy pauses it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import containerservice as aks

from capacity.prediction import DISCOVERY_TAG
from capacity.settled import settled_counts


@dataclass(frozen=True)
class RunningPool:
    """One agent pool as AKS shows it.

    Attributes:
        count: machines it has now.
        least: machines it has at least.
        self_scaled: whether an autoscaler outside AKS looks after it.
    """

    name: str
    count: int
    least: int
    self_scaled: bool


def pool_refusal(pool: RunningPool, sent: int) -> str:
    """Why an update of a pool must not be sent; empty: it may.

    Args:
        pool: as it is now.
        sent: the count that the update carries, which is the one in the stack's state.
    """
    if pool.count <= sent:
        return ""
    remedy = _remedy(self_scaled=pool.self_scaled)
    return (
        f"This update of agent pool {pool.name} is refused: it carries the count {sent}, and the pool runs "
        f"{pool.count} machines: AKS would end {pool.count - sent} with what runs on them. {remedy}"
    )


def cluster_refusal(
    cluster: str, pools: Iterable[RunningPool], settled: Mapping[str, int], sent: Mapping[str, int]
) -> str:
    """Why an update of the cluster must not be sent; empty: it may.

    AKS does not show which counts it has stored. A pool at its minimum loses nothing; of the others only those are
    safe whose count was settled. A refresh takes all pools into the cluster's own inputs, where their counts grow old
    (`scaling/state.py`): what the update itself carries of a pool must not be less than what runs either.

    Args:
        cluster: its name.
        pools: as they are now.
        settled: pool to the count that AKS was made to store.
        sent: pool to the count that the update carries in the cluster's document.
    """
    pools = list(pools)
    less = [pool for pool in pools if pool.count > sent.get(pool.name, pool.count)]
    if less:
        told = ", ".join(f"{sent[pool.name]} of pool {pool.name}, which runs {pool.count} machines" for pool in less)
        return (
            f"This update of cluster {cluster} is refused: it carries the count {told}; AKS would end the rest with "
            f"what runs on them. A refresh once took these counts into the stack's state: "
            f"`python -m scaling update --stack {pulumi.get_stack()}` takes them out and updates."
        )
    unsafe = [
        pool for pool in pools if pool.self_scaled and pool.count > pool.least and settled.get(pool.name) != pool.count
    ]
    if not unsafe:
        return ""
    told = ", ".join(f"{pool.name} runs {pool.count} machines" for pool in unsafe)
    return (
        f"This update of cluster {cluster} is refused: AKS can bring every pool back to the count it has stored, and "
        f"end the machines above it: {told}. {_remedy(self_scaled=True)}"
    )


def _remedy(*, self_scaled: bool) -> str:
    if not self_scaled:
        return f"Run `pulumi up --refresh --stack {pulumi.get_stack()}`, which takes the live count over."
    return (
        f"Run `python -m scaling update --stack {pulumi.get_stack()}`: it pauses scaling, settles the counts, updates, "
        "and goes on scaling. Or wait until the machines are idle and gone."
    )


class UpdateGuard:
    """The hooks of one program, to be bound to its agent pools and its cluster."""

    pools: pulumi.ResourceHookBinding
    cluster: pulumi.ResourceHookBinding

    def __init__(self) -> None:
        options = pulumi.ResourceHookOptions(on_dry_run=True)
        self.pools = pulumi.ResourceHookBinding(
            before_update=[pulumi.ResourceHook("running-nodes-of-a-pool", _check_pool, options)]
        )
        self.cluster = pulumi.ResourceHookBinding(
            before_update=[pulumi.ResourceHook("running-nodes-of-the-cluster", _check_cluster, options)]
        )


async def _check_pool(change: pulumi.ResourceHookArgs) -> None:
    was = change.old_inputs or {}
    found = await aks.get_agent_pool_output(
        resource_group_name=str(was["resourceGroupName"]),
        resource_name=str(was["resourceName"]),
        agent_pool_name=str(was["agentPoolName"]),
    ).future()
    if found is None:
        raise pulumi.RunError(f"agent pool {was['agentPoolName']}: Azure does not say how many machines run in it")
    _refuse(pool_refusal(_running(found), int(was.get("count") or 0)))


async def _check_cluster(change: pulumi.ResourceHookArgs) -> None:
    was = change.old_inputs or {}
    found = await aks.get_managed_cluster_output(
        resource_group_name=str(was["resourceGroupName"]), resource_name=str(was["resourceName"])
    ).future()
    if found is None:
        raise pulumi.RunError(f"cluster {was['resourceName']}: Azure does not say which machines run in it")
    pools = [_running(profile) for profile in found.agent_pool_profiles or ()]
    try:
        settled = settled_counts(os.environ)
    except ValueError as error:
        raise pulumi.RunError(str(error)) from error
    sent = {str(one["name"]): int(one["count"]) for one in was.get("agentPoolProfiles") or () if "count" in one}
    _refuse(cluster_refusal(str(was["resourceName"]), pools, settled, sent))


def _running(found: Any) -> RunningPool:
    """From what the SDK gives of a pool, alone or in its cluster's document."""
    tags: Mapping[str, str] = found.tags or {}
    return RunningPool(
        name=str(found.name),
        count=int(found.count or 0),
        least=int(tags.get("min", 0)),
        self_scaled=DISCOVERY_TAG in tags,
    )


def _refuse(reason: str) -> None:
    if reason:
        raise pulumi.RunError(reason)
