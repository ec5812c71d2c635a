"""Blob storage: containers that many pods mount at once, and that programs read over HTTPS.

Owns one storage account per kind (a flat namespace, a hierarchical one, and NFSv3, which no account learns later), each
behind private endpoints with public access off; the containers; and what jobs see of them: a volume and a claim per
container, and on request StorageClasses for claims that jobs make themselves.

Keys: none. blobfuse2 signs in as the nodes, which have a data role on the account; NFSv3 knows no sign-in at all, and
whoever reaches its endpoint inside the network may read and write.

Parameters and mount options follow the driver's own documents and source (kubernetes-sigs/blob-csi-driver, read
2026-11-23).
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import storage

from components.data_group import DataGroup
from components.environment import Environment
from components.network import Network
from components.roles import STORAGE_ACCOUNT_CONTRIBUTOR, STORAGE_BLOB_DATA_CONTRIBUTOR
from components.storage_account import AccountSpec, StorageAccount, kept_account
from components.volumes import ready_claim
from stacks.storage_settings import Blob, Container

DRIVER = "blob.csi.azure.com"
_DELETED_DATA_KEPT_DAYS = 7
_SKU = "Standard_LRS"
_FUSE_MOUNT = [
    "-o allow_other",
    "--file-cache-timeout-in-seconds=120",
    "--use-attr-cache=true",
    "--cancel-list-on-mount-seconds=10",  # a mount must not list, and pay for, the whole container
    "-o attr_timeout=120",
    "-o entry_timeout=120",
    "-o negative_timeout=120",
    "--log-level=LOG_WARNING",
]
_VOLUME_SIZE = "5Pi"
"""Kubernetes wants a number; a container has no size. The limit of one account."""


@dataclass(frozen=True, order=True)
class BlobKind:
    """One kind of account: how it is spoken to, and whether folders are real.

    Attributes:
        protocol: `fuse2` or `nfs`.
        hierarchical: folders are more than parts of names; NFS has it always.
    """

    protocol: str
    hierarchical: bool

    @property
    def name(self) -> str:
        """`flat`, `hierarchical` or `nfs`."""
        return "nfs" if self.protocol == "nfs" else "hierarchical" if self.hierarchical else "flat"

    @property
    def purpose(self) -> str:
        """Goes into the account's name."""
        return {"flat": "b", "hierarchical": "bh", "nfs": "bn"}[self.name]

    @property
    def services(self) -> tuple[str, ...]:
        """blobfuse2 and data tools speak to a hierarchical account's `dfs` endpoint as well."""
        return ("blob", "dfs") if self.hierarchical else ("blob",)

    def mount_options(self, os_sku: str) -> list[str]:
        """How nodes mount it; Azure Linux knows no `nconnect`."""
        if self.protocol == "nfs":
            return [] if os_sku == "AzureLinux" else ["nconnect=4"]
        return [*_FUSE_MOUNT, "--use-adls=true"] if self.hierarchical else list(_FUSE_MOUNT)


DYNAMIC = {"blob-fuse2": BlobKind("fuse2", False), "blob-nfs": BlobKind("nfs", True)}
"""StorageClass to the account that its volumes come from."""


def kind_of(container: Container) -> BlobKind:
    """The account that a container lives in."""
    return BlobKind(container.protocol, container.hierarchical or container.protocol == "nfs")


def blob_kinds(settings: Blob) -> list[BlobKind]:
    """The accounts that a stack's containers and StorageClasses need, in a stable order."""
    kinds = {kind_of(container) for container in settings.containers.values()}
    if settings.dynamic:
        kinds.update(DYNAMIC.values())
    return sorted(kinds)


@dataclass(frozen=True)
class MadeContainer:
    """A container as others use it.

    Attributes:
        name: its name.
        account_name: the account's name, as text.
        account_id: the account's resource id, for roles.
        claim: `<namespace>/<name>` of the claim that mounts it.
        ready: what must be there before something inside the network can use it.
    """

    name: str
    account_name: str
    account_id: pulumi.Output[str]
    claim: str
    ready: list[pulumi.Resource]


