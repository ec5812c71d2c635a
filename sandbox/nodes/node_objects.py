"""What a machine is in Kubernetes: pure decisions, machine and present Node in, Node or patches out.

Owns the fields that the kubelet and AKS set: labels, taints, provider id, addresses, capacity and what is left
to pods. Does not own conditions and heartbeats (kwok), nor taints of Kubernetes' own controllers, nor labels
and taints that users added by hand.
"""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

from sandbox.nodes.machines import Cluster, Machine, Resources, Taint
from sandbox.nodes.objects import Json, annotations_of, items, labels_of, section, text
from sandbox.nodes.quantities import cpu_quantity, parse_quantity

MANAGED_ANNOTATION = "kwok.x-k8s.io/node"
"""kwok runs the nodes that carry it with the value `fake`."""
POOL_ANNOTATION = "sandbox.trainyard/agent-pool"
"""The labels and taints that the agent pool gave last, so that what it drops is taken off."""
GPU_PREFIXES = ("nvidia.com/", "amd.com/")
NODE_ADDRESSES = ipaddress.IPv4Network("10.224.0.0/12")
_RESERVED_ADDRESSES = 4
"""Azure keeps the first four of a subnet."""
_UBUNTU = ("Ubuntu 22.04.5 LTS", "5.15.0-1102-azure")
_OS_IMAGES = {  # AKS's OS SKU to what its kubelet tells of itself
    "Ubuntu2404": ("Ubuntu 24.04.3 LTS", "6.8.0-1044-azure"),
    "AzureLinux3": ("Microsoft Azure Linux 3.0", "6.6.112.1-2.azl3"),
}


@dataclass(frozen=True)
class NodeChange:
    """What to send so that a Node is as its machine: merge patches of the object and of its status, or None."""

    metadata_and_spec: Json | None
    status: Json | None


def new_node(machine: Machine, cluster: Cluster, address: str) -> Json:
    """The Node that a machine's kubelet registers."""
    labels = node_labels(machine, cluster)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": machine.node_name,
            "labels": labels,
            "annotations": {
                MANAGED_ANNOTATION: "fake",
                POOL_ANNOTATION: _remember(labels, machine.taints),
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"providerID": machine.provider_id, "taints": [_taint(one) for one in machine.taints]},
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": machine.node_name},
            ],
            "capacity": _quantities(machine.capacity, machine.max_pods),
            "allocatable": _quantities(machine.allocatable, machine.max_pods),
            "nodeInfo": _node_info(machine, cluster),
        },
    }


def node_labels(machine: Machine, cluster: Cluster) -> dict[str, str]:
    """The labels that kubelet and cloud provider set by themselves, under those of AKS and of the pool."""
    return {
        "beta.kubernetes.io/arch": _architecture(machine),
        "beta.kubernetes.io/instance-type": machine.vm_size,
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": cluster.location,
        "failure-domain.beta.kubernetes.io/zone": machine.zone,
        "kubernetes.io/arch": _architecture(machine),
        "kubernetes.io/hostname": machine.node_name,
        "kubernetes.io/os": "linux",
        "kubernetes.azure.com/agentpool": machine.pool,
        "kubernetes.azure.com/cluster": cluster.node_resource_group,
        "agentpool": machine.pool,
        "node.kubernetes.io/instance-type": machine.vm_size,
        "topology.kubernetes.io/region": cluster.location,
        "topology.kubernetes.io/zone": machine.zone,
        **machine.labels,
    }


def change_of(machine: Machine, cluster: Cluster, node: Json, devices: Mapping[str, int] | None) -> NodeChange:
    """What differs between a Node and its machine.

    Args:
        machine: a machine that runs or is being deleted; the latter is cordoned.
        cluster: its cluster.
        node: the Node as it is.
        devices: what device plugins offer on it now, `nvidia.com/gpu` to a number; None: not known yet, leave it.
    """
    return NodeChange(
        metadata_and_spec=_metadata_change(machine, cluster, node),
        status=_status_change(machine, cluster, node, devices),
    )


def free_addresses(nodes: Iterable[Json]) -> Iterable[str]:
    """Addresses of the node subnet that no Node has, lowest first."""
    taken = {address["address"] for node in nodes for address in items(node, "status", "addresses")}
    first = int(NODE_ADDRESSES.network_address) + _RESERVED_ADDRESSES
    for number in range(first, int(NODE_ADDRESSES.broadcast_address)):
        address = str(ipaddress.IPv4Address(number))
        if address not in taken:
            yield address


def is_managed(node: Json) -> bool:
    """Whether a Node is one of ours."""
    return annotations_of(node).get(MANAGED_ANNOTATION) == "fake"


