"""`python -m capacity.cost`: what a stack file costs a month, as a table."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from capacity.checks import load_file
from capacity.cost import MAXIMUM, MINIMUM, Bill, Line, Load, bill, budget_load, from_settings, over_budget, usd
from capacity.cost.live import ADDRESS, LivePrices
from capacity.cost.prices import load_prices
from stacks.loading import SettingsErrors
from stacks.settings import Stack


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where the file is not usable or costs more than its budget."""
    parser = argparse.ArgumentParser(prog="python -m capacity.cost", description=__doc__)
    parser.add_argument("--stack-file", type=Path, required=True, help="stacks/Pulumi.<environment>.yaml")
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--load", type=_share, help="share of the machines that come and go that run on average, 0 to 1")
    load.add_argument(
        "--hours", type=_hours, action="append", metavar="POOL=HOURS", help="machine hours of a pool a month"
    )
    parser.add_argument("--live", action="store_true", help=f"ask {ADDRESS}; answers are kept for a day")
    parser.add_argument("--prices-address", default=ADDRESS, help="another place that answers as it does")
    given = parser.parse_args(arguments)
    try:
        stack = load_file(given.stack_file)
    except SettingsErrors as problem:
        print(problem, file=sys.stderr)
        return 1
    unknown = sorted({pool for pool, _ in given.hours or ()} - set(stack.pools))
    if unknown:
        parser.error(f"--hours: no pool {', '.join(unknown)}; there are {', '.join(stack.pools)}")
    live = LivePrices(load_prices(), _cache(), given.prices_address) if given.live else None
    costs = bill(from_settings(stack), stack.location, live)
    asked = (
        Load(given.load or 0, dict(given.hours) if given.hours else None)
        if given.load is not None or given.hours
        else None
    )
    print("\n".join(_table(costs, asked)))
    for problem in live.problems if live else ():
        print(f"note: {problem}", file=sys.stderr)
    return _judged(stack, costs)


def _judged(stack: Stack, costs: Bill) -> int:
    if stack.budget is None:
        return 0
    over = over_budget(stack.budget, costs)
    if over:
        print(f"\nover budget: {over}")
        return 1
    cost = costs.at(budget_load(stack.budget))
    print(f"\nwithin the budget: {usd(cost)} of {usd(stack.budget.monthly_usd)} at its {stack.budget.at}")
    return 0


def _table(costs: Bill, asked: Load | None) -> list[str]:
    loads = [MINIMUM, MAXIMUM, *([asked] if asked else [])]
    heads = ["at minimum", "at maximum", *(["at this load"] if asked else [])]
    width = max(len(line.item.what) for line in (*costs.lines, *costs.by_use))
    rows = [f"US dollars a month in {costs.location}, list prices, without taxes", ""]
    rows.append(" ".join([" " * width, *(f"{head:>12}" for head in heads)]))
    for line in costs.lines:
        cells = [_cell(line.cost(load)) for load in loads]
        rows.append(" ".join([f"{line.item.what:<{width}}", *cells, f" {line.note}"]).rstrip())
    rows.append(" ".join([f"{'sum of what has a price':<{width}}", *(f"{usd(costs.at(load)):>12}" for load in loads)]))
    if costs.unpriced:
        rows += ["", "Not in the sum, as no price is known: " + "; ".join(line.item.what for line in costs.unpriced)]
    if costs.by_use:
        rows += ["", "Not in the sum, as it is billed by use:", *(f"  {_rate(line)}" for line in _once(costs.by_use))]
    return rows


def _cell(cost: float | None) -> str:
    return f"{'unknown' if cost is None else usd(cost):>12}"


def _rate(line: Line) -> str:
    if line.price is None:
        return f"{line.item.what}: price unknown"
    return f"{line.item.what}: ${line.price.monthly_usd:g} a GB{f' ({line.note})' if line.note else ''}"


def _once(lines: tuple[Line, ...]) -> list[Line]:
    return list({line.item.what: line for line in lines}.values())


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _hours(text: str) -> tuple[str, float]:
    pool, _, hours = text.partition("=")
    try:
        return pool, float(hours)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not POOL=HOURS, as heavy=300") from None


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trainyard" / "prices"


if __name__ == "__main__":
    sys.exit(main())
