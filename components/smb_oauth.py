"""Letting nodes mount SMB shares with their identity instead of the account's key.

Owns one template deployment, as the switch for it came with a version of Storage's API (2025-06-01) that the provider's
`StorageAccount` does not speak yet. The template says again what the account's own declaration says of access, so that
a change there runs it anew. It goes once the provider's version has `smbOAuthSettings`.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import resources, storage

from components.environment import Environment

_SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_API_VERSION = "2025-06-01"


class SmbOAuth(pulumi.ComponentResource):
    """SMB sign-in by identity for one account without shared keys.

    Args:
        environment: gives location and tags.
        resource_group: name of the account's group.
        account: must be there first; its kind is StorageV2 or FileStorage.
        account_name: its plain name.
        sku: its SKU, `Standard_LRS`.
    """

    ready: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        account: storage.StorageAccount,
        account_name: str,
        sku: str,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:SmbOAuth", name, None, opts)
        template = {
            "$schema": _SCHEMA,
            "contentVersion": "1.0.0.0",
            "resources": [
                {
                    "type": "Microsoft.Storage/storageAccounts",
                    "apiVersion": _API_VERSION,
                    "name": account_name,
                    "location": environment.location,
                    "kind": "StorageV2" if sku.startswith("Standard") else "FileStorage",
                    "sku": {"name": sku},
                    "tags": environment.tags,
                    "properties": {
                        "allowBlobPublicAccess": False,
                        "allowCrossTenantReplication": False,
                        "allowSharedKeyAccess": False,
                        "azureFilesIdentityBasedAuthentication": {
                            "directoryServiceOptions": "None",
                            "smbOAuthSettings": {"isSmbOAuthEnabled": True},
                        },
                        "minimumTlsVersion": "TLS1_2",
                        "networkAcls": {"bypass": "None", "defaultAction": "Deny"},
                        "publicNetworkAccess": "Disabled",
                        "supportsHttpsTrafficOnly": True,
                    },
                }
            ],
        }
        self.ready = resources.Deployment(
            name,
            resource_group_name=resource_group,
            deployment_name=f"smb-oauth-{account_name}",
            properties=resources.DeploymentPropertiesArgs(mode=resources.DeploymentMode.INCREMENTAL, template=template),
            tags=environment.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[account]),
        )
        self.register_outputs({})
