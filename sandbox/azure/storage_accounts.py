"""Storage accounts: names, kinds and SKUs, endpoints, keys."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from typing import Any

from sandbox.azure.behaviour import (
    Behaviour,
    Body,
    Context,
    Reference,
    Reply,
    Request,
    merged,
    register,
    register_route,
)
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.federation import IDENTITIES
from sandbox.azure.ids import key_of
from sandbox.azure.locations import locations
from sandbox.azure.network_types import SUBNETS
from sandbox.azure.storage_rules import check_account_features, check_network_rules
from sandbox.azure.store import Resource

ACCOUNTS = "Microsoft.Storage/storageAccounts"
FILE_SERVICES = f"{ACCOUNTS}/fileServices"
BLOB_SERVICES = f"{ACCOUNTS}/blobServices"
_KINDS: Mapping[str, tuple[str, ...]] = {
    "FileStorage": ("Premium_", "PremiumV2_", "StandardV2_"),
    "BlockBlobStorage": ("Premium_",),
    "BlobStorage": ("Standard_",),
    "Storage": ("Standard_", "Premium_LRS"),
    "StorageV2": ("Standard_", "Premium_LRS"),
}
"""Kind to the beginnings of the SKU names it can have."""
_FIXED = ("isHnsEnabled", "isNfsV3Enabled")
_SERVICES = ("blob", "dfs", "file", "queue", "table", "web")
_DEFAULTS: Body = {
    "supportsHttpsTrafficOnly": True,
    "minimumTlsVersion": "TLS1_2",
    "allowBlobPublicAccess": False,
    "networkAcls": {
        "bypass": "AzureServices",
        "virtualNetworkRules": [],
        "ipRules": [],
        "defaultAction": "Allow",
    },
    "encryption": {
        "services": {
            "file": {"keyType": "Account", "enabled": True},
            "blob": {"keyType": "Account", "enabled": True},
        },
        "keySource": "Microsoft.Storage",
    },
}


class StorageAccounts(Behaviour):
    """`Microsoft.Storage/storageAccounts`."""

    type = ACCOUNTS
    name_pattern = re.compile(r"[a-z0-9]{3,24}")
    name_rule = "3 to 24 characters, numbers and lower-case letters only"
    name_error = "AccountNameInvalid"
    tag_name_limit = 128
    creates = 1
    references = (
        Reference("properties.networkAcls.virtualNetworkRules.*.id", SUBNETS),
        Reference("identity.userAssignedIdentities.{}", IDENTITIES, f"{IDENTITIES}/assign/action"),
    )

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """A name nobody in the world has; a kind with its SKU; nothing changed that Azure cannot change."""
        for other in ctx.store.of_type(ACCOUNTS):
            if other.name == request.name and key_of(other.id) != key_of(request.resource_id):
                raise conflict(
                    "StorageAccountInAnotherResourceGroup",
                    f"The account {request.name} is already in another resource group: {other.id}.",
                )
        kind, sku = str(body.get("kind")), str(section(body, "sku").get("name"))
        if not sku.startswith(_KINDS[kind]):
            raise bad_request(
                "InvalidRequestPropertyValue",
                f"The value '{sku}' is not allowed for property sku.name: an account of kind {kind} has a SKU that "
                f"begins with {' or '.join(_KINDS[kind])}.",
                "sku.name",
            )
        _check_zones(sku, str(body["location"]))
        properties: Body = body.setdefault("properties", {})
        whole = merged(existing.properties if existing else _DEFAULTS, properties)
        check_account_features(kind, whole)
        check_network_rules(ctx, whole)
        if existing:
            _check_change(existing, kind, sku, properties)

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Defaults, endpoints and times. What a PUT of an existing account leaves out stays as it was."""
        given: Body = document["properties"]
        base = existing.properties if existing else _DEFAULTS
        properties = document["properties"] = merged(base, given)
        if existing:
            for key in ("tags", "identity"):
                if key in existing.body:
                    document.setdefault(key, existing.body[key])
        kind, name = document["kind"], document["name"]
        document["sku"]["tier"] = "Premium" if document["sku"]["name"].startswith("Premium") else "Standard"
        services = {"FileStorage": ("file",), "BlockBlobStorage": ("blob", "dfs", "web")}.get(kind, _SERVICES)
        properties["primaryEndpoints"] = {one: f"https://{name}.{one}.core.windows.net/" for one in services}
        properties["primaryLocation"] = document["location"]
        properties["statusOfPrimary"] = "available"
        made = existing.properties["creationTime"] if existing else ctx.timestamp()
        properties["creationTime"] = made
        properties["keyCreationTime"] = {"key1": made, "key2": made}
        if kind in ("StorageV2", "BlobStorage"):
            properties.setdefault("accessTier", "Hot")

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """A new account answers 202 and no body, as Azure does."""
        reply = super().put(ctx, request, body, existing)
        return reply if existing else Reply(202, None, reply.operation)

    def stored(self, ctx: Context, resource: Resource, existing: Resource | None) -> None:
        """Keys and the default services come with a new account."""
        if existing:
            return
        ctx.store.kv_set(keys_of(resource), [_key(), _key()])
        has_blobs = resource.body["kind"] != "FileStorage"
        for service_type in (FILE_SERVICES, *((BLOB_SERVICES,) if has_blobs else ())):
            service_id = f"{resource.id}/{service_type.rsplit('/', 1)[-1]}/default"
            document = service_document(service_id, service_type, resource)
            ctx.store.put(Resource(service_id, service_type, "default", document, ctx.now(), ctx.now()))

    def render(self, ctx: Context, resource: Resource) -> Body:
        """With the endpoints connected to it."""
        connections = ctx.store.of_type(f"{ACCOUNTS}/privateEndpointConnections", resource.id)
        shown = {"privateEndpointConnections": [one.body for one in connections]}
        return {**resource.body, "properties": {**resource.properties, **shown}}

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`listKeys` (the keys exist also where shared-key access is off) and `regenerateKey`."""
        if resource.properties["provisioningState"] != "Succeeded":
            raise not_provisioned(resource)
        keys: list[str] = ctx.store.kv_get(keys_of(resource))
        match name.lower():
            case "listkeys":
                pass
            case "regeneratekey":
                wanted = body.get("keyName")
                if wanted not in ("key1", "key2"):
                    raise bad_request(
                        "InvalidValuesForRequestParameters", f"keyName must be key1 or key2, not {wanted}."
                    )
                keys[int(wanted[-1]) - 1] = _key()
                ctx.store.kv_set(keys_of(resource), keys)
            case _:
                return super().action(ctx, request, resource, name, body)
        made = resource.properties["creationTime"]
        return Reply(
            200,
            {
                "keys": [
                    {"creationTime": made, "keyName": f"key{number}", "value": value, "permissions": "FULL"}
                    for number, value in enumerate(keys, 1)
                ]
            },
        )

    def removed(self, ctx: Context, resource: Resource) -> None:
        """The keys go along."""
        ctx.store.kv_set(keys_of(resource), None)


def service_document(service_id: str, service_type: str, account: Resource) -> Body:
    """A service of a new account, with Azure's defaults."""
    retention = {"shareDeleteRetentionPolicy": {"enabled": True, "days": 7}} if service_type == FILE_SERVICES else {}
    return {
        "id": service_id,
        "name": "default",
        "type": service_type,
        "sku": account.body["sku"],
        "properties": {"cors": {"corsRules": []}, **retention},
    }


