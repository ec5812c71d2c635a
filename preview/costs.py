"""The monthly cost of a preview and its change, on the model of `capacity.cost`.

Fed by the registered resources, old and new; where the program did not get to its end, by the settings alone, as half
the resources would cost half the money.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import ValidationError

from capacity.checks import SettingsErrors, load
from capacity.cost import Bill, Declared, bill, budget_load, from_resources, from_settings, over_budget, usd
from preview.changes import CLUSTER
from preview.events import Events, Step
from stacks.settings import Budget

_GONE = {"delete", "delete-replaced", "discard-replaced", "remove-pending-replace"}


@dataclass(frozen=True, slots=True)
class Costs:
    """What a stack costs a month.

    Attributes:
        after: with the change.
        before: as deployed; None where nothing is, or where it is not known.
        from_settings: whether only the settings could be read.
        budget: the stack's; None: it has none.
    """

    after: Bill
    before: Bill | None
    from_settings: bool
    budget: Budget | None

    @property
    def over(self) -> str | None:
        """What to say of a budget that does not hold."""
        return over_budget(self.budget, self.after) if self.budget else None

    @property
    def budget_line(self) -> str:
        """How the cost stands to the budget; empty without one."""
        if self.budget is None:
            return ""
        return (
            f"{usd(self.after.at(budget_load(self.budget)))} of {usd(self.budget.monthly_usd)} at its {self.budget.at}"
        )


def find_costs(events: Events, complete: bool) -> Costs | None:
    """The costs of a preview; None where neither resources nor settings tell.

    Args:
        complete: whether the program registered all it wanted to.
    """
    budget = _budget(events)
    location = _location(events)
    if complete and events.steps and location:
        after = from_resources(_declared(events.steps, new=True))
        before = from_resources(_declared(events.steps, new=False))
        return Costs(bill(after, location), bill(before, location) if before else None, False, budget)
    try:
        stack = load(events.config)
        items = from_settings(stack)
    except (SettingsErrors, LookupError):
        return None
    return Costs(bill(items, stack.location), None, True, budget)


def _declared(steps: Iterable[Step], *, new: bool) -> list[Declared]:
    """Each resource once, as it is after or before. What Azure keeps although the stack forgets it goes on costing."""
    found: dict[str, Declared] = {}
    for step in steps:
        stays = step.op not in _GONE or (step.op == "delete" and step.retained)
        inputs = (step.new or step.old if stays else None) if new else step.old
        if inputs is not None:
            found[step.urn] = Declared(step.type, step.name, inputs)
    return list(found.values())


def _location(events: Events) -> str:
    """The region of the settings, else of the cluster, else of anything."""
    named = events.config.get("location")
    if isinstance(named, str) and named:
        return named
    ordered = sorted(events.steps, key=lambda step: step.type != CLUSTER)
    places = ((step.new or step.old or {}).get("location") for step in ordered)
    return next((place for place in places if isinstance(place, str) and place.isalnum()), "")


def _budget(events: Events) -> Budget | None:
    """The stack's budget; a wrong one is an error of the settings, which the program reports."""
    given = events.config.get("budget")
    try:
        return Budget.model_validate(given, by_alias=True, by_name=False) if isinstance(given, dict) else None
    except ValidationError:
        return None
