"""Portworx in the cluster: commercial software, whose licence is the user's to bring.

Owns the namespace, the operator's chart, Portworx's identity on Azure with the rights to make and attach disks, the
StorageCluster and a StorageClass. Without a licence it runs as a trial; `pxctl license activate` in a Portworx pod
brings one.

Portworx runs on every node that may mount, and keeps data on the storage pool's alone, which it knows by the label
`portworx.io/node-type` (`capacity/pools.py`). It makes its disks itself, **in the node resource group**, which AKS
deletes with the cluster: with `storage.deleteData: false` they outlive the stack's objects, but not the cluster. What
must outlive it belongs in a share, a container, or another backend.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_azure_native import authorization, managedidentity
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import PORTWORX_METADATA_GIB, FileSystemPlan, Toleration
from components.autoscaler_rights import SUBNET_ACTIONS
from components.file_system.base import Chart, SharedFileSystem, Surroundings, grows_only, specs
from components.file_system.placement_policy import placement_policy
from components.roles import assign_role

NAMESPACE = "portworx"
PORTWORX = Chart("portworx", "9.1.1", "https://raw.githubusercontent.com/portworx/helm/master/stable/")
API = "core.libopenstorage.org/v1"
IMAGE = "portworx/oci-monitor:3.6.1"
CLASS = "portworx-shared"
SERVICE_ACCOUNT = "portworx"
DISK_ACTIONS = (
    "Microsoft.Compute/disks/delete",
    "Microsoft.Compute/disks/read",
    "Microsoft.Compute/disks/write",
    "Microsoft.Compute/virtualMachines/read",
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/read",
    "Microsoft.Compute/virtualMachineScaleSets/virtualMachines/write",
)
"""On the node resource group: what Portworx's page on AKS lists for making and attaching disks."""
POOL_ACTIONS = ("Microsoft.ContainerService/managedClusters/agentPools/read",)
"""On the cluster, of the same list."""


class Portworx(SharedFileSystem):
    """Portworx on all pools, its data on the storage pool."""

    def __init__(self, name: str, *, surroundings: Surroundings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, surroundings=surroundings, opts=opts)
        plan, data = self._plan(), surroundings.data
        identity, rights = self._identity()
        namespace = self._namespace(NAMESPACE, plan.pool)
        placed = placement_policy(
            f"{name}-portworx",
            namespace=NAMESPACE,
            plan=plan,
            owners=["ReplicaSet"],
            opts=self._kept_after(namespace),
        )
        operator = self._release(PORTWORX, NAMESPACE, {"deployOperator": True, "deployCluster": False}, placed)
        cluster = self._custom(
            "cluster",
            api_version=API,
            kind="StorageCluster",
            named=(NAMESPACE, cluster_name(surroundings.environment.name)),
            annotations={"portworx.io/is-aks": "true", "portworx.io/disable-storage-class": "true"},
            spec=cluster_spec(plan, self._every_pool(), client_id=identity.client_id, delete_data=data.delete_data),
            opts=pulumi.ResourceOptions.merge(
                self._kept_after(operator, *rights),
                pulumi.ResourceOptions(
                    hooks=grows_only(
                        f"{name}-cluster-stays",
                        _disks_of,
                        "Portworx gives disks to a machine once. Keep sizeGib, diskGib and replicas of "
                        "storage.fileSystem, and grow its pools with `pxctl service pool expand`.",
                        fixed=True,
                    )
                ),
            ),
        )
        shared = storage.StorageClass(
            f"{name}-class",
            metadata=meta.ObjectMetaArgs(name=CLASS),
            provisioner="pxd.portworx.com",
            # No topology: a volume is reached from every node that Portworx runs on.
            parameters={"repl": str(plan.replicas), "sharedv4": "true", "io_profile": "auto"},
            reclaim_policy=data.reclaim_policy,
            allow_volume_expansion=True,
            volume_binding_mode="Immediate",
            opts=self._class_after(cluster),
        )
        self.storage_class = CLASS
        self._claim(CLASS, shared)
        if not data.delete_data:
            self.kept = [
                f"Portworx's objects in namespace {NAMESPACE} and its disks in resource group "
                f"{surroundings.cluster.node_resource_group} as long as the cluster is there; AKS deletes both with it"
            ]
        self.register_outputs({"storageClass": self.storage_class, "claim": self.claim})

    def _identity(self) -> tuple[managedidentity.UserAssignedIdentity, list[pulumi.Resource]]:
        """Who Portworx is on Azure, by workload identity, and what must be there before it calls."""
        environment, cluster = self._given.environment, self._given.cluster
        identity = managedidentity.UserAssignedIdentity(
            f"{self._label}-portworx",
            resource_group_name=self._given.resource_group,
            resource_name_=f"id-trainyard-{environment.name}-portworx",
            location=environment.location,
            tags=environment.tags,
            opts=self._child,
        )
        credential = managedidentity.FederatedIdentityCredential(
            f"{self._label}-portworx",
            resource_group_name=self._given.resource_group,
            resource_name_=identity.name,
            federated_identity_credential_resource_name=SERVICE_ACCOUNT,
            issuer=cluster.issuer_url,
            subject=f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}",
            audiences=["api://AzureADTokenExchange"],
            opts=self._child,
        )
        subscription = f"/subscriptions/{environment.subscription_id}"
        node_group = cluster.id.apply(lambda _: f"{subscription}/resourceGroups/{cluster.node_resource_group}")
        grants: dict[str, tuple[Sequence[str], pulumi.Input[str]]] = {
            "makes-disks": (DISK_ACTIONS, node_group),
            "reads-pools": (POOL_ACTIONS, cluster.id),
            "keeps-node-subnet": (SUBNET_ACTIONS, self._given.network.node_subnet_id),
        }
        return identity, [credential, *(self._grant(identity, purpose, *grant) for purpose, grant in grants.items())]

    def _grant(
        self,
        identity: managedidentity.UserAssignedIdentity,
        purpose: str,
        actions: Sequence[str],
        scope: pulumi.Input[str],
    ) -> pulumi.Resource:
        environment, label = self._given.environment, f"{self._label}-portworx-{purpose}"
        subscription = f"/subscriptions/{environment.subscription_id}"
        role = authorization.RoleDefinition(
            label,
            role_definition_id=environment.stable_uuid("role-definition", label),
            # A custom role's name is unique in the whole directory.
            role_name=f"Trainyard {environment.name} {environment.unique} Portworx {purpose}",
            description="What Portworx calls, and nothing else.",
            role_type="CustomRole",
            scope=subscription,
            assignable_scopes=[subscription],
            permissions=[authorization.PermissionArgs(actions=list(actions))],
            opts=self._child,
        )
        return assign_role(
            label,
            environment=environment,
            role=role.id,
            principal_id=identity.principal_id,
            scope=scope,
            opts=self._child,
        )


