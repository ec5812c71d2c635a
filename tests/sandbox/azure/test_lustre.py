"""Azure Managed Lustre, over real HTTPS and through Azure's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
from azure.mgmt.storagecache import StorageCacheManagementClient

from tests.sandbox.azure.conftest import Azure, Client


@pytest.fixture
def subnet(azure: Azure) -> str:
    """A subnet with room for 92 TiB."""
    network = f"{azure.group}/providers/Microsoft.Network/virtualNetworks/net"
    subnets = [{"name": "lustre", "properties": {"addressPrefix": "10.0.1.0/25"}}]
    body = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}, "subnets": subnets}
    azure.make(network, {"location": "westeurope", "properties": body})
    return f"{network}/subnets/lustre"


def body_of(subnet: str, tib: float = 8, sku: str = "250", **more: Any) -> dict[str, Any]:
    properties = {
        "storageCapacityTiB": tib,
        "filesystemSubnet": subnet,
        "maintenanceWindow": {"dayOfWeek": "Sunday", "timeOfDayUTC": "02:00"},
        **more.pop("properties", {}),
    }
    whole = {"location": "westeurope", "sku": {"name": f"AMLFS-Durable-Premium-{sku}"}, "zones": ["1"]}
    return {**whole, **more, "properties": properties}


def path_of(azure: Azure) -> str:
    return f"{azure.group}/providers/Microsoft.StorageCache/amlFilesystems/scratch"


def test_a_file_system_can_be_mounted_once_it_is_made(azure: Azure, subnet: str) -> None:
    path = path_of(azure)
    answer = azure.put(path, body_of(subnet))
    assert answer.status_code == 201
    assert "clientInfo" not in azure.get(path).json()["properties"], "no address before it is made"
    assert azure.wait(answer) == "Succeeded"
    made = azure.get(path).json()["properties"]
    assert made["clientInfo"]["mgsAddress"] == "10.0.1.126"
    assert made["throughputProvisionedMBps"] == 2000
    assert made["health"]["state"] == "Available"
    again = azure.make(
        path, body_of(subnet, properties={"maintenanceWindow": {"dayOfWeek": "Monday", "timeOfDayUTC": "3:00"}})
    )
    assert again["properties"]["clientInfo"] == made["clientInfo"]
    assert again["properties"]["health"]["state"] == "Available"


@pytest.mark.parametrize(("sku", "step"), [("40", 48), ("125", 16), ("250", 8), ("500", 4)])
def test_each_sku_comes_in_its_own_steps(azure: Azure, subnet: str, sku: str, step: int) -> None:
    for tib in (0, step / 2, step + 1):
        refusal = azure.refused(azure.put(path_of(azure), body_of(subnet, tib, sku)), 400, "InvalidParameter")
        assert f"steps of {step}" in refusal
    assert azure.put(path_of(azure), body_of(subnet, step, sku)).status_code == 201


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sku": "1000"}, "AMLFS-Durable-Premium-500"),
        ({"zones": []}, "exactly one zone"),
        ({"zones": ["1", "2"]}, "exactly one zone"),
        ({"tib": 96}, "/24 or larger"),
        ({"properties": {"maintenanceWindow": {"dayOfWeek": "Sunday", "timeOfDayUTC": "24:00"}}}, "HH:MM"),
        ({"location": "northeurope"}, "is in westeurope"),
    ],
)
def test_what_azure_does_not_make_is_refused(azure: Azure, subnet: str, change: dict[str, Any], words: str) -> None:
    assert words in azure.refused(azure.put(path_of(azure), body_of(subnet, **change)), 400, "InvalidParameter")


def test_the_subnet_must_be_there_and_stays_as_long_as_the_file_system(azure: Azure, subnet: str) -> None:
    missing = azure.put(path_of(azure), body_of(subnet + "2"))
    azure.refused(missing, 400, "InvalidResourceReference")
    azure.make(path_of(azure), body_of(subnet))
    azure.refused(azure.call("DELETE", subnet), 400, "InUseSubnetCannotBeDeleted")
    azure.remove(path_of(azure))
    assert azure.get(path_of(azure)).status_code == 404
    azure.remove(subnet)


def test_its_size_place_and_subnet_never_change(azure: Azure, subnet: str) -> None:
    azure.make(path_of(azure), body_of(subnet))
    changes: list[Any] = [{"tib": 16}, {"zones": ["2"]}, {"sku": "125", "tib": 16}]
    for change in changes:
        azure.refused(azure.put(path_of(azure), body_of(subnet, **change)), 409, "PropertyChangeNotAllowed")


def test_azures_sdk_makes_changes_and_deletes_a_file_system(azure: Azure, subnet: str, azure_client: Client) -> None:
    systems = azure_client(StorageCacheManagementClient).aml_filesystems
    made = systems.begin_create_or_update("rg", "scratch", body_of(subnet)).result()
    assert made.client_info.mgs_address == "10.0.1.126"
    window = {"maintenanceWindow": {"dayOfWeek": "Friday", "timeOfDayUTC": "22:00"}}
    changed = systems.begin_update("rg", "scratch", {"properties": window}).result()
    assert changed.maintenance_window.day_of_week == "Friday"
    assert [one.name for one in systems.list()] == ["scratch"]
    systems.begin_delete("rg", "scratch").result()
    assert list(systems.list_by_resource_group("rg")) == []
