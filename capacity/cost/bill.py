"""A month's bill: items times prices, at the minimum, the maximum, or a load.

Owns the sums and what they leave out. What has no known price is a line of its own without a number: it is never
counted as nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from capacity.cost.items import MAXIMUM, MINIMUM, Item, Load
from capacity.cost.prices import HOURS_A_MONTH, Price, Prices, load_prices
from stacks.settings import Budget


@dataclass(frozen=True)
class Line:
    """One item and its price.

    Attributes:
        item: what is billed.
        price: of one piece a month; None: unknown.
    """

    item: Item
    price: Price | None

    def cost(self, load: Load) -> float | None:
        """US dollars a month under a load; None where the price is unknown."""
        return None if self.price is None else self.price.monthly_usd * self.item.quantity(load)

    @property
    def note(self) -> str:
        """What to know of the price: unknown, a ceiling, another region's; empty where it is the region's own."""
        if self.price is None:
            return self.item.why or "price unknown"
        if self.price.ceiling:
            return "spot price unknown: at most this"
        return f"price of {self.price.borrowed_from}" if self.price.borrowed_from else ""


@dataclass(frozen=True)
class Bill:
    """What a stack costs a month, in US dollars, list prices, without taxes.

    Attributes:
        location: the region whose prices were asked for.
        lines: everything billed by time or size.
        by_use: what is billed by use, with its price for one GB where known: in no sum.
    """

    location: str
    lines: tuple[Line, ...]
    by_use: tuple[Line, ...]

    def at(self, load: Load) -> float:
        """The sum of all known prices under a load."""
        return sum(cost for line in self.lines if (cost := line.cost(load)) is not None)

    @cached_property
    def minimum(self) -> float:
        """With every pool at its minimum and shares that are billed by content empty."""
        return self.at(MINIMUM)

    @cached_property
    def maximum(self) -> float:
        """With every pool at its maximum all month and every share full; upgrades' extra machines aside."""
        return self.at(MAXIMUM)

    @property
    def unpriced(self) -> list[Line]:
        """What is billed at a price that is not known here."""
        return [line for line in self.lines if line.price is None and line.item.quantity(MAXIMUM) > 0]

    @property
    def ceilings(self) -> list[Line]:
        """What costs at most what is counted for it."""
        return [line for line in self.lines if line.price is not None and line.price.ceiling]


def bill(items: Iterable[Item], location: str, prices: Prices | None = None) -> Bill:
    """The bill of some items in a region.

    Args:
        items: from `from_settings` or `from_resources`.
        location: an Azure region's short name.
        prices: who knows prices; default: the data files.
    """
    known = prices or load_prices()
    lines = [Line(item, _price(item, location, known)) for item in items]
    return Bill(
        location,
        tuple(line for line in lines if not line.item.by_use),
        tuple(line for line in lines if line.item.by_use),
    )


def _price(item: Item, location: str, prices: Prices) -> Price | None:
    """An item's price; that of a spot machine is no higher than what the pool offers for it."""
    found = prices.price(item.meter, location) if item.meter else None
    offered = (
        item.machines.max_hourly_usd if item.machines and item.machines.spot and item.group == "machines" else None
    )
    if offered is None or offered < 0 or (found is not None and found.monthly_usd <= offered * HOURS_A_MONTH):
        return found
    return Price(offered * HOURS_A_MONTH, "the pool's own maximum price", ceiling=True)


def budget_load(budget: Budget) -> Load:
    """The load that a budget speaks of."""
    match budget.at:
        case "minimum":
            return MINIMUM
        case "maximum":
            return MAXIMUM
        case _:
            return Load(budget.load or 0, budget.machine_hours or None)


def over_budget(budget: Budget, costs: Bill) -> str | None:
    """What to say where the stack costs more than its budget; None where it does not.

    The message names the dearest pools and, for a budget at the maximum, how many machines of the dearest would fit.
    """
    load = budget_load(budget)
    cost = costs.at(load)
    short = cost - budget.monthly_usd
    if short <= 0:
        return None
    dearest = sorted(costs.lines, key=lambda line: line.cost(load) or 0, reverse=True)
    named = ", ".join(f"{line.item.what} {usd(line.cost(load) or 0)}" for line in dearest[:3])
    return (
        f"the stack costs {usd(cost)} a month at its {budget.at}, {usd(short)} above the budget of "
        f"{usd(budget.monthly_usd)} (trainyard:budget). Dearest: {named}. {_remedy(budget, costs, dearest[0], short)}"
        f"raise trainyard:budget.monthlyUsd to {-(-cost // 1):.0f}."
    )


def _remedy(budget: Budget, costs: Bill, dearest: Line, short: float) -> str:
    """How far the dearest pool would have to shrink for the rest to fit, where that is enough."""
    machines = dearest.item.machines
    if budget.at != "maximum" or machines is None:
        return "Lower it, or "
    each = sum(
        line.price.monthly_usd * line.item.pieces
        for line in costs.lines
        if line.item.machines == machines and line.price is not None
    )
    fits = machines.maximum - int(-(-short // each))
    if fits < max(machines.minimum, 1):
        return f"Pool {machines.pool} alone cannot save that much: lower several pools' max, or "
    return f"Set trainyard:pools.{machines.pool}.max to {fits} (now {machines.maximum}), or "


def usd(amount: float) -> str:
    """US dollars as they are read: `$1,234`, cents only for small sums."""
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    return f"{sign}${size:,.2f}" if 0 < size < 10 else f"{sign}${size:,.0f}"
