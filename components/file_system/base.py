"""What all backends have in common: what they are given, what they give, and how they keep data.

Owns the interface, the claim that pods mount, the StorageClass of the disks, and the refusal to shrink. Does not own
what a backend runs.

What data is kept in stays as the disks do: with `storage.deleteData: false` the objects that hold a file system
together (its namespace, claims and custom resources) are only forgotten when the stack no longer declares them. Their
operator would rightly refuse to delete a file system with volumes in it, and wait for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apiextensions import CustomResource
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.helm import v3 as helm
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import FileSystemPlan, Toleration, plan_file_system, tolerations_of
from capacity.pools import PoolPlan
from components.cluster import Cluster
from components.data_group import DataGroup
from components.environment import Environment
from components.network import Network
from components.volumes import NAMESPACE
from stacks.storage_settings import FileSystem

POOL_LABEL = "trainyard/pool"
TAKEN_OVER = {"pulumi.com/patchForce": "true"}
"""On what may have been kept: its fields belong to the deployment that made it, and this one takes them over."""
_BYTES = {"": 1} | {unit: 1024**power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)}
_SLOW = "40m"
"""Machines may have to start, disks to be attached and daemons to find each other before an object is there or gone."""


@dataclass(frozen=True)
class Surroundings:
    """What every backend is given; see `file_system`."""

    environment: Environment
    settings: FileSystem
    pools: Mapping[str, PoolPlan]
    node_pools: Mapping[str, pulumi.Resource]
    data: DataGroup
    cluster: Cluster
    network: Network
    resource_group: pulumi.Input[str]
    provider: kubernetes.Provider


@dataclass(frozen=True)
class Chart:
    """A chart of a pinned version; the name is its release's, too."""

    name: str
    version: str
    repository: str | None
    """Where charts of that name are found; None: `location` is the chart itself."""
    location: str | None = None


