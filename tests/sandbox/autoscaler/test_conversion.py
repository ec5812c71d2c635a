"""What pods, nodes and tags are to the decisions."""

from __future__ import annotations

from typing import Any

import pytest

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.options import Options
from capacity.autoscaling.scheduling import Taint, fits_empty
from capacity.catalogue import load_catalogue
from capacity.checks import load_file
from capacity.pools import plan_pools
from capacity.prediction import pool_tags
from sandbox.autoscaler.groups import DiscoveryError, discovered, tag_template, with_daemons
from sandbox.autoscaler.machines import Caching, instance
from sandbox.autoscaler.pods import amounts, pod_shape, requests, resident, shape, waits
from sandbox.autoscaler.view import pool_of, readiness
from sandbox.home import REPOSITORY
from tests.sandbox.autoscaler.builders import node, pod, scale_set

SPEC = ["label:cluster-autoscaler-enabled=true,cluster-autoscaler-name=yard"]


def container(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **more}


def test_requests_are_the_containers_together_or_the_largest_init_container() -> None:
    spec = {"initContainers": [container("3"), container("5")], "containers": [container("1"), container("500m")]}
    assert requests(spec) == {"cpu": 5}
    spec["initContainers"] = [container("1", restartPolicy="Always"), container("1")]
    assert requests(spec) == {"cpu": 2.5}, "a sidecar runs beside the containers"
    assert requests({**spec, "overhead": {"cpu": "250m"}}) == {"cpu": 2.75}


def test_requests_round_up_and_capacities_down() -> None:
    assert amounts({"cpu": "1.5m", "memory": "1500"}, up=True) == Amounts(cpu_milli=2, memory_kib=2)
    assert amounts({"cpu": "1.5m", "memory": "1500"}, up=False) == Amounts(cpu_milli=1, memory_kib=1)


def test_a_limit_without_a_request_is_a_request() -> None:
    assert pod_shape(pod("job", gpus=2)).requests.nvidia == 2


def test_only_pods_that_the_scheduler_gave_up_on_wait() -> None:
    assert waits(pod("job"))
    assert not waits(pod("job", node="n"))
    fresh = pod("job")
    fresh["status"]["conditions"] = []
    assert not waits(fresh)


def test_an_anti_affinity_to_its_own_kind_means_one_a_node() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "a"}}}
    spec = {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}
    assert shape({"labels": {"app": "a"}}, spec).one_a_node
    assert not shape({"labels": {"app": "b"}}, spec).one_a_node


def test_residents_are_held_by_annotations_budgets_and_volumes() -> None:
    now = 1_800_000_000.0
    budget = {
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": {"disruptionsAllowed": 0},
    }
    one = pod("job", node="n", volumes=[{"name": "scratch", "emptyDir": {}}])
    one["metadata"] |= {
        "labels": {"app": "a"},
        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
    }
    found = resident(one, [budget], now)
    assert (found.safe_to_evict, found.budget_spent, found.local_storage, found.controller) == (
        False,
        True,
        True,
        "Job",
    )
    in_memory = pod("job", node="n", volumes=[{"name": "scratch", "emptyDir": {"medium": "Memory"}}])
    assert not resident(in_memory, [budget], now).local_storage
    assert not resident(in_memory, [budget], now).budget_spent


def test_the_stacks_own_tags_are_read_back_as_the_nodes_it_declares() -> None:
    settings = load_file(REPOSITORY / "stacks" / "Pulumi.sandbox.yaml")
    plans = {key: plan for key, plan in plan_pools(settings, load_catalogue()).items() if not plan.settings.is_storage}
    assert plans
    for plan in plans.values():
        tags = pool_tags(
            plan,
            location="westeurope",
            autoscaler=settings.autoscaler,
            autoscaler_name="yard",
            tags={"environment": "x"},
        )
        document = {**scale_set("any", size=plan.size.name), "tags": tags}
        [pool] = discovered([document], SPEC, Options())
        assert (pool.min, pool.max) == (plan.settings.min, plan.settings.max)
        assert plan.labels.items() <= pool.template.labels.items()
        assert set(pool.template.taints) == {Taint.parse(one) for one in plan.taints}
        assert pool.template.allocatable.gpus == plan.gpus_per_node
        assert 0 < pool.template.allocatable.cpu_milli < plan.size.vcpus * 1000


