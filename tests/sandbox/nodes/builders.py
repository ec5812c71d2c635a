"""Machines, pods and clusters for the tests, as short as the test needs them."""

from __future__ import annotations

import json
from typing import Any

from sandbox.nodes.machines import Cluster, Fleet, Machine, read_fleet

Json = dict[str, Any]
SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
NODE_GROUP = "MC_platform_aks_westeurope"


def machine_document(name: str = "aks-heavy-12345678-vmss000000", **changes: Any) -> Json:
    """One machine as `/sandbox/machines` tells it: an A100 node, unless changed."""
    scale_set = name.rpartition("vmss")[0] + "vmss"
    number = int(name.rpartition("vmss")[2], 36)
    document: Json = {
        "nodeName": name,
        "providerId": (
            f"azure:///subscriptions/{SUBSCRIPTION}/resourceGroups/{NODE_GROUP.lower()}/providers/"
            f"Microsoft.Compute/virtualMachineScaleSets/{scale_set}/virtualMachines/{number}"
        ),
        "pool": name.split("-")[1],
        "mode": "User",
        "vmSize": "Standard_NC24ads_A100_v4",
        "zone": "westeurope-1",
        "labels": {"kubernetes.azure.com/mode": "user", "trainyard/pool": name.split("-")[1]},
        "taints": [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}],
        "maxPods": 110,
        "capacity": {"cpuMilli": 24000, "memoryKib": 230686720, "ephemeralKib": 129886128},
        "allocatable": {"cpuMilli": 23660, "memoryKib": 219021312, "ephemeralKib": 119703055},
        "gpu": {"vendor": "nvidia", "count": 1, "driver": "Install", "instanceProfile": None},
        "state": "running",
        "readyAt": 1790000000.0,
    }
    return {**document, **changes}


def system_document(name: str = "aks-system-12345678-vmss000000", **changes: Any) -> Json:
    """A machine of the system pool."""
    plain: Json = {
        "vmSize": "Standard_D4ds_v5",
        "mode": "System",
        "labels": {"kubernetes.azure.com/mode": "system"},
        "taints": [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}],
        "capacity": {"cpuMilli": 4000, "memoryKib": 16393256, "ephemeralKib": 129886128},
        "allocatable": {"cpuMilli": 3860, "memoryKib": 12880936, "ephemeralKib": 119703055},
        "gpu": None,
    }
    return machine_document(name, **{**plain, **changes})


def cluster_document(**addons: bool) -> Json:
    """The cluster, with everything switched on unless said otherwise."""
    switched = {"diskCsi": True, "fileCsi": True, "blobCsi": True, "workloadIdentity": True, **addons}
    return {
        "id": (
            f"/subscriptions/{SUBSCRIPTION}/resourceGroups/platform/providers/"
            "Microsoft.ContainerService/managedClusters/aks"
        ),
        "name": "aks",
        "kubernetesVersion": "1.36.1",
        "nodeResourceGroup": NODE_GROUP,
        "location": "westeurope",
        "identity": {"clusterPrincipalId": "c", "kubeletPrincipalId": "k", "kubeletClientId": "kc"},
        "addons": switched,
    }


def fleet(*machines: Json, cluster: Json | None = None) -> Fleet:
    """A fleet of these machines."""
    return read_fleet(json.dumps({"cluster": cluster or cluster_document(), "machines": list(machines)}))


def cluster() -> Cluster:
    """The cluster of `cluster_document`."""
    found = fleet().cluster
    assert found is not None
    return found


def machine(**changes: Any) -> Machine:
    """The machine of `machine_document`."""
    [found] = fleet(machine_document(**changes)).machines.values()
    return found
