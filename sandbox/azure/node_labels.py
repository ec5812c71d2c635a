"""Labels and taints of a node, as AKS sets them (azure-aks-docs use-labels.md) with the pool's own."""

from __future__ import annotations

from capacity.catalogue import VmSize
from sandbox.azure.behaviour import Body
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import listed, mapping, text
from sandbox.azure.node_images import effective_os_sku
from sandbox.azure.pool_labels import parsed_taint

_LONGEST = 63


def zone_of(location: str, zone: str | None) -> str:
    """`westeurope-1`; `0` for a machine that is pinned to none."""
    return f"{location}-{zone}" if zone else "0"


def labels(
    cluster: Cluster, pool: str, properties: Body, size: VmSize, *, node: str, zone: str | None
) -> dict[str, str]:
    """Every label of one node."""
    group = cluster.node_group_id.rsplit("/", 1)[-1][:_LONGEST].rstrip("-_.")
    spot = properties.get("scaleSetPriority") == "Spot"
    premium = bool(size.premium_disks)
    tier = "Premium_LRS" if premium else "Standard_LRS"
    storage = "ephemeral" if properties["osDiskType"] == "Ephemeral" else "managed"
    effective = effective_os_sku(properties["osSKU"], properties["currentOrchestratorVersion"])
    mode = text(properties["mode"]).lower()
    found = {
        "agentpool": pool,
        "beta.kubernetes.io/arch": size.architecture,
        "beta.kubernetes.io/instance-type": size.name,
        "beta.kubernetes.io/os": "linux",
        "failure-domain.beta.kubernetes.io/region": cluster.location,
        "failure-domain.beta.kubernetes.io/zone": zone_of(cluster.location, zone),
        "kubernetes.azure.com/agentpool": pool,
        "kubernetes.azure.com/cluster": group,
        "kubernetes.azure.com/consolidated-additional-properties": cluster.suffix,
        "kubernetes.azure.com/kubelet-identity-client-id": cluster.kubelet["clientId"],
        "kubernetes.azure.com/managedby": "aks",
        "kubernetes.azure.com/mode": mode,
        "kubernetes.azure.com/node-image-version": properties["nodeImageVersion"],
        "kubernetes.azure.com/nodepool-type": "VirtualMachineScaleSets",
        "kubernetes.azure.com/os-sku": properties["osSKU"],
        "kubernetes.azure.com/os-sku-effective": effective,
        "kubernetes.azure.com/os-sku-requested": properties["osSKU"],
        "kubernetes.azure.com/priority": "spot" if spot else "regular",
        "kubernetes.azure.com/role": "agent",
        "kubernetes.azure.com/sku-cpu": str(size.vcpus),
        "kubernetes.azure.com/sku-memory": str(size.memory_mib),
        "kubernetes.azure.com/storageprofile": storage,
        "kubernetes.azure.com/storagetier": tier,
        "kubernetes.io/arch": size.architecture,
        "kubernetes.io/hostname": node,
        "kubernetes.io/os": "linux",
        "kubernetes.io/role": "agent",
        "node-role.kubernetes.io/agent": "",
        "node.kubernetes.io/instance-type": size.name,
        "storageprofile": storage,
        "storagetier": tier,
        "topology.disk.csi.azure.com/zone": zone_of(cluster.location, zone) if zone else "",
        "topology.kubernetes.io/region": cluster.location,
        "topology.kubernetes.io/zone": zone_of(cluster.location, zone),
    }
    if cluster.network.get("networkDataplane") == "cilium":
        found["kubernetes.azure.com/ebpf-dataplane"] = "cilium"
    if cluster.network.get("networkPluginMode") == "overlay":
        found["kubernetes.azure.com/podnetwork-type"] = "overlay"
    subnet = text(properties.get("vnetSubnetID"))
    if subnet:
        found["kubernetes.azure.com/network-name"] = subnet.split("/")[-3][:_LONGEST]
        found["kubernetes.azure.com/network-subnet"] = subnet.rsplit("/", 1)[-1][:_LONGEST]
    if size.gpu_vendor:
        found["accelerator"] = found["kubernetes.azure.com/accelerator"] = size.gpu_vendor
    if spot:
        found["kubernetes.azure.com/scalesetpriority"] = "spot"
    if properties.get("proximityPlacementGroupID"):
        found["kubernetes.azure.com/ppg"] = text(properties["proximityPlacementGroupID"]).rsplit("/", 1)[-1][:_LONGEST]
    if properties.get("enableFIPS"):
        found["kubernetes.azure.com/fips_enabled"] = "true"
    return {**found, **mapping(properties.get("nodeLabels"))}


def taints(properties: Body) -> list[dict[str, str]]:
    """The pool's taints as a Node has them."""
    found: list[dict[str, str]] = []
    for taint in listed(properties.get("nodeTaints")):
        parts = parsed_taint(taint)
        if parts:
            found.append({"key": parts["key"], "value": parts["value"] or "", "effect": parts["effect"]})
    return found
