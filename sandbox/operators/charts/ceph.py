"""The charts `rook-ceph` (with its subchart ceph-csi-operator) and `ceph-csi-drivers`.

Source: rook/rook v1.20.6 deploy/charts/rook-ceph/templates, ceph/ceph-csi-operator v1.0.4 deploy/charts/*/templates.
"""

from __future__ import annotations

from sandbox.nodes.objects import Json, section, text
from sandbox.operators.charts.base import Release, image, merged, named, some

CSI_IMAGES = "rook-csi-operator-image-set-configmap"
_CLUSTER_ACCOUNTS = ("osd", "mgr", "cmd-reporter", "purge-osd", "rgw", "default", "nvmeof")
_IMAGE_NAMES = {"cephcsi": "plugin", "csiAddons": "addons"}
"""Value of the chart to its key in the image set; the others have one name."""


def rook_ceph(release: Release, values: Json) -> list[Json]:
    """The operator, the service accounts of what it makes, the CSI images, and the CSI operator."""
    labels = {
        "operator": "rook",
        "storage-backend": "ceph",
        "app.kubernetes.io/name": "rook-ceph",
        "app.kubernetes.io/instance": release.name,
        "app.kubernetes.io/part-of": "rook-ceph-operator",
    }
    accounts = ["rook-ceph-system", *(f"rook-ceph-{name}" for name in _CLUSTER_ACCOUNTS)]
    made = [named("v1", "ServiceAccount", release.namespace, name, labels) for name in accounts]
    images = named("v1", "ConfigMap", release.namespace, CSI_IMAGES, labels)
    images["data"] = {
        _IMAGE_NAMES.get(key, key): image(section(values, "csi", key), "")
        for key in ("provisioner", "attacher", "resizer", "snapshotter", "registrar", "cephcsi", "csiAddons")
    }
    made += [images, _rook_operator(release, values, labels)]
    if values["csi"]["installCsiOperator"]:
        made += _csi_operator(release, values["ceph-csi-operator"])
    return made


def _rook_operator(release: Release, values: Json, labels: Json) -> Json:
    unreachable = {
        "effect": "NoExecute",
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "tolerationSeconds": values["unreachableNodeTolerationSeconds"],
    }
    container = {
        "name": "rook-ceph-operator",
        "image": image(values["image"], release.version),
        "args": ["ceph", "operator"],
        "env": [{"name": "ROOK_CURRENT_NAMESPACE_ONLY", "value": str(values["currentNamespaceOnly"]).lower()}],
        **some(resources=values.get("resources")),
    }
    pod: Json = {
        "serviceAccountName": "rook-ceph-system",
        "tolerations": [unreachable, *(values.get("tolerations") or [])],
        "containers": [container],
        **some(priorityClassName=values.get("priorityClassName"), nodeSelector=values.get("nodeSelector")),
    }
    pod_labels: Json = {"app": "rook-ceph-operator", **(values.get("operatorPodLabels") or {})}
    made = named("apps/v1", "Deployment", release.namespace, "rook-ceph-operator", labels)
    made["spec"] = {
        "replicas": 0 if values["scaleDownOperator"] else 1,
        "selector": {"matchLabels": {"app": "rook-ceph-operator"}},
        "strategy": {"type": "Recreate"},
        "template": {"metadata": {"labels": pod_labels, **some(annotations=values.get("annotations"))}, "spec": pod},
    }
    return made


