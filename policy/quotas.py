"""Quota: whether Azure grants the vCPUs that all pools may come to, and what would work where it does not.

Owns the way from declared pools and Azure's figures to `capacity.quota`, and the words. 94 % of machines that cannot be
had fail on quota (karpenter-provider-azure design 0012), synchronously and predictably.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from capacity.quota import (
    Balance,
    Demand,
    Machines,
    Region,
    Reservation,
    UnlistedQuotaError,
    balances,
    shortages,
)
from policy.facts.azure import UnreadableError, question
from policy.model import Finding, Rule, Setting, Settings, UnverifiedError
from policy.properties import UnknownValueError
from policy.quota_remedies import Wanted, remedies
from policy.reservations import declared_reservations, group_key
from policy.stack import Pool, StackView, by_region


def _vcpu_quota(stack: StackView, settings: Settings) -> Iterator[Finding]:
    foreign = [one.name for one in stack.foreign]
    by_place = by_region(stack)
    stack.facts.prepare(question("usages", region) for region in by_place)
    unclear: list[str] = []
    for region, pools in by_place.items():
        wanted = _wanted(stack, region, pools)
        unclear += wanted.unclear
        yield from _judge(stack, region, wanted, int(settings["regionsToTry"]))
    unclear += [
        f"{cluster.name}: AKS adds machines of its own choosing (nodeProvisioningProfile.mode), which no pool bounds"
        for cluster in stack.clusters
        if cluster.resource is not None and cluster.resource.properties.known("nodeProvisioningProfile.mode") == "Auto"
    ]
    if foreign:
        unclear.append(f"{', '.join(foreign)}: declared through the provider `azure`; the pack reads azure-native")
    if unclear:
        raise UnverifiedError(f"what these pools need is not counted: {'; '.join(unclear)}.")


def headroom(stack: StackView) -> Iterator[tuple[str, list[Balance]]]:
    """Each region and every quota that is needed of it; regions that cannot be judged are left out."""
    for region, pools in by_region(stack).items():
        wanted = _wanted(stack, region, pools)
        try:
            granted = _granted(stack, region, wanted)[0]
            yield region, balances(wanted.demands, granted)
        except (UnverifiedError, UnlistedQuotaError):
            continue


def _wanted(stack: StackView, region: str, pools: Sequence[Pool]) -> Wanted:
    demands: list[Demand] = []
    unclear: list[str] = []
    named: dict[str, Pool] = {}
    for pool in sorted(pools, key=lambda one: one.label):  # resources come in any order
        try:
            demand = Demand(
                pool=pool.label,
                cores=stack.facts.cores(region, pool.size),
                minimum=pool.minimum,
                maximum=pool.maximum,
                surge=pool.surge,
                spot=pool.spot,
                group=group_key(stack, pool),
                fixed=pool.system,
            )
        except (UnknownValueError, UnverifiedError) as reason:
            unclear.append(f"{pool.label} ({reason})")
            continue
        demands.append(demand)
        named[pool.label] = pool
    return Wanted(region, demands, unclear, named)


def _judge(stack: StackView, region: str, wanted: Wanted, regions_to_try: int) -> Iterator[Finding]:
    if not wanted.demands:
        return
    short, granted, blind = _short(stack, region, wanted)
    fresh = stack.facts.fresh() if short or blind else None
    if fresh is not None:
        stack = stack.with_facts(fresh)
        short, granted, blind = _short(stack, region, wanted)
    if short and blind:
        raise UnverifiedError(f"{_told(region, short[0], wanted)} {blind}")
    for one in short:
        ways = remedies(wanted, stack.facts, granted, one, regions_to_try)
        yield Finding(
            "\n".join([_told(region, one, wanted), "What would work:", *(f"  - {way}" for way in ways)]),
            wanted.pools[one.pools[0]].urn if len(one.pools) == 1 else "",
        )


def _short(stack: StackView, region: str, wanted: Wanted) -> tuple[list[Balance], Region, str]:
    """What is short, what the region grants, and why this stack's own machines could not be read, if so."""
    granted, blind = _granted(stack, region, wanted)
    try:
        return shortages(wanted.demands, granted), granted, blind
    except UnlistedQuotaError as unlisted:
        raise UnverifiedError(
            f"Azure lists no quota {unlisted.name!r} in {region}, so nothing can be said about what needs it. "
            "Ask Azure's support whether the subscription may use the family."
        ) from unlisted


