"""The AKS cluster with its system pool.

Owns the managed cluster and its maintenance windows. Does not own the pools that jobs run on (`node_pool.py`),
nor the way in (`cluster_access.py`).

The system pool is the one pool in the cluster's own body, as AKS needs one there, and it is never changed through
it: a change there puts every pool of the cluster into Scaling, and a refresh fills the list with all pools
(FACTS of pulumi-azure-native users: #4264, #2719). `live.py` says so when the stack file asks for another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import pulumi
from pulumi_azure_native import containerservice as aks

from capacity.autoscaling.profiles import profile_of
from capacity.network_plan import NetworkPlan
from components.cluster_identity import ClusterIdentity
from components.environment import Environment
from components.naming import cluster_name, dns_prefix, node_resource_group_name, resource_group_name
from stacks.settings import Autoscaler, MaintenanceWindow, Stack, SystemPool
from stacks.settings import Cluster as ClusterSettings

SYSTEM_POOL = "system"
SYSTEM_TAINT = "CriticalAddonsOnly=true:NoSchedule"
_WINDOWS = ("aksManagedAutoUpgradeSchedule", "aksManagedNodeOSUpgradeSchedule")
_EPOCH = date(2024, 1, 1)
"""A fixed day, so that a window's start date is the same in every run; the week's day comes from the schedule."""


class Cluster(pulumi.ComponentResource):
    """One managed cluster.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the group to live in.
        settings: the whole stack's: cluster, autoscaler and system pool.
        plan: address ranges of pods and services.
        node_subnet_id: where nodes get their addresses.
        outbound_addresses: under which nodes leave; a public API server that is not open to all must let them in.
        identity: whose rights on the subnet must be there first.
        hooks: look at what runs before an update is sent (`components/update_guard.py`).
    """

    resource: pulumi.Resource
    """AKS's own resource: what lives in the cluster alone goes with it."""
    id: pulumi.Output[str]
    name: pulumi.Output[str]
    issuer_url: pulumi.Output[str]
    """Where the cluster's service-account tokens come from; federated credentials name it."""
    kubelet_principal_id: pulumi.Output[str]
    kubelet_client_id: pulumi.Output[str]
    """Object id of the identity that nodes pull images and mount shares with; AKS makes it."""
    node_resource_group: str

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        settings: Stack,
        plan: NetworkPlan,
        node_subnet_id: pulumi.Input[str],
        outbound_addresses: Sequence[pulumi.Input[str]],
        identity: ClusterIdentity,
        hooks: pulumi.ResourceHookBinding | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Cluster", name, None, opts)
        wanted = settings.cluster
        self.node_resource_group = node_resource_group_name(resource_group_name(environment.name, environment.location))
        cluster = aks.ManagedCluster(
            name,
            resource_group_name=resource_group,
            resource_name_=cluster_name(environment.name),
            location=environment.location,
            tags=environment.tags,
            sku=aks.ManagedClusterSKUArgs(name="Base", tier=wanted.tier),
            kubernetes_version=wanted.kubernetes_version,
            dns_prefix=dns_prefix(environment.name, environment.unique),
            node_resource_group=self.node_resource_group,
            identity=aks.ManagedClusterIdentityArgs(
                type=aks.ResourceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.id]
            ),
            enable_rbac=True,
            disable_local_accounts=True,
            aad_profile=aks.ManagedClusterAADProfileArgs(
                managed=True,
                enable_azure_rbac=True,
                tenant_id=environment.tenant_id,
                admin_group_object_ids=list(wanted.administrators),
            ),
            oidc_issuer_profile=aks.ManagedClusterOIDCIssuerProfileArgs(enabled=True),
            security_profile=aks.ManagedClusterSecurityProfileArgs(
                workload_identity=aks.ManagedClusterSecurityProfileWorkloadIdentityArgs(enabled=True),
                image_cleaner=aks.ManagedClusterSecurityProfileImageCleanerArgs(enabled=True, interval_hours=168),
            ),
            network_profile=_network_profile(plan),
            storage_profile=aks.ManagedClusterStorageProfileArgs(
                disk_csi_driver=aks.ManagedClusterStorageProfileDiskCSIDriverArgs(enabled=True),
                file_csi_driver=aks.ManagedClusterStorageProfileFileCSIDriverArgs(enabled=True),
                blob_csi_driver=aks.ManagedClusterStorageProfileBlobCSIDriverArgs(enabled=True),
                snapshot_controller=aks.ManagedClusterStorageProfileSnapshotControllerArgs(enabled=True),
            ),
            api_server_access_profile=_api_server_access(wanted, outbound_addresses),
            auto_upgrade_profile=_auto_upgrades(settings),
            auto_scaler_profile=_managed_autoscaler(settings.autoscaler),
            agent_pool_profiles=[_system_pool(wanted.system_pool, wanted, node_subnet_id, environment.tags)],
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=wanted.protect,
                depends_on=identity.ready,
                ignore_changes=["agentPoolProfiles"],
                hooks=hooks,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
            ),
        )
        for window in _WINDOWS:
            aks.MaintenanceConfiguration(
                f"{name}-{window}",
                resource_group_name=resource_group,
                resource_name_=cluster.name,
                config_name=window,
                maintenance_window=_maintenance_window(wanted.upgrades.window),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.resource = cluster
        self.id = cluster.id
        self.name = cluster.name
        self.issuer_url = cluster.oidc_issuer_profile.apply(lambda profile: profile.issuer_url if profile else "")
        kubelet = cluster.identity_profile.apply(_kubelet)
        self.kubelet_principal_id = kubelet.apply(lambda found: found.object_id or "")
        self.kubelet_client_id = kubelet.apply(lambda found: found.client_id or "")
        self.register_outputs({"id": self.id, "name": self.name})


def _kubelet(
    identities: Mapping[str, aks.outputs.UserAssignedIdentityManagedClusterResponse] | None,
) -> aks.outputs.UserAssignedIdentityManagedClusterResponse:
    identity = (identities or {}).get("kubeletidentity")
    if identity is None or not identity.object_id or not identity.client_id:
        raise pulumi.RunError("AKS names no identity for the cluster's nodes: run `pulumi up` again")
    return identity


def _network_profile(plan: NetworkPlan) -> aks.ContainerServiceNetworkProfileArgs:
    return aks.ContainerServiceNetworkProfileArgs(
        network_plugin="azure",
        network_plugin_mode="overlay",
        network_dataplane="cilium",
        network_policy="cilium",
        pod_cidr=str(plan.pods),
        service_cidr=str(plan.services),
        dns_service_ip=str(plan.dns_service_ip),
        outbound_type="userAssignedNATGateway",
        load_balancer_sku="standard",
    )


def _api_server_access(
    settings: ClusterSettings, outbound_addresses: Sequence[pulumi.Input[str]]
) -> aks.ManagedClusterAPIServerAccessProfileArgs:
    """AKS adds its own load balancer's address to the ranges by itself, but not those of a NAT gateway of ours."""
    if settings.private:
        return aks.ManagedClusterAPIServerAccessProfileArgs(
            enable_private_cluster=True, enable_private_cluster_public_fqdn=False, private_dns_zone="system"
        )
    ranges: list[pulumi.Input[str]] = list(settings.authorized_ip_ranges)
    if ranges:
        ranges += [pulumi.Output.concat(address, "/32") for address in outbound_addresses]
    return aks.ManagedClusterAPIServerAccessProfileArgs(enable_private_cluster=False, authorized_ip_ranges=ranges)


def _auto_upgrades(settings: Stack) -> aks.ManagedClusterAutoUpgradeProfileArgs:
    """AKS upgrades drain nodes unasked, and a self-hosted autoscaler's counts do not survive them."""
    managed = settings.autoscaler.mode == "managed"
    wanted = settings.cluster.upgrades
    return aks.ManagedClusterAutoUpgradeProfileArgs(
        upgrade_channel=wanted.cluster or ("patch" if managed else "none"),
        node_os_upgrade_channel=wanted.node_os or ("NodeImage" if managed else "None"),
    )


def _managed_autoscaler(settings: Autoscaler) -> aks.ManagedClusterPropertiesAutoScalerProfileArgs | None:
    """The same profile as the self-hosted autoscaler's; AKS's own has no threshold for GPUs."""
    if settings.mode != "managed":
        return None
    profile = profile_of(settings)
    return aks.ManagedClusterPropertiesAutoScalerProfileArgs(
        expander=settings.expander,
        scan_interval="10s",
        scale_down_unneeded_time=profile.unneeded,
        scale_down_delay_after_add=profile.after_add,
        scale_down_utilization_threshold=f"{profile.utilization:g}",
        ignore_daemonsets_utilization=True,
        balance_similar_node_groups="false",
        skip_nodes_with_local_storage="true",
        skip_nodes_with_system_pods="true",
    )


def _system_pool(
    pool: SystemPool, cluster: ClusterSettings, subnet_id: pulumi.Input[str], tags: dict[str, str]
) -> aks.ManagedClusterAgentPoolProfileArgs:
    return aks.ManagedClusterAgentPoolProfileArgs(
        name=SYSTEM_POOL,
        mode="System",
        type="VirtualMachineScaleSets",
        vm_size=pool.vm_size,
        count=pool.count,
        enable_auto_scaling=False,
        availability_zones=list(pool.zones) or None,
        os_type="Linux",
        os_sku=cluster.os_sku,
        os_disk_size_gb=pool.os_disk.size_gib,
        os_disk_type=None if pool.os_disk.type == "auto" else pool.os_disk.type,
        max_pods=pool.max_pods,
        node_taints=[SYSTEM_TAINT],
        upgrade_settings=aks.AgentPoolUpgradeSettingsArgs(max_surge=pool.surge),
        vnet_subnet_id=subnet_id,
        tags=tags,
    )


def _maintenance_window(window: MaintenanceWindow) -> aks.MaintenanceWindowArgs:
    days = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    return aks.MaintenanceWindowArgs(
        duration_hours=window.duration_hours,
        start_time=window.start,
        utc_offset=window.utc_offset,
        start_date=(_EPOCH + timedelta(days=days.index(window.day))).isoformat(),
        schedule=aks.ScheduleArgs(weekly=aks.WeeklyScheduleArgs(day_of_week=window.day, interval_weeks=1)),
    )
