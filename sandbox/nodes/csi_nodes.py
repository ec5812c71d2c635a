"""CSINode objects: which storage drivers a node has, as the kubelet lists them while their node pods run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sandbox.nodes.machines import Machine
from sandbox.nodes.objects import Json, is_ready, items, labels_of, owner_kind, text

DISK, FILE, BLOB = "disk.csi.azure.com", "file.csi.azure.com", "blob.csi.azure.com"
DRIVER_OF_APP = {"csi-azuredisk-node": DISK, "csi-azurefile-node": FILE, "csi-blob-node": BLOB}
"""`app` label of a driver's node pods in kube-system to the driver's name."""
DISK_ZONE_LABEL = "topology.disk.csi.azure.com/zone"
_FEWEST_DISKS, _MOST_DISKS = 4, 32


def running_drivers(pods: Iterable[Json]) -> set[str]:
    """The drivers whose node pod runs among a node's pods."""
    return {
        DRIVER_OF_APP[labels_of(pod)["app"]]
        for pod in pods
        if labels_of(pod).get("app") in DRIVER_OF_APP
        and text(pod, "metadata", "namespace") == "kube-system"
        and owner_kind(pod) == "DaemonSet"
        and is_ready(pod)
    }


def new_csi_node(node: Json) -> Json:
    """The CSINode that a kubelet makes beside its Node, without drivers at first."""
    name = text(node, "metadata", "name")
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {
            "name": name,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}],
        },
        "spec": {"drivers": []},
    }


def drivers_change(csi_node: Json, machine: Machine, running: set[str]) -> Json | None:
    """A merge patch that brings a CSINode's list of drivers in line, None where it is.

    Drivers of others, that users installed themselves, are left alone.
    """
    present = {str(one["name"]): one for one in items(csi_node, "spec", "drivers")}
    ours = set(DRIVER_OF_APP.values())
    if set(present) & ours == running:
        return None
    kept = [one for name, one in present.items() if name not in ours or name in running]
    added = [_driver(name, machine) for name in sorted(running - set(present))]
    version = cast(str, csi_node["metadata"]["resourceVersion"])
    return {"metadata": {"resourceVersion": version}, "spec": {"drivers": [*kept, *added]}}


def _driver(name: str, machine: Machine) -> Json:
    driver: Json = {"name": name, "nodeID": machine.node_name}
    if name == DISK:
        cores = machine.capacity.cpu_milli // 1000
        driver["topologyKeys"] = [DISK_ZONE_LABEL]
        # Azure's sizes take two data disks a core in most families, within these bounds
        driver["allocatable"] = {"count": min(max(cores * 2, _FEWEST_DISKS), _MOST_DISKS)}
    return driver
