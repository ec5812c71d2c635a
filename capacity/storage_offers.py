"""What each way to store a dataset offers: requests a second, MiB/s, cost, and what limits it.

A figure is the lowest of several ceilings, each with its source. Ceilings come from Azure's documents and from
arithmetic on them: no real system exceeds them, most stay below. Latency is not in them. What was measured is
`storage_bench`'s. Owns the arithmetic; `storage_clusters` plans what runs in the cluster.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from capacity.cost.prices import Prices
from capacity.storage_data import Backend, LustreSku, StorageData
from capacity.storage_workload import Setup, Workload

Basis = Literal["documented", "computed", "assumed"]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Something that cannot go faster.

    Attributes:
        what: in words, with its own figure.
        requests: requests a second that it lets through, all nodes together.
        basis: `documented`: the figure stands in the source; `computed`: the source's figure times how many there
            are; `assumed`: an assumption of ours is in it.
        source: key of `storage_sources.csv`.
    """

    what: str
    requests: float
    basis: Basis
    source: str


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars a month, None where a part's price is not known.

    Attributes:
        usd: of everything listed in `parts`.
        borrowed_from: regions whose prices stand in for this region's own.
        excludes: what is billed by use and so not in it, empty if nothing.
        missing: what has no known price.
    """

    usd: float | None
    borrowed_from: tuple[str, ...] = ()
    excludes: str = ""
    missing: tuple[str, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether it is the region's own whole price."""
        return self.usd is not None and not self.borrowed_from and not self.excludes


@dataclass(frozen=True, slots=True)
class Offer:
    """What one backend offers one workload.

    Attributes:
        key: of the backend, with Lustre's kind after it: `lustre-250`.
        backend: what it is.
        provisioned: what would be provisioned, in words.
        refused: why it cannot hold this dataset; empty if it can. The figures of a refused offer mean nothing.
        requests, mibps: a second, all nodes together, at most.
        per_node_mibps: of one node when all of them use it.
        ceilings: lowest first; the first is what limits it.
        unknown: limits that exist and whose figure is not known.
        cost: a month.
        pass_minutes: one pass over the dataset by all nodes together, at least.
        order: among equals: what needs less running, less provisioned speed, less provisioned size.
    """

    key: str
    backend: Backend
    provisioned: str
    refused: str
    requests: float
    mibps: float
    per_node_mibps: float
    ceilings: tuple[Ceiling, ...]
    unknown: tuple[str, ...]
    cost: Cost
    pass_minutes: float
    order: tuple[float, ...]

    @property
    def limit(self) -> Ceiling:
        """What limits it."""
        return self.ceilings[0]


@dataclass(frozen=True, slots=True)
class Question:
    """What every backend is asked: the workload, the setup, and the tables to answer from."""

    workload: Workload
    setup: Setup
    data: StorageData
    prices: Prices


def made_offer(
    key: str,
    backend: Backend,
    workload: Workload,
    *,
    provisioned: str,
    ceilings: Iterable[Ceiling],
    cost: Cost,
    unknown: Iterable[str] = (),
    order: Iterable[float] = (),
) -> Offer:
    """An offer from its ceilings."""
    ordered = tuple(sorted(ceilings, key=lambda one: one.requests))
    requests = ordered[0].requests
    mibps = requests * workload.request_mib
    return Offer(
        key=key,
        backend=backend,
        provisioned=provisioned,
        refused="",
        requests=requests,
        mibps=mibps,
        per_node_mibps=mibps / workload.nodes,
        ceilings=ordered,
        unknown=tuple(unknown),
        cost=cost,
        pass_minutes=workload.requests / requests / 60,
        order=tuple(order),
    )


def refused_offer(key: str, backend: Backend, why: str) -> Offer:
    """What cannot hold the dataset."""
    return Offer(key, backend, "", why, 0, 0, 0, (), (), Cost(None), math.inf, ())


