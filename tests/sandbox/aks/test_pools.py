from __future__ import annotations

from typing import Any

import pytest

from capacity.catalogue import load_catalogue
from sandbox.azure.errors import ArmError
from sandbox.azure.pool_machines import check_gpu
from tests.sandbox.aks.conftest import BOOT, NETWORK_CONTRIBUTOR, SYSTEM, Cloud

SPOT = {"scaleSetPriority": "Spot", "count": 0}
SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"


def refused(yard: Cloud, name: str = "light", /, **properties: Any) -> ArmError:
    return yard.refusal(lambda: yard.put(yard.pool_id(name), yard.pool_body(**properties)))


def test_a_pool_is_creating_until_its_machines_are_up(yard: Cloud) -> None:
    reply = yard.put(yard.pool_id("light"), yard.pool_body(count=2))
    assert reply.status == 201
    assert reply.body["properties"]["provisioningState"] == "Creating"
    yard.pass_time(BOOT / 2)
    assert {one["state"] for one in yard.machines("light")} == {"booting"}
    assert yard.finish(reply) == "Succeeded"
    assert {one["state"] for one in yard.machines("light")} == {"running"}


def test_a_pool_shows_what_aks_gives_one_that_asks_for_nothing(yard: Cloud) -> None:
    properties = yard.make_pool("plain", vmSize="Standard_D8s_v5", maxPods=None)["properties"]
    shown = {
        key: properties[key] for key in ("osType", "osSKU", "osDiskType", "osDiskSizeGB", "maxPods", "scaleDownMode")
    }
    assert shown == {
        "osType": "Linux",
        "osSKU": "Ubuntu",
        "osDiskType": "Managed",
        "osDiskSizeGB": 256,
        "maxPods": 250,
        "scaleDownMode": "Delete",
    }
    assert properties["orchestratorVersion"] == properties["currentOrchestratorVersion"] == "1.36.1"
    assert properties["nodeImageVersion"].startswith("AKSUbuntu-2404gen2containerd-")
    assert properties["upgradeSettings"]["maxSurge"] == "10%"


def test_a_disk_goes_on_the_machine_where_it_fits_and_nothing_else_was_asked(yard: Cloud) -> None:
    assert yard.make_pool("fits", vmSize="Standard_D4ds_v5", osDiskSizeGB=128)["properties"]["osDiskType"] == (
        "Ephemeral"
    )
    assert yard.make_pool("large", vmSize="Standard_D4ds_v5", osDiskSizeGB=512)["properties"]["osDiskType"] == (
        "Managed"
    )


@pytest.mark.parametrize("name", ["Light", "1light", "light-a", "a" * 13, "li_ght"])
def test_a_name_against_azures_rule_is_refused(yard: Cloud, name: str) -> None:
    assert refused(yard, name).code == "InvalidParameter"


def test_twelve_characters_are_a_name(yard: Cloud) -> None:
    assert yard.make_pool("a" * 12)["name"] == "a" * 12


def test_a_count_is_required_autoscaled_or_not(yard: Cloud) -> None:
    for more in ({}, {"enableAutoScaling": True, "minCount": 0, "maxCount": 3}):
        error = refused(yard, count=None, **more)
        assert error.message == "Required parameter properties.count is missing (null)."
        assert error.target == "properties.count"


@pytest.mark.parametrize(
    "changed",
    [
        {"count": -1},
        {"count": 1001},
        {"minCount": 1},
        {"maxCount": 3},
        {"enableAutoScaling": True, "minCount": 0},
        {"enableAutoScaling": True, "maxCount": 3},
        {"enableAutoScaling": True, "minCount": 3, "maxCount": 2, "count": 2},
        {"enableAutoScaling": True, "minCount": 0, "maxCount": 0, "count": 0},
        {"enableAutoScaling": True, "minCount": 2, "maxCount": 3, "count": 1},
        {"enableAutoScaling": True, "minCount": 0, "maxCount": 3, "count": 4},
        {"enableAutoScaling": True, "minCount": 0, "maxCount": 1001, "count": 1},
        {"mode": "System", "vmSize": "Standard_D4ds_v5", "count": 0},
    ],
)
def test_counts_out_of_their_bounds_are_refused(yard: Cloud, changed: dict[str, Any]) -> None:
    assert refused(yard, **changed).code == "InvalidParameter"


def test_a_pool_may_be_empty(yard: Cloud) -> None:
    made = yard.make_pool("none", count=0)
    assert made["properties"]["count"] == 0
    assert yard.scale_set("none")["sku"]["capacity"] == 0


