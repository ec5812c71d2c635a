"""Network, cluster, storage and GPU plugins as they are declared."""

from __future__ import annotations

import json
from typing import Any

import pytest

from capacity.network_plan import AZURE_RESERVED, SMALLEST_PRIVATE_ENDPOINTS
from components.azure_files import AccountKind, keyless
from infra.platform import Platform
from tests.components.recorder import DEPLOYER, Recorder, record
from tests.components.stacks import environment, stack

AKS = "azure-native:containerservice"
ALICE, PIPELINE = "a11ce000-0000-4000-8000-000000000000", "c1000000-0000-4000-8000-000000000000"
DEPLOYERS = [{"objectId": ALICE, "principalType": "User"}, {"objectId": PIPELINE, "principalType": "ServicePrincipal"}]


def platform(**changes: Any) -> Recorder:
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))


@pytest.fixture(scope="module")
def made() -> Recorder:
    return platform()


def cluster(**changes: Any) -> dict[str, Any]:
    return platform(**changes).one(f"{AKS}:ManagedCluster", "cluster").inputs


def test_nobody_signs_in_with_a_local_account(made: Recorder) -> None:
    inputs = made.one(f"{AKS}:ManagedCluster", "cluster").inputs
    assert inputs["disableLocalAccounts"] is True
    assert inputs["aadProfile"]["enableAzureRBAC"] is True


def test_the_cluster_is_protected_unless_the_stack_file_says_otherwise() -> None:
    assert platform().one(f"{AKS}:ManagedCluster", "cluster").protect
    assert not platform(cluster={"protect": False}).one(f"{AKS}:ManagedCluster", "cluster").protect


def test_nothing_but_critical_pods_lands_on_the_system_pool(made: Recorder) -> None:
    [system] = made.one(f"{AKS}:ManagedCluster", "cluster").inputs["agentPoolProfiles"]
    assert system["nodeTaints"] == ["CriticalAddonsOnly=true:NoSchedule"]
    assert system["mode"] == "System"


def test_the_system_pool_takes_size_count_and_zones_from_the_stack_file() -> None:
    [system] = cluster(cluster={"systemPool": {"vmSize": "Standard_D8ds_v5", "count": 3, "zones": ["1", "2", "3"]}})[
        "agentPoolProfiles"
    ]
    assert (system["vmSize"], system["count"], system["availabilityZones"]) == ("Standard_D8ds_v5", 3, ["1", "2", "3"])


def test_a_private_cluster_has_no_public_name_and_no_address_ranges() -> None:
    access = cluster(cluster={"private": True})["apiServerAccessProfile"]
    assert access["enablePrivateCluster"] is True
    assert "authorizedIPRanges" not in access


def test_a_public_cluster_lets_the_listed_addresses_in() -> None:
    access = cluster(cluster={"authorizedIpRanges": ["203.0.113.0/24"]})["apiServerAccessProfile"]
    assert access["authorizedIPRanges"] == ["203.0.113.0/24", "198.51.100.7/32"], "nodes come from the NAT gateway"


def test_the_right_on_the_subnet_comes_before_the_cluster(made: Recorder) -> None:
    needs = made.one(f"{AKS}:ManagedCluster", "cluster").dependencies
    assert any(urn.endswith("::identity-joins-node-subnet") for urn in needs)


def test_nodes_pull_images_with_the_identity_that_aks_made_for_them(made: Recorder) -> None:
    pull = made.one("azure-native:authorization:RoleAssignment", "registry-pull").inputs
    assert pull["principalId"] == "principal-kubelet"
    assert "identityProfile" not in made.one(f"{AKS}:ManagedCluster", "cluster").inputs


def test_the_kubernetes_provider_waits_for_the_deployer_s_role(made: Recorder) -> None:
    provider = made.one("pulumi:providers:kubernetes", "access")
    assert any(urn.endswith(f"::access-{DEPLOYER}") for urn in provider.dependencies)
    assert provider.inputs["clusterIdentifier"] == "/id/cluster"


def test_deployers_of_the_stack_file_are_the_only_ones_with_the_role() -> None:
    made = platform(cluster={"deployers": DEPLOYERS})
    roles = made.of_type("azure-native:authorization:RoleAssignment")
    given = {one.name: one.inputs["principalType"] for one in roles if one.name.startswith("access-")}
    assert given == {f"access-{ALICE}": "User", f"access-{PIPELINE}": "ServicePrincipal"}


