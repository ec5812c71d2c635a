"""Kadalu's operator: CSI provisioner, storage pools with their servers, StorageClasses.

After kadalu/kadalu 1.2.0 kadalu_operator/main.py and templates. It has neither finalizers nor status: a pool is there
when its servers run. A pool whose KadaluStorage went while volumes of it existed keeps its servers. Pools of type
External are left out.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import cast

from sandbox.kubernetes_client import path
from sandbox.nodes.objects import Json, items, key_of, section, text
from sandbox.operators.charts.kadalu import NODE_PLUGIN
from sandbox.operators.view import View, is_going

DRIVER = "kadalu"
CONFIG = "kadalu-info"
_MANAGER = "kadalu"
_KINDS = ("KadaluStorage", "ConfigMap", "StatefulSet", "DaemonSet", "Service", "StorageClass")
_BRICKS = {"Replica1": 1, "Replica2": 2, "Replica3": 3, "Arbiter": 3}
_SERVER = {
    "app.kubernetes.io/part-of": "kadalu",
    "app.kubernetes.io/component": "server",
    "app.kubernetes.io/name": "server",
}
_PROVISIONER = {
    "app.kubernetes.io/part-of": "kadalu",
    "app.kubernetes.io/component": "csi-driver",
    "app.kubernetes.io/name": "kadalu-csi-provisioner",
}


class Kadalu:
    """The Kadalu operator of the cluster."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def reconcile(self) -> None:
        """Do what a running operator would do now."""
        if not self._view.knows(*_KINDS):
            return
        for pod in operator_pods(self._view)[:1]:
            namespace = key_of(pod)[0]
            await self._common(pod, namespace)
            pools = {key_of(one)[1]: one for one in self._view.all("KadaluStorage") if not is_going(one)}
            for pool in pools.values():
                problem = problem_of(pool)
                if problem:
                    await self._view.tell(pool, "ValidationFailed", problem, "kadalu-operator")
                else:
                    await self._pool(pool, pod, namespace)
            for name in set(self._known(namespace)) - set(pools):
                await self._remove(name, namespace)

    def _known(self, namespace: str) -> dict[str, Json]:
        """The pools that the operator has written down."""
        return pools_of(self._view.find("ConfigMap", namespace, CONFIG) or {})

    async def _common(self, pod: Json, namespace: str) -> None:
        config = self._view.find("ConfigMap", namespace, CONFIG)
        if config is None:
            made = _object("v1", "ConfigMap", namespace, CONFIG)
            made["data"] = {"volumes": "", "uid": str(uuid.uuid5(uuid.NAMESPACE_OID, pod["metadata"]["uid"]))}
            await self._view.keep(made, manager=_MANAGER)
        driver = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": DRIVER}}
        await self._view.keep({**driver, "spec": {"attachRequired": False, "podInfoOnMount": True}}, manager=_MANAGER)
        await self._view.keep(_provisioner(pod, namespace), manager=_MANAGER)

    async def _pool(self, pool: Json, pod: Json, namespace: str) -> None:
        name = key_of(pool)[1]
        known = self._known(namespace).get(name)
        info = _info(pool, known)
        if info != known:
            config = self._view.find("ConfigMap", namespace, CONFIG)
            if config is None:
                return
            await self._view.write(config, {f"{name}.info": json.dumps(info, sort_keys=True)})
        single = bool(section(pool, "spec").get("single_pv_per_pool"))
        storage_class: Json = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": f"kadalu.{name}"},
            "provisioner": DRIVER,
            "allowVolumeExpansion": not single,
            "parameters": {"storage_name": name, "single_pv_per_pool": str(single)},
        }
        await self._view.keep(storage_class, manager=_MANAGER)
        for index, brick in enumerate(items(pool, "spec", "storage")):
            await self._view.keep(_server(pool, brick, index, pod, namespace), manager=_MANAGER)
        service = _object("v1", "Service", namespace, name)
        service["spec"] = {"clusterIP": "None", "selector": _SERVER, "ports": [{"name": "brickport", "port": 24007}]}
        await self._view.keep(service, manager=_MANAGER)
        await self._tolerate(items(pool, "spec", "tolerations"), namespace)

    async def _tolerate(self, tolerations: list[Json], namespace: str) -> None:
        """The node plugin gets a pool's tolerations in place of what it had."""
        plugin = self._view.find("DaemonSet", namespace, NODE_PLUGIN)
        if (
            plugin is not None
            and tolerations
            and items(plugin, "spec", "template", "spec", "tolerations") != tolerations
        ):
            await self._view.change(plugin, {"spec": {"template": {"spec": {"tolerations": tolerations}}}})

    async def _remove(self, name: str, namespace: str) -> None:
        """A pool goes once no volume of it is left."""
        volumes, _ = await self._view.client.list(path("v1", "persistentvolumes"))
        if any(text(one, "spec", "storageClassName") == f"kadalu.{name}" for one in volumes):
            return
        config = self._view.find("ConfigMap", namespace, CONFIG)
        known = self._known(namespace)[name]
        await self._view.delete("StorageClass", "", f"kadalu.{name}")
        for index in range(len(items(known, "bricks"))):
            await self._view.delete("StatefulSet", namespace, server_name(name, index))
        await self._view.delete("Service", namespace, name)
        if config is not None:
            await self._view.write(config, {f"{name}.info": None})


def operator_pods(view: View) -> list[Json]:
    """The ready pods of the operator."""
    labels = {"name": "kadalu", "app.kubernetes.io/part-of": "kadalu"}
    return [pod for pod in view.ready_pods(None, labels) if _environment(pod)]