CREATED = {
    "vmSize": "Standard_NC24ads_A100_v4",
    "count": 0,
    "maxPods": 110,
    "osDiskSizeGB": 128,
    "osDiskType": "Managed",
    "availabilityZones": ["1"],
    "gpuProfile": {"driver": "Install"},
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("vmSize", "Standard_NC48ads_A100_v4"),
        ("maxPods", 60),
        ("osDiskSizeGB", 256),
        ("osDiskType", "Ephemeral"),
        ("availabilityZones", ["2"]),
        ("availabilityZones", None),
        ("gpuInstanceProfile", "MIG1g"),
        ("gpuProfile", {"driver": "None"}),
        ("scaleSetPriority", "Spot"),
        ("enableEncryptionAtHost", True),
        ("proximityPlacementGroupID", "/subscriptions/x/other"),
        ("capacityReservationGroupID", "/subscriptions/x/other"),
        ("kubeletDiskType", "Temporary"),
        ("enableUltraSSD", True),
    ],
)
def test_what_a_pool_was_made_with_does_not_change(yard: Cloud, key: str, value: Any) -> None:
    yard.make_pool("heavy", **CREATED)
    error = refused(yard, "heavy", **{**CREATED, key: value})
    assert (error.status, error.code, error.target) == (400, "PropertyChangeNotAllowed", f"properties.{key}")
    assert error.message == f"Changing property 'properties.{key}' is not allowed."
    assert error.body == {"code": error.code, "message": error.message, "target": error.target}


@pytest.mark.parametrize("key", ["scaleSetEvictionPolicy", "spotMaxPrice"])
def test_spots_price_and_eviction_do_not_change(yard: Cloud, key: str) -> None:
    own = {"nodeTaints": [f"{SPOT_LABEL}=spot:NoSchedule"], "nodeLabels": {SPOT_LABEL: "spot"}}
    yard.make_pool("cheap", **SPOT, **own)
    value = {"scaleSetEvictionPolicy": "Deallocate", "spotMaxPrice": 0.5}[key]
    assert refused(yard, "cheap", **SPOT, **own, **{key: value}).target == f"properties.{key}"


def test_labels_taints_tags_and_counts_change(yard: Cloud) -> None:
    yard.make_pool("light", nodeLabels={"a": "1"}, nodeTaints=["sku=gpu:NoSchedule"], tags={"old": "1"})
    changed = yard.make_pool("light", nodeLabels={"b": "2"}, nodeTaints=["x=y:NoExecute"], tags={"new": "2"}, count=2)
    properties = changed["properties"]
    assert (properties["nodeLabels"], properties["nodeTaints"], properties["count"]) == (
        {"b": "2"},
        ["x=y:NoExecute"],
        2,
    )
    tags = yard.scale_set("light")["tags"]
    assert tags["new"] == "2"
    assert "old" not in tags, "a pool's tags replace the scale set's"
    assert tags["aks-managed-poolName"] == "light"


@pytest.mark.parametrize("size", ["Standard_NC99_Nonsense", "Standard_NC6s_v3", "Standard_NV4as_v4"])
def test_a_size_that_is_unknown_restricted_or_not_for_aks_is_refused(yard: Cloud, size: str) -> None:
    error = refused(yard, vmSize=size)
    assert error.code == "BadRequest"
    assert f"The VM size of {size} is not allowed in your subscription in location 'westeurope'" in error.message
    assert "standard_nc4as_t4_v3" in error.message


def test_a_size_is_refused_once_azure_restricts_it(yard: Cloud) -> None:
    size = "Standard_NC4as_T4_v3"
    yard.put("/sandbox/skus", {"region": "westeurope", "name": size, "restricted": True})
    assert refused(yard, vmSize=size).code == "BadRequest"
    yard.put("/sandbox/skus", {"region": "westeurope", "name": size, "restricted": False})
    yard.make_pool("light", vmSize=size)


def test_a_zone_that_the_size_is_not_sold_in_is_refused(yard: Cloud) -> None:
    size = "Standard_NC24ads_A100_v4"
    yard.put("/sandbox/skus", {"region": "westeurope", "name": size, "zones": ["1", "3"]})
    error = refused(yard, vmSize=size, availabilityZones=["1", "2"])
    assert error.code == "AvailabilityZoneNotSupported"
    assert "The zone(s) '2' for resource 'light' is not supported" in error.message
    assert "are '1,3'" in error.message