def account_of(ctx: Context, resource_id: str) -> Resource:
    """The account that something lies in."""
    match = re.match(r"(/.*?/storageAccounts/[^/]+)(/|$)", resource_id, re.IGNORECASE)
    found = ctx.store.get(match.group(1)) if match else None
    if found is None:
        raise ArmError(404, "ParentResourceNotFound", f"There is no storage account above '{resource_id}'.")
    return found


def not_provisioned(account: Resource) -> ArmError:
    """The refusal while an account is being made."""
    return conflict(
        "StorageAccountIsNotProvisioned",
        f"The storage account provisioning state of {account.name} must be 'Succeeded' before executing the operation.",
        retry_after=1,
    )


def _check_zones(sku: str, place: str) -> None:
    if "ZRS" in sku and not any(one["zones"] for one in locations() if one["name"] == place):
        raise bad_request(
            "InvalidRequestPropertyValue",
            f"The value '{sku}' is not allowed for property sku.name: {place} has no availability zones.",
            "sku.name",
        )


def _check_change(existing: Resource, kind: str, sku: str, properties: Mapping[str, Any]) -> None:
    before = str(existing.body["kind"])
    if kind != before and (before, kind) not in (("Storage", "StorageV2"), ("BlobStorage", "StorageV2")):
        raise bad_request(
            "AccountPropertyCannotBeUpdated", f"The property 'kind' cannot be updated from {before} to {kind}.", "kind"
        )
    old = str(existing.body["sku"]["name"])
    if old.partition("_")[0] != sku.partition("_")[0]:
        raise bad_request(
            "AccountPropertyCannotBeUpdated", f"The property 'sku' cannot be updated from {old} to {sku}.", "sku.name"
        )
    for key in _FIXED:
        if key in properties and bool(properties[key]) != bool(existing.properties.get(key)):
            raise bad_request(
                "AccountPropertyCannotBeUpdated",
                f"The property '{key}' was specified in the input, but it cannot be updated.",
                f"properties.{key}",
            )


def keys_of(resource: Resource) -> str:
    """Where the store keeps an account's keys, which are in no document."""
    return f"storage keys:{key_of(resource.id)}"


def _key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def _check_name(ctx: Context, _request: Request, body: Body) -> Reply:
    name = str(body.get("name", ""))
    if not StorageAccounts.name_pattern.fullmatch(name):
        message = f"{name} is not a valid storage account name: it must be {StorageAccounts.name_rule}."
        return Reply(200, {"nameAvailable": False, "reason": "AccountNameInvalid", "message": message})
    if any(one.name == name for one in ctx.store.of_type(ACCOUNTS)):
        message = f"The storage account named {name} is already taken."
        return Reply(200, {"nameAvailable": False, "reason": "AlreadyExists", "message": message})
    return Reply(200, {"nameAvailable": True})


register(StorageAccounts())
register_route(
    "POST",
    "/subscriptions/{subscription}/providers/Microsoft.Storage/checkNameAvailability",
    _check_name,
    action="Microsoft.Storage/checkNameAvailability/read",
)
