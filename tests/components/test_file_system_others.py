"""Gluster, Portworx and managed Lustre: what they are asked for, where they run, and what they keep."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.file_system.base import gib, grows_only, shrinking
from components.file_system.lustre import lustre_name
from components.file_system.placement_policy import Expression, cel
from components.roles import role_id
from tests.components.file_systems import STORE, after, platform, tolerated, usual
from tests.components.recorder import Made, Recorder, record
from tests.components.stacks import environment

EVERY_TAINT = {
    "storage-node=true:NoSchedule",
    "sku=gpu:NoSchedule",
    "kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
}


def ours(made: Recorder, kind: str) -> list[Made]:
    return [one for one in made.made if one.name.startswith("file-system") and one.type.endswith(f":{kind}")]


def one(made: Recorder, kind: str) -> Made:
    [found] = ours(made, kind)
    return found


def goes_before(made: Recorder, first: Made, then: str) -> bool:
    return any(key.endswith(f":{then}") for key in after(made, first))


# Gluster


def test_gluster_has_a_brick_a_copy_each_on_a_claim_of_its_own() -> None:
    made = usual("gluster")
    spec = one(made, "KadaluStorage").inputs["spec"]
    assert spec["type"] == "Replica3"
    claims = {claim.inputs["metadata"]["name"]: claim.inputs for claim in ours(made, "PersistentVolumeClaim")}
    assert len(spec["storage"]) % 3 == 0
    for brick in spec["storage"]:
        assert claims[brick["pvc"]]["metadata"]["namespace"] == "kadalu"
        assert claims[brick["pvc"]]["spec"]["storageClassName"] == "gluster-disks"


@pytest.mark.parametrize("replicas", [1, 2])
def test_gluster_keeps_as_many_copies_as_are_asked_for(replicas: int) -> None:
    spec = one(platform({"backend": "gluster", "sizeGib": 1024, "replicas": replicas}), "KadaluStorage").inputs["spec"]
    assert spec["type"] == f"Replica{replicas}"
    assert len(spec["storage"]) == 2 * replicas


def test_gluster_s_plugin_gets_every_pool_s_tolerations_and_a_policy_keeps_servers_on_the_storage_pool() -> None:
    made = usual("gluster")
    assert tolerated(one(made, "KadaluStorage").inputs["spec"]["tolerations"]) == EVERY_TAINT
    policy = one(made, "MutatingAdmissionPolicy").inputs["spec"]
    [condition] = policy["matchConditions"]
    assert 'one.kind in ["ReplicaSet", "StatefulSet"]' in condition["expression"], "the plugin is a DaemonSet"
    assert policy["matchConstraints"]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "kadalu"}}
    [mutation] = policy["mutations"]
    expression = mutation["jsonPatch"]["expression"]
    assert '"/spec/nodeSelector", value: {"trainyard/pool": dyn("store")}' in expression
    assert 'dyn("storage-node")' in expression
    assert '"topologyKey": dyn("topology.kubernetes.io/zone")' in expression
    assert "podAntiAffinity" in expression


def test_gluster_in_one_zone_is_not_spread_over_zones() -> None:
    made = platform({"backend": "gluster", "sizeGib": 1024}, store={**STORE, "zones": ["1"]})
    [mutation] = one(made, "MutatingAdmissionPolicy").inputs["spec"]["mutations"]
    assert "topologySpreadConstraints" not in mutation["jsonPatch"]["expression"]


def test_gluster_s_servers_go_before_their_bricks_and_those_before_the_operator() -> None:
    made = usual("gluster", delete_data=True)
    claim = made.one("kubernetes:core/v1:PersistentVolumeClaim", "file-system-claim")
    brick = made.one("kubernetes:core/v1:PersistentVolumeClaim", "file-system-brick-0")
    assert goes_before(made, claim, "KadaluStorage::file-system-pool")
    assert goes_before(made, one(made, "KadaluStorage"), "PersistentVolumeClaim::file-system-brick-0")
    assert goes_before(made, brick, "Release::file-system-kadalu")
    assert goes_before(made, one(made, "Release"), "MutatingAdmissionPolicyBinding::file-system-kadalu")
    assert goes_before(made, one(made, "Namespace"), "AgentPool::store")


def test_gluster_keeps_its_volumes_data_unless_data_is_deleted() -> None:
    kept, deleted = usual("gluster"), usual("gluster", delete_data=True)
    assert one(kept, "KadaluStorage").inputs["spec"]["pvReclaimPolicy"] == "retain"
    assert one(deleted, "KadaluStorage").inputs["spec"]["pvReclaimPolicy"] == "delete"
    for made, expected in ((kept, True), (deleted, False)):
        held = [one(made, "KadaluStorage"), *(x for x in ours(made, "PersistentVolumeClaim") if "brick" in x.name)]
        assert {x.retain_on_delete for x in held} == {expected}


# Portworx


def test_portworx_runs_on_every_pool_and_keeps_data_on_labelled_nodes() -> None:
    made = usual("portworx")
    spec = one(made, "StorageCluster").inputs["spec"]
    assert tolerated(spec["placement"]["tolerations"]) == EVERY_TAINT
    assert {"name": "ENABLE_ASG_STORAGE_PARTITIONING", "value": "true"} in spec["env"]
    assert spec["cloudStorage"]["deviceSpecs"] == ["type=Premium_LRS,size=1024"] * 5
    assert spec["cloudStorage"]["maxStorageNodesPerZone"] == 1
    labels = {
        x.name: x.inputs["nodeLabels"]["portworx.io/node-type"]
        for x in made.of_type("azure-native:containerservice:AgentPool")
    }
    assert labels["store"] == "storage"
    assert set(labels.values()) == {"storage", "storageless"}


def test_portworx_signs_in_with_an_identity_of_its_own_and_no_secret() -> None:
    made = usual("portworx")
    [credential] = one(made, "StorageCluster").inputs["spec"]["workloadIdentity"]["credentials"]
    assert credential == {
        "cloudProvider": "azure",
        "key": "azure.workload.identity/client-id",
        "value": "client-file-system-portworx",
    }
    federated = one(made, "FederatedIdentityCredential").inputs
    assert federated["subject"] == "system:serviceaccount:portworx:portworx"
    assert "secretKeyRef" not in str(one(made, "StorageCluster").inputs)


def test_portworx_s_rights_are_on_the_narrowest_scopes() -> None:
    made = usual("portworx")
    scopes = {x.name.removeprefix("file-system-portworx-"): x.inputs["scope"] for x in ours(made, "RoleAssignment")}
    assert scopes["makes-disks"].endswith("/resourceGroups/rg-trainyard-test-westeurope-nodes")
    assert scopes["reads-pools"] == "/id/cluster"
    assert scopes["keeps-node-subnet"].endswith("/subnets/nodes")
    built_in = role_id(environment(), "")
    assert not any(x.inputs["roleDefinitionId"].startswith(built_in) for x in ours(made, "RoleAssignment"))


def test_portworx_s_operator_makes_no_cluster_of_its_own_and_goes_last() -> None:
    made = usual("portworx", delete_data=True)
    assert one(made, "Release").inputs["values"] == {"deployOperator": True, "deployCluster": False}
    assert goes_before(made, one(made, "StorageCluster"), "Release::file-system-portworx")
    assert goes_before(made, one(made, "StorageCluster"), "RoleAssignment::file-system-portworx-makes-disks")


def test_portworx_wipes_its_disks_only_where_data_is_deleted() -> None:
    kept, deleted = one(usual("portworx"), "StorageCluster"), one(usual("portworx", delete_data=True), "StorageCluster")
    assert kept.retain_on_delete
    assert "deleteStrategy" not in kept.inputs["spec"]
    assert not deleted.retain_on_delete
    assert deleted.inputs["spec"]["deleteStrategy"] == {"type": "UninstallAndDelete", "ignoreVolumes": True}


def test_portworx_s_class_is_shared_and_copied() -> None:
    made = platform({"backend": "portworx", "sizeGib": 1024, "replicas": 2})
    parameters = made.one("kubernetes:storage.k8s.io/v1:StorageClass", "file-system-class").inputs["parameters"]
    assert (parameters["repl"], parameters["sharedv4"]) == ("2", "true")


# Managed Lustre


def test_a_managed_lustre_is_the_stack_s_own_resource_in_the_data_group() -> None:
    made = usual("lustre")
    lustre = one(made, "AmlFilesystem")
    assert lustre.inputs["storageCapacityTiB"] == 16
    assert lustre.inputs["sku"] == {"name": "AMLFS-Durable-Premium-125"}
    assert lustre.inputs["resourceGroupName"] == "rg-trainyard-test-westeurope-data"
    assert lustre.inputs["maintenanceWindow"] == {"dayOfWeek": "Sunday", "timeOfDayUTC": "02:00"}
    assert lustre.retain_on_delete
    assert not one(usual("lustre", delete_data=True), "AmlFilesystem").retain_on_delete


def test_a_managed_lustre_s_network_is_kept_with_it_and_joined_to_the_platform_s() -> None:
    made = usual("lustre")
    assert one(made, "VirtualNetwork").retain_on_delete
    assert one(made, "NetworkSecurityGroup").retain_on_delete
    assert len(ours(made, "VirtualNetworkPeering")) == 2
    [subnet] = one(made, "VirtualNetwork").inputs["subnets"]
    assert "networkSecurityGroup" in subnet
    [platform_network] = [x for x in made.of_type("azure-native:network:VirtualNetwork") if x.name == "network"]
    assert platform_network.inputs["addressSpace"] != one(made, "VirtualNetwork").inputs["addressSpace"]


def test_what_azure_cannot_change_is_in_a_managed_lustre_s_name() -> None:
    def name(size: int, **lustre: Any) -> str:
        made = platform({"backend": "lustre", "sizeGib": size, "lustre": lustre})
        return one(made, "AmlFilesystem").inputs["amlFilesystemName"]

    same = name(16384)
    assert name(16384, maintenanceDay="Monday") == same
    assert len({same, name(32768), name(16384, zone="2"), name(16384, sku="AMLFS-Durable-Premium-250")}) == 4
    assert len(lustre_name("e" * 90, "abcde")) <= 80


def test_lustre_s_claim_leads_to_the_file_system_and_outlives_the_stack_s_objects() -> None:
    made = usual("lustre")
    volume = made.one("kubernetes:core/v1:PersistentVolume", "file-system-claim").inputs
    assert volume["spec"]["csi"]["volumeAttributes"] == {"mgs-ip-address": "10.251.254.4"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["mountOptions"] == ["noatime", "flock"]
    claim = made.one("kubernetes:core/v1:PersistentVolumeClaim", "file-system-claim").inputs
    assert (claim["metadata"]["name"], claim["spec"]["volumeName"]) == (
        "file-system-lustre",
        one(made, "AmlFilesystem").inputs["amlFilesystemName"],
    )


def test_lustre_s_plugins_run_on_every_pool_by_its_ubuntu_and_the_controller_on_system_nodes() -> None:
    made = usual("lustre")
    skus: list[str] = []
    for plugin in ours(made, "DaemonSet"):
        pod = plugin.inputs["spec"]["template"]["spec"]
        assert tolerated(pod["tolerations"]) == EVERY_TAINT
        [term] = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        skus += term["matchExpressions"][0]["values"]
    assert sorted(skus) == ["Ubuntu2004", "Ubuntu2204", "Ubuntu2404"]
    pod = one(made, "Deployment").inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"kubernetes.azure.com/mode": "system"}


def test_jobs_claims_of_lustre_are_folders_apart() -> None:
    inputs = usual("lustre").one("kubernetes:storage.k8s.io/v1:StorageClass", "file-system-class").inputs
    assert inputs["parameters"]["sub-dir"] == "claims/${pvc.metadata.namespace}/${pvc.metadata.name}"
    assert inputs["reclaimPolicy"] == "Retain"


# All


def test_without_a_file_system_nothing_of_it_is_made() -> None:
    made = platform({"backend": "none"})
    assert [x.name for x in made.made if x.name.startswith("file-system")] == []


def test_claims_and_classes_of_two_backends_can_be_there_at_once() -> None:
    names: list[str] = []
    for backend in ("rook", "gluster", "portworx", "lustre"):
        made = usual(backend)
        objects = [*ours(made, "StorageClass"), *ours(made, "Namespace"), *ours(made, "PersistentVolumeClaim")]
        names += [x.inputs["metadata"]["name"] for x in objects if "brick" not in x.name]
    assert len(names) == len(set(names)), "the new backend's come before the old one's go"


def test_whatever_may_have_been_kept_can_be_taken_over() -> None:
    for backend in ("rook", "gluster", "portworx"):
        kept = [x for x in usual(backend).made if x.retain_on_delete and x.name.startswith("file-system")]
        assert kept
        for x in kept:
            assert x.inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true", x.name


def test_another_reclaim_policy_replaces_a_class_the_old_one_first() -> None:
    for backend in ("rook", "gluster", "portworx", "lustre"):
        classes = ours(usual(backend), "StorageClass")
        assert classes
        assert all(x.delete_before_replace for x in classes), "Kubernetes takes no other policy in place"


def test_a_claim_may_grow_and_not_shrink() -> None:
    assert shrinking({"GiB from": 2048}, {"GiB from": 1024}) == "GiB from 2048 to 1024"
    assert shrinking({"GiB from": 1024}, {"GiB from": 2048}) == ""
    assert shrinking({"GiB from": 1024}, {"GiB from": 2048}, fixed=True) == "GiB from 1024 to 2048"
    assert shrinking({"GiB from": 1024}, {"GiB from": 1024}, fixed=True) == ""
    assert shrinking({"GiB from": 1024}, {}) == "", "what was not there before, or is not there now, is no size"


@pytest.mark.parametrize(("quantity", "expected"), [("1024Gi", 1024), ("1Ti", 1024), ("4Pi", 4 << 20), (1 << 40, 1024)])
def test_a_quantity_is_read_as_the_api_server_writes_it(quantity: object, expected: int) -> None:
    assert gib(quantity) == expected


def test_what_is_no_quantity_is_not_taken_for_one() -> None:
    with pytest.raises(ValueError, match=r"1\.5Ti"):
        gib("1.5Ti")


def test_a_refusal_comes_in_preview_and_says_what_to_do() -> None:
    bindings: list[pulumi.ResourceHookBinding] = []

    def measured(inputs: Any) -> dict[str, int]:
        return {"GiB from": gib(inputs["storage"])}

    record(lambda: bindings.append(grows_only("test-grows", measured, "Keep it.")))
    hooks = bindings[0].before_update
    assert hooks is not None
    hook = hooks[0]
    assert isinstance(hook, pulumi.ResourceHook)
    assert hook.opts is not None
    assert hook.opts.on_dry_run
    sizes: dict[str, Any] = {"old_inputs": {"storage": "2048Gi"}, "new_inputs": {"storage": "1024Gi"}}
    with pytest.raises(pulumi.RunError, match=r"claim: GiB from 2048 to 1024 is refused, .*: Keep it"):
        hook.callback(pulumi.ResourceHookArgs(urn="", id="", name="claim", type="", **sizes))


def test_a_value_becomes_a_literal_of_the_policy_s_language() -> None:
    value = {"a": ["b", 1, True], "c": Expression("object.x")}
    assert cel(value) == '{"a": dyn(["b", 1, true]), "c": dyn(object.x)}'
