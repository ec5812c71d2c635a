"""Mistakes that one can make in a budget, each with the error it must become."""

from __future__ import annotations

from typing import Any

CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("a budget of nothing", {"budget": {"monthlyUsd": 0}}, "budget.monthlyUsd", ["0"]),
    (
        "a budget without a sum",
        {"budget": {"at": "minimum"}},
        "budget.monthlyUsd",
        ["is missing", "US dollars", "Add it"],
    ),
    ("a load without a number", {"budget__monthlyUsd": 9, "budget__at": "load"}, "budget.at", ["neither", "Set"]),
    (
        "a load said twice",
        {"budget": {"monthlyUsd": 9, "at": "load", "load": 0.5, "machineHours": {"heavy": 10}}},
        "budget.at",
        ["both", "one of them"],
    ),
    ("a load that nobody reads", {"budget": {"monthlyUsd": 9, "load": 0.5}}, "budget.at", ["maximum with load", "Set"]),
    ("a load above one", {"budget": {"monthlyUsd": 9, "at": "load", "load": 40}}, "budget.load", ["40", "from 0 to 1"]),
    (
        "hours of no pool",
        {"budget": {"monthlyUsd": 9, "at": "load", "machineHours": {"heavi": 10}}},
        "budget.machineHours.heavi",
        ["no pool", "Did you mean heavy"],
    ),
    (
        "more hours than the month has",
        {"budget": {"monthlyUsd": 9, "at": "load", "machineHours": {"heavy": 9999}}},
        "budget.machineHours.heavy",
        ["9999", "2920", "raise"],
    ),
]
