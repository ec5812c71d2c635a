from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from sandbox.azure import pool_operations
from sandbox.azure.behaviour import Principal
from tests.sandbox.aks.conftest import MANAGED_IDENTITY_OPERATOR, SYSTEM, Cloud


def test_a_cluster_comes_up_with_its_pool_and_its_machines(yard: Cloud) -> None:
    cluster = yard.get(yard.cluster)
    assert cluster["properties"]["provisioningState"] == "Succeeded"
    [pool] = cluster["properties"]["agentPoolProfiles"]
    assert (pool["name"], pool["count"], pool["provisioningState"]) == ("system", 2, "Succeeded")
    assert [one["state"] for one in yard.machines()] == ["running", "running"]


def test_what_azure_computes_of_a_cluster_is_given(yard: Cloud) -> None:
    properties = yard.get(yard.cluster)["properties"]
    assert properties["oidcIssuerProfile"]["issuerURL"] == yard.home.api_server_url
    assert properties["fqdn"].startswith("yard-")
    assert properties["fqdn"].endswith(".hcp.westeurope.azmk8s.io")
    assert (properties["kubernetesVersion"], properties["currentKubernetesVersion"]) == ("1.36", "1.36.1")
    assert properties["autoUpgradeProfile"]["nodeOSUpgradeChannel"] == "NodeImage"
    assert properties["storageProfile"]["diskCSIDriver"] == {"enabled": True}
    assert "blobCSIDriver" not in properties["storageProfile"]
    assert "_sandbox" not in yard.get(yard.cluster)


def test_names_and_addresses_of_a_cluster_survive_an_update(yard: Cloud) -> None:
    before = yard.get(yard.cluster)["properties"]
    yard.make(yard.cluster, yard.cluster_body(autoUpgradeProfile={"upgradeChannel": "patch"}))
    after = yard.get(yard.cluster)["properties"]
    for key in ("fqdn", "resourceUID", "identityProfile", "nodeResourceGroup", "azurePortalFQDN"):
        assert after[key] == before[key], key
    assert after["autoUpgradeProfile"]["upgradeChannel"] == "patch"


def test_the_machines_group_is_made_with_the_cluster_and_goes_with_it(yard: Cloud) -> None:
    assert yard.get(yard.nodes)["managedBy"] == yard.cluster
    yard.finish(yard.send("DELETE", yard.cluster))
    assert yard.refusal(lambda: yard.get(yard.nodes)).code == "ResourceGroupNotFound"
    assert yard.get("/sandbox/machines") == {"cluster": None, "machines": []}
    assert yard.manager.store.under(yard.nodes) == []


def test_a_deleted_groups_cluster_goes_with_it(yard: Cloud) -> None:
    yard.finish(yard.send("DELETE", yard.group))
    assert yard.refusal(lambda: yard.get(yard.nodes)).code == "ResourceGroupNotFound"
    assert yard.get("/sandbox/machines")["cluster"] is None


def test_the_machines_group_must_not_exist(cloud: Cloud) -> None:
    cloud.make(cloud.nodes, {"location": "westeurope"})
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body())).code == (
        "NodeResourceGroupAlreadyExists"
    )


def test_one_cluster_is_backed_and_a_second_is_refused_with_its_id(yard: Cloud) -> None:
    error = yard.refusal(
        lambda: yard.put(f"{yard.cluster}2", yard.cluster_body(nodeResourceGroup="other", dnsPrefix="other"))
    )
    assert yard.cluster in error.message


def test_a_cluster_keeps_trying_while_a_role_takes_effect(cloud: Cloud) -> None:
    cloud.make(cloud.identity("late"), {"location": "westeurope"})
    cloud.assign("late", "4d97b98b-1d4f-4787-a291-c67834d212e7", cloud.subnet)
    body = cloud.cluster_body()
    body["identity"]["userAssignedIdentities"] = {cloud.identity("late"): {}}
    reply = cloud.put(cloud.cluster, body)
    cloud.pass_time(4)
    assert cloud.machines() == [], "no machine is made before the identity may join the subnet"
    assert cloud.finish(reply) == "Succeeded"


