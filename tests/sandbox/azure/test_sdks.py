"""Azure's own Python SDKs as judges: they sign in, create, read, list, poll and delete against the sandbox."""

from __future__ import annotations

import uuid

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.containerregistry import ContainerRegistryManagementClient
from azure.mgmt.msi import ManagedServiceIdentityClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.privatedns import PrivateDnsManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from azure.mgmt.storage import StorageManagementClient

from tests.sandbox.azure.conftest import Azure, Client


@pytest.fixture
def client(azure_client: Client) -> Client:
    return azure_client


def test_resource_groups_are_made_listed_and_deleted_with_what_is_in_them(client: Client) -> None:
    groups = client(ResourceManagementClient).resource_groups
    made = groups.create_or_update("sdk", {"location": "West Europe", "tags": {"env": "test"}})
    assert made.location == "westeurope"
    assert {one.name for one in groups.list()} == {"rg", "sdk"}
    assert groups.check_existence("sdk")
    client(ManagedServiceIdentityClient).user_assigned_identities.create_or_update(
        "sdk", "robot", {"location": "westeurope"}
    )
    groups.begin_delete("sdk").result()
    assert not groups.check_existence("sdk")
    with pytest.raises(ResourceNotFoundError, match="ResourceGroupNotFound"):
        groups.get("sdk")


def test_a_group_cannot_move_to_another_region(client: Client) -> None:
    with pytest.raises(ResourceExistsError, match="InvalidResourceGroupLocation"):
        client(ResourceManagementClient).resource_groups.create_or_update("rg", {"location": "northeurope"})


def test_a_network_with_subnet_and_gateway(client: Client) -> None:
    network = client(NetworkManagementClient)
    address = network.public_ip_addresses.begin_create_or_update(
        "rg",
        "ip",
        {
            "location": "westeurope",
            "sku": {"name": "Standard"},
            "properties": {"publicIPAllocationMethod": "Static"},
        },
    ).result()
    gateway = network.nat_gateways.begin_create_or_update(
        "rg",
        "nat",
        {
            "location": "westeurope",
            "sku": {"name": "Standard"},
            "properties": {"publicIpAddresses": [{"id": address.id}]},
        },
    ).result()
    network.virtual_networks.begin_create_or_update(
        "rg",
        "net",
        {"location": "westeurope", "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}}},
    ).result()
    subnet = network.subnets.begin_create_or_update(
        "rg",
        "net",
        "nodes",
        {"properties": {"addressPrefix": "10.0.0.0/20", "natGateway": {"id": gateway.id}}},
    ).result()
    assert subnet.provisioning_state == "Succeeded"
    assert [one.name for one in network.subnets.list("rg", "net")] == ["nodes"]
    with pytest.raises(HttpResponseError, match="InUseNatGatewayCannotBeDeleted"):
        network.nat_gateways.begin_delete("rg", "nat").result()
    network.subnets.begin_delete("rg", "net", "nodes").result()
    network.nat_gateways.begin_delete("rg", "nat").result()
    assert list(network.nat_gateways.list("rg")) == []


def test_a_misspelt_property_is_refused_in_arms_form(client: Client) -> None:
    with pytest.raises(HttpResponseError) as refusal:
        client(NetworkManagementClient).virtual_networks.begin_create_or_update(
            "rg", "net", {"location": "westeurope", "properties": {"addresSpace": {"addressPrefixes": ["10.0.0.0/16"]}}}
        )
    error = refusal.value.error
    assert error is not None
    assert error.code == "InvalidRequestContent"
    assert "addressSpace" in str(error.message)
    assert error.target == "properties.addresSpace"


def test_a_storage_account_with_share_and_keys(client: Client) -> None:
    storage = client(StorageManagementClient)
    account = storage.storage_accounts.begin_create(
        "rg", "trainyardsdk", {"location": "westeurope", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    ).result()
    assert account.provisioning_state == "Succeeded"
    share = storage.file_shares.create("rg", "trainyardsdk", "code", {"properties": {"shareQuota": 100}})
    assert share.share_quota == 100
    assert [one.name for one in storage.file_shares.list("rg", "trainyardsdk")] == ["code"]
    assert len(storage.storage_accounts.list_keys("rg", "trainyardsdk").keys_property) == 2
    assert [one.name for one in storage.storage_accounts.list()] == ["trainyardsdk"]
    assert not storage.storage_accounts.check_name_availability({"name": "trainyardsdk", "type": "x"}).name_available
    updated = storage.storage_accounts.update("rg", "trainyardsdk", {"tags": {"a": "b"}})
    assert updated.tags == {"a": "b"}
    storage.storage_accounts.delete("rg", "trainyardsdk")
    assert list(storage.storage_accounts.list()) == []


def test_identities_roles_and_assignments(client: Client, azure: Azure) -> None:
    identities = client(ManagedServiceIdentityClient)
    made = identities.user_assigned_identities.create_or_update("rg", "robot", {"location": "westeurope"})
    credential = identities.federated_identity_credentials.create_or_update(
        "rg",
        "robot",
        "autoscaler",
        {
            "properties": {
                "issuer": "https://issuer.example",
                "subject": "system:serviceaccount:a:b",
                "audiences": ["api://AzureADTokenExchange"],
            }
        },
    )
    assert credential.subject == "system:serviceaccount:a:b"
    roles = client(AuthorizationManagementClient)
    [reader] = roles.role_definitions.list(azure.subscription, filter="roleName eq 'Reader'")
    name = str(uuid.uuid4())
    body = {"properties": {"roleDefinitionId": reader.id, "principalId": made.principal_id}}
    roles.role_assignments.create(azure.group, name, body)
    with pytest.raises(ResourceExistsError, match="RoleAssignmentExists"):
        roles.role_assignments.create(azure.group, str(uuid.uuid4()), body)
    assert name in [one.name for one in roles.role_assignments.list_for_scope(azure.group)]
    roles.role_assignments.delete(azure.group, name)
    with pytest.raises(ResourceNotFoundError, match="RoleAssignmentNotFound"):
        roles.role_assignments.get(azure.group, name)


def test_a_registry_and_a_private_zone(client: Client) -> None:
    registry = client(ContainerRegistryManagementClient).registries.begin_create(
        "rg", "trainyardsdk", {"location": "westeurope", "sku": {"name": "Standard"}}
    )
    assert registry.result().login_server == "trainyardsdk.azurecr.io"
    zones = client(PrivateDnsManagementClient).private_zones
    zone = zones.begin_create_or_update("rg", "privatelink.file.core.windows.net", {"location": "global"}).result()
    assert zone.number_of_record_sets == 1
    with pytest.raises(HttpResponseError, match="LocationNotAvailableForResourceType"):
        zones.begin_create_or_update("rg", "privatelink.blob.core.windows.net", {"location": "westeurope"})
