"""Azure's own Python clients against the running server: they poll, parse and list as on Azure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError
from azure.core.polling import LROPoller
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.compute import models as compute_models
from azure.mgmt.containerservice import ContainerServiceClient, models

from sandbox import certificates
from sandbox.home import Home
from tests.sandbox.azure.conftest import Azure, Running, sign_in

GROUP, CLUSTER, NODES = "rg", "yard", "rg-nodes"


class Token:
    """A credential that always gives the sandbox's deployer's token."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: object) -> AccessToken:
        return AccessToken(self._token, int(time.time()) + 3600)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(Path(tmp_path_factory.mktemp("sdk")) / "home")
    home.create(role_delay=0.1, boot_delay=0.3)
    certificates.ensure(home)
    return home


@pytest.fixture(scope="module")
def azure(home: Home) -> Iterator[Azure]:
    running = Running(home)
    try:
        client = Azure(home, home.config, sign_in(home))
        client.make(client.group, {"location": "westeurope"})
        yield client
    finally:
        running.stop()


@pytest.fixture(scope="module")
def containers(azure: Azure) -> ContainerServiceClient:
    return ContainerServiceClient(
        Token(azure.token),
        azure.config.subscription_id,
        base_url=azure.home.azure_url,
        credential_scopes=[f"{azure.home.azure_url}/.default"],
        connection_verify=str(azure.home.ca_bundle),
    )


@pytest.fixture(scope="module")
def compute(azure: Azure) -> ComputeManagementClient:
    return ComputeManagementClient(
        Token(azure.token),
        azure.config.subscription_id,
        base_url=azure.home.azure_url,
        credential_scopes=[f"{azure.home.azure_url}/.default"],
        connection_verify=str(azure.home.ca_bundle),
    )


def _pool(count: int, max_pods: int | None = None) -> models.AgentPool:
    wanted: Any = models.ManagedClusterAgentPoolProfileProperties(
        count=count, vm_size="Standard_NC4as_T4_v3", mode="User", tags={"min": "0"}, max_pods=max_pods
    )
    return models.AgentPool(properties=wanted)


@pytest.fixture(scope="module")
def cluster(containers: ContainerServiceClient) -> models.ManagedCluster:
    poller: LROPoller[models.ManagedCluster] = containers.managed_clusters.begin_create_or_update(
        GROUP,
        CLUSTER,
        models.ManagedCluster(
            location="westeurope",
            identity=models.ManagedClusterIdentity(type="SystemAssigned"),
            properties=models.ManagedClusterProperties(
                dns_prefix="yard",
                node_resource_group=NODES,
                kubernetes_version="1.36",
                aad_profile=models.ManagedClusterAADProfile(managed=True, enable_azure_rbac=True),
                disable_local_accounts=True,
                network_profile=models.ContainerServiceNetworkProfile(
                    network_plugin="azure", network_plugin_mode="overlay"
                ),
                agent_pool_profiles=[
                    models.ManagedClusterAgentPoolProfile(
                        name="system", mode="System", count=1, vm_size="Standard_D4ds_v5"
                    )
                ],
            ),
        ),
        polling_interval=0.2,
    )
    return poller.result(60)


def test_a_cluster_is_made_read_and_listed(containers: ContainerServiceClient, cluster: models.ManagedCluster) -> None:
    assert cluster.properties is not None
    assert cluster.properties.provisioning_state == "Succeeded"
    found = containers.managed_clusters.get(GROUP, CLUSTER)
    assert found.properties is not None
    assert [one.name for one in found.properties.agent_pool_profiles or []] == ["system"]
    assert [one.name for one in containers.managed_clusters.list()] == [CLUSTER]
    assert [one.name for one in containers.managed_clusters.list_by_resource_group(GROUP)] == [CLUSTER]
    credentials = containers.managed_clusters.list_cluster_user_credentials(GROUP, CLUSTER, format="exec")
    assert b"kubelogin" in ((credentials.kubeconfigs or [])[0].value or b"")
    with pytest.raises(HttpResponseError, match="Getting static credential is not allowed"):
        containers.managed_clusters.list_cluster_admin_credentials(GROUP, CLUSTER)
    versions = containers.managed_clusters.list_kubernetes_versions("westeurope")
    assert "1.36" in [one.version for one in versions.values_property or []]
    profile = containers.managed_clusters.get_upgrade_profile(GROUP, CLUSTER)
    assert profile.properties.control_plane_profile.kubernetes_version == "1.36.1"


