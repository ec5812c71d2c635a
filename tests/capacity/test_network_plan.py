"""Address ranges: defaults that never need to change, and faults with the prefix that would do."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from capacity.network_plan import NetworkError, plan_network, pod_prefix_for, subnet_prefix_for
from stacks.settings import Stack


def stack(machines: int = 10, /, **network: str) -> Stack:
    pools = {"cpu": {"class": "cpu", "max": min(machines, 999)}}
    return Stack.model_validate({"location": "westeurope", "pools": pools, "network": network})


def faults_of(made: Stack) -> list[tuple[str, str]]:
    with pytest.raises(NetworkError) as caught:
        plan_network(made)
    return [(fault.field, fault.message) for fault in caught.value.faults]


def test_defaults_have_room_for_5000_nodes_and_do_not_follow_the_pools():
    small, large = plan_network(stack(1)), plan_network(stack(900))
    assert small == large, "a changed range replaces the cluster"
    assert small.node_subnet == IPv4Network("10.0.0.0/19")
    assert small.private_endpoints == IPv4Network("10.0.255.0/24")
    assert small.pods == IPv4Network("10.224.0.0/11")
    assert str(small.dns_service_ip) == "172.16.0.10"


@pytest.mark.parametrize(
    ("network", "pods"),
    [
        ({"vnetCidr": "10.224.0.0/16"}, "10.192.0.0/11"),
        ({"vnetCidr": "10.0.0.0/8"}, "100.96.0.0/11"),
        ({"serviceCidr": "10.240.0.0/16"}, "10.192.0.0/11"),
    ],
)
def test_the_pod_range_gives_way_to_network_and_services(network: dict[str, str], pods: str):
    assert str(plan_network(stack(**network)).pods) == pods


def test_a_small_network_is_used_as_far_as_it_goes():
    plan = plan_network(stack(100, vnetCidr="10.0.0.0/22"))
    assert plan.node_subnet == IPv4Network("10.0.0.0/23")
    assert plan.private_endpoints.subnet_of(plan.vnet)


@pytest.mark.parametrize(("machines", "fits"), [(119, True), (120, False)])
def test_a_node_subnet_is_full_at_its_last_address(machines: int, fits: bool):
    """A /25 has 128 addresses: 5 are Azure's, 3 the system pool's with its surge, 1 the pool's surge."""
    made = stack(machines, nodeSubnetCidr="10.0.0.0/25")
    if fits:
        assert plan_network(made).node_subnet.prefixlen == 25
    else:
        [(field, message)] = faults_of(made)
        assert field == "node_subnet_cidr"
        assert "a /24 or larger" in message


def test_a_private_cluster_takes_one_address_more():
    made = stack(119, nodeSubnetCidr="10.0.0.0/25")
    plan_network(made)
    private = made.model_copy(update={"cluster": made.cluster.model_copy(update={"private": True})})
    assert faults_of(private)[0][0] == "node_subnet_cidr"


@pytest.mark.parametrize(("machines", "fits"), [(252, True), (253, False)])
def test_a_pod_cidr_has_a_24_for_each_machine(machines: int, fits: bool):
    made = stack(machines, podCidr="10.244.0.0/16")
    if fits:
        assert plan_network(made).pods.prefixlen == 16
    else:
        [(field, message)] = faults_of(made)
        assert field == "pod_cidr"
        assert "a /15 or larger" in message


@pytest.mark.parametrize(
    ("network", "field", "words"),
    [
        ({"podCidr": "10.0.128.0/17"}, "pod_cidr", "overlaps vnetCidr"),
        ({"podCidr": "172.16.0.0/14"}, "pod_cidr", "overlaps serviceCidr"),
        ({"podCidr": "172.16.0.0/12", "serviceCidr": "192.168.0.0/16"}, "pod_cidr", "172.30.0.0/16"),
        ({"podCidr": "10.244.0.0/30"}, "pod_cidr", "it has 0"),
        ({"serviceCidr": "10.0.5.0/24"}, "service_cidr", "overlaps vnetCidr"),
        ({"serviceCidr": "172.16.0.0/28"}, "service_cidr", "a /13 to a /27"),
        ({"vnetCidr": "192.0.2.0/24"}, "vnet_cidr", "which AKS refuses"),
        ({"vnetCidr": "10.0.0.0/28"}, "vnet_cidr", "no room for both"),
        ({"nodeSubnetCidr": "10.0.0.0/16"}, "node_subnet_cidr", "no room for private endpoints"),
        ({"privateEndpointCidr": "10.0.0.0/16"}, "private_endpoint_cidr", "no room for the nodes"),
        ({"privateEndpointCidr": "10.0.9.0/29"}, "private_endpoint_cidr", "a /28 or larger"),
        ({"privateEndpointCidr": "10.9.0.0/24"}, "private_endpoint_cidr", "does not lie in vnetCidr"),
        ({"nodeSubnetCidr": "10.9.0.0/20"}, "node_subnet_cidr", "does not lie in vnetCidr"),
    ],
)
def test_a_range_that_cannot_be_used_is_a_fault_of_its_setting(network: dict[str, Any], field: str, words: str):
    assert [one for one in faults_of(stack(**network)) if one[0] == field and words in one[1]]


def test_all_faults_come_at_once():
    fields = {
        field
        for field, _ in faults_of(
            stack(200, podCidr="10.0.0.0/20", nodeSubnetCidr="10.9.0.0/29", serviceCidr="172.30.0.0/16")
        )
    }
    assert fields == {"pod_cidr", "node_subnet_cidr", "service_cidr"}


@pytest.mark.parametrize(
    ("addresses", "prefix"), [(1, 32), (2, 31), (8, 29), (9, 28), (256, 24), (257, 23), (5005, 19)]
)
def test_prefix_for_addresses(addresses: int, prefix: int):
    assert subnet_prefix_for(addresses) == prefix


@pytest.mark.parametrize(("nodes", "prefix"), [(1, 24), (2, 23), (256, 16), (257, 15), (5000, 11)])
def test_prefix_for_pods(nodes: int, prefix: int):
    assert pod_prefix_for(nodes) == prefix
