"""Which way to store a dataset, and why, in words.

The rule: what is made for the access pattern, keeps the data and is fast enough, with the least to run; something
that needs more running must be known to be cheaper by a fifth. Where nothing is fast enough, the fastest. What is a
last resort comes after all others, fast enough or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from capacity.storage_data import Backend
from capacity.storage_offers import Cost, Offer
from capacity.storage_workload import REQUESTS, Setup, Workload

CHEAPER = 0.8
"""What needs more running is taken where it costs less than this share of what needs less."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A recommendation.

    Attributes:
        offer: what is recommended.
        fast_enough: whether it reaches the goal.
        reason: why, in words.
        others: (key, why not) of every other offer, the nearest first.
    """

    offer: Offer
    fast_enough: bool
    reason: str
    others: tuple[tuple[str, str], ...]


def advise(offers: Sequence[Offer], workload: Workload, setup: Setup) -> Advice:
    """Recommend one of the offers; they come with the least to run first.

    Raises:
        ValueError: none of them can hold the dataset.
    """
    candidates = [one for one in offers if not _unfit(one, workload)]
    if not candidates:
        refusals = "; ".join(f"{one.key}: {_unfit(one, workload)}" for one in offers)
        raise ValueError(f"nothing known fits {workload.size_gib:,.0f} GiB read as {workload.pattern}: {refusals}")
    proper = [one for one in candidates if not one.backend.last_resort] or candidates
    enough = [one for one in proper if one.pass_minutes <= setup.goal_minutes]
    best = _least(enough) if enough else min(proper, key=lambda one: one.pass_minutes)
    ranked = [*candidates, *(one for one in offers if one not in candidates)]
    others = tuple((one.key, _why_not(one, best, workload, setup)) for one in ranked if one is not best)
    return Advice(best, bool(enough), _reason(best, bool(enough), workload, setup), others)


def _least(offers: Sequence[Offer]) -> Offer:
    """The least to run; more only where it is known to be cheaper."""
    best, *rest = offers
    for one in rest:
        if _cheaper(one.cost, best.cost):
            best = one
    return best


def rank(backend: Backend) -> int:
    """Services come before what runs in the cluster, what keeps data before what loses it, a last resort last."""
    return 3 if backend.last_resort else 2 if backend.loses_data else 1 if backend.in_cluster else 0


def _cheaper(one: Cost, other: Cost) -> bool:
    if one.usd is None or other.usd is None or not (one.comparable and other.comparable):
        return False
    return one.usd < other.usd * CHEAPER


def _unfit(offer: Offer, workload: Workload) -> str:
    """Why an offer is no candidate, empty if it is one."""
    if offer.refused:
        return offer.refused
    if workload.pattern in offer.backend.unfit:
        return offer.backend.unfit[workload.pattern][0]
    return offer.backend.loses_data


def _reason(best: Offer, enough: bool, workload: Workload, setup: Setup) -> str:
    pace = f"{best.requests:,.0f} {REQUESTS[workload.pattern]} a second, {best.mibps:,.0f} MiB/s"
    took = f"one pass takes {minutes(best.pass_minutes)} at least ({pace}); limited by {best.limit.what}"
    goal = minutes(setup.goal_minutes)
    if enough:
        return f"it needs the least running of what can pass over the data within {goal}: {took}"
    return f"nothing known here passes over the data within {goal}; this comes nearest: {took}"


def _why_not(offer: Offer, best: Offer, workload: Workload, setup: Setup) -> str:
    unfit = _unfit(offer, workload)
    if unfit:
        return unfit
    if offer.backend.last_resort:
        return f"last resort: {offer.backend.last_resort}"
    if offer.pass_minutes > setup.goal_minutes:
        slow = f"a pass takes {minutes(offer.pass_minutes)} at least: {offer.limit.what}"
        return slow if best.pass_minutes <= setup.goal_minutes else f"slower: {slow}"
    if _cheaper(best.cost, offer.cost):
        return f"fast enough too, and dearer: {dollars(offer.cost)} against {dollars(best.cost)} a month"
    more = "more to run, and " if rank(offer.backend) > rank(best.backend) else ""
    if not (offer.cost.comparable and best.cost.comparable):
        return f"fast enough too; {more}not known to be cheaper: {dollars(offer.cost)} against {dollars(best.cost)}"
    return f"fast enough too; {more}not cheaper by a fifth: {dollars(offer.cost)} against {dollars(best.cost)}"


def dollars(cost: Cost) -> str:
    """A cost a month in words."""
    if cost.usd is None:
        return "unknown"
    about = "about " if cost.borrowed_from else ""
    plus = f" + {cost.excludes}" if cost.excludes else ""
    return f"{about}${cost.usd:,.0f}{plus}"


def minutes(value: float) -> str:
    """A time in the unit that suits it."""
    if value < 1:
        return f"{value * 60:,.1f} s" if value * 60 < 10 else f"{value * 60:,.0f} s"
    return f"{value:,.0f} min" if value < 120 else f"{value / 60:,.1f} h"
