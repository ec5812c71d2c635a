from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from arm.ids import IncompleteInputsError
from recovery.azure import Azure, AzureUnreadableError
from recovery.locks import Lock, living, read_locks
from recovery.plan import (
    UNKNOWN,
    Candidate,
    Plan,
    adopt_pending,
    adopt_planned,
    foreign_owner,
    pending_candidate,
    planned_candidates,
)
from recovery.state import Adoption, Pending, State

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP_ID = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
VNET_ID = f"{GROUP_ID}/providers/Microsoft.Network/virtualNetworks/vnet"
SUBNET_ID = f"{VNET_ID}/subnets/nodes"
STACK = "urn:pulumi:dev::trainyard::pulumi:pulumi:Stack::trainyard-dev"
PROVIDER = "urn:pulumi:dev::trainyard::pulumi:providers:azure-native::default"
TAGS = {"trainyard-project": "trainyard", "trainyard-stack": "dev"}
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}


def _urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::trainyard::{kind}::{name}"


def _resource(kind: str, name: str, inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "urn": _urn(kind, name),
        "type": kind,
        "custom": True,
        "inputs": inputs,
        "parent": STACK,
        "provider": f"{PROVIDER}::some-id",
        **more,
    }


def _vnet(**inputs: Any) -> dict[str, Any]:
    return _resource(
        "azure-native:network:VirtualNetwork",
        "vnet",
        {"resourceGroupName": "rg", "virtualNetworkName": "vnet", "tags": dict(TAGS), **inputs},
    )


def _subnet(**inputs: Any) -> dict[str, Any]:
    names = {"resourceGroupName": "rg", "virtualNetworkName": "vnet", "subnetName": "nodes"}
    return _resource("azure-native:network:Subnet", "nodes", {**names, **inputs})


def _state(*resources: dict[str, Any], pending: tuple[tuple[str, dict[str, Any]], ...] = ()) -> State:
    own: list[dict[str, Any]] = [
        {"urn": STACK, "type": "pulumi:pulumi:Stack", "custom": False},
        {"urn": PROVIDER, "type": "pulumi:providers:azure-native", "custom": True, "id": "some-id", "inputs": {}},
    ]
    operations = [{"type": kind, "resource": resource} for kind, resource in pending]
    return State({"version": 3, "deployment": {"resources": [*own, *resources], "pending_operations": operations}})


def _event(resource: dict[str, Any], op: str = "create") -> dict[str, Any]:
    return {"resourcePreEvent": {"metadata": {"op": op, "new": resource}}}


# what is pending


def test_a_pending_creation_is_looked_for_under_its_id() -> None:
    state = _state(pending=(("creating", _vnet()),))
    [pending] = state.pending

    found = pending_candidate(pending, state, SUBSCRIPTION)

    assert found
    assert (found.resource_id, found.api_version) == (VNET_ID, "2024-05-01")


def test_the_providers_own_subscription_wins_over_the_environments() -> None:
    state = _state()
    state.resources[1]["inputs"] = {"subscriptionId": "other"}

    found = pending_candidate(Pending("creating", _vnet()), state, SUBSCRIPTION)

    assert found
    assert found.resource_id.startswith("/subscriptions/other/")


@pytest.mark.parametrize("kind", ["updating", "deleting", "reading", "importing"])
def test_other_operations_leave_nothing_to_look_for(kind: str) -> None:
    assert pending_candidate(Pending(kind, _vnet()), _state(), SUBSCRIPTION) is None


def test_a_pending_kubernetes_object_leaves_nothing_to_look_for() -> None:
    resource = _resource("kubernetes:core/v1:Namespace", "ns", {})

    assert pending_candidate(Pending("creating", resource), _state(), SUBSCRIPTION) is None


def test_without_a_subscription_the_remedy_is_named() -> None:
    with pytest.raises(IncompleteInputsError, match="ARM_SUBSCRIPTION_ID"):
        pending_candidate(Pending("creating", _vnet()), _state(), None)


def test_what_azure_has_is_taken_in_with_its_own_id_and_outputs_and_the_pending_inputs() -> None:
    state = _state(pending=(("creating", _vnet()),))
    candidate = pending_candidate(state.pending[0], state, SUBSCRIPTION)
    assert candidate
    plan = Plan()
    adopt_pending(
        plan, candidate, {"id": VNET_ID.upper(), "name": "vnet", "properties": {"provisioningState": "Succeeded"}}
    )

    after = State(state.mended(plan.adopt, forget_pending=True))

    [entry] = [one for one in after.resources if one["type"] == "azure-native:network:VirtualNetwork"]
    assert entry["id"] == VNET_ID.upper()
    assert entry["inputs"] == _vnet()["inputs"]
    assert entry["outputs"]["provisioningState"] == "Succeeded"
    assert "initErrors" not in entry
    assert after.pending == []
    assert len(state.pending) == 1, "the state that is kept as a copy was changed"


