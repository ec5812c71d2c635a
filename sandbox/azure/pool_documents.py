"""The documents of an agent pool: the stored one with AKS's defaults, and its scale set."""

from __future__ import annotations

import copy
import uuid

from capacity.catalogue import VmSize
from sandbox.azure import kubernetes_versions as versions
from sandbox.azure import node_images
from sandbox.azure.behaviour import Body
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import POOL_TYPE, SCALE_SET_TYPE, listed, mapping, refusal, text
from sandbox.azure.pool_labels import SPOT_LABEL, SPOT_TAINT
from sandbox.azure.pool_rules import CREATE_ONLY
from sandbox.azure.store import Resource


def completed(properties: Body, old: Body | None, cluster: Cluster, size: VmSize) -> Body:
    """The properties as AKS keeps and shows them, defaults and spot's own label and taint included.

    Args:
        properties: what the client sent, checked.
        old: what is stored of an existing pool; its create-only values stay.
    """
    new = copy.deepcopy({key: value for key, value in properties.items() if value is not None})
    kept = {key: old[key] for key in CREATE_ONLY if old and key in old}
    new = {**new, **kept}
    network = cluster.network
    spot = new.get("scaleSetPriority") == "Spot"
    disk = int(new.get("osDiskSizeGB") or 0)
    if not disk:
        wanted = new.get("osDiskType")
        disk = 128 if wanted == "Ephemeral" else node_images.default_disk_gib(size)
        if wanted is None and node_images.default_disk_type(size, 128) == "Ephemeral":
            disk = 128
    defaults: Body = {
        "type": "VirtualMachineScaleSets",
        "mode": "User",
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "osDiskType": node_images.default_disk_type(size, disk),
        "kubeletDiskType": "OS",
        "workloadRuntime": "OCIContainer",
        "maxPods": node_images.default_max_pods(network["networkPlugin"], network.get("networkPluginMode")),
        "scaleDownMode": "Delete",
        "enableAutoScaling": False,
        "enableEncryptionAtHost": False,
        "enableFIPS": False,
        "enableNodePublicIP": False,
        "enableUltraSSD": False,
        "securityProfile": {"enableSecureBoot": False, "enableVTPM": False, "sshAccess": "LocalUser"},
        "upgradeSettings": {} if spot else {"maxSurge": "10%", "maxUnavailable": "0"},
        "powerState": {"code": "Running"},
    }
    if size.gpus:
        defaults["gpuProfile"] = {"driver": "Install"}
    if spot:
        defaults |= {"scaleSetEvictionPolicy": "Delete", "spotMaxPrice": -1}
        new["nodeLabels"] = {**mapping(new.get("nodeLabels")), SPOT_LABEL: "spot"}
        new["nodeTaints"] = list(dict.fromkeys([*(listed(new.get("nodeTaints"))), SPOT_TAINT]))
    new = {**defaults, **new, "osDiskSizeGB": disk}
    if old:
        new["powerState"] = old["powerState"]
    requested = text(new.get("orchestratorVersion") or (old["orchestratorVersion"] if old else cluster.version))
    new["orchestratorVersion"] = requested
    new["currentOrchestratorVersion"] = resolved_version(requested, old, cluster)
    new["nodeImageVersion"] = node_images.image_version(
        text(new["osSKU"]), text(new["currentOrchestratorVersion"]), size.architecture
    )
    new["eTag"] = str(uuid.uuid4())
    return new


def resolved_version(requested: str, old: Body | None, cluster: Cluster) -> str:
    """The full version of a pool, never above its cluster's, never below its own.

    Raises:
        ArmError: it would be.
    """
    minor = ".".join(cluster.version.split(".")[:2])
    if old and requested == old["orchestratorVersion"]:
        return old["currentOrchestratorVersion"]
    wanted = cluster.version
    if requested not in {minor, cluster.version}:
        wanted = versions.resolve(requested, cluster=cluster.name, support_plan=versions.LONG_TERM)
    ours, theirs = versions.number(wanted), versions.number(cluster.version)
    if ours > theirs or theirs[1] - ours[1] > 3:
        raise refusal(
            "NodePoolMcVersionIncompatible",
            f"Node pool version {wanted} and control plane version {cluster.version} are incompatible. Minor version "
            "of node pool cannot be bigger than control plane version. Minor version of node pool cannot be more than "
            "3 versions less than control plane version. For more information, please check "
            "https://aka.ms/aks/UpgradeVersionRules",
            "orchestratorVersion",
        )
    if old and ours < versions.number(old["currentOrchestratorVersion"]):
        raise refusal(
            "AgentPoolUpgradeVersionNotAllowed",
            f"Downgrading agent pool from version {old['currentOrchestratorVersion']} to {wanted} is not allowed.",
            "orchestratorVersion",
        )
    return wanted


def pool_document(cluster: Cluster, name: str, properties: Body, state: str) -> Body:
    """The agent pool as ARM shows it."""
    return {
        "id": f"{cluster.id}/agentPools/{name}",
        "name": name,
        "type": POOL_TYPE,
        "properties": {**properties, "provisioningState": state},
    }


