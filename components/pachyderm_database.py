"""A PostgreSQL of Pachyderm's own, in the cluster.

Owns a StatefulSet of one replica of the official image, its disk in the group of data, its Service, and the script that
makes the second database. The chart's bundled PostgreSQL is not used: its image is 13.3 of 2021, for which no fixes
come any more, its passwords default to texts that everybody knows, and what a chart makes is neither checked by the API
server's strict validation nor placed by this stack.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import apps, core, meta

from components.data_group import DataGroup

IMAGE = "docker.io/library/postgres:17.5-bookworm"
HOST = "pachyderm-postgres"
PORT = 5432
USER = "pachyderm"
DATABASE = "pachyderm"
PASSWORD_KEY = "postgresql-password"  # noqa: S105  a key's name
DISK_CLASS = "pachyderm-database"
_POSTGRES_UID = 999
_LABELS = {"app.kubernetes.io/name": HOST, "app.kubernetes.io/part-of": "trainyard"}
_DATA = "/var/lib/postgresql/data"
_FIRST_START = """#!/bin/sh
set -e
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE dex OWNER $POSTGRES_USER"
"""


class PachydermDatabase(pulumi.ComponentResource):
    """One PostgreSQL with the databases `pachyderm` and `dex`.

    Args:
        namespace: where it runs.
        size_gib: of its disk; it can grow and not shrink.
        password: a Secret with the key `postgresql-password`.
        node_selector: labels of the pool it runs on, one that does not scale away where there is one.
        tolerations: of that pool's taints.
        data: the group that the disk lies in.
        provider: the cluster.
    """

    ready: pulumi.Resource

    def __init__(
        self,
        name: str,
        *,
        namespace: pulumi.Input[str],
        size_gib: int,
        password: core.v1.Secret,
        node_selector: Mapping[str, str],
        tolerations: Sequence[core.v1.TolerationArgs],
        data: DataGroup,
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:PachydermDatabase", name, None, opts)
        objects = pulumi.ResourceOptions(parent=self, provider=provider)
        metadata = meta.v1.ObjectMetaArgs(name=HOST, namespace=namespace, labels=_LABELS)
        disks = kubernetes.storage.v1.StorageClass(
            name,
            metadata={"name": DISK_CLASS},
            provisioner="disk.csi.azure.com",
            parameters={"skuName": "Premium_LRS", "resourceGroup": data.group_name},
            reclaim_policy=data.reclaim_policy,
            allow_volume_expansion=True,
            volume_binding_mode="WaitForFirstConsumer",
            opts=pulumi.ResourceOptions.merge(objects, pulumi.ResourceOptions(depends_on=data.disks_ready)),
        )
        scripts = core.v1.ConfigMap(name, metadata=metadata, data={"first-start.sh": _FIRST_START}, opts=objects)
        core.v1.Service(
            name,
            metadata=metadata,
            spec=core.v1.ServiceSpecArgs(
                selector=_LABELS, ports=[core.v1.ServicePortArgs(name="postgres", port=PORT, target_port="postgres")]
            ),
            opts=objects,
        )
        claim = core.v1.PersistentVolumeClaim(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=HOST,
                namespace=namespace,
                labels=_LABELS,
                # It is bound once a pod wants it, and that pod comes after it.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=disks.metadata.name.apply(str),
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": f"{size_gib}Gi"}),
            ),
            opts=pulumi.ResourceOptions.merge(objects, pulumi.ResourceOptions(depends_on=[disks])),
        )
        self.ready = apps.v1.StatefulSet(
            name,
            metadata=metadata,
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=1,
                service_name=HOST,
                selector=meta.v1.LabelSelectorArgs(match_labels=_LABELS),
                template=core.v1.PodTemplateSpecArgs(
                    metadata=meta.v1.ObjectMetaArgs(
                        labels=_LABELS,
                        # A database is not moved for the sake of a half-empty machine.
                        annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
                    ),
                    spec=core.v1.PodSpecArgs(
                        automount_service_account_token=False,
                        node_selector=dict(node_selector),
                        tolerations=list(tolerations),
                        security_context=core.v1.PodSecurityContextArgs(
                            run_as_non_root=True,
                            run_as_user=_POSTGRES_UID,
                            run_as_group=_POSTGRES_UID,
                            fs_group=_POSTGRES_UID,
                            seccomp_profile=core.v1.SeccompProfileArgs(type="RuntimeDefault"),
                        ),
                        containers=[_container(password.metadata.name.apply(str))],
                        volumes=[
                            core.v1.VolumeArgs(
                                name="data",
                                persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(
                                    claim_name=claim.metadata.name.apply(str)
                                ),
                            ),
                            core.v1.VolumeArgs(
                                name="scripts",
                                config_map=core.v1.ConfigMapVolumeSourceArgs(name=scripts.metadata.name.apply(str)),
                            ),
                            core.v1.VolumeArgs(name="run", empty_dir=core.v1.EmptyDirVolumeSourceArgs()),
                        ],
                    ),
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                objects,
                pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m")),
            ),
        )
        self.register_outputs({})


def _container(secret: pulumi.Input[str]) -> core.v1.ContainerArgs:
    asks = core.v1.ExecActionArgs(command=["pg_isready", "--username", USER, "--dbname", DATABASE])
    return core.v1.ContainerArgs(
        name="postgres",
        image=IMAGE,
        env=[
            core.v1.EnvVarArgs(name="POSTGRES_USER", value=USER),
            core.v1.EnvVarArgs(name="POSTGRES_DB", value=DATABASE),
            # A disk's root has a folder of its own, and the database wants an empty one.
            core.v1.EnvVarArgs(name="PGDATA", value=f"{_DATA}/pgdata"),
            core.v1.EnvVarArgs(name="POSTGRES_INITDB_ARGS", value="--auth-host=scram-sha-256"),
            core.v1.EnvVarArgs(
                name="POSTGRES_PASSWORD",
                value_from=core.v1.EnvVarSourceArgs(
                    secret_key_ref=core.v1.SecretKeySelectorArgs(name=secret, key=PASSWORD_KEY)
                ),
            ),
        ],
        ports=[core.v1.ContainerPortArgs(name="postgres", container_port=PORT)],
        readiness_probe=core.v1.ProbeArgs(exec_=asks, period_seconds=10),
        liveness_probe=core.v1.ProbeArgs(exec_=asks, initial_delay_seconds=60, period_seconds=30, failure_threshold=6),
        resources=core.v1.ResourceRequirementsArgs(requests={"cpu": "500m", "memory": "1Gi"}, limits={"memory": "2Gi"}),
        security_context=core.v1.SecurityContextArgs(
            allow_privilege_escalation=False,
            read_only_root_filesystem=True,
            capabilities=core.v1.CapabilitiesArgs(drop=["ALL"]),
        ),
        volume_mounts=[
            core.v1.VolumeMountArgs(name="data", mount_path=_DATA),
            core.v1.VolumeMountArgs(name="scripts", mount_path="/docker-entrypoint-initdb.d", read_only=True),
            core.v1.VolumeMountArgs(name="run", mount_path="/var/run/postgresql"),
        ],
    )
