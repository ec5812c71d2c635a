"""The autoscaler's image, command line and priority list. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from capacity.autoscaler_releases import RELEASES, release_for
from capacity.autoscaling.profiles import flags
from components.naming import POOL_HASH_LENGTH
from stacks.settings import Autoscaler, Pool

IMAGE = "registry.k8s.io/autoscaling/cluster-autoscaler"


def image(kubernetes_version: str) -> str:
    """The autoscaler's image for a cluster version.

    Raises:
        ValueError: no release is known for it; `capacity.checks` refuses such a stack file.
    """
    release = release_for(kubernetes_version)
    if release is None:
        raise ValueError(
            f"Kubernetes {kubernetes_version}: no cluster-autoscaler is known for it; known: {', '.join(RELEASES)}. "
            "Take one of these, or `trainyard:autoscaler.mode: managed`."
        )
    return f"{IMAGE}:{release}"


def arguments(settings: Autoscaler, cluster: str, *, queues: bool = False) -> list[str]:
    """The Deployment's command line.

    Args:
        settings: profile and expander.
        cluster: the name in the tag `cluster-autoscaler-name` of the scale sets to look after.
        queues: whether gangs ask for their machines by ProvisioningRequests.
    """
    return [f"--{flag}={value}" for flag, value in flags(settings, cluster, queues=queues).items()]


def priorities(pools: Mapping[str, Pool]) -> str:
    """The priority expander's list: number to patterns of scale-set names, highest first.

    Ends with a pattern for everything else, as groups that match nothing are left out altogether. Patterns hold for
    any hash, so a replaced pool keeps its place.
    """
    by_priority: dict[int, list[str]] = {}
    for key, pool in pools.items():
        by_priority.setdefault(pool.priority, []).append(f"^aks-{key}[0-9a-z]{{{POOL_HASH_LENGTH}}}-.*")
    lines: list[str] = []
    for priority in sorted(by_priority, reverse=True):
        lines.append(f"{priority}:")
        lines.extend(f"  - {pattern}" for pattern in sorted(by_priority[priority]))
    # Priorities begin at 1 in the stack file, so nothing of ours stands below.
    return "\n".join([*lines, "0:", "  - .*", ""])
