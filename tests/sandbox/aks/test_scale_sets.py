from __future__ import annotations

from typing import Any

import pytest

from capacity.catalogue import load_catalogue
from sandbox.azure.scale_sets import computer_name
from tests.sandbox.aks.conftest import BOOT, NETWORK_CONTRIBUTOR, Cloud


def change(yard: Cloud, pool: str, capacity: int) -> Any:
    """Exactly what the cluster-autoscaler sends."""
    found = yard.scale_set(pool)
    sku = {"name": found["sku"]["name"], "tier": found["sku"]["tier"], "capacity": capacity}
    return yard.put(found["id"], {"location": found["location"], "name": found["name"], "sku": sku})


def instances(yard: Cloud, pool: str) -> list[Any]:
    return yard.get(f"{yard.scale_set(pool)['id']}/virtualMachines", _expand="instanceView")["value"]


def test_a_pools_scale_set_is_named_and_tagged_as_aks_does(yard: Cloud) -> None:
    tags = {"k8s.io_cluster-autoscaler_node-template_label_trainyard_pool": "light", "min": "0"}
    yard.make_pool("light", tags=tags)
    found = yard.scale_set("light")
    name = found["name"]
    assert name.startswith("aks-light-")
    assert name.endswith("-vmss")
    assert len(name.split("-")[2]) == 8
    assert name.split("-")[2].isdecimal()
    assert name.split("-")[2] == yard.scale_set("system")["name"].split("-")[2]
    assert tags.items() <= found["tags"].items()
    assert found["tags"]["aks-managed-orchestrator"] == "Kubernetes:1.36.1"
    assert found["sku"] == {"name": "Standard_NC4as_T4_v3", "tier": "Standard", "capacity": 1}
    assert "_sandbox" not in found


def test_the_autoscaler_adds_machines_without_losing_tags(yard: Cloud) -> None:
    yard.make_pool("light", count=1, tags={"min": "0"})
    reply = change(yard, "light", 3)
    assert reply.body["sku"]["capacity"] == 3
    assert [one["properties"]["provisioningState"] for one in instances(yard, "light")] == [
        "Succeeded",
        "Creating",
        "Creating",
    ]
    assert yard.finish(reply) == "Succeeded"
    assert {one["properties"]["provisioningState"] for one in instances(yard, "light")} == {"Succeeded"}
    assert yard.scale_set("light")["tags"]["min"] == "0"


def test_an_instance_boots_by_the_clock(yard: Cloud) -> None:
    yard.make_pool("light", count=0)
    change(yard, "light", 1)
    yard.pass_time(BOOT - 0.4)
    [machine] = yard.machines("light")
    assert machine["state"] == "booting"
    yard.pass_time(0.8)
    [machine] = yard.machines("light")
    assert machine["state"] == "running"
    assert machine["readyAt"] <= yard.clock.now


def test_a_second_change_need_not_wait_for_the_first(yard: Cloud) -> None:
    yard.make_pool("light", count=0)
    first = change(yard, "light", 1)
    second = change(yard, "light", 2)
    assert [yard.finish(first), yard.finish(second)] == ["Succeeded", "Succeeded"]
    assert len(yard.machines("light")) == 2


def test_deleted_instances_drain_and_their_ids_are_never_used_again(yard: Cloud) -> None:
    yard.make_pool("light", count=3)
    scale_set = yard.scale_set("light")["id"]
    reply = yard.send("POST", f"{scale_set}/delete", {"instanceIds": ["1"]})
    assert reply.status == 202
    assert yard.scale_set("light")["sku"]["capacity"] == 2
    assert [one["state"] for one in yard.machines("light")] == ["running", "deleting", "running"]
    assert yard.finish(reply) == "Succeeded"
    yard.finish(change(yard, "light", 3))
    assert [one["instanceId"] for one in instances(yard, "light")] == ["0", "2", "3"]


@pytest.mark.parametrize("body", [{}, {"instanceIds": []}, {"instanceIds": ["7"]}])
def test_a_deletion_names_instances_that_are_there(yard: Cloud, body: Any) -> None:
    yard.make_pool("light", count=1)
    scale_set = yard.scale_set("light")["id"]
    assert yard.refusal(lambda: yard.send("POST", f"{scale_set}/delete", body)).code == "InvalidParameter"
    assert len(yard.machines("light")) == 1


