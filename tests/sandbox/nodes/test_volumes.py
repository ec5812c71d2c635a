"""What claims become on Azure, and who may make it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.nodes.azure_rights import allows, in_effect
from sandbox.nodes.csi_nodes import drivers_change, running_drivers
from sandbox.nodes.volume_plans import PlanError, VolumePlan, check_account, persistent_volume, plan_volume
from tests.sandbox.nodes.builders import NODE_GROUP, cluster, machine

Json = dict[str, Any]
UID = "6f1c"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def claim(size: str = "5Gi", **spec: Any) -> Json:
    return {
        "metadata": {"name": "data", "namespace": "default", "uid": UID},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": size}}, **spec},
    }


def storage_class(provisioner: str, **parameters: str) -> Json:
    return {"metadata": {"name": "c"}, "provisioner": provisioner, "parameters": parameters, "reclaimPolicy": "Delete"}


def plan(provisioner: str, asked: Json | None = None, zone: str | None = None, **parameters: str) -> VolumePlan:
    return plan_volume(asked or claim(), storage_class(provisioner, **parameters), cluster(), zone)


def test_a_share_comes_from_the_account_that_the_class_names() -> None:
    made = plan("file.csi.azure.com", resourceGroup="rg", storageAccount="acc", protocol="nfs", skuName="Premium_LRS")
    assert made.account_id is not None
    assert made.account_id.endswith("/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/acc")
    [step] = made.steps
    assert step.resource_id == f"{made.account_id}/fileServices/default/shares/pvcn-{UID}"
    assert step.body["properties"] == {"shareQuota": 100, "enabledProtocols": "NFS"}, "premium shares begin at 100 GiB"
    assert made.csi["volumeHandle"].startswith("rg#acc#pvcn-")


def test_smb_needs_the_accounts_key_unless_mounted_with_an_identity() -> None:
    key = "Microsoft.Storage/storageAccounts/listKeys/action"
    named: Any = {"resourceGroup": "rg", "storageAccount": "acc"}
    assert key in plan("file.csi.azure.com", **named).backing.actions
    assert key not in plan("file.csi.azure.com", **named, mountWithManagedIdentity="true").backing.actions


def test_without_an_account_the_driver_makes_its_own_and_the_same_each_time() -> None:
    first, second = plan("file.csi.azure.com"), plan("file.csi.azure.com")
    assert first.account_id is None
    assert first.steps[0].resource_id == second.steps[0].resource_id
    assert f"/resourceGroups/{NODE_GROUP}/" in first.steps[0].resource_id
    assert first.steps[0].resource_id != plan("file.csi.azure.com", skuName="Premium_LRS").steps[0].resource_id


@pytest.mark.parametrize(
    ("driver", "parameters", "said"),
    [
        ("file.csi.azure.com", {"storageAcount": "acc"}, 'invalid parameter "storageAcount"'),
        ("file.csi.azure.com", {"protocol": "nfs", "skuName": "Standard_LRS"}, "only supports premium storage"),
        ("file.csi.azure.com", {"protocol": "smb3"}, "protocol(smb3) is not supported"),
        ("blob.csi.azure.com", {"protocol": "nfs4"}, "protocol(nfs4) is not supported"),
        ("disk.csi.azure.com", {"sku": "Premium_LRS"}, 'invalid parameter "sku"'),
    ],
)
def test_parameters_that_the_driver_refuses_are_refused(driver: str, parameters: Any, said: str) -> None:
    with pytest.raises(PlanError) as error:
        plan(driver, **parameters)
    assert said in str(error.value)


def test_a_blob_container_over_nfs_wants_a_hierarchical_account() -> None:
    account, container = plan("blob.csi.azure.com", protocol="nfs", skuName="Premium_LRS").steps
    assert account.body["properties"]["isNfsV3Enabled"]
    assert account.body["properties"]["isHnsEnabled"]
    assert account.body["kind"] == "BlockBlobStorage"
    assert container.resource_id.endswith(f"/containers/pvc-{UID}")


def test_a_disk_lies_in_its_nodes_zone_and_is_bound_to_it() -> None:
    single = claim("64Gi", accessModes=["ReadWriteOnce"])
    made = plan("disk.csi.azure.com", single, "westeurope-2", skuname="Premium_LRS")
    assert made.backing.body["zones"] == ["2"]
    volume = persistent_volume(single, storage_class("disk.csi.azure.com"), made)
    assert "westeurope-2" in str(volume["spec"]["nodeAffinity"])
    redundant = plan("disk.csi.azure.com", single, "westeurope-2", skuname="Premium_ZRS")
    assert redundant.zone is None


def test_a_mounted_disk_is_for_one_node() -> None:
    with pytest.raises(PlanError, match="MULTI_NODE"):
        plan("disk.csi.azure.com", claim(accessModes=["ReadWriteMany"]))


def test_a_volume_remembers_its_claim_and_what_is_behind_it() -> None:
    made = plan("file.csi.azure.com")
    volume = persistent_volume(claim(), storage_class("file.csi.azure.com"), made)
    assert volume["metadata"]["name"] == f"pvc-{UID}"
    assert volume["metadata"]["annotations"]["sandbox.trainyard/backing"] == made.backing.resource_id
    assert volume["spec"]["claimRef"]["uid"] == UID
    assert volume["spec"]["capacity"] == {"storage": "5Gi"}


def test_a_role_counts_on_its_scope_and_below_and_only_after_its_delay() -> None:
    def assignment(scope: str, age: float) -> Json:
        return {"scope": scope, "createdOn": (NOW - timedelta(seconds=age)).isoformat()}

    account = "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Storage/storageAccounts/acc"
    assert in_effect(assignment("/subscriptions/s/resourcegroups/rg", 10), account, 5, NOW)
    assert not in_effect(assignment("/subscriptions/s/resourcegroups/rg", 3), account, 5, NOW)
    assert not in_effect(assignment("/subscriptions/s/resourcegroups/r", 10), account, 5, NOW)
    assert not in_effect(assignment(f"{account}/fileServices/default", 10), account, 5, NOW)


def test_a_permission_grants_by_pattern_and_takes_back() -> None:
    contributor = [{"actions": ["*"], "notActions": ["Microsoft.Authorization/*/Write"]}]
    assert allows(contributor, "Microsoft.Storage/storageAccounts/write")
    assert not allows(contributor, "Microsoft.Authorization/roleAssignments/write")
    assert not allows([{"actions": ["*/read"]}], "Microsoft.Storage/storageAccounts/write")


def driver_pod(app: str, *, ready: bool = True) -> Json:
    return {
        "metadata": {
            "namespace": "kube-system",
            "labels": {"app": app},
            "ownerReferences": [{"kind": "DaemonSet", "controller": True}],
        },
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def test_a_driver_counts_while_its_node_pod_is_ready() -> None:
    pods = [driver_pod("csi-azuredisk-node"), driver_pod("csi-blob-node", ready=False)]
    assert running_drivers(pods) == {"disk.csi.azure.com"}


def test_a_csi_node_lists_our_drivers_and_leaves_others_alone() -> None:
    present = {
        "metadata": {"resourceVersion": "1"},
        "spec": {"drivers": [{"name": "rook"}, {"name": "blob.csi.azure.com"}]},
    }
    patch = drivers_change(present, machine(), {"disk.csi.azure.com"})
    assert patch is not None
    names = [one["name"] for one in patch["spec"]["drivers"]]
    assert names == ["rook", "disk.csi.azure.com"]
    assert patch["spec"]["drivers"][1]["topologyKeys"] == ["topology.disk.csi.azure.com/zone"]
    assert drivers_change(present, machine(), {"blob.csi.azure.com"}) is None


@pytest.mark.parametrize("oauth", [None, {}, {"smbOAuthSettings": {"isSmbOAuthEnabled": False}}])
def test_an_account_that_takes_no_identity_over_smb_is_refused(oauth: Any) -> None:
    by_identity = VolumePlan("account", (), {"volumeAttributes": {"mountwithmanagedidentity": "true"}}, 1)
    account = {"name": "acc", "properties": {"azureFilesIdentityBasedAuthentication": oauth} if oauth else {}}
    with pytest.raises(PlanError, match="acc does not take SMB OAuth"):
        check_account(by_identity, account)
    check_account(VolumePlan("account", (), {"volumeAttributes": {}}, 1), account)


def test_an_account_that_takes_an_identity_over_smb_will_do() -> None:
    by_identity = VolumePlan("account", (), {"volumeAttributes": {"mountwithmanagedidentity": "true"}}, 1)
    oauth = {"smbOAuthSettings": {"isSmbOAuthEnabled": True}}
    check_account(by_identity, {"properties": {"azureFilesIdentityBasedAuthentication": oauth}})