def test_zones_are_used_evenly(yard: Cloud) -> None:
    yard.make_pool("wide", vmSize="Standard_D8ds_v5", count=5, availabilityZones=["1", "2", "3"])
    zones = sorted(one["zone"] for one in yard.machines("wide"))
    assert zones == ["westeurope-1", "westeurope-1", "westeurope-2", "westeurope-2", "westeurope-3"]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("kubernetes.azure.com/accelerator", "BadRequest"),
        ("kubernetes.azure.com/mine", "BadRequest"),
        ("kubernetes.io/role", "BadRequest"),
        ("node-role.kubernetes.io/gpu", "BadRequest"),
        ("topology.k8s.io/zone", "BadRequest"),
        ("agentpool", "NodeLabelKeyNotAllowed"),
        ("accelerator", "NodeLabelKeyNotAllowed"),
        ("bad key", "BadRequest"),
        ("-bad", "BadRequest"),
        ("a/b/c", "BadRequest"),
        (SPOT_LABEL, "BadRequest"),
    ],
)
def test_labels_that_are_not_ones_own_are_refused(yard: Cloud, key: str, code: str) -> None:
    assert refused(yard, nodeLabels={key: "spot"}).code == code


def test_a_label_value_must_be_kubernetes_own(yard: Cloud) -> None:
    assert "does not meet syntax" in refused(yard, nodeLabels={"a": "not allowed"}).message
    yard.make_pool("light", nodeLabels={"node.kubernetes.io/mine": "yes", "trainyard/pool": "light", "empty": ""})


@pytest.mark.parametrize(
    "taint",
    [
        "sku=gpu",
        "sku=gpu:Never",
        "=gpu:NoSchedule",
        "sku=g p u:NoSchedule",
        "kubernetes.azure.com/mine=x:NoSchedule",
        f"{SPOT_LABEL}=spot:NoSchedule",
    ],
)
def test_taints_that_are_none_or_not_ones_own_are_refused(yard: Cloud, taint: str) -> None:
    assert refused(yard, nodeTaints=[taint]).code == "InvalidParameter"


def test_a_taint_twice_is_refused(yard: Cloud) -> None:
    assert refused(yard, nodeTaints=["a=b:NoSchedule", "a=c:NoSchedule"]).code == "InvalidParameter"
    yard.make_pool("light", nodeTaints=["a=b:NoSchedule", "a=c:NoExecute", "alone:PreferNoSchedule"])


def test_spot_brings_its_own_label_and_taint(yard: Cloud) -> None:
    made = yard.make_pool("cheap", **SPOT)["properties"]
    assert made["nodeLabels"] == {SPOT_LABEL: "spot"}
    assert made["nodeTaints"] == [f"{SPOT_LABEL}=spot:NoSchedule"]
    assert (made["scaleSetEvictionPolicy"], made["spotMaxPrice"]) == ("Delete", -1)
    profile = yard.scale_set("cheap")["properties"]["virtualMachineProfile"]
    assert (profile["priority"], profile["billingProfile"]) == ("Spot", {"maxPrice": -1})


def test_an_update_that_leaves_spots_own_out_is_refused(yard: Cloud) -> None:
    yard.make_pool("cheap", **SPOT)
    taint, label = [f"{SPOT_LABEL}=spot:NoSchedule"], {SPOT_LABEL: "spot"}
    assert refused(yard, "cheap", **SPOT, nodeLabels=label).target == "properties.nodeTaints"
    assert refused(yard, "cheap", **SPOT, nodeTaints=taint).target == "properties.nodeLabels"
    yard.make_pool("cheap", **SPOT, nodeTaints=taint, nodeLabels=label)


@pytest.mark.parametrize(
    "changed",
    [
        {**SPOT, "upgradeSettings": {"maxSurge": "1"}},
        {**SPOT, "upgradeSettings": {"maxUnavailable": "1"}},
        {**SPOT, "spotMaxPrice": 0},
        {**SPOT, "spotMaxPrice": 0.123456},
        {"spotMaxPrice": 1.0},
        {"scaleSetEvictionPolicy": "Delete"},
        {"upgradeSettings": {"maxSurge": "some"}},
        {"upgradeSettings": {"maxSurge": "101%"}},
        {"count": 950, "upgradeSettings": {"maxSurge": "51"}},
        {"count": 950, "upgradeSettings": {"maxSurge": "6%"}},
    ],
)
def test_spot_and_surge_follow_their_rules(yard: Cloud, changed: dict[str, Any]) -> None:
    assert refused(yard, **changed).code == "InvalidParameter"


