"""What the cluster carries of other pools goes out of the state, and nothing else changes."""

from __future__ import annotations

import copy
from typing import Any

from scaling.state import CLUSTER_TYPE, POOL_TYPE, urns, without_other_pools

LIVE = {"system", "lightab12", "heavyab12"}


def state(*carried: str, pools: tuple[str, ...] = ("lightab12", "heavyab12")) -> dict[str, Any]:
    cluster = {
        "urn": "urn:cluster",
        "type": CLUSTER_TYPE,
        "inputs": {"agentPoolProfiles": [{"name": name, "count": 0} for name in carried], "tags": {"a": "b"}},
        "outputs": {"agentPoolProfiles": [{"name": name, "count": 7} for name in LIVE]},
    }
    declared = [{"urn": f"urn:{name}", "type": POOL_TYPE, "inputs": {"agentPoolName": name}} for name in pools]
    return {"version": 3, "deployment": {"resources": [cluster, *declared]}}


def carried_by(exported: dict[str, Any]) -> list[str]:
    return [one["name"] for one in exported["deployment"]["resources"][0]["inputs"]["agentPoolProfiles"]]


def test_pools_of_their_own_are_taken_out_of_what_the_cluster_carries() -> None:
    mended, removed = without_other_pools(state("system", "lightab12", "heavyab12"), LIVE)
    assert carried_by(mended) == ["system"]
    assert removed == ["lightab12", "heavyab12"]


def test_a_pool_that_is_long_gone_is_taken_out_as_aks_would_refuse_it() -> None:
    mended, removed = without_other_pools(state("system", "oldzz999"), LIVE)
    assert carried_by(mended) == ["system"]
    assert removed == ["oldzz999"]


def test_a_state_that_carries_the_clusters_own_pool_alone_stays_as_it_is() -> None:
    before = state("system")
    mended, removed = without_other_pools(before, LIVE)
    assert (mended, removed) == (before, [])


def test_a_cluster_keeps_a_pool_in_any_case_as_azure_wants_one() -> None:
    """A cluster of somebody else's program, or an Azure that tells of no pools."""
    before = state("lightab12", "heavyab12")
    mended, removed = without_other_pools(before, LIVE)
    assert (mended, removed) == (before, [])


def test_the_given_state_and_all_else_in_it_stay_as_they_are() -> None:
    before = state("system", "lightab12")
    kept = copy.deepcopy(before)
    mended, _ = without_other_pools(before, LIVE)
    assert before == kept
    mended["deployment"]["resources"][0]["inputs"]["agentPoolProfiles"] = kept["deployment"]["resources"][0]["inputs"][
        "agentPoolProfiles"
    ]
    assert mended == kept


def test_resources_are_found_by_their_type() -> None:
    assert urns(state("system"), POOL_TYPE) == ["urn:lightab12", "urn:heavyab12"]
    assert urns({"deployment": {}}, POOL_TYPE) == []
