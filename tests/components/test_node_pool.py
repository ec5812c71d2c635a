"""Agent pools as AKS is asked for them."""

from __future__ import annotations

from typing import Any

from capacity.autoscaling.profiles import PROFILES
from infra.platform import Platform
from tests.components.recorder import Made, record
from tests.components.stacks import environment, stack


def pools(**changes: Any) -> dict[str, Made]:
    made = record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))
    return {pool.name: pool for pool in made.of_type("azure-native:containerservice:AgentPool")}


def pool(**settings: Any) -> dict[str, Any]:
    return pools(pools={"heavy": {"class": "heavy-gpu", "max": 4, **settings}})["heavy"].inputs


def test_a_gpu_pool_keeps_other_pods_away_and_says_what_it_is() -> None:
    heavy = pool()
    assert "sku=gpu:NoSchedule" in heavy["nodeTaints"]
    assert heavy["nodeLabels"]["trainyard/pool"] == "heavy"
    assert heavy["nodeLabels"]["trainyard/class"] == "heavy-gpu"


def test_aks_s_own_accelerator_label_is_a_tag_and_never_a_label() -> None:
    heavy = pool()
    assert not any("accelerator" in label for label in heavy["nodeLabels"])
    assert any("accelerator" in tag for tag in heavy["tags"])


def test_a_spot_pool_declares_aks_s_label_and_taint_and_no_surge() -> None:
    spot = pool(spot=True)
    assert spot["scaleSetPriority"] == "Spot"
    assert spot["spotMaxPrice"] == -1
    assert spot["scaleSetEvictionPolicy"] == "Delete"
    assert spot["nodeLabels"]["kubernetes.azure.com/scalesetpriority"] == "spot"
    assert "kubernetes.azure.com/scalesetpriority=spot:NoSchedule" in spot["nodeTaints"]
    assert "upgradeSettings" not in spot


def test_an_on_demand_pool_surges_by_a_stated_number() -> None:
    assert pool(surge="33%")["upgradeSettings"] == {"maxSurge": "33%"}
    assert pool()["upgradeSettings"]["maxSurge"]


def test_a_raised_maximum_changes_tags_and_not_the_pool_s_name() -> None:
    assert pool(max=16)["agentPoolName"] == pool(max=4)["agentPoolName"]
    assert pool(max=16)["tags"]["max"] == "16"


def test_every_create_only_value_changes_the_pool_s_name() -> None:
    name = pool()["agentPoolName"]
    for change in (
        {"vmSize": "Standard_NC48ads_A100_v4"},
        {"maxPods": 60},
        {"osDisk": {"sizeGib": 256}},
        {"spot": True},
        {"zones": ["1"]},
        {"proximityGroup": True},
        {"encryptionAtHost": True},
        {"gpu": {"sharing": "mig", "migProfile": "MIG1g"}},
        {"gpu": {"driver": "None"}},
    ):
        assert pool(**change)["agentPoolName"] != name, f"{change} would be sent as an update, which AKS refuses"


def test_labels_taints_and_tags_keep_the_pool_s_name() -> None:
    name = pool()["agentPoolName"]
    assert pool(labels={"team": "a"}, taints=["team=a:NoSchedule"], tags={"cost": "1"})["agentPoolName"] == name


def test_a_count_is_always_sent_and_never_shows_as_a_change() -> None:
    made = pools()
    assert {key: one.inputs["count"] for key, one in made.items()} == {"cpu": 0, "light": 0, "heavy": 0, "serve": 1}
    assert all(one.ignore_changes == ["count"] for one in made.values())


def test_a_capacity_reservation_comes_with_the_cluster_s_right_to_draw_from_it() -> None:
    group = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/capacityReservationGroups/g"
    made = record(
        lambda: Platform(
            "trainyard",
            environment=environment(),
            settings=stack(pools={"heavy": {"class": "heavy-gpu", "max": 4, "capacityReservationGroup": group}}),
        )
    )
    assert made.one("azure-native:authorization:RoleAssignment", "placement-g").inputs["scope"] == group
    heavy = made.one("azure-native:containerservice:AgentPool", "heavy")
    assert heavy.inputs["capacityReservationGroupID"] == group
    assert any("placement-g" in urn for urn in heavy.dependencies), "the right must be there before the pool"


def test_a_batch_gpu_pool_tells_the_autoscaler_to_leave_half_used_machines_alone() -> None:
    assert PROFILES["batch"].gpu_utilization == 0
    tags = pool()["tags"]
    assert [value for key, value in tags.items() if key.endswith("scaledowngpuutilizationthreshold")] == ["0"]


def test_a_replaced_pool_s_machines_go_only_after_the_new_pool_is_there() -> None:
    assert all(one.delete_before_replace is False for one in pools().values()), "left open, the provider deletes first"
