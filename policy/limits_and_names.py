"""AKS's own limits and name rules, and what goes wrong between pools and their autoscaler."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network

from capacity.quota import Cores, Demand
from policy.model import Finding, Rule, Settings, UnverifiedError, each
from policy.properties import UNKNOWN, Properties
from policy.stack import Cluster, Pool, StackView

POOLS, POOL_NODES, CLUSTER_NODES, TAGS = 100, 1000, 5000, 50
"""azure-aks-docs `quotas-skus-regions.md`; a resource's tags: Resource Manager's own limit."""

_NAME = re.compile(r"[a-z][a-z0-9]{0,11}")
_RESERVED = ("kubernetes.azure.com/", "kubernetes.io/", "k8s.io/")
_SPOT_KEY = "kubernetes.azure.com/scalesetpriority"
_AZURE_RESERVED = 5
_OVERLAY_PREFIX = 24
_DEFAULT_POD_CIDR = "10.244.0.0/16"


def _pool_count(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    for key, count in Counter(pool.cluster.key for pool in stack.pools).items():
        if count > POOLS:
            yield Finding(
                f"{count} pools in one cluster, and AKS takes {POOLS}. Merge pools, or use two clusters.", key
            )


def _peak(pool: Pool) -> int:
    """Machines at most, the surge of an upgrade among them."""
    return Demand(pool.label, Cores(pool.size, "", 0), 0, pool.maximum, pool.surge).peak


def _pool_nodes(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        peak = _peak(pool)
        if peak > POOL_NODES:
            yield Finding(
                f"{pool.label}: {pool.maximum} machines and {peak - pool.maximum} in an upgrade, and AKS takes "
                f"{POOL_NODES} in a pool. Lower the maximum or maxSurge, or make two pools.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _cluster_nodes(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(cluster: Cluster) -> Iterator[Finding]:
        total = sum(_peak(pool) for pool in stack.pools if pool.cluster.key == cluster.key)
        if total > CLUSTER_NODES:
            yield Finding(
                f"{cluster.name}: {total} machines at most, upgrades included, and AKS takes {CLUSTER_NODES} in a "
                "cluster. Lower maxima, or use two clusters.",
                cluster.key,
            )

    return each(_clusters(stack), judge)


def _names(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        if pool.properties.raw("name" if pool.inline else "agentPoolName") is UNKNOWN:
            raise UnverifiedError(f"{pool.label}: its name is known only once the deployment runs")
        name = pool.name or ""
        if not _NAME.fullmatch(name):
            yield Finding(
                f"{pool.label}: {name!r} is no name for a pool: a lower-case letter, then up to 11 lower-case letters "
                "and digits. Change agentPoolName.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _labels(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        labels = pool.properties.mapping("nodeLabels")
        wrong = [one for one in labels if one.startswith(_RESERVED) and one != _SPOT_KEY]
        if wrong:
            yield Finding(
                f"{pool.label}: nodeLabels has {', '.join(wrong)}, and AKS keeps these prefixes for itself. Remove "
                "them, or use a prefix of your own.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _tags(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        count = len(pool.properties.mapping("tags"))
        if count > TAGS:
            yield Finding(f"{pool.label}: {count} tags, and Azure takes {TAGS} a resource. Remove some.", pool.urn)

    return each(stack.pools, judge)


def _pod_room(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    """Each machine gets a /24 of the pod range with overlay networking."""

    def judge(cluster: Cluster) -> Iterator[Finding]:
        profile = cluster.resource.properties.section("networkProfile") if cluster.resource else None
        if profile is None or profile.text("networkPluginMode") != "overlay":
            return
        cidr = profile.network("podCidr") or ip_network(_DEFAULT_POD_CIDR)
        room = 2 ** max(0, _OVERLAY_PREFIX - cidr.prefixlen)
        nodes = sum(_peak(pool) for pool in stack.pools if pool.cluster.key == cluster.key)
        if nodes > room:
            yield Finding(
                f"{cluster.name}: {nodes} machines at most, and podCidr {cidr} has a /24 for {room}. Use a larger "
                f"range: /{_OVERLAY_PREFIX - (nodes - 1).bit_length()}. A change later replaces the cluster.",
                cluster.key,
            )

    return each(_clusters(stack), judge)


def _subnet_room(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    """Each machine takes an address of its subnet; those that this program declares are counted.

    A pool whose subnet is not known yet may lie in any of them.
    """
    subnets = dict(_subnets(stack))
    unclear = [pool for pool in stack.pools if pool.properties.raw("vnetSubnetID") is UNKNOWN]

    def judge(name: str) -> Iterator[Finding]:
        nodes = sum(_peak(pool) for pool in stack.pools if _subnet_of(pool) == name)
        if not nodes and not unclear:
            return
        one = subnets[name].network("addressPrefix")
        ranges = [one] if one else subnets[name].networks("addressPrefixes")
        if not ranges:
            return  # no subnet, and Azure says so
        prefix = ", ".join(map(str, ranges))
        room = sum(found.num_addresses - _AZURE_RESERVED for found in ranges)
        if nodes > room:
            yield Finding(
                f"subnet {name} ({prefix}) has room for {room} machines, and up to {nodes} come, upgrades included. "
                f"Use a /{32 - (nodes + _AZURE_RESERVED - 1).bit_length()} or larger."
            )
        elif nodes + sum(map(_peak, unclear)) > room:
            raise UnverifiedError(
                f"whether {', '.join(pool.label for pool in unclear)} fit into subnet {name} ({prefix}, room for "
                f"{room}) is known only once the deployment runs"
            )

    return each(subnets, judge)


def _subnets(stack: StackView) -> Iterator[tuple[str, Properties]]:
    """Name to properties."""
    for network in stack.of("network:VirtualNetwork"):
        for subnet in network.properties.sections("subnets"):
            yield str(subnet.known("name")).lower(), subnet
    for declared in stack.of("network:Subnet"):
        yield str(declared.properties.known("subnetName") or declared.name).lower(), declared.properties


def _subnet_of(pool: Pool) -> str | None:
    """The last part of the subnet's id; None where there is none, or it is not known yet."""
    found = pool.properties.known("vnetSubnetID")
    return str(found).rsplit("/", 1)[-1].lower() if found else None


