"""A storage account that only this platform's network reaches.

Owns the account in the group of data, a private endpoint for each service that is used, and the roles on it. What is in
it, shares or containers and their retention, belongs to the component that asks for it.

Endpoints and roles lie with the platform and go with it; the account stays where data is kept
(`components/data_group.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from components.data_group import DataGroup
from components.environment import Environment
from components.naming import storage_account_name
from components.network import Network
from components.private_endpoint import PrivateEndpoint
from components.roles import assign_role, role_id


@dataclass(frozen=True)
class AccountSpec:
    """What sets one account apart from another; all but `shared_keys` is Azure's to fix at creation.

    Attributes:
        purpose: a few letters, part of the account's name.
        kind: `StorageV2`, or `FileStorage` for SSD shares.
        sku: `Standard_LRS`, `Premium_LRS`, `PremiumV2_LRS`.
        services: those that get a private endpoint: `file`, `blob`, `dfs`.
        shared_keys: whether the account's keys open it.
        https_only: off for NFS shares, which know no TLS.
        hierarchical: folders that are more than parts of names.
        nfs: NFSv3 on containers; needs `hierarchical`.
    """

    purpose: str
    kind: str
    sku: str
    services: Sequence[str]
    shared_keys: bool = False
    https_only: bool = True
    hierarchical: bool = False
    nfs: bool = False


class StorageAccount(pulumi.ComponentResource):
    """One account with its endpoints and roles.

    Args:
        environment: gives names, location and tags.
        data: the group that the account lives in.
        resource_group: name of the platform's group, where the endpoints live.
        network: where the endpoints go.
        spec: what kind of account.
        grants: a word for what it is for, to role (a GUID) and principal.
    """

    account: storage.StorageAccount
    account_name: str
    """As text, for places that take no output."""
    ready: list[pulumi.Resource]
    """What must be there before a node can mount something of the account."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        data: DataGroup,
        resource_group: pulumi.Input[str],
        network: Network,
        spec: AccountSpec,
        grants: Mapping[str, tuple[str, pulumi.Input[str]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:StorageAccount", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.account_name = storage_account_name(spec.purpose, environment.name, environment.unique)
        self.account = storage.StorageAccount(
            name,
            resource_group_name=data.name,
            account_name=self.account_name,
            location=environment.location,
            kind=spec.kind,
            sku=storage.SkuArgs(name=spec.sku),
            public_network_access="Disabled",
            network_rule_set=storage.NetworkRuleSetArgs(default_action=storage.DefaultAction.DENY, bypass="None"),
            allow_shared_key_access=spec.shared_keys,
            allow_blob_public_access=False,
            allow_cross_tenant_replication=False,
            minimum_tls_version="TLS1_2",
            enable_https_traffic_only=spec.https_only,
            azure_files_identity_based_authentication=(
                storage.AzureFilesIdentityBasedAuthenticationArgs(directory_service_options="None")
                if "file" in spec.services
                else None
            ),
            # Azure takes these two at creation only, and not at all for FileStorage: said where they are on.
            is_hns_enabled=spec.hierarchical or None,
            enable_nfs_v3=spec.nfs or None,
            tags=environment.tags,
            opts=data.kept(child),
        )
        endpoints = [
            PrivateEndpoint(
                f"{name}-{service}",
                environment=environment,
                resource_group=resource_group,
                network=network,
                target_id=self.account.id,
                target_name=self.account_name,
                service=service,
                opts=child,
            ).ready
            for service in spec.services
        ]
        roles = [
            assign_role(
                f"{name}-{verb}",
                environment=environment,
                role=role_id(environment, role),
                principal_id=principal,
                scope=self.account.id,
                opts=child,
            )
            for verb, (role, principal) in grants.items()
        ]
        self.ready = [*endpoints, *roles]
        self.register_outputs({"name": self.account.name})


def kept_account(account_name: str, what: str, names: Sequence[str]) -> str:
    """`storage account … with its shares code, datasets`, or with what jobs made in it."""
    held = f"its {what}{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else f"the {what}s that jobs made"
    return f"storage account {account_name} with {held}"