def test_a_creation_that_failed_on_azure_is_sent_again_by_the_next_deployment() -> None:
    candidate = Candidate(_vnet(), VNET_ID, "v")
    plan = Plan()
    adopt_pending(plan, candidate, {"id": VNET_ID, "properties": {"provisioningState": "Failed"}})

    entry = _state().mended(plan.adopt, forget_pending=True)["deployment"]["resources"][-1]

    assert entry["initErrors"] == ["its creation ended as failed on Azure"]


def test_a_secret_input_stays_secret_among_the_outputs() -> None:
    adoption = Adoption(_vnet(flowTimeoutInMinutes=SECRET), VNET_ID, {"flowTimeoutInMinutes": 5, "name": "vnet"})

    entry = _state().mended([adoption], forget_pending=True)["deployment"]["resources"][-1]

    assert entry["outputs"] == {"flowTimeoutInMinutes": SECRET, "name": "vnet"}


def test_of_a_replacement_the_old_resource_is_kept_to_be_deleted() -> None:
    old = {**_vnet(), "id": "/old"}

    resources = State(_state(old).mended([Adoption(_vnet(), VNET_ID, {})], forget_pending=True)).resources

    assert [(one["id"], one.get("delete", False)) for one in resources[2:]] == [("/old", True), (VNET_ID, False)]


def test_of_a_replacement_whose_old_resource_is_deleted_already_none_is_kept() -> None:
    old = {**_vnet(), "id": "/old", "pendingReplacement": True}

    resources = State(_state(old).mended([Adoption(_vnet(), VNET_ID, {})], forget_pending=True)).resources

    assert [one["id"] for one in resources[2:]] == [VNET_ID]


# what nobody recorded


def test_planned_creations_are_looked_for_where_their_id_is_known_and_new() -> None:
    events: list[dict[str, Any]] = [
        _event(_vnet()),
        _event(_subnet(), "create-replacement"),
        _event(_vnet(virtualNetworkName="same"), "same"),
        _event(_vnet(virtualNetworkName=UNKNOWN)),
        _event(_resource("kubernetes:core/v1:Namespace", "ns", {})),
        {"diagnosticEvent": {}},
    ]

    found = planned_candidates(events, _state({**_vnet(), "id": VNET_ID.upper()}), SUBSCRIPTION)

    assert [one.resource_id for one in found] == [SUBNET_ID]


def test_a_planned_resource_that_carries_our_tags_is_taken_in_with_its_unknowns_filled() -> None:
    candidate = Candidate(_vnet(ddosProtectionPlan={"id": UNKNOWN}, location=UNKNOWN), VNET_ID, "v")
    document = {
        "id": VNET_ID,
        "location": "westeurope",
        "tags": TAGS,
        "properties": {"ddosProtectionPlan": {"id": "/d"}},
    }
    plan = Plan()

    adopt_planned(plan, candidate, document, _state(), project="trainyard", stack="dev")

    [adoption] = plan.adopt
    assert adoption.resource["inputs"]["ddosProtectionPlan"] == {"id": "/d"}
    assert adoption.resource["inputs"]["location"] == "westeurope"
    assert plan.refused == []


def test_a_planned_resource_whose_parent_in_the_program_is_not_recorded_is_refused() -> None:
    candidate = Candidate({**_vnet(), "parent": _urn("trainyard:components:Network", "network")}, VNET_ID, "v")
    plan = Plan()

    adopt_planned(plan, candidate, {"tags": TAGS}, _state(), project="trainyard", stack="dev")

    assert plan.adopt == []
    assert "trainyard:components:Network" in plan.refused[0]


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({**TAGS, "trainyard-stack": "prod"}, "project trainyard, stack prod"),
        ({"trainyard-project": "trainyard"}, "project trainyard, stack None"),
        ({}, "does not carry the tags"),
    ],
)
def test_a_resource_without_exactly_our_tags_is_somebody_elses(tags: dict[str, str], reason: str) -> None:
    group = {**_resource("azure-native:resources:ResourceGroup", "rg", {}), "id": GROUP_ID}
    candidate = Candidate(_vnet(), VNET_ID, "v")
    plan = Plan()

    adopt_planned(plan, candidate, {"tags": tags}, _state(group), project="trainyard", stack="dev")

    assert plan.adopt == []
    assert reason in plan.refused[0]
    assert VNET_ID in plan.refused[0]


