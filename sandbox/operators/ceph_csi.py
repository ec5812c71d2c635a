"""ceph-csi-operator: a Driver's controller and node plugin, its CSIDriver, and the end of ClientProfiles.

After ceph/ceph-csi-operator v1.0.4 internal/controller. What a driver leaves open comes from the OperatorConfig; an
empty list of its own is not left open.
"""

from __future__ import annotations

import json
import re

from sandbox.nodes.objects import Json, annotations_of, items, key_of, section, text
from sandbox.operators.placement import apart
from sandbox.operators.view import View, is_going

_MANAGER = "ceph-csi-operator"
_OPERATOR = {"control-plane": "ceph-csi-op-controller-manager"}
_CONFIG = "ceph-csi-operator-config"
_NAME = re.compile(r"^(?:.+\.)?(rbd|cephfs|nfs|nvmeof)\.csi\.ceph\.com$")
_OWNER = "csi.ceph.io/ownerref"
_CLEANUP = "csi.ceph.com/cleanup"
_KINDS = ("Driver", "OperatorConfig", "ClientProfile", "CephConnection", "CSIDriver", "ConfigMap", "Deployment")
_PLUGINS = ("nodePlugin", "controllerPlugin")


class CephCsi:
    """The ceph-csi operators of the cluster."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def reconcile(self) -> None:
        """Do what a running operator would do now."""
        if not self._view.knows(*_KINDS):
            return
        for pod in self._view.ready_pods(None, _OPERATOR)[:1]:
            namespace = key_of(pod)[0]
            for driver in self._view.all("Driver"):
                if not is_going(driver):
                    await self._driver(driver, namespace)
            for profile in self._view.all("ClientProfile"):
                await self._profile(profile)

    async def _driver(self, driver: Json, operator_namespace: str) -> None:
        namespace, name = key_of(driver)
        match = _NAME.match(name)
        present = self._view.find("CSIDriver", "", name)
        owner = json.dumps({"Namespace": namespace, "Name": name}, separators=(",", ":"))
        if match is None or (present is not None and annotations_of(present).get(_OWNER) != owner):
            await self._view.tell(driver, "ReconcileFailed", f"invalid driver name {name}", _MANAGER)
            return
        config = self._view.find("OperatorConfig", operator_namespace, _CONFIG) or {}
        defaults = section(config, "spec", "driverSpecDefaults")
        images: Json = {}
        for spec, where in ((defaults, operator_namespace), (section(driver, "spec"), namespace)):
            image_set = text(spec, "imageSet", "name")
            found = self._view.find("ConfigMap", where, image_set) if image_set else {}
            if found is None:
                message = f'Unable to load image set: configmaps "{image_set}" not found in namespace {where}'
                await self._view.tell(driver, "ReconcileFailed", message, _MANAGER)
                return
            images |= section(found, "data")
        spec = merged_spec(section(driver, "spec"), defaults)
        await self._view.keep(_csi_driver(driver, spec, owner), manager=_MANAGER)
        nodes = len(self._view.all("Node"))
        for made in (_controller(driver, spec, match[1], images, nodes), _node_plugin(driver, spec, match[1], images)):
            await self._view.keep(made, manager=_MANAGER, owner=driver)

    async def _profile(self, profile: Json) -> None:
        """Hold a profile until its entry in the drivers' configuration is gone, which here takes no time."""
        if is_going(profile):
            await self._view.let_go(profile, _CLEANUP)
        elif await self._view.hold(profile, _CLEANUP) and not self._connected(profile):
            name = text(profile, "spec", "cephConnectionRef", "name")
            message = f'Failed loading CephConnection: cephconnections.csi.ceph.io "{name}" not found'
            await self._view.tell(profile, "ReconcileFailed", message, _MANAGER)

    def _connected(self, profile: Json) -> bool:
        name = text(profile, "spec", "cephConnectionRef", "name")
        return self._view.find("CephConnection", key_of(profile)[0], name) is not None


def merged_spec(own: Json, defaults: Json) -> Json:
    """A driver's spec with what it leaves open taken from the defaults; the plugins' field by field."""
    merged = {**defaults, **{key: value for key, value in own.items() if value not in (None, "")}}
    for plugin in _PLUGINS:
        fields = {key: value for key, value in section(own, plugin).items() if value not in (None, "")}
        merged[plugin] = {**section(defaults, plugin), **fields}
    return merged