def test_spot_pools_cannot_set_max_surge_in_azures_words(yard: Cloud) -> None:
    error = refused(yard, **SPOT, upgradeSettings={"maxSurge": "1"})
    assert "agentPoolProfile.upgradeSettings.maxSurge is invalid" in error.message
    assert "Spot pools can't set max surge." in error.message


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"gpuInstanceProfile": "MIG1g"}, "VMSizeDoesNotSupportMIG"),
        ({"vmSize": "Standard_D8ds_v5", "gpuProfile": {"driver": "Install"}}, "InvalidParameter"),
        ({"maxPods": 9}, "InsufficientMaxPods"),
        ({"maxPods": 251}, "MaxPodsLimitExceeded"),
        ({"osDiskSizeGB": 20}, "InvalidParameter"),
        ({"osDiskSizeGB": 4096}, "InvalidParameter"),
        ({"vmSize": "Standard_D8s_v5", "osDiskType": "Ephemeral"}, "VMSizeDoesNotSupportEphemeralOS"),
        (
            {"vmSize": "Standard_D4ds_v5", "osDiskType": "Ephemeral", "osDiskSizeGB": 512},
            "VMTemporaryDiskTooSmall",
        ),
        ({"vmSize": "Standard_D4ds_v5", "osDiskType": "Ephemeral", "scaleDownMode": "Deallocate"}, "InvalidParameter"),
    ],
)
def test_machines_that_cannot_be_had_so_are_refused(yard: Cloud, changed: dict[str, Any], code: str) -> None:
    assert refused(yard, **changed).code == code


def test_partitions_go_where_they_can(yard: Cloud) -> None:
    made = yard.make_pool("mig", vmSize="Standard_NC24ads_A100_v4", gpuInstanceProfile="MIG1g")
    assert made["properties"]["gpuInstanceProfile"] == "MIG1g"


@pytest.mark.parametrize(
    ("profile", "os_sku", "fits"),
    [
        ({"driver": "None"}, "Ubuntu", True),
        ({"driver": "Install"}, "Ubuntu", False),
        (None, "Ubuntu", False),
        ({"driver": "None"}, "AzureLinux", False),
    ],
)
def test_amds_gpus_bring_their_driver_themselves(profile: Any, os_sku: str, fits: bool) -> None:
    size = load_catalogue().size("Standard_ND96isr_MI300X_v5")
    assert size is not None
    asked = {"gpuProfile": profile, "osSKU": os_sku}
    if fits:
        check_gpu(asked, size)
    else:
        with pytest.raises(ArmError):
            check_gpu(asked, size)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"vmSize": "Standard_B4ms"}, "BadRequest"),
        ({"nodeTaints": ["sku=gpu:NoSchedule"]}, "SystemPoolHasRestrictedTaint"),
        ({"scaleSetPriority": "Spot"}, "SystemPoolMustBeRegular"),
        ({"maxPods": 20}, "InsufficientMaxPods"),
        ({"osType": "Windows"}, "SystemPoolMustBeLinux"),
    ],
)
def test_a_system_pool_follows_its_rules(yard: Cloud, changed: dict[str, Any], code: str) -> None:
    own = {"vmSize": "Standard_D4ds_v5", "mode": "System", "count": 1, **changed}
    assert refused(yard, "second", **own).code == code


def test_system_pools_take_soft_taints_and_their_own(yard: Cloud) -> None:
    taints = ["CriticalAddonsOnly=true:NoSchedule", "soft=x:PreferNoSchedule"]
    yard.make_pool("second", mode="System", vmSize="Standard_D4ds_v5", nodeTaints=taints)


def test_the_last_system_pool_stays(yard: Cloud) -> None:
    error = yard.refusal(lambda: yard.send("DELETE", yard.pool_id("system")))
    assert error.code == "MustDefineAtLeastOneSystemPool"
    demoted = {key: value for key, value in SYSTEM.items() if key != "name"} | {"mode": "User"}
    assert refused(yard, "system", **demoted).code == "MustDefineAtLeastOneSystemPool"
    yard.make_pool("second", mode="System", vmSize="Standard_D4ds_v5")
    assert yard.finish(yard.send("DELETE", yard.pool_id("system"))) == "Succeeded"


def test_a_cluster_takes_a_hundred_pools(yard: Cloud) -> None:
    for number in range(99):
        yard.put(yard.pool_id(f"p{number}"), yard.pool_body(count=0))
    assert refused(yard, "last", count=0).code == "MaxAgentPoolCountReached"


