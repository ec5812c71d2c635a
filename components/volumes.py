"""A volume that is there already, and the claim that pods mount it by."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core

NAMESPACE = "default"
"""Where the claims are: a pod mounts claims of its own namespace alone."""


def ready_claim(
    name: str,
    *,
    volume_name: str,
    claim_name: str,
    size: str,
    mount_options: Sequence[str],
    csi: core.v1.CSIPersistentVolumeSourceArgs,
    objects: pulumi.ResourceOptions,
    needs: Sequence[pulumi.Resource],
) -> str:
    """Declare a read-write-many volume and a claim bound to it.

    The volume's policy is Retain whatever becomes of the data: what it leads to is declared by the stack, which deletes
    it or keeps it.

    Args:
        name: logical name of both.
        volume_name: the volume's name.
        claim_name: the claim's name, in the namespace `default`.
        size: of both, as Kubernetes writes it: `100Gi`.
        mount_options: as the driver takes them.
        csi: the volume's source.
        objects: parent and provider.
        needs: what must be there before a pod may mount it.

    Returns:
        `<namespace>/<claim>`.
    """
    volume = core.v1.PersistentVolume(
        name,
        metadata={"name": volume_name},
        spec=core.v1.PersistentVolumeSpecArgs(
            capacity={"storage": size},
            access_modes=["ReadWriteMany"],
            persistent_volume_reclaim_policy="Retain",
            storage_class_name="",
            mount_options=list(mount_options),
            csi=csi,
        ),
        opts=pulumi.ResourceOptions.merge(objects, pulumi.ResourceOptions(depends_on=list(needs))),
    )
    core.v1.PersistentVolumeClaim(
        name,
        metadata={"name": claim_name, "namespace": NAMESPACE},
        spec={
            "access_modes": ["ReadWriteMany"],
            "storage_class_name": "",
            "volume_name": volume.metadata.name,
            "resources": {"requests": {"storage": size}},
        },
        opts=objects,
    )
    return f"{NAMESPACE}/{claim_name}"
