"""Whether the stack stays within what it may cost a month.

The model of what things cost is `capacity.cost`; what has no known price is said, never counted as nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from policy.model import Finding, Rule, Setting, Settings, UnverifiedError
from policy.properties import UNKNOWN
from policy.stack import CLUSTER, POOL, StackView, by_region

if TYPE_CHECKING:
    from stacks.settings import Budget

_CONFIG = "trainyard:budget"
_POOL = ("vmSize", "count", "enableAutoScaling", "minCount", "maxCount", "osDiskSizeGB", "osDiskType")
_BILLED_BY: Mapping[str, tuple[str, ...]] = {
    POOL: (*_POOL, "scaleSetPriority", "spotMaxPrice", "tags", "tags.min", "tags.max"),
    CLUSTER: ("sku.tier", "agentPoolProfiles"),
    "storage:FileShare": ("shareQuota", "provisionedIops", "provisionedBandwidthMibps"),
    "storage:StorageAccount": ("sku.name",),
    "compute:Disk": ("diskSizeGB", "sku.name"),
    "containerregistry:Registry": ("sku.name",),
}
"""Kind of resource to the properties that its price follows from."""


def _budget(stack: StackView, settings: Settings) -> Iterator[Finding]:
    wanted = _wanted(stack, settings)
    if wanted is None:
        return
    # Imported here: the settings' models take a while, and most runs have no budget.
    from capacity.cost import Declared, bill, from_resources, over_budget  # noqa: PLC0415

    regions = list(by_region(stack))
    if len(regions) != 1:
        raise UnverifiedError(f"prices differ by region, and the stack has pools in {len(regions)} of them.")
    declared = [Declared(one.type, one.name, one.properties.plain()) for one in stack.resources]
    costs = bill(from_resources(declared), regions[0])
    over = over_budget(wanted, costs)
    if over:
        yield Finding(over)
    unclear = list(_not_known_yet(stack))
    if unclear:
        raise UnverifiedError(
            f"what it costs depends on {', '.join(unclear[:5])}, known only once the deployment runs."
        )
    unpriced = [line.item.what for line in costs.unpriced]
    if unpriced:
        more = f" and {len(unpriced) - 5} more" if len(unpriced) > 5 else ""
        raise UnverifiedError(f"no price is known for {', '.join(unpriced[:5])}{more}: they are not in the sum.")


def _not_known_yet(stack: StackView) -> Iterator[str]:
    """The values that costs follow from and that a preview does not know: the bill takes them for absent."""
    for one in stack.resources:
        for path in _BILLED_BY.get(one.kind, ()):
            if one.properties.raw(path) is UNKNOWN:
                yield f"{one.name}'s {path}"


def _wanted(stack: StackView, settings: Settings) -> Budget | None:
    """The pack's own budget, else that of the stack file; None: there is none."""
    text = stack.config.get(_CONFIG)
    if not settings["monthlyUsd"] and not text:
        return None
    from stacks.settings import Budget  # noqa: PLC0415

    if settings["monthlyUsd"]:
        return Budget(monthly_usd=float(settings["monthlyUsd"]), at=settings["at"])
    try:
        return Budget.model_validate(json.loads(text or ""))
    except ValueError as wrong:  # pydantic's own error is one
        raise UnverifiedError(
            f"{_CONFIG} cannot be read ({str(wrong).splitlines()[0]}): mend the stack file."
        ) from wrong


RULES = (
    Rule(
        name="budget",
        title="The stack costs no more a month than it may.",
        why="A pool of eight H100 machines costs as much in a weekend as a small team in a month.",
        fix="Lower the maximum that the message names, or raise the budget.",
        severity="high",
        check=_budget,
        settings=(
            Setting(
                "monthlyUsd",
                {
                    "type": "number",
                    "minimum": 0,
                    "default": 0,
                    "description": "US dollars a month, list prices; 0: as the stack file says (trainyard:budget).",
                },
            ),
            Setting(
                "at",
                {
                    "type": "string",
                    "enum": ["minimum", "maximum"],
                    "default": "maximum",
                    "description": "With every pool at its minimum, or at its maximum.",
                },
            ),
        ),
    ),
)
