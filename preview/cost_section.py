"""The monthly cost in Markdown: before, after, the change, and what the sums leave out."""

from __future__ import annotations

from collections.abc import Sequence

from capacity.cost import MAXIMUM, MINIMUM, Line, usd
from preview.costs import Costs
from preview.markdown import code, folded, plain, table

_NAMES = 6


def cost_section(costs: Costs | None, most: int) -> list[str]:
    """Markdown paragraphs; one of them says so where nothing is known."""
    if costs is None:
        return ["**Cost:** not known, as neither the resources nor the settings could be read."]
    after, before = costs.after, costs.before
    head, rows = (
        ["US dollars a month", "at minimum", "at maximum"],
        [["now planned", usd(after.minimum), usd(after.maximum)]],
    )
    if before is not None:
        rows = [["deployed", usd(before.minimum), usd(before.maximum)], *rows]
        change = (after.minimum - before.minimum, after.maximum - before.maximum)
        rows.append(["**change**", *(f"**{signed(one)}**" for one in change)])
    whence = " from the settings, as the program did not finish" if costs.from_settings else ""
    told = [f"**Cost**{whence}, list prices in {code(after.location)}:"]
    told.append(table(head, rows, right=(1, 2)))
    notes = [
        *([f"⚠️ over budget: {plain(costs.over)}"] if costs.over else []),
        *([f"Budget: {plain(costs.budget_line)}."] if costs.budget and not costs.over else []),
        *_named("No price is known for, and not in the sum", after.unpriced, most),
        *_named("Counted with a ceiling, as spot prices move", after.ceilings, most),
    ]
    if notes:
        told.append("\n".join(f"- {note}" for note in notes))
    told.append(folded("What it is made of", _bill_table(after.lines, after.by_use, most)))
    return told


def _bill_table(lines: Sequence[Line], by_use: Sequence[Line], most: int) -> str:
    ordered = sorted(lines, key=lambda line: -(line.cost(MAXIMUM) or 0))
    rows = [
        [plain(line.item.what, 120), _amount(line.cost(MINIMUM)), _amount(line.cost(MAXIMUM)), plain(line.note)]
        for line in ordered[: 2 * most]
    ]
    if len(ordered) > 2 * most:
        rest = ordered[2 * most :]
        sums = [sum(line.cost(load) or 0 for line in rest) for load in (MINIMUM, MAXIMUM)]
        rows.append([f"{len(rest)} more", *(usd(one) for one in sums), ""])
    used = list(dict.fromkeys(line.item.what for line in by_use))
    told = table(["", "at minimum", "at maximum", ""], rows, right=(1, 2))
    return f"{told}\n\nBilled by use, in no sum: {plain('; '.join(used))}." if used else told


def _named(title: str, lines: Sequence[Line], most: int) -> list[str]:
    names = list(dict.fromkeys(line.item.what.partition(":")[0] for line in lines))
    shown = min(most, _NAMES)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return [f"{title}: {plain(', '.join(names[:shown]), 600)}{more}."] if names else []


def _amount(cost: float | None) -> str:
    return "unknown" if cost is None else usd(cost)


def signed(amount: float) -> str:
    """A change of US dollars with its sign."""
    return f"+{usd(amount)}" if amount >= 0.005 else usd(amount) if amount <= -0.005 else "$0"
