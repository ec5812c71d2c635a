"""One pool of equal machines: an AKS agent pool, hence one VM scale set.

Owns the agent pool, and its proximity placement group where one is asked for. Its physical name carries a hash of
everything that AKS takes only at creation, so a change of such a value makes a new pool first and removes the old
one after. Workloads select on the label `trainyard/pool`, which stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from pulumi_azure_native import compute
from pulumi_azure_native import containerservice as aks

from capacity.pools import PoolPlan
from components.environment import Environment
from components.naming import agent_pool_name


class NodePool(pulumi.ComponentResource):
    """One agent pool.

    Args:
        environment: gives location and tags.
        resource_group: name of the cluster's group.
        cluster_name: the cluster to belong to.
        kubernetes_version: of the cluster; pools follow it.
        os_sku: the nodes' operating system.
        plan: the pool with its class's defaults applied.
        node_subnet_id: where nodes get their addresses.
        tags: all of the pool's, with those that the autoscaler reads (`capacity.prediction.pool_tags`).
        managed_scaling: whether AKS's own autoscaler keeps the count between min and max; never in a storage pool.
        hooks: look at what runs before an update is sent (`components/update_guard.py`).
        needs: what must be there first, as rights on a capacity reservation.
    """

    physical_name: str

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        cluster_name: pulumi.Input[str],
        kubernetes_version: str,
        os_sku: str,
        plan: PoolPlan,
        node_subnet_id: pulumi.Input[str],
        tags: dict[str, str],
        managed_scaling: bool,
        hooks: pulumi.ResourceHookBinding | None = None,
        needs: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:NodePool", name, None, opts)
        settings = plan.settings
        spot = plan.spot
        managed_scaling = managed_scaling and not settings.is_storage
        self.physical_name = physical_name(plan, os_sku)
        aks.AgentPool(
            name,
            resource_group_name=resource_group,
            resource_name_=cluster_name,
            agent_pool_name=self.physical_name,
            mode="User",
            type="VirtualMachineScaleSets",
            vm_size=plan.size.name,
            orchestrator_version=kubernetes_version,
            count=settings.min,
            enable_auto_scaling=managed_scaling,
            min_count=settings.min if managed_scaling else None,
            max_count=settings.max if managed_scaling else None,
            scale_down_mode="Delete",
            availability_zones=list(settings.zones) or None,
            os_type="Linux",
            os_sku=os_sku,
            os_disk_type=plan.os_disk_type,
            os_disk_size_gb=plan.os_disk_gib,
            max_pods=settings.max_pods,
            vnet_subnet_id=node_subnet_id,
            node_labels=plan.labels,
            node_taints=list(plan.taints),
            scale_set_priority="Spot" if spot else "Regular",
            scale_set_eviction_policy=spot.eviction_policy if spot else None,
            spot_max_price=spot.max_price if spot else None,
            gpu_instance_profile=plan.gpu_instance_profile,
            gpu_profile=aks.GPUProfileArgs(driver=plan.driver) if plan.driver else None,
            upgrade_settings=aks.AgentPoolUpgradeSettingsArgs(max_surge=plan.surge) if plan.surge else None,
            capacity_reservation_group_id=settings.capacity_reservation_group,
            proximity_placement_group_id=self._proximity_group(name, environment, resource_group, plan),
            enable_encryption_at_host=settings.encryption_at_host,
            tags=tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(needs),
                ignore_changes=["count"],
                hooks=hooks,
                # The provider's own default is the other way round, and would leave jobs without machines.
                delete_before_replace=False,
                custom_timeouts=pulumi.CustomTimeouts(create="60m", update="60m", delete="60m"),
            ),
        )
        self.register_outputs({"physicalName": self.physical_name})

    def _proximity_group(
        self, name: str, environment: Environment, resource_group: pulumi.Input[str], plan: PoolPlan
    ) -> pulumi.Output[str] | None:
        if not plan.settings.proximity_group:
            return None
        group = compute.ProximityPlacementGroup(
            name,
            resource_group_name=resource_group,
            proximity_placement_group_name=f"ppg-trainyard-{environment.name}-{self.physical_name}",
            location=environment.location,
            proximity_placement_group_type="Standard",
            tags=environment.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return group.id


def physical_name(plan: PoolPlan, os_sku: str) -> str:
    """The agent pool's name on Azure: the key and a hash of what AKS takes only at creation."""
    return agent_pool_name(plan.key, {**plan.create_only, "osSku": os_sku})
