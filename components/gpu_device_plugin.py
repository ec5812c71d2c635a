"""What turns a machine with GPUs into a node that pods can ask GPUs of.

Owns the vendors' device plugins, one DaemonSet per way of sharing, and the DCGM exporter for GPU metrics. AKS installs
the driver (or the pool says who does) and nothing else: without these pods no GPU is ever allocatable.

A DaemonSet per way of sharing keeps each one's configuration in plain sight and needs no sidecar that rewrites it;
nodes are chosen by the label `nvidia.com/device-plugin.config`, so a changed pool moves from one to the other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from capacity.pools import DEVICE_PLUGIN_CONFIG, PoolPlan

NAMESPACE = "kube-system"
NVIDIA_IMAGE = "nvcr.io/nvidia/k8s-device-plugin:v0.20.0"
AMD_IMAGE = "docker.io/rocm/k8s-device-plugin:1.31.0.9"
DCGM_IMAGE = "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless"
DCGM_PORT = 9400
_PLUGIN_FOLDER = "/var/lib/kubelet/device-plugins"
_CONFIG_FOLDER = "/etc/nvidia-device-plugin"
_POD_RESOURCES = "/var/lib/kubelet/pod-resources"
_UNPRIVILEGED = core.SecurityContextArgs(
    allow_privilege_escalation=False, capabilities=core.CapabilitiesArgs(drop=["ALL"])
)
_SYS_ADMIN = core.SecurityContextArgs(run_as_user=0, capabilities=core.CapabilitiesArgs(add=["SYS_ADMIN"]))


@dataclass(frozen=True)
class Sharing:
    """One way in which pods share GPUs; `name` is the nodes' label `nvidia.com/device-plugin.config`."""

    name: str
    mig_strategy: str
    replicas: int | None

    @property
    def config(self) -> str:
        """The plugin's configuration file, JSON being YAML."""
        document: dict[str, object] = {"version": "v1", "flags": {"migStrategy": self.mig_strategy}}
        if self.replicas:
            resource = {"name": "nvidia.com/gpu", "replicas": self.replicas}
            document["sharing"] = {"timeSlicing": {"renameByDefault": False, "resources": [resource]}}
        return json.dumps(document, indent=2, sort_keys=True)


def sharings(pools: Mapping[str, PoolPlan]) -> list[Sharing]:
    """The ways of sharing that a stack's NVIDIA pools use, in a stable order."""
    found: dict[str, Sharing] = {}
    for plan in pools.values():
        if plan.device_plugin_config:
            gpu = plan.settings.gpu
            strategy = gpu.mig_strategy if gpu.sharing == "mig" else "none"
            found[plan.device_plugin_config] = Sharing(plan.device_plugin_config, strategy, gpu.replicas)
    return [found[name] for name in sorted(found)]


