"""Azure's own Python SDKs, signed in by what `make -s env` prints, on what was deployed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.storage import StorageManagementClient

from capacity.pools import PoolPlan
from components.cluster import SYSTEM_POOL
from stacks.settings import Stack as Settings
from tests.conftest import Stack
from tests.end_to_end.conftest import Azure

pytestmark = pytest.mark.sandbox

POOL_API = "2025-09-01"


@pytest.fixture(scope="module")
def outputs(platform: Stack) -> dict[str, Any]:
    return platform.outputs()


def _documents(models: Iterable[Any]) -> list[dict[str, Any]]:
    """The SDK's models as ARM's documents."""
    return [model.as_dict() for model in models]


def _names(models: Iterable[Any]) -> set[str]:
    return {model.name for model in models}


def test_the_cluster_is_listed_and_read(azure: Azure, outputs: dict[str, Any], settings: Settings) -> None:
    clusters = azure.client(ContainerServiceClient).managed_clusters
    assert _names(clusters.list()) == {outputs["clusterName"]}
    assert _names(clusters.list_by_resource_group(outputs["resourceGroup"])) == {outputs["clusterName"]}
    properties = clusters.get(outputs["resourceGroup"], outputs["clusterName"]).as_dict()["properties"]
    assert properties["provisioningState"] == "Succeeded"
    assert properties["kubernetesVersion"] == settings.cluster.kubernetes_version
    assert properties["nodeResourceGroup"] == outputs["nodeResourceGroup"]
    assert properties["disableLocalAccounts"] is True
    assert properties["networkProfile"]["networkPluginMode"] == "overlay"
    with pytest.raises(ResourceNotFoundError):
        clusters.get(outputs["resourceGroup"], "another")


def test_the_agent_pools_are_listed_and_read(azure: Azure, outputs: dict[str, Any], plans: dict[str, PoolPlan]) -> None:
    pools = azure.client(ContainerServiceClient).agent_pools
    where = (outputs["resourceGroup"], outputs["clusterName"])
    physical: dict[str, str] = {key: pool["agentPool"] for key, pool in outputs["pools"].items()}
    assert _names(pools.list(*where)) == {SYSTEM_POOL, *physical.values()}
    for key, plan in plans.items():
        properties = pools.get(*where, physical[key]).as_dict()["properties"]
        assert properties["provisioningState"] == "Succeeded"
        assert properties["vmSize"] == plan.size.name
        assert properties["count"] == plan.settings.min
        assert set(properties.get("nodeTaints") or []) == set(plan.taints)
        assert properties["maxPods"] == plan.settings.max_pods


def test_the_scale_sets_are_listed_and_read_with_their_machines(
    azure: Azure, outputs: dict[str, Any], plans: dict[str, PoolPlan], settings: Settings
) -> None:
    compute = azure.client(ComputeManagementClient)
    group = outputs["nodeResourceGroup"]
    wanted = {SYSTEM_POOL: (settings.cluster.system_pool.vm_size, settings.cluster.system_pool.count)}
    for key, plan in plans.items():
        wanted[outputs["pools"][key]["agentPool"]] = (plan.size.name, plan.settings.min)
    found: dict[str, tuple[str, int]] = {}
    for scale_set in _documents(compute.virtual_machine_scale_sets.list(group)):
        match = re.fullmatch(r"aks-([a-z0-9]+)-\d+-vmss", scale_set["name"])
        assert match, scale_set["name"]
        assert scale_set["tags"]["aks-managed-poolName"] == match[1]
        found[match[1]] = (scale_set["sku"]["name"], int(scale_set["sku"]["capacity"]))
        machines = _documents(compute.virtual_machine_scale_set_vms.list(group, scale_set["name"]))
        assert len(machines) == found[match[1]][1]
        assert compute.virtual_machine_scale_sets.get(group, scale_set["name"]).name == scale_set["name"]
    assert found == wanted


def test_accounts_shares_and_containers_are_listed_and_read(
    azure: Azure, outputs: dict[str, Any], settings: Settings
) -> None:
    storage = azure.client(StorageManagementClient)
    group = outputs["dataResourceGroup"]
    accounts: set[str] = set(outputs["storageAccounts"].values())
    assert _names(storage.storage_accounts.list()) == accounts
    assert _names(storage.storage_accounts.list_by_resource_group(group)) == accounts
    found: dict[str, int] = {}
    containers: set[str] = set()
    for account in accounts:
        properties = storage.storage_accounts.get_properties(group, account).as_dict()["properties"]
        assert properties["publicNetworkAccess"] == "Disabled"
        for share in storage.file_shares.list(group, account):
            read = storage.file_shares.get(group, account, share.name).as_dict()["properties"]
            found[share.name] = int(read["shareQuota"])
        if account.startswith("tyb"):
            containers |= _names(storage.blob_containers.list(group, account))
    assert containers == set(settings.storage.blob.containers)
    assert found == {name: share.size_gib for name, share in settings.storage.files.shares.items()}


def test_a_misspelt_property_is_refused_in_arm_s_error_form(azure: Azure, outputs: dict[str, Any]) -> None:
    endpoint = azure.variables["ARM_ENDPOINT"]
    token = azure.credential.get_token(f"{endpoint}/.default").token
    path = (
        f"/subscriptions/{azure.variables['AZURE_SUBSCRIPTION_ID']}/resourceGroups/{outputs['resourceGroup']}"
        f"/providers/Microsoft.ContainerService/managedClusters/{outputs['clusterName']}/agentPools/typo"
    )
    answer = requests.put(
        f"{endpoint}{path}",
        params={"api-version": POOL_API},
        headers={"Authorization": f"Bearer {token}"},
        json={"properties": {"vmSise": "Standard_D8ds_v5", "count": 0, "mode": "User"}},
        timeout=30,
    )
    assert answer.status_code == 400, answer.text
    error = json.loads(answer.text)["error"]
    assert set(error) >= {"code", "message"}
    assert error["code"] == "InvalidRequestContent", error
    assert "vmSise" in error["message"]
    pools = azure.client(ContainerServiceClient).agent_pools
    with pytest.raises(HttpResponseError) as missing:
        pools.get(outputs["resourceGroup"], outputs["clusterName"], "typo")
    assert missing.value.status_code == 404, "what was refused is there"
