"""Managed disks, over real HTTPS and through Azure's own SDK."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError
from azure.mgmt.compute import ComputeManagementClient

from sandbox.azure.container_service import INSTANCE_TYPE
from sandbox.azure.store import Resource, Store
from tests.sandbox.azure.conftest import Azure


def disk_body(size: int | None = 128, sku: str = "Premium_LRS", **more: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {"creationData": {"createOption": "Empty"}, **more.pop("properties", {})}
    if size is not None:
        properties["diskSizeGB"] = size
    return {"location": "westeurope", "sku": {"name": sku}, "properties": properties, **more}


def path_of(azure: Azure, name: str = "data") -> str:
    return f"{azure.group}/providers/Microsoft.Compute/disks/{name}"


def machine(azure: Azure, number: int = 0, zone: str | None = None) -> str:
    """A machine of a scale set, as AKS would have made it."""
    scale_set = f"{azure.group}/providers/Microsoft.Compute/virtualMachineScaleSets/aks"
    identifier = f"{scale_set}/virtualMachines/{number}"
    body = {"id": identifier, "name": str(number), "type": INSTANCE_TYPE, **({"zones": [zone]} if zone else {})}
    store = Store(azure.home.azure_db)
    with store.transaction():
        store.put(Resource(identifier, INSTANCE_TYPE, str(number), body, 0, 0))
    store.close()
    return identifier


def attach(azure: Azure, disk: str, to: str, what: str = "attach") -> requests.Response:
    body = {"disk": disk, "machine": to}
    return azure.call("POST", f"/sandbox/disks/{what}", body, token=azure.config.internal_token)


def test_a_disk_has_the_iops_of_its_size_and_is_attached_to_nothing(azure: Azure) -> None:
    made = azure.make(path_of(azure), disk_body(100, zones=["2"]))
    properties = made["properties"]
    assert made["zones"] == ["2"]
    assert made["sku"] == {"name": "Premium_LRS", "tier": "Premium"}
    assert (properties["diskSizeGB"], properties["tier"]) == (100, "P10")
    assert (properties["diskIOPSReadWrite"], properties["diskMBpsReadWrite"]) == (500, 100)
    assert (properties["diskState"], properties["provisioningState"]) == ("Unattached", "Succeeded")
    assert "managedBy" not in made


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (disk_body(None), "missing"),
        (disk_body(0), "between '1' and '32767'"),
        (disk_body(32768), "between '1' and '32767'"),
        (disk_body(zones=["1", "2"]), "one zone"),
        (disk_body(sku="Premium_ZRS", zones=["1"]), "all zones"),
        (disk_body(sku="PremiumV2_LRS"), "must name its availability zone"),
        (disk_body(properties={"diskIOPSReadWrite": 9000}), "settable only for"),
        (disk_body(10, "PremiumV2_LRS", zones=["1"], properties={"diskIOPSReadWrite": 5001}), "'3000' and '5000'"),
        (disk_body(64, "PremiumV2_LRS", zones=["1"], properties={"diskMBpsReadWrite": 751}), "'125' and '750'"),
        (disk_body(properties={"maxShares": 16}), "maxShares"),
        (disk_body(properties={"creationData": {"createOption": "Copy", "sourceResourceId": "/nothing"}}), "no disk"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_disk_that_azure_does_not_sell_is_refused(azure: Azure, body: dict[str, Any], words: str) -> None:
    assert words in azure.refused(azure.put(path_of(azure), body), 400, "InvalidParameter")


def test_a_zone_must_be_one_of_the_region(azure: Azure) -> None:
    azure.refused(azure.put(path_of(azure), disk_body(zones=["4"])), 400, "AvailabilityZoneNotSupported")
    elsewhere = {**disk_body(zones=["1"]), "location": "westus"}
    azure.refused(azure.put(path_of(azure), elsewhere), 400, "LocationNotSupportAvailabilityZones")
    without = {**disk_body(sku="Premium_ZRS"), "location": "westus"}
    azure.refused(azure.put(path_of(azure), without), 400, "InvalidParameter")


def test_an_unknown_kind_is_refused_with_the_known_ones(azure: Azure) -> None:
    answer = azure.put(path_of(azure), disk_body(sku="Premium_GRS"))
    assert "PremiumV2_LRS" in azure.refused(answer, 400, "InvalidRequestContent")


def test_a_disk_only_grows_and_keeps_what_a_patch_leaves_out(azure: Azure) -> None:
    path = path_of(azure)
    before = azure.make(path, disk_body(128))
    grown = azure.call("PATCH", path, {"properties": {"diskSizeGB": 256}})
    assert azure.wait(grown) == "Succeeded"
    after = azure.get(path).json()
    assert after["properties"]["diskSizeGB"] == 256
    assert after["properties"]["tier"] == "P15"
    assert after["properties"]["uniqueId"] == before["properties"]["uniqueId"]
    shrunk = azure.call("PATCH", path, {"properties": {"diskSizeGB": 200}})
    assert "only grow" in azure.refused(shrunk, 409, "OperationNotAllowed")
    assert azure.get(path).json()["properties"]["diskSizeGB"] == 256


def test_a_disks_zone_never_changes_and_its_kind_only_between_the_plain_ones(azure: Azure) -> None:
    path = path_of(azure)
    azure.make(path, disk_body(zones=["1"]))
    azure.refused(azure.put(path, disk_body(zones=["2"])), 409, "PropertyChangeNotAllowed")
    v2 = disk_body(sku="PremiumV2_LRS", zones=["1"])
    azure.refused(azure.put(path, v2), 409, "OperationNotAllowed")
    assert azure.make(path, disk_body(sku="StandardSSD_LRS", zones=["1"]))["sku"]["name"] == "StandardSSD_LRS"


def test_an_attached_disk_is_not_deleted_nor_changed_in_kind(azure: Azure) -> None:
    path, node = path_of(azure), machine(azure)
    azure.make(path, disk_body())
    assert attach(azure, path, node).status_code == 200
    shown = azure.get(path).json()
    assert (shown["managedBy"], shown["properties"]["diskState"]) == (node, "Attached")
    assert node in azure.refused(azure.call("DELETE", path), 409, "OperationNotAllowed")
    azure.refused(azure.put(path, disk_body(sku="Standard_LRS")), 409, "OperationNotAllowed")
    assert azure.make(path, disk_body(256))["managedBy"] == node, "a disk grows while it is attached, and stays so"
    assert attach(azure, path, node, "detach").status_code == 200
    assert azure.get(path).json()["properties"]["diskState"] == "Unattached"
    azure.remove(path)
    assert azure.get(path).status_code == 404


def test_a_disk_goes_to_one_machine_of_its_own_zone(azure: Azure) -> None:
    path = path_of(azure)
    azure.make(path, disk_body(zones=["1"]))
    near, far, other = machine(azure, 0, "1"), machine(azure, 1, "2"), machine(azure, 2, "1")
    azure.refused(attach(azure, path, far), 400, "BadRequest")
    assert attach(azure, path, near).status_code == 200
    assert attach(azure, path, near).status_code == 200, "attaching again changes nothing"
    azure.refused(attach(azure, path, other), 409, "OperationNotAllowed")
    body = {"disk": path, "machine": near}
    azure.refused(azure.call("POST", "/sandbox/disks/attach", body), 403, "Forbidden")


def test_a_shared_disk_goes_to_several(azure: Azure) -> None:
    path = path_of(azure)
    azure.make(path, disk_body(1024, properties={"maxShares": 2}))
    nodes = [machine(azure, number) for number in range(3)]
    assert [attach(azure, path, one).status_code for one in nodes] == [200, 200, 409]
    assert azure.get(path).json()["managedByExtended"] == nodes[:2]


def test_azures_sdk_makes_lists_grows_and_deletes_disks(azure: Azure, azure_client: Any) -> None:
    disks = azure_client(ComputeManagementClient).disks
    made = disks.begin_create_or_update("rg", "data", disk_body(4096, zones=["3"])).result()
    assert made.disk_iops_read_write == 7500
    assert [one.name for one in disks.list()] == ["data"]
    assert [one.name for one in disks.list_by_resource_group("rg")] == ["data"]
    assert disks.begin_update("rg", "data", {"properties": {"diskSizeGB": 8192}}).result().disk_size_gb == 8192
    with pytest.raises(HttpResponseError, match="only grow"):
        disks.begin_update("rg", "data", {"properties": {"diskSizeGB": 4096}}).result()
    copied = disks.begin_create_or_update(
        "rg",
        "copy",
        disk_body(None, properties={"creationData": {"createOption": "Copy", "sourceResourceId": made.id}}),
    ).result()
    assert copied.disk_size_gb == 8192
    disks.begin_delete("rg", "data").result()
    assert [one.name for one in disks.list()] == ["copy"]
