"""Azure Files: shares that many pods mount at once.

Owns one storage account per tier and protocol (Azure serves SMB and NFS, HDD and SSD, SSD by size and SSD with IOPS of
one's own from different accounts), each behind a private endpoint with public access off; the shares; and what jobs see
of them: a volume and a claim per share, and StorageClasses for claims that jobs make themselves. Does not own the file
system inside the cluster, which is faster past a few gigabytes.

Keys: no key is ever in the stack. NFS knows none. SMB mounts with the nodes' identity where AKS can (1.34), and
the account then has no keys; before that the CSI driver fetches the key itself, with a role on this account alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import storage

from components.data_group import DataGroup
from components.environment import Environment
from components.network import Network
from components.roles import STORAGE_ACCOUNT_CONTRIBUTOR, STORAGE_ACCOUNT_KEY_OPERATOR, STORAGE_FILE_SMB_ADMIN
from components.smb_oauth import SmbOAuth
from components.storage_account import AccountSpec, StorageAccount, kept_account
from components.volumes import ready_claim
from stacks.storage_settings import Files, Share

DRIVER = "file.csi.azure.com"
KEYLESS_SMB_SINCE = (1, 34)
"""AKS mounts SMB with a managed identity from this version (`mountWithManagedIdentity`)."""
_DELETED_SHARES_KEPT_DAYS = 7
_SMB_MOUNT = ["dir_mode=0777", "file_mode=0777", "mfsymlinks", "cache=strict", "nosharesock", "actimeo=30"]
_NFS_MOUNT = ["nconnect=4", "noresvport", "actimeo=30"]


@dataclass(frozen=True)
class AccountKind:
    """One kind of account: what it costs and how it is spoken to.

    Attributes:
        tier: `standard` (HDD) or `premium` (SSD).
        protocol: `smb` or `nfs`.
        provisioned: shares have IOPS and throughput of their own, apart from their size (Azure's "provisioned v2").
    """

    tier: str
    protocol: str
    provisioned: bool = False

    @property
    def name(self) -> str:
        """`standard-smb`, `premium-nfs-provisioned`."""
        return f"{self.tier}-{self.protocol}{'-provisioned' if self.provisioned else ''}"

    @property
    def purpose(self) -> str:
        """Goes into the account's name."""
        return ("" if self.tier == "standard" else "p2" if self.provisioned else "p") + self.protocol

    @property
    def azure_kind(self) -> str:
        """Azure's kind of account."""
        return "StorageV2" if self.tier == "standard" else "FileStorage"

    @property
    def sku(self) -> str:
        """Azure's SKU: HDD or SSD, three copies in one zone's data centre."""
        return "Standard_LRS" if self.tier == "standard" else "PremiumV2_LRS" if self.provisioned else "Premium_LRS"

    @property
    def mount_options(self) -> list[str]:
        """How nodes mount it."""
        return _NFS_MOUNT if self.protocol == "nfs" else _SMB_MOUNT


DYNAMIC = {"files-smb": AccountKind("standard", "smb"), "files-nfs": AccountKind("premium", "nfs")}
"""StorageClass to the account that its volumes come from."""


def kind_of(share: Share) -> AccountKind:
    """The account that a share lives in: one that says IOPS or throughput lives in another than one that does not."""
    return AccountKind(share.tier, share.protocol, share.has_performance)


def account_kinds(settings: Files) -> list[AccountKind]:
    """The accounts that a stack's shares and StorageClasses need, in a stable order."""
    kinds = {kind_of(share) for share in settings.shares.values()}
    if settings.dynamic:
        kinds.update(DYNAMIC.values())
    return sorted(kinds, key=lambda kind: kind.purpose)


def keyless(kind: AccountKind, kubernetes_version: str) -> bool:
    """Whether an account of this kind can do without shared keys."""
    major, minor = (int(part) for part in kubernetes_version.split(".")[:2])
    return kind.protocol == "nfs" or (major, minor) >= KEYLESS_SMB_SINCE


class AzureFiles(pulumi.ComponentResource):
    """The shares of one environment.

    Args:
        environment: gives names, location and tags.
        data: the group that accounts live in.
        resource_group: name of the platform's group, where the private endpoints live.
        settings: the shares, and whether jobs may make their own.
        kubernetes_version: decides how SMB signs in.
        network: where the private endpoints go.
        cluster_principal_id: the control plane's identity: its CSI controller makes dynamic shares.
        kubelet_principal_id: the nodes' identity: they mount with it.
        provider: the cluster.
    """

    share_claims: dict[str, str]
    """Share to the claim that pods in `default` mount it by."""
    storage_classes: list[str]
    accounts: dict[str, str]
    """`<tier>-<protocol>`, with `-provisioned` where shares have IOPS of their own, to the account's name."""

    kept: list[str]
    """Each account with its shares, in words: what stays where data is kept."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        data: DataGroup,
        resource_group: pulumi.Input[str],
        settings: Files,
        kubernetes_version: str,
        network: Network,
        cluster_principal_id: pulumi.Input[str],
        kubelet_principal_id: pulumi.Input[str],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:AzureFiles", name, None, opts)
        self._label = name
        self._environment = environment
        self._data = data
        self._resource_group = resource_group
        self._network = network
        self._kubernetes_version = kubernetes_version
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider)
        self._ready: dict[AccountKind, list[pulumi.Resource]] = {}
        self._made: dict[AccountKind, storage.StorageAccount] = {}
        self.accounts, self.share_claims = {}, {}
        for kind in account_kinds(settings):
            self._account(kind, cluster_principal_id, kubelet_principal_id)
        for share_name, share in settings.shares.items():
            self._share(share_name, share)
        self.kept = [
            kept_account(
                self.accounts[kind.name], "share", [key for key, one in settings.shares.items() if kind_of(one) == kind]
            )
            for kind in self._made
        ]
        self.storage_classes = list(DYNAMIC) if settings.dynamic else []
        for class_name in self.storage_classes:
            self._storage_class(class_name, DYNAMIC[class_name])
        self.register_outputs({"shareClaims": self.share_claims, "storageClasses": self.storage_classes})

    def _account(self, kind: AccountKind, controller: pulumi.Input[str], kubelet: pulumi.Input[str]) -> None:
        without_keys = keyless(kind, self._kubernetes_version)
        grants: dict[str, tuple[str, pulumi.Input[str]]] = {"manages": (STORAGE_ACCOUNT_CONTRIBUTOR, controller)}
        if kind.protocol == "smb":
            grants["mounts"] = (STORAGE_FILE_SMB_ADMIN if without_keys else STORAGE_ACCOUNT_KEY_OPERATOR, kubelet)
        label = f"{self._label}-{kind.name}"
        made = StorageAccount(
            label,
            environment=self._environment,
            data=self._data,
            resource_group=self._resource_group,
            network=self._network,
            spec=AccountSpec(
                purpose=kind.purpose,
                kind=kind.azure_kind,
                sku=kind.sku,
                services=("file",),
                shared_keys=not without_keys,
                https_only=kind.protocol != "nfs",
            ),
            grants=grants,
            opts=pulumi.ResourceOptions(parent=self),
        )
        storage.FileServiceProperties(
            label,
            resource_group_name=self._data.name,
            account_name=made.account.name,
            file_services_name="default",
            share_delete_retention_policy=storage.DeleteRetentionPolicyArgs(
                enabled=True, days=_DELETED_SHARES_KEPT_DAYS
            ),
            opts=self._data.kept(pulumi.ResourceOptions(parent=self)),
        )
        self.accounts[kind.name] = made.account_name
        self._made[kind] = made.account
        self._ready[kind] = list(made.ready)
        if kind.protocol == "smb" and without_keys:
            sign_in = SmbOAuth(
                label,
                environment=self._environment,
                resource_group=self._data.name,
                account=made.account,
                account_name=made.account_name,
                sku=kind.sku,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self._ready[kind].append(sign_in.ready)

    def _share(self, share_name: str, share: Share) -> None:
        kind = kind_of(share)
        made = storage.FileShare(
            f"{self._label}-{share_name}",
            resource_group_name=self._data.name,
            account_name=self._made[kind].name,
            share_name=share_name,
            share_quota=share.size_gib,
            provisioned_iops=share.provisioned_iops,
            provisioned_bandwidth_mibps=share.provisioned_mibps,
            enabled_protocols="NFS" if share.protocol == "nfs" else "SMB",
            opts=self._data.kept(pulumi.ResourceOptions(parent=self)),
        )
        account_name = self.accounts[kind.name]
        self.share_claims[share_name] = ready_claim(
            f"{self._label}-{share_name}",
            volume_name=f"files-{share_name}",
            claim_name=share_name,
            size=f"{share.size_gib}Gi",
            mount_options=kind.mount_options,
            csi=kubernetes.core.v1.CSIPersistentVolumeSourceArgs(
                driver=DRIVER,
                volume_handle=f"{self._data.group_name}#{account_name}#{share_name}",
                volume_attributes={
                    "resourceGroup": self._data.group_name,
                    "storageAccount": account_name,
                    "shareName": share_name,
                    "server": f"{account_name}.file.core.windows.net",
                    **self._sign_in(kind),
                },
            ),
            objects=self._objects,
            needs=[made, *self._ready[kind]],
        )

    def _storage_class(self, class_name: str, kind: AccountKind) -> None:
        account_name = self.accounts[kind.name]
        kubernetes.storage.v1.StorageClass(
            f"{self._label}-{class_name}",
            metadata={"name": class_name},
            provisioner=DRIVER,
            parameters={
                "skuName": kind.sku,
                "resourceGroup": self._data.group_name,
                "storageAccount": account_name,
                "server": f"{account_name}.file.core.windows.net",
                **self._sign_in(kind),
            },
            reclaim_policy="Delete",
            allow_volume_expansion=True,
            volume_binding_mode="Immediate",
            mount_options=kind.mount_options,
            opts=pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(depends_on=self._ready[kind])),
        )

    def _sign_in(self, kind: AccountKind) -> dict[str, str]:
        """The CSI driver's own parameters for protocol and sign-in."""
        if kind.protocol == "smb" and keyless(kind, self._kubernetes_version):
            return {"protocol": "smb", "mountWithManagedIdentity": "true"}
        return {"protocol": kind.protocol}
