"""CSINode objects: which storage drivers a node has, as the kubelet lists them while their node pods run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import cast

from sandbox.nodes.machines import Machine
from sandbox.nodes.objects import Json, annotations_of, is_ready, items, labels_of, owner_kind, text, words_of
from sandbox.nodes.surroundings import expand

DISK, FILE, BLOB = "disk.csi.azure.com", "file.csi.azure.com", "blob.csi.azure.com"
DRIVER_OF_APP = {"csi-azuredisk-node": DISK, "csi-azurefile-node": FILE, "csi-blob-node": BLOB}
"""`app` label of a driver's node pods in kube-system to the driver's name."""
DISK_ZONE_LABEL = "topology.disk.csi.azure.com/zone"
_FEWEST_DISKS, _MOST_DISKS = 4, 32
_REGISTERED = "sandbox.trainyard/registered-drivers"
"""Annotation of a CSINode: the drivers that node pods registered through a registrar of their own."""
_SOCKET_FLAG = "--kubelet-registration-path"


def running_drivers(pods: Iterable[Json]) -> set[str]:
    """The drivers whose node pod runs among a node's pods: AKS's own, and those that registered with the kubelet."""
    found: set[str] = set()
    for pod in pods:
        if is_ready(pod) and owner_kind(pod) == "DaemonSet":
            app = labels_of(pod).get("app", "")
            if app in DRIVER_OF_APP and text(pod, "metadata", "namespace") == "kube-system":
                found.add(DRIVER_OF_APP[app])
            found |= registered_by(pod)
    return found


def registered_by(pod: Json) -> set[str]:
    """The drivers that a pod's node-driver-registrar tells the kubelet of.

    The registrar asks the driver for its name; here the socket's folder tells it, as is the custom of all drivers
    that the platform brings: `<kubelet>/plugins/<driver>/csi.sock`.
    """
    found: set[str] = set()
    for container in items(pod, "spec", "containers"):
        variables = {one["name"]: text(one, "value") for one in items(container, "env")}
        for word in (*words_of(container, "command"), *words_of(container, "args")):
            flag, _, value = expand(word, variables).partition("=")
            if flag == _SOCKET_FLAG and value:
                found.add(PurePosixPath(value).parent.name)
    return found


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

    Drivers that somebody else wrote there are left alone.
    """
    present = {str(one["name"]): one for one in items(csi_node, "spec", "drivers")}
    before = set(filter(None, annotations_of(csi_node).get(_REGISTERED, "").split(",")))
    ours = set(DRIVER_OF_APP.values()) | before | running
    if set(present) & ours == running:
        return None
    kept = [one for name, one in present.items() if name not in ours or name in running]
    added = [_driver(name, machine) for name in sorted(running - set(present))]
    return {
        "metadata": {
            "resourceVersion": cast(str, csi_node["metadata"]["resourceVersion"]),
            "annotations": {_REGISTERED: ",".join(sorted(running - set(DRIVER_OF_APP.values()))) or None},
        },
        "spec": {"drivers": [*kept, *added]},
    }


def _driver(name: str, machine: Machine) -> Json:
    driver: Json = {"name": name, "nodeID": machine.node_name}
    if name == DISK:
        cores = machine.capacity.cpu_milli // 1000
        driver["topologyKeys"] = [DISK_ZONE_LABEL]
        # Azure's sizes take two data disks a core in most families, within these bounds
        driver["allocatable"] = {"count": min(max(cores * 2, _FEWEST_DISKS), _MOST_DISKS)}
    return driver
