"""GlusterFS in the cluster, run by Kadalu: bricks on claims of premium disks, copied by the clients.

Owns the namespace, Kadalu's chart, the bricks' claims, the storage pool and a StorageClass of it. Kadalu makes one of
its own, too (`kadalu.shared`); ours has the reclaim policy that the stack file asks for, and goes with the stack.

Kadalu takes tolerations and no placement: it gives a pool's tolerations to the bricks' servers and to its CSI node
plugin alike. So the pool tolerates every taint, as the plugin must, and an admission policy keeps the servers on the
storage pool, the copies of a piece of data on different machines and in different zones.

Its last release is of January 2024: Rook is the default for a reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import FileSystemPlan, Toleration
from components.file_system.base import (
    TAKEN_OVER,
    Chart,
    SharedFileSystem,
    Surroundings,
    gib,
    grows_only,
    specs,
)
from components.file_system.placement_policy import Expression, cel, placement_policy

NAMESPACE = "kadalu"
"""Kadalu's own code asks for this one by name."""

KADALU = Chart(
    "kadalu",
    "1.2.0",
    None,
    # Kadalu has no chart repository: its releases carry the chart.
    "https://github.com/kadalu/kadalu/releases/download/1.2.0/kadalu-helm-chart.tgz",
)
API = "kadalu-operator.storage/v1alpha1"
POOL, CLASS, DISK_CLASS = "shared", "gluster-shared", "gluster-disks"
COPIES = "trainyard/copies"
"""Label of the servers whose bricks hold copies of the same data."""

CHART_VALUES: Mapping[str, Any] = {
    "global": {"kubernetesDistro": "kubernetes"},
    "operator": {"enabled": True},
    "csi-nodeplugin": {"enabled": True},
}
_REMEDY = (
    "Kubernetes claims cannot shrink, and Gluster does not move data off a brick by itself. Keep sizeGib, diskGib and "
    "replicas of storage.fileSystem, or make a new file system: copy the data away, set backend to none, deploy, and "
    "set it again."
)


class Gluster(SharedFileSystem):
    """Kadalu and one pool of bricks on the storage pool."""

    def __init__(self, name: str, *, surroundings: Surroundings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, surroundings=surroundings, opts=opts)
        plan, data = self._plan(), surroundings.data
        namespace = self._namespace(NAMESPACE, plan.pool)
        placed = placement_policy(
            f"{name}-kadalu",
            namespace=NAMESPACE,
            plan=plan,
            owners=["ReplicaSet", "StatefulSet"],
            more=apart(plan),
            opts=self._kept_after(namespace),
        )
        operator = self._release(KADALU, NAMESPACE, CHART_VALUES, placed)
        disks = self._disk_class(DISK_CLASS)
        bricks = [self._brick(index, plan, operator, disks) for index in range(plan.disks)]
        pool = self._custom(
            "pool",
            api_version=API,
            kind="KadaluStorage",
            named=(NAMESPACE, POOL),
            spec=pool_spec(plan, self._every_pool(), keep=not data.delete_data),
            opts=pulumi.ResourceOptions.merge(
                self._kept_after(operator, *bricks),
                pulumi.ResourceOptions(hooks=grows_only(f"{name}-pool-grows", _bricks_of, _REMEDY)),
            ),
        )
        shared = storage.StorageClass(
            f"{name}-class",
            metadata=meta.ObjectMetaArgs(name=CLASS),
            provisioner="kadalu",
            # No topology: every node with the plugin reaches every brick.
            parameters={"storage_name": POOL, "single_pv_per_pool": "False"},
            reclaim_policy=data.reclaim_policy,
            allow_volume_expansion=True,
            volume_binding_mode="Immediate",
            opts=self._class_after(pool),
        )
        self.storage_class = CLASS
        self._claim(CLASS, shared)
        if not data.delete_data:
            self.kept = [
                f"Gluster's {plan.disks} disks of {plan.disk_gib} GiB in resource group {data.group_name}, and its "
                f"objects in namespace {NAMESPACE} as long as the cluster is there"
            ]
        self.register_outputs({"storageClass": self.storage_class, "claim": self.claim})

    def _brick(self, index: int, plan: FileSystemPlan, *needs: pulumi.Resource) -> core.PersistentVolumeClaim:
        """One brick's claim; bound when its server is placed, and so in the server's zone."""
        growing = grows_only(f"{self._label}-brick-{index}-grows", _brick_size, _REMEDY)
        return core.PersistentVolumeClaim(
            f"{self._label}-brick-{index}",
            metadata=meta.ObjectMetaArgs(name=f"brick-{index}", namespace=NAMESPACE, annotations=TAKEN_OVER),
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=DISK_CLASS,
                resources=core.VolumeResourceRequirementsArgs(requests={"storage": f"{plan.disk_gib}Gi"}),
            ),
            opts=pulumi.ResourceOptions.merge(self._kept_after(*needs), pulumi.ResourceOptions(hooks=growing)),
        )


def pool_spec(plan: FileSystemPlan, every_pool: tuple[Toleration, ...], *, keep: bool) -> dict[str, Any]:
    """The KadaluStorage: each run of `replicas` bricks holds copies of the same data."""
    return {
        "type": f"Replica{plan.replicas}",
        "storage": [{"pvc": f"brick-{index}"} for index in range(plan.disks)],
        "tolerations": specs(every_pool),
        "pvReclaimPolicy": "retain" if keep else "delete",
    }


def apart(plan: FileSystemPlan) -> dict[str, object]:
    """What keeps copies apart, as JSON pointers of a server's pod: label, anti-affinity, spread over zones.

    Servers are StatefulSets of one pod, `server-shared-<brick>-0`, all with the same labels: which bricks hold copies
    of the same data shows in their numbers alone. The other pods of the namespace get a group of their own.
    """
    server = f'object.metadata.?name.orValue("").startsWith("server-{POOL}-")'
    number = f'int(object.metadata.name.split("-")[2]) / {plan.replicas}'
    group = Expression(f'({server} ? string({number}) : "none")')
    same = {"matchLabels": {COPIES: group}}
    anti_affinity = {"labelSelector": same, "topologyKey": "kubernetes.io/hostname"}
    changes: dict[str, object] = {
        f"/metadata/labels/{COPIES.replace('/', '~1')}": group,
        "/spec/affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": Expression(f"{server} ? [{cel(anti_affinity)}] : []")
            }
        },
    }
    if len(plan.zones) > 1:
        over_zones = {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "nodeTaintsPolicy": "Honor",
            "labelSelector": same,
        }
        changes["/spec/topologySpreadConstraints"] = Expression(f"{server} ? [{cel(over_zones)}] : []")
    return changes


def _bricks_of(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {"bricks from": len(inputs["spec"]["storage"])}


def _brick_size(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {"GiB from": gib(inputs["spec"]["resources"]["requests"]["storage"])}
