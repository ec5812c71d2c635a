"""How the autoscaler is told to behave: profiles, flags, priorities. Pure.

Flags are those of cluster-autoscaler 1.33 to 1.36; one that a version does not know makes it exit at start, so a test
holds them against the list read from the program itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from capacity.autoscaler_releases import RELEASES, release_for
from components.naming import POOL_HASH_LENGTH
from stacks.settings import Autoscaler, Pool

IMAGE = "registry.k8s.io/autoscaling/cluster-autoscaler"


@dataclass(frozen=True)
class Profile:
    """When a machine goes again.

    Attributes:
        unneeded: how long a machine must have been idle enough.
        after_add: how long after the last machine was added nothing is removed.
        utilization, gpu_utilization: at or below this share of requests a machine counts as idle; 0: only when
            nothing but daemons runs on it, so a running job is never moved.
    """

    unneeded: str
    after_add: str
    utilization: float
    gpu_utilization: float


PROFILES = {
    "batch": Profile(unneeded="5m", after_add="5m", utilization=0, gpu_utilization=0),
    "bursty": Profile(unneeded="3m", after_add="3m", utilization=0.5, gpu_utilization=0.5),
}


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


def arguments(settings: Autoscaler, cluster: str) -> list[str]:
    """The Deployment's command line.

    Args:
        settings: profile and expander.
        cluster: the name in the tag `cluster-autoscaler-name` of the scale sets to look after.
    """
    profile = PROFILES[settings.profile]
    expander = "priority,least-waste" if settings.expander == "priority" else settings.expander
    flags: dict[str, object] = {
        "cloud-provider": "azure",
        "cluster-name": cluster,
        "namespace": "kube-system",
        "node-group-auto-discovery": f"label:cluster-autoscaler-enabled=true,cluster-autoscaler-name={cluster}",
        "expander": expander,
        "scan-interval": "10s",
        "scale-down-unneeded-time": profile.unneeded,
        "scale-down-delay-after-add": profile.after_add,
        "scale-down-utilization-threshold": profile.utilization,
        "scale-down-gpu-utilization-threshold": profile.gpu_utilization,
        "ignore-daemonsets-utilization": "true",
        "enforce-node-group-min-size": "true",
        "balance-similar-node-groups": "false",
        # Five requests a second, the default, dominate the time to taint and remove hundreds of nodes.
        "kube-client-qps": 50,
        "kube-client-burst": 100,
        "leader-elect": "true",
        "leader-elect-resource-namespace": "kube-system",
        "v": 4,
    }
    return [f"--{flag}={value}" for flag, value in flags.items()]


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
