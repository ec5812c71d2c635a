"""Pool plans and the tags that predict their nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capacity.catalogue import load_catalogue
from capacity.checks import load
from capacity.pools import PoolPlan, plan_pools
from capacity.prediction import (
    AKS_OWN_TAGS,
    AZURE_TAGS,
    TEMPLATE,
    TooManyTagsError,
    allocatable,
    escaped,
    pool_tags,
    reserved_cpu_milli,
    reserved_memory_mib,
)
from stacks.settings import Autoscaler, Pool

BATCH = Autoscaler()


def plan(location: str = "westeurope", **pool: Any) -> PoolPlan:
    """The plan of one pool called `it`."""
    stack = load({"location": location, "pools": {"it": {"class": "heavy-gpu", "max": 4, **pool}}})
    return plan_pools(stack, load_catalogue())["it"]


def tags_of(made: PoolPlan, autoscaler: Autoscaler = BATCH, tags: dict[str, str] | None = None) -> dict[str, str]:
    return pool_tags(made, location="westeurope", autoscaler=autoscaler, autoscaler_name="trainyard", tags=tags or {})


def test_a_class_gives_size_taint_and_labels():
    made = plan()
    assert made.size.name == "Standard_NC24ads_A100_v4"
    assert made.taints == ("sku=gpu:NoSchedule",)
    assert made.labels["trainyard/pool"] == "it"
    assert made.labels["trainyard/class"] == "heavy-gpu"
    assert made.labels["trainyard/role"] == "train"
    assert (made.gpu_resource, made.gpus_per_node, made.driver) == ("nvidia.com/gpu", 1, "Install")


def test_a_cpu_pool_has_no_gpu_and_no_taint():
    made = plan(**{"class": "cpu"})
    assert (made.size.name, made.taints, made.gpu_resource, made.gpus_per_node) == ("Standard_D8ds_v5", (), None, 0)
    assert (made.driver, made.device_plugin_config) == (None, None)
    assert not [name for name in tags_of(made) if "gpu" in name or "accelerator" in name]


def test_no_autoscaler_finds_a_storage_pool_and_only_storage_tolerates_it():
    pool: dict[str, Any] = {"class": "storage", "min": 3, "max": 3}
    made = plan(**pool)
    assert made.taints == ("storage-node=true:NoSchedule",)
    tags = pool_tags(made, location="westeurope", autoscaler=Autoscaler(), autoscaler_name="aks", tags={})
    assert not {"cluster-autoscaler-enabled", "cluster-autoscaler-name", "min", "max"} & set(tags)


def test_a_pool_s_own_labels_and_taints_are_added():
    made = plan(labels={"team.example/name": "vision"}, taints=["team=vision:NoExecute"])
    assert made.labels["team.example/name"] == "vision"
    assert made.taints == ("sku=gpu:NoSchedule", "team=vision:NoExecute")


def test_a_spot_pool_declares_what_aks_adds_and_has_no_surge():
    made = plan(spot={"maxPrice": 2.5})
    assert made.labels["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert "kubernetes.azure.com/scalesetpriority=spot:NoSchedule" in made.taints
    assert (made.surge, made.surge_nodes, made.peak_nodes) == (None, 0, 4)
    assert made.create_only["spotMaxPrice"] == 2.5
    tags = tags_of(made)
    assert tags[f"{TEMPLATE}label_kubernetes.azure.com_scalesetpriority"] == "spot"
    assert tags[f"{TEMPLATE}taint_kubernetes.azure.com_scalesetpriority"] == "spot:NoSchedule"


def test_the_os_disk_is_ephemeral_where_the_size_is_known_to_have_room():
    assert plan().os_disk_type == "Ephemeral"
    assert plan(osDisk={"sizeGib": 512}).os_disk_type == "Managed"
    assert plan(osDisk={"type": "Managed"}).os_disk_type == "Managed"
    unknown = plan(**{"class": "cpu", "vmSize": "Standard_D8as_v6"})
    assert unknown.size.os_disk_room_gib is None
    assert unknown.os_disk_type == "Managed"
    assert plan(spot={"evictionPolicy": "Deallocate"}).os_disk_type == "Managed", "a deallocated machine keeps its disk"


@pytest.mark.parametrize(
    ("profile", "instances"), [("MIG1g", 7), ("MIG2g", 3), ("MIG3g", 2), ("MIG4g", 1), ("MIG7g", 1)]
)
def test_partitions_count_as_gpus(profile: str, instances: int):
    made = plan(vmSize="Standard_NC48ads_A100_v4", gpu={"sharing": "mig", "migProfile": profile})
    assert (made.gpus_per_node, made.gpu_instance_profile) == (2 * instances, profile)
    assert tags_of(made)[f"{TEMPLATE}resources_nvidia.com_gpu"] == str(2 * instances)
    assert made.labels["nvidia.com/device-plugin.config"] == "mig"


def test_shared_gpus_count_as_often_as_they_are_shared():
    made = plan(gpu={"sharing": "time-slicing", "replicas": 4})
    assert made.gpus_per_node == 4
    assert made.device_plugin_config == "time-slicing-4"
    assert made.gpu_instance_profile is None


def test_an_amd_pool_says_that_it_has_no_nvidia_gpus():
    made = plan("eastus2", vmSize="Standard_ND96isr_MI300X_v5")
    tags = tags_of(made)
    assert (made.gpu_resource, made.gpus_per_node, made.driver) == ("amd.com/gpu", 8, "None")
    assert tags[f"{TEMPLATE}resources_amd.com_gpu"] == "8"
    assert tags[f"{TEMPLATE}resources_nvidia.com_gpu"] == "0"
    assert f"{TEMPLATE}label_kubernetes.azure.com_accelerator" not in tags
    assert "nvidia.com/device-plugin.config" not in made.labels


def test_the_accelerator_label_is_a_tag_and_never_a_label():
    made = plan()
    assert tags_of(made)[f"{TEMPLATE}label_kubernetes.azure.com_accelerator"] == "nvidia"
    assert not [key for key in made.labels if "accelerator" in key]


def test_every_label_and_taint_of_a_pool_is_told_to_the_autoscaler():
    made = plan(labels={"a.b/c_d": "x"}, taints=["team=vision:NoExecute"], spot=True)
    tags = tags_of(made)
    for key, value in made.labels.items():
        assert tags[f"{TEMPLATE}label_{escaped(key)}"] == value
    for taint in made.taints:
        key, _, rest = taint.partition("=")
        assert tags[f"{TEMPLATE}taint_{escaped(key)}"] == rest
    assert tags[f"{TEMPLATE}label_a.b_c~2d"] == "x"


def test_a_single_zone_is_predicted_and_several_are_not():
    tags = tags_of(plan(zones=["2"]))
    assert tags[f"{TEMPLATE}label_topology.kubernetes.io_zone"] == "westeurope-2"
    assert tags[f"{TEMPLATE}label_topology.disk.csi.azure.com_zone"] == "westeurope-2"
    assert not [name for name in tags_of(plan(zones=["1", "2"])) if "topology" in name]


def test_only_a_self_hosted_autoscaler_is_told_where_its_pools_are():
    found = {"cluster-autoscaler-enabled": "true", "cluster-autoscaler-name": "trainyard", "min": "0", "max": "4"}
    assert found.items() <= tags_of(plan()).items()
    assert not found.keys() & tags_of(plan(), Autoscaler(mode="managed")).keys()


def test_a_batch_pool_gives_up_no_gpu_node_that_is_in_use():
    name = f"{TEMPLATE}autoscaling-options_scaledowngpuutilizationthreshold"
    assert tags_of(plan())[name] == "0"
    assert name not in tags_of(plan(), Autoscaler(profile="bursty"))
    assert tags_of(plan(scaling={"gpuUtilizationThreshold": 0.3}))[name] == "0.3"
    assert name not in tags_of(plan(**{"class": "cpu"}))


def test_scale_down_settings_of_a_pool_become_options():
    tags = tags_of(plan(scaling={"unneededMinutes": 30, "utilizationThreshold": 0.25}))
    assert tags[f"{TEMPLATE}autoscaling-options_scaledownunneededtime"] == "30m"
    assert tags[f"{TEMPLATE}autoscaling-options_scaledownutilizationthreshold"] == "0.25"


def test_tags_of_stack_and_pool_are_kept_and_the_pool_goes_first():
    tags = tags_of(plan(tags={"team": "vision"}), tags={"team": "all", "cost": "1"})
    assert (tags["team"], tags["cost"]) == ("vision", "1")


def test_more_tags_than_azure_allows_are_refused_those_of_aks_counted():
    made = plan()
    room = AZURE_TAGS - AKS_OWN_TAGS - len(tags_of(made))
    assert len(tags_of(made, tags={f"t{index}": "" for index in range(room)})) == AZURE_TAGS - AKS_OWN_TAGS
    with pytest.raises(TooManyTagsError, match="remove 1 tags"):
        tags_of(made, tags={f"t{index}": "" for index in range(room + 1)})


@pytest.mark.parametrize(
    ("cores", "milli"), [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740), (96, 1060)]
)
def test_reserved_cpu_is_aks_own_table(cores: int, milli: int):
    assert reserved_cpu_milli(cores) == milli


@pytest.mark.parametrize(("memory", "pods", "reserved"), [(8192, 30, 650), (4096, 70, 1024), (458752, 250, 5050)])
def test_reserved_memory_is_aks_own_examples(memory: int, pods: int, reserved: int):
    assert reserved_memory_mib(memory, pods) == reserved


@pytest.mark.parametrize(("memory_gib", "shown_kib"), [(4, 4025836), (7, 7113160), (56, 57713788)])
def test_a_prediction_stays_below_the_memory_that_real_nodes_showed(memory_gib: int, shown_kib: int):
    """Azure/AKS#3525 and Azure/acs-engine#4236 have the figures; 30 pods reserve 650 MB, a quarter at most."""
    size = replace(plan().size, memory_mib=memory_gib * 1024)
    real = shown_kib // 1024 - min(650, shown_kib // 4096) - 100
    assert allocatable(size, 30, 128).memory_mib < real


