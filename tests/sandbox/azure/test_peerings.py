"""Peerings of virtual networks, over real HTTPS."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.azure.conftest import Azure

NETWORKS = "/providers/Microsoft.Network/virtualNetworks"


def network(azure: Azure, name: str, prefix: str) -> str:
    path = f"{azure.group}{NETWORKS}/{name}"
    azure.make(path, {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": [prefix]}}})
    return path


def to(remote: str) -> dict[str, Any]:
    return {"properties": {"remoteVirtualNetwork": {"id": remote}, "allowVirtualNetworkAccess": True}}


def test_two_networks_are_connected_once_both_ends_are_there(azure: Azure) -> None:
    here, there = network(azure, "here", "10.0.0.0/16"), network(azure, "there", "10.1.0.0/16")
    end = f"{here}/virtualNetworkPeerings/a"
    azure.make(end, to(there))
    assert azure.get(end).json()["properties"]["peeringState"] == "Initiated"
    azure.make(f"{there}/virtualNetworkPeerings/b", to(here))
    shown = azure.get(end).json()["properties"]
    assert (shown["peeringState"], shown["remoteAddressSpace"]) == ("Connected", {"addressPrefixes": ["10.1.0.0/16"]})


@pytest.mark.parametrize(
    ("prefix", "code"), [("10.0.128.0/17", "VnetAddressSpacesOverlap"), ("10.1.0.0/16", "")], ids=["overlaps", "fits"]
)
def test_networks_whose_addresses_overlap_are_not_peered(azure: Azure, prefix: str, code: str) -> None:
    here, there = network(azure, "here", "10.0.0.0/16"), network(azure, "there", prefix)
    answer = azure.put(f"{here}/virtualNetworkPeerings/a", to(there))
    document: dict[str, Any] = answer.json()
    error: dict[str, Any] = document.get("error") or {}
    assert error.get("code", "") == code


def test_a_network_is_not_peered_with_itself_or_with_none(azure: Azure) -> None:
    here = network(azure, "here", "10.0.0.0/16")
    for remote in (here, ""):
        assert azure.put(f"{here}/virtualNetworkPeerings/a", to(remote)).status_code == 400


def test_the_remote_network_of_a_peering_does_not_change(azure: Azure) -> None:
    here, one, two = (network(azure, name, f"10.{index}.0.0/16") for index, name in enumerate(("here", "one", "two")))
    azure.make(f"{here}/virtualNetworkPeerings/a", to(one))
    answer = azure.put(f"{here}/virtualNetworkPeerings/a", to(two))
    assert answer.json()["error"]["code"] == "ChangingRemoteVirtualNetworkNotAllowed"
