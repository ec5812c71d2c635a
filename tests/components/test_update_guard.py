"""No update removes a running node: what is refused, what is let through, and what the remedy is."""

from __future__ import annotations

import pytest

from capacity.settled import SETTLED, settled_counts
from components.update_guard import RunningPool, cluster_refusal, pool_refusal


def pool(count: int, *, least: int = 0, self_scaled: bool = True, name: str = "heavyab12") -> RunningPool:
    return RunningPool(name, count, least, self_scaled)


def test_an_update_that_carries_less_than_what_runs_is_refused_with_the_remedy():
    said = pool_refusal(pool(7), 0)
    assert "heavyab12" in said
    assert "carries the count 0" in said
    assert "runs 7 machines" in said
    assert "would end 7" in said
    assert "python -m scaling update" in said


@pytest.mark.parametrize(("count", "sent"), [(0, 0), (7, 7), (2, 7)])
def test_an_update_that_ends_nothing_goes_through(count: int, sent: int):
    assert pool_refusal(pool(count), sent) == ""


def test_where_aks_scales_a_refresh_is_the_remedy():
    said = pool_refusal(pool(7, self_scaled=False), 3)
    assert "pulumi up --refresh" in said
    assert "scaling update" not in said


def test_an_update_of_the_cluster_is_refused_while_any_pool_runs_more_than_its_minimum():
    said = cluster_refusal("aks-dev", [pool(7), pool(1, least=1, name="servexy34"), pool(2, name="cpuqq000")], {}, {})
    assert "heavyab12 runs 7 machines" in said
    assert "cpuqq000 runs 2 machines" in said
    assert "servexy34" not in said


def test_an_update_of_the_cluster_goes_through_once_the_counts_are_settled():
    assert cluster_refusal("aks-dev", [pool(7)], {"heavyab12": 7}, {}) == ""
    assert "heavyab12" in cluster_refusal("aks-dev", [pool(8)], {"heavyab12": 7}, {}), "it grew since"


def test_an_update_of_the_cluster_that_carries_an_old_count_of_a_pool_is_refused_even_where_counts_are_settled():
    """A refresh takes all pools into the cluster's inputs; there a count stays while the pool grows."""
    said = cluster_refusal(
        "aks-dev", [pool(7), pool(2, name="cpuqq000")], {"heavyab12": 7, "cpuqq000": 2}, {"heavyab12": 0}
    )
    assert "carries the count 0 of pool heavyab12, which runs 7 machines" in said
    assert "cpuqq000" not in said
    assert "python -m scaling update" in said


def test_an_update_of_the_cluster_that_carries_what_runs_goes_through():
    assert cluster_refusal("aks-dev", [pool(7)], {"heavyab12": 7}, {"heavyab12": 7, "gone": 3}) == ""


def test_a_pool_that_aks_scales_is_not_brought_back_by_the_cluster_s_document():
    said = cluster_refusal("aks-prod", [pool(7, self_scaled=False)], {}, {"heavyab12": 3})
    assert "python -m scaling update" in said, "a refresh does not mend it"


def test_pools_that_nobody_scales_do_not_stand_in_the_way():
    assert cluster_refusal("aks-dev", [pool(3, self_scaled=False, name="system")], {}, {}) == ""


def test_settled_counts_are_read_from_the_environment():
    assert settled_counts({}) == {}
    assert settled_counts({SETTLED: '{"heavyab12": 7}'}) == {"heavyab12": 7}
    for wrong in ("seven", "[7]", '{"a": "many"}'):
        with pytest.raises(ValueError, match="is not a JSON object"):
            settled_counts({SETTLED: wrong})