def _metadata_change(machine: Machine, cluster: Cluster, node: Json) -> Json | None:
    labels = node_labels(machine, cluster)
    present = labels_of(node)
    annotations = annotations_of(node)
    remembered = cast(Json, json.loads(annotations.get(POOL_ANNOTATION) or "{}"))
    label_patch: dict[str, str | None] = {key: value for key, value in labels.items() if present.get(key) != value}
    label_patch.update({key: None for key in section(remembered, "labels") if key not in labels and key in present})
    wanted_taints = _merged_taints(items(node, "spec", "taints"), machine.taints, items(remembered, "taints"))
    metadata: Json = {}
    spec: Json = {}
    if label_patch:
        metadata["labels"] = label_patch
    memory = _remember(labels, machine.taints)
    marks = {MANAGED_ANNOTATION: "fake", POOL_ANNOTATION: memory}
    if any(annotations.get(key) != value for key, value in marks.items()):
        metadata["annotations"] = marks
    if wanted_taints is not None:
        spec["taints"] = wanted_taints
        metadata["resourceVersion"] = node["metadata"]["resourceVersion"]  # the list is replaced whole
    if machine.state == "deleting" and not section(node, "spec").get("unschedulable"):
        spec["unschedulable"] = True
    if not metadata and not spec:
        return None
    return {key: value for key, value in (("metadata", metadata), ("spec", spec)) if value}


def _merged_taints(present: list[Json], wanted: tuple[Taint, ...], remembered: list[Json]) -> list[Json] | None:
    """The taints a Node is to have, None where it has them: the pool's own, and those that others put there."""
    own = {(one["key"], one["effect"]) for one in remembered} | {(one.key, one.effect) for one in wanted}
    others = [one for one in present if (one["key"], one["effect"]) not in own]
    result = [*others, *(_taint(one) for one in wanted)]

    def identity(taints: list[Json]) -> set[tuple[str, str, str]]:
        return {(one["key"], one.get("value") or "", one["effect"]) for one in taints}

    return None if identity(result) == identity(present) else result


def _status_change(machine: Machine, cluster: Cluster, node: Json, devices: Mapping[str, int] | None) -> Json | None:
    wanted_capacity = _quantities(machine.capacity, machine.max_pods)
    wanted_allocatable = _quantities(machine.allocatable, machine.max_pods)
    if devices is not None:
        for name, count in devices.items():
            wanted_capacity[name] = wanted_allocatable[name] = str(count)
        # kubelet goes on showing a resource whose plugin has gone, with nothing left of it to hand out
        for name in section(node, "status", "allocatable"):
            if name.startswith(GPU_PREFIXES) and name not in devices:
                wanted_allocatable[name] = "0"
    change: Json = {}
    for field, wanted in (("capacity", wanted_capacity), ("allocatable", wanted_allocatable)):
        present: dict[str, str] = section(node, "status", field)
        patch = {name: value for name, value in wanted.items() if not _same(present.get(name), value)}
        if patch:
            change[field] = patch
    info = _node_info(machine, cluster)
    if text(node, "status", "nodeInfo", "kubeletVersion") != info["kubeletVersion"]:
        change["nodeInfo"] = info
    return {"status": change} if change else None


def _same(present: str | None, wanted: str) -> bool:
    return present is not None and parse_quantity(present) == parse_quantity(wanted)


def _quantities(resources: Resources, pods: int) -> dict[str, str]:
    return {
        "cpu": cpu_quantity(resources.cpu_milli),
        "memory": f"{resources.memory_kib}Ki",
        "ephemeral-storage": f"{resources.ephemeral_kib}Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": str(pods),
    }


def _remember(labels: Mapping[str, str], taints: tuple[Taint, ...]) -> str:
    return json.dumps({"labels": dict(labels), "taints": [_taint(one) for one in taints]}, sort_keys=True)


def _taint(taint: Taint) -> Json:
    return {"key": taint.key, "value": taint.value, "effect": taint.effect}


def _architecture(machine: Machine) -> str:
    return machine.labels.get("kubernetes.io/arch", "amd64")


def _node_info(machine: Machine, cluster: Cluster) -> Json:
    image, kernel = _OS_IMAGES.get(machine.labels.get("kubernetes.azure.com/os-sku-effective", ""), _UBUNTU)
    return {
        "architecture": _architecture(machine),
        "bootID": _machine_id(machine, "boot"),
        "machineID": _machine_id(machine, "machine"),
        "systemUUID": _machine_id(machine, "system"),
        "containerRuntimeVersion": "containerd://2.1.6-1",
        "kernelVersion": kernel,
        "kubeProxyVersion": "",
        "kubeletVersion": f"v{cluster.kubernetes_version}",
        "operatingSystem": "linux",
        "osImage": image,
    }


def _machine_id(machine: Machine, kind: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}:{machine.provider_id}"))
