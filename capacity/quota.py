"""vCPU quota: what pools need at their peak, where that exceeds what Azure grants, and what would fit instead.

Pure arithmetic over plain values: pools, limits and usages come in, shortages and remedies go out. Does not know where
they were read.

Azure counts vCPUs by family and by region; spot machines count against `lowPriorityCores` alone. A capacity
reservation counts as if all its machines ran, and machines within it do not count again (azure-compute-docs
`capacity-reservation-overview.md`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from capacity.catalogue import family_key
from stacks.surge import surge_nodes

REGION = "cores"
"""The quota of all on-demand machines of a region."""

SPOT = "lowprioritycores"
"""The quota of all spot machines of a region."""

_SHARES = 1000
"""Steps in which several pools give way together."""

UNLIMITED = -1
"""A limit that says that the quota does not apply."""


@dataclass(frozen=True, slots=True)
class Cores:
    """What a VM size counts as.

    Attributes:
        size: `Standard_NC4as_T4_v3`.
        family: the quota family as Azure spells it.
        vcpus: of one machine.
    """

    size: str
    family: str
    vcpus: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """A capacity reservation of one size.

    Attributes:
        group: the id of its group.
        count: machines reserved.
        counted: whether Azure's usage has it already; a reservation that is still to be made is not in it.
    """

    group: str
    cores: Cores
    count: int
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Demand:
    """One pool at its peak.

    Attributes:
        pool: what the reader knows it by.
        minimum, maximum: machines.
        surge: AKS's maxSurge, `1` or `33%`; None where an upgrade adds none.
        group: the capacity reservation group it draws from.
        fixed: its count cannot be lowered, as of a system pool.
    """

    pool: str
    cores: Cores
    minimum: int
    maximum: int
    surge: str | None = None
    spot: bool = False
    group: str | None = None
    fixed: bool = False

    @property
    def peak(self) -> int:
        """Machines at most, the surge of an upgrade among them."""
        return self.maximum + (surge_nodes(self.surge, self.maximum) if self.surge else 0)

    @property
    def quotas(self) -> tuple[str, ...]:
        """The quotas that it counts against, by key."""
        return (SPOT,) if self.spot else (family_key(self.cores.family), REGION)


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines of this stack that run now, and so are in Azure's usage already.

    Attributes:
        group: the capacity reservation group they run in.
    """

    pool: str
    cores: Cores
    count: int
    spot: bool = False
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """One quota as Azure lists it, in vCPUs."""

    name: str
    current: int
    limit: int


@dataclass(frozen=True, slots=True)
class Balance:
    """One quota and what the stack wants of it.

    Attributes:
        used: vCPUs that others use, this stack's own present use left out.
        needed: vCPUs that the stack needs at its peak.
        pools: those that need it, in the order declared.
    """

    key: str
    name: str
    limit: int
    used: int
    needed: int
    pools: tuple[str, ...]

    @property
    def short(self) -> int:
        """vCPUs missing; 0 where it fits."""
        return 0 if self.limit == UNLIMITED else max(0, self.used + self.needed - self.limit)

    @property
    def request(self) -> int:
        """The limit to ask Azure for."""
        return self.used + self.needed


@dataclass(frozen=True)
class Region:
    """What a region grants, and what of it is taken.

    Attributes:
        usages: quota key (`family_key`) to Azure's figures.
        machines: this stack's own, those only that stay; what is being replaced or removed still counts as used.
        reservations: of all groups that the stack's pools name.
    """

    usages: Mapping[str, Usage]
    machines: Sequence[Machines] = ()
    reservations: Sequence[Reservation] = ()


