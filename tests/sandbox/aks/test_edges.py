"""The rules at the edges: what few bodies reach, each with a test of its own."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from capacity.catalogue import VmSize, load_catalogue
from sandbox.azure import aks, cluster_network, clusters, node_images, pool_machines, pool_rules
from sandbox.azure.container_service import private
from sandbox.azure.errors import ArmError
from sandbox.azure.kubernetes_access import decide
from sandbox.azure.skus import Offer
from tests.sandbox.aks.conftest import BOOT, MANAGED_IDENTITY_OPERATOR, SYSTEM, Cloud
from tests.sandbox.aks.test_cluster import NETWORK, kubelet


def size(name: str, /, **changed: Any) -> VmSize:
    found = load_catalogue().size(name)
    assert found is not None
    return replace(found, **changed)


def cluster_refused(cloud: Cloud, **properties: Any) -> str:
    return cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body(**properties))).code


def pool_refused(yard: Cloud, **properties: Any) -> str:
    return yard.refusal(lambda: yard.put(yard.pool_id("light"), yard.pool_body(**properties))).code


# The cluster.


def test_a_patch_changes_tags_only(yard: Cloud) -> None:
    assert yard.refusal(lambda: yard.send("PATCH", yard.cluster, {"properties": {}})).code == "InvalidParameter"


def test_the_nodes_identity_may_be_changed_to_one_with_a_role(yard: Cloud) -> None:
    assert yard.refusal(lambda: yard.put(yard.cluster, kubelet(yard))).code == (
        "CustomKubeletIdentityMissingPermissionError"
    )
    yard.assign("cluster", MANAGED_IDENTITY_OPERATOR, yard.identity("kubelet"))
    yard.pass_time(6)
    changed = yard.make(yard.cluster, kubelet(yard))
    assert changed["properties"]["identityProfile"]["kubeletidentity"]["resourceId"] == yard.identity("kubelet")


def test_a_system_assigned_cluster_cannot_bring_a_kubelet_identity(cloud: Cloud) -> None:
    body = kubelet(cloud)
    body["identity"] = {"type": "SystemAssigned"}
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == (
        "CustomKubeletIdentityOnlySupportedOnUserAssignedMSICluster"
    )


def test_a_cluster_has_one_identity(cloud: Cloud) -> None:
    body = cloud.cluster_body()
    body["identity"]["userAssignedIdentities"][cloud.identity("kubelet")] = {}
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == "InvalidParameter"
    del body["identity"]
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == "InvalidParameter"
    absent: dict[str, Any] = {"type": "UserAssigned", "userAssignedIdentities": {cloud.identity("absent"): {}}}
    with pytest.raises(ArmError, match="was not found"):
        clusters.user_assigned(cloud.manager.context(), absent)


def test_a_pool_is_given_once(cloud: Cloud) -> None:
    pools = [{**SYSTEM, "vnetSubnetID": cloud.subnet}] * 2
    assert cluster_refused(cloud, agentPoolProfiles=pools) == "InvalidParameter"


def test_what_a_cluster_cannot_do_is_not_there(yard: Cloud) -> None:
    for path in (yard.cluster, yard.pool_id("system"), yard.scale_set("system")["id"]):
        assert yard.refusal(lambda path=path: yard.send("POST", f"{path}/dance")).status == 404
    assert yard.refusal(lambda: yard.get(f"{yard.cluster}x/upgradeProfiles/default")).status == 404
    assert yard.refusal(lambda: yard.get(f"{yard.cluster}x/availableAgentPoolVersions")).status == 404
    assert yard.refusal(lambda: yard.get(f"{yard.pool_id('none')}/upgradeProfiles/default")).status == 404


def test_a_version_that_is_not_asked_for_is_azures_default(cloud: Cloud) -> None:
    made = cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion=None))
    assert made["properties"]["kubernetesVersion"] == made["properties"]["currentKubernetesVersion"] == "1.35.2"


@pytest.mark.parametrize(
    ("network", "code"),
    [
        ({"networkPlugin": "kubenet", "networkPluginMode": None, "networkPolicy": "cilium"}, "InvalidParameter"),
        (
            {
                "networkPlugin": "kubenet",
                "networkPluginMode": None,
                "networkDataplane": "azure",
                "networkPolicy": "azure",
            },
            "NetworkPolicyAzureNotSupportedForKubenet",
        ),
        (
            {"networkPluginMode": None, "networkDataplane": "azure", "networkPolicy": "none"},
            "InvalidParameter",
        ),
    ],
)
def test_plug_ins_have_their_own_data_planes_and_policies(cloud: Cloud, network: dict[str, Any], code: str) -> None:
    whole = {key: value for key, value in {**NETWORK, **network}.items() if value is not None}
    assert cluster_refused(cloud, networkProfile=whole) == code


def test_a_kubenet_node_takes_a_hundred_and_ten_pods() -> None:
    assert node_images.default_max_pods("kubenet", None) == 110
    assert node_images.default_max_pods("azure", None) == 30


def test_the_api_servers_ranges_are_bounded_and_may_be_documentations(cloud: Cloud) -> None:
    many = {"authorizedIPRanges": [f"20.0.{one}.0/24" for one in range(201)]}
    assert cluster_refused(cloud, apiServerAccessProfile=many) == "InvalidParameter"
    fine = {"authorizedIPRanges": ["203.0.113.0/24", "20.1.2.3"]}
    made = cloud.make(cloud.cluster, cloud.cluster_body(apiServerAccessProfile=fine))
    assert made["properties"]["apiServerAccessProfile"]["authorizedIPRanges"] == fine["authorizedIPRanges"]


def test_a_threshold_is_a_number(cloud: Cloud) -> None:
    assert cluster_refused(cloud, autoScalerProfile={"scale-down-utilization-threshold": "half"}) == "InvalidParameter"


def test_the_autoscalers_profile_shows_its_defaults_where_it_is_used(yard: Cloud) -> None:
    assert "autoScalerProfile" not in yard.get(yard.cluster)["properties"]
    yard.make_pool("light", enableAutoScaling=True, minCount=0, maxCount=2)
    assert yard.get(yard.cluster)["properties"]["autoScalerProfile"]["expander"] == "random"
    made = yard.make(yard.cluster, yard.cluster_body(autoScalerProfile={"expander": "least-waste"}))
    assert made["properties"]["autoScalerProfile"]["expander"] == "least-waste"


def zone(cloud: Cloud) -> str:
    made = f"{cloud.group}/providers/Microsoft.Network/privateDnsZones/privatelink.westeurope.azmk8s.io"
    cloud.make(made, {"location": "global"})
    return made


def test_a_private_zone_of_ones_own_must_exist(cloud: Cloud) -> None:
    access = {"enablePrivateCluster": True, "privateDNSZone": f"{zone(cloud)}x"}
    assert cluster_refused(cloud, apiServerAccessProfile=access) == "PrivateDNSZoneResourceNotFoundError"


def test_a_private_zone_of_ones_own_needs_a_role_that_may_come_late(cloud: Cloud) -> None:
    own = zone(cloud)
    access = {"enablePrivateCluster": True, "privateDNSZone": own}
    reply = cloud.put(cloud.cluster, cloud.cluster_body(apiServerAccessProfile=access))
    cloud.pass_time(10)
    assert cloud.machines() == []
    cloud.assign("cluster", "b12aa53e-6015-4669-85d0-8515ebb3ae7f", own)
    assert cloud.finish(reply) == "Succeeded"


def test_a_private_zone_without_a_role_fails_the_cluster(cloud: Cloud) -> None:
    access = {"enablePrivateCluster": True, "privateDNSZone": zone(cloud)}
    reply = cloud.put(cloud.cluster, cloud.cluster_body(apiServerAccessProfile=access))
    assert cloud.finish(reply) == "Failed"
    assert reply.operation is not None
    assert reply.operation.error is not None
    assert reply.operation.error["code"] == "CustomPrivateDNSZoneMissingPermissionError"


def test_a_failed_cluster_can_be_put_again(cloud: Cloud) -> None:
    own = zone(cloud)
    body = cloud.cluster_body(apiServerAccessProfile={"enablePrivateCluster": True, "privateDNSZone": own})
    assert cloud.finish(cloud.put(cloud.cluster, body)) == "Failed"
    cloud.assign("cluster", "b12aa53e-6015-4669-85d0-8515ebb3ae7f", own)
    cloud.make(cloud.cluster, body)
    assert len(cloud.machines()) == 2


class Reset:
    """A reset of the control plane that ends with a status after some looks."""

    def __init__(self, looks: int, status: int) -> None:
        self.looks, self.status = looks, status
        self.commands: list[list[str]] = []

    def __call__(self, command: list[str], **_options: Any) -> Reset:
        self.commands.append(command)
        return self

    def poll(self) -> int | None:
        self.looks -= 1
        return None if self.looks >= 0 else self.status


@pytest.mark.parametrize(("status", "state"), [(0, "Succeeded"), (1, "Failed")])
def test_a_deleted_cluster_empties_the_control_plane(
    yard: Cloud, monkeypatch: pytest.MonkeyPatch, status: int, state: str
) -> None:
    yard.home.etcd_data.mkdir()
    reset = Reset(3, status)
    monkeypatch.setattr(subprocess, "Popen", reset)
    assert yard.finish(yard.send("DELETE", yard.cluster)) == state
    [command] = reset.commands
    assert command[1:] == ["-m", "sandbox.control_plane", "reset", "--home", str(yard.home.root)]
    assert aks._resets == {}  # pyright: ignore[reportPrivateUsage]


def test_a_cluster_without_entra_gives_users_a_certificate(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(aadProfile=None, disableLocalAccounts=False))
    path = f"{cloud.cluster}/listClusterUserCredential"
    assert cloud.refusal(lambda: cloud.send("POST", path)).status == 404, "the control plane was never started"
    cloud.home.admin_kubeconfig.write_text("certificate")
    [found] = cloud.send("POST", path).body["kubeconfigs"]
    assert (found["name"], base64.b64decode(found["value"])) == ("clusterUser", b"certificate")
    review = {"spec": {"user": "x", "resourceAttributes": {"verb": "get", "resource": "pods"}}}
    assert decide(cloud.manager.context(), review)["status"]["reason"].startswith("Azure RBAC for Kubernetes is off")


def test_access_profiles_give_the_same_kubeconfig(yard: Cloud) -> None:
    profile = yard.send("POST", f"{yard.cluster}/accessProfiles/clusterUser/listCredential").body
    [credential] = yard.send("POST", f"{yard.cluster}/listClusterUserCredential").body["kubeconfigs"]
    assert profile["properties"]["kubeConfig"] == credential["value"]
    assert yard.refusal(lambda: yard.send("POST", f"{yard.cluster}/accessProfiles/root/listCredential")).status == 400
    assert yard.refusal(lambda: yard.send("POST", f"{yard.cluster}x/accessProfiles/x/listCredential")).status == 404


def test_a_maintenance_configuration_needs_a_window(yard: Cloud) -> None:
    path = f"{yard.cluster}/maintenanceConfigurations"
    for name in ("default", "aksManagedAutoUpgradeSchedule"):
        empty = yard.refusal(lambda name=name: yard.put(f"{path}/{name}", {"properties": {}}))
        assert empty.code == "InvalidParameter"
    yard.make(f"{path}/default", {"properties": {"timeInWeek": [{"day": "Monday", "hourSlots": [1]}]}})


# Pools and where their machines stand.


def test_a_subnet_must_be_there_whole_and_free(yard: Cloud) -> None:
    context = yard.manager.context()
    with pytest.raises(ArmError, match="could not be found"):
        cluster_network.subnet_of(context, f"{yard.subnet}x")
    subnet = context.store.get(yard.subnet)
    assert subnet is not None
    subnet.properties["delegations"] = [{"name": "x"}]
    context.store.put(subnet)
    assert pool_refused(yard) == "SubnetIsDelegated"
    del subnet.properties["delegations"]
    subnet.properties["addressPrefixes"] = ["10.0.0.0/24", "10.0.1.0/24"]
    context.store.put(subnet)
    assert pool_refused(yard) == "MultipleAddressPrefixesSubnetNotSupported"


def test_a_nat_gateway_needs_an_address_and_must_be_there(yard: Cloud) -> None:
    store = yard.manager.store
    gateway = store.get(yard.get(yard.subnet)["properties"]["natGateway"]["id"])
    assert gateway is not None
    del gateway.properties["publicIpAddresses"]
    store.put(gateway)
    assert pool_refused(yard) == "NATGatewayNotAssociatedWithPublicIPOrIPPrefix"
    store.remove(gateway.id)
    assert pool_refused(yard) == "NATGatewayNotFound"


def test_a_size_is_required_and_zones_are_named_once(yard: Cloud) -> None:
    assert pool_refused(yard, vmSize=None) == "InvalidParameter"
    assert pool_refused(yard, availabilityZones=["1", "1"]) == "InvalidParameter"


def test_what_a_size_cannot_do_is_refused() -> None:
    small = size("Standard_D4ds_v5", spot_capable=False, encryption_at_host=False)
    offered = Offer(small, "westeurope", (), restricted=False)
    spot = {"vmSize": small.name, "scaleSetPriority": "Spot"}
    with pytest.raises(ArmError, match="cannot be bought as spot"):
        pool_machines.check_size("light", spot, offered, [], "westeurope")
    with pytest.raises(ArmError, match="does not support EncryptionAtHost"):
        pool_machines.check_disk({"enableEncryptionAtHost": True}, small)
    pool_machines.check_disk({"enableEncryptionAtHost": True}, replace(small, encryption_at_host=True))


@pytest.mark.parametrize(
    "changed", [{"vcpus": 1}, {"memory_mib": 2048}, {"name": "Standard_B4ms"}], ids=["cores", "memory", "B series"]
)
def test_a_system_pools_machines_are_not_too_small(changed: dict[str, Any]) -> None:
    with pytest.raises(ArmError, match="System node pool must use VM sku with more than 2 cores and 4GB memory"):
        pool_rules.check_system("system", {"mode": "System"}, size("Standard_D4ds_v5", **changed))
    pool_rules.check_system("system", {"mode": "System"}, size("Standard_D4ds_v5"))


def test_a_cache_that_is_too_small_is_called_one() -> None:
    cached = size("Standard_D4ds_v5", cache_disk_gib=100, temp_disk_gib=50, os_disk_room_gib=100)
    with pytest.raises(ArmError) as caught:
        pool_machines.check_disk({"osDiskType": "Ephemeral", "osDiskSizeGB": 128}, cached)
    assert caught.value.code == "VMCacheSizeTooSmall"
    assert "has a cache size of 107374182400 bytes, but the OS disk requires 137438953472 bytes" in caught.value.message


def test_tags_are_azures(yard: Cloud) -> None:
    assert pool_refused(yard, tags={"a/b": "x"}) == "InvalidParameter"
    assert pool_refused(yard, tags={"a": "x" * 257}) == "InvalidParameter"


def test_disks_are_encrypted_on_the_host_where_asked(yard: Cloud) -> None:
    yard.make_pool("safe", vmSize="Standard_D8ds_v5", enableEncryptionAtHost=True, enableFIPS=True)
    profile = yard.scale_set("safe")["properties"]["virtualMachineProfile"]
    assert profile["securityProfile"] == {"encryptionAtHost": True}
    assert yard.machines("safe")[0]["labels"]["kubernetes.azure.com/fips_enabled"] == "true"


def test_azure_linux_has_images_of_its_own(yard: Cloud) -> None:
    made = yard.make_pool("linux", vmSize="Standard_D8ds_v5", osSKU="AzureLinux")
    assert made["properties"]["nodeImageVersion"].startswith("AKSAzureLinux-V3gen2-")
    assert yard.machines("linux")[0]["labels"]["kubernetes.azure.com/os-sku-effective"] == "AzureLinux3"


def test_a_machine_that_cannot_be_made_fails_its_pool(yard: Cloud) -> None:
    reply = yard.put(yard.pool_id("light"), yard.pool_body(count=2))
    yard.pass_time(1)
    name = yard.scale_set("light")["id"]
    store = yard.manager.store
    instance = store.get(f"{name}/virtualMachines/1")
    assert instance is not None
    private(instance)["failure"] = {"code": "AllocationFailed", "message": "no capacity"}
    store.put(instance)
    assert yard.finish(reply) == "Failed"
    assert reply.operation is not None
    assert reply.operation.error == {"code": "AllocationFailed", "message": "Agent pool light: no capacity"}
    assert [one["state"] for one in yard.machines("light")] == ["running", "failed"]
    shown = yard.get(instance.id, _expand="instanceView")["properties"]
    assert shown["provisioningState"] == "Failed"
    codes = [one["code"] for one in shown["instanceView"]["statuses"]]
    assert codes == ["ProvisioningState/failed/AllocationFailed", "PowerState/stopped"]


def place(yard: Cloud, kind: str, name: str, location: str = "westeurope") -> str:
    made = f"{yard.group}/providers/Microsoft.Compute/{kind}/{name}"
    yard.make(made, {"location": location})
    return made


def test_groups_lie_in_the_clusters_region_and_do_not_go_together(yard: Cloud) -> None:
    far = place(yard, "proximityPlacementGroups", "far", "northeurope")
    assert pool_refused(yard, proximityPlacementGroupID=far) == "InvalidPPGRegion"
    away = place(yard, "capacityReservationGroups", "away", "northeurope")
    assert pool_refused(yard, capacityReservationGroupID=away) == "InvalidParameter"
    near = place(yard, "proximityPlacementGroups", "near")
    held = place(yard, "capacityReservationGroups", "held")
    both = {"proximityPlacementGroupID": near, "capacityReservationGroupID": held}
    assert pool_refused(yard, **both) == "CRGConflictWithPPG"
    assert pool_refused(yard, capacityReservationGroupID=held, enableUltraSSD=True) == "CRGConflictWithUltraSSD"


def test_a_reservation_keeps_its_group(yard: Cloud) -> None:
    held = place(yard, "capacityReservationGroups", "held")
    one = f"{held}/capacityReservations/one"
    yard.make(one, {"location": "westeurope", "sku": {"name": "Standard_NC4as_T4_v3", "capacity": 1}})
    assert yard.get(held)["properties"]["capacityReservations"] == [{"id": one}]
    assert yard.refusal(lambda: yard.send("DELETE", held)).code == "OperationNotAllowed"
    yard.finish(yard.send("DELETE", one))
    yard.finish(yard.send("DELETE", held))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"sku": {"name": "Standard_NC6s_v3", "capacity": 1}}, "SkuNotAvailable"),
        ({"sku": {"name": "Standard_Nothing", "capacity": 1}}, "SkuNotAvailable"),
        ({"sku": {"name": "Standard_NC4as_T4_v3"}}, "InvalidParameter"),
        ({"sku": {"name": "Standard_NC4as_T4_v3", "capacity": 1}, "zones": ["1", "2"]}, "InvalidParameter"),
        ({"sku": {"name": "Standard_NC4as_T4_v3", "capacity": 1}, "zones": ["9"]}, "InvalidParameter"),
    ],
)
def test_a_reservation_is_of_a_size_that_is_sold(yard: Cloud, body: dict[str, Any], code: str) -> None:
    held = place(yard, "capacityReservationGroups", "held")
    path = f"{held}/capacityReservations/one"
    assert yard.refusal(lambda: yard.put(path, {"location": "westeurope", **body})).code == code


# Compute.


def test_a_scale_sets_tags_and_capacity_may_be_patched(yard: Cloud) -> None:
    found = yard.scale_set("system")
    reply = yard.send("PATCH", found["id"], {"tags": {"mine": "1"}, "sku": {"capacity": 3}})
    assert (reply.body["tags"], reply.body["sku"]["capacity"]) == ({"mine": "1"}, 3)


def test_all_instances_may_be_deleted_by_a_star(yard: Cloud) -> None:
    yard.make_pool("light", count=2)
    yard.finish(yard.send("POST", f"{yard.scale_set('light')['id']}/delete", {"instanceIds": ["*"]}))
    assert yard.machines("light") == []


def test_one_instance_is_stopped_started_and_deleted_by_itself(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    one = f"{yard.scale_set('light')['id']}/virtualMachines/0"
    yard.finish(yard.send("POST", f"{one}/deallocate"))
    assert yard.machines("light") == []
    yard.send("POST", f"{one}/start")
    yard.pass_time(BOOT + 0.4)
    assert [machine["state"] for machine in yard.machines("light")] == ["running"]
    assert yard.refusal(lambda: yard.send("POST", f"{one}/dance")).status == 404
    yard.finish(yard.send("DELETE", one))
    assert yard.machines("light") == []
    assert yard.refusal(lambda: yard.get(one)).status == 404


def test_usages_are_of_a_region(yard: Cloud) -> None:
    path = f"{yard.subscription}/providers/Microsoft.Compute/locations/nowhere/usages"
    assert yard.refusal(lambda: yard.get(path)).code == "InvalidParameter"


def test_skus_without_a_filter_are_of_every_region(yard: Cloud) -> None:
    found = yard.get(f"{yard.subscription}/providers/Microsoft.Compute/skus")["value"]
    assert {"westeurope", "eastus"} <= {one["locations"][0] for one in found}


@pytest.mark.parametrize("body", [{"region": "westeurope", "name": "Standard_None"}, {"region": "x", "size": "y"}])
def test_an_offer_of_nothing_is_refused(yard: Cloud, body: dict[str, str]) -> None:
    assert yard.refusal(lambda: yard.put("/sandbox/skus", body)).status == 400
