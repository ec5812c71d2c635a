"""Amounts of what pods ask for and nodes have."""

from __future__ import annotations

from typing import NamedTuple


class Amounts(NamedTuple):
    """Resources of a pod or a node.

    Attributes:
        cpu_milli: thousandths of a core.
        memory_kib: KiB.
        ephemeral_kib: KiB of local storage.
        nvidia: `nvidia.com/gpu`.
        amd: `amd.com/gpu`.
        pods: 1 for a pod; for a node, pods at most.
    """

    cpu_milli: int = 0
    memory_kib: int = 0
    ephemeral_kib: int = 0
    nvidia: int = 0
    amd: int = 0
    pods: int = 0

    @property
    def gpus(self) -> int:
        """GPUs of either make."""
        return self.nvidia + self.amd

    def plus(self, other: Amounts, times: int = 1) -> Amounts:
        """This and `times` the other."""
        # Written out: a simulation of a million jobs does this some million times.
        return Amounts(
            self[0] + times * other[0],
            self[1] + times * other[1],
            self[2] + times * other[2],
            self[3] + times * other[3],
            self[4] + times * other[4],
            self[5] + times * other[5],
        )

    def minus(self, other: Amounts, times: int = 1) -> Amounts:
        """This without `times` the other."""
        return self.plus(other, -times)

    def holds(self, other: Amounts) -> bool:
        """Whether the other fits into this."""
        asks = False
        for mine, asked in zip(self, other, strict=True):
            if asked:
                if mine < asked:
                    return False
                asks = True
        return asks

    def times(self, other: Amounts) -> int:
        """How many of the other fit into this; a pod always takes one of `pods`.

        What is not asked for does not limit, even where less than nothing of it is left.
        """
        least = -1
        for mine, asked in zip(self, other, strict=True):
            if asked:
                fits = mine // asked
                if fits <= 0:
                    return 0
                if least < 0 or fits < least:
                    least = fits
        return max(0, least)