def test_a_pool_lives_through_the_client(
    containers: ContainerServiceClient, compute: ComputeManagementClient, cluster: models.ManagedCluster
) -> None:
    made = containers.agent_pools.begin_create_or_update(GROUP, CLUSTER, "light", _pool(1), polling_interval=0.2)
    light: Any = made.result(60)
    assert light.properties.count == 1
    with pytest.raises(HttpResponseError) as caught:
        containers.agent_pools.begin_create_or_update(GROUP, CLUSTER, "light", _pool(1, max_pods=30)).result(60)
    assert caught.value.status_code == 400
    assert "Changing property 'properties.maxPods' is not allowed." in str(caught.value)
    names = {one.name for one in containers.agent_pools.list(GROUP, CLUSTER)}
    assert {"system", "light"} <= names
    upgrade = containers.agent_pools.get_upgrade_profile(GROUP, CLUSTER, "light")
    assert upgrade.properties.kubernetes_version == "1.36.1"
    [found] = [one for one in compute.virtual_machine_scale_sets.list(NODES) if (one.tags or {}).get("min") == "0"]
    assert found.name is not None
    grown = compute.virtual_machine_scale_sets.begin_create_or_update(
        NODES,
        found.name,
        compute_models.VirtualMachineScaleSet(
            location="westeurope",
            sku=compute_models.Sku(name="Standard_NC4as_T4_v3", tier="Standard", capacity=3),
        ),
        polling_interval=0.2,
    ).result(60)
    assert grown.sku is not None
    assert grown.sku.capacity == 3
    machines = list(compute.virtual_machine_scale_set_vms.list(NODES, found.name, expand="instanceView"))
    assert [one.instance_id for one in machines] == ["0", "1", "2"]
    youngest: Any = machines[2]
    view = youngest.properties.instance_view
    assert [one.code for one in view.statuses] == ["ProvisioningState/succeeded", "PowerState/running"]
    compute.virtual_machine_scale_sets.begin_delete_instances(
        NODES,
        found.name,
        compute_models.VirtualMachineScaleSetVMInstanceRequiredIDs(instance_ids=["1"]),
        polling_interval=0.2,
    ).result(60)
    left = [one.instance_id for one in compute.virtual_machine_scale_set_vms.list(NODES, found.name)]
    assert left == ["0", "2"]
    containers.agent_pools.begin_delete(GROUP, CLUSTER, "light", polling_interval=0.2).result(60)
    assert [one.name for one in containers.agent_pools.list(GROUP, CLUSTER)] == ["system"]
    assert list(compute.virtual_machines.list(NODES)) == []


def test_quota_and_sizes_are_read(compute: ComputeManagementClient, cluster: models.ManagedCluster) -> None:
    usage = {one.name.value: one for one in compute.usage.list("westeurope")}
    assert usage["cores"].current_value == 4
    assert usage["lowPriorityCores"].limit > 0
    sizes = {one.name: one for one in compute.resource_skus.list(filter="location eq 'westeurope'")}
    capabilities = {one.name: one.value for one in sizes["Standard_NC24ads_A100_v4"].capabilities or []}
    assert capabilities["GPUs"] == "1"


def test_a_maintenance_window_is_written(containers: ContainerServiceClient, cluster: models.ManagedCluster) -> None:
    window = models.MaintenanceWindow(
        duration_hours=6,
        start_time="02:00",
        schedule=models.Schedule(weekly=models.WeeklySchedule(day_of_week="Sunday", interval_weeks=1)),
    )
    name = "aksManagedAutoUpgradeSchedule"
    containers.maintenance_configurations.create_or_update(
        GROUP,
        CLUSTER,
        name,
        models.MaintenanceConfiguration(
            properties=models.MaintenanceConfigurationProperties(maintenance_window=window)
        ),
    )
    listed = containers.maintenance_configurations.list_by_managed_cluster(GROUP, CLUSTER)
    assert [one.name for one in listed] == [name]
    containers.maintenance_configurations.delete(GROUP, CLUSTER, name)
    assert list(containers.maintenance_configurations.list_by_managed_cluster(GROUP, CLUSTER)) == []
