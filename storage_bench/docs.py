"""docs/storage-comparison.md and its charts, from `capacity.storage` and from what was measured.

Owns the documents' words and the typical datasets in them. What lies in `docs/` is what this makes: a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from capacity.storage import Comparison, compare
from capacity.storage_advice import dollars, minutes
from capacity.storage_data import load_storage_data
from capacity.storage_offers import Offer
from capacity.storage_workload import REQUESTS, Setup, Workload
from storage_bench.chart import Bar, bar_chart
from storage_bench.measurements import Result, read_measurements

DOCS = Path(__file__).parent.parent / "docs"
REGION = "eastus2"
"""The region of the documents' prices: the one for which most of them are known."""


@dataclass(frozen=True, slots=True)
class Example:
    """A typical dataset."""

    name: str
    title: str
    workload: Workload
    goal_minutes: float


EXAMPLES = (
    Example("images", "Images, each a file", Workload(150, 1_300_000, 4, "small-files"), 30),
    Example("tokens", "Text as token files", Workload(2048, 2000, 8, "sequential"), 30),
    Example("features", "Records read at random", Workload(50, 64, 4, "random"), 30),
    Example("checkpoints", "Checkpoints of a large model", Workload(500, 64, 8, "checkpoint"), 5),
)

_HEAD = """\
# Storage compared

Made by `make docs-storage` from `capacity/storage.py`; do not edit. For a dataset of your own:

```sh
.venv/bin/python -m capacity.storage --size-gib 500 --files 200000 --nodes 4 --pattern sequential --region westeurope
```

**What kind of figure this is.** *Documented*: Azure states the limit itself. *Computed*: Azure's figure for one disk,
machine or TiB, times how many there are. *Assumed*: an assumption of ours is in it (below). *Measured*: by
[`make storage-bench`](storage-bench.md) on a cluster. All but the measured are **upper bounds**: the lowest of the
known limits, without latency. Expect less.

Prices are those of `{region}`, US dollars a month without discounts; "unknown" is unknown, not free, and "about" is
another region's price. Machines of a storage pool are counted in full. Figures are for nodes of {node},
{streams} files open at once on each.
"""

_TAIL = """\
## What is assumed

- A node has {streams} files open at once (`--streams`): with fewer, limits of a single file count sooner.
- Opening and closing a small file costs 2 requests on Azure Files and Blob over NFS, 1 on blobfuse2 beside reading it;
  on gluster 3 disk reads, on CephFS none (its metadata server answers from memory). How many files a second a file
  system of the cluster opens is published by nobody: measure it.
- Reading is limited by a node's network as sending is. Azure meters only what a machine sends.
- Disks and machines are those that `storage.fileSystem` of that size deploys: {replicas} replicas, {disk} GiB disks, at
  most 85 % full.
- A provisioned v2 share is given the speed that the goal needs, if Azure sells it.

## The rule of the recommendation

Made for the access pattern, keeps the data, and fast enough for one pass over the data within the goal: of these, the
least to run, that is, Azure's services before what runs in the cluster. What needs more running is taken if it is known
to be cheaper by a fifth. Where nothing is fast enough, the fastest.

## Not compared

- **Portworx**: its licence and its limits are its maker's, and no figures are published for Azure.
- **Azure Container Storage**: volumes on local NVMe or Elastic SAN, block-level access for the pod that mounts it
  ({acstor}); nothing that many nodes share as files.

## Sources

- Prices: `capacity/data/retail_prices.csv` and `vm_prices.csv`, which name source and date of each
{sources}
"""


def rendered(folder: Path | None = None) -> dict[str, str]:
    """File name to text, for the folder `docs`.

    Args:
        folder: where measured results lie; default: the documents' own.
    """
    data = load_storage_data()
    results = read_measurements() if folder is None else read_measurements(folder)
    setup = Setup(region=REGION)
    parts = [_HEAD.format(region=REGION, node=setup.node_size, streams=setup.streams)]
    files: dict[str, str] = {}
    for example in EXAMPLES:
        found = compare(example.workload, Setup(region=REGION, goal_minutes=example.goal_minutes))
        files[f"storage-{example.name}.svg"] = _chart(example, found, results)
        parts.append(_section(example, found, results))
    sources = "\n".join(f"- `{key}`: {one.what}, {one.date}" for key, one in data.sources.items())
    parts.append(
        _TAIL.format(
            streams=setup.streams,
            replicas=setup.replicas,
            disk=setup.disk_gib,
            acstor=data.sources["acstor"].what,
            sources=sources,
        )
    )
    return {"storage-comparison.md": "\n".join(parts), **files}


