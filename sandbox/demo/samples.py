"""What the demonstration sees of the sandbox, second by second."""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.kubernetes_client import KubernetesClient, path
from sandbox.nodes.azure_client import AzureClient
from sandbox.nodes.objects import Json, condition, items, section, text

NAMESPACE = "demo-scale"


@dataclass(frozen=True)
class Sample:
    """One look.

    Attributes:
        at: seconds since the jobs were submitted.
        pending, running, done, failed: jobs.
        asked: machines that Azure makes and that are no nodes yet.
        joined: nodes whose GPUs cannot be used yet.
        ready: nodes whose GPUs can.
        leaving: machines on their way out.
    """

    at: float
    pending: int
    running: int
    done: int
    failed: int
    asked: int
    joined: int
    ready: int
    leaving: int

    @property
    def machines(self) -> int:
        """All machines there are."""
        return self.asked + self.joined + self.ready + self.leaving


async def look(client: KubernetesClient, azure: AzureClient, pool: str, at: float) -> Sample:
    """Jobs, nodes and machines now.

    Args:
        pool: the pool's name in the stack file, which its machines carry as the label `trainyard/pool`.

    Raises:
        ApiError, AzureError: one of the servers does not answer.
    """
    jobs, _ = await client.list(path("batch/v1", "jobs", NAMESPACE))
    pods, _ = await client.list(path("v1", "pods", NAMESPACE))
    nodes, _ = await client.list(path("v1", "nodes"), {"labelSelector": f"trainyard/pool={pool}"})
    fleet = await azure.fleet()
    mine = [one for one in fleet.machines.values() if one.labels.get("trainyard/pool") == pool]
    here = {text(one, "metadata", "name"): one for one in nodes}
    # A pod has succeeded a moment before its job is said to be complete.
    succeeded = {text(pod, "metadata", "labels", "job-name") for pod in pods if _phase(pod) == "Succeeded"}
    done = len(succeeded | {text(job, "metadata", "name") for job in jobs if _is(job, "Complete")})
    failed = sum(_is(job, "Failed") for job in jobs)
    running = sum(_phase(pod) == "Running" for pod in pods)
    states = {"asked": 0, "joined": 0, "ready": 0, "leaving": 0}
    for machine in mine:
        node = here.get(machine.node_name)
        if machine.state == "deleting" or (node is not None and _marked(node)):
            states["leaving"] += 1
        elif node is None:
            states["asked"] += 1
        else:
            states["ready" if _has_gpus(node) else "joined"] += 1
    return Sample(at, len(jobs) - done - failed - running, running, done, failed, **states)


def _phase(pod: Json) -> str:
    return text(pod, "status", "phase")


def _is(job: Json, kind: str) -> bool:
    return condition(job, kind).get("status") == "True"


def _marked(node: Json) -> bool:
    return any(one.get("key") == "ToBeDeletedByClusterAutoscaler" for one in items(node, "spec", "taints"))


def _has_gpus(node: Json) -> bool:
    allocatable = section(node, "status", "allocatable")
    ready = condition(node, "Ready").get("status") == "True"
    return ready and any(allocatable.get(name, "0") != "0" for name in ("nvidia.com/gpu", "amd.com/gpu"))