def test_a_cluster_without_rights_on_its_subnet_fails_after_a_while(cloud: Cloud) -> None:
    cloud.make(cloud.identity("nobody"), {"location": "westeurope"})
    body = cloud.cluster_body()
    body["identity"]["userAssignedIdentities"] = {cloud.identity("nobody"): {}}
    reply = cloud.put(cloud.cluster, body)
    cloud.pass_time(pool_operations.ROLE_PATIENCE_SECONDS - 2)
    assert cloud.get(cloud.cluster)["properties"]["provisioningState"] == "Creating"
    assert cloud.finish(reply) == "Failed"
    assert reply.operation is not None
    assert reply.operation.error is not None
    assert reply.operation.error["code"] == "LinkedAuthorizationFailed"
    assert "subnets/" in reply.operation.error["message"]
    shown = cloud.get(cloud.cluster)["properties"]
    assert (shown["provisioningState"], shown["agentPoolProfiles"][0]["provisioningState"]) == ("Failed", "Failed")


def kubelet(cloud: Cloud, **changed: str) -> dict[str, Any]:
    found = cloud.get(cloud.identity("kubelet"))
    ids = found["properties"]
    given = {"resourceId": found["id"], "clientId": ids["clientId"], "objectId": ids["principalId"], **changed}
    return cloud.cluster_body(identityProfile={"kubeletidentity": given})


def test_a_kubelet_identity_of_ones_own_needs_an_effective_role_at_once(cloud: Cloud) -> None:
    code = "CustomKubeletIdentityMissingPermissionError"
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, kubelet(cloud))).code == code
    cloud.assign("cluster", MANAGED_IDENTITY_OPERATOR, cloud.identity("kubelet"))
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, kubelet(cloud))).code == code, "the role is not effective yet"
    cloud.pass_time(6)
    made = cloud.make(cloud.cluster, kubelet(cloud))
    assert made["properties"]["identityProfile"]["kubeletidentity"]["resourceId"] == cloud.identity("kubelet")


def test_a_kubelet_identity_must_be_named_right(cloud: Cloud) -> None:
    cloud.assign("cluster", MANAGED_IDENTITY_OPERATOR, cloud.identity("kubelet"))
    cloud.pass_time(6)
    wrong = kubelet(cloud, clientId="00000000-0000-0000-0000-000000000000")
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, wrong)).code == "CustomKubeletIdentityPropertyError"
    absent = kubelet(cloud, resourceId=cloud.identity("absent"))
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, absent)).code == "CustomKubeletIdentityPropertyError"


def test_without_one_the_nodes_get_an_identity_in_the_machines_group(yard: Cloud) -> None:
    given = yard.get(yard.cluster)["properties"]["identityProfile"]["kubeletidentity"]
    assert given["resourceId"].startswith(yard.nodes)
    assert yard.get(given["resourceId"])["properties"]["clientId"] == given["clientId"]


def test_an_identity_that_does_not_exist_is_refused(cloud: Cloud) -> None:
    body = cloud.cluster_body()
    body["identity"]["userAssignedIdentities"] = {cloud.identity("absent"): {}}
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).status == 400


NETWORK = {
    "networkPlugin": "azure",
    "networkPluginMode": "overlay",
    "networkDataplane": "cilium",
    "networkPolicy": "cilium",
    "podCidr": "10.128.0.0/14",
    "serviceCidr": "172.16.0.0/16",
    "dnsServiceIP": "172.16.0.10",
    "outboundType": "userAssignedNATGateway",
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"podCidr": "10.0.0.0/14"}, "PodCidrOverlapExistingSubnetsCidr"),
        ({"podCidr": "172.16.0.0/14"}, "PodCidrOverlapServiceCidr"),
        ({"serviceCidr": "10.0.0.0/24", "dnsServiceIP": "10.0.0.10"}, "ServiceCidrOverlapExistingSubnetsCidr"),
        ({"serviceCidr": "172.0.0.0/8", "dnsServiceIP": "172.0.0.10"}, "InvalidNetworkingConfig"),
        ({"dnsServiceIP": "172.17.0.10"}, "DnsServiceIpOutOfServiceCidr"),
        ({"dnsServiceIP": "172.16.0.1"}, "DnsServiceIpConflicting"),
        ({"dnsServiceIP": "172.16.255.255"}, "DnsBroadcastAddressConflicting"),
        ({"dnsServiceIP": "ten"}, "DnsServiceIpParseError"),
        ({"podCidr": "10.128.0.1/14"}, "CidrStringParseError"),
        ({"podCidr": "10.128.0.0/23"}, "InsufficientSubnetSize"),
        ({"networkPolicy": "cilium", "networkDataplane": "azure"}, "InvalidParameter"),
        ({"networkPolicy": "calico"}, "InvalidParameter"),
        ({"networkPlugin": "kubenet", "networkDataplane": "azure", "networkPolicy": "none"}, "InvalidParameter"),
        ({"loadBalancerSku": "basic"}, "InvalidLoadBalancerSku"),
    ],
)
def test_ranges_and_plug_ins_that_do_not_go_together_are_refused(
    cloud: Cloud, changed: dict[str, str], code: str
) -> None:
    body = cloud.cluster_body(networkProfile={**NETWORK, **changed})
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == code