def test_a_cluster_takes_five_thousand_nodes(cloud: Cloud) -> None:
    network = {**cloud.cluster_body()["properties"]["networkProfile"], "podCidr": "10.32.0.0/11"}
    cloud.make(cloud.cluster, cloud.cluster_body(networkProfile=network))
    subnet = cloud.subnet.replace("/nodes", "/big")
    nat = cloud.get(cloud.subnet)["properties"]["natGateway"]
    cloud.make(subnet, {"properties": {"addressPrefix": "10.0.128.0/17", "natGateway": nat}})
    cloud.assign("cluster", NETWORK_CONTRIBUTOR, subnet)
    cloud.pass_time(6)
    wide = {"enableAutoScaling": True, "minCount": 0, "count": 0, "vnetSubnetID": subnet, "mode": "User"}
    for number in range(4):
        cloud.make_pool(f"p{number}", **wide, maxCount=1000, upgradeSettings={"maxUnavailable": "1", "maxSurge": "0"})
    # The system pool has two.
    assert refused(cloud, "p5", **wide, maxCount=999).code == "AgentPoolMaxCountExceeded"
    cloud.make_pool("p5", **wide, maxCount=998, upgradeSettings={"maxSurge": "0"})


def test_more_pods_than_the_pod_range_has_are_refused(cloud: Cloud) -> None:
    network = {**cloud.cluster_body()["properties"]["networkProfile"], "podCidr": "10.128.0.0/21"}
    cloud.make(cloud.cluster, cloud.cluster_body(networkProfile=network))
    # Eight /24: two system nodes and their surge leave five.
    error = refused(cloud, count=5, upgradeSettings={"maxSurge": "1"})
    assert error.code == "InsufficientSubnetSize"
    assert "Pre-allocated IPs 2304 exceeds IPs available 2048 in Subnet Cidr 10.128.0.0/21" in error.message
    assert error.target == "networkProfile.podCIDR"
    cloud.make_pool("light", count=4, upgradeSettings={"maxSurge": "1"})


def test_a_full_node_subnet_is_refused_with_the_autoscalers_maximum_counted(yard: Cloud) -> None:
    small = yard.subnet.replace("/nodes", "/small")
    nat = yard.get(yard.subnet)["properties"]["natGateway"]
    yard.make(small, {"properties": {"addressPrefix": "10.0.9.0/28", "natGateway": nat}})
    scaled = {"enableAutoScaling": True, "minCount": 0, "maxCount": 11, "upgradeSettings": {"maxSurge": "1"}}
    error = refused(yard, vnetSubnetID=small, **scaled)
    assert error.code == "InsufficientSubnetSize"
    assert "Pre-allocated IPs 12 exceeds IPs available 11 in Subnet Cidr 10.0.9.0/28, Subnet Name small" in (
        error.message
    )


