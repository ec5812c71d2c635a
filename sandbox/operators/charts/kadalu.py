"""The chart `kadalu`: the operator and the CSI node plugin, each where its switch is on.

Source: kadalu/kadalu 1.2.0 helm/kadalu. Neither Deployment nor DaemonSet has a value for tolerations; the operator
gives the DaemonSet those of the last KadaluStorage it saw.
"""

from __future__ import annotations

from sandbox.nodes.objects import Json
from sandbox.operators.charts.base import Release, named

NODE_PLUGIN = "kadalu-csi-nodeplugin"
_ACCOUNTS = ("kadalu-operator", NODE_PLUGIN, "kadalu-csi-provisioner", "kadalu-server-sa")


def kadalu(release: Release, values: Json) -> list[Json]:
    """Service accounts and the operator's Deployment; the node plugin's DaemonSet."""
    made: list[Json] = []
    if values["operator"]["enabled"]:
        made += [named("v1", "ServiceAccount", release.namespace, name) for name in _ACCOUNTS]
    if values["csi-nodeplugin"]["enabled"]:
        made.append(_node_plugin(release, values))
    if values["operator"]["enabled"]:
        made.append(_operator(release, values))
    return made


def _images(values: Json) -> str:
    of = values["global"]["image"]
    return f"{of['registry']}/{of['repository']}"


def _kubelet(values: Json) -> str:
    return values["global"]["kubeletDir"] or "/var/lib/kubelet"


def _operator(release: Release, values: Json) -> Json:
    labels = {
        "app.kubernetes.io/part-of": "kadalu",
        "app.kubernetes.io/name": "kadalu-operator",
        "app.kubernetes.io/component": "operator",
    }
    environment = {
        "IMAGES_HUB": values["global"]["image"]["registry"],
        "DOCKER_USER": values["global"]["image"]["repository"],
        "KADALU_VERSION": release.version,
        "KADALU_NAMESPACE": release.namespace,
        "KUBELET_DIR": _kubelet(values),
    }
    container = {
        "name": "kadalu-operator",
        "securityContext": {"privileged": True},
        "image": f"{_images(values)}/kadalu-operator:{release.version}",
        "env": [{"name": key, "value": value} for key, value in environment.items()],
    }
    made = named("apps/v1", "Deployment", release.namespace, "operator", labels)
    made["spec"] = {
        "replicas": 1,
        "selector": {"matchLabels": {"name": "kadalu"}},
        "template": {
            "metadata": {"labels": {"name": "kadalu", "app.kubernetes.io/part-of": "kadalu"}},
            "spec": {"serviceAccountName": "kadalu-operator", "containers": [container]},
        },
    }
    return made


def _node_plugin(release: Release, values: Json) -> Json:
    labels = {
        "app.kubernetes.io/part-of": "kadalu",
        "app.kubernetes.io/name": NODE_PLUGIN,
        "app.kubernetes.io/component": "csi-driver",
    }
    folder = _kubelet(values)
    registrar = {
        "name": "csi-node-driver-registrar",
        "image": "docker.io/raspbernetes/csi-node-driver-registrar:2.0.1",
        "args": [
            "--v=5",
            "--csi-address=$(ADDRESS)",
            "--kubelet-registration-path=$(DRIVER_REG_SOCK_PATH)",
        ],
        "env": [
            {"name": "ADDRESS", "value": "/plugin/csi.sock"},
            {"name": "DRIVER_REG_SOCK_PATH", "value": f"{folder}/plugins/kadalu/csi.sock"},
        ],
        "volumeMounts": [{"name": "registration-dir", "mountPath": "/registration"}],
    }
    plugin = {
        "name": "kadalu-nodeplugin",
        "securityContext": {"privileged": True},
        "image": f"{_images(values)}/kadalu-csi:{release.version}",
        "env": [{"name": "CSI_ROLE", "value": "nodeplugin"}],
    }
    made = named("apps/v1", "DaemonSet", release.namespace, NODE_PLUGIN, labels)
    made["spec"] = {
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": NODE_PLUGIN,
                "containers": [registrar, plugin, {"name": "kadalu-logging", "image": "docker.io/library/busybox"}],
                "volumes": [
                    {"name": "registration-dir", "hostPath": {"path": f"{folder}/plugins_registry/"}},
                    {"name": "glusterfsd-volfilesdir", "configMap": {"name": "kadalu-info"}},
                ],
            },
        },
    }
    return made
