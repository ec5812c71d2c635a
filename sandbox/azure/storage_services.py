"""What is in a storage account: its file service with shares, its blob service with containers."""

from __future__ import annotations

import re
import uuid
from typing import ClassVar

from sandbox.azure.behaviour import Behaviour, Body, Context, Reply, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import ArmError, bad_request, conflict
from sandbox.azure.share_performance import check_performance, fill_performance, provisioned
from sandbox.azure.storage_accounts import BLOB_SERVICES, FILE_SERVICES, account_of, not_provisioned
from sandbox.azure.storage_rules import check_blob_service, check_container
from sandbox.azure.store import Resource

SHARES = f"{FILE_SERVICES}/shares"
CONTAINERS = f"{BLOB_SERVICES}/containers"
_SMALL = 5120
"""GiB that a share of a standard account has at most without `largeFileSharesState`."""
_LARGEST = 102400


class _InAccount(Behaviour):
    """Something in an account, which must be ready and of a kind that has the service."""

    has_location = False
    shows_state = False
    blobs: ClassVar[bool]

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Not while the account is being made."""
        super().check_idle(ctx, request)
        account = account_of(ctx, request.resource_id)
        if account.properties["provisioningState"] != "Succeeded":
            raise not_provisioned(account)
        wrong = account.body["kind"] == "FileStorage" if self.blobs else "Blob" in account.body["kind"]
        if wrong:
            raise conflict(
                "FeatureNotSupportedForAccount",
                f"{'Blobs' if self.blobs else 'Files'} are not supported for the account {account.name} of kind "
                f"{account.body['kind']}.",
            )


class _Service(_InAccount):
    """A service: there is one, `default`, as long as its account."""

    name_pattern = re.compile("default")
    name_rule = "'default'"

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults."""
        document["sku"] = account_of(ctx, request.resource_id).body["sku"]
        document["properties"].setdefault("cors", {"corsRules": []})

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """It goes with its account."""
        raise ArmError(
            405, "HttpMethodNotAllowed", f"'{resource.id}' goes with its account and cannot be deleted alone."
        )