def test_scale_sets_without_the_tags_are_passed_over() -> None:
    other = scale_set("light")
    other["tags"]["cluster-autoscaler-name"] = "another"
    unlimited = scale_set("heavy")
    del unlimited["tags"]["max"]
    assert discovered([other, unlimited], SPEC, Options()) == []


@pytest.mark.parametrize(("tag", "value"), [("min", "many"), ("max", "-1")])
def test_tags_that_cannot_be_read_are_named(tag: str, value: str) -> None:
    broken = scale_set("light")
    broken["tags"][tag] = value
    with pytest.raises(DiscoveryError, match="aks-light-1-vmss"):
        discovered([broken], SPEC, Options())


def test_daemonsets_take_room_on_the_nodes_they_tolerate_and_on_no_others() -> None:
    template = tag_template("Standard_NC4as_T4_v3", scale_set("light")["tags"])
    daemon: dict[str, Any] = {"spec": {"template": {"spec": {"containers": [container("1")]}}}}
    assert with_daemons(template, [daemon]) == template, "it does not tolerate the taint"
    daemon["spec"]["template"]["spec"]["tolerations"] = [{"operator": "Exists"}]
    assert with_daemons(template, [daemon]).allocatable.cpu_milli == template.allocatable.cpu_milli - 1000
    assert fits_empty(template, pod_shape(pod("job")))


def test_a_gpu_node_is_ready_once_its_gpus_are() -> None:
    now = 1_767_225_600.0 + 60  # a minute after the node was made
    assert readiness(node("n", "", "light"), now) == "ready"
    assert readiness(node("n", "", "light", gpus=0), now) == "starting"
    assert readiness(node("n", "", "light", gpus=0), now + 900) == "unready"
    leaving = node("n", "", "light")
    leaving["spec"]["taints"].append({"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"})
    assert readiness(leaving, now) == "leaving"


def test_a_node_belongs_to_the_scale_set_in_its_provider_id() -> None:
    group = "azure:///subscriptions/s/resourceGroups/mc_rg"
    machine = f"{group}/providers/Microsoft.Compute/virtualMachineScaleSets/vmss/virtualMachines/3"
    assert pool_of(machine) == "vmss"
    assert pool_of("kind://node") == ""


@pytest.mark.parametrize(
    ("state", "power", "fast", "expected"),
    [
        ("Failed", "PowerState/stopped", True, "failed"),
        ("Failed", "PowerState/stopped", False, "running"),
        ("Failed", "PowerState/running", True, "running"),
        ("Creating", "PowerState/starting", True, "creating"),
        ("Deleting", "PowerState/running", True, "deleting"),
        ("Succeeded", "PowerState/running", True, "running"),
    ],
)
def test_what_a_failed_machine_counts_as_depends_on_the_variable(
    state: str, power: str, fast: bool, expected: str
) -> None:
    document = {
        "id": "/subscriptions/s/resourceGroups/RG/providers/P/virtualMachineScaleSets/v/virtualMachines/0",
        "instanceId": "0",
        "properties": {"provisioningState": state, "instanceView": {"statuses": [{"code": power}]}},
    }
    found = instance(document, fast_delete=fast)
    assert found.state == expected
    assert "/resourceGroups/rg/" in found.provider_id


def test_cache_times_are_those_of_the_deployments_variables() -> None:
    assert Caching.from_environment({}) == Caching(60, 300, fast_delete=False)
    told = {"AZURE_VMSS_VMS_CACHE_TTL": "60", "AZURE_ENABLE_FAST_DELETE_ON_FAILED_PROVISIONING": "true"}
    assert Caching.from_environment(told) == Caching(60, 60, fast_delete=True)