def monthly(parts: Iterable[tuple[str, str, float]], asked: Question, excludes: str = "") -> Cost:
    """The cost of (what, meter, how many) a month."""
    region = asked.setup.region
    total, borrowed, missing = 0.0, list[str](), list[str]()
    for what, meter, count in parts:
        price = asked.prices.price(meter, region) if region else None
        if price is None:
            missing.append(what)
            continue
        total += price.monthly_usd * count
        if price.borrowed_from:
            borrowed.append(price.borrowed_from)
    return Cost(None if missing else total, tuple(dict.fromkeys(borrowed)), excludes, tuple(missing))


def client_network(asked: Question, copies: int = 1) -> Ceiling:
    """The network of the nodes that use the data; `copies`: how often they send what they write."""
    workload, machine = asked.workload, asked.data.machine(asked.setup.node_size)
    sent = f", each piece sent {copies} times" if copies > 1 else ""
    return Ceiling(
        f"network of {workload.nodes} x {machine.size}, {machine.network_mibps:,.0f} MiB/s each{sent}",
        workload.nodes * machine.network_mibps / workload.request_mib / copies,
        "computed",
        machine.source,
    )


def service_offers(asked: Question) -> Iterator[Offer]:
    """What Azure's own services offer."""
    for backend in asked.data.backends.values():
        largest = backend.limits.get("max_gib")
        if largest and asked.workload.size_gib > largest.value:
            yield refused_offer(backend.key, backend, f"holds {largest.value:,.0f} GiB at most")
        elif backend.key.startswith("files-premium"):
            yield _premium_share(backend, asked)
        elif backend.key == "files-standard-smb":
            yield _standard_share(backend, asked)
        elif backend.key.startswith("blob-"):
            yield _blob(backend, asked)
        elif backend.key == "lustre":
            for sku in asked.data.lustre:
                yield _lustre(sku, backend, asked)


def _premium_share(backend: Backend, asked: Question) -> Offer:
    workload = asked.workload

    def limit(name: str) -> float:
        return backend.limits[name].value

    gib = math.ceil(max(workload.size_gib, limit("min_gib")))
    ios = workload.ios(1.0) + _metadata(backend, workload)
    iops = limit("share_iops_base") + gib * limit("share_iops_per_gib")
    mibps = limit("share_mibps_base") + math.ceil(gib * limit("share_mibps_per_gib"))
    bought = "included_iops" in backend.limits
    if bought:
        needed = workload.requests / (asked.setup.goal_minutes * 60)
        iops = max(iops, math.ceil(needed * ios))
        mibps = max(mibps, math.ceil(needed * workload.request_mib))
    iops, mibps = min(iops, limit("share_iops")), min(mibps, limit("share_mibps"))
    source = backend.limits["share_iops"].source
    if bought:
        parts = [
            ("GiB", "files-premium-v2", gib),
            ("IOPS", "files-premium-v2-iops", iops - limit("included_iops")),
            ("MiB/s", "files-premium-v2-mibps", mibps - limit("included_mibps")),
        ]
    else:
        parts = [("GiB", "files-premium", gib)]
    return made_offer(
        backend.key,
        backend,
        workload,
        provisioned=f"{gib:,} GiB, {iops:,.0f} IOPS, {mibps:,.0f} MiB/s",
        ceilings=[
            Ceiling(f"share's IOPS, {iops:,.0f}", iops / ios, "documented", source),
            Ceiling(f"share's throughput, {mibps:,.0f} MiB/s", mibps / workload.request_mib, "documented", source),
            *_per_file(backend, asked),
            client_network(asked),
        ],
        cost=monthly(parts, asked),
        order=(mibps, gib),
    )


def _standard_share(backend: Backend, asked: Question) -> Offer:
    workload = asked.workload
    way = "ingress" if workload.writes else "egress"
    name = f"{way}_mibps" + ("_select" if asked.data.favoured_for_files(asked.setup.region) else "")
    iops, speed = backend.limits["share_iops"], backend.limits[name]
    ios = workload.ios(1.0) + _metadata(backend, workload)
    return made_offer(
        backend.key,
        backend,
        workload,
        provisioned="nothing: billed by what is stored and asked",
        ceilings=[
            Ceiling(f"share's IOPS, {iops.value:,.0f}", iops.value / ios, "documented", iops.source),
            Ceiling(
                f"account's {way}, {speed.value:,.0f} MiB/s",
                speed.value / workload.request_mib,
                "documented",
                speed.source,
            ),
            *_per_file(backend, asked),
            client_network(asked),
        ],
        cost=monthly([("GiB", "files-standard", workload.size_gib)], asked, "transactions"),
        order=(iops.value, workload.size_gib),
    )