def _csi_operator(release: Release, values: Json) -> list[Json]:
    name = values["fullnameOverride"]
    labels = {"app.kubernetes.io/name": values["nameOverride"], "app.kubernetes.io/instance": release.name}
    selector = {"control-plane": "ceph-csi-op-controller-manager", **labels}
    manager = values["controllerManager"]
    environment = {
        "CSI_SERVICE_ACCOUNT_PREFIX": manager["manager"]["env"]["csiServiceAccountPrefix"],
        "WATCH_NAMESPACE": manager["manager"]["env"]["watchNamespace"],
    }
    container = {
        "name": "manager",
        "image": image(manager["manager"]["image"], ""),
        "command": ["/manager"],
        "args": ["--leader-elect"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        **some(resources=manager["manager"].get("resources")),
    }
    pod = {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        **some(
            **{
                key: manager.get(key)
                for key in ("tolerations", "nodeSelector", "priorityClassName", "topologySpreadConstraints")
            }
        ),
    }
    deployment = named("apps/v1", "Deployment", release.namespace, f"{name}-controller-manager", labels)
    deployment["spec"] = {
        "replicas": manager["replicas"],
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": selector}, "spec": pod},
    }
    return [named("v1", "ServiceAccount", release.namespace, name, labels), deployment]


def ceph_csi_drivers(release: Release, values: Json) -> list[Json]:
    """Drivers, their service accounts, and the operator's configuration; Rook makes connections and profiles itself."""
    drivers = [one for one in section(values, "drivers").values() if one["enabled"]]
    made: list[Json] = []
    for driver in drivers:
        accounts = (f"{_account(driver)}-{which}-sa" for which in ("ctrlplugin", "nodeplugin"))
        made += [named("v1", "ServiceAccount", release.namespace, name) for name in accounts]
    config = values["operatorConfig"]
    if config["create"]:
        one = named("csi.ceph.io/v1", "OperatorConfig", config["namespace"] or release.namespace, config["name"])
        one["spec"] = {"driverSpecDefaults": _driver_spec(config["driverSpecDefaults"])}
        made.append(one)
    for driver in drivers:
        one = named("csi.ceph.io/v1", "Driver", release.namespace, driver["name"])
        accounts = {
            which: {"serviceAccountName": f"{_account(driver)}-{short}-sa"}
            for which, short in (("nodePlugin", "nodeplugin"), ("controllerPlugin", "ctrlplugin"))
        }
        one["spec"] = merged(_driver_spec(driver), accounts)
        made.append(one)
    return made


def _account(driver: Json) -> str:
    return str(driver["name"]).lower().replace(".", "-")


def _driver_spec(values: Json) -> Json:
    """A driver's `spec` as the templates write it: tolerations and volumes are there even where they are empty."""
    node, controller = section(values, "nodePlugin"), section(values, "controllerPlugin")
    rotation = section(values, "log", "rotation")
    log: Json = {"verbosity": section(values, "log").get("verbosity", 0)}
    if rotation and rotation.get("enabled") is not False:
        log["rotation"] = some(**{key: value for key, value in rotation.items() if key != "enabled"})
    spec: Json = {
        "log": log,
        **{
            key: values[key]
            for key in (
                *("enableFencing", "grpcTimeout", "snapshotPolicy", "generateOMapInfo", "fsGroupPolicy"),
                *("attachRequired", "deployCsiAddons", "cephFsClientType", "kernelMountOptions", "fuseMountOptions"),
            )
            if values.get(key) is not None
        },
        **some(clusterName=values.get("clusterName")),
        "nodePlugin": {
            **_common(node),
            **some(
                updateStrategy=node.get("updateStrategy"),
                kubeletDirPath=node.get("kubeletDirPath"),
                topology=node.get("topology"),
            ),
        },
        "controllerPlugin": {
            **_common(controller),
            "hostNetwork": bool(controller.get("hostNetwork")),
            "replicas": controller.get("replicas") or 2,
            "privileged": bool(controller.get("privileged")),
            **some(deploymentStrategy=controller.get("deploymentStrategy")),
        },
    }
    if text(values, "imageSet", "name"):
        spec["imageSet"] = {"name": values["imageSet"]["name"]}
    if text(values, "encryption", "configMapRef", "name"):
        spec["encryption"] = {"configMapRef": {"name": values["encryption"]["configMapRef"]["name"]}}
    return spec


def _common(plugin: Json) -> Json:
    made: Json = {
        "volumes": plugin.get("volumes") or [],
        **some(
            **{
                key: plugin.get(key)
                for key in (
                    *("priorityClassName", "labels", "annotations", "affinity", "imagePullPolicy"),
                    *("resources", "containerExtraArgs"),
                )
            }
        ),
    }
    if plugin.get("tolerations") is not None:
        made["tolerations"] = plugin["tolerations"]
    return made
