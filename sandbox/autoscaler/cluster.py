"""What a run of the autoscaler rests on: the collections that are watched, and what it remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.scale_down import Idle, Pauses
from sandbox.autoscaler.view import Shapes
from sandbox.nodes.objects import Json, text
from sandbox.nodes.watched import Watched


@dataclass
class Cluster:
    """What is watched of the API server; pods by the name of their node."""

    nodes: Watched
    pods: Watched
    daemons: Watched
    budgets: Watched

    def pods_of(self, node: str) -> Iterable[Json]:
        """The pods on a node; of the empty name those that are on none."""
        return self.pods.grouped(node)

    async def complete(self) -> None:
        """Wait until everything has been read once."""
        for watched in (self.nodes, self.pods, self.daemons, self.budgets):
            await asyncio.shield(watched.complete.wait())


@dataclass
class Memory:
    """What one process remembers from turn to turn; a new one begins without it."""

    backoff: Backoff = field(default_factory=Backoff)
    idle: Idle = field(default_factory=Idle)
    pauses: Pauses = field(default_factory=Pauses)
    shapes: Shapes = field(default_factory=Shapes)


def node_of(pod: Json) -> str:
    """The node a pod is on, by which pods are grouped; empty: none yet."""
    return text(pod, "spec", "nodeName")
