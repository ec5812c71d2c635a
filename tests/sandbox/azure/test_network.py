"""Virtual networks, subnets, security groups, NAT gateways and public addresses, over real HTTPS."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.azure.virtual_networks import Subnets
from tests.sandbox.azure.conftest import Azure

NETWORK = "/providers/Microsoft.Network"


def vnet(azure: Azure, **properties: Any) -> str:
    path = f"{azure.group}{NETWORK}/virtualNetworks/net"
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    azure.make(path, {"location": "West Europe", "properties": {**space, **properties}})
    return path


def subnet(azure: Azure, network: str, name: str, prefix: str, **properties: Any) -> str:
    path = f"{network}/subnets/{name}"
    azure.make(path, {"properties": {"addressPrefix": prefix, **properties}})
    return path


def address(azure: Azure, name: str = "ip") -> str:
    path = f"{azure.group}{NETWORK}/publicIPAddresses/{name}"
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    azure.make(path, body)
    return path


def gateway(azure: Azure, *addresses: str) -> str:
    path = f"{azure.group}{NETWORK}/natGateways/nat"
    body = {
        "location": "westeurope",
        "sku": {"name": "Standard"},
        "properties": {"publicIpAddresses": [{"id": one} for one in addresses]},
    }
    azure.make(path, body)
    return path


def test_a_network_shows_its_subnets_and_stores_the_location_normalised(azure: Azure) -> None:
    network = vnet(azure)
    subnet(azure, network, "nodes", "10.0.0.0/20")
    shown = azure.get(network).json()
    assert shown["location"] == "westeurope"
    assert [one["name"] for one in shown["properties"]["subnets"]] == ["nodes"]
    assert shown["properties"]["subnets"][0]["properties"]["addressPrefix"] == "10.0.0.0/20"


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.1.0.0/24", "NetcfgSubnetRangeOutsideVnet"),
        ("10.0.8.0/24", "NetcfgSubnetRangesOverlap"),
        ("10.0.16.1/24", "InvalidCIDRNotation"),
        ("10.0.16.0/30", "NetcfgInvalidSubnet"),
        ("ten", "InvalidAddressPrefixFormat"),
    ],
)
def test_a_subnet_that_does_not_fit_its_network_is_refused(azure: Azure, prefix: str, code: str) -> None:
    network = vnet(azure)
    subnet(azure, network, "nodes", "10.0.0.0/20")
    answer = azure.put(f"{network}/subnets/other", {"properties": {"addressPrefix": prefix}})
    azure.refused(answer, 400, code)


def test_a_second_operation_in_a_network_waits_for_the_first(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subnets, "creates", 2)
    network = vnet(azure)
    first = azure.put(f"{network}/subnets/one", {"properties": {"addressPrefix": "10.0.0.0/24"}})
    assert first.status_code == 201
    second = azure.put(f"{network}/subnets/two", {"properties": {"addressPrefix": "10.0.1.0/24"}})
    azure.refused(second, 409, "AnotherOperationInProgress")
    assert second.headers["Retry-After"] == "1"
    azure.wait(first)
    assert azure.put(f"{network}/subnets/two", {"properties": {"addressPrefix": "10.0.1.0/24"}}).status_code == 201


def test_a_network_put_without_subnets_keeps_them_and_with_an_empty_list_deletes_them(azure: Azure) -> None:
    network = vnet(azure)
    subnet(azure, network, "nodes", "10.0.0.0/20")
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    azure.make(network, body)
    assert azure.get(f"{network}/subnets/nodes").status_code == 200
    body["properties"]["subnets"] = []  # type: ignore[index]
    azure.make(network, body)
    assert azure.get(f"{network}/subnets/nodes").status_code == 404


def test_an_old_api_version_deletes_subnets_that_a_put_leaves_out(azure: Azure) -> None:
    network = vnet(azure)
    subnet(azure, network, "nodes", "10.0.0.0/20")
    body = {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
    azure.wait(azure.put(f"{network}?api-version=2022-01-01", body))
    assert azure.get(f"{network}/subnets/nodes").status_code == 404


def test_a_security_group_has_azures_rules_and_refuses_two_of_one_priority(azure: Azure) -> None:
    path = f"{azure.group}{NETWORK}/networkSecurityGroups/nsg"
    made = azure.make(path, {"location": "westeurope"})
    assert [one["properties"]["priority"] for one in made["properties"]["defaultSecurityRules"]] == [
        65000,
        65001,
        65500,
    ] * 2
    rule = {
        "protocol": "Tcp",
        "access": "Allow",
        "direction": "Inbound",
        "priority": 100,
        "sourcePortRange": "*",
        "destinationPortRange": "443",
        "sourceAddressPrefix": "*",
        "destinationAddressPrefix": "*",
    }
    rules = [{"name": "one", "properties": rule}, {"name": "two", "properties": rule}]
    answer = azure.put(path, {"location": "westeurope", "properties": {"securityRules": rules}})
    azure.refused(answer, 400, "SecurityRuleConflict")


def test_what_a_subnet_uses_cannot_be_deleted_before_it(azure: Azure) -> None:
    ip = address(azure)
    nat = gateway(azure, ip)
    network = vnet(azure)
    nodes = subnet(azure, network, "nodes", "10.0.0.0/20", natGateway={"id": nat})
    azure.refused(azure.call("DELETE", nat), 400, "InUseNatGatewayCannotBeDeleted")
    azure.refused(azure.call("DELETE", ip), 400, "PublicIPAddressCannotBeDeleted")
    assert azure.get(nat).json()["properties"]["subnets"] == [{"id": nodes}]
    for path in (nodes, nat, ip):
        azure.remove(path)
        assert azure.get(path).status_code == 404


def test_a_subnet_refers_only_to_what_exists(azure: Azure) -> None:
    network = vnet(azure)
    missing = f"{azure.group}{NETWORK}/natGateways/none"
    body = {"properties": {"addressPrefix": "10.0.0.0/24", "natGateway": {"id": missing}}}
    azure.refused(azure.put(f"{network}/subnets/one", body), 400, "InvalidResourceReference")
    body["properties"]["natGateway"] = {"id": network}
    azure.refused(azure.put(f"{network}/subnets/one", body), 400, "LinkedInvalidPropertyId")


def test_an_address_is_standard_static_and_keeps_its_number(azure: Azure) -> None:
    path = f"{azure.group}{NETWORK}/publicIPAddresses/basic"
    body: dict[str, Any] = {"location": "westeurope", "properties": {"publicIPAllocationMethod": "Static"}}
    azure.refused(azure.put(path, body), 400, "IPv4BasicSkuPublicIpCountLimitReached")
    one, two = address(azure, "one"), address(azure, "two")
    first = azure.get(one).json()["properties"]["ipAddress"]
    assert first != azure.get(two).json()["properties"]["ipAddress"]
    address(azure, "one")
    assert azure.get(one).json()["properties"]["ipAddress"] == first


def test_zones_must_exist_in_the_region(azure: Azure) -> None:
    path = f"{azure.group}{NETWORK}/publicIPAddresses/zonal"
    body = {
        "location": "westeurope",
        "zones": ["4"],
        "sku": {"name": "Standard"},
        "properties": {"publicIPAllocationMethod": "Static"},
    }
    azure.refused(azure.put(path, body), 400, "AvailabilityZoneNotSupported")
    answer = azure.put(path, {**body, "location": "westus", "zones": ["1"]})
    azure.refused(answer, 400, "LocationNotSupportAvailabilityZones")


def test_a_misspelt_property_is_refused_with_its_path_and_the_nearest_name(azure: Azure) -> None:
    network = vnet(azure)
    answer = azure.put(f"{network}/subnets/one", {"properties": {"adressPrefix": "10.0.0.0/24"}})
    message = azure.refused(answer, 400, "InvalidRequestContent")
    assert "'adressPrefix'" in message
    assert "Path 'properties.adressPrefix'" in message
    assert "Did you mean 'addressPrefix'?" in message


def test_a_subnet_of_a_missing_network_names_the_parent(azure: Azure) -> None:
    path = f"{azure.group}{NETWORK}/virtualNetworks/none/subnets/one"
    azure.refused(azure.put(path, {"properties": {}}), 404, "ParentResourceNotFound")
