"""What a simulation found: raw figures, from which tables and charts are made."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from capacity.simulation.nodes import Node


class Series:
    """A number over time, thinned to steps: of each, its last value and its highest are kept.

    Args:
        step: seconds.
    """

    def __init__(self, step: float) -> None:
        self._step = step
        self._points: list[tuple[float, int]] = []
        self._peak: tuple[float, int] | None = None
        self.highest = 0
        self.now = 0

    def set(self, at: float, value: int) -> None:
        """The number is `value` from now on."""
        self.now = value
        self.highest = max(self.highest, value)
        if self._points and at - self._points[-1][0] < self._step:
            if self._peak is None or value > self._peak[1]:
                self._peak = (at, value)
            self._last = (at, value)
            return
        self._close_step()
        self._points.append((at, value))

    def add(self, at: float, change: int) -> None:
        """The number changes by as much."""
        self.set(at, self.now + change)

    @property
    def points(self) -> list[tuple[float, int]]:
        """Time and value of each change that was kept, in order."""
        self._close_step()
        return self._points

    def _close_step(self) -> None:
        if self._peak is not None:
            self._points.append(self._peak)
            if self._last != self._peak:
                self._points.append(self._last)
            self._peak = None


@dataclass(slots=True)
class Outcome:
    """What a stack did with a trace. Times in seconds of the trace.

    Attributes:
        began: the first arrival.
        ended: when the last machine above the minimums had gone.
        last_finish: when the last job ended.
        machines: number of machines over time, by pool.
        waiting: number of waiting jobs over time.
        waits: seconds from arrival to start, one a job, by the class of the pool it ran in.
        nodes: every machine that there was.
        cores: vCPUs at their peak by quota: family key, `spot` for all spot machines, `cores` for the region.
        never: why jobs can never run, and how many for each reason.
        refused: by pool, how often a quota stood in the way.
        unfinished: jobs that could run and still had not when nothing more could happen.
        finished: jobs that ran to their end.
    """

    began: float
    ended: float
    last_finish: float
    machines: dict[str, Series]
    waiting: Series
    waits: dict[str, array[float]] = field(default_factory=dict[str, "array[float]"])
    nodes: list[Node] = field(default_factory=list[Node])
    cores: dict[str, int] = field(default_factory=dict[str, int])
    never: Counter[str] = field(default_factory=Counter[str])
    refused: Counter[str] = field(default_factory=Counter[str])
    unfinished: int = 0
    finished: int = 0