def _repeated_updates(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    """AKS takes 20 updates of one pool at once, and one a minute more (`quotas-skus-regions.md`)."""
    seen: dict[tuple[str, str], list[str]] = {}
    for pool in stack.pools:
        if pool.name is not None:
            seen.setdefault((pool.cluster.key, pool.name), []).append(pool.label)
    for (_, name), labels in seen.items():
        if len(labels) > 1:
            yield Finding(
                f"{', '.join(labels)} declare one pool {name!r}: each deployment updates it {len(labels)} times, each "
                "undoing the other, until AKS refuses more than one update a minute. Declare it once."
            )


def _clusters(stack: StackView) -> list[Cluster]:
    """Those declared and those that pools name."""
    return list({pool.cluster.key: pool.cluster for pool in stack.pools}.values())


RULES = (
    Rule(
        name="aks-pool-count",
        title="A cluster has no more pools than AKS takes.",
        why="The pool after the hundredth is refused, with the others already made.",
        fix="Merge pools, or use two clusters.",
        severity="high",
        check=_pool_count,
    ),
    Rule(
        name="aks-pool-nodes",
        title="No pool exceeds 1,000 machines, the surge of an upgrade included.",
        why="AKS refuses a pool whose maximum and surge together are above its limit.",
        fix="Lower the maximum or maxSurge, or make two pools.",
        severity="high",
        check=_pool_nodes,
    ),
    Rule(
        name="aks-cluster-nodes",
        title="No cluster exceeds 5,000 machines, upgrades included.",
        why="Scaling stops at AKS's limit, whichever pool is next.",
        fix="Lower maxima, or use two clusters.",
        severity="high",
        check=_cluster_nodes,
    ),
    Rule(
        name="aks-pool-name",
        title="Pools have names that AKS takes.",
        why="The pool is refused after the cluster was made.",
        fix="Use a lower-case letter, then up to 11 lower-case letters and digits.",
        severity="high",
        check=_names,
    ),
    Rule(
        name="aks-reserved-labels",
        title="Pools set no labels that AKS keeps for itself.",
        why="The pool is refused; the accelerator label may be a scale-set tag only.",
        fix="Remove the label, or use a prefix of your own.",
        severity="high",
        check=_labels,
    ),
    Rule(
        name="azure-tag-count",
        title="Pools have no more tags than Azure takes.",
        why="The self-hosted autoscaler's predictions are tags, and the fifty-first is refused.",
        fix="Remove tags or labels that the prediction repeats.",
        severity="medium",
        check=_tags,
    ),
    Rule(
        name="aks-pod-room",
        title="The pod range has room for every machine.",
        why="AKS's default range ends at 256 machines, and a change replaces the cluster.",
        fix="Set a larger networkProfile.podCidr before the cluster is made.",
        severity="critical",
        follows=("Azure.AKS.CNISubnetSize",),
        check=_pod_room,
    ),
    Rule(
        name="aks-subnet-room",
        title="The machines' subnet has room for every machine.",
        why="Pools stop growing when addresses are used up, and a subnet in use cannot grow.",
        fix="Use a larger subnet.",
        severity="high",
        follows=("APRL e620fa98-7a40-41a0-bfc9-b4407297fb58", "Azure.AKS.CNISubnetSize"),
        check=_subnet_room,
    ),
    Rule(
        name="aks-pool-declared-once",
        title="No pool is updated more than once in a deployment.",
        why="AKS takes 20 updates of one pool at once, and then one a minute.",
        fix="Declare each pool once.",
        severity="high",
        check=_repeated_updates,
    ),
)
