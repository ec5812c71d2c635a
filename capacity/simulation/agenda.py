"""What is still to happen, in order of time, and when the autoscaler looks next."""

from __future__ import annotations

import heapq
from math import ceil, floor, inf

FIRST, LATER = 0, 1
"""Of what happens at one time: machines become ready first, then jobs end; the autoscaler looks last."""
_TURN = 2


class Agenda:
    """Events and the autoscaler's turns.

    Args:
        origin: when the autoscaler began to look.
        interval: seconds between two of its turns.

    Attributes:
        lasting: how many events are to come, turns aside.
    """

    def __init__(self, origin: float, interval: float) -> None:
        self._origin = origin
        self._interval = interval
        self._events: list[tuple[float, int, int, object]] = []
        self._pushed = 0
        self._turn_at = inf
        self.lasting = 0

    def push(self, at: float, rank: int, what: object) -> None:
        """Something happens at a time; at the same time, those of lower rank go first."""
        self._pushed += 1
        self.lasting += rank != _TURN
        heapq.heappush(self._events, (at, rank, self._pushed, what))

    def pop_before(self, time: float) -> tuple[float, object] | None:
        """What happens next, if it is before a time: when, and what was pushed, None for a turn of the autoscaler."""
        while self._events and self._events[0][0] < time:
            at, rank, _, what = heapq.heappop(self._events)
            if rank != _TURN:
                self.lasting -= 1
                return at, what
            if at == self._turn_at:
                self._turn_at = inf
                return at, None
        return None

    def look_at(self, time: float, *, after: bool = False) -> None:
        """Have the autoscaler look at its first turn at a time or later; `after`: later than it."""
        at = self.turn(time, after=after)
        if at < self._turn_at:
            self._turn_at = at
            self.push(at, _TURN, None)

    def turn(self, time: float, *, after: bool = False) -> float:
        """The autoscaler's first turn at a time or later."""
        turns = round((time - self._origin) / self._interval, 6)  # what is a turn but for floating point, is one
        return self._origin + self._interval * (floor(turns) + 1 if after else ceil(turns))
