"""Choosing storage for a dataset: `python -m capacity.storage --size-gib 500 --files 200000 --nodes 4 --pattern …`.

Owns the one call that others make, `compare`, and the command's table. The figures are upper bounds, computed from
what Azure documents; `storage_bench` measures.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from capacity.cost.prices import Prices, load_prices
from capacity.storage_advice import Advice, advise, dollars, minutes, rank
from capacity.storage_clusters import cluster_offers
from capacity.storage_data import PATTERNS, StorageData, load_storage_data
from capacity.storage_offers import Offer, Question, service_offers
from capacity.storage_workload import REQUESTS, Setup, Workload


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything known of how to store one dataset.

    Attributes:
        workload, setup: what it was asked for.
        offers: every backend's, the least to run first.
        advice: the recommendation.
    """

    workload: Workload
    setup: Setup
    offers: tuple[Offer, ...]
    advice: Advice


def compare(
    workload: Workload, setup: Setup | None = None, *, data: StorageData | None = None, prices: Prices | None = None
) -> Comparison:
    """What every backend offers a workload, and which one to take.

    Raises:
        ValueError: no backend holds the dataset, or the setup names a machine or disk that is not known.
    """
    setup, data, prices = setup or Setup(), data or load_storage_data(), prices or load_prices()
    asked, order = Question(workload, setup, data, prices), list(data.backends)
    offers = sorted(
        [*service_offers(asked), *cluster_offers(asked)],
        key=lambda one: (rank(one.backend), order.index(one.backend.key), *one.order),
    )
    return Comparison(workload, setup, tuple(offers), advise(offers, workload, setup))


def as_json(comparison: Comparison, data: StorageData) -> dict[str, Any]:
    """The comparison for programs; None is unknown. A refused offer has no figures."""
    return {
        "workload": {
            "sizeGib": comparison.workload.size_gib,
            "files": comparison.workload.files,
            "nodes": comparison.workload.nodes,
            "pattern": comparison.workload.pattern,
            "request": REQUESTS[comparison.workload.pattern],
        },
        "region": comparison.setup.region,
        "recommended": comparison.advice.offer.key,
        "fastEnough": comparison.advice.fast_enough,
        "reason": comparison.advice.reason,
        "whyNot": dict(comparison.advice.others),
        "offers": [_offer_json(one, data) for one in comparison.offers],
    }


def _offer_json(offer: Offer, data: StorageData) -> dict[str, Any]:
    named = {"backend": offer.key, "title": offer.backend.title}
    if offer.refused:
        return {**named, "refused": offer.refused}
    return {
        **named,
        "provisioned": offer.provisioned,
        "iops": offer.requests,
        "mibps": offer.mibps,
        "mibpsPerNode": offer.per_node_mibps,
        "passMinutes": offer.pass_minutes,
        "monthlyUsd": offer.cost.usd,
        "priceBorrowedFrom": list(offer.cost.borrowed_from),
        "priceExcludes": offer.cost.excludes or None,
        "priceUnknownOf": list(offer.cost.missing),
        "limits": [
            {
                "what": one.what,
                "iops": one.requests,
                "basis": one.basis,
                "source": data.sources[one.source].what,
                "date": data.sources[one.source].date,
            }
            for one in offer.ceilings
        ],
        "unknownLimits": list(offer.unknown),
    }


def table(comparison: Comparison) -> str:
    """The comparison for people, lines of 120 characters at most."""
    asked, setup, advice = comparison.workload, comparison.setup, comparison.advice
    rate = "files/s" if asked.pattern == "small-files" else "IOPS"
    lines = [
        f"{asked.size_gib:,.10g} GiB in {asked.files:,} files, used by {asked.nodes} x {setup.node_size}, "
        f"{asked.pattern}: {REQUESTS[asked.pattern]}",
        "Computed: upper bounds from what Azure documents, latency left out; to measure: make storage-bench",
        f"Prices: {setup.region or 'unknown without --region'}",
        "",
        f"  {'':21}{rate:>10}{'MiB/s':>9}{'a node':>9}{'one pass':>10}{'$ a month':>28}",
    ]
    possible = [one for one in comparison.offers if not one.refused]
    for one in possible:
        mark = "> " if one is advice.offer else "  "
        figures = f"{one.requests:>10,.0f}{one.mibps:>9,.0f}{one.per_node_mibps:>9,.0f}{minutes(one.pass_minutes):>10}"
        lines.append(f"{mark}{one.key:21}{figures}{dollars(one.cost):>28}")
    lines += ["", "What limits it"]
    for one in possible:
        lines += _wrapped(f"  {one.key:21}", "; ".join((f"{one.limit.what} ({one.limit.basis})", *_unknown(one))))
    borrowed = sorted({region for one in comparison.offers for region in one.cost.borrowed_from})
    notes = [f"'about': a price of {', '.join(borrowed)} stands in for an unknown one here."] if borrowed else []
    lines += ["", *notes, *_wrapped("Take ", f"{advice.offer.backend.title} ({advice.offer.key}): {advice.reason}.")]
    lines += [f"  {advice.offer.provisioned}", "", "Why not"]
    for key, why in advice.others:
        lines.extend(_wrapped(f"  {key:21}", why))
    return "\n".join(lines)


def _unknown(offer: Offer) -> list[str]:
    return [f"not known: {one}" for one in offer.unknown]


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent=head, subsequent_indent=" " * len(head)) or [head]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 2 with the reason on standard error where the question cannot be answered."""
    defaults = Setup()
    parser = argparse.ArgumentParser(prog="python -m capacity.storage", description="Choose storage for a dataset.")
    parser.add_argument("--size-gib", type=float, required=True)
    parser.add_argument("--files", type=int, required=True, help="how many files that is")
    parser.add_argument("--nodes", type=int, required=True, help="machines that use it at the same time")
    parser.add_argument("--pattern", choices=PATTERNS, required=True)
    parser.add_argument("--region", help="for prices and regional limits: westeurope")
    parser.add_argument("--goal-minutes", type=float, default=defaults.goal_minutes, help="for one pass over the data")
    parser.add_argument("--streams", type=int, default=defaults.streams, help="files a node has open at once")
    parser.add_argument("--node-size", default=defaults.node_size)
    parser.add_argument("--storage-size", default=defaults.storage_size, help="VM size of the storage pool")
    parser.add_argument("--nvme-size", default=defaults.nvme_size, help="VM size of a storage pool on local NVMe")
    parser.add_argument("--storage-nodes", type=int, default=defaults.storage_nodes)
    parser.add_argument("--replicas", type=int, default=defaults.replicas)
    parser.add_argument("--disk-gib", type=int, default=defaults.disk_gib)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    data = load_storage_data()
    try:
        comparison = compare(
            Workload(given.size_gib, given.files, given.nodes, given.pattern),
            Setup(
                region=given.region,
                node_size=given.node_size,
                storage_size=given.storage_size,
                nvme_size=given.nvme_size,
                storage_nodes=given.storage_nodes,
                replicas=given.replicas,
                disk_gib=given.disk_gib,
                streams=given.streams,
                goal_minutes=given.goal_minutes,
            ),
            data=data,
        )
    except ValueError as problem:
        print(f"capacity.storage: {problem}", file=sys.stderr)
        return 2
    print(json.dumps(as_json(comparison, data), indent=2) if given.json else table(comparison))
    return 0


if __name__ == "__main__":
    sys.exit(main())
