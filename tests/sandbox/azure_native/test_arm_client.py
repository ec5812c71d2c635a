import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sandbox.providers.azure_native import arm_client, resources
from sandbox.providers.azure_native.arm_client import ArmRequestError, UnfinishedError
from tests.sandbox.azure_native.fake_arm import Call, FakeArm, fake_arm

Answer = tuple[int, Any, dict[str, str]]
GROUP = "/subscriptions/s/resourceGroups/rg"
NONE: Answer = (404, {"error": {"code": "ResourceNotFound", "message": "gone"}}, {})


def _run(answer: Callable[[FakeArm, Call], Answer], use: Callable[[FakeArm], Coroutine[Any, Any, Any]]) -> Any:
    async def all_of_it() -> Any:
        async with fake_arm(answer) as fake:
            return await use(fake)

    return asyncio.run(all_of_it())


def _always(answer: Answer) -> Callable[[FakeArm, Call], Answer]:
    def handler(fake: FakeArm, call: Call) -> Answer:
        return answer

    return handler


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr(arm_client, "POLL_SECONDS", 0.01)


def test_an_operation_is_followed_to_its_end_at_the_address_that_azure_gives() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.method == "PUT":
            return 201, {}, {"Azure-AsyncOperation": f"{fake.base}/operations/1?api-version=x"}
        return 200, {"status": "Succeeded" if call.number == 3 else "InProgress"}, {"Retry-After": "0"}

    async def use(fake: FakeArm) -> list[str]:
        await fake.arm.put(GROUP, "v", {}, 10)
        return fake.methods

    assert _run(answer, use) == ["PUT", "GET", "GET", "GET"]


def test_a_location_is_followed_while_it_answers_202_and_gets_an_api_version() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.method == "DELETE":
            return 202, None, {"Location": "/results/1"}
        return (200 if call.number == 2 else 202), {}, {"Retry-After": "0"}

    async def use(fake: FakeArm) -> list[Call]:
        await fake.arm.delete(GROUP, "v", 10)
        return fake.calls

    calls = _run(answer, use)
    assert [(call.method, call.path) for call in calls[1:]] == [("GET", "/results/1")] * 2
    assert calls[1].query == {"api-version": "v"}


def test_without_any_address_the_resource_itself_is_looked_at() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        state = "Succeeded" if call.number == 2 else "Creating"
        return 200, {"properties": {"provisioningState": state}}, {"Retry-After": "0"}

    async def use(fake: FakeArm) -> list[str]:
        await fake.arm.put(GROUP, "v", {}, 10)
        return fake.methods

    assert _run(answer, use) == ["PUT", "GET", "GET"]


def test_an_operation_that_fails_says_what_azure_says() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.method == "PUT":
            return 202, {}, {"Azure-AsyncOperation": f"{fake.base}/operations/1"}
        return 200, {"status": "Failed", "error": {"code": "QuotaExceeded", "message": "no cores"}}, {}

    async def use(fake: FakeArm) -> None:
        await fake.arm.put(GROUP, "v", {}, 10)

    with pytest.raises(UnfinishedError, match='Code="QuotaExceeded" Message="no cores"'):
        _run(answer, use)


def test_an_operation_that_takes_too_long_is_given_up_with_its_time() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.method == "PUT":
            return 202, {}, {"Azure-AsyncOperation": f"{fake.base}/operations/1"}
        return 200, {"status": "InProgress"}, {"Retry-After": "0"}

    async def use(fake: FakeArm) -> None:
        await fake.arm.put(GROUP, "v", {}, 0.3)

    with pytest.raises(UnfinishedError, match=r"within 0\.3 seconds"):
        _run(answer, use)


@pytest.mark.parametrize(
    "refusal",
    [
        (429, {"error": {"code": "TooManyRequests", "message": "wait"}}),
        (503, {"error": {"code": "ServerBusy", "message": "wait"}}),
        (409, {"error": {"code": "AnotherOperationInProgress", "message": "wait"}}),
    ],
)
def test_what_passes_by_itself_is_tried_again_after_the_time_azure_gives(refusal: tuple[int, Any]) -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        return (*refusal, {"Retry-After": "0"}) if call.number < 2 else (200, {"name": "rg"}, {})

    async def use(fake: FakeArm) -> Any:
        return await fake.arm.get(GROUP, "v"), len(fake.calls)

    assert _run(answer, use) == ({"name": "rg"}, 3)


