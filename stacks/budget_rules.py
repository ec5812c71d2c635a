"""Rules for the budget: which load it speaks of.

Owns no price: what a stack costs is `capacity/cost`, and the policy pack compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator

from stacks.draft import Draft
from stacks.problems import Problem, nearest

HOURS_A_MONTH = 730
"""As Azure's price calculator counts: 365 days of 24 hours in 12 months."""


def budget_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with `trainyard:budget`."""
    budget = draft.stack.budget
    if budget is None:
        return
    at = ("budget", "at")
    given = [
        name
        for name, value in (("load", budget.load), ("machineHours", budget.machine_hours or None))
        if value is not None
    ]
    if budget.at == "load" and len(given) != 1:
        said = "neither load nor machineHours" if not given else "both load and machineHours"
        yield Problem(
            at,
            f"load with {said}; allowed: one of them. Set trainyard:budget.load to a share between 0 and 1, "
            f"or machineHours for each pool, not both.",
            needs=(("budget", "load"), ("budget", "machineHours")),
        )
    if budget.at != "load" and given:
        yield Problem(
            at,
            f"{budget.at} with {' and '.join(given)}; allowed: load, as only that reads them. "
            f"Set trainyard:budget.at to load, or remove {' and '.join(given)}.",
            needs=(at, ("budget", "load"), ("budget", "machineHours")),
        )
    yield from _hours(draft)


def _hours(draft: Draft) -> Iterator[Problem]:
    pools = draft.stack.pools
    for name, hours in (draft.stack.budget.machine_hours if draft.stack.budget else {}).items():
        path = ("budget", "machineHours", name)
        if name not in pools:
            near = nearest(name, pools)
            yield Problem(
                path,
                f"{draft.shown(name)} names no pool; allowed: {', '.join(pools)}. "
                f"{f'Did you mean {near}?' if near else 'Remove it.'}",
                needs=(("pools", name),),
            )
        elif hours > (most := pools[name].max * HOURS_A_MONTH):
            yield Problem(
                path,
                f"{hours:g} hours, and {pools[name].max} machines have {most} a month; allowed: 0 to {most}. "
                f"Lower it, or raise trainyard:pools.{name}.max.",
                needs=(("pools", name, "max"),),
            )
