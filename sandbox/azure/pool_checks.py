"""All that AKS asks of one agent pool together, before it begins: see `pool_rules` and its neighbours for each rule."""

from __future__ import annotations

from collections.abc import Sequence

from capacity.catalogue import VmSize
from sandbox.azure import cluster_network, pool_documents, pool_labels, pool_machines, pool_rules, quota
from sandbox.azure.behaviour import Body, Context
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import invalid, mapping, number_in, refusal
from sandbox.azure.placement import check_placement
from sandbox.azure.skus import offer, offers

_AKS_TAGS = 13


def check_pool(
    ctx: Context, cluster: Cluster, name: str, new: Body, old: Body | None, *, others: Sequence[Body], live: int
) -> VmSize:
    """Everything that AKS asks of one pool before it begins.

    Args:
        cluster: the pool's, in its new form.
        new: what the client sent; a name left out of it keeps AKS's default.
        old: what is stored of an existing pool.
        others: the properties of the cluster's other pools.
        live: machines the pool has now.

    Raises:
        ArmError: it is refused.
    """
    pool_rules.check_name(name)
    pool_rules.check_counts(name, new)
    if old:
        pool_rules.check_unchanged(new, old)
        pool_rules.check_scaling(name, new, old, live)
    whole = {**{key: old[key] for key in pool_rules.CREATE_ONLY if old and key in old}, **_given(new)}
    sellable = [one.size.name for one in offers(ctx, cluster.location) if one.for_aks]
    wanted = str(whole.get("vmSize") or "")
    offered_size = pool_machines.check_size(
        name, whole, offer(ctx, cluster.location, wanted), sellable, cluster.location
    )
    size = offered_size.size
    pool_rules.check_system(name, whole, size)
    pool_labels.check_labels(whole)
    pool_labels.check_taints(whole)
    pool_rules.check_spot(whole)
    pool_rules.check_surge(whole)
    pool_machines.check_disk(whole, size)
    pool_machines.check_gpu(whole, size)
    pool_machines.check_pods(whole)
    pool_documents.resolved_version(
        str(new.get("orchestratorVersion") or mapping(old).get("orchestratorVersion") or cluster.version), old, cluster
    )
    _check_tags(whole)
    check_placement(ctx, cluster, whole)
    everyone = [*others, whole]
    if len(everyone) > pool_rules.MAX_POOLS:
        raise refusal(
            "MaxAgentPoolCountReached",
            f"The cluster has {len(others)} agent pools: {pool_rules.MAX_POOLS} are allowed. Delete one first.",
        )
    nodes = sum(pool_rules.top_count(one) for one in everyone)
    if nodes > pool_rules.MAX_CLUSTER_NODES:
        raise refusal(
            "AgentPoolMaxCountExceeded",
            f"The cluster's agent pools would have up to {nodes} nodes: {pool_rules.MAX_CLUSTER_NODES} are allowed.",
            "agentPoolProfile.count",
        )
    subnet_id = whole.get("vnetSubnetID")
    cluster_network.check_egress(ctx, str(cluster.network.get("outboundType")), [subnet_id])
    if subnet_id:
        cluster_network.check_ranges(cluster.network, [cluster_network.subnet_of(ctx, str(subnet_id))])
    cluster_network.check_capacity(ctx, cluster.network, everyone)
    more = (number_in(new, "count") or 0) - live
    quota.check_for_aks(ctx, cluster.location, size, more, spot=whole.get("scaleSetPriority") == "Spot")
    return size


def _given(properties: Body) -> Body:
    return {key: value for key, value in properties.items() if value is not None}


def _check_tags(properties: Body) -> None:
    tags = mapping(properties.get("tags"))
    if len(tags) + _AKS_TAGS > 50:
        raise invalid(
            "agentPoolProfile.tags",
            f"{len(tags)} tags and AKS's own {_AKS_TAGS} exceed the 50 that a scale set may have.",
        )
    for key, value in tags.items():
        if len(key) > 512 or len(str(value)) > 256 or set(key) & set("<>%&\\?/"):
            raise invalid(
                "agentPoolProfile.tags",
                f"The tag '{key}' must have a name of at most 512 characters, none of < > % & \\ ? /, "
                "and a value of at most 256.",
            )