def test_what_cannot_carry_tags_is_ours_when_it_lies_in_a_resource_of_ours() -> None:
    candidate = Candidate(_subnet(), SUBNET_ID, "v")
    ours = _state({**_vnet(), "id": VNET_ID.upper()})

    assert foreign_owner(candidate, {}, ours, [], project="trainyard", stack="dev") is None
    assert foreign_owner(candidate, {}, _state(), [], project="trainyard", stack="dev")


def test_what_lies_in_a_resource_taken_in_just_now_is_ours_too() -> None:
    candidate = Candidate(_subnet(), SUBNET_ID, "v")

    assert foreign_owner(candidate, {}, _state(), [Adoption(_vnet(), VNET_ID, {})], project="p", stack="s") is None


# locks


def _lock(pid: int = 1, host: str = "here") -> Lock:
    return Lock(Path("lock.json"), pid, host, "me", "2026-01-01T00:00:00Z")


def test_only_locks_of_dead_engines_of_this_machine_may_be_broken() -> None:
    locks = [_lock(1), _lock(2), _lock(3, "elsewhere")]

    assert living(locks, "here", lambda pid: pid == 2) == [locks[1], locks[2]]


def test_a_process_that_is_no_engine_does_not_hold_a_lock() -> None:

    [lock] = living([_lock(os.getpid(), "elsewhere")], "here")
    assert lock.host == "elsewhere"
    assert living([_lock(os.getpid())], "here") == []


def test_locks_are_read_from_a_file_backend_and_from_no_other(tmp_path: Path) -> None:
    folder = tmp_path / ".pulumi" / "locks" / "organization" / "trainyard" / "dev"
    folder.mkdir(parents=True)
    content = {"pid": 7, "hostname": "h", "username": "u", "timestamp": "t"}
    (folder / "x.json").write_text(json.dumps(content))

    [lock] = read_locks(f"file://{tmp_path}", "organization", "trainyard", "dev")

    assert (lock.pid, lock.host) == (7, "h")
    assert read_locks(f"file://{tmp_path}", "organization", "trainyard", "prod") == []
    assert read_locks("https://api.pulumi.com", "organization", "trainyard", "dev") == []


# Azure's answers


class _Answers:
    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    def get_by_id(self, *_: Any, **__: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _azure(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> tuple[Azure, list[str]]:
    said: list[str] = []
    azure = Azure({"ARM_ENDPOINT": "https://127.0.0.1:1"}, SUBSCRIPTION, said.append)
    monkeypatch.setattr(azure, "_resources", _Answers(*answers))
    monkeypatch.setattr("recovery.azure._LOOK_EVERY", 0)
    return azure, said


def _refused(status: int) -> HttpResponseError:
    error = HttpResponseError(message=f"refused with {status}")
    error.status_code = status
    return error


def test_not_found_means_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    azure, _ = _azure(monkeypatch, ResourceNotFoundError("no"))

    assert azure.look(Candidate(_vnet(), VNET_ID, "v")) is None


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (_refused(403), "this sign-in may not read it"),
        (_refused(500), "refused with 500"),
        (ClientAuthenticationError("no token"), "az login"),
    ],
)
def test_anything_else_means_unknown_and_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, words: str
) -> None:
    azure, _ = _azure(monkeypatch, failure)

    with pytest.raises(AzureUnreadableError, match=words):
        azure.look(Candidate(_vnet(), VNET_ID, "v"))


def test_a_resource_that_azure_is_still_at_work_on_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    creating = {"properties": {"provisioningState": "Creating"}}
    done = {"properties": {"provisioningState": "Succeeded"}}
    azure, said = _azure(monkeypatch, creating, creating, done)

    assert azure.look(Candidate(_vnet(), VNET_ID, "v")) == done
    assert said == ["waiting for VirtualNetwork vnet: Azure is still at work on it"]


def test_what_is_being_deleted_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    azure, _ = _azure(monkeypatch, {"properties": {"provisioningState": "Deleting"}}, ResourceNotFoundError("no"))

    assert azure.look(Candidate(_vnet(), VNET_ID, "v")) is None