def test_a_conflict_that_does_not_pass_is_told_at_once() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        return 409, {"error": {"code": "InUseSubnetCannotBeDeleted", "message": "in use"}}, {}

    async def use(fake: FakeArm) -> None:
        try:
            await fake.arm.put(GROUP, "v", {}, 10)
        finally:
            assert len(fake.calls) == 1

    with pytest.raises(ArmRequestError, match='Status=409 Code="InUseSubnetCannotBeDeleted" Message="in use"'):
        _run(answer, use)


def test_retries_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm_client, "RETRY_SECONDS", 0.05)

    async def use(fake: FakeArm) -> None:
        await fake.arm.get(GROUP, "v")

    with pytest.raises(ArmRequestError, match="Status=500"):
        _run(_always((500, {"code": "InternalError", "message": "flat form"}, {})), use)


def test_a_resource_that_is_there_is_not_created_again() -> None:
    async def use(fake: FakeArm) -> None:
        inputs = {"resourceGroupName": "rg", "location": "westeurope"}
        try:
            await resources.create(fake.arm, "azure-native:resources:ResourceGroup", inputs, "s", 10)
        finally:
            assert fake.methods == ["GET"]

    with pytest.raises(FileExistsError, match=f"cannot create already existing resource '{GROUP}'"):
        _run(_always((200, {"name": "rg"}, {})), use)


def test_a_creation_that_fails_half_way_keeps_what_is_there() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.path.startswith("/operations"):
            return 200, {"status": "Failed", "error": {"code": "AllocationFailed", "message": "no room"}}, {}
        if call.method == "PUT":
            return 201, {}, {"Azure-AsyncOperation": f"{fake.base}/operations/1"}
        return NONE if call.number == 0 else (200, {"id": GROUP, "name": "rg", "location": "westeurope"}, {})

    async def use(fake: FakeArm) -> None:
        inputs = {"resourceGroupName": "rg", "location": "westeurope"}
        await resources.create(fake.arm, "azure-native:resources:ResourceGroup", inputs, "s", 10)

    with pytest.raises(resources.PartialFailureError, match="no room") as caught:
        _run(answer, use)
    assert caught.value.resource_id == GROUP
    assert caught.value.outputs["name"] == "rg"


def test_a_creation_that_fails_and_leaves_nothing_is_a_plain_failure() -> None:
    def answer(fake: FakeArm, call: Call) -> Answer:
        if call.path.startswith("/operations"):
            return 200, {"status": "Failed", "error": {"code": "AllocationFailed", "message": "no room"}}, {}
        return (201, {}, {"Azure-AsyncOperation": f"{fake.base}/operations/1"}) if call.method == "PUT" else NONE

    async def use(fake: FakeArm) -> None:
        inputs = {"resourceGroupName": "rg", "location": "westeurope"}
        await resources.create(fake.arm, "azure-native:resources:ResourceGroup", inputs, "s", 10)

    with pytest.raises(ArmRequestError, match="no room"):
        _run(answer, use)


def test_what_is_gone_already_can_be_deleted() -> None:
    async def use(fake: FakeArm) -> list[str]:
        await resources.delete(fake.arm, "azure-native:resources:ResourceGroup", GROUP, 10)
        return fake.methods

    assert _run(_always(NONE), use) == ["DELETE"]


def test_a_service_of_an_account_is_reset_instead_of_deleted() -> None:
    service = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a/fileServices/default"

    async def use(fake: FakeArm) -> tuple[str, Any]:
        await resources.delete(fake.arm, "azure-native:storage:FileServiceProperties", service, 10)
        [call] = fake.calls
        return call.method, call.body

    assert _run(_always((200, {}, {})), use) == ("PUT", {})


def test_an_import_makes_up_inputs_without_what_says_nothing() -> None:
    document = {
        "id": GROUP,
        "name": "rg",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "westeurope",
        "tags": {},
        "properties": {"provisioningState": "Succeeded"},
    }

    async def use(fake: FakeArm) -> Any:
        live = await resources.read(fake.arm, "azure-native:resources:ResourceGroup", GROUP, {}, None)
        return live.inputs if live else None

    assert _run(_always((200, document, {})), use) == {"resourceGroupName": "rg", "location": "westeurope"}


def test_subnets_that_lie_in_resources_of_their_own_do_not_enter_a_networks_inputs() -> None:
    network = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v"
    document = {"id": network, "name": "v", "properties": {"subnets": [{"name": "s"}], "flowTimeoutInMinutes": 5}}
    inputs = {"resourceGroupName": "rg", "virtualNetworkName": "v"}

    async def use(fake: FakeArm) -> Any:
        live = await resources.read(fake.arm, "azure-native:network:VirtualNetwork", network, {"subnets": []}, inputs)
        return live.inputs if live else None

    assert _run(_always((200, document, {})), use) == {**inputs, "flowTimeoutInMinutes": 5}
