"""Ceph in the cluster, run by Rook: CephFS for volumes of many pods, RBD for those of one.

Owns the namespace, the operators' and drivers' charts, the Ceph cluster with its file system and block pool, the
StorageClasses, and a pod with Ceph's tools on request. The file system is the default one of Trainyard: its disks are
plain managed disks, or the machines' own NVMe disks where the stack file accepts that data dies with its machine.

Order: objects go in the reverse of how they came: claim and classes, group of volumes, file system and block pool,
cluster, drivers, operator, machines. Each finalizer is cleared by an operator that is still there.
"""

from __future__ import annotations

import pulumi
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import FileSystemPlan
from components.file_system import rook_objects as ceph
from components.file_system.base import POOL_LABEL, SharedFileSystem, Surroundings, grows_only, toleration_args

_TOOLS = {"app": "rook-ceph-tools"}
_ADMINISTRATOR = "rook-ceph-mon"
"""The secret in which Rook keeps Ceph's administrator."""


class Rook(SharedFileSystem):
    """Rook and a Ceph cluster on the storage pool."""

    def __init__(self, name: str, *, surroundings: Surroundings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, surroundings=surroundings, opts=opts)
        plan, settings, data = self._plan(), surroundings.settings, surroundings.data
        namespace = self._namespace(ceph.NAMESPACE, plan.pool)
        operator = self._release(ceph.ROOK, ceph.NAMESPACE, ceph.operator_values(plan), namespace)
        drivers = self._release(ceph.DRIVERS, ceph.NAMESPACE, ceph.driver_values(plan, self._every_pool()), operator)
        profiles = [
            self._custom(
                label,
                api_version=ceph.CSI_API,
                kind="ClientProfile",
                named=(ceph.NAMESPACE, profile),
                spec=ceph.profile_spec(),
                opts=pulumi.ResourceOptions.merge(
                    self._kept_after(operator, drivers), pulumi.ResourceOptions(ignore_changes=["spec"])
                ),
            )
            for label, profile in (("client-profile", ceph.NAMESPACE), ("group-profile", ceph.GROUP))
        ]
        disks = self._disk_class(ceph.DISK_CLASS)
        cluster = self._custom(
            "cluster",
            api_version=ceph.API,
            kind="CephCluster",
            named=(ceph.NAMESPACE, ceph.NAMESPACE),
            spec=ceph.cluster_spec(plan, dashboard=settings.dashboard),
            opts=pulumi.ResourceOptions.merge(
                self._kept_after(*profiles, disks),
                pulumi.ResourceOptions(
                    hooks=grows_only(
                        f"{name}-cluster-grows",
                        ceph.disks_of,
                        "Rook never takes a disk from a running cluster by itself. Keep sizeGib, diskGib and replicas "
                        "of storage.fileSystem, or make a new file system: copy the data away, set backend to none, "
                        "deploy, and set it again.",
                    )
                ),
            ),
        )
        file_system = self._custom(
            "cephfs",
            api_version=ceph.API,
            kind="CephFilesystem",
            named=(ceph.NAMESPACE, ceph.FILE_SYSTEM),
            spec=ceph.file_system_spec(plan, keep=not data.delete_data),
            opts=self._kept_after(cluster),
        )
        deletable = ceph.FORCE if data.delete_data else None
        group = self._custom(
            "group",
            api_version=ceph.API,
            kind="CephFilesystemSubVolumeGroup",
            named=(ceph.NAMESPACE, ceph.GROUP),
            annotations=deletable,
            spec=ceph.group_spec(),
            opts=self._kept_after(file_system),
        )
        block_pool = self._custom(
            "block",
            api_version=ceph.API,
            kind="CephBlockPool",
            named=(ceph.NAMESPACE, ceph.BLOCK_POOL),
            annotations=deletable,
            spec=ceph.block_pool_spec(plan),
            opts=self._kept_after(cluster),
        )
        shared = self._class(ceph.CLASS, "cephfs", ceph.class_parameters(), group)
        self._class(ceph.BLOCK_CLASS, "rbd", ceph.block_class_parameters(), block_pool)
        if settings.toolbox:
            self._toolbox(plan, cluster)
        self.storage_class, self.more_classes = ceph.CLASS, [ceph.BLOCK_CLASS]
        self._claim(ceph.CLASS, shared)
        if not data.delete_data:
            where = "local NVMe disks" if plan.local_nvme else f"{plan.disks} disks of {plan.disk_gib} GiB"
            self.kept = [
                f"Ceph's {where} and {plan.monitors} disks of its monitors in resource group {data.group_name}, "
                f"and its objects in namespace {ceph.NAMESPACE} as long as the cluster is there"
            ]
        self.register_outputs({"storageClass": self.storage_class, "claim": self.claim})

    def _class(self, name: str, kind: str, parameters: dict[str, str], behind: pulumi.Resource) -> storage.StorageClass:
        return storage.StorageClass(
            f"{self._label}-{kind}",
            metadata=meta.ObjectMetaArgs(name=name),
            provisioner=f"{ceph.NAMESPACE}.{kind}.csi.ceph.com",
            parameters=parameters,
            reclaim_policy=self._given.data.reclaim_policy,
            allow_volume_expansion=True,
            volume_binding_mode="Immediate",
            opts=self._class_after(behind),
        )

    def _toolbox(self, plan: FileSystemPlan, cluster: pulumi.Resource) -> None:
        """A pod with `ceph` and `rados`, signed in as the administrator: `kubectl exec` into it."""
        container = core.ContainerArgs(
            name="rook-ceph-tools",
            image=ceph.ROOK_IMAGE,
            command=["/usr/local/bin/toolbox.sh"],
            tty=True,
            env=[
                core.EnvVarArgs(
                    name="ROOK_CEPH_USERNAME",
                    value_from=core.EnvVarSourceArgs(
                        secret_key_ref=core.SecretKeySelectorArgs(name=_ADMINISTRATOR, key="ceph-username")
                    ),
                )
            ],
            resources=core.ResourceRequirementsArgs(
                requests={"cpu": "100m", "memory": "128Mi"}, limits={"memory": "1Gi"}
            ),
            security_context=core.SecurityContextArgs(
                run_as_non_root=True,
                run_as_user=2016,
                run_as_group=2016,
                allow_privilege_escalation=False,
                capabilities=core.CapabilitiesArgs(drop=["ALL"]),
            ),
            volume_mounts=[
                core.VolumeMountArgs(name="ceph-config", mount_path="/etc/ceph"),
                core.VolumeMountArgs(name="mon-endpoints", mount_path="/etc/rook", read_only=True),
                core.VolumeMountArgs(name="keyring", mount_path="/var/lib/rook-ceph-mon", read_only=True),
            ],
        )
        volumes = [
            core.VolumeArgs(name="ceph-config", empty_dir=core.EmptyDirVolumeSourceArgs()),
            core.VolumeArgs(
                name="mon-endpoints",
                config_map=core.ConfigMapVolumeSourceArgs(
                    name="rook-ceph-mon-endpoints", items=[core.KeyToPathArgs(key="data", path="mon-endpoints")]
                ),
            ),
            core.VolumeArgs(
                name="keyring",
                secret=core.SecretVolumeSourceArgs(
                    secret_name=_ADMINISTRATOR, items=[core.KeyToPathArgs(key="ceph-secret", path="secret.keyring")]
                ),
            ),
        ]
        apps.Deployment(
            f"{self._label}-tools",
            metadata=meta.ObjectMetaArgs(name="rook-ceph-tools", namespace=ceph.NAMESPACE, labels=_TOOLS),
            spec=apps.DeploymentSpecArgs(
                replicas=1,
                selector=meta.LabelSelectorArgs(match_labels=_TOOLS),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels=_TOOLS),
                    spec=core.PodSpecArgs(
                        service_account_name="rook-ceph-default",
                        node_selector={POOL_LABEL: plan.pool},
                        tolerations=toleration_args(plan.tolerations),
                        containers=[container],
                        volumes=volumes,
                    ),
                ),
            ),
            opts=self._after(cluster),
        )
