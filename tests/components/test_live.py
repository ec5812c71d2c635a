"""What is refused before anything is changed."""

from __future__ import annotations

from dataclasses import replace

import pulumi
import pytest

from capacity.network_plan import plan_network
from components.live import LiveCluster, LivePool, read_live_cluster, refusals
from tests.components.recorder import Recorder, record
from tests.components.stacks import POOLS, stack

NAMES = {key: f"{key}aaaaa" for key in POOLS}
SETTINGS = stack()
PLAN = plan_network(SETTINGS)
SYSTEM = LivePool("system", None, 2, "Standard_D4ds_v5", ())
LIVE = LiveCluster(
    pools=(SYSTEM, LivePool("heavyaaaaa", "heavy", 3, "Standard_NC24ads_A100_v4", ())),
    pod_cidr=str(PLAN.pods),
    service_cidr=str(PLAN.services),
)


def refused(live: LiveCluster | None, names: dict[str, str] = NAMES, **changes: object) -> list[str]:
    return refusals(live, stack(**changes), PLAN, names)


def test_a_first_deployment_is_never_refused() -> None:
    assert refused(None) == []


def test_a_deployment_that_changes_nothing_is_not_refused() -> None:
    assert refused(LIVE) == []


def test_replacing_a_pool_with_running_machines_is_refused_and_says_how_to_allow_it() -> None:
    [message] = refused(LIVE, {**NAMES, "heavy": "heavybbbbb"})
    assert "3 machines" in message
    assert "pulumi config set --path 'trainyard:allowReplacement[0]' heavy" in message


def test_replacing_a_pool_that_is_allowed_by_name_goes_through() -> None:
    assert refused(LIVE, {**NAMES, "heavy": "heavybbbbb"}, allowReplacement=["heavy"]) == []


def test_replacing_an_empty_pool_goes_through() -> None:
    live = replace(LIVE, pools=(SYSTEM, replace(LIVE.pools[1], count=0)))
    assert refused(live, {**NAMES, "heavy": "heavybbbbb"}) == []


def test_a_pool_of_somebody_else_in_the_cluster_is_left_alone() -> None:
    live = replace(LIVE, pools=(SYSTEM, LivePool("heavyzzzzz", None, 9, "Standard_D8ds_v5", ())))
    assert refused(live) == []


def test_another_pod_range_is_refused_as_it_would_replace_the_cluster() -> None:
    [message] = refused(replace(LIVE, pod_cidr="10.244.0.0/16"))
    assert "trainyard:network.podCidr" in message
    assert "10.244.0.0/16" in message


def test_another_system_pool_is_refused_with_the_command_that_makes_it() -> None:
    [message] = refused(LIVE, cluster={"systemPool": {"count": 3}})
    assert "az aks nodepool scale --name system --node-count 3" in message


def test_a_cluster_that_is_not_there_reads_as_none() -> None:
    found: list[LiveCluster | None] = []
    record(lambda: found.append(read_live_cluster("group", "cluster")))
    assert found == [None]


def test_a_cluster_that_cannot_be_read_stops_the_deployment() -> None:
    class Forbidden(Recorder):
        def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, object], list[tuple[str, str]]]:
            return {}, [("", f"AuthorizationFailed: no right to {args.token}")]

    with pytest.raises(Exception, match=r"Cannot read the cluster 'cluster'.*AuthorizationFailed"):
        record(lambda: read_live_cluster("group", "cluster"), Forbidden())


def test_a_live_cluster_s_pools_are_known_by_their_tags() -> None:
    live = {
        "agentPoolProfiles": [
            {"name": "system", "count": 2, "vmSize": "Standard_D4ds_v5"},
            {
                "name": "heavyaaaaa",
                "count": 3,
                "vmSize": "Standard_NC24ads_A100_v4",
                "tags": {"trainyard-pool": "heavy"},
            },
        ],
        "networkProfile": {"podCidr": str(PLAN.pods), "serviceCidr": str(PLAN.services)},
    }
    found: list[LiveCluster | None] = []
    record(lambda: found.append(read_live_cluster("group", "cluster")), Recorder(live_cluster=live))
    assert found == [LIVE]
