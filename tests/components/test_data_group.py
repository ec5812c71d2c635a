"""What outlives the stack, and what does not."""

from __future__ import annotations

from typing import Any, cast

from components.data_group import DISK_ACTIONS
from infra.platform import Platform
from stacks.settings import Stack
from tests.components.recorder import Recorder, record
from tests.components.stacks import SHARES, environment, stack

GROUP = "rg-trainyard-test-westeurope-data"
HOLDS_DATA = {
    "azure-native:storage:StorageAccount",
    "azure-native:storage:FileServiceProperties",
    "azure-native:storage:FileShare",
    "azure-native:storage:BlobServiceProperties",
    "azure-native:storage:BlobContainer",
}


def platform(**storage: Any) -> Recorder:
    wanted: dict[str, Any] = {"files": {"shares": SHARES}, "blob": {"containers": {"raw": {}}}, **storage}
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(storage=wanted)))


def kept(made: Recorder) -> set[tuple[str, str]]:
    return {(one.type, one.name) for one in made.made if one.retain_on_delete}


def test_by_default_everything_that_holds_data_stays_and_nothing_else() -> None:
    made = platform()
    wanted = {(one.type, one.name) for one in made.made if one.type in HOLDS_DATA}
    assert {kind for kind, _ in wanted} == HOLDS_DATA
    assert kept(made) == wanted | {("azure-native:resources:ResourceGroup", "data")}


def test_nothing_stays_where_data_may_be_deleted() -> None:
    assert kept(platform(deleteData=True)) == set()


def test_what_stays_is_named_and_nothing_else() -> None:
    wanted = stack(storage={"files": {"shares": SHARES, "dynamic": False}, "blob": {"containers": ["raw", "clean"]}})
    named: list[str] = []
    record(lambda: named.extend(_kept_output(wanted)))
    assert named[0] == f"resource group {GROUP}"
    assert [one.partition(" with ")[2] for one in named[1:]] == [
        "its share datasets",
        "its share code",
        "its containers raw, clean",
    ]


def test_nothing_is_named_where_data_may_be_deleted() -> None:
    named: list[list[str]] = []
    record(lambda: named.append(_kept_output(stack(storage={"files": {"shares": SHARES}, "deleteData": True}))))
    assert named == [[]]


def _kept_output(settings: Stack) -> list[str]:
    return cast(list[str], Platform("trainyard", environment=environment(), settings=settings).outputs["keptOnDestroy"])


def test_what_stays_lies_in_the_data_group_and_what_goes_does_not() -> None:
    for one in platform().made:
        if one.type in HOLDS_DATA:
            assert one.inputs["resourceGroupName"] == GROUP, one.name
        elif one.type == "azure-native:network:PrivateEndpoint":
            assert one.inputs["resourceGroupName"] != GROUP, "an endpoint goes with its network"


def test_the_cluster_may_make_disks_in_the_group_and_nowhere_else() -> None:
    made = platform()
    role = made.one("azure-native:authorization:RoleDefinition", "data-disks").inputs
    [permission] = role["permissions"]
    assert permission["actions"] == list(DISK_ACTIONS)
    given = made.one("azure-native:authorization:RoleAssignment", "data-disks").inputs
    assert (given["scope"], given["principalId"]) == ("/id/data", "principal-identity")
