"""The CSI driver of Azure Managed Lustre, as typed Kubernetes objects: its project publishes no chart.

Owns what v0.4.0 of the driver needs in the cluster: the CSIDriver, service accounts and their rights, the controller
on the system pool, and a node plugin per release of Ubuntu, as Lustre's client is a kernel module. Source: names,
images, arguments and rights of kubernetes-sigs/azurelustre-csi-driver v0.4.0 `deploy/`.

The controller gets no identity: file systems are the stack's to make, it only hands out their addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.rbac import v1 as rbac
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import Toleration
from components.file_system.base import toleration_args

DRIVER = "azurelustre.csi.azure.com"
NAMESPACE = "kube-system"
_IMAGE = "mcr.microsoft.com/oss/v2/kubernetes-csi/azurelustre-csi:v0.4.0"
_PROVISIONER = "mcr.microsoft.com/oss/kubernetes-csi/csi-provisioner:v5.2.0"
_REGISTRAR = "mcr.microsoft.com/oss/kubernetes-csi/csi-node-driver-registrar:v2.13.0"
_PROBE = "mcr.microsoft.com/oss/kubernetes-csi/livenessprobe:v2.15.0"
_CONTROLLER, _NODE = "csi-azurelustre-controller", "csi-azurelustre-node"
_CONTROLLER_PORT, _NODE_PORT = 29762, 29763
_PLUGIN_FOLDER = f"/var/lib/kubelet/plugins/{DRIVER}"
_RBAC = "rbac.authorization.k8s.io"
Rules = Sequence[tuple[str, Sequence[str], Sequence[str]]]

_READ = ("get", "list", "watch")
_CONTROLLER_RULES: Rules = (
    ("", ("persistentvolumes",), (*_READ, "create", "delete", "patch")),
    ("", ("persistentvolumeclaims",), (*_READ, "update")),
    ("", ("events",), (*_READ, "create", "update", "patch")),
    ("", ("nodes",), _READ),
    ("storage.k8s.io", ("storageclasses", "csinodes"), _READ),
    ("coordination.k8s.io", ("leases",), (*_READ, "create", "update", "patch")),
)
_NODE_RULES: Rules = (("", ("nodes",), ("get", "patch")),)
"""The plugin takes the start-up taint off its node. Secrets, which upstream lets it read, it needs for nothing here."""


@dataclass(frozen=True)
class Flavor:
    """One release of Ubuntu: the nodes it is on, and the client that fits its kernel."""

    name: str
    os_skus: tuple[str, ...]
    lustre_version: str
    client_suffix: str


FLAVORS = (
    Flavor("jammy", ("Ubuntu2204", "Ubuntu2004"), "2.15.7", "33-g79ddf99"),
    Flavor("noble", ("Ubuntu2404",), "2.16.1", "14-gbc76088"),
)


def lustre_driver(
    name: str, *, every_pool: Sequence[Toleration], opts: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Declare the driver.

    Args:
        name: logical name; objects' names begin with it.
        every_pool: tolerations of the node plugins: they run wherever a pod may mount.
        opts: parent and provider.

    Returns:
        What a volume must come after, and go before.
    """
    driver = storage.CSIDriver(
        f"{name}-driver",
        metadata=meta.ObjectMetaArgs(name=DRIVER),
        spec=storage.CSIDriverSpecArgs(fs_group_policy="File", attach_required=False, pod_info_on_mount=True),
        opts=opts,
    )
    controller_account = _account(f"{name}-controller", f"{_CONTROLLER}-sa", _CONTROLLER_RULES, opts)
    node_account = _account(f"{name}-node", f"{_NODE}-sa", _NODE_RULES, opts)
    controller = apps.Deployment(
        f"{name}-controller",
        metadata=meta.ObjectMetaArgs(name=_CONTROLLER, namespace=NAMESPACE, labels={"app": _CONTROLLER}),
        spec=apps.DeploymentSpecArgs(
            replicas=2,
            selector=meta.LabelSelectorArgs(match_labels={"app": _CONTROLLER}),
            template=core.PodTemplateSpecArgs(
                metadata=meta.ObjectMetaArgs(labels={"app": _CONTROLLER}), spec=_controller_pod()
            ),
        ),
        opts=_after(opts, *controller_account, driver),
    )
    plugins = [
        apps.DaemonSet(
            f"{name}-node-{flavor.name}",
            metadata=meta.ObjectMetaArgs(name=f"{_NODE}-{flavor.name}", namespace=NAMESPACE, labels=_labels(flavor)),
            spec=apps.DaemonSetSpecArgs(
                selector=meta.LabelSelectorArgs(match_labels=_labels(flavor)),
                update_strategy=apps.DaemonSetUpdateStrategyArgs(
                    type="RollingUpdate", rolling_update=apps.RollingUpdateDaemonSetArgs(max_unavailable=1)
                ),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=_labels(flavor)), spec=_node_pod(flavor, every_pool)
                ),
            ),
            opts=_after(opts, *node_account, driver),
        )
        for flavor in FLAVORS
    ]
    return [controller, *plugins]