class GpuDevicePlugin(pulumi.ComponentResource):
    """Device plugins and GPU metrics for a stack's GPU pools.

    Args:
        pools: key to plan; pools without GPUs are passed over.
        provider: the cluster.
    """

    def __init__(
        self,
        name: str,
        *,
        pools: Mapping[str, PoolPlan],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:GpuDevicePlugin", name, None, opts)
        self._label = name
        self._child = pulumi.ResourceOptions(parent=self, provider=provider)
        nvidia = sharings(pools)
        for sharing in nvidia:
            self._nvidia(sharing)
        if nvidia:
            self._dcgm_exporter()
        amd = sorted(key for key, plan in pools.items() if plan.gpu_resource == "amd.com/gpu")
        if amd:
            self._amd(amd)
        self.register_outputs({})

    def _nvidia(self, sharing: Sharing) -> None:
        label = f"nvidia-device-plugin-{sharing.name}"
        config = core.ConfigMap(
            f"{self._label}-nvidia-{sharing.name}",
            metadata=meta.ObjectMetaArgs(name=label, namespace=NAMESPACE),
            data={"config.yaml": sharing.config},
            opts=self._child,
        )
        container = core.ContainerArgs(
            name="nvidia-device-plugin",
            image=NVIDIA_IMAGE,
            env=_env(
                CONFIG_FILE=f"{_CONFIG_FOLDER}/config.yaml",
                MIG_STRATEGY=sharing.mig_strategy,
                NVIDIA_VISIBLE_DEVICES="all",
                NVIDIA_DRIVER_CAPABILITIES="compute,utility",
            ),
            resources=_resources("20m", "64Mi", "128Mi"),
            # MIG devices are read with more rights than whole GPUs: NVIDIA's chart does the same.
            security_context=_UNPRIVILEGED if sharing.mig_strategy == "none" else _SYS_ADMIN,
            volume_mounts=[
                core.VolumeMountArgs(name="plugins", mount_path=_PLUGIN_FOLDER),
                core.VolumeMountArgs(name="config", mount_path=_CONFIG_FOLDER, read_only=True),
            ],
        )
        self._daemon_set(
            f"{self._label}-nvidia-{sharing.name}",
            label,
            nodes=_nodes(DEVICE_PLUGIN_CONFIG, "In", [sharing.name]),
            container=container,
            volumes=[
                _host_path("plugins", _PLUGIN_FOLDER),
                core.VolumeArgs(name="config", config_map=core.ConfigMapVolumeSourceArgs(name=config.metadata.name)),
            ],
            # A changed configuration starts the pods anew: the plugin reads it once.
            annotations={"trainyard/config": sharing.config},
        )

    def _amd(self, pools: list[str]) -> None:
        container = core.ContainerArgs(
            name="amd-device-plugin",
            image=AMD_IMAGE,
            resources=_resources("20m", "64Mi", "128Mi"),
            security_context=_UNPRIVILEGED,
            volume_mounts=[
                core.VolumeMountArgs(name="plugins", mount_path=_PLUGIN_FOLDER),
                core.VolumeMountArgs(name="sys", mount_path="/sys", read_only=True),
            ],
        )
        self._daemon_set(
            f"{self._label}-amd",
            "amd-device-plugin",
            nodes=_nodes("trainyard/pool", "In", pools),
            container=container,
            volumes=[_host_path("plugins", _PLUGIN_FOLDER), _host_path("sys", "/sys")],
        )

    def _dcgm_exporter(self) -> None:
        container = core.ContainerArgs(
            name="dcgm-exporter",
            image=DCGM_IMAGE,
            env=_env(
                DCGM_EXPORTER_LISTEN=f":{DCGM_PORT}", DCGM_EXPORTER_KUBERNETES="true", NVIDIA_VISIBLE_DEVICES="all"
            ),
            ports=[core.ContainerPortArgs(name="metrics", container_port=DCGM_PORT)],
            resources=_resources("50m", "256Mi", "512Mi"),
            security_context=_SYS_ADMIN,
            volume_mounts=[core.VolumeMountArgs(name="pod-resources", mount_path=_POD_RESOURCES, read_only=True)],
        )
        self._daemon_set(
            f"{self._label}-dcgm",
            "dcgm-exporter",
            nodes=_nodes(DEVICE_PLUGIN_CONFIG, "Exists"),
            container=container,
            volumes=[_host_path("pod-resources", _POD_RESOURCES)],
            annotations={"prometheus.io/scrape": "true", "prometheus.io/port": str(DCGM_PORT)},
        )

    def _daemon_set(
        self,
        name: str,
        label: str,
        *,
        nodes: core.NodeSelectorRequirementArgs,
        container: core.ContainerArgs,
        volumes: list[core.VolumeArgs],
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """A DaemonSet on some nodes, whatever their taints: without it their GPUs do not exist."""
        labels = {"app.kubernetes.io/name": label, "app.kubernetes.io/part-of": "trainyard"}
        on_nodes = core.NodeSelectorArgs(node_selector_terms=[core.NodeSelectorTermArgs(match_expressions=[nodes])])
        apps.DaemonSet(
            name,
            metadata=meta.ObjectMetaArgs(name=label, namespace=NAMESPACE, labels=labels),
            spec=apps.DaemonSetSpecArgs(
                selector=meta.LabelSelectorArgs(match_labels={"app.kubernetes.io/name": label}),
                update_strategy=apps.DaemonSetUpdateStrategyArgs(type="RollingUpdate"),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=labels, annotations=dict(annotations or {})),
                    spec=core.PodSpecArgs(
                        priority_class_name="system-node-critical",
                        automount_service_account_token=False,
                        tolerations=[core.TolerationArgs(operator="Exists")],
                        affinity=core.AffinityArgs(
                            node_affinity=core.NodeAffinityArgs(
                                required_during_scheduling_ignored_during_execution=on_nodes
                            )
                        ),
                        containers=[container],
                        volumes=volumes,
                    ),
                ),
            ),
            opts=self._child,
        )


def _resources(cpu: str, memory: str, memory_limit: str) -> core.ResourceRequirementsArgs:
    return core.ResourceRequirementsArgs(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory_limit})


def _nodes(key: str, operator: str, values: list[str] | None = None) -> core.NodeSelectorRequirementArgs:
    return core.NodeSelectorRequirementArgs(key=key, operator=operator, values=values)


def _env(**variables: str) -> list[core.EnvVarArgs]:
    return [core.EnvVarArgs(name=name, value=value) for name, value in variables.items()]


def _host_path(name: str, path: str) -> core.VolumeArgs:
    return core.VolumeArgs(name=name, host_path=core.HostPathVolumeSourceArgs(path=path))