def write_docs(docs: Path = DOCS) -> list[Path]:
    """Write them; the files written."""
    texts = rendered()
    for name, text in texts.items():
        (docs / name).write_text(text)
    return [docs / name for name in texts]


def _section(example: Example, found: Comparison, results: Sequence[Result]) -> str:
    asked, advice = example.workload, found.advice
    rate = _rate(asked)
    lines = [
        f"## {example.title}",
        "",
        f"{asked.size_gib:,.10g} GiB in {asked.files:,} files, {asked.nodes} nodes, {REQUESTS[asked.pattern]}; "
        f"one pass within {minutes(example.goal_minutes)}.",
        "",
        f"![{example.title}: {rate} of each backend](storage-{example.name}.svg)",
        "",
        f"Take **{advice.offer.backend.title}** ({advice.offer.provisioned}): {advice.reason}.",
        "",
        f"| backend | {rate} | MiB/s | a node | one pass | $ a month | limited by | measured |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- | --- |",
        *(_row(one, found, results) for one in found.offers),
        "",
        "Why not the others:",
        "",
        *(f"- `{key}`: {why}" for key, why in advice.others),
        "",
    ]
    return "\n".join(lines)


def _row(offer: Offer, found: Comparison, results: Sequence[Result]) -> str:
    name = f"**{offer.key}**" if offer is found.advice.offer else offer.key
    if offer.refused:
        return f"| {name} | | | | | | {offer.refused} | |"
    limits = [
        f"{offer.limit.what} ({offer.limit.basis}, `{offer.limit.source}`)",
        *(f"not known: {one}" for one in offer.unknown),
    ]
    cells = [
        name,
        f"{offer.requests:,.0f}",
        f"{offer.mibps:,.0f}",
        f"{offer.per_node_mibps:,.0f}",
        minutes(offer.pass_minutes),
        dollars(offer.cost),
        "; ".join(limits),
        "; ".join(_measured(one) for one in _of(offer, found.workload, results)) or "not yet",
    ]
    return f"| {' | '.join(cells)} |"


def _measured(result: Result) -> str:
    where = f"{result.pods} x {result.node_size}" if result.node_size else f"{result.pods} nodes"
    link = f"[{result.date}](storage-measurements/{result.file})"
    return f"{result.iops:,.0f} IOPS, {result.mibps:,.0f} MiB/s on {where}, {link}"


def _of(offer: Offer, workload: Workload, results: Iterable[Result]) -> list[Result]:
    return [one for one in results if one.backend == offer.key and one.pattern == workload.pattern]


def _chart(example: Example, found: Comparison, results: Sequence[Result]) -> str:
    by_requests = example.workload.pattern in ("random", "small-files")
    bars: list[Bar] = []
    for offer in found.offers:
        if offer.refused:
            continue
        fits = offer.key == found.advice.offer.key or not _unfit(offer, example.workload)
        kind = "best" if offer is found.advice.offer else "other" if fits else "unfit"
        newest = next(iter(_of(offer, example.workload, results)), None)
        measured = None if newest is None else newest.iops if by_requests else newest.mibps
        label = f"{offer.key}: recommended" if kind == "best" else offer.key
        bars.append(Bar(label, offer.requests if by_requests else offer.mibps, kind, measured))
    legend = "At most, computed. Grey: not for this use"
    if any(bar.measured is not None for bar in bars):
        legend = "Bars: at most, computed. Dots: measured"
    unit = _rate(example.workload) if by_requests else "MiB/s"
    return bar_chart(f"{example.title}, {example.workload.nodes} nodes", unit, bars, legend)


def _unfit(offer: Offer, workload: Workload) -> bool:
    backend = offer.backend
    return bool(workload.pattern in backend.unfit or backend.loses_data or backend.last_resort)


def _rate(workload: Workload) -> str:
    return "files/s" if workload.pattern == "small-files" else "IOPS"