def _granted(stack: StackView, region: str, wanted: Wanted) -> tuple[Region, str]:
    usages = stack.facts.usages(region)
    blind = ""
    machines: list[Machines] = []
    try:
        machines = _own_machines(stack, region)
    except UnreadableError as reason:
        blind = f"It may be this stack's own use that is counted twice: {reason}"
    return Region(usages, machines, _reservations(stack, region, wanted)), blind


def _own_machines(stack: StackView, region: str) -> list[Machines]:
    """The stack's machines that stay: pools that are replaced or removed count as used until they are gone."""
    found: list[Machines] = []
    for cluster in {pool.cluster.key: pool.cluster for pool in stack.pools}.values():
        if cluster.group is None or cluster.name is None:
            continue  # not known before its group is made: there is no such cluster yet
        declared = cluster.resource.properties.known("nodeResourceGroup") if cluster.resource else None
        if not declared:
            live = stack.facts.cluster(cluster.group, cluster.name)
            declared = live.node_group if live else None
        if not declared:
            continue
        staying = {
            pool.name.lower(): pool for pool in stack.pools if pool.cluster.key == cluster.key and pool.name is not None
        }
        for one in stack.facts.machines(str(declared), region):
            pool = staying.get(one.pool.lower())
            if pool is not None:
                group = group_key(stack, pool) if one.group else None
                found.append(Machines(pool.label, one.cores, one.count, one.spot, group))
    return found


def _reservations(stack: StackView, region: str, wanted: Wanted) -> list[Reservation]:
    found: list[Reservation] = []
    for key in dict.fromkeys(one.group for one in wanted.demands if one.group):
        ids = {str(pool.properties.known("capacityReservationGroupID") or "") for pool in wanted.pools.values()}
        live = [
            Reservation(key, one.cores, one.count)
            for group in sorted(ids)
            if group and group.rsplit("/", 1)[-1].lower() == key
            for one in stack.facts.reservations(group, region)
        ]
        found += live
        for to_come in declared_reservations(stack, key, region):
            there = sum(one.count for one in live if one.cores == to_come.cores)
            if to_come.count > there:
                found.append(Reservation(key, to_come.cores, to_come.count - there, counted=False))
    return found


def _told(region: str, one: Balance, wanted: Wanted) -> str:
    """The numbers."""
    demands = {demand.pool: demand for demand in wanted.demands}
    pools = ", ".join(_need(demands[name]) for name in one.pools)
    return (
        f"{region}, {one.name}: {one.needed} vCPUs needed at most, {one.used} used by others, limit {one.limit}: short "
        f"by {one.short}. Needed by {pools}."
    )


def _need(one: Demand) -> str:
    surge = f" and {one.peak - one.maximum} in an upgrade" if one.peak > one.maximum else ""
    return f"{one.pool} ({one.maximum} machines{surge} of {one.cores.size}, {one.cores.vcpus} vCPUs each)"


RULES = (
    Rule(
        name="vcpu-quota",
        title="All pools at their maximum, upgrades included, fit into the subscription's vCPU quota.",
        why=(
            "A pool that is over quota deploys without complaint and then never grows: the autoscaler asks, Azure "
            "refuses with QuotaExceeded, and jobs wait for ever. Most machines that cannot be had fail on quota."
        ),
        fix="Lower a maximum, take a size, region or spot quota with room, or request the limit that is named.",
        severity="critical",
        check=_vcpu_quota,
        follows=("APRL a01afc4c-7439-4919-b2da-3565992ea2a7",),
        settings=(
            Setting(
                "regionsToTry",
                {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": 20,
                    "default": 4,
                    "description": "Other regions that are looked at where quota is short, cheapest first.",
                },
            ),
        ),
    ),
)
