"""Where pods go: the pool's counted room and its memory of what does not fit agree with looking at every node."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.options import Options
from capacity.autoscaling.scale_up import Group
from capacity.autoscaling.scheduling import Template
from capacity.simulation.nodes import Node, Pool

ASKED = [Amounts(1000, 4, pods=1), Amounts(3000, 1, nvidia=1, pods=1), Amounts(500, 9, nvidia=2, pods=1)]
STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "watch", "unwatch"]), st.integers(0, 2)), max_size=80)


def plainly(nodes: list[Node], asked: Amounts) -> int:
    return sum(node.free.times(asked) for node in nodes)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([0, 4]), STEPS)
def test_room_and_best_agree_with_every_node(gpus: int, steps: list[tuple[str, int]]):
    group = Group("p", Template(Amounts(8000, 32, 0, gpus, 0, 10)), 0, 9, Options())
    pool = Pool(group)
    nodes = [Node(group, f"p-{number}", 0) for number in range(3)]
    for node in nodes:
        pool.add(node)
    held: list[tuple[Node, Amounts]] = []
    watched = [0, 0, 0]
    for what, which in steps:
        asked = ASKED[which]
        if what == "take":
            node = pool.best(asked)
            assert (node is None) == (plainly(nodes, asked) == 0)
            if node is not None:
                assert node.free.holds(asked)
                pool.change(node, node.free.minus(asked))
                held.append((node, asked))
        elif what == "give" and held:
            node, given_back = held.pop(which % len(held))
            pool.change(node, node.free.plus(given_back))
        elif what == "watch":
            pool.watch(asked)
            watched[which] += 1
        elif what == "unwatch" and watched[which]:
            pool.unwatch(asked)
            watched[which] -= 1
        for one in ASKED:
            assert pool.room(one, float("inf")) == plainly(nodes, one)


AMOUNTS = st.builds(Amounts, *[st.integers(0, 9)] * 6)


@given(AMOUNTS, AMOUNTS)
def test_amounts_fit_as_often_as_their_scarcest_part(mine: Amounts, asked: Amounts):
    parts = [has // wants for has, wants in zip(mine, asked, strict=True) if wants]
    assert mine.times(asked) == (min(parts) if parts else 0)
    assert mine.holds(asked) == (mine.times(asked) > 0)
    assert mine.plus(asked, 3).minus(asked, 3) == mine