def _per_file(backend: Backend, asked: Question) -> Iterator[Ceiling]:
    """What one file gives, times the files open at once; and what opening files costs."""
    limits, workload = backend.limits, asked.workload
    if workload.pattern == "small-files":
        opened = limits["metadata_iops"]
        yield Ceiling(
            f"share's metadata requests, {opened.value:,.0f}",
            opened.value / limits["metadata_per_file"].value,
            "assumed",
            opened.source,
        )
        return
    files = min(workload.files, workload.nodes * asked.setup.streams)
    iops, speed = limits["file_iops"], limits["file_mibps"]
    yield Ceiling(
        f"IOPS of a file, {iops.value:,.0f}, {files:,} open at once",
        files * iops.value / workload.ios(1.0),
        "assumed",
        iops.source,
    )
    yield Ceiling(
        f"throughput of a file, {speed.value:,.0f} MiB/s, {files:,} open at once",
        files * speed.value / workload.request_mib,
        "assumed",
        speed.source,
    )


def _metadata(backend: Backend, workload: Workload) -> float:
    """I/O operations of opening and closing, for each request."""
    return backend.limits["metadata_per_file"].value if workload.pattern == "small-files" else 0.0


def _blob(backend: Backend, asked: Question) -> Offer:
    workload, account = asked.workload, asked.data.account(asked.setup.region)
    way, speed = ("ingress", account.ingress_mibps) if workload.writes else ("egress", account.egress_mibps)
    ios = workload.ios(1.0) + _metadata(backend, workload)
    ceilings = [
        Ceiling(
            f"account's requests, {account.requests:,.0f} a second",
            account.requests / ios,
            "documented",
            account.source,
        ),
        Ceiling(f"account's {way}, {speed:,.0f} MiB/s", speed / workload.request_mib, "documented", account.source),
        client_network(asked),
    ]
    if workload.pattern != "small-files":
        blob = backend.limits["blob_iops"]
        files = min(workload.files, workload.nodes * asked.setup.streams)
        what = f"requests of a blob, {blob.value:,.0f}, {files:,} open at once"
        ceilings.append(Ceiling(what, files * blob.value, "assumed", blob.source))
    return made_offer(
        backend.key,
        backend,
        workload,
        provisioned="nothing: billed by what is stored and asked",
        ceilings=ceilings,
        cost=monthly([("GiB", "blob-hot", workload.size_gib)], asked, "operations"),
        order=(speed, workload.size_gib),
    )


def _lustre(sku: LustreSku, backend: Backend, asked: Question) -> Offer:
    workload = asked.workload
    key = f"lustre-{sku.sku.rsplit('-', 1)[-1]}"
    needed = workload.size_gib / 1024
    tib = max(sku.min_tib, math.ceil(needed / sku.step_tib) * sku.step_tib)
    if tib > sku.max_tib:
        return refused_offer(key, backend, f"{sku.sku} has {sku.max_tib} TiB at most; Azure's support can allow more")
    mibps = tib * sku.mibps_per_tib
    return made_offer(
        key,
        backend,
        workload,
        provisioned=f"{tib} TiB of {sku.sku}",
        ceilings=[
            Ceiling(
                f"throughput of {tib} TiB, {mibps:,.0f} MiB/s", mibps / workload.request_mib, "computed", sku.source
            ),
            client_network(asked),
        ],
        unknown=["IOPS and metadata rate: Azure publishes none"]
        if workload.pattern in ("random", "small-files")
        else [],
        cost=Cost(None, missing=(sku.sku,)),
        order=(mibps, tib),
    )