def is_configured(view: View, cluster_id: str) -> bool:
    """Whether ceph-csi finds the monitors of a cluster: a profile of that name, with a connection behind it."""
    return any(
        view.find("CephConnection", key_of(profile)[0], text(profile, "spec", "cephConnectionRef", "name"))
        for profile in view.all("ClientProfile")
        if key_of(profile)[1] == cluster_id and not is_going(profile)
    )


def _csi_driver(driver: Json, spec: Json, owner: str) -> Json:
    metadata = {"name": key_of(driver)[1], "annotations": {_OWNER: owner}}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": metadata,
        "spec": {
            "podInfoOnMount": True,
            "attachRequired": bool(spec.get("attachRequired", True)),
            "fsGroupPolicy": spec.get("fsGroupPolicy") or "File",
        },
    }


def _controller(driver: Json, spec: Json, kind: str, images: Json, nodes: int) -> Json:
    namespace, name = key_of(driver)
    plugin = section(spec, "controllerPlugin")
    app = f"{name}-ctrlplugin"
    sidecars = {"csi-provisioner": "provisioner", "csi-resizer": "resizer", "csi-attacher": "attacher"}
    if kind != "nfs" and spec.get("snapshotPolicy") != "none":
        sidecars["csi-snapshotter"] = "snapshotter"
    resources = section(plugin, "resources")
    containers = [_container(f"csi-{kind}plugin", images.get("plugin"), resources.get("plugin"))]
    containers += [_container(name, images.get(key), resources.get(key)) for name, key in sidecars.items()]
    pod = _pod(plugin, containers, text(plugin, "serviceAccountName") or f"{kind}-ctrlplugin-sa")
    if not section(plugin, "affinity", "podAntiAffinity"):
        pod = apart(pod, {"app": app}, required=True)
    replicas = plugin.get("replicas") or (1 if nodes < 2 else 2)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "strategy": section(plugin, "deploymentStrategy") or {"type": "Recreate"},
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {
                    "labels": {**section(plugin, "labels"), "app": app},
                    "annotations": section(plugin, "annotations"),
                },
                "spec": pod,
            },
        },
    }


def _node_plugin(driver: Json, spec: Json, kind: str, images: Json) -> Json:
    namespace, name = key_of(driver)
    plugin = section(spec, "nodePlugin")
    app = f"{name}-nodeplugin"
    kubelet = text(plugin, "kubeletDirPath") or "/var/lib/kubelet"
    resources = section(plugin, "resources")
    registrar = _container("driver-registrar", images.get("registrar"), resources.get("registrar"))
    registrar["args"] = [f"--kubelet-registration-path={kubelet}/plugins/{name}/csi.sock"]
    pod = _pod(
        plugin,
        [_container(f"csi-{kind}plugin", images.get("plugin"), resources.get("plugin")), registrar],
        text(plugin, "serviceAccountName") or f"{kind}-nodeplugin-sa",
    )
    pod |= {"hostNetwork": True, "hostPID": kind in ("rbd", "nvmeof"), "dnsPolicy": "ClusterFirstWithHostNet"}
    strategy = section(plugin, "updateStrategy") or {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": app, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": app}},
            "updateStrategy": strategy,
            "template": {
                "metadata": {
                    "labels": {**section(plugin, "labels"), "app": app},
                    "annotations": section(plugin, "annotations"),
                },
                "spec": pod,
            },
        },
    }


def _container(name: str, image: str | None, resources: Json | None) -> Json:
    return {"name": name, "image": image or "quay.io/cephcsi/cephcsi:v3.17.0", "resources": resources or {}}


def _pod(plugin: Json, containers: list[Json], account: str) -> Json:
    pod: Json = {
        "serviceAccountName": account,
        "containers": containers,
        "tolerations": items(plugin, "tolerations"),
        "affinity": section(plugin, "affinity"),
    }
    if text(plugin, "priorityClassName"):
        pod["priorityClassName"] = plugin["priorityClassName"]
    return pod
