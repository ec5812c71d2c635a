"""Containers, their accounts and how pods mount them, as they are declared."""

from __future__ import annotations

from typing import Any

import pytest

from components.blob_storage import BlobKind, blob_kinds, kind_of
from infra.platform import Platform
from stacks.storage_settings import Blob, Container
from tests.components.recorder import Recorder, record
from tests.components.stacks import environment, stack

CONTAINERS: dict[str, Any] = {"raw": {}, "tree": {"hierarchical": True}, "posix": {"protocol": "nfs"}}
GROUP = "rg-trainyard-test-westeurope-data"


def platform(**changes: Any) -> Recorder:
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))


@pytest.fixture(scope="module")
def made() -> Recorder:
    return platform(storage={"blob": {"dynamic": True, "containers": CONTAINERS}, "files": {"dynamic": False}})


def accounts(made: Recorder) -> dict[str, dict[str, Any]]:
    return {one.name: one.inputs for one in made.of_type("azure-native:storage:StorageAccount")}


def volume(made: Recorder, name: str) -> dict[str, Any]:
    return made.one("kubernetes:core/v1:PersistentVolume", f"blob-{name}").inputs["spec"]


def test_nfs_containers_lie_in_a_hierarchical_account_whatever_the_file_says() -> None:
    assert kind_of(Container(protocol="nfs")) == kind_of(Container(protocol="nfs", hierarchical=True))


def test_containers_of_one_kind_share_an_account() -> None:
    both = Blob(containers={"raw": Container(), "clean": Container(), "tree": Container(hierarchical=True)})
    assert blob_kinds(both) == [BlobKind("fuse2", False), BlobKind("fuse2", True)]


def test_no_account_of_containers_is_open_to_the_internet_or_to_keys(made: Recorder) -> None:
    assert set(accounts(made)) == {"blob-flat", "blob-hierarchical", "blob-nfs"}
    for name, inputs in accounts(made).items():
        assert inputs["publicNetworkAccess"] == "Disabled", name
        assert inputs["networkRuleSet"]["defaultAction"] == "Deny", name
        assert inputs["allowSharedKeyAccess"] is False, name
        assert inputs["allowBlobPublicAccess"] is False, name


def test_a_hierarchical_account_has_an_endpoint_for_dfs_as_well(made: Recorder) -> None:
    endpoints = {one.name: one.inputs for one in made.of_type("azure-native:network:PrivateEndpoint")}
    assert set(endpoints) == {
        "blob-flat-blob",
        "blob-hierarchical-blob",
        "blob-hierarchical-dfs",
        "blob-nfs-blob",
        "blob-nfs-dfs",
    }
    for name, inputs in endpoints.items():
        [connection] = inputs["privateLinkServiceConnections"]
        assert connection["groupIds"] == [name.rpartition("-")[2]]
        assert inputs["resourceGroupName"] == "rg-trainyard-test-westeurope", "it goes with the network"


def test_what_azure_fixes_at_creation_is_said_where_it_is_on(made: Recorder) -> None:
    fixed = {name: (inputs.get("isHnsEnabled"), inputs.get("enableNfsV3")) for name, inputs in accounts(made).items()}
    assert fixed == {"blob-flat": (None, None), "blob-hierarchical": (True, None), "blob-nfs": (True, True)}


def test_blobfuse_signs_in_as_the_nodes_which_have_a_data_role(made: Recorder) -> None:
    attributes = volume(made, "raw")["csi"]["volumeAttributes"]
    assert attributes["protocol"] == "fuse2"
    assert attributes["AzureStorageAuthType"] == "msi", "the driver compares in small letters"
    assert attributes["AzureStorageIdentityClientID"] == "client-kubelet"
    role = made.one("azure-native:authorization:RoleAssignment", "blob-flat-mounts").inputs
    assert role["principalId"] == "principal-kubelet"
    assert role["roleDefinitionId"].endswith("ba92f5b4-2d11-453d-a403-e96b0029c9fe")


def test_only_a_hierarchical_account_is_mounted_as_adls(made: Recorder) -> None:
    assert "--use-adls=true" in volume(made, "tree")["mountOptions"]
    assert "--use-adls=true" not in volume(made, "raw")["mountOptions"]


def test_nfs_needs_no_sign_in(made: Recorder) -> None:
    spec = volume(made, "posix")
    assert spec["csi"]["volumeAttributes"]["protocol"] == "nfs"
    assert "AzureStorageAuthType" not in spec["csi"]["volumeAttributes"]
    assert spec["mountOptions"] == ["nconnect=4"]
    names = {one.name for one in made.of_type("azure-native:authorization:RoleAssignment")}
    assert "blob-nfs-manages" in names
    assert "blob-nfs-mounts" not in names


def test_azure_linux_mounts_nfs_without_nconnect() -> None:
    assert BlobKind("nfs", True).mount_options("AzureLinux") == []


def test_a_container_s_volume_names_group_account_and_container_and_outlives_its_claim(made: Recorder) -> None:
    account = accounts(made)["blob-flat"]["accountName"]
    spec = volume(made, "raw")
    assert spec["csi"]["volumeHandle"] == f"{GROUP}#{account}#raw"
    assert spec["csi"]["volumeAttributes"]["resourceGroup"] == GROUP
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
    claim = made.one("kubernetes:core/v1:PersistentVolumeClaim", "blob-raw").inputs
    assert (claim["metadata"]["name"], claim["spec"]["volumeName"]) == ("blob-raw", "blob-raw")


def test_a_volume_waits_for_endpoints_roles_and_container(made: Recorder) -> None:
    needs = made.one("kubernetes:core/v1:PersistentVolume", "blob-tree").dependencies
    for name in ("blob-hierarchical-blob", "blob-hierarchical-dfs", "blob-hierarchical-mounts", "blob-tree"):
        assert any(urn.endswith(f"::{name}") for urn in needs), name


def test_deleted_blobs_and_containers_can_be_had_back_for_a_week(made: Recorder) -> None:
    services = made.of_type("azure-native:storage:BlobServiceProperties")
    assert len(services) == 3
    for service in services:
        assert service.inputs["deleteRetentionPolicy"] == {"enabled": True, "days": 7}
        assert service.inputs["containerDeleteRetentionPolicy"] == {"enabled": True, "days": 7}


def test_claims_of_jobs_come_from_accounts_of_ours_and_open_no_subnet(made: Recorder) -> None:
    classes = {one.name: one.inputs for one in made.of_type("kubernetes:storage.k8s.io/v1:StorageClass")}
    assert set(classes) == {"blob-blob-fuse2", "blob-blob-nfs"}
    for inputs in classes.values():
        assert inputs["parameters"]["resourceGroup"] == GROUP
    assert classes["blob-blob-fuse2"]["parameters"]["storageAccount"] == accounts(made)["blob-flat"]["accountName"]
    nfs = classes["blob-blob-nfs"]["parameters"]
    assert nfs["networkEndpointType"] == "privateEndpoint", "else the driver adds service endpoints to the subnet"


def test_a_stack_without_containers_has_no_account_for_them() -> None:
    assert not [name for name in accounts(platform()) if name.startswith("blob")]
