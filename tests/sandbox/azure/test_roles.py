"""Identities, sign-in, role definitions and assignments, and what they allow, over real HTTPS."""

from __future__ import annotations

import time
import uuid
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization

from sandbox.azure.authorization import OWNER, built_in_roles
from sandbox.certificates import service_account_keys
from tests.sandbox.azure.conftest import Azure

READER = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
CONTRIBUTOR = "b24988ac-6180-42a0-ab88-20f7382dd24c"
ISSUER = "https://issuer.example/cluster"
SUBJECT = "system:serviceaccount:kube-system:cluster-autoscaler"


def identity(azure: Azure, name: str = "robot") -> dict[str, Any]:
    path = f"{azure.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    return azure.make(path, {"location": "westeurope"})


def assign(
    azure: Azure, scope: str, role: str, principal: str, name: str | None = None, **more: str
) -> requests.Response:
    role_id = f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    body = {"properties": {"roleDefinitionId": role_id, "principalId": principal, **more}}
    return azure.put(f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name or uuid.uuid4()}", body)


def federated_token(azure: Azure, made: dict[str, Any], **claims: Any) -> requests.Response:
    """The identity's token for a service account's one."""
    now = int(time.time())
    given = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": ["api://AzureADTokenExchange"],
        "iat": now,
        "exp": now + 600,
        **claims,
    }
    key = serialization.load_pem_private_key(service_account_keys(azure.home)[1].read_bytes(), None)
    assertion = jwt.encode(given, key, algorithm="RS256")  # type: ignore[arg-type]
    return requests.post(
        f"{azure.home.azure_url}/adfs/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": made["properties"]["clientId"],
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            "scope": f"{azure.home.azure_url}/.default",
        },
        verify=str(azure.home.ca_bundle),
        timeout=20,
    )


def federate(azure: Azure, made: dict[str, Any]) -> str:
    """A token of the identity, by a federated credential."""
    body = {"properties": {"issuer": ISSUER, "subject": SUBJECT, "audiences": ["api://AzureADTokenExchange"]}}
    azure.make(f"{made['id']}/federatedIdentityCredentials/autoscaler", body)
    answer = federated_token(azure, made)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


def test_an_identity_keeps_its_principal_when_it_is_put_again(azure: Azure) -> None:
    assert identity(azure)["properties"] == identity(azure)["properties"]


def test_a_role_takes_effect_late_and_is_then_checked(azure: Azure) -> None:
    made = identity(azure)
    token = federate(azure, made)
    azure.refused(azure.get(azure.group, token=token), 403, "AuthorizationFailed")
    assert assign(azure, azure.group, READER, made["properties"]["principalId"]).status_code == 201
    message = azure.refused(azure.get(azure.group, token=token), 403, "AuthorizationFailed")
    assert "Microsoft.Resources/subscriptions/resourceGroups/read" in message
    time.sleep(azure.config.role_delay + 0.1)
    assert azure.get(azure.group, token=token).status_code == 200
    answer = azure.put(azure.group, {"location": "westeurope"}, token=token)
    azure.refused(answer, 403, "AuthorizationFailed")
    elsewhere = f"{azure.subscription}/resourceGroups/other"
    azure.refused(azure.put(elsewhere, {"location": "westeurope"}, token=token), 403, "AuthorizationFailed")


def test_a_federated_assertion_must_match_a_credential_and_be_signed_by_the_cluster(azure: Azure) -> None:
    made = identity(azure)
    federate(azure, made)
    for wrong in ({"sub": "system:serviceaccount:default:other"}, {"iss": "https://other.example"}, {"aud": ["other"]}):
        answer = federated_token(azure, made, **wrong)
        assert answer.status_code == 401
        assert "AADSTS700213" in answer.json()["error_description"]
    assert federated_token(azure, made, exp=int(time.time()) - 60).status_code == 401