def test_a_subnet_without_a_nat_gateway_is_refused(cloud: Cloud) -> None:
    bare = cloud.subnet.replace("/nodes", "/bare")
    cloud.make(bare, {"properties": {"addressPrefix": "10.0.8.0/24"}})
    body = cloud.cluster_body(agentPoolProfiles=[{**SYSTEM, "vnetSubnetID": bare}])
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == "SubnetNotAssociatedWithNATGateway"


def test_a_nat_gateway_of_ones_own_needs_a_subnet_of_ones_own(cloud: Cloud) -> None:
    body = cloud.cluster_body(agentPoolProfiles=[SYSTEM])
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == (
        "UserAssignedNATGatewayWithManagedVNetNotAllowed"
    )


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"dnsPrefix": None}, "InvalidParameter"),
        ({"dnsPrefix": "-yard"}, "InvalidParameter"),
        ({"nodeResourceGroup": "RG"}, "NodeResourceGroupSameAsResourceGroup"),
        ({"nodeResourceGroup": "ends."}, "InvalidParameter"),
        ({"agentPoolProfiles": []}, "MustDefineAtLeastOneSystemPool"),
        ({"kubernetesVersion": "1.21"}, "K8sVersionNotSupported"),
        ({"kubernetesVersion": "1.33"}, "K8sVersionNotSupported"),
        ({"kubernetesVersion": "1.36.9"}, "K8sVersionNotSupported"),
        ({"aadProfile": None}, "InvalidParameter"),
        ({"aadProfile": {"managed": False}}, "InvalidParameter"),
        ({"aadProfile": {"managed": True, "adminGroupObjectIDs": ["admins"]}}, "InvalidAdminGroupObjectID"),
        ({"enableRBAC": False}, "InvalidParameter"),
        ({"oidcIssuerProfile": {"enabled": False}}, "InvalidParameter"),
        ({"supportPlan": "AKSLongTermSupport"}, "InvalidParameter"),
        (
            {"autoUpgradeProfile": {"upgradeChannel": "node-image", "nodeOSUpgradeChannel": "None"}},
            "InvalidParameter",
        ),
        ({"autoScalerProfile": {"scan-interval": "soon"}}, "InvalidParameter"),
        ({"autoScalerProfile": {"scale-down-utilization-threshold": "1.5"}}, "InvalidParameter"),
        ({"autoScalerProfile": {"max-empty-bulk-delete": "many"}}, "InvalidParameter"),
        ({"autoScalerProfile": {"skip-nodes-with-system-pods": "maybe"}}, "InvalidParameter"),
        ({"autoScalerProfile": {"max-node-provision-time": "900s"}}, "InvalidParameter"),
        (
            {"apiServerAccessProfile": {"enablePrivateCluster": True, "authorizedIPRanges": ["8.8.8.0/24"]}},
            "InvalidParameter",
        ),
        ({"apiServerAccessProfile": {"authorizedIPRanges": ["everyone"]}}, "InvalidIPRangeCIDR"),
        ({"apiServerAccessProfile": {"authorizedIPRanges": ["10.0.0.0/8"]}}, "InvalidParameter"),
        ({"apiServerAccessProfile": {"privateDNSZone": "system"}}, "InvalidPrivateDNSZoneMode"),
        (
            {
                "apiServerAccessProfile": {
                    "enablePrivateCluster": True,
                    "privateDNSZone": "none",
                    "enablePrivateClusterPublicFQDN": False,
                }
            },
            "NonePrivateDNSZonePublicFQDNDisabledError",
        ),
    ],
)
def test_settings_that_aks_refuses_are_refused(cloud: Cloud, changed: dict[str, Any], code: str) -> None:
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body(**changed))).code == code


def test_a_long_term_version_comes_up_under_its_plan(cloud: Cloud) -> None:
    body = cloud.cluster_body(kubernetesVersion="1.33", supportPlan="AKSLongTermSupport")
    body["sku"]["tier"] = "Premium"
    assert cloud.make(cloud.cluster, body)["properties"]["currentKubernetesVersion"].startswith("1.33.")