def pools_of(config: Json) -> dict[str, Json]:
    """Pool to what the operator wrote down of it."""
    return {
        key.removesuffix(".info"): cast("Json", json.loads(value))
        for key, value in section(config, "data").items()
        if key.endswith(".info")
    }


def server_name(pool: str, index: int) -> str:
    """The name of the server of a pool's brick."""
    plain = re.sub(r"\W+", "", pool.replace("-", "_")).replace("_", "-")
    return f"server-{plain}-{index}"


def problem_of(pool: Json) -> str:
    """Why the operator leaves a KadaluStorage alone; empty where it does not."""
    spec = section(pool, "spec")
    kind = text(spec, "type")
    if text(spec, "pvReclaimPolicy") not in ("", "delete", "archive", "retain"):
        return "PV Reclaim Policy not valid"
    if kind not in (*_BRICKS, "Disperse"):
        return f"Invalid Storage type valid_types={','.join((*_BRICKS, 'Disperse'))} provided_type={kind}"
    bricks = items(spec, "storage")
    for number, brick in enumerate(bricks, 1):
        if brick.get("pvc") is None and not (brick.get("node") and (brick.get("path") or brick.get("device"))):
            return f"Storage path/device or node not specified number={number}"
    disperse = section(spec, "disperse")
    data, redundancy = int(disperse.get("data") or 0), int(disperse.get("redundancy") or 0)
    if kind == "Disperse" and (not data or not redundancy or data <= redundancy or data % 2):
        return "Invalid or not optimal data and redundancy for the Disperse Volume"
    group = _BRICKS.get(kind) or data + redundancy
    return "" if bricks and len(bricks) % group == 0 else "Invalid number of storage directories/devices specified"


def _environment(pod: Json) -> Json:
    """The operator's own variables."""
    for container in items(pod, "spec", "containers"):
        found = {one["name"]: text(one, "value") for one in items(container, "env")}
        if "KADALU_VERSION" in found:
            return found
    return {}


def _info(pool: Json, known: Json | None) -> Json:
    name, spec = key_of(pool)[1], section(pool, "spec")
    identity = text(known or {}, "volume_id") or text(spec, "volume_id")
    bricks = [
        {
            "node": f"{server_name(name, index)}-0.{name}",
            "kube_hostname": text(brick, "node"),
            "pvc_name": text(brick, "pvc"),
            "brick_device": text(brick, "device"),
            "host_brick_path": text(brick, "path"),
            "brick_index": index,
        }
        for index, brick in enumerate(items(spec, "storage"))
    ]
    return {
        "volname": name,
        "volume_id": identity or str(uuid.uuid5(uuid.NAMESPACE_OID, pool["metadata"]["uid"])),
        "type": text(spec, "type"),
        "pvReclaimPolicy": text(spec, "pvReclaimPolicy") or "delete",
        "disperse": section(spec, "disperse"),
        "bricks": bricks,
    }


def _object(api_version: str, kind: str, namespace: str, name: str, labels: Json | None = None) -> Json:
    metadata: Json = {"name": name, "namespace": namespace}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata | ({"labels": labels} if labels else {})}


def _image(pod: Json, name: str) -> str:
    own = _environment(pod)
    return f"{own.get('IMAGES_HUB', 'docker.io')}/{own.get('DOCKER_USER', 'kadalu')}/{name}:{own['KADALU_VERSION']}"


def _provisioner(pod: Json, namespace: str) -> Json:
    """The CSI controller. It tolerates nothing, and nothing can make it."""
    made = _object("apps/v1", "StatefulSet", namespace, "kadalu-csi-provisioner", _PROVISIONER)
    names = ("csi-provisioner", "csi-attacher", "kadalu-provisioner", "kadalu-logging", "csi-resizer")
    containers = [{"name": name, "image": _image(pod, "kadalu-csi")} for name in names]
    made["spec"] = {
        "serviceName": "kadalu-csi-provisioner",
        "replicas": 1,
        "selector": {"matchLabels": _PROVISIONER},
        "template": {
            "metadata": {"labels": _PROVISIONER},
            "spec": {"serviceAccountName": "kadalu-csi-provisioner", "containers": containers},
        },
    }
    return made


def _server(pool: Json, brick: Json, index: int, pod: Json, namespace: str) -> Json:
    """The server of one brick."""
    name = key_of(pool)[1]
    if brick.get("pvc"):
        source: Json = {"persistentVolumeClaim": {"claimName": brick["pvc"]}}
    elif brick.get("path"):
        source = {"hostPath": {"path": brick["path"], "type": "Directory"}}
    else:
        source = {"emptyDir": {}}
    spec: Json = {
        "serviceAccountName": "kadalu-server-sa",
        "tolerations": items(pool, "spec", "tolerations"),
        "containers": [
            {
                "name": "server",
                "image": _image(pod, "kadalu-server"),
                "securityContext": {"privileged": True},
                "volumeMounts": [{"name": "glusterfsd-mountdir", "mountPath": f"/bricks/{name}"}],
            }
        ],
        "volumes": [{"name": "glusterfsd-mountdir", **source}],
    }
    if brick.get("node"):
        spec["nodeSelector"] = {"kubernetes.io/hostname": brick["node"]}
    made = _object("apps/v1", "StatefulSet", namespace, server_name(name, index), _SERVER)
    made["spec"] = {
        "serviceName": name,
        "replicas": 1,
        "selector": {"matchLabels": _SERVER},
        "template": {"metadata": {"labels": _SERVER}, "spec": spec},
    }
    return made
