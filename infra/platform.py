"""How the parts of the platform are wired together.

Owns the order and the hand-overs, and nothing else: what a part makes, it decides itself.
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import authorization

from capacity.catalogue import load_catalogue
from capacity.network_plan import NetworkPlan, plan_network
from capacity.pools import PoolPlan, plan_pools
from capacity.prediction import pool_tags
from components.autoscaler import Autoscaler, Priorities
from components.azure_files import AzureFiles
from components.blob_storage import BlobStorage
from components.cluster import Cluster
from components.cluster_access import ClusterAccess
from components.cluster_identity import ClusterIdentity
from components.data_group import DataGroup
from components.datasets import Datasets
from components.environment import Environment
from components.file_system import SharedFileSystem, file_system
from components.gpu_device_plugin import GpuDevicePlugin
from components.job_protection import JobProtection
from components.live import read_live_cluster, refusals
from components.naming import cluster_name, resource_group_name
from components.network import Network
from components.node_pool import NodePool, physical_name
from components.pachyderm import Pachyderm
from components.placement import PlacementRights
from components.provisioning_requests import provisioning_requests
from components.queues import Queues
from components.registry import Registry
from components.resource_group import ResourceGroup
from components.serve import Serve
from components.update_guard import UpdateGuard
from infra.aliases import without_version_aliases
from stacks.settings import Deployer, Stack

_AZURE_CLI = "04b07795-8ddb-461a-bbee-02f9e1bf7b46"
"""The application that people sign in to with `az login`; everything else that deploys is a service principal."""


def environment(settings: Stack) -> Environment:
    """Who deploys where: the stack's settings and the account that Azure's provider is signed in with."""
    client = authorization.get_client_config()
    return Environment(
        project=pulumi.get_project(),
        name=pulumi.get_stack(),
        location=settings.location,
        subscription_id=client.subscription_id,
        tenant_id=client.tenant_id,
        deployer=Deployer(
            object_id=client.object_id, principal_type="User" if client.client_id == _AZURE_CLI else "ServicePrincipal"
        ),
        extra_tags=dict(settings.tags),
    )


class Platform(pulumi.ComponentResource):
    """One environment: everything that a stack file asks for.

    Args:
        environment: where and for whom.
        settings: the validated stack file.

    Raises:
        pulumi.RunError: the change would end running jobs, or replace the cluster (`components/live.py`).
    """

    outputs: dict[str, pulumi.Input[object]]

    def __init__(
        self, name: str, *, environment: Environment, settings: Stack, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(
            "trainyard:infra:Platform",
            name,
            None,
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[without_version_aliases])),
        )
        child = pulumi.ResourceOptions(parent=self)
        managed = settings.autoscaler.mode == "managed"
        pools = plan_pools(settings, load_catalogue())
        plan = plan_network(settings)
        _refuse_what_destroys(environment, settings, pools, plan)

        guard = UpdateGuard()
        group = ResourceGroup("platform", environment=environment, opts=child)
        network = Network(
            "network",
            environment=environment,
            resource_group=group.name,
            plan=plan,
            outbound_ips=settings.network.outbound_ips,
            opts=child,
        )
        identity = ClusterIdentity(
            "identity",
            environment=environment,
            resource_group=group.name,
            node_subnet_id=network.node_subnet_id,
            opts=child,
        )
        cluster = Cluster(
            "cluster",
            environment=environment,
            resource_group=group.name,
            settings=settings,
            plan=plan,
            node_subnet_id=network.node_subnet_id,
            outbound_addresses=network.outbound_addresses,
            identity=identity,
            # AKS's own autoscaler keeps its counts itself.
            hooks=None if managed else guard.cluster,
            opts=child,
        )
        registry = Registry(
            "registry",
            environment=environment,
            resource_group=group.name,
            settings=settings.registry,
            puller_id=cluster.kubelet_principal_id,
            opts=child,
        )
        access = ClusterAccess(
            "access",
            environment=environment,
            resource_group=group.name,
            cluster=cluster,
            deployers=settings.cluster.deployers,
            opts=child,
        )
        placement = PlacementRights(
            "placement", environment=environment, pools=pools, principal_id=identity.principal_id, opts=child
        )
        node_pools = {
            key: NodePool(
                key,
                environment=environment,
                resource_group=group.name,
                cluster_name=cluster.name,
                kubernetes_version=settings.cluster.kubernetes_version,
                os_sku=settings.cluster.os_sku,
                plan=pool,
                node_subnet_id=network.node_subnet_id,
                tags=pool_tags(
                    pool,
                    location=environment.location,
                    autoscaler=settings.autoscaler,
                    autoscaler_name=cluster_name(environment.name),
                    tags={**environment.tags, "trainyard-pool": key},
                ),
                managed_scaling=managed,
                hooks=guard.pools,
                needs=placement.ready,
                opts=child,
            )
            for key, pool in pools.items()
        }
        data = DataGroup(
            "data",
            environment=environment,
            delete_data=settings.storage.delete_data,
            cluster_principal_id=identity.principal_id,
            opts=child,
        )
        files = AzureFiles(
            "files",
            environment=environment,
            data=data,
            resource_group=group.name,
            settings=settings.storage.files,
            kubernetes_version=settings.cluster.kubernetes_version,
            network=network,
            cluster_principal_id=identity.principal_id,
            kubelet_principal_id=cluster.kubelet_principal_id,
            provider=access.provider,
            opts=child,
        )
        blob = BlobStorage(
            "blob",
            environment=environment,
            data=data,
            resource_group=group.name,
            settings=settings.storage.blob,
            os_sku=settings.cluster.os_sku,
            network=network,
            cluster_principal_id=identity.principal_id,
            kubelet_principal_id=cluster.kubelet_principal_id,
            kubelet_client_id=cluster.kubelet_client_id,
            provider=access.provider,
            opts=child,
        )
        shared = file_system(
            "file-system",
            environment=environment,
            settings=settings.storage.file_system,
            pools=pools,
            node_pools=node_pools,
            data=data,
            cluster=cluster,
            network=network,
            resource_group=group.name,
            provider=access.provider,
            opts=child,
        )
        pachyderm = settings.storage.pachyderm and Pachyderm(
            "pachyderm",
            environment=environment,
            resource_group=group.name,
            settings=settings.storage.pachyderm,
            container=blob.containers[settings.storage.pachyderm.container],
            pools=pools,
            data=data,
            cluster=cluster,
            provider=access.provider,
            opts=child,
        )
        datasets = Datasets(
            "datasets",
            environment=environment,
            resource_group=group.name,
            datasets=settings.datasets,
            shares=settings.storage.files.shares,
            share_claims=files.share_claims,
            containers=blob.containers,
            file_system_claim=shared.claim if shared else None,
            cluster=cluster,
            provider=access.provider,
            opts=child,
        )
        GpuDevicePlugin("gpu", pools=pools, provider=access.provider, opts=child)
        needs: list[pulumi.Resource] = []
        if settings.queues.enabled and not managed:
            needs.append(provisioning_requests("provisioning-requests", provider=access.provider, opts=child))
        queues = settings.queues.enabled and Queues(
            "queues",
            settings=settings.queues,
            pools=pools,
            provider=access.provider,
            cluster=cluster.resource,
            needs=needs,
            opts=child,
        )
        if settings.autoscaler.profile == "batch":
            JobProtection(
                "job-protection",
                kubernetes_version=settings.cluster.kubernetes_version,
                namespaces=list(dict.fromkeys(["default", *(settings.queues.namespaces if queues else ())])),
                provider=access.provider,
                opts=child,
            )
        serve = Serve(
            "serve",
            services=settings.serve,
            gpu_metrics=settings.gpu_metrics,
            pools=pools,
            namespaces=queues.namespaces if queues else {},
            provider=access.provider,
            opts=child,
        )
        if settings.autoscaler.expander == "priority":
            needs.append(
                Priorities("priorities", pools=settings.pools, provider=access.provider, opts=child).config_map
            )
        if not managed:
            Autoscaler(
                "autoscaler",
                environment=environment,
                resource_group=group.name,
                settings=settings,
                cluster=cluster,
                node_subnet_id=network.node_subnet_id,
                provider=access.provider,
                needs=needs,
                opts=child,
            )
        self.outputs = {
            "resourceGroup": group.name,
            "dataResourceGroup": data.name,
            "nodeResourceGroup": cluster.node_resource_group,
            "clusterName": cluster.name,
            "getCredentials": pulumi.Output.concat(
                "az aks get-credentials --resource-group ", group.name, " --name ", cluster.name
            ),
            "kubeconfig": access.kubeconfig,
            "registry": registry.login_server,
            "pools": {key: _pool_output(pools[key], pool) for key, pool in node_pools.items()},
            "shares": files.share_claims,
            "containers": {key: made.claim for key, made in blob.containers.items()},
            "fileSystem": _file_system_output(settings, shared),
            "storageClasses": [*files.storage_classes, *blob.storage_classes, *_classes(shared)],
            "storageAccounts": {**files.accounts, **blob.accounts},
            "datasets": datasets.outputs,
            "autoscaler": settings.autoscaler.mode,
            "queues": queues.names if queues else [],
            "services": serve.outputs,
            "keptOnDestroy": data.kept_things(
                [*files.kept, *blob.kept, *(one for part in (shared, pachyderm) if part for one in part.kept)]
            ),
        }
        self.register_outputs({})


def _pool_output(plan: PoolPlan, pool: NodePool) -> dict[str, object]:
    return {
        "agentPool": pool.physical_name,
        "class": plan.settings.pool_class,
        "role": plan.settings.role,
        "vmSize": plan.size.name,
        "min": plan.settings.min,
        "max": plan.settings.max,
        "spot": plan.spot is not None,
        "gpusPerNode": plan.gpus_per_node,
    }


def _file_system_output(settings: Stack, shared: SharedFileSystem | None) -> dict[str, str]:
    backend: str = settings.storage.file_system.backend
    return {"backend": backend, **({"storageClass": shared.storage_class, "claim": shared.claim} if shared else {})}


def _classes(shared: SharedFileSystem | None) -> list[str]:
    return [shared.storage_class, *shared.more_classes] if shared else []


def _refuse_what_destroys(
    environment: Environment, settings: Stack, pools: dict[str, PoolPlan], plan: NetworkPlan
) -> None:
    live = read_live_cluster(
        resource_group_name(environment.name, environment.location), cluster_name(environment.name)
    )
    names = {key: physical_name(pool, settings.cluster.os_sku) for key, pool in pools.items()}
    refused = refusals(live, settings, plan, names)
    if refused:
        raise pulumi.RunError("\n".join(["This change is refused, and nothing was changed:", *refused]))
