"""What Resource Manager itself does, whatever the type: paths, versions, names, tags, lists, cascades, crashes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import certificates
from sandbox.azure import schema_source
from sandbox.azure.behaviour import PLATFORM, Request
from sandbox.azure.errors import ArmError
from sandbox.azure.ids import parse
from sandbox.azure.network_security import NetworkSecurityGroups
from sandbox.azure.pipeline import ResourceManager
from sandbox.azure.resource_groups import ResourceGroups
from sandbox.azure.schemas import cleaned, model_for
from sandbox.azure.store import Resource
from sandbox.home import Home
from tests.sandbox.azure.conftest import Azure, sign_in

IDENTITIES = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/providers/Microsoft.Nothing/things/a", 404, "InvalidResourceNamespace"),
        ("/providers/Microsoft.Network/virtualNetwork/a", 404, "InvalidResourceType"),
        ("/providers/Microsoft.Network/virtualNetworks/a", 404, "ResourceNotFound"),
        ("/providers/Microsoft.Network/virtualNetworks/a/subnets/b", 404, "ParentResourceNotFound"),
        ("/nonsense", 404, "InvalidResourceType"),
        ("//providers", 400, "InvalidResourceId"),
    ],
)
def test_what_is_not_there_is_refused_in_azures_words(azure: Azure, path: str, status: int, code: str) -> None:
    azure.refused(azure.get(azure.group + path), status, code)


def test_a_group_or_subscription_that_is_not_there_is_named(azure: Azure) -> None:
    missing = f"{azure.subscription}/resourceGroups/none{IDENTITIES}/robot"
    azure.refused(azure.put(missing, {"location": "westeurope"}), 404, "ResourceGroupNotFound")
    azure.refused(azure.get("/subscriptions/none/resourceGroups/rg"), 404, "SubscriptionNotFound")


def test_an_api_version_must_be_given_and_look_like_one(azure: Azure) -> None:
    url = f"{azure.home.azure_url}{azure.group}"
    bearer = {"Authorization": f"Bearer {azure.token}"}
    bare = requests.get(url, headers=bearer, verify=str(azure.home.ca_bundle), timeout=20)
    azure.refused(bare, 400, "MissingApiVersionParameter")
    azure.refused(azure.get(f"{azure.group}?api-version=v1"), 400, "InvalidApiVersionParameter")


def test_ids_are_compared_without_case_and_kept_as_first_written(azure: Azure) -> None:
    path = f"{azure.group}{IDENTITIES}/Robot"
    azure.make(path, {"location": "westeurope"})
    assert azure.get(path.lower().replace("/robot", "/ROBOT")).json()["id"] == path


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "LocationRequired"),
        ({"location": "atlantis"}, "LocationNotAvailableForResourceType"),
        ({"location": 5}, "InvalidRequestContent"),
        ({"location": "westeurope", "tags": {"a" * 513: "b"}}, "InvalidTagNameCharacters"),
        ({"location": "westeurope", "tags": {"a": "b" * 257}}, "InvalidTagValue"),
        ({"location": "westeurope", "tags": {str(number): "x" for number in range(51)}}, "TooManyTags"),
        ({"location": "westeurope", "tags": {"a": "b", "A": "c"}}, "DuplicateTagNames"),
        ({"location": "westeurope", "tags": {"a": 5}}, "InvalidRequestContent"),
        ({"location": "westeurope", "sku": {"name": "x"}}, "InvalidRequestContent"),
        (["location"], "InvalidRequestContent"),
        (None, "InvalidRequestContent"),
    ],
)
def test_a_bad_body_is_refused(azure: Azure, body: Any, code: str) -> None:
    azure.refused(azure.put(f"{azure.group}{IDENTITIES}/robot", body), 400, code)


def test_a_body_that_is_no_json_is_refused(azure: Azure) -> None:
    answer = requests.put(
        f"{azure.home.azure_url}{azure.group}?api-version=2024-01-01",
        data=b"{'location'",
        headers={"Authorization": f"Bearer {azure.token}"},
        verify=str(azure.home.ca_bundle),
        timeout=20,
    )
    azure.refused(answer, 400, "InvalidRequestContent")


def test_a_location_never_changes(azure: Azure) -> None:
    path = f"{azure.group}{IDENTITIES}/robot"
    azure.make(path, {"location": "westeurope"})
    azure.refused(azure.put(path, {"location": "northeurope"}), 409, "InvalidResourceLocation")


def test_read_only_properties_are_ignored_and_what_was_read_can_be_put_again(azure: Azure) -> None:
    path = f"{azure.group}{IDENTITIES}/robot"
    made = azure.make(path, {"location": "westeurope"})
    changed = {**made, "properties": {**made["properties"], "principalId": "other"}}
    assert azure.put(path, changed).json()["properties"]["principalId"] == made["properties"]["principalId"]


def test_a_patch_merges_tags_whole_and_refuses_unknown_names(azure: Azure) -> None:
    path = f"{azure.group}{IDENTITIES}/robot"
    azure.make(path, {"location": "westeurope", "tags": {"a": "1", "b": "2"}})
    patched = azure.call("PATCH", path, {"tags": {"c": "3"}})
    assert patched.json()["tags"] == {"c": "3"}
    azure.refused(azure.call("PATCH", path, {"tag": {}}), 400, "InvalidRequestContent")


def test_a_stale_etag_is_refused(azure: Azure) -> None:
    path = f"{azure.group}/providers/Microsoft.Network/networkSecurityGroups/nsg"
    first = azure.make(path, {"location": "westeurope"})["etag"]
    second = azure.make(path, {"location": "westeurope", "tags": {"a": "b"}})["etag"]
    assert first != second
    answer = azure.put(path, {"location": "westeurope"}, If_Match=first)
    azure.refused(answer, 412, "PreconditionFailed")
    assert azure.put(path, {"location": "westeurope"}, If_Match=second).status_code == 200
    azure.refused(azure.put(path, {"location": "westeurope"}, If_None_Match="*"), 412, "PreconditionFailed")


def test_an_operation_can_be_followed_to_its_end(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkSecurityGroups, "creates", 2)
    path = f"{azure.group}/providers/Microsoft.Network/networkSecurityGroups/nsg"
    answer = azure.put(path, {"location": "westeurope"})
    assert answer.status_code == 201
    assert answer.headers["Retry-After"] == "1"
    assert answer.json()["properties"]["provisioningState"] == "Creating"
    azure.refused(azure.put(path, {"location": "westeurope"}), 409, "AnotherOperationInProgress")
    assert azure.wait(answer) == "Succeeded"
    assert azure.get(path).json()["properties"]["provisioningState"] == "Succeeded"


def test_a_group_takes_everything_in_it_along_whatever_uses_what(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResourceGroups, "deletes", 2)
    base = f"{azure.group}/providers/Microsoft.Network"
    azure.make(f"{base}/natGateways/nat", {"location": "westeurope", "sku": {"name": "Standard"}})
    subnet = {"addressPrefix": "10.0.0.0/24", "natGateway": {"id": f"{base}/natGateways/nat"}}
    properties = {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "nodes", "properties": subnet}],
    }
    azure.make(f"{base}/virtualNetworks/net", {"location": "westeurope", "properties": properties})
    answer = azure.call("DELETE", azure.group)
    assert answer.status_code == 202
    late = azure.put(f"{azure.group}{IDENTITIES}/late", {"location": "westeurope"})
    azure.refused(late, 409, "ResourceGroupBeingDeleted")
    assert azure.wait(answer) == "Succeeded"
    azure.refused(azure.get(azure.group), 404, "ResourceGroupNotFound")
    assert azure.get(f"{azure.subscription}/resources").json()["value"] == []


def test_resources_are_listed_by_group_by_subscription_and_by_type(azure: Azure) -> None:
    azure.make(f"{azure.group}{IDENTITIES}/robot", {"location": "westeurope", "tags": {"a": "b"}})
    azure.make(f"{azure.group}/providers/Microsoft.Network/networkSecurityGroups/nsg", {"location": "westeurope"})
    names = [one["name"] for one in azure.get(f"{azure.group}/resources").json()["value"]]
    assert sorted(names) == ["nsg", "robot"]
    kind = "resourceType eq 'Microsoft.ManagedIdentity/userAssignedIdentities'"
    [found] = azure.get(f"{azure.subscription}/resources?$filter={kind}").json()["value"]
    assert found["tags"] == {"a": "b"}
    assert "properties" not in found
    assert len(azure.get(f"{azure.subscription}{IDENTITIES}").json()["value"]) == 1


def test_a_long_list_goes_on_behind_its_next_link(azure: Azure) -> None:
    for number in range(5):
        azure.make(f"{azure.group}{IDENTITIES}/robot{number}", {"location": "westeurope"})
    names: list[str] = []
    path = f"{azure.group}{IDENTITIES}?$top=2"
    while path:
        page = azure.get(path).json()
        assert len(page["value"]) <= 2
        names += [one["name"] for one in page["value"]]
        path = page.get("nextLink", "").removeprefix(azure.home.azure_url)
    assert names == [f"robot{number}" for number in range(5)]


def test_the_subscription_tells_of_itself(azure: Azure) -> None:
    assert azure.get(azure.subscription).json()["state"] == "Enabled"
    assert [one["tenantId"] for one in azure.get("/tenants").json()["value"]] == ["adfs"]
    assert "westeurope" in {one["name"] for one in azure.get(f"{azure.subscription}/locations").json()["value"]}
    provider = azure.get(f"{azure.subscription}/providers/microsoft.network").json()
    assert provider["registrationState"] == "Registered"


def test_nothing_but_sign_in_is_answered_without_a_token(azure: Azure) -> None:
    trust = str(azure.home.ca_bundle)
    for path in ("/subscriptions", azure.group, "/sandbox/principals/a"):
        url = f"{azure.home.azure_url}{path}?api-version=2024-01-01"
        azure.refused(requests.get(url, verify=trust, timeout=20), 401, "AuthenticationFailed")
    assert requests.get(f"{azure.home.azure_url}/sandbox/health", verify=trust, timeout=20).status_code == 200


def test_the_kept_schemas_are_those_of_the_installed_packages() -> None:
    for package in schema_source.SOURCES:
        kept = json.loads(schema_source.file_of(package).read_text())
        assert kept == schema_source.read(package), f"{package} changed: run python -m sandbox.azure.schema_source"


def test_a_schema_knows_lists_enums_and_what_is_required() -> None:
    cluster = model_for("microsoft.containerservice/MANAGEDCLUSTERS").fields["properties"].model
    assert cluster is not None
    pools = cluster.fields["agentPoolProfiles"]
    assert pools.kind == "list"
    assert pools.model is not None
    assert pools.model.fields["name"].required
    assert pools.model.fields["count"].scalar is int
    assert "Spot" in (pools.model.fields["scaleSetPriority"].enum or ())


@pytest.mark.parametrize(
    ("properties", "fault"),
    [
        ({"issuer": 5}, "System.String"),
        ({"audiences": "one"}, "an array"),
        ({"audiences": [None]}, "no null"),
        ({"Subjekt": "x"}, "Did you mean 'subject'"),
    ],
)
def test_each_fault_of_a_body_names_its_path(properties: dict[str, Any], fault: str) -> None:
    with pytest.raises(ArmError) as refusal:
        cleaned(
            "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials", {"properties": properties}
        )
    assert fault in refusal.value.message
    assert next(iter(properties)) in str(refusal.value.target)


def test_enums_are_read_without_case_and_kept_in_azures_spelling() -> None:
    body = {"properties": {"addressPrefix": "10.0.0.0/24", "privateEndpointNetworkPolicies": "disabled"}}
    result = cleaned("Microsoft.Network/virtualNetworks/subnets", body)
    assert result["properties"]["privateEndpointNetworkPolicies"] == "Disabled"


def test_a_thousand_machines_stay_fast(home: Home) -> None:
    manager = ResourceManager(home)
    scale_set = f"/subscriptions/{manager.config.subscription_id}/resourceGroups/rg/providers/Microsoft.Compute/x/vmss"
    filling = {"filling": ["x" * 40 for _ in range(100)]}
    with manager.store.transaction():
        for number in range(1000):
            machine = f"{scale_set}/virtualMachines/{number}"
            manager.store.put(Resource(machine, "Microsoft.Compute/x/virtualMachines", str(number), filling, 0, 0))
    started = time.perf_counter()
    for number in range(200):
        assert manager.store.get(f"{scale_set}/virtualMachines/{number}") is not None
    assert time.perf_counter() - started < 0.5
    started = time.perf_counter()
    assert len(manager.store.of_type("Microsoft.Compute/x/virtualMachines", scale_set)) == 1000
    assert time.perf_counter() - started < 0.5
    manager.store.close()


def test_a_refused_request_leaves_nothing_behind(home: Home) -> None:
    manager = ResourceManager(home)
    group = f"/subscriptions/{manager.config.subscription_id}/resourceGroups/rg"
    request = Request("PUT", group, None, "2024-01-01", {}, {}, "")
    manager.handle(request, {"location": "westeurope"}, PLATFORM)
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
    body = {"location": "westeurope", "kind": "FileStorage", "sku": {"name": "Standard_LRS"}}
    with pytest.raises(ArmError):
        manager.handle(Request("PUT", account, None, "2024-01-01", {}, {}, ""), body, PLATFORM)
    assert manager.store.under(group) == []
    manager.store.close()


def test_paths_are_taken_apart() -> None:
    path = parse("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/s")
    assert path.type == "Microsoft.Network/virtualNetworks/subnets"
    assert path.parent_id == "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v"
    role = parse(f"{path.path}/providers/Microsoft.Authorization/roleAssignments/r")
    assert role.is_extension
    assert role.scope == path.path
    assert role.resource_group == "rg"


@pytest.fixture
def process(tmp_path: Path) -> Home:
    """A sandbox folder for a server in a process of its own."""
    home = Home(tmp_path / "home")
    home.create(role_delay=0.1, boot_delay=0.1)
    certificates.ensure(home)
    return home


def _start(home: Home) -> subprocess.Popen[bytes]:
    server = subprocess.Popen([sys.executable, "-m", "sandbox.azure", "--home", str(home.root)])
    for _ in range(200):
        try:
            requests.get(f"{home.azure_url}/sandbox/health", verify=str(home.ca_bundle), timeout=2)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return server
    server.kill()
    raise AssertionError((home.logs / "azure.log").read_text())


def test_a_killed_server_loses_nothing_it_acknowledged_and_goes_on_where_it_was(process: Home) -> None:
    server = _start(process)
    try:
        azure = Azure(process, process.config, sign_in(process))
        azure.make(azure.group, {"location": "westeurope"})
        path = f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest"
        body = {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
        answer = azure.put(path, body)
        assert answer.status_code == 202
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
        server = _start(process)
        assert azure.wait(answer) == "Succeeded", "the operation goes on, and the old token is still good"
        assert azure.get(path).json()["properties"]["provisioningState"] == "Succeeded"
        keys = azure.call("POST", f"{path}/listKeys").json()["keys"]
        text = (process.logs / "azure.log").read_text()
        for secret in (process.config.client_secret, azure.token, keys[0]["value"], process.config.internal_token):
            assert secret not in text
        lines = [json.loads(line) for line in text.splitlines()]
        assert {"method", "path", "status", "code", "ms"} <= set(
            next(line for line in lines if line["message"] == "request")
        )
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()
