"""Template deployments: what Azure's own API takes of a newer version than a provider's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.azure.conftest import Azure

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def deployment(*resources: dict[str, Any], **properties: Any) -> dict[str, Any]:
    template = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": list(resources)}
    return {"properties": {"mode": "Incremental", "template": template, **properties}}


def account(**properties: Any) -> dict[str, Any]:
    return {
        "type": "Microsoft.Storage/storageAccounts",
        "apiVersion": "2025-06-01",
        "name": "trainyardtest",
        "location": "westeurope",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "properties": properties,
    }


def path(azure: Azure, name: str = "change") -> str:
    return f"{azure.group}/providers/Microsoft.Resources/deployments/{name}"


def test_a_deployment_changes_an_account_and_keeps_what_it_does_not_name(azure: Azure) -> None:
    body = {key: value for key, value in account(publicNetworkAccess="Disabled").items() if key in BODY}
    azure.make(f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest", body)
    oauth = {"directoryServiceOptions": "None", "smbOAuthSettings": {"isSmbOAuthEnabled": True}}
    azure.make(path(azure), deployment(account(azureFilesIdentityBasedAuthentication=oauth)))
    found = azure.get(f"{azure.group}/providers/Microsoft.Storage/storageAccounts/trainyardtest").json()["properties"]
    assert found["azureFilesIdentityBasedAuthentication"] == oauth
    assert found["publicNetworkAccess"] == "Disabled"


BODY = {"location", "kind", "sku", "properties"}


def test_a_deployment_shows_what_it_made_and_not_its_template(azure: Azure) -> None:
    azure.make(path(azure), deployment(account()))
    found = azure.get(path(azure)).json()
    assert found["properties"]["provisioningState"] == "Succeeded"
    assert "template" not in str(found)
    [made] = found["properties"]["outputResources"]
    assert made["id"].endswith("/storageAccounts/trainyardtest")


def test_what_a_resource_refuses_fails_the_deployment_with_its_words(azure: Azure) -> None:
    answer = azure.put(path(azure), deployment(account(noSuchProperty=1)))
    assert answer.status_code == 201
    operation = azure.call("GET", answer.headers["Azure-AsyncOperation"].removeprefix(azure.home.azure_url))
    while (state := operation.json())["status"] == "InProgress":
        operation = azure.call("GET", answer.headers["Azure-AsyncOperation"].removeprefix(azure.home.azure_url))
    assert state["status"] == "Failed"
    assert state["error"]["code"] == "DeploymentFailed"
    assert "noSuchProperty" in str(state["error"]["details"])


@pytest.mark.parametrize(
    "body",
    [
        deployment(account(), mode="Complete"),
        deployment({**account(), "name": "[parameters('name')]"}),
        deployment({"type": "Microsoft.Storage/storageAccounts", "name": "trainyardtest"}),
        {"properties": {"mode": "Incremental", "template": {"resources": []}}},
    ],
)
def test_templates_that_would_be_half_done_are_refused(azure: Azure, body: dict[str, Any]) -> None:
    azure.refused(azure.put(path(azure), body), 400, "InvalidTemplate")