@pytest.mark.parametrize(("disk_gib", "allocatable_bytes"), [(256, 239585490957), (30, 30428648 * 1024 * 9 // 10)])
def test_a_prediction_stays_below_the_disk_that_real_nodes_showed(disk_gib: int, allocatable_bytes: int):
    assert allocatable(plan().size, 110, disk_gib).ephemeral_mib < allocatable_bytes >> 20


def test_a_prediction_leaves_out_the_cpu_that_aks_reserves():
    assert allocatable(plan().size, 110, 128).cpu_milli == 24_000 - 340


def test_everything_aks_refuses_to_change_is_among_the_create_only_values():
    """The list is FACTS 6's: a value that is missing here would be sent as an update and answered 400."""
    assert set(plan().create_only) == {
        "vmSize", "maxPods", "osDiskType", "osDiskSizeGB", "gpuInstanceProfile", "gpuProfile", "scaleSetPriority",
        "scaleSetEvictionPolicy", "spotMaxPrice", "availabilityZones", "proximityPlacementGroup",
        "capacityReservationGroupID", "enableEncryptionAtHost",
    }  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"min": 1}, {"max": 9}, {"labels": {"a": "b"}}, {"taints": ["a=b:NoSchedule"]}, {"tags": {"a": "b"}},
     {"role": "serve"}, {"priority": 90}, {"scaling": {"unneededMinutes": 5}}, {"surge": "50%"}],
)  # fmt: skip
def test_what_aks_can_change_is_none_of_them(change: dict[str, Any]):
    assert plan(**change).create_only == plan().create_only


@pytest.mark.parametrize(
    "change",
    [{"vmSize": "Standard_NC48ads_A100_v4"}, {"maxPods": 50}, {"osDisk": {"sizeGib": 64}},
     {"osDisk": {"type": "Managed"}},
     {"gpu": {"sharing": "mig", "migProfile": "MIG1g"}}, {"gpu": {"driver": "None"}}, {"spot": True}, {"zones": ["1"]},
     {"proximityGroup": True}, {"encryptionAtHost": True}],
)  # fmt: skip
def test_what_aks_refuses_to_change_changes_them(change: dict[str, Any]):
    assert plan(**change).create_only != plan().create_only


def test_a_size_that_nobody_knows_cannot_be_planned():
    stack = load({"location": "westeurope", "pools": {"it": {"class": "cpu", "max": 1}}})
    unknown = Pool.model_validate({"class": "cpu", "max": 1, "vmSize": "Standard_Nonsense"})
    with pytest.raises(LookupError, match="Standard_Nonsense"):
        plan_pools(stack.model_copy(update={"pools": {"it": unknown}}), load_catalogue())
