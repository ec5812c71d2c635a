"""The functions a program may call: reading a resource, listing its secrets, asking who one is.

Like the real provider's, none of their results is marked secret: that is the program's to do.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arm.documents import function_outputs
from arm.ids import arm_type
from sandbox.providers.azure_native.arm_client import ArmClient, ArmRequestError
from sandbox.providers.azure_native.values import Properties

CLIENT_CONFIG = "azure-native:authorization:getClientConfig"
CLIENT_TOKEN = "azure-native:authorization:getClientToken"  # noqa: S105 - a function's name


class FunctionError(Exception):
    """A call that failed, in the real provider's words."""


@dataclass(frozen=True)
class Action:
    """A POST on a resource.

    Attributes:
        of: the resource's token, whose path parameters the arguments give.
        name: the last segment of the path.
        query: argument to query parameter.
    """

    of: str
    name: str
    query: Mapping[str, str]


ACTIONS: Mapping[str, Action] = {
    "azure-native:containerregistry:listRegistryCredentials": Action(
        "azure-native:containerregistry:Registry", "listCredentials", {}
    ),
    "azure-native:containerservice:listManagedClusterAdminCredentials": Action(
        "azure-native:containerservice:ManagedCluster", "listClusterAdminCredential", {"serverFqdn": "server-fqdn"}
    ),
    "azure-native:containerservice:listManagedClusterUserCredentials": Action(
        "azure-native:containerservice:ManagedCluster",
        "listClusterUserCredential",
        {"serverFqdn": "server-fqdn", "format": "format"},
    ),
    "azure-native:storage:listStorageAccountKeys": Action(
        "azure-native:storage:StorageAccount", "listKeys", {"expand": "$expand"}
    ),
}


async def call(arm: ArmClient, token: str, arguments: Properties, subscription: str) -> Properties:
    """A function's result.

    Raises:
        FunctionError: refused, or the resource is not there.
        UnknownTypeError: no such function, or one of a resource type that we do not know.
        IncompleteInputsError: an argument that says which resource is missing.
    """
    if token == CLIENT_CONFIG:
        return await _client_config(arm, subscription)
    if token == CLIENT_TOKEN:
        endpoint = str(arguments.get("endpoint") or arm.credentials.endpoint)
        return {"token": await arm.token(f"{endpoint.rstrip('/')}/.default")}
    action = ACTIONS.get(token)
    kind = arm_type(action.of if action else _resource_of(token))
    resource_id = kind.resource_id(arguments, subscription)
    try:
        if action:
            query = {name: str(arguments[key]) for key, name in action.query.items() if key in arguments}
            resource_id = f"{resource_id}/{action.name}"
            return function_outputs(token, await arm.post(resource_id, kind.api_version, query))
        return function_outputs(token, await arm.fetch(resource_id, kind.api_version))
    except ArmRequestError as refused:
        raise FunctionError(f"request failed {resource_id}: {refused}") from refused


def _resource_of(token: str) -> str:
    package, module, name = token.split(":")
    return f"{package}:{module}:{name.removeprefix('get')}"


async def _client_config(arm: ArmClient, subscription: str) -> Properties:
    """Who the provider is signed in as; the object id is what its own token says."""
    payload = (await arm.token()).split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {
        "clientId": arm.credentials.client_id,
        "objectId": claims.get("oid", ""),
        "subscriptionId": subscription,
        "tenantId": arm.credentials.tenant,
    }
