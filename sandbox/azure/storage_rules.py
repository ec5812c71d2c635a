"""What a storage account's network rules, NFS and hierarchical namespace demand of each other.

Codes: `NetworkAclsDefaultActionMisconfigured` and `NetworkAclsValidationFailure` as users report them
(hashicorp/terraform-provider-azurerm#15968, Azure/azure-cli#32434).
"""

from __future__ import annotations

from typing import cast

from sandbox.azure.behaviour import Body, Context
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request, conflict
from sandbox.azure.store import Resource

_SERVICES = ("microsoft.storage", "microsoft.storage.global")


def check_account_features(kind: str, properties: Body) -> None:
    """Hierarchical namespace and NFSv3 on blobs.

    `supportsHttpsTrafficOnly` may be on: it speaks of REST alone, and Azure's blob CSI driver makes its NFS accounts
    with it (kubernetes-sigs/blob-csi-driver d81635217). It is NFS on *files* that cannot have it.

    Args:
        properties: as they will be, defaults included.
    """
    if properties.get("isHnsEnabled") and kind == "FileStorage":
        raise bad_request(
            "InvalidRequestPropertyValue",
            "The value 'True' is not allowed for property isHnsEnabled of FileStorage.",
        )
    if not properties.get("isNfsV3Enabled"):
        return
    if not properties.get("isHnsEnabled") or kind not in ("StorageV2", "BlockBlobStorage"):
        raise bad_request(
            "InvalidRequestPropertyValue",
            "The value 'True' is not allowed for property isNfsv3Enabled: it needs a hierarchical namespace "
            "(isHnsEnabled) and kind StorageV2 or BlockBlobStorage.",
            "properties.isNfsV3Enabled",
        )
    if section(properties, "networkAcls").get("defaultAction") != "Deny":
        raise bad_request(
            "NetworkAclsDefaultActionMisconfigured",
            "An account with NFSv3 may not be open to all networks, as NFS has no sign-in: set "
            "networkAcls.defaultAction to Deny.",
            "properties.networkAcls.defaultAction",
        )


def check_network_rules(ctx: Context, properties: Body) -> None:
    """A subnet that is let in must have the service endpoint through which storage sees it."""
    for rule in cast(list[Body], section(properties, "networkAcls").get("virtualNetworkRules") or []):
        subnet = ctx.store.get(str(rule.get("id")))
        if subnet is not None and not has_service_endpoint(subnet):
            raise bad_request(
                "NetworkAclsValidationFailure",
                "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured:Subnets "
                f"{subnet.name} of virtual network {subnet.id.rsplit('/subnets/', 1)[0]} do not have ServiceEndpoints "
                "for Microsoft.Storage resources configured. Add Microsoft.Storage to subnet's ServiceEndpoints "
                "collection before trying to ACL Microsoft.Storage resources to these subnets.",
            )


def has_service_endpoint(subnet: Resource) -> bool:
    """Whether a subnet's traffic reaches storage with the subnet's identity instead of a public address."""
    endpoints = cast(list[Body], subnet.properties.get("serviceEndpoints") or [])
    return any(str(one.get("service")).lower() in _SERVICES for one in endpoints)


def check_blob_service(account: Resource, properties: Body) -> None:
    """Versions and change feed are for flat accounts alone."""
    hierarchical = account.properties.get("isHnsEnabled")
    if hierarchical and (properties.get("isVersioningEnabled") or section(properties, "changeFeed").get("enabled")):
        raise conflict(
            "FeatureNotSupportedForAccount",
            f"Blob versioning and change feed are not supported for the account {account.name} with a hierarchical "
            "namespace.",
        )


def check_container(account: Resource, properties: Body) -> None:
    """Squashing is for accounts with NFSv3."""
    squashes = properties.get("enableNfsV3RootSquash") or properties.get("enableNfsV3AllSquash")
    if squashes and not account.properties.get("isNfsV3Enabled"):
        raise bad_request(
            "InvalidRequestPropertyValue",
            f"The properties enableNfsV3RootSquash and enableNfsV3AllSquash need an account with NFSv3, which "
            f"{account.name} is not.",
        )