def test_a_wrong_secret_or_token_is_refused(azure: Azure) -> None:
    azure.refused(azure.get(azure.group, token="nonsense"), 401, "InvalidAuthenticationToken")
    form = {
        "grant_type": "client_credentials",
        "client_id": azure.config.client_id,
        "client_secret": "wrong",
        "scope": f"{azure.home.azure_url}/.default",
    }
    url = f"{azure.home.azure_url}/adfs/oauth2/v2.0/token"
    answer = requests.post(url, data=form, verify=str(azure.home.ca_bundle), timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_a_token_for_the_cluster_is_none_for_azure(azure: Azure) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": azure.config.client_id,
        "client_secret": azure.config.client_secret,
        "scope": "6dae42f8-4368-4678-94ff-e28e3e6ce2f6/.default",
    }
    url = f"{azure.home.azure_url}/adfs/oauth2/v2.0/token"
    token = requests.post(url, data=form, verify=str(azure.home.ca_bundle), timeout=20).json()["access_token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == "6dae42f8-4368-4678-94ff-e28e3e6ce2f6"
    assert claims["oid"] == azure.config.object_id
    azure.refused(azure.get(azure.group, token=token), 401, "InvalidAuthenticationTokenAudience")


def test_discovery_leads_to_the_key_that_signs_tokens(azure: Azure) -> None:
    trust = str(azure.home.ca_bundle)
    url = f"{azure.home.azure_url}/adfs/.well-known/openid-configuration"
    discovery = requests.get(url, verify=trust, timeout=20).json()
    assert discovery["issuer"] == f"{azure.home.azure_url}/adfs"
    keys = jwt.PyJWKSet.from_dict(requests.get(discovery["jwks_uri"], verify=trust, timeout=20).json())
    key_id = jwt.get_unverified_header(azure.token)["kid"]
    claims = jwt.decode(azure.token, keys[key_id].key, algorithms=["RS256"], audience=azure.home.azure_url)
    assert claims["iss"] == discovery["issuer"]


@pytest.mark.parametrize(("version", "kind"), [("2019-05-01", list), ("2015-01-01", dict)])
def test_the_clouds_metadata_changes_its_shape_with_the_version(azure: Azure, version: str, kind: type) -> None:
    url = f"{azure.home.azure_url}/metadata/endpoints?api-version={version}"
    assert isinstance(requests.get(url, verify=str(azure.home.ca_bundle), timeout=20).json(), kind)


def test_an_assignment_needs_an_existing_principal_of_the_named_type(azure: Azure) -> None:
    nobody = str(uuid.uuid4())
    azure.refused(assign(azure, azure.group, READER, nobody), 400, "PrincipalNotFound")
    principal = identity(azure)["properties"]["principalId"]
    answer = assign(azure, azure.group, READER, principal, principalType="User")
    azure.refused(answer, 400, "UnmatchedPrincipalType")
    azure.refused(assign(azure, azure.group, str(uuid.uuid4()), principal), 400, "RoleDefinitionDoesNotExist")
    azure.refused(assign(azure, azure.group, READER, principal, name="reader"), 400, "InvalidRoleAssignmentId")


def test_a_second_equal_assignment_is_refused_and_an_existing_one_does_not_change(azure: Azure) -> None:
    principal = identity(azure)["properties"]["principalId"]
    name = str(uuid.uuid4())
    assert assign(azure, azure.group, READER, principal, name=name).status_code == 201
    assert assign(azure, azure.group, READER, principal, name=name).status_code == 201, "the same again changes nothing"
    azure.refused(assign(azure, azure.group, READER, principal), 409, "RoleAssignmentExists")
    answer = assign(azure, azure.group, CONTRIBUTOR, principal, name=name)
    azure.refused(answer, 409, "RoleAssignmentUpdateNotPermitted")


def custom(azure: Azure, name: str, *actions: str, **properties: Any) -> requests.Response:
    body = {
        "properties": {
            "roleName": name,
            "permissions": [{"actions": list(actions)}],
            "assignableScopes": [azure.group],
            **properties,
        }
    }
    role = uuid.uuid5(uuid.NAMESPACE_URL, name + str(properties))
    return azure.put(f"{azure.subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}", body)


def test_a_custom_role_grants_its_actions_and_no_others(azure: Azure) -> None:
    made = identity(azure)
    answer = custom(
        azure, "Reads networks", "Microsoft.Network/virtualNetworks/*/read", "Microsoft.Network/virtualNetworks/read"
    )
    assert answer.status_code == 201, answer.text
    role = answer.json()["name"]
    assert assign(azure, azure.group, role, made["properties"]["principalId"]).status_code == 201
    token = federate(azure, made)
    time.sleep(azure.config.role_delay + 0.1)
    listing = f"{azure.group}/providers/Microsoft.Network"
    assert azure.get(f"{listing}/virtualNetworks", token=token).status_code == 200
    azure.refused(azure.get(f"{listing}/natGateways", token=token), 403, "AuthorizationFailed")
    deletion = azure.call("DELETE", answer.json()["id"])
    azure.refused(deletion, 400, "RoleDefinitionHasAssignments")


def test_a_custom_roles_name_is_one_in_the_tenant_and_its_actions_look_like_actions(azure: Azure) -> None:
    assert custom(azure, "Mine", "Microsoft.Storage/storageAccounts/read").status_code == 201
    again = custom(azure, "Mine", "Microsoft.Storage/storageAccounts/read", description="another")
    azure.refused(again, 409, "RoleDefinitionWithSameNameExists")
    for action in ("read", "Microsoft.Storage", "Microsoft.Nothing/things/read", "Microsoft.Storage/storageAccounts"):
        azure.refused(custom(azure, "Bad", action), 400, "InvalidActionOrNotAction")


def test_a_custom_role_is_assigned_only_within_its_scopes(azure: Azure) -> None:
    role = custom(azure, "Mine", "Microsoft.Network/virtualNetworks/read").json()["name"]
    principal = identity(azure)["properties"]["principalId"]
    azure.refused(assign(azure, azure.subscription, role, principal), 400, "InvalidRoleDefinitionScope")


def test_owner_brings_no_rights_on_data() -> None:
    owner = built_in_roles()[OWNER]
    assert owner.allows("Microsoft.Storage/storageAccounts/write", data_action=False)
    assert not owner.allows("Microsoft.ContainerService/managedClusters/pods/read", data_action=True)


def test_a_contributor_writes_everything_but_roles() -> None:
    contributor = built_in_roles()[CONTRIBUTOR]
    assert contributor.allows("Microsoft.Storage/storageAccounts/write", data_action=False)
    assert not contributor.allows("microsoft.authorization/roleassignments/write", data_action=False)


def test_using_a_subnet_takes_the_join_action_on_it(azure: Azure) -> None:
    made = identity(azure)
    base = f"{azure.group}/providers/Microsoft.Network"
    azure.make(f"{base}/natGateways/nat", {"location": "westeurope", "sku": {"name": "Standard"}})
    space = {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}
    azure.make(f"{base}/virtualNetworks/net", {"location": "westeurope", "properties": space})
    role = custom(azure, "Writes subnets", "Microsoft.Network/virtualNetworks/subnets/write").json()["name"]
    assign(azure, azure.group, role, made["properties"]["principalId"])
    token = federate(azure, made)
    time.sleep(azure.config.role_delay + 0.1)
    body = {"properties": {"addressPrefix": "10.0.0.0/24", "natGateway": {"id": f"{base}/natGateways/nat"}}}
    answer = azure.put(f"{base}/virtualNetworks/net/subnets/one", body, token=token)
    assert "natGateways/join/action" in azure.refused(answer, 403, "LinkedAuthorizationFailed")


def test_the_deployers_ownership_is_an_assignment_that_is_listed(azure: Azure) -> None:
    assignments = f"{azure.subscription}/providers/Microsoft.Authorization/roleAssignments"
    listed = azure.get(f"{assignments}?$filter=principalId eq '{azure.config.object_id}'").json()["value"]
    assert [one["properties"]["roleDefinitionId"].rsplit("/", 1)[-1] for one in listed] == [OWNER]


def test_a_group_gives_its_members_its_roles(azure: Azure) -> None:
    made = identity(azure)
    group = str(uuid.uuid4())
    body = {"kind": "Group", "members": [made["properties"]["principalId"]]}
    azure.refused(azure.put(f"/sandbox/principals/{group}", body), 403, "Forbidden")
    assert azure.put(f"/sandbox/principals/{group}", body, token=azure.config.internal_token).status_code == 200
    assert assign(azure, azure.group, READER, group, principalType="Group").status_code == 201
    token = federate(azure, made)
    assert jwt.decode(token, options={"verify_signature": False})["groups"] == [group]
    time.sleep(azure.config.role_delay + 0.1)
    assert azure.get(azure.group, token=token).status_code == 200