def test_the_way_out_is_the_nat_gateway_on_the_node_subnet(made: Recorder) -> None:
    subnets = {one["name"]: one for one in made.one("azure-native:network:VirtualNetwork", "network").inputs["subnets"]}
    assert subnets["nodes"]["natGateway"] == {"id": "/id/network-outbound"}
    assert all("networkSecurityGroup" in subnet for subnet in subnets.values())


def test_storage_is_found_through_private_zones_linked_to_the_network(made: Recorder) -> None:
    zones = {one.inputs["privateZoneName"] for one in made.of_type("azure-native:privatedns:PrivateZone")}
    assert zones == {f"privatelink.{service}.core.windows.net" for service in ("file", "blob", "dfs")}
    assert len(made.of_type("azure-native:privatedns:VirtualNetworkLink")) == 3


def test_no_storage_account_is_open_to_the_internet(made: Recorder) -> None:
    accounts = made.of_type("azure-native:storage:StorageAccount")
    assert {one.name for one in accounts} == {"files-standard-smb", "files-premium-nfs"}
    for account in accounts:
        assert account.inputs["publicNetworkAccess"] == "Disabled"
        assert account.inputs["networkRuleSet"]["defaultAction"] == "Deny"
        assert account.inputs["allowSharedKeyAccess"] is False
    endpoints = {one.name for one in made.of_type("azure-native:network:PrivateEndpoint")}
    assert endpoints == {f"{one.name}-file" for one in accounts}


@pytest.mark.parametrize(
    ("protocol", "version", "expected"),
    [("nfs", "1.33", True), ("smb", "1.33", False), ("smb", "1.34", True), ("smb", "1.36.1", True)],
)
def test_shared_keys_go_where_aks_can_do_without(protocol: str, version: str, expected: bool) -> None:
    assert keyless(AccountKind("standard", protocol), version) is expected


def test_before_aks_can_mount_with_an_identity_the_nodes_may_read_the_account_s_key() -> None:
    made = platform(cluster={"kubernetesVersion": "1.33"})
    assert made.one("azure-native:storage:StorageAccount", "files-standard-smb").inputs["allowSharedKeyAccess"] is True
    role = made.one("azure-native:authorization:RoleAssignment", "files-standard-smb-mounts").inputs
    assert role["roleDefinitionId"].endswith("81a9662b-bebf-436f-a333-f67b29880f12")
    [smb] = [one for one in made.of_type("kubernetes:storage.k8s.io/v1:StorageClass") if "smb" in one.name]
    assert "mountWithManagedIdentity" not in smb.inputs["parameters"]


def test_an_account_without_keys_takes_identities_over_smb_and_stays_as_closed_as_it_was(made: Recorder) -> None:
    [deployment] = made.of_type("azure-native:resources:Deployment")
    [template] = deployment.inputs["properties"]["template"]["resources"]
    account = made.one("azure-native:storage:StorageAccount", "files-standard-smb").inputs
    properties = template["properties"]
    assert properties["azureFilesIdentityBasedAuthentication"]["smbOAuthSettings"] == {"isSmbOAuthEnabled": True}
    assert (template["name"], template["kind"], template["sku"]) == (
        account["accountName"],
        "StorageV2",
        account["sku"],
    )
    same = ("allowBlobPublicAccess", "allowCrossTenantReplication", "allowSharedKeyAccess", "minimumTlsVersion")
    assert {key: properties[key] for key in same} == {key: account[key] for key in same}
    assert properties["publicNetworkAccess"] == account["publicNetworkAccess"]
    assert properties["networkAcls"] == account["networkRuleSet"]
    assert properties["supportsHttpsTrafficOnly"] == account["enableHttpsTrafficOnly"]


def test_an_nfs_account_answers_without_https(made: Recorder) -> None:
    accounts = {one.name: one.inputs for one in made.of_type("azure-native:storage:StorageAccount")}
    assert accounts["files-premium-nfs"]["enableHttpsTrafficOnly"] is False
    assert accounts["files-standard-smb"]["enableHttpsTrafficOnly"] is True


def test_a_share_s_volume_names_account_and_share_and_outlives_its_claim(made: Recorder) -> None:
    volume = made.one("kubernetes:core/v1:PersistentVolume", "files-datasets").inputs["spec"]
    account = made.one("azure-native:storage:StorageAccount", "files-premium-nfs").inputs["accountName"]
    assert volume["csi"]["volumeHandle"] == f"rg-trainyard-test-westeurope-data#{account}#datasets"
    assert volume["csi"]["volumeAttributes"]["protocol"] == "nfs"
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    claim = made.one("kubernetes:core/v1:PersistentVolumeClaim", "files-datasets").inputs["spec"]
    assert (claim["volumeName"], claim["storageClassName"]) == ("files-datasets", "")


