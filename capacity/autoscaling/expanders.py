"""Which of the groups that could grow does grow.

Source: CA `expander/*`. A chain of expanders narrows the options one after the other; what is left at its end is drawn
by lot, as the program does.
"""

from __future__ import annotations

import random as randomness
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from capacity.autoscaling.amounts import Amounts

_EXACT = 12
"""Digits by which two scores are the same."""


class Candidate(Protocol):
    """What an expander looks at of an option."""

    @property
    def group_id(self) -> str:
        """The group's name, which the priority list's patterns are matched with."""
        ...

    @property
    def nodes(self) -> int:
        """How many it would grow by."""
        ...

    @property
    def pods(self) -> int:
        """How many waiting pods that would help."""
        ...

    @property
    def requested(self) -> Amounts:
        """What those pods ask for together."""
        ...

    @property
    def node_capacity(self) -> Amounts:
        """Of one of its nodes."""
        ...

    @property
    def node_price(self) -> float | None:
        """US dollars an hour; None: unknown."""
        ...


C = TypeVar("C", bound=Candidate)


@dataclass(frozen=True)
class Priorities:
    """The priority expander's list: number to patterns, from its ConfigMap."""

    patterns: Mapping[int, tuple[re.Pattern[str], ...]]

    @classmethod
    def of(cls, listed: Mapping[int, Sequence[str]]) -> Priorities:
        """From the ConfigMap's `priorities`, parsed.

        Raises:
            ValueError: a pattern is none.
        """
        try:
            return cls({number: tuple(re.compile(one) for one in listed[number]) for number in listed})
        except re.error as error:
            raise ValueError(f"the priority expander's list: {error.pattern!r} is no pattern: {error}") from error

    def best(self, candidates: Sequence[C]) -> list[C]:
        """Those of the highest number that matches any; none where nothing matches (CA `expander/priority`)."""
        for number in sorted(self.patterns, reverse=True):
            found = [one for one in candidates if any(p.search(one.group_id) for p in self.patterns[number])]
            if found:
                return found
        return []


def choose(
    candidates: Sequence[C], chain: Sequence[str], lots: randomness.Random, priorities: Priorities | None = None
) -> C | None:
    """One of the candidates; None where there are none.

    Args:
        chain: names of expanders, as `--expander` lists them.
        lots: draws among equals.
        priorities: the list of the expander `priority`; without one it has no say, as with a missing ConfigMap.

    Raises:
        ValueError: no expander has such a name.
    """
    left = list(candidates)
    for name in chain:
        if len(left) < 2 or name == "random":
            break
        if name == "priority":
            left = priorities.best(left) if priorities else left
        elif name in _FILTERS:
            left = _FILTERS[name](left)
        else:
            raise ValueError(f"--expander={name}: no such expander; known: priority, random, {', '.join(_FILTERS)}")
    return lots.choice(left) if left else None


def waste(candidate: Candidate) -> float:
    """Shares of CPU and of memory that nobody asked for on the new nodes, added (CA `expander/waste`)."""
    total, asked = candidate.node_capacity, candidate.requested
    cpu, memory = total.cpu_milli * candidate.nodes, total.memory_kib * candidate.nodes
    return (cpu - asked.cpu_milli) / cpu + (memory - asked.memory_kib) / memory


def _lowest(score: Callable[[Candidate], float]) -> Callable[[list[C]], list[C]]:
    def narrowed(candidates: list[C]) -> list[C]:
        scores = [round(score(one), _EXACT) for one in candidates]
        best = min(scores)
        return [one for one, mine in zip(candidates, scores, strict=True) if mine == best]

    return narrowed


def _cost(candidate: Candidate) -> float:
    """Price of an hour for each pod that is helped; a group without a known price is never the cheapest.

    The program's own formula prices nodes by a preferred size on top, and has no prices for Azure
    (CA `expander/price`): this is its part that can be known.
    """
    price = candidate.node_price
    return float("inf") if price is None else price * candidate.nodes / max(candidate.pods, 1)


_FILTERS: Mapping[str, Callable[[list[C]], list[C]]] = {  # pyright: ignore[reportGeneralTypeIssues]
    "least-waste": _lowest(waste),
    "most-pods": _lowest(lambda one: -one.pods),
    "least-nodes": _lowest(lambda one: one.nodes),
    "price": _lowest(_cost),
}