def test_a_pool_cannot_run_ahead_of_its_cluster(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.35.1"))
    assert refused(cloud, orchestratorVersion="1.36").code == "NodePoolMcVersionIncompatible"
    assert refused(cloud, orchestratorVersion="1.35.2").code == "NodePoolMcVersionIncompatible"
    made = cloud.make_pool("older", orchestratorVersion="1.34")
    assert made["properties"]["currentOrchestratorVersion"] == "1.34.4"
    assert made["properties"]["nodeImageVersion"].startswith("AKSUbuntu-2204")
    newer = cloud.make_pool("older", orchestratorVersion="1.35.1")
    assert newer["properties"]["currentOrchestratorVersion"] == "1.35.1"
    assert newer["properties"]["nodeImageVersion"].startswith("AKSUbuntu-2404")
    assert refused(cloud, "older", orchestratorVersion="1.34").code == "AgentPoolUpgradeVersionNotAllowed"


def test_aks_and_the_caller_do_not_both_scale(yard: Cloud) -> None:
    scaled = {"enableAutoScaling": True, "minCount": 0, "maxCount": 5}
    yard.make_pool("light", count=1)
    both = refused(yard, count=2, **scaled)
    assert "Cannot manually scale and enable cluster autoscaler in the same update operation" in both.message
    yard.make_pool("light", count=1, **scaled)
    assert refused(yard, count=2, **scaled).message == (
        "Cannot manually scale AgentPool 'light' with cluster autoscaler enabled."
    )
    yard.make_pool("light", count=1, **{**scaled, "maxCount": 6})


def test_a_pools_put_sets_the_scale_set_back_to_the_count_it_says(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    found = yard.scale_set("light")
    yard.finish(yard.put(found["id"], {"location": "westeurope", "sku": {**found["sku"], "capacity": 4}}))
    assert yard.get(yard.pool_id("light"))["properties"]["count"] == 4
    reply = yard.put(yard.pool_id("light"), yard.pool_body(count=1, nodeLabels={"a": "b"}))
    assert reply.body["properties"]["provisioningState"] == "Scaling"
    assert sorted(one["state"] for one in yard.machines("light")) == ["deleting"] * 3 + ["running"]
    yard.finish(reply)
    assert [one["nodeName"][-6:] for one in yard.machines("light")] == ["000000"], "the youngest go first"


def test_a_deleted_pools_machines_drain_and_then_everything_is_gone(yard: Cloud) -> None:
    yard.make_pool("light", count=2)
    reply = yard.send("DELETE", yard.pool_id("light"))
    assert {one["state"] for one in yard.machines("light")} == {"deleting"}
    assert yard.get(yard.pool_id("light"))["properties"]["provisioningState"] == "Deleting"
    assert yard.finish(reply) == "Succeeded"
    assert yard.refusal(lambda: yard.get(yard.pool_id("light"))).status == 404
    assert yard.machines("light") == []
    sets = yard.get(f"{yard.nodes}/providers/Microsoft.Compute/virtualMachineScaleSets")["value"]
    assert [one["tags"]["aks-managed-poolName"] for one in sets] == ["system"]


def test_a_pool_takes_twenty_puts_at_once_and_one_more_a_minute(yard: Cloud) -> None:
    for _ in range(20):
        yard.make_pool("light", count=0)
        yard.clock.now -= 0.4  # the bucket refills while each operation runs
    error = refused(yard, count=0)
    assert (error.status, error.code) == (429, "Throttled")
    wait = int(error.headers["Retry-After"])
    assert 1 <= wait <= 60
    yard.make_pool("other", count=0)
    yard.pass_time(wait)
    yard.make_pool("light", count=0)


def test_a_cluster_takes_twenty_puts_at_once(yard: Cloud) -> None:
    for _ in range(19):
        yard.make(yard.cluster, yard.cluster_body())
        yard.clock.now -= 0.6
    yard.clock.now -= 30
    assert yard.refusal(lambda: yard.put(yard.cluster, yard.cluster_body())).status == 429


def test_a_pool_under_way_is_left_alone(yard: Cloud) -> None:
    reply = yard.put(yard.pool_id("light"), yard.pool_body())
    for action in (lambda: yard.put(yard.pool_id("light"), yard.pool_body()),):
        error = yard.refusal(action)
        assert error.status == 409
        assert "Another agentpool operation (light - Creating) is in progress" in error.message
        assert error.headers["Retry-After"]
    yard.finish(reply)


def test_tags_leave_room_for_aks_own(yard: Cloud) -> None:
    yard.make_pool("light", tags={f"t{number}": "x" for number in range(37)})
    assert len(yard.scale_set("light")["tags"]) <= 50
    assert refused(yard, tags={f"t{number}": "x" for number in range(38)}).code == "InvalidParameter"


def test_a_misspelt_property_is_refused(yard: Cloud) -> None:
    assert yard.refusal(lambda: yard.put(yard.pool_id("light"), yard.pool_body(vmsize="x"))).status == 400


def test_the_node_image_can_be_brought_up_to_date(yard: Cloud) -> None:
    reply = yard.send("POST", f"{yard.pool_id('system')}/upgradeNodeImageVersion")
    assert reply.body["properties"]["provisioningState"] == "UpgradingNodeImageVersion"
    assert yard.finish(reply) == "Succeeded"
    assert yard.get(yard.pool_id("system"))["properties"]["provisioningState"] == "Succeeded"


def test_a_pools_upgrades_end_at_its_clusters_version(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.35.1"))
    cloud.make_pool("older", orchestratorVersion="1.34.3")
    profile = cloud.get(f"{cloud.pool_id('older')}/upgradeProfiles/default")["properties"]
    assert [one["kubernetesVersion"] for one in profile["upgrades"]] == ["1.34.4", "1.35.1"]
    versions = cloud.get(f"{cloud.cluster}/availableAgentPoolVersions")["properties"]["agentPoolVersions"]
    assert [one["kubernetesVersion"] for one in versions if one["default"]] == ["1.35.1"]
