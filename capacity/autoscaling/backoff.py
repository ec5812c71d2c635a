"""A group that failed is left alone for a while, longer each time.

Source: CA `utils/backoff/exponential_backoff.go`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from capacity.autoscaling.options import Options


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of one group.

    Attributes:
        duration: seconds for which it is left alone.
        until: when that ends.
        failed_at: when it failed last.
        reason: what was said.
    """

    duration: float
    until: float
    failed_at: float
    reason: str


@dataclass
class Backoff:
    """Which groups are left alone, and until when. Times in seconds, on any one clock."""

    failures: dict[str, Failure] = field(default_factory=dict[str, Failure])

    def failed(self, group: str, now: float, options: Options, reason: str = "") -> Failure:
        """A group failed: five minutes at first, twice as long each time after the last pause ended.

        Failures within a pause count as one.
        """
        last = self.failures.get(group)
        duration = options.initial_node_group_backoff_duration
        if last is not None:
            again = last.until < now
            duration = min(2 * last.duration, options.max_node_group_backoff_duration) if again else last.duration
        self.failures[group] = Failure(duration, now + duration, now, reason)
        return self.failures[group]

    def succeeded(self, group: str) -> None:
        """Every machine that was asked for has come: nothing is held against the group."""
        self.failures.pop(group, None)

    def left_alone(self, group: str, now: float) -> Failure | None:
        """The failure for which a group is still left alone."""
        last = self.failures.get(group)
        return last if last is not None and last.until >= now else None

    def forget_old(self, now: float, options: Options) -> None:
        """What failed long ago no longer counts."""
        reset = options.node_group_backoff_reset_timeout
        self.failures = {name: one for name, one in self.failures.items() if one.failed_at + reset >= now}
