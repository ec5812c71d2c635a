"""What would work where quota is short: smaller maxima, other sizes, spot, other regions, the request to file.

Owns which candidates are looked at and the words; whether one fits is `capacity.quota`'s to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from capacity.catalogue import load_catalogue
from capacity.quota import (
    SPOT,
    Balance,
    Demand,
    Region,
    can_be_spot,
    largest_maximum,
    regions_that_fit,
    sizes_that_fit,
    smaller_maxima,
)
from policy.facts.azure import UnreadableError, question
from policy.facts.facts import Facts, alternatives
from policy.properties import UnknownValueError
from policy.stack import Pool

_MOST_POOLS = 4
"""Pools whose own remedies are named: with a hundred of them a message helps nobody."""


@dataclass(frozen=True)
class Wanted:
    """What one region is asked for.

    Attributes:
        demands: pools whose need is known.
        unclear: why others' is not.
        pools: demand name to the declared pool.
    """

    region: str
    demands: list[Demand]
    unclear: list[str]
    pools: dict[str, Pool]


def remedies(wanted: Wanted, facts: Facts, granted: Region, one: Balance, regions_to_try: int) -> list[str]:
    """What would mend a shortage, the least change first; each, applied alone, makes everything fit."""
    demands = wanted.demands
    named = {demand.pool: demand for demand in demands}
    # Those first that can give most: where none of them suffices alone, no other does.
    yielding = sorted((name for name in one.pools if not named[name].fixed), key=lambda name: -_gives(named[name]))
    pools = yielding[:_MOST_POOLS]
    said: list[str] = []
    largest = {name: largest_maximum(demands, name, granted) for name in pools}
    for name, maximum in largest.items():
        if maximum is not None:
            said.append(f"lower the maximum of {name} from {named[name].maximum} to {maximum}, the most that fits")
    if not any(maximum is not None for maximum in largest.values()):
        together = smaller_maxima(demands, granted) or {}
        if together:
            each = ", ".join(f"{name} from {named[name].maximum} to {maximum}" for name, maximum in together.items())
            said.append(f"lower several maxima together: {each}")
    for name in pools:
        sizes = _other_sizes(facts, wanted, granted, name)
        if sizes:
            said.append(f"another size for {name}, with room for as many machines: {', '.join(sizes)}")
        if one.key != SPOT and not named[name].spot and can_be_spot(demands, name, granted):
            said.append(f"spot machines for {name}, where its work can be interrupted: they have a quota of their own")
    if len(yielding) > len(pools):
        said.append(f"the like for {len(yielding) - len(pools)} more pools, which give less")
    elsewhere = _other_regions(facts, wanted, regions_to_try)
    if elsewhere:
        said.append(f"another region, with room for all pools: {', '.join(elsewhere)}")
    kind = "lowPriority" if one.key == SPOT else "dedicated"
    said.append(
        f"more quota: ask for a limit of {one.request} (now {one.limit}): `az quota update --resource-name "
        f"'{one.name}' --scope /subscriptions/$ARM_SUBSCRIPTION_ID/providers/Microsoft.Compute/locations/"
        f"{wanted.region} --limit-object value={one.request} --resource-type {kind}`"
    )
    return said


def _gives(demand: Demand) -> int:
    """vCPUs that a pool can do without: all but those of its least machines."""
    return (demand.maximum - max(demand.minimum, 1)) * demand.cores.vcpus


def _other_sizes(facts: Facts, wanted: Wanted, granted: Region, name: str) -> list[str]:
    """Sizes of the same class that are offered, accepted by AKS, and have room; offers that cannot be read: none."""
    pool = wanted.pools[name]
    size = load_catalogue().size(pool.size)
    if size is None:
        return []
    try:
        offers = facts.offers(wanted.region)
        zones = set(pool.properties.texts("availabilityZones"))
    except (UnreadableError, UnknownValueError):
        return []
    accepted: frozenset[str] | None
    try:
        accepted = facts.aks_sizes(wanted.region)
    except UnreadableError:
        accepted = None
    candidates = [
        one
        for one in alternatives(size, wanted.region)
        if (offer := offers.get(one.size.lower())) is not None
        and offer.closed is None
        and zones <= set(offer.zones)
        and (accepted is None or one.size.lower() in accepted)
        and (not pool.spot or offer.can("LowPriorityCapable") is not False)
        and _keeps_disk(pool, offer.ephemeral_gib)
    ]
    return sizes_that_fit(wanted.demands, name, granted, candidates)


def _keeps_disk(pool: Pool, room: int | None) -> bool:
    """Whether an ephemeral OS disk of the pool's still fits."""
    if pool.properties.known("osDiskType") != "Ephemeral":
        return True
    wanted = pool.properties.known("osDiskSizeGB")
    return room is not None and (not isinstance(wanted, int) or wanted <= room)


def _other_regions(facts: Facts, wanted: Wanted, count: int) -> list[str]:
    catalogue = load_catalogue()
    sizes = list(dict.fromkeys(demand.cores.size for demand in wanted.demands))
    regions = [
        one for one in catalogue.regions if one != wanted.region and all(catalogue.sold_in(one, size) for size in sizes)
    ]
    regions.sort(key=lambda one: (sum(catalogue.price(one, size) or 0.0 for size in sizes), one))
    regions = regions[:count]
    facts.prepare(question(kind, one) for one in regions for kind in ("usages", "sizes"))

    def look(name: str) -> Region | None:
        try:
            offers = facts.offers(name)
            for pool in wanted.pools.values():
                offer = offers.get(pool.size.lower())
                zones = set(pool.properties.texts("availabilityZones"))
                if offer is None or offer.closed or not zones <= {*offer.zones}:
                    return None
            return Region(facts.usages(name))
        except (UnreadableError, UnknownValueError):
            return None

    return regions_that_fit(wanted.demands, regions, look)
