"""What pools need of quota, and that each remedy that is named would do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capacity.quota import (
    REGION,
    SPOT,
    Balance,
    Cores,
    Demand,
    Machines,
    Region,
    Reservation,
    UnlistedQuotaError,
    Usage,
    balances,
    can_be_spot,
    default_surge,
    fits,
    largest_maximum,
    regions_that_fit,
    shortages,
    sizes_that_fit,
    smaller_maxima,
)

T4 = Cores("Standard_NC4as_T4_v3", "Standard NCASv3_T4 Family", 4)
T4_KEY = "standardncasv3_t4family"
A100 = Cores("Standard_NC24ads_A100_v4", "StandardNCADSA100v4Family", 24)
A100_KEY = "standardncadsa100v4family"
GROUP = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/capacityReservationGroups/a100"


def pool(name: str = "light", cores: Cores = T4, maximum: int = 8, **others: object) -> Demand:
    return replace(Demand(name, cores, 0, maximum), **others)  # pyright: ignore[reportArgumentType]  any field


def region(
    machines: tuple[Machines, ...] = (),
    reservations: tuple[Reservation, ...] = (),
    *,
    t4: int = 100,
    a100: int = 100,
    cores: int = 1000,
    spot: int = 100,
) -> Region:
    """A region with 4 vCPUs of each quota in use."""
    granted = {T4_KEY: t4, A100_KEY: a100, REGION: cores, SPOT: spot}
    return Region({key: Usage(key, 4, limit) for key, limit in granted.items()}, machines, reservations)


def short(demands: list[Demand], where: Region) -> dict[str, int]:
    return {one.key: one.short for one in shortages(demands, where)}


def test_pools_count_at_their_maximum_with_the_surge_of_an_upgrade() -> None:
    found = {one.key: one for one in balances([pool(surge="50%")], region())}
    assert found[T4_KEY] == Balance(T4_KEY, T4_KEY, 100, 4, (8 + 4) * 4, ("light",))
    assert found[REGION].needed == 48


def test_one_core_decides() -> None:
    assert short([pool()], region(t4=36)) == {}
    assert short([pool()], region(t4=35)) == {T4_KEY: 1}
    assert short([pool()], region(cores=35)) == {REGION: 1}


def test_spot_draws_on_its_own_quota_alone() -> None:
    where = region(t4=0, cores=0, spot=36)
    assert short([pool(spot=True)], where) == {}
    assert short([pool(spot=True)], region(spot=35)) == {SPOT: 1}


def test_what_the_stack_uses_already_is_not_counted_twice() -> None:
    running = (Machines("light", T4, 1),)
    assert short([pool()], region(running, t4=32, cores=32)) == {}
    assert short([pool()], region((), t4=32)) == {T4_KEY: 4}, "machines of a pool that goes still count"


def test_a_reservation_counts_once() -> None:
    reserved = Reservation(GROUP, A100, 3)
    demand = pool("heavy", A100, 4, group=GROUP)
    assert short([demand], region((), (reserved,), a100=28)) == {}, "three of four are in Azure's usage"
    assert short([demand], region((), (reserved,), a100=27)) == {A100_KEY: 1}
    to_come = replace(reserved, counted=False)
    assert short([demand], region((), (to_come,), a100=100)) == {}
    assert short([demand], region((), (to_come,), a100=99)) == {A100_KEY: 1}
    assert short([demand, replace(demand, pool="more")], region((), (reserved,), a100=123)) == {A100_KEY: 1}


def test_machines_within_a_reservation_are_not_given_back_twice() -> None:
    reserved = (Reservation(GROUP, A100, 3),)
    running = (Machines("heavy", A100, 4, group=GROUP),)
    demand = [pool("heavy", A100, 4, group=GROUP)]
    where = Region(
        {A100_KEY: Usage(A100_KEY, 96, 96), REGION: Usage(REGION, 96, 96)}, machines=running, reservations=reserved
    )
    assert fits(demand, where)
    assert balances(demand, where)[0].used == 72, "the reservation itself"


def test_a_quota_without_limit_is_never_short() -> None:
    assert short([pool(maximum=1000)], region(t4=-1, cores=-1)) == {}


def test_a_quota_that_azure_does_not_list_is_no_answer() -> None:
    with pytest.raises(UnlistedQuotaError, match="NCADSA100"):
        balances([pool("heavy", A100)], Region({REGION: Usage(REGION, 0, 10)}))


def test_the_default_surge_is_a_tenth_and_at_least_one() -> None:
    assert [default_surge(nodes) for nodes in (0, 1, 10, 11, 100)] == ["1", "1", "1", "2", "10"]


def test_the_largest_maximum_counts_its_own_surge() -> None:
    where = region(t4=4 + 24)
    assert largest_maximum([pool(surge="50%")], "light", where) == 4
    assert largest_maximum([pool(fixed=True)], "light", where) is None
    assert largest_maximum([pool(minimum=7)], "light", where) is None


def test_several_pools_give_way_together_where_one_cannot() -> None:
    pools = [pool("a", maximum=20), pool("b", maximum=20), pool("c", A100, 1)]
    where = region(t4=44)
    assert largest_maximum(pools, "a", where) is None
    smaller = smaller_maxima(pools, where)
    assert smaller is not None
    assert set(smaller) == {"a", "b"}
    assert fits([replace(one, maximum=smaller.get(one.pool, one.maximum)) for one in pools], where)
    assert smaller_maxima([pool(fixed=True)], region(t4=0)) is None


def test_another_size_counts_beside_the_machines_that_it_replaces() -> None:
    running = (Machines("light", T4, 2),)
    demand = [pool(maximum=2)]
    tight = region(running, cores=4 + 48)
    assert sizes_that_fit(demand, "light", tight, [A100]) == [A100.size]
    assert sizes_that_fit(demand, "light", region(running, cores=4 + 47), [A100]) == []


def test_other_regions_need_room_for_the_whole_stack() -> None:
    grants = {"north": region(t4=0), "south": region(), "east": None, "west": region()}
    assert regions_that_fit([pool()], grants, grants.__getitem__, count=1) == ["south"]


def test_spot_helps_where_its_own_quota_has_room() -> None:
    assert can_be_spot([pool()], "light", region(t4=0))
    assert not can_be_spot([pool()], "light", region(t4=0, spot=35))


POOLS = st.lists(
    st.builds(
        Demand,
        pool=st.uuids().map(str),
        cores=st.sampled_from([T4, A100]),
        minimum=st.integers(0, 3),
        maximum=st.integers(3, 40),
        surge=st.sampled_from([None, "1", "33%", "100%"]),
        spot=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@given(POOLS, st.integers(0, 900), st.integers(0, 900), st.integers(0, 2000), st.integers(0, 900))
def test_every_remedy_fits(pools: list[Demand], t4: int, a100: int, cores: int, spot: int) -> None:
    where = region(t4=t4, a100=a100, cores=cores, spot=spot)
    for one in pools:
        largest = largest_maximum(pools, one.pool, where)
        if largest is not None:
            assert one.minimum <= largest < one.maximum
            assert fits([replace(p, maximum=largest) if p is one else p for p in pools], where)
    smaller = smaller_maxima(pools, where)
    if smaller:
        assert fits([replace(p, maximum=smaller.get(p.pool, p.maximum)) for p in pools], where)
    asked = {one.key: one.request for one in balances(pools, where)}
    granted = {key: replace(usage, limit=asked.get(key, usage.limit)) for key, usage in where.usages.items()}
    assert fits(pools, Region(granted))
