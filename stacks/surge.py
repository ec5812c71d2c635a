"""How many machines an upgrade adds to a pool; apart from the settings, whose models take a while to import."""

from __future__ import annotations


def surge_nodes(surge: str, nodes: int) -> int:
    """How many machines `surge` adds to a pool of `nodes`: a number, or a percentage rounded up as AKS does.

    AKS never surges by more than there are nodes to upgrade.
    """
    wanted = -(-nodes * int(surge[:-1]) // 100) if surge.endswith("%") else int(surge)
    return min(wanted, nodes)
