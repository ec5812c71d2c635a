"""Data that was kept when its stack was destroyed, and how the next deployment gets it back."""

from __future__ import annotations

import pytest

from tests.sandbox.azure_native.workbench import Workbench

pytestmark = pytest.mark.control_plane

GROUP = "/resourceGroups/kept"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/takeovertest"
CONTAINER = f"{ACCOUNT}/blobServices/default/containers/raw"
PROGRAM = """from pulumi_azure_native import storage
class Data(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("trainyard:components:Data", "data")
        mine = pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        group = resources.ResourceGroup("kept", resource_group_name="kept", location="westeurope", tags=TAGS, opts=mine)
        account = storage.StorageAccount("kept", resource_group_name=group.name, account_name="takeovertest",
            location="westeurope", kind="StorageV2", sku={"name": "Standard_LRS"}, tags=TAGS, opts=mine)
        storage.BlobServiceProperties("kept", resource_group_name=group.name, account_name=account.name,
            blob_services_name="default", delete_retention_policy={"enabled": True, "days": 7}, opts=mine)
        storage.BlobContainer("raw", resource_group_name=group.name, account_name=account.name, container_name="raw",
            opts=mine)
        self.register_outputs({})

Data()
resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope", tags=TAGS)
"""


def _taken(bench: Workbench) -> set[str]:
    ids = [one["id"] for one in bench.state().get("resources", []) if "/resourceGroups/" in one.get("id", "")]
    return {one[one.index("/resourceGroups/") :] for one in ids}


def _destroyed(bench: Workbench) -> None:
    bench.program(PROGRAM)
    bench.pulumi("up", "--yes", "--skip-preview")
    bench.pulumi("destroy", "--yes", "--skip-preview")
    assert _taken(bench) == set()
    assert bench.arm("GET", CONTAINER).status_code == 200, "data that was to be kept is gone"


def test_a_deployment_after_a_destroy_says_that_kept_data_is_there_and_takes_nothing(bench: Workbench) -> None:
    _destroyed(bench)
    assert "already existing" in bench.pulumi("up", "--yes", "--skip-preview", fails=True)
    assert GROUP not in _taken(bench)


@pytest.mark.parametrize("tried", [False, True], ids=["at once", "after a deployment that was refused"])
def test_kept_data_is_taken_over_whole_and_the_deployment_goes_on(bench: Workbench, tried: bool) -> None:
    _destroyed(bench)
    created = bench.arm("GET", ACCOUNT).json()["properties"]["creationTime"]
    if tried:
        bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    status, said = bench.recover()
    assert status == 2, said
    assert GROUP in said
    status, said = bench.recover("--yes")

    assert status == 0, said
    assert {GROUP, ACCOUNT, CONTAINER} <= _taken(bench)
    bench.pulumi("up", "--yes", "--skip-preview", "--refresh")
    bench.pulumi("preview", "--expect-no-changes")
    assert bench.arm("GET", ACCOUNT).json()["properties"]["creationTime"] == created, "the account was made anew"
    kept = [one["type"].rpartition(":")[2] for one in bench.state()["resources"] if one.get("retainOnDelete")]
    assert sorted(kept) == ["BlobContainer", "BlobServiceProperties", "ResourceGroup", "StorageAccount"]


def test_a_container_taken_out_and_put_back_is_taken_over(bench: Workbench) -> None:
    bench.program(PROGRAM)
    bench.pulumi("up", "--yes", "--skip-preview")
    start, end = PROGRAM.index("        storage.BlobContainer("), PROGRAM.index("        self.register_outputs")
    bench.program(PROGRAM[:start] + PROGRAM[end:])
    bench.pulumi("up", "--yes", "--skip-preview")
    assert CONTAINER not in _taken(bench)
    bench.program(PROGRAM)
    assert "already existing" in bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    status, said = bench.recover("--yes")

    assert status == 0, said
    assert CONTAINER in _taken(bench)
    bench.pulumi("up", "--yes", "--skip-preview")


def test_kept_data_of_another_stack_is_left_alone(bench: Workbench) -> None:
    _destroyed(bench)
    tags = {"trainyard-project": "trial", "trainyard-stack": "other"}
    bench.arm("PUT", GROUP, body={"location": "westeurope", "tags": tags})

    status, said = bench.recover("--yes")

    assert status == 1, said
    assert "stack other" in said
    assert _taken(bench) == set()