class BlobStorage(pulumi.ComponentResource):
    """The containers of one environment.

    Args:
        environment: gives names, location and tags.
        data: the group that accounts live in.
        resource_group: name of the platform's group, where the private endpoints live.
        settings: the containers, and whether jobs may make their own.
        os_sku: of the nodes that mount.
        network: where the private endpoints go.
        cluster_principal_id: the control plane's identity: its CSI controller makes dynamic containers.
        kubelet_principal_id: object id of the nodes' identity, which blobfuse2 signs in as.
        kubelet_client_id: client id of the same.
        provider: the cluster.
    """

    containers: dict[str, MadeContainer]
    storage_classes: list[str]
    accounts: dict[str, str]
    """`blob-flat`, `blob-hierarchical`, `blob-nfs` to the account's name."""
    kept: list[str]
    """Each account with its containers, in words: what stays where data is kept."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        data: DataGroup,
        resource_group: pulumi.Input[str],
        settings: Blob,
        os_sku: str,
        network: Network,
        cluster_principal_id: pulumi.Input[str],
        kubelet_principal_id: pulumi.Input[str],
        kubelet_client_id: pulumi.Input[str],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:BlobStorage", name, None, opts)
        self._label = name
        self._data = data
        self._os_sku = os_sku
        self._client_id = kubelet_client_id
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider)
        self._made: dict[BlobKind, StorageAccount] = {}
        self.accounts, self.containers = {}, {}
        for kind in blob_kinds(settings):
            grants: dict[str, tuple[str, pulumi.Input[str]]] = {
                "manages": (STORAGE_ACCOUNT_CONTRIBUTOR, cluster_principal_id)
            }
            if kind.protocol == "fuse2":
                grants["mounts"] = (STORAGE_BLOB_DATA_CONTRIBUTOR, kubelet_principal_id)
            made = StorageAccount(
                f"{name}-{kind.name}",
                environment=environment,
                data=data,
                resource_group=resource_group,
                network=network,
                spec=AccountSpec(
                    purpose=kind.purpose,
                    kind="StorageV2",
                    sku=_SKU,
                    services=kind.services,
                    hierarchical=kind.hierarchical,
                    nfs=kind.protocol == "nfs",
                ),
                grants=grants,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self._retention(kind, made)
            self._made[kind] = made
            self.accounts[f"blob-{kind.name}"] = made.account_name
        for container_name, container in settings.containers.items():
            self.containers[container_name] = self._container(container_name, container)
        self.kept = [
            kept_account(
                made.account_name,
                "container",
                [key for key, one in settings.containers.items() if kind_of(one) == kind],
            )
            for kind, made in self._made.items()
        ]
        self.storage_classes = list(DYNAMIC) if settings.dynamic else []
        for class_name in self.storage_classes:
            self._storage_class(class_name, DYNAMIC[class_name])
        self.register_outputs({"storageClasses": self.storage_classes})

    def _retention(self, kind: BlobKind, made: StorageAccount) -> None:
        retention = storage.DeleteRetentionPolicyArgs(enabled=True, days=_DELETED_DATA_KEPT_DAYS)
        storage.BlobServiceProperties(
            f"{self._label}-{kind.name}",
            resource_group_name=self._data.name,
            account_name=made.account.name,
            blob_services_name="default",
            delete_retention_policy=retention,
            container_delete_retention_policy=retention,
            opts=self._data.kept(pulumi.ResourceOptions(parent=self)),
        )

    def _container(self, container_name: str, container: Container) -> MadeContainer:
        kind = kind_of(container)
        account = self._made[kind]
        made = storage.BlobContainer(
            f"{self._label}-{container_name}",
            resource_group_name=self._data.name,
            account_name=account.account.name,
            container_name=container_name,
            public_access=storage.PublicAccess.NONE,
            opts=self._data.kept(pulumi.ResourceOptions(parent=self)),
        )
        claim = ready_claim(
            f"{self._label}-{container_name}",
            volume_name=f"blob-{container_name}",
            claim_name=f"blob-{container_name}",
            size=_VOLUME_SIZE,
            mount_options=kind.mount_options(self._os_sku),
            csi=kubernetes.core.v1.CSIPersistentVolumeSourceArgs(
                driver=DRIVER,
                volume_handle=f"{self._data.group_name}#{account.account_name}#{container_name}",
                volume_attributes={
                    "resourceGroup": self._data.group_name,
                    "storageAccount": account.account_name,
                    "containerName": container_name,
                    **self._sign_in(kind),
                },
            ),
            objects=self._objects,
            needs=[made, *account.ready],
        )
        return MadeContainer(container_name, account.account_name, account.account.id, claim, [made, *account.ready])

    def _storage_class(self, class_name: str, kind: BlobKind) -> None:
        account = self._made[kind]
        # Without this the driver opens the nodes' subnet to storage by service endpoints. As the account is named it
        # makes no endpoint of its own, and mounts by the name in the private zone.
        private = {"networkEndpointType": "privateEndpoint"} if kind.protocol == "nfs" else {}
        kubernetes.storage.v1.StorageClass(
            f"{self._label}-{class_name}",
            metadata={"name": class_name},
            provisioner=DRIVER,
            parameters={
                "skuName": _SKU,
                "resourceGroup": self._data.group_name,
                "storageAccount": account.account_name,
                **private,
                **self._sign_in(kind),
            },
            reclaim_policy="Delete",
            allow_volume_expansion=True,
            volume_binding_mode="Immediate",
            mount_options=kind.mount_options(self._os_sku),
            opts=pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(depends_on=account.ready)),
        )

    def _sign_in(self, kind: BlobKind) -> dict[str, pulumi.Input[str]]:
        """The CSI driver's own parameters for protocol and sign-in; it knows `msi` in small letters only."""
        if kind.protocol == "nfs":
            return {"protocol": "nfs"}
        return {
            "protocol": "fuse2",
            "AzureStorageAuthType": "msi",
            "AzureStorageIdentityClientID": self._client_id,
        }