def scale_set_name(pool: str, suffix: str) -> str:
    """`aks-heavyab-12345678-vmss`."""
    return f"aks-{pool}-{suffix}-vmss"


def scale_set_id(cluster: Cluster, pool: str) -> str:
    """The id of a pool's scale set, in the machines' group."""
    return f"{cluster.node_group_id}/providers/{SCALE_SET_TYPE}/{scale_set_name(pool, cluster.suffix)}"


def aks_tags(cluster: Cluster, pool: str, version: str) -> dict[str, str]:
    """The tags that AKS puts on a scale set beside the pool's own."""
    overlay = cluster.network.get("networkPluginMode") == "overlay"
    operation = str(uuid.uuid5(uuid.NAMESPACE_URL, scale_set_id(cluster, pool)))
    return {
        **({"aks-managed-azure-cni-overlay": "true"} if overlay else {}),
        "aks-managed-consolidated-additional-properties": operation,
        "aks-managed-coordination": "true",
        "aks-managed-createOperationID": operation,
        "aks-managed-creationSource": f"vmssclient-{scale_set_name(pool, cluster.suffix)}",
        "aks-managed-enable-imds-restriction": "false",
        "aks-managed-kubeletIdentityClientID": cluster.kubelet.get("clientId", ""),
        "aks-managed-operationID": operation,
        "aks-managed-orchestrator": f"Kubernetes:{version}",
        "aks-managed-poolName": pool,
        "aks-managed-resourceNameSuffix": cluster.suffix,
        "aks-managed-ssh-access": "LocalUser",
    }


def scale_set(cluster: Cluster, pool: str, properties: Body, size: VmSize, now: float) -> Resource:
    """A pool's scale set, without machines yet."""
    name = scale_set_name(pool, cluster.suffix)
    spot = properties.get("scaleSetPriority") == "Spot"
    disk: Body = {"osType": "Linux", "createOption": "FromImage", "diskSizeGB": properties["osDiskSizeGB"]}
    if properties["osDiskType"] == "Ephemeral":
        disk |= {"caching": "ReadOnly", "diffDiskSettings": {"option": "Local"}}
    else:
        disk["managedDisk"] = {"storageAccountType": "Premium_LRS" if size.premium_disks else "Standard_LRS"}
    address: Body = {"name": "ipconfig1", "properties": {"primary": True}}
    if properties.get("vnetSubnetID"):
        address["properties"]["subnet"] = {"id": properties["vnetSubnetID"]}
    interface: Body = {
        "name": name,
        "properties": {
            "primary": True,
            "enableAcceleratedNetworking": bool(size.accelerated_networking),
            "ipConfigurations": [address],
        },
    }
    profile: Body = {
        "osProfile": {"computerNamePrefix": name, "adminUsername": "azureuser"},
        "storageProfile": {
            "osDisk": disk,
            "imageReference": {"id": f"/CommunityGalleries/AKS/Images/{properties['nodeImageVersion']}"},
        },
        "networkProfile": {"networkInterfaceConfigurations": [interface]},
    }
    if spot:
        profile |= {
            "priority": "Spot",
            "evictionPolicy": properties["scaleSetEvictionPolicy"],
            "billingProfile": {"maxPrice": properties["spotMaxPrice"]},
        }
    if properties.get("capacityReservationGroupID"):
        group = {"id": properties["capacityReservationGroupID"]}
        profile["capacityReservation"] = {"capacityReservationGroup": group}
    if properties.get("enableEncryptionAtHost"):
        profile["securityProfile"] = {"encryptionAtHost": True}
    body: Body = {
        "id": scale_set_id(cluster, pool),
        "name": name,
        "type": SCALE_SET_TYPE,
        "location": cluster.location,
        "sku": {"name": size.name, "tier": "Standard"},
        "tags": scale_set_tags(cluster, pool, properties),
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {
                cluster.kubelet["resourceId"]: {
                    "clientId": cluster.kubelet["clientId"],
                    "principalId": cluster.kubelet["objectId"],
                }
            },
        },
        "properties": {
            "uniqueId": str(uuid.uuid4()),
            "orchestrationMode": "Uniform",
            "overprovision": False,
            "singlePlacementGroup": False,
            "platformFaultDomainCount": 1,
            "upgradePolicy": {"mode": "Manual"},
            "virtualMachineProfile": profile,
        },
        "_sandbox": {"nextInstance": 0},
    }
    if properties.get("availabilityZones"):
        body["zones"] = list(properties["availabilityZones"])
    if properties.get("proximityPlacementGroupID"):
        body["properties"]["proximityPlacementGroup"] = {"id": properties["proximityPlacementGroupID"]}
    return Resource(body["id"], SCALE_SET_TYPE, name, body, now, now)


def scale_set_tags(cluster: Cluster, pool: str, properties: Body) -> dict[str, str]:
    """The pool's tags, which replace whatever the set had, and AKS's."""
    return {**mapping(properties.get("tags")), **aks_tags(cluster, pool, properties["currentOrchestratorVersion"])}
