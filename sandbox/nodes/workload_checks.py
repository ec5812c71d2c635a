"""Which containers are judged before they run, and by whom.

kwok runs no container. Those whose arguments or configuration the platform depends on are looked at here first;
all others just run. To judge another image: a `WorkloadCheck` below, and its name in `kwok.yaml`, stage
`pod-ready`, so that kwok waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox.nodes.autoscaler_check import judge_autoscaler
from sandbox.nodes.device_plugin import PluginPod, follows_its_label, judge_amd, judge_nvidia
from sandbox.nodes.objects import Json, items, program_of, text
from sandbox.nodes.pod_files import mounted_config_maps
from sandbox.nodes.surroundings import MissingReferenceError, Surroundings, command_line
from sandbox.nodes.verdicts import Verdict, cannot_start, crashes, runs

_IMAGE = re.compile(r"^(?P<repository>[^@]+?)(?::(?P<tag>[^/@]+))?(?:@.*)?$")


@dataclass(frozen=True)
class WorkloadCheck:
    """One kind of container.

    Attributes:
        repository: ends an image's repository: `nvidia/k8s-device-plugin`.
        programs: what its command may name, without folder; any other program of the image just runs.
        judge: pod, container and surroundings to a verdict.
        lasting: whether a running container is judged again and again, as its configuration may be exchanged.
    """

    repository: str
    programs: frozenset[str]
    judge: Callable[[Json, Json, Surroundings], Awaitable[Verdict]]
    lasting: Callable[[Json], bool]

    def concerns(self, container: Json) -> bool:
        """Whether a container is of this kind."""
        match = _IMAGE.match(str(container.get("image", "")))
        if match is None or not f"/{match['repository']}".endswith(f"/{self.repository}"):
            return False
        if (match["tag"] or "").startswith("labeller"):  # AMD's node labeller shares the plugin's repository
            return False
        return program_of(container) in self.programs


async def judge_pod(pod: Json, around: Surroundings) -> tuple[Verdict, Json | None]:
    """Judge all containers of a pod.

    Returns:
        The verdict, and the container it is about where one does not run. Devices of all plugins are joined.

    Raises:
        ApiError, AzureError: a server cannot be asked now.
    """
    devices: dict[str, int] = {}
    for container in items(pod, "spec", "containers"):
        for check in CHECKS:
            if not check.concerns(container):
                continue
            try:
                verdict = await check.judge(pod, container, around)
            except MissingReferenceError as error:
                verdict = cannot_start("CreateContainerConfigError", str(error))
            if not verdict.runs:
                return verdict, container
            devices.update(verdict.devices)
    return runs(devices), None


def is_held(pod: Json) -> bool:
    """Whether kwok waits for a verdict on a pod: the same images as in `kwok.yaml`."""
    return any(HELD_IMAGES.search(str(container.get("image", ""))) for container in items(pod, "spec", "containers"))


def is_lasting(pod: Json) -> bool:
    """Whether a pod is to be judged again while it runs."""
    containers = items(pod, "spec", "containers")
    return any(check.concerns(one) and check.lasting(pod) for one in containers for check in CHECKS)


HELD_IMAGES = re.compile(r"(^|/)(cluster-autoscaler|k8s-device-plugin|dcgm-exporter)([:@]|$)")


async def _nvidia_plugin(pod: Json, container: Json, around: Surroundings) -> Verdict:
    seen = await _plugin_pod(pod, container, around)
    return judge_nvidia(seen) if isinstance(seen, PluginPod) else seen


async def _amd_plugin(pod: Json, container: Json, around: Surroundings) -> Verdict:
    seen = await _plugin_pod(pod, container, around)
    return judge_amd(seen) if isinstance(seen, PluginPod) else seen


async def _plugin_pod(pod: Json, container: Json, around: Surroundings) -> PluginPod | Verdict:
    machine = around.machine_of(pod)
    if machine is None:
        return cannot_start("ContainerCreating", f"no machine behind node {text(pod, 'spec', 'nodeName')}")
    environment = await around.environment(pod, container)
    namespace = text(pod, "metadata", "namespace")
    return PluginPod(
        pod=pod,
        container=container,
        environment=environment,
        arguments=command_line(container, environment),
        config_maps={name: await around.config_map(namespace, name) for name in mounted_config_maps(pod)},
        node_labels=around.node_labels(pod),
        machine=machine,
    )


async def _dcgm_exporter(pod: Json, _container: Json, around: Surroundings) -> Verdict:
    machine = around.machine_of(pod)
    gpus = machine.gpus if machine is not None else None
    if gpus is None or gpus.vendor != "nvidia":
        return crashes("Error starting nv-hostengine: DCGM initialization error: no NVIDIA GPU on this node")
    if not gpus.has_driver:
        return crashes("Error starting nv-hostengine: DCGM initialization error: no NVIDIA driver on this node")
    return runs()


def _never(_pod: Json) -> bool:
    return False


CHECKS = (
    WorkloadCheck("cluster-autoscaler", frozenset({"", "cluster-autoscaler"}), judge_autoscaler, _never),
    WorkloadCheck(
        "nvidia/k8s-device-plugin", frozenset({"", "nvidia-device-plugin"}), _nvidia_plugin, follows_its_label
    ),
    WorkloadCheck("rocm/k8s-device-plugin", frozenset({"", "k8s-device-plugin"}), _amd_plugin, _never),
    WorkloadCheck("dcgm-exporter", frozenset({"", "dcgm-exporter"}), _dcgm_exporter, _never),
)