def test_a_private_cluster_has_a_private_name(cloud: Cloud) -> None:
    access = {
        "enablePrivateCluster": True,
        "privateDNSZone": "system",
        "enablePrivateClusterPublicFQDN": False,
    }
    properties = cloud.make(cloud.cluster, cloud.cluster_body(apiServerAccessProfile=access))["properties"]
    assert ".privatelink.westeurope.azmk8s.io" in properties["privateFQDN"]
    assert "fqdn" not in properties


@pytest.mark.parametrize(
    ("path", "value", "target"),
    [
        ("dnsPrefix", "other", "dnsPrefix"),
        ("nodeResourceGroup", "other", "nodeResourceGroup"),
        ("networkProfile", {**NETWORK, "podCidr": "10.64.0.0/14"}, "networkProfile.podCidr"),
        ("networkProfile", {**NETWORK, "serviceCidr": "172.20.0.0/16"}, "networkProfile.serviceCidr"),
        ("networkProfile", {**NETWORK, "dnsServiceIP": "172.16.0.11"}, "networkProfile.dnsServiceIP"),
        ("networkProfile", {**NETWORK, "networkPolicy": "none"}, "networkProfile.networkPolicy"),
        (
            "apiServerAccessProfile",
            {"enablePrivateCluster": True},
            "apiServerAccessProfile.enablePrivateCluster",
        ),
        ("aadProfile", None, "aadProfile"),
    ],
)
def test_what_a_cluster_was_made_with_does_not_change(yard: Cloud, path: str, value: Any, target: str) -> None:
    error = yard.refusal(lambda: yard.put(yard.cluster, yard.cluster_body(**{path: value})))
    assert (error.status, error.code, error.target) == (400, "PropertyChangeNotAllowed", target)
    assert error.message == f"Changing property '{target}' is not allowed."
    assert "error" not in error.body, "AKS leaves the outer object out"


def test_the_way_out_and_the_issuer_stay(yard: Cloud) -> None:
    body = yard.cluster_body(networkProfile={**NETWORK, "outboundType": "loadBalancer"})
    assert yard.refusal(lambda: yard.put(yard.cluster, body)).code == "UpdatingOutboundTypeNotAllowed"
    body = yard.cluster_body(oidcIssuerProfile={"enabled": False}, securityProfile=None)
    assert yard.refusal(lambda: yard.put(yard.cluster, body)).code == "OIDCIssuerCannotBeDisabled"


