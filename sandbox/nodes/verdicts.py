"""What a check of a container finds: that it runs, that it ends at once, or that it cannot even start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Verdict:
    """The outcome of one start of a container.

    Attributes:
        problem: what the container's log would say as it ends; None: it runs.
        waiting_reason: what `kubectl get pods` shows: `CrashLoopBackOff`, or why it could not be started.
        devices: what a device plugin offers the node, resource name to number.
    """

    problem: str | None = None
    waiting_reason: str = ""
    devices: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def runs(self) -> bool:
        """Whether the container goes on running."""
        return self.problem is None


def runs(devices: Mapping[str, int] | None = None) -> Verdict:
    """The container runs and, where it is a device plugin, offers these devices."""
    return Verdict(devices=dict(devices or {}))


def crashes(problem: str) -> Verdict:
    """The container ends with an error, again at every restart until the cause is mended."""
    return Verdict(problem=problem, waiting_reason="CrashLoopBackOff")


def cannot_start(reason: str, problem: str) -> Verdict:
    """The kubelet cannot start the container: something it refers to is not there."""
    return Verdict(problem=problem, waiting_reason=reason)
