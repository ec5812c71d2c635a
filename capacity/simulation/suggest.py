"""The cheapest limits and timings of a stack with which a trace's jobs wait no longer than wanted.

A search, not a proof: it first raises limits until the goal is met, then lowers, pool by pool, the time that idle
machines are kept and the limits, as long as that is cheaper and the goal still met. Bounded, and without chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MINUTES = (1, 2, 3, 5, 10, 20, 30, 60)
"""Times tried for `scaling.unneededMinutes`."""
LARGEST = 999
"""Machines that a pool can have at most on AKS, with one for upgrades."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one evaluation found: the longest p95 of any class in seconds, and US dollars; jobs left over."""

    p95: float
    usd: float
    left: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One pool's settings that the search changes; `minutes` None: as the profile says."""

    maximum: int
    minimum: int
    minutes: int | None


Evaluate = Callable[[Mapping[str, Choice]], Result | None]
"""Simulates the stack with such settings; None: they are not valid together."""


@dataclass(slots=True)
class Search:
    """One search.

    Args:
        evaluate: what is searched.
        target: seconds of waiting, at the 95th percentile of each class.
        most: evaluations at most.

    Attributes:
        tried: evaluations made.
    """

    evaluate: Evaluate
    target: float
    most: int = 80
    tried: int = 0
    _known: dict[tuple[tuple[str, Choice], ...], Result | None] = field(
        default_factory=dict[tuple[tuple[str, Choice], ...], Result | None]
    )

    def run(self, start: Mapping[str, Choice]) -> tuple[dict[str, Choice], Result | None]:
        """The best that was found, beginning with the stack as it is; the result is None where nothing is valid."""
        best = dict(start)
        result = self._try(best)
        for times in (1.5, 2, 4, 8):
            if result is not None and self._met(result):
                break
            more = {key: self._with(one, round(one.maximum * times)) for key, one in start.items()}
            for minutes in (None, *MINUTES[4:]):
                asked = more if minutes is None else {k: Choice(o.maximum, o.minimum, minutes) for k, o in more.items()}
                found = self._try(asked)
                if found is not None and (result is None or self._better(found, result)):
                    best, result = asked, found
                if found is not None and self._met(found):
                    break
        improved = result is not None
        while improved and result is not None and self._met(result):
            improved = False
            for key in best:
                for changed in (self._minutes(best, key, result), self._maximum(best, key, result)):
                    if changed is not None and self._better(changed[1], result):
                        best[key], result = changed
                        improved = True
        return best, result

    def _minutes(self, best: Mapping[str, Choice], key: str, result: Result) -> tuple[Choice, Result] | None:
        """The cheapest time for one pool."""
        one = best[key]
        found = [
            (choice, tried)
            for minutes in MINUTES
            if minutes != one.minutes
            and (tried := self._try({**best, key: (choice := Choice(one.maximum, one.minimum, minutes))})) is not None
            and self._better(tried, result)
        ]
        return min(found, key=lambda pair: pair[1].usd) if found else None

    def _maximum(self, best: Mapping[str, Choice], key: str, result: Result) -> tuple[Choice, Result] | None:
        """The lowest limit for one pool with which it is no dearer."""
        one, found = best[key], None
        low, high = max(one.minimum, 1), one.maximum
        while low < high:
            middle = (low + high) // 2
            choice = self._with(one, middle)
            tried = self._try({**best, key: choice})
            if tried is not None and self._met(tried) and tried.left <= result.left and tried.usd <= result.usd:
                found, high, result = (choice, tried), middle, tried
            else:
                low = middle + 1
        return found

    def _with(self, one: Choice, maximum: int) -> Choice:
        return Choice(min(max(maximum, one.minimum, 1), LARGEST), one.minimum, one.minutes)

    def _met(self, result: Result) -> bool:
        return result.p95 <= self.target

    def _better(self, one: Result, other: Result) -> bool:
        """Fewer jobs left over, then the goal met, then less waiting or money."""
        if one.left != other.left:
            return one.left < other.left
        if self._met(one) != self._met(other):
            return self._met(one)
        return one.usd < other.usd if self._met(one) else (one.p95, one.usd) < (other.p95, other.usd)

    def _try(self, asked: Mapping[str, Choice]) -> Result | None:
        key = tuple(asked.items())
        if key not in self._known:
            if self.tried >= self.most:
                return None
            self.tried += 1
            self._known[key] = self.evaluate(asked)
        return self._known[key]


def changed(values: Mapping[str, Any], choices: Mapping[str, Choice]) -> dict[str, Any]:
    """A stack file's values with other choices for its pools."""
    pools: dict[str, Any] = dict(values["pools"])
    for key, one in choices.items():
        scaling = {**pools[key].get("scaling", {}), **({"unneededMinutes": one.minutes} if one.minutes else {})}
        pools[key] = {**pools[key], "max": one.maximum, **({"scaling": scaling} if scaling else {})}
    return {**values, "pools": pools}


def commands(start: Mapping[str, Choice], end: Mapping[str, Choice]) -> list[str]:
    """The lines that change a stack from one to the other."""
    lines: list[str] = []
    for key, one in end.items():
        path = f"pulumi config set --path 'trainyard:pools.{key}"
        if one.maximum != start[key].maximum:
            lines.append(f"{path}.max' {one.maximum}")
        if one.minutes is not None and one.minutes != start[key].minutes:
            lines.append(f"{path}.scaling.unneededMinutes' {one.minutes}")
    return lines