class FileServices(_Service):
    """`…/fileServices`."""

    type = FILE_SERVICES
    blobs = False

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Soft delete is on unless said otherwise."""
        super().fill(ctx, request, document, existing)
        document["properties"].setdefault("shareDeleteRetentionPolicy", {"enabled": True, "days": 7})


class BlobServices(_Service):
    """`…/blobServices`."""

    type = BLOB_SERVICES
    blobs = True

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """What goes with a hierarchical namespace."""
        check_blob_service(account_of(ctx, request.resource_id), section(body, "properties"))


class FileShares(_InAccount):
    """`…/fileServices/shares`."""

    type = SHARES
    name_pattern = re.compile(r"[a-z0-9](-?[a-z0-9])+")
    name_rule = "3 to 63 lower-case letters, digits and single hyphens, beginning and ending with a letter or digit"
    blobs = False

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Size by tier; NFS only on SSD accounts without HTTPS-only."""
        _check_length(request.name)
        account = account_of(ctx, request.resource_id)
        properties = body.setdefault("properties", {})
        sku = str(account.body["sku"]["name"])
        low, high = _sizes(account, sku)
        quota = properties.get("shareQuota")
        if quota is None and low > 1:
            raise bad_request(
                "InvalidRequestPropertyValue",
                f"A share of {sku} needs properties.shareQuota, {low} to {high} GiB.",
                "properties.shareQuota",
            )
        if quota is not None and not low <= quota <= high:
            hint = " Set largeFileSharesState to Enabled on the account for more." if high == _SMALL else ""
            raise bad_request(
                "InvalidRequestPropertyValue",
                f"The value '{quota}' is not allowed for property shareQuota: a share of {account.name} ({sku}) has "
                f"{low} to {high} GiB.{hint}",
                "properties.shareQuota",
            )
        check_performance(sku, properties, existing.properties if existing else None)
        protocol = str(properties.get("enabledProtocols", "SMB"))
        if protocol == "NFS":
            _check_nfs(account, sku)
        elif properties.get("rootSquash"):
            raise bad_request("InvalidRequestPropertyValue", "The property rootSquash is for NFS shares only.")
        if existing and existing.properties["enabledProtocols"] != protocol:
            raise conflict(
                "SharePropertyCannotBeUpdated",
                f"The protocol of share {request.name} cannot be changed from "
                f"{existing.properties['enabledProtocols']} to {protocol}.",
            )
        tier = properties.get("accessTier")
        if tier and (tier == "Premium") != sku.startswith("Premium_"):
            raise bad_request(
                "InvalidRequestPropertyValue", f"The value '{tier}' is not allowed for property accessTier of {sku}."
            )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults."""
        sku = str(account_of(ctx, request.resource_id).body["sku"]["name"])
        properties = document["properties"]
        properties.setdefault("shareQuota", _SMALL)
        properties.setdefault("enabledProtocols", "SMB")
        if properties["enabledProtocols"] == "NFS":
            properties.setdefault("rootSquash", "NoRootSquash")
        fill_performance(sku, properties, existing.properties if existing else None)
        properties.setdefault("accessTier", "Premium" if sku.startswith("Premium") else "TransactionOptimized")
        _lease(ctx, document)


class BlobContainers(_InAccount):
    """`…/blobServices/containers`."""

    type = CONTAINERS
    name_pattern = re.compile(r"\$root|\$web|\$logs|[a-z0-9](-?[a-z0-9])+")
    name_rule = FileShares.name_rule
    blobs = True

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Public only where the account allows it."""
        _check_length(request.name)
        account = account_of(ctx, request.resource_id)
        access = section(body, "properties").get("publicAccess", "None")
        if access != "None" and not account.properties.get("allowBlobPublicAccess"):
            raise conflict("PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
        check_container(account, section(body, "properties"))

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Azure's defaults."""
        properties = document["properties"]
        properties.setdefault("publicAccess", "None")
        properties.setdefault("defaultEncryptionScope", "$account-encryption-key")
        properties.setdefault("denyEncryptionScopeOverride", False)
        properties.update(hasImmutabilityPolicy=False, hasLegalHold=False)
        _lease(ctx, document)


def _check_length(name: str) -> None:
    if not 3 <= len(name) <= 63:
        raise bad_request("InvalidResourceName", f"The name '{name}' has {len(name)} characters; it must have 3 to 63.")


def _sizes(account: Resource, sku: str) -> tuple[int, int]:
    """The smallest and the largest share of an account in GiB."""
    if sku.startswith("Premium_"):
        return 100, _LARGEST
    medium = provisioned(sku)
    if medium is not None:
        return medium.gib
    return 1, _LARGEST if account.properties.get("largeFileSharesState") == "Enabled" else _SMALL


def _check_nfs(account: Resource, sku: str) -> None:
    if account.body["kind"] != "FileStorage" or not sku.startswith("Premium"):
        raise conflict(
            "FeatureNotSupportedForAccount",
            f"NFS is not supported for the account {account.name} ({account.body['kind']}, {sku}): it needs kind "
            "FileStorage and a Premium SKU.",
        )
    if account.properties.get("supportsHttpsTrafficOnly"):
        raise conflict(
            "FeatureNotSupportedForAccount",
            f"The account {account.name} has supportsHttpsTrafficOnly on, with which no client can mount an NFS share: "
            "set it to false.",
        )


def _lease(ctx: Context, document: Body) -> None:
    document["etag"] = f'"{uuid.uuid4().hex[:15].upper()}"'
    document["properties"].update(leaseStatus="Unlocked", leaseState="Available", lastModifiedTime=ctx.timestamp())


register(FileServices())
register(BlobServices())
register(FileShares())
register(BlobContainers())