class SharedFileSystem(pulumi.ComponentResource):
    """One file system.

    Args:
        surroundings: what it is made of and in.

    Raises:
        LookupError: the settings were not checked, and cannot be planned.
    """

    storage_class: str
    """The read-write-many StorageClass, for claims that jobs make themselves."""
    claim: str
    """`<namespace>/<claim>` of the claim that is ready."""
    more_classes: list[str]
    """Other StorageClasses of the backend."""
    kept: list[str]
    """What stays when the stack goes, in words; empty where data is deleted."""

    def __init__(self, name: str, *, surroundings: Surroundings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(f"trainyard:components:{type(self).__name__}", name, None, opts)
        self._label = name
        self._given = surroundings
        self._child = pulumi.ResourceOptions(parent=self)
        self._objects = pulumi.ResourceOptions(
            parent=self,
            provider=surroundings.provider,
            custom_timeouts=pulumi.CustomTimeouts(create=_SLOW, update=_SLOW, delete=_SLOW),
        )
        self.more_classes = []
        self.kept = []

    @property
    def _size_gib(self) -> int:
        size = self._given.settings.size_gib
        if size is None:
            raise LookupError(f"file system {self._given.settings.backend} without a size")
        return size

    def _plan(self) -> FileSystemPlan:
        plan = plan_file_system(self._given.settings, self._given.pools)
        if plan is None:
            raise LookupError(f"file system {self._given.settings.backend} is not inside the cluster")
        return plan

    def _every_pool(self) -> tuple[Toleration, ...]:
        """Tolerations of what runs wherever a pod may mount."""
        return tolerations_of(self._given.pools.values())

    def _after(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        """Options of a Kubernetes object that comes after `needs` and goes before them."""
        return pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(depends_on=list(needs)))

    def _class_after(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        """The same for a StorageClass: Kubernetes takes no other policy in place; volumes do not miss their class."""
        replaced = pulumi.ResourceOptions(replace_on_changes=["reclaimPolicy"], delete_before_replace=True)
        return pulumi.ResourceOptions.merge(self._after(*needs), replaced)

    def _kept_after(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        """The same for an object that data is kept in."""
        return self._given.data.kept(self._after(*needs))

    def _namespace(self, name: str, pool: str, *, keep: bool = True) -> core.Namespace:
        """A namespace whose daemons are privileged, on machines that outlive it, with the right to make disks."""
        needs = [*self._given.data.disks_ready, self._given.node_pools[pool]]
        return core.Namespace(
            f"{self._label}-{name}",
            metadata=meta.ObjectMetaArgs(
                name=name,
                annotations=TAKEN_OVER,
                labels={
                    "app.kubernetes.io/part-of": "trainyard",
                    "pod-security.kubernetes.io/enforce": "privileged",
                },
            ),
            opts=self._kept_after(*needs) if keep else self._after(*needs),
        )

    def _disk_class(self, name: str) -> storage.StorageClass:
        """Premium disks of one copy: the file system makes its own copies, zone-redundant disks would double them.

        Without host caching: Azure has none for disks of 4 TiB and more, and the daemons cache themselves.
        """
        tags = {key: value for key, value in self._given.environment.tags.items() if not {",", "="} & set(key + value)}
        return storage.StorageClass(
            f"{self._label}-disks",
            metadata=meta.ObjectMetaArgs(name=name),
            provisioner="disk.csi.azure.com",
            parameters={
                "skuName": "Premium_LRS",
                "resourceGroup": self._given.data.group_name,
                "cachingMode": "None",
                "tags": ",".join(f"{key}={value}" for key, value in sorted(tags.items())),
            },
            reclaim_policy=self._given.data.reclaim_policy,
            allow_volume_expansion=True,
            volume_binding_mode="WaitForFirstConsumer",
            opts=self._class_after(*self._given.data.disks_ready),
        )

    def _release(
        self, chart: Chart, namespace: str, values: Mapping[str, Any], *needs: pulumi.Resource
    ) -> helm.Release:
        return helm.Release(
            f"{self._label}-{chart.name}",
            name=chart.name,
            chart=chart.location or chart.name,
            version=chart.version,
            repository_opts=helm.RepositoryOptsArgs(repo=chart.repository) if chart.repository else None,
            namespace=namespace,
            values=dict(values),
            timeout=1800,
            opts=self._after(*needs),
        )

    def _custom(
        self,
        name: str,
        *,
        api_version: str,
        kind: str,
        named: tuple[str, str],
        spec: Mapping[str, Any],
        opts: pulumi.ResourceOptions,
        annotations: Mapping[str, str] | None = None,
    ) -> CustomResource:
        """A custom resource; `named` is its namespace and name.

        Deleted in the background: in the foreground, Pulumi's default, Kubernetes would delete daemons, and the claims
        of their disks, before the operator has even looked whether anything still needs them.
        """
        namespace, object_name = named
        return CustomResource(
            f"{self._label}-{name}",
            api_version=api_version,
            kind=kind,
            metadata=meta.ObjectMetaArgs(
                name=object_name,
                namespace=namespace,
                annotations={**TAKEN_OVER, "pulumi.com/deletionPropagationPolicy": "background", **(annotations or {})},
            ),
            spec=dict(spec),
            opts=opts,
        )

    @property
    def _claim_name(self) -> str:
        """Each backend's own: where backends change, the new one's claim comes before the old one's goes."""
        return f"file-system-{self._given.settings.backend}"

    def _claim(self, storage_class: str, *needs: pulumi.Resource) -> None:
        """The claim that pods mount; it grows with the settings and never shrinks, as Kubernetes' claims do."""
        growing = grows_only(
            f"{self._label}-claim-grows",
            _claimed,
            "Kubernetes claims cannot shrink. Keep storage.fileSystem.sizeGib, or make a new file system: copy the "
            "data away, set backend to none, deploy, and set it again with the new size.",
        )
        core.PersistentVolumeClaim(
            f"{self._label}-claim",
            metadata=meta.ObjectMetaArgs(name=self._claim_name, namespace=NAMESPACE),
            spec=core.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteMany"],
                storage_class_name=storage_class,
                resources=core.VolumeResourceRequirementsArgs(requests={"storage": f"{self._size_gib}Gi"}),
            ),
            opts=pulumi.ResourceOptions.merge(self._after(*needs), pulumi.ResourceOptions(hooks=growing)),
        )
        self.claim = f"{NAMESPACE}/{self._claim_name}"


def grows_only(
    name: str, measured: Callable[[Mapping[str, Any]], Mapping[str, int]], remedy: str, *, fixed: bool = False
) -> pulumi.ResourceHookBinding:
    """A hook that refuses an update, in preview already, that makes less of something that holds data.

    Args:
        name: unique in the program.
        measured: quantities by name, from a resource's inputs.
        remedy: what can be done instead.
        fixed: refuse more, too.
    """

    def refuse(args: pulumi.ResourceHookArgs) -> None:
        refused = shrinking(measured(args.old_inputs or {}), measured(args.new_inputs or {}), fixed=fixed)
        if refused:
            raise pulumi.RunError(f"{args.name}: {refused} is refused, and nothing was changed: {remedy}")

    return pulumi.ResourceHookBinding(
        before_update=[pulumi.ResourceHook(name, refuse, pulumi.ResourceHookOptions(on_dry_run=True))]
    )


def shrinking(before: Mapping[str, int], after: Mapping[str, int], *, fixed: bool = False) -> str:
    """Quantities that become less, or with `fixed` other than they were, in words; empty where there is none."""
    refused = [
        f"{key} {before[key]} to {after[key]}"
        for key in before
        if key in after and (after[key] < before[key] or (fixed and after[key] != before[key]))
    ]
    return ", ".join(refused)


def gib(quantity: object) -> int:
    """A quantity in whole GiB. The API server writes `1024Gi` as `1Ti`, and the state then holds that."""
    found = re.fullmatch(r"(\d+)([KMGTPE]i)?", str(quantity))
    if found is None:
        raise ValueError(f"{quantity!r} is no quantity that this program or the API server writes")
    number, unit = found.groups()
    return int(number) * _BYTES[unit or ""] // _BYTES["Gi"]


def on_pool(plan: FileSystemPlan) -> dict[str, Any]:
    """Placement on the storage pool alone: node affinity and tolerations, as Kubernetes spells them."""
    return {"nodeAffinity": node_affinity(plan.pool), "tolerations": specs(plan.tolerations)}


def node_affinity(pool: str) -> dict[str, Any]:
    """Node affinity to one pool."""
    expression = {"key": POOL_LABEL, "operator": "In", "values": [pool]}
    return {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    }


def specs(tolerations: Sequence[Toleration]) -> list[dict[str, str]]:
    """Tolerations as Kubernetes spells them."""
    return [one.spec() for one in tolerations]


def toleration_args(tolerations: Sequence[Toleration]) -> list[core.TolerationArgs]:
    """Tolerations for a pod of ours."""
    return [
        core.TolerationArgs(key=one.key, operator="Equal", value=one.value, effect=one.effect) for one in tolerations
    ]


def _claimed(inputs: Mapping[str, Any]) -> dict[str, int]:
    return {"GiB from": gib(inputs["spec"]["resources"]["requests"]["storage"])}