class UnlistedQuotaError(LookupError):
    """Azure lists no such quota; nothing can be said about what needs it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def balances(demands: Sequence[Demand], region: Region) -> list[Balance]:
    """Every quota that the pools need, families first, in the order declared.

    Raises:
        UnlistedQuotaError: Azure lists none of that name.
    """
    needed = _peak(demands, region.reservations)
    own = _running(region.machines, region.reservations)
    keys = list(dict.fromkeys(key for one in demands for key in one.quotas))
    keys.sort(key=lambda key: key in (REGION, SPOT))
    names = {family_key(one.cores.family): one.cores.family for one in demands}
    found: list[Balance] = []
    for key in keys:
        usage = region.usages.get(key)
        if usage is None:
            raise UnlistedQuotaError(names.get(key, key))
        found.append(
            Balance(
                key=key,
                name=usage.name,
                limit=usage.limit,
                used=max(0, usage.current - own[key]),
                needed=needed[key],
                pools=tuple(one.pool for one in demands if key in one.quotas),
            )
        )
    return found


def shortages(demands: Sequence[Demand], region: Region) -> list[Balance]:
    """The quotas that do not suffice."""
    return [one for one in balances(demands, region) if one.short]


def fits(demands: Sequence[Demand], region: Region) -> bool:
    """Whether all pools at their peak stay within quota; False where a quota is not listed."""
    try:
        return not shortages(demands, region)
    except UnlistedQuotaError:
        return False


def largest_maximum(demands: Sequence[Demand], pool: str, region: Region) -> int | None:
    """The largest maximum of one pool with which everything fits, the other pools as they are; None: there is none."""
    [wanted] = [one for one in demands if one.pool == pool]
    if wanted.fixed:
        return None
    least = max(wanted.minimum, 1)
    found = _most(
        wanted.maximum - least, lambda more: fits(_with(demands, replace(wanted, maximum=least + more)), region)
    )
    return None if found is None else least + found


def smaller_maxima(demands: Sequence[Demand], region: Region) -> dict[str, int] | None:
    """Maxima with which everything fits, where several pools have to give way; None: not even at their least.

    All pools of the short quotas give way by the same share of what lies between their least and their maximum.
    """
    keys = {one.key for one in shortages(demands, region)}
    yielding = {one.pool for one in demands if keys & {*one.quotas} and not one.fixed}

    def at(share: int) -> list[Demand]:
        return [
            replace(one, maximum=least + (one.maximum - least) * share // _SHARES)
            if one.pool in yielding and one.maximum > (least := max(one.minimum, 1))
            else one
            for one in demands
        ]

    share = _most(_SHARES, lambda some: fits(at(some), region))
    if share is None:
        return None
    was = {one.pool: one.maximum for one in demands}
    return {one.pool: one.maximum for one in at(share) if one.maximum != was[one.pool]} or None


def sizes_that_fit(
    demands: Sequence[Demand], pool: str, region: Region, candidates: Iterable[Cores], count: int = 3
) -> list[str]:
    """Of `candidates`, best first, the first few sizes with which everything fits when the pool takes them.

    A pool of another size is a new one beside the old, whose machines still count until they are gone.
    """
    [wanted] = [one for one in demands if one.pool == pool]
    beside = replace(region, machines=[one for one in region.machines if one.pool != pool])
    found: list[str] = []
    for cores in candidates:
        if len(found) == count:
            break
        if fits(_with(demands, replace(wanted, cores=cores, group=None)), beside):
            found.append(cores.size)
    return found


def regions_that_fit(
    demands: Sequence[Demand], candidates: Iterable[str], look: Callable[[str], Region | None], count: int = 2
) -> list[str]:
    """Of `candidates`, the first few regions with room for the whole stack.

    Args:
        look: reads what a region grants; None where it cannot be read or lacks a size.
    """
    elsewhere = [replace(one, group=None) for one in demands]
    found: list[str] = []
    for name in candidates:
        if len(found) == count:
            break
        region = look(name)
        if region is not None and fits(elsewhere, region):
            found.append(name)
    return found


def can_be_spot(demands: Sequence[Demand], pool: str, region: Region) -> bool:
    """Whether everything fits when the pool is made of spot machines instead, new beside old."""
    [wanted] = [one for one in demands if one.pool == pool]
    beside = replace(region, machines=[one for one in region.machines if one.pool != pool])
    return fits(_with(demands, replace(wanted, spot=True, surge=None, group=None)), beside)


def _most(above: int, holds: Callable[[int], bool]) -> int | None:
    """The largest number from 0 to below `above` for which it holds, where all smaller ones do, too; None: not at 0."""
    if above <= 0 or not holds(0):
        return None
    low, high = 0, above
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _with(demands: Sequence[Demand], changed: Demand) -> list[Demand]:
    return [changed if one.pool == changed.pool else one for one in demands]


def _peak(demands: Sequence[Demand], reservations: Sequence[Reservation]) -> Counter[str]:
    """vCPUs by quota key that the stack needs beyond reservations that Azure has counted already."""
    total: Counter[str] = Counter()
    reserved = _reserved(reservations)
    for one in reservations:
        if not one.counted:
            for key in (family_key(one.cores.family), REGION):
                total[key] += one.count * one.cores.vcpus
    drawn: Counter[tuple[str, str]] = Counter()
    for one in demands:
        beyond = _beyond(reserved, drawn, one.group, one.cores, one.peak)
        for key in one.quotas:
            total[key] += beyond * one.cores.vcpus
    return total


def _running(machines: Sequence[Machines], reservations: Sequence[Reservation]) -> Counter[str]:
    """vCPUs by quota key that Azure's usage has for this stack's own machines, those within reservations left out."""
    total: Counter[str] = Counter()
    reserved = _reserved([one for one in reservations if one.counted])
    drawn: Counter[tuple[str, str]] = Counter()
    for one in machines:
        beyond = _beyond(reserved, drawn, one.group, one.cores, one.count)
        for key in (SPOT,) if one.spot else (family_key(one.cores.family), REGION):
            total[key] += beyond * one.cores.vcpus
    return total


def _reserved(reservations: Sequence[Reservation]) -> Counter[tuple[str, str]]:
    """Machines reserved, by group and size."""
    total: Counter[tuple[str, str]] = Counter()
    for one in reservations:
        total[one.group.lower(), one.cores.size.lower()] += one.count
    return total


def _beyond(
    reserved: Mapping[tuple[str, str], int],
    drawn: Counter[tuple[str, str]],
    group: str | None,
    cores: Cores,
    machines: int,
) -> int:
    """Of `machines`, those that no reservation covers; `drawn` keeps what earlier pools took."""
    if group is None:
        return machines
    key = (group.lower(), cores.size.lower())
    covered = min(machines, max(0, reserved.get(key, 0) - drawn[key]))
    drawn[key] += covered
    return machines - covered


def default_surge(nodes: int) -> str:
    """What AKS adds in an upgrade where nothing is set, 10 % and at least one (azure-aks-docs `upgrade-cluster.md`)."""
    return str(max(1, math.ceil(nodes / 10)))