def _account(name: str, account: str, rules: Rules, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """A service account with its rights in the whole cluster."""
    role = rbac.ClusterRole(
        name,
        metadata=meta.ObjectMetaArgs(name=account),
        rules=[
            rbac.PolicyRuleArgs(api_groups=[group], resources=list(resources), verbs=list(verbs))
            for group, resources, verbs in rules
        ],
        opts=opts,
    )
    made = core.ServiceAccount(name, metadata=meta.ObjectMetaArgs(name=account, namespace=NAMESPACE), opts=opts)
    binding = rbac.ClusterRoleBinding(
        name,
        metadata=meta.ObjectMetaArgs(name=account),
        role_ref=rbac.RoleRefArgs(api_group=_RBAC, kind="ClusterRole", name=account),
        subjects=[rbac.SubjectArgs(kind="ServiceAccount", name=account, namespace=NAMESPACE)],
        opts=_after(opts, role),
    )
    return [made, binding]


def _controller_pod() -> core.PodSpecArgs:
    """Two of them, on different system machines where there are two; one leads."""
    socket = core.VolumeMountArgs(name="socket-dir", mount_path="/csi")
    containers = [
        core.ContainerArgs(
            name="csi-provisioner",
            image=_PROVISIONER,
            args=[
                "-v=2",
                "--csi-address=/csi/csi.sock",
                "--leader-election",
                "--timeout=15m",
                "--extra-create-metadata=true",
            ],
            volume_mounts=[socket],
            resources=_resources("100m", "300Mi"),
        ),
        _probe(_CONTROLLER_PORT, socket),
        core.ContainerArgs(
            name="azurelustre",
            image=f"{_IMAGE}-jammy",
            args=["-v=5", "--endpoint=unix:///csi/csi.sock", "--enable-azurelustre-mock-dyn-prov=false"],
            env=_env(AZURELUSTRE_CSI_INSTALL_LUSTRE_CLIENT="no"),
            ports=[core.ContainerPortArgs(name="healthz", container_port=_CONTROLLER_PORT)],
            liveness_probe=_healthz(),
            security_context=core.SecurityContextArgs(privileged=True),
            volume_mounts=[socket, core.VolumeMountArgs(name="azure-cred", mount_path="/etc/kubernetes/")],
            resources=_resources("1", "200Mi"),
        ),
    ]
    return core.PodSpecArgs(
        service_account_name=f"{_CONTROLLER}-sa",
        priority_class_name="system-cluster-critical",
        node_selector={"kubernetes.azure.com/mode": "system"},
        tolerations=[core.TolerationArgs(key="CriticalAddonsOnly", operator="Exists")],
        topology_spread_constraints=[
            core.TopologySpreadConstraintArgs(
                max_skew=1,
                topology_key="kubernetes.io/hostname",
                when_unsatisfiable="ScheduleAnyway",
                label_selector=meta.LabelSelectorArgs(match_labels={"app": _CONTROLLER}),
            )
        ],
        containers=containers,
        volumes=[
            core.VolumeArgs(name="socket-dir", empty_dir=core.EmptyDirVolumeSourceArgs()),
            _host_path("azure-cred", "/etc/kubernetes/", "DirectoryOrCreate"),
        ],
    )


def _node_pod(flavor: Flavor, every_pool: Sequence[Toleration]) -> core.PodSpecArgs:
    socket = core.VolumeMountArgs(name="socket-dir", mount_path="/csi")
    on_release = core.NodeSelectorRequirementArgs(
        key="kubernetes.azure.com/os-sku-effective", operator="In", values=list(flavor.os_skus)
    )
    # Kept off the system pool, where nothing mounts.
    in_a_pool = core.NodeSelectorRequirementArgs(key="trainyard/pool", operator="Exists")
    return core.PodSpecArgs(
        host_network=True,
        dns_policy="Default",
        service_account_name=f"{_NODE}-sa",
        priority_class_name="system-node-critical",
        affinity=core.AffinityArgs(
            node_affinity=core.NodeAffinityArgs(
                required_during_scheduling_ignored_during_execution=core.NodeSelectorArgs(
                    node_selector_terms=[core.NodeSelectorTermArgs(match_expressions=[on_release, in_a_pool])]
                )
            )
        ),
        tolerations=toleration_args(every_pool),
        containers=[_probe(_NODE_PORT, socket), _registrar(socket), _plugin(flavor, socket)],
        volumes=[
            _host_path("socket-dir", _PLUGIN_FOLDER, "DirectoryOrCreate"),
            _host_path("registration-dir", "/var/lib/kubelet/plugins_registry/", "Directory"),
            _host_path("mountpoint-dir", "/var/lib/kubelet/", "Directory"),
            _host_path("azure-cred", "/etc/kubernetes/", "DirectoryOrCreate"),
            _host_path("host-dev", "/dev", "Directory"),
            _host_path("host-os-release", "/etc/os-release", "File"),
        ],
    )


def _plugin(flavor: Flavor, socket: core.VolumeMountArgs) -> core.ContainerArgs:
    """Installs Lustre's client on its node and mounts. It is ready, and registered, only once the client works."""
    ready = core.ExecActionArgs(command=["/app/readinessProbe.sh"])
    return core.ContainerArgs(
        name="azurelustre",
        image=f"{_IMAGE}-{flavor.name}",
        args=["-v=5", "--endpoint=unix:///csi/csi.sock", "--nodeid=$(KUBE_NODE_NAME)"],
        env=[
            *_env(
                AZURELUSTRE_CSI_INSTALL_LUSTRE_CLIENT="yes",
                LUSTRE_VERSION=flavor.lustre_version,
                CLIENT_SHA_SUFFIX=flavor.client_suffix,
            ),
            core.EnvVarArgs(
                name="KUBE_NODE_NAME",
                value_from=core.EnvVarSourceArgs(field_ref=core.ObjectFieldSelectorArgs(field_path="spec.nodeName")),
            ),
        ],
        ports=[core.ContainerPortArgs(name="healthz", container_port=_NODE_PORT)],
        lifecycle=core.LifecycleArgs(
            pre_stop=core.LifecycleHandlerArgs(exec_=core.ExecActionArgs(command=["/bin/sh", "-c", "lustre_rmmod"]))
        ),
        liveness_probe=_healthz(),
        readiness_probe=core.ProbeArgs(
            exec_=ready, failure_threshold=5, initial_delay_seconds=10, timeout_seconds=10, period_seconds=30
        ),
        startup_probe=core.ProbeArgs(
            exec_=ready, failure_threshold=120, initial_delay_seconds=10, timeout_seconds=5, period_seconds=5
        ),
        security_context=core.SecurityContextArgs(privileged=True),
        volume_mounts=[
            socket,
            core.VolumeMountArgs(
                name="mountpoint-dir", mount_path="/var/lib/kubelet/", mount_propagation="Bidirectional"
            ),
            core.VolumeMountArgs(name="azure-cred", mount_path="/etc/kubernetes/"),
            core.VolumeMountArgs(name="host-dev", mount_path="/dev"),
            core.VolumeMountArgs(name="host-os-release", mount_path="/etc/host-os-release"),
        ],
        resources=_resources("1", "200Mi"),
    )


def _registrar(socket: core.VolumeMountArgs) -> core.ContainerArgs:
    path = f"--kubelet-registration-path={_PLUGIN_FOLDER}/csi.sock"
    return core.ContainerArgs(
        name="node-driver-registrar",
        image=_REGISTRAR,
        args=["--csi-address=/csi/csi.sock", path, "--v=2"],
        liveness_probe=core.ProbeArgs(
            exec_=core.ExecActionArgs(
                command=["/csi-node-driver-registrar", path, "--mode=kubelet-registration-probe"]
            ),
            initial_delay_seconds=30,
            timeout_seconds=15,
        ),
        volume_mounts=[socket, core.VolumeMountArgs(name="registration-dir", mount_path="/registration")],
        resources=_resources("100m", "100Mi"),
    )


def _probe(port: int, socket: core.VolumeMountArgs) -> core.ContainerArgs:
    return core.ContainerArgs(
        name="liveness-probe",
        image=_PROBE,
        args=["--csi-address=/csi/csi.sock", "--probe-timeout=120s", f"--health-port={port}", "--v=2"],
        volume_mounts=[socket],
        resources=_resources("100m", "100Mi"),
    )


def _healthz() -> core.ProbeArgs:
    return core.ProbeArgs(
        http_get=core.HTTPGetActionArgs(path="/healthz", port="healthz"),
        failure_threshold=5,
        initial_delay_seconds=60,
        timeout_seconds=10,
        period_seconds=30,
    )


def _labels(flavor: Flavor) -> dict[str, str]:
    return {"app": _NODE, "flavor": flavor.name}


def _after(opts: pulumi.ResourceOptions, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=list(needs)))


def _resources(cpu_limit: str, memory_limit: str) -> core.ResourceRequirementsArgs:
    return core.ResourceRequirementsArgs(
        requests={"cpu": "10m", "memory": "20Mi"}, limits={"cpu": cpu_limit, "memory": memory_limit}
    )


def _env(**variables: str) -> list[core.EnvVarArgs]:
    return [core.EnvVarArgs(name=name, value=value) for name, value in variables.items()]


def _host_path(name: str, path: str, kind: str) -> core.VolumeArgs:
    return core.VolumeArgs(name=name, host_path=core.HostPathVolumeSourceArgs(path=path, type=kind))