def test_deleted_shares_can_be_had_back_for_a_week(made: Recorder) -> None:
    for service in made.of_type("azure-native:storage:FileServiceProperties"):
        assert service.inputs["shareDeleteRetentionPolicy"] == {"enabled": True, "days": 7}


def test_each_way_of_sharing_gpus_has_a_plugin_of_its_own(made: Recorder) -> None:
    configs = {
        one.name: json.loads(one.inputs["data"]["config.yaml"])
        for one in made.of_type("kubernetes:core/v1:ConfigMap")
        if one.name.startswith("gpu-")
    }
    assert set(configs) == {"gpu-nvidia-whole", "gpu-nvidia-time-slicing-4"}
    [resource] = configs["gpu-nvidia-time-slicing-4"]["sharing"]["timeSlicing"]["resources"]
    assert resource == {"name": "nvidia.com/gpu", "replicas": 4}
    assert configs["gpu-nvidia-time-slicing-4"]["sharing"]["timeSlicing"]["renameByDefault"] is False


def test_a_plugin_runs_on_every_node_of_its_pools_whatever_their_taints(made: Recorder) -> None:
    plugins = made.of_type("kubernetes:apps/v1:DaemonSet")
    assert {one.name for one in plugins} == {"gpu-nvidia-whole", "gpu-nvidia-time-slicing-4", "gpu-dcgm"}
    for plugin in plugins:
        assert plugin.inputs["spec"]["template"]["spec"]["tolerations"] == [{"operator": "Exists"}]


def test_a_stack_without_gpus_has_no_plugin() -> None:
    made = platform(pools={"cpu": {"class": "cpu", "max": 3}})
    assert made.of_type("kubernetes:apps/v1:DaemonSet") == []


def test_amd_machines_get_amd_s_plugin() -> None:
    made = platform(
        pools={"amd": {"class": "heavy-gpu", "vmSize": "Standard_ND96isr_MI300X_v5", "max": 2}},
        location="westus",
    )
    assert [one.name for one in made.of_type("kubernetes:apps/v1:DaemonSet")] == ["gpu-amd"]
    [pool] = made.of_type(f"{AKS}:AgentPool")
    assert pool.inputs["gpuProfile"] == {"driver": "None"}


def test_a_share_with_iops_of_its_own_lies_in_an_account_of_another_kind() -> None:
    shares = {
        "plain": {"sizeGib": 1024, "tier": "premium", "protocol": "nfs"},
        "fast": {"sizeGib": 1024, "tier": "premium", "protocol": "nfs", "provisionedIops": 20000},
    }
    made = platform(storage={"files": {"shares": shares, "dynamic": False}})
    accounts = {one.name: one.inputs for one in made.of_type("azure-native:storage:StorageAccount")}
    assert {name: (one["kind"], one["sku"]["name"]) for name, one in accounts.items()} == {
        "files-premium-nfs": ("FileStorage", "Premium_LRS"),
        "files-premium-nfs-provisioned": ("FileStorage", "PremiumV2_LRS"),
    }
    names = {one["accountName"] for one in accounts.values()}
    assert len(names) == 2
    fast = made.one("azure-native:storage:FileShare", "files-fast").inputs
    assert (fast["provisionedIops"], fast.get("provisionedBandwidthMibps")) == (20000, None), (
        "Azure recommends the rest"
    )
    assert "provisionedIops" not in made.one("azure-native:storage:FileShare", "files-plain").inputs
    volume = made.one("kubernetes:core/v1:PersistentVolume", "files-fast").inputs["spec"]["csi"]
    assert volume["volumeAttributes"]["storageAccount"] == accounts["files-premium-nfs-provisioned"]["accountName"]


def test_every_kind_of_account_fits_the_smallest_subnet_of_endpoints() -> None:
    shares = {
        f"{tier}-{protocol}{'-fast' if fast else ''}": {
            "sizeGib": 1024,
            "tier": tier,
            "protocol": protocol,
            **({"provisionedIops": 5000} if fast else {}),
        }
        for tier, protocol, fast in (
            ("standard", "smb", False),
            ("premium", "smb", False),
            ("premium", "nfs", False),
            ("premium", "smb", True),
            ("premium", "nfs", True),
        )
    }
    containers = {"flat": {}, "tree": {"hierarchical": True}, "posix": {"protocol": "nfs"}}
    made = platform(storage={"files": {"shares": shares}, "blob": {"containers": containers, "dynamic": True}})
    usable = 2 ** (32 - SMALLEST_PRIVATE_ENDPOINTS) - AZURE_RESERVED
    assert len(made.of_type("azure-native:network:PrivateEndpoint")) == 10 < usable