def test_a_version_goes_up_and_skips_none(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.34"))
    skipped = cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.36")))
    assert skipped.code == "OperationNotAllowed"
    assert "Available upgrades: [1.35.2 1.35.1]" in skipped.message
    done = cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.35"))
    assert done["properties"]["currentKubernetesVersion"] == "1.35.2"
    down = cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.34")))
    assert down.code == "OperationNotAllowed"


def test_spot_pools_are_not_upgraded_with_the_control_plane(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(kubernetesVersion="1.35"))
    cloud.make_pool("cheap", scaleSetPriority="Spot", count=0)
    body = cloud.cluster_body(kubernetesVersion="1.36")
    assert cloud.refusal(lambda: cloud.put(cloud.cluster, body)).code == (
        "SpotPoolUpgradeNotAllowedDuringClusterUpgradeAll"
    )
    body["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = "1.35"
    assert cloud.make(cloud.cluster, body)["properties"]["currentKubernetesVersion"] == "1.36.1"
    assert cloud.get(cloud.pool_id("cheap"))["properties"]["currentOrchestratorVersion"] == "1.35.2"


def test_a_pool_that_is_not_there_cannot_come_through_the_cluster(yard: Cloud) -> None:
    pools = [{**SYSTEM, "vnetSubnetID": yard.subnet}, {**SYSTEM, "name": "more", "vnetSubnetID": yard.subnet}]
    error = yard.refusal(lambda: yard.put(yard.cluster, yard.cluster_body(agentPoolProfiles=pools)))
    assert "A new agent pool was introduced" in error.message


def test_a_pool_left_out_of_the_cluster_stays(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    done = yard.make(yard.cluster, yard.cluster_body())
    assert [one["name"] for one in done["properties"]["agentPoolProfiles"]] == ["system", "light"]
    done = yard.make(yard.cluster, yard.cluster_body(agentPoolProfiles=None))
    assert [one["name"] for one in done["properties"]["agentPoolProfiles"]] == ["system", "light"]


def autoscale(yard: Cloud, pool: str, capacity: int) -> None:
    """As the self-hosted autoscaler does it."""
    found = yard.scale_set(pool)
    body = {"location": "westeurope", "name": found["name"], "sku": {**found["sku"], "capacity": capacity}}
    yard.finish(yard.put(found["id"], body))


@pytest.mark.parametrize("how", ["put", "tags"])
def test_any_update_of_the_cluster_scales_pools_back(yard: Cloud, how: str) -> None:
    yard.make_pool("light", count=1)
    autoscale(yard, "light", 3)
    assert yard.get(yard.pool_id("light"))["properties"]["count"] == 3
    if how == "put":
        reply = yard.put(yard.cluster, yard.cluster_body())
    else:
        reply = yard.send("PATCH", yard.cluster, {"tags": {"env": "other"}})
        assert reply.body["tags"] == {"env": "other"}
    states = {one["name"]: one["provisioningState"] for one in reply.body["properties"]["agentPoolProfiles"]}
    assert states == {"system": "Updating", "light": "Scaling"}
    assert yard.finish(reply) == "Succeeded"
    assert len(yard.machines("light")) == 1


def test_an_update_leaves_pools_alone_that_aks_scales(yard: Cloud) -> None:
    yard.make_pool("light", count=1, enableAutoScaling=True, minCount=1, maxCount=5)
    autoscale(yard, "light", 3)
    yard.finish(yard.put(yard.cluster, yard.cluster_body()))
    assert len(yard.machines("light")) == 3


def test_a_changed_inline_pool_puts_every_pool_into_scaling(yard: Cloud) -> None:
    yard.make_pool("light", count=1)
    pools = [{**SYSTEM, "vnetSubnetID": yard.subnet, "count": 3}]
    reply = yard.put(yard.cluster, yard.cluster_body(agentPoolProfiles=pools))
    states = {one["provisioningState"] for one in reply.body["properties"]["agentPoolProfiles"]}
    assert states == {"Scaling"}
    yard.finish(reply)
    assert len(yard.machines("system")) == 3


def test_operations_wait_for_each_other(cloud: Cloud) -> None:
    first = cloud.put(cloud.cluster, cloud.cluster_body())
    for path, body in ((cloud.cluster, cloud.cluster_body()), (cloud.pool_id("light"), cloud.pool_body())):
        error = cloud.refusal(lambda path=path, body=body: cloud.put(path, body))
        assert (error.status, error.code) == (409, "OperationNotAllowed")
        assert "Another operation (Creating) is in progress" in error.message
    cloud.finish(first)
    pool = cloud.put(cloud.pool_id("light"), cloud.pool_body())
    error = cloud.refusal(lambda: cloud.put(cloud.cluster, cloud.cluster_body()))
    assert "Another agentpool operation (light - Creating) is in progress" in error.message
    assert cloud.finish(pool) == "Succeeded"


def test_pools_may_come_at_the_same_time(yard: Cloud) -> None:
    replies = [yard.put(yard.pool_id(name), yard.pool_body()) for name in ("one", "two", "three")]
    assert [yard.finish(reply) for reply in replies] == ["Succeeded"] * 3


def test_a_killed_azure_goes_on_where_it_was(cloud: Cloud) -> None:
    reply = cloud.put(cloud.cluster, cloud.cluster_body())
    cloud.pass_time(1)
    manager = type(cloud.manager)(cloud.home)
    manager.operations._clock = cloud.clock  # pyright: ignore[reportPrivateUsage]
    cloud.manager = manager
    assert cloud.finish(reply) == "Succeeded"
    assert len(cloud.machines()) == 2


def test_the_user_kubeconfig_signs_in_through_kubelogin_and_never_changes(yard: Cloud) -> None:
    yard.home.ca_cert.write_text("authority")
    first, second = (yard.send("POST", f"{yard.cluster}/listClusterUserCredential").body for _ in range(2))
    assert first == second
    [credential] = first["kubeconfigs"]
    config = yaml.safe_load(base64.b64decode(credential["value"]))
    assert config["clusters"][0]["cluster"]["server"] == yard.home.api_server_url
    authority = config["clusters"][0]["cluster"]["certificate-authority-data"]
    assert base64.b64decode(authority) == b"authority"
    plugin = config["users"][0]["user"]["exec"]
    assert plugin["command"] == "kubelogin"
    assert plugin["args"][:3] == ["get-token", "--environment", "AzurePublicCloud"]
    assert plugin["args"][-2:] == ["--login", "devicecode"]


def test_the_format_of_the_user_kubeconfig_is_honoured(yard: Cloud) -> None:
    path = f"{yard.cluster}/listClusterUserCredential"
    legacy = yard.send("POST", path, format="azure").body["kubeconfigs"][0]["value"]
    assert yaml.safe_load(base64.b64decode(legacy))["users"][0]["user"]["auth-provider"]["name"] == "azure"
    assert yard.refusal(lambda: yard.send("POST", path, format="ini")).code == "InvalidParameter"


def test_there_is_no_admin_kubeconfig_without_local_accounts(yard: Cloud) -> None:
    error = yard.refusal(lambda: yard.send("POST", f"{yard.cluster}/listClusterAdminCredential"))
    assert error.message.startswith("Getting static credential is not allowed")
    error = yard.refusal(lambda: yard.send("POST", f"{yard.cluster}/accessProfiles/clusterAdmin/listCredential"))
    assert error.message.startswith("Getting static credential is not allowed")


def test_local_accounts_bring_the_admin_kubeconfig(cloud: Cloud) -> None:
    cloud.make(cloud.cluster, cloud.cluster_body(disableLocalAccounts=False))
    cloud.home.admin_kubeconfig.write_text("admin")
    found = cloud.send("POST", f"{cloud.cluster}/listClusterAdminCredential").body["kubeconfigs"][0]
    assert base64.b64decode(found["value"]) == b"admin"


def test_credentials_are_an_action_that_reading_does_not_bring(yard: Cloud) -> None:
    yard.assign("kubelet", "acdd72a7-3385-48ef-bd42-f606fba81ae7", yard.group)  # Reader
    yard.pass_time(6)
    principal = yard.get(yard.identity("kubelet"))["properties"]["principalId"]
    yard.caller = Principal(principal)
    assert yard.get(yard.cluster)["name"] == "yard"
    error = yard.refusal(lambda: yard.send("POST", f"{yard.cluster}/listClusterUserCredential"))
    assert error.code == "AuthorizationFailed"


def test_versions_and_upgrades_are_listed(yard: Cloud) -> None:
    place = f"{yard.subscription}/providers/Microsoft.ContainerService/locations/westeurope"
    values = yard.get(f"{place}/kubernetesVersions")["values"]
    assert [one["version"] for one in values] == ["1.36", "1.35", "1.34", "1.33"]
    assert sum(one["isDefault"] for one in values) == 1
    profile = yard.get(f"{yard.cluster}/upgradeProfiles/default")["properties"]
    assert profile["controlPlaneProfile"] == {
        "kubernetesVersion": "1.36.1",
        "name": "",
        "osType": "Linux",
        "upgrades": [],
    }


WINDOW = {
    "durationHours": 6,
    "startTime": "02:00",
    "schedule": {"weekly": {"dayOfWeek": "Sunday", "intervalWeeks": 1}},
}


def test_a_maintenance_window_is_kept(yard: Cloud) -> None:
    path = f"{yard.cluster}/maintenanceConfigurations/aksManagedAutoUpgradeSchedule"
    made = yard.make(path, {"properties": {"maintenanceWindow": WINDOW}})
    assert made["properties"]["maintenanceWindow"]["utcOffset"] == "+00:00"
    assert "provisioningState" not in made["properties"]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("sometime", {}),
        ("aksManagedAutoUpgradeSchedule", {"durationHours": 3}),
        ("aksManagedAutoUpgradeSchedule", {"startTime": "25:00"}),
        ("aksManagedAutoUpgradeSchedule", {"utcOffset": "CET"}),
        ("aksManagedAutoUpgradeSchedule", {"startDate": "2026-02-30"}),
        ("aksManagedAutoUpgradeSchedule", {"schedule": {}}),
        ("aksManagedAutoUpgradeSchedule", {"schedule": {"daily": {"intervalDays": 1}}}),
        ("default", {"schedule": {"daily": {"intervalDays": 1}}}),
        (
            "aksManagedNodeOSUpgradeSchedule",
            {"schedule": {"weekly": {"dayOfWeek": "Sunday", "intervalWeeks": 9}}},
        ),
    ],
)
def test_a_maintenance_window_that_aks_refuses_is_refused(yard: Cloud, name: str, changed: dict[str, Any]) -> None:
    body = {"properties": {"maintenanceWindow": {**WINDOW, **changed}}}
    error = yard.refusal(lambda: yard.put(f"{yard.cluster}/maintenanceConfigurations/{name}", body))
    assert error.status == 400