def test_computer_names_count_in_base_36() -> None:
    assert computer_name("aks-a-12345678-vmss", 0) == "aks-a-12345678-vmss000000"
    assert computer_name("aks-a-12345678-vmss", 35) == "aks-a-12345678-vmss00000z"
    assert computer_name("aks-a-12345678-vmss", 36) == "aks-a-12345678-vmss000010"


def test_instances_show_names_zones_and_power(yard: Cloud) -> None:
    yard.make_pool("zoned", vmSize="Standard_D8ds_v5", availabilityZones=["2"])
    [one] = instances(yard, "zoned")
    name = yard.scale_set("zoned")["name"]
    assert (one["name"], one["zones"]) == (f"{name}_0", ["2"])
    assert one["properties"]["osProfile"]["computerName"] == f"{name}000000"
    codes = [status["code"] for status in one["properties"]["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/succeeded", "PowerState/running"]
    assert "instanceView" not in yard.get(one["id"])["properties"]
    assert "instanceView" in yard.get(one["id"], _expand="instanceView")["properties"]
    assert "_sandbox" not in one


def test_a_stopped_machine_leaves_the_cluster_and_comes_back(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    scale_set = yard.scale_set("light")["id"]
    yard.finish(yard.send("POST", f"{scale_set}/deallocate", {"instanceIds": ["0"]}))
    assert yard.machines("light") == []
    [one] = instances(yard, "light")
    assert one["properties"]["instanceView"]["statuses"][1]["code"] == "PowerState/deallocated"
    assert usage(yard, "Standard NCASv3_T4 Family")[0] == 4, "a deallocated machine still counts"
    yard.send("POST", f"{scale_set}/start", {"instanceIds": ["0"]})
    assert [one["state"] for one in yard.machines("light")] == ["booting"]
    yard.pass_time(BOOT + 0.2)
    assert [one["state"] for one in yard.machines("light")] == ["running"]


def test_scale_sets_are_aks_to_make_and_delete(yard: Cloud) -> None:
    found = yard.scale_set("system")
    other = f"{found['id']}2"
    assert yard.refusal(lambda: yard.put(other, {"location": "westeurope", "sku": found["sku"]})).status == 400
    assert yard.refusal(lambda: yard.send("DELETE", found["id"])).status == 409
    wrong = {"location": "westeurope", "sku": {"name": "Standard_D8ds_v5", "capacity": 2}}
    assert yard.refusal(lambda: yard.put(found["id"], wrong)).code == "PropertyChangeNotAllowed"
    many = {"location": "westeurope", "sku": {**found["sku"], "capacity": 1001}}
    assert yard.refusal(lambda: yard.put(found["id"], many)).code == "InvalidParameter"


def test_there_are_no_single_machines(yard: Cloud) -> None:
    assert yard.get(f"{yard.nodes}/providers/Microsoft.Compute/virtualMachines") == {"value": []}


def test_a_full_subnet_stops_the_autoscaler(yard: Cloud) -> None:
    small = yard.subnet.replace("/nodes", "/small")
    nat = yard.get(yard.subnet)["properties"]["natGateway"]
    yard.make(small, {"properties": {"addressPrefix": "10.0.9.0/28", "natGateway": nat}})
    yard.assign("cluster", NETWORK_CONTRIBUTOR, small)
    yard.make_pool("light", vnetSubnetID=small, count=1)
    error = yard.refusal(lambda: change(yard, "light", 12))
    assert error.code == "SubnetIsFull"
    assert "does not have enough capacity for 11 IP addresses" in error.message
    yard.finish(change(yard, "light", 11))


def usage(yard: Cloud, name: str) -> tuple[int, int]:
    place = f"{yard.subscription}/providers/Microsoft.Compute/locations/westeurope"
    [row] = [one for one in yard.get(f"{place}/usages")["value"] if one["name"]["value"] == name]
    return row["currentValue"], row["limit"]


def limit(yard: Cloud, name: str, top: int) -> None:
    assert yard.put("/sandbox/quota", {"region": "westeurope", "name": name, "limit": top}).status == 200


T4 = "Standard NCASv3_T4 Family"


def test_usages_count_living_machines_by_family_region_and_spot(yard: Cloud) -> None:
    assert usage(yard, "cores")[0] == 8, "two system nodes of four cores"
    yard.make_pool("light", count=2)
    yard.make_pool("cheap", count=3, scaleSetPriority="Spot")
    assert usage(yard, T4)[0] == 8
    assert usage(yard, "cores")[0] == 16
    assert usage(yard, "lowPriorityCores")[0] == 12, "spot draws on nothing else"
    yard.finish(yard.send("DELETE", yard.pool_id("light")))
    assert usage(yard, T4)[0] == 0


def test_aks_refuses_what_the_family_has_no_quota_for(yard: Cloud) -> None:
    limit(yard, T4, 8)
    error = yard.refusal(lambda: yard.put(yard.pool_id("light"), yard.pool_body(count=3)))
    assert error.code == "ErrCode_InsufficientVCPUQuota"
    assert f"Insufficient vcpu quota requested 12, remaining 8 for family {T4} for region westeurope" in error.message
    yard.make_pool("light", count=2)
    assert yard.refusal(lambda: yard.put(yard.pool_id("light"), yard.pool_body(count=3))).code == (
        "ErrCode_InsufficientVCPUQuota"
    )


def test_aks_refuses_what_the_region_has_no_quota_for(yard: Cloud) -> None:
    limit(yard, "cores", 10)
    error = yard.refusal(lambda: yard.put(yard.pool_id("light"), yard.pool_body(count=1)))
    assert "Insufficient regional vcpu quota left for location westeurope. left regional vcpu quota 2" in error.message
    yard.make_pool("cheap", count=1, scaleSetPriority="Spot")


def test_spot_has_a_quota_of_its_own(yard: Cloud) -> None:
    limit(yard, "lowPriorityCores", 7)
    limit(yard, T4, 0)
    error = yard.refusal(lambda: yard.put(yard.pool_id("cheap"), yard.pool_body(count=2, scaleSetPriority="Spot")))
    assert "requested 8, remaining 7 for family lowPriorityCores" in error.message
    yard.make_pool("cheap", count=1, scaleSetPriority="Spot")


def test_compute_refuses_the_autoscaler_with_the_numbers(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    limit(yard, T4, 10)
    error = yard.refusal(lambda: change(yard, "light", 3))
    assert (error.status, error.code) == (409, "QuotaExceeded")
    assert (
        "Current Limit: 10, Current Usage: 4, Additional Required: 8, (Minimum) New Limit Required: 12" in error.message
    )
    assert len(yard.machines("light")) == 1


def test_two_pools_that_fit_alone_do_not_get_quota_twice(yard: Cloud) -> None:
    limit(yard, T4, 4)
    replies = [yard.put(yard.pool_id(name), yard.pool_body(count=1)) for name in ("one", "two")]
    assert sorted(yard.finish(reply) for reply in replies) == ["Failed", "Succeeded"]
    assert usage(yard, T4) == (4, 4)


@pytest.mark.parametrize(
    "body",
    [
        {"region": "westeurope", "name": "cores"},
        {"region": "nowhere", "name": "cores", "limit": 1},
        {"region": "westeurope", "name": "noFamily", "limit": 1},
        {"region": "westeurope", "name": "cores", "limit": -1},
    ],
)
def test_a_quota_that_makes_no_sense_is_refused(yard: Cloud, body: Any) -> None:
    assert yard.refusal(lambda: yard.put("/sandbox/quota", body)).status == 400


def skus(yard: Cloud, **query: str) -> list[Any]:
    return yard.get(f"{yard.subscription}/providers/Microsoft.Compute/skus", **query)["value"]


def test_skus_say_what_a_size_is_and_where(yard: Cloud) -> None:
    found = {one["name"]: one for one in skus(yard, _filter="location eq 'westeurope'")}
    assert all(one["locations"] == ["westeurope"] for one in found.values())
    size = load_catalogue().size("Standard_NC24ads_A100_v4")
    assert size is not None
    a100 = found["Standard_NC24ads_A100_v4"]
    capabilities = {one["name"]: one["value"] for one in a100["capabilities"]}
    assert a100["family"] == size.family
    assert (capabilities["vCPUs"], capabilities["MemoryGB"], capabilities["GPUs"]) == ("24", "220", "1")
    assert capabilities["EncryptionAtHostSupported"] == "True"
    assert a100["locationInfo"][0]["zones"] == ["1", "2", "3"]
    assert a100["restrictions"] == []
    [restriction] = found["Standard_NC6s_v3"]["restrictions"]
    assert (restriction["type"], restriction["reasonCode"]) == ("Location", "NotAvailableForSubscription")


def test_a_region_without_zones_shows_none(yard: Cloud) -> None:
    assert {tuple(one["locationInfo"][0]["zones"]) for one in skus(yard, _filter="location eq 'westus'")} == {()}


def test_only_a_filter_by_location_is_served(yard: Cloud) -> None:
    assert yard.refusal(lambda: skus(yard, _filter="name eq 'x'")).status == 400


def test_aks_lists_fewer_sizes_than_compute(yard: Cloud) -> None:
    place = f"{yard.subscription}/providers/Microsoft.ContainerService/locations/westeurope"
    ours = {one["name"] for one in yard.get(f"{place}/vmSkus")["value"]}
    theirs = {one["name"] for one in skus(yard, _filter="location eq 'westeurope'")}
    assert ours < theirs
    assert "Standard_NC6s_v3" not in ours


def reservation(yard: Cloud, size: str = "Standard_NC4as_T4_v3") -> str:
    group = f"{yard.group}/providers/Microsoft.Compute/capacityReservationGroups/held"
    yard.make(group, {"location": "westeurope"})
    yard.make(f"{group}/capacityReservations/one", {"location": "westeurope", "sku": {"name": size, "capacity": 1}})
    return group


def test_a_capacity_reservation_needs_rights_of_the_clusters_identity(yard: Cloud) -> None:
    group = reservation(yard)
    reply = yard.put(yard.pool_id("held"), yard.pool_body(capacityReservationGroupID=group))
    assert yard.finish(reply) == "Failed"
    assert reply.operation is not None
    assert reply.operation.error is not None
    assert "capacityReservationGroups" in reply.operation.error["message"]
    assert yard.machines("held") == []
    yard.assign("cluster", "b24988ac-6180-42a0-ab88-20f7382dd24c", group)  # Contributor
    yard.make_pool("held", capacityReservationGroupID=group)
    profile = yard.scale_set("held")["properties"]["virtualMachineProfile"]
    assert profile["capacityReservation"] == {"capacityReservationGroup": {"id": group}}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scaleSetPriority": "Spot"}, "CRGConflictWithSpotVM"),
        ({"vmSize": "Standard_NC8as_T4_v3"}, "InvalidParameter"),
    ],
)
def test_a_capacity_reservation_goes_with_its_own_size_on_demand(
    yard: Cloud, changed: dict[str, str], code: str
) -> None:
    body = yard.pool_body(capacityReservationGroupID=reservation(yard), **changed)
    assert yard.refusal(lambda: yard.put(yard.pool_id("held"), body)).code == code


def test_groups_to_be_placed_in_must_exist(yard: Cloud) -> None:
    compute = f"{yard.group}/providers/Microsoft.Compute"
    for key, kind in (
        ("proximityPlacementGroupID", "proximityPlacementGroups"),
        ("capacityReservationGroupID", "capacityReservationGroups"),
    ):
        body = yard.pool_body(**{key: f"{compute}/{kind}/absent"})
        assert yard.refusal(lambda body=body: yard.put(yard.pool_id("light"), body)).status == 400


def test_a_proximity_group_holds_machines_of_one_zone_and_stays_while_it_does(yard: Cloud) -> None:
    group = f"{yard.group}/providers/Microsoft.Compute/proximityPlacementGroups/near"
    yard.make(group, {"location": "westeurope"})
    wide = yard.pool_body(proximityPlacementGroupID=group, availabilityZones=["1", "2"])
    assert yard.refusal(lambda: yard.put(yard.pool_id("near"), wide)).code == "PPGNotSupportMultipleZones"
    yard.make_pool("near", proximityPlacementGroupID=group, availabilityZones=["1"])
    assert yard.machines("near")[0]["labels"]["kubernetes.azure.com/ppg"] == "near"
    assert yard.refusal(lambda: yard.send("DELETE", group)).status == 409
    yard.finish(yard.send("DELETE", yard.pool_id("near")))
    yard.finish(yard.send("DELETE", group))