def cluster_name(environment: str) -> str:
    """Of the StorageCluster."""
    return f"portworx-trainyard-{environment}"


def cluster_spec(
    plan: FileSystemPlan, every_pool: tuple[Toleration, ...], *, client_id: pulumi.Input[str], delete_data: bool
) -> dict[str, Any]:
    """The StorageCluster: on every node of the stack's pools, disks on those that are labelled for it.

    Portworx reports nothing home unless its owner turns that on.
    """
    zones = max(len(plan.zones), 1)
    not_system = {"key": "trainyard/pool", "operator": "Exists"}
    spec: dict[str, Any] = {
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "kvdb": {"internal": True},
        "cloudStorage": {
            "provider": "azure",
            "deviceSpecs": [f"type=Premium_LRS,size={plan.disk_gib}"] * (plan.disks // plan.nodes),
            "systemMetadataDeviceSpec": f"type=Premium_LRS,size={PORTWORX_METADATA_GIB}",
            "maxStorageNodesPerZone": math.ceil(plan.nodes / zones),
        },
        "env": [{"name": "ENABLE_ASG_STORAGE_PARTITIONING", "value": "true"}],
        "secretsProvider": "k8s",
        "csi": {"enabled": True},
        "stork": {"enabled": True},
        "autopilot": {"enabled": False},
        "monitoring": {"telemetry": {"enabled": False}},
        "placement": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [not_system]}]
                }
            },
            "tolerations": specs(every_pool),
        },
        "workloadIdentity": {
            "credentials": [{"cloudProvider": "azure", "key": "azure.workload.identity/client-id", "value": client_id}]
        },
    }
    if delete_data:
        spec["deleteStrategy"] = {"type": "UninstallAndDelete", "ignoreVolumes": True}
    return spec


def _disks_of(inputs: Mapping[str, Any]) -> dict[str, int]:
    devices: Sequence[str] = inputs["spec"]["cloudStorage"]["deviceSpecs"]
    return {"disks a machine from": len(devices), "GiB a disk from": int(devices[0].rpartition("=")[2])}
