"""How the autoscaler is told to behave, by a stack's settings.

Flags are those of cluster-autoscaler 1.33 to 1.36; one that a version does not know makes it exit at start, so a test
holds them against the list read from the program itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from capacity.autoscaling.options import Options
from stacks.settings import Autoscaler


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


def profile_of(settings: Autoscaler) -> Profile:
    """The profile that a stack names, with its own time for idle machines."""
    profile = PROFILES[settings.profile]
    if settings.idle_minutes is None:
        return profile
    idle = f"{settings.idle_minutes}m"
    return replace(profile, unneeded=idle, after_add=idle)


def flags(settings: Autoscaler, cluster: str, *, queues: bool = False) -> dict[str, str]:
    """The flags of a stack, without their dashes.

    Args:
        settings: profile and expander.
        cluster: the name in the tag `cluster-autoscaler-name` of the scale sets to look after.
        queues: whether ProvisioningRequests are served; their definition must be in the cluster then.
    """
    profile = profile_of(settings)
    expander = "priority,least-waste" if settings.expander == "priority" else settings.expander
    values: dict[str, object] = {
        "cloud-provider": "azure",
        "cluster-name": cluster,
        "namespace": "kube-system",
        "node-group-auto-discovery": f"label:cluster-autoscaler-enabled=true,cluster-autoscaler-name={cluster}",
        "expander": expander,
        "scan-interval": "10s",
        # Else pods with GPUs wait for 30 s, however long a machine boots, in case more of them come.
        "bypassed-scheduler-names": "default-scheduler",
        "scale-down-unneeded-time": profile.unneeded,
        "scale-down-delay-after-add": profile.after_add,
        "scale-down-utilization-threshold": profile.utilization,
        "scale-down-gpu-utilization-threshold": profile.gpu_utilization,
        "ignore-daemonsets-utilization": "true",
        # Ten at once, the default, would keep a thousand idle machines for a quarter of an hour.
        "max-scale-down-parallelism": 200,
        "enforce-node-group-min-size": "true",
        "balance-similar-node-groups": "false",
        # Five requests a second, the default, dominate the time to taint and remove hundreds of nodes.
        "kube-client-qps": 50,
        "kube-client-burst": 100,
        "leader-elect": "true",
        "leader-elect-resource-namespace": "kube-system",
        "v": 4,
        **({"enable-provisioning-requests": "true"} if queues else {}),
    }
    return {flag: str(value) for flag, value in values.items()}


def options(settings: Autoscaler) -> Options:
    """What those flags tell the autoscaler."""
    return Options.from_flags(flags(settings, ""))
