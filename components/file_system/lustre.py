"""Azure Managed Lustre: a parallel file system that Azure runs, in a network of its own.

Owns the file system, and what jobs see of it: the CSI driver, a volume with its claim, and a StorageClass for claims
that jobs make themselves, each a folder of its own in the same file system. Its network is `lustre_network.py`'s.

The file system is a resource of the stack and not the driver's to make: it has a name, tags and a preview, lies with
the other data, is kept as they are, and the cluster needs no right to make or delete one. No role is needed: whoever
reaches its address may mount.

Azure changes neither size, SKU nor zone of one. Its name carries a hash of them, so such a change shows as a
replacement: a new, empty one; the old one stays on Azure with its data, unless the stack file says that data goes.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import storagecache
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.storage import v1 as storage

from capacity.file_system_plan import plan_lustre
from components.file_system.base import SharedFileSystem, Surroundings
from components.file_system.lustre_driver import DRIVER, lustre_driver
from components.file_system.lustre_network import LustreNetwork
from components.naming import fit, short_hash
from components.volumes import ready_claim

CLASS = "azure-lustre"
MOUNT_OPTIONS = ("noatime", "flock")


class ManagedLustre(SharedFileSystem):
    """One Azure Managed Lustre with its CSI driver."""

    def __init__(self, name: str, *, surroundings: Surroundings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, surroundings=surroundings, opts=opts)
        environment, data, wanted = surroundings.environment, surroundings.data, surroundings.settings.lustre
        size_tib = plan_lustre(self._size_gib).size_tib
        unique = short_hash(f"{size_tib}/{wanted.sku}/{wanted.zone}/{environment.location}", 5)
        file_system_name = lustre_name(environment.name, unique)
        addresses = surroundings.network.plan.lustre
        if addresses is None:
            raise pulumi.RunError("no private range is left for the managed Lustre's network: use a smaller vnetCidr")
        network = LustreNetwork(
            f"{name}-network",
            environment=environment,
            resource_group=surroundings.resource_group,
            network=surroundings.network,
            data=data,
            addresses=addresses,
            opts=self._child,
        )
        made = storagecache.AmlFilesystem(
            f"{name}-lustre",
            resource_group_name=data.name,
            aml_filesystem_name=file_system_name,
            location=environment.location,
            sku=storagecache.SkuNameArgs(name=wanted.sku),
            storage_capacity_ti_b=size_tib,
            zones=[wanted.zone],
            filesystem_subnet=network.subnet_id,
            maintenance_window=storagecache.AmlFilesystemMaintenanceWindowArgs(
                day_of_week=storagecache.MaintenanceDayOfWeekType(wanted.maintenance_day),
                time_of_day_utc=wanted.maintenance_time,
            ),
            tags=environment.tags,
            opts=data.kept(
                pulumi.ResourceOptions(
                    parent=self,
                    custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
                )
            ),
        )
        address = made.client_info.apply(lambda info: info.mgs_address)
        driver = lustre_driver(f"{name}-csi", every_pool=self._every_pool(), opts=self._objects)
        storage.StorageClass(
            f"{name}-class",
            metadata=meta.ObjectMetaArgs(name=CLASS),
            provisioner=DRIVER,
            # No topology: the address is reached from every node of the network.
            parameters={
                "mgs-ip-address": address,
                "sub-dir": "claims/${pvc.metadata.namespace}/${pvc.metadata.name}",
            },
            # The driver deletes nothing that it has not made.
            reclaim_policy="Retain",
            volume_binding_mode="Immediate",
            mount_options=list(MOUNT_OPTIONS),
            opts=self._class_after(*driver, *network.ready),
        )
        self.storage_class = CLASS
        self.claim = ready_claim(
            f"{name}-claim",
            volume_name=file_system_name,
            claim_name=self._claim_name,
            size=f"{size_tib * 1024}Gi",
            mount_options=MOUNT_OPTIONS,
            csi=core.CSIPersistentVolumeSourceArgs(
                driver=DRIVER, volume_handle=file_system_name, volume_attributes={"mgs-ip-address": address}
            ),
            objects=self._objects,
            needs=[*driver, *network.ready],
        )
        if not data.delete_data:
            self.kept = [f"Azure Managed Lustre {file_system_name} and its network in resource group {data.group_name}"]
        self.register_outputs({"storageClass": self.storage_class, "claim": self.claim})


def lustre_name(environment: str, unique: str) -> str:
    """1 to 80 letters, digits, `_` and `-`, a letter or digit first and last."""
    return f"{fit(f'amlfs-trainyard-{environment}', 74)}-{unique}"
