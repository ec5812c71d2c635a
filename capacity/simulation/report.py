"""What a simulation comes to: waiting, machine hours and cost, beside a static cluster and one that knows the future.

The static cluster has every pool at its maximum from the first arrival to its own last finish. The one that knows the
future places jobs as the simulated one did, and has each machine on only while it is busy, and for the boot before;
gaps shorter than a boot it stays on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from capacity.cost.bill import bill
from capacity.cost.items import Machines, pool_items
from capacity.cost.prices import HOURS_A_MONTH
from capacity.pools import PoolPlan
from capacity.simulation.engine import Progress, Simulation
from capacity.simulation.fleet import Fleet
from capacity.simulation.nodes import Node
from capacity.simulation.outcome import Outcome
from capacity.traces import Trace

_STEPS = 240
"""Points of the curves of cost."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from arrival to start; `p95`: no more for 95 in 100 jobs."""

    jobs: int
    median: float
    p95: float
    longest: float

    @classmethod
    def of(cls, waits: Iterable[float]) -> Waits:
        """Of some jobs, by nearest rank."""
        found = sorted(waits)
        if not found:
            return cls(0, 0, 0, 0)
        count = len(found)
        return cls(count, found[(count - 1) // 2], found[-(-95 * count // 100) - 1], found[-1])


@dataclass(frozen=True, slots=True)
class Use:
    """Machine hours and what they cost; `usd` is None where a price is unknown."""

    hours: float
    usd: float | None

    @classmethod
    def total(cls, uses: Iterable[Use]) -> Use:
        """All together; unknown if one is."""
        found = list(uses)
        known = [one.usd for one in found if one.usd is not None]
        return cls(sum(one.hours for one in found), sum(known) if len(known) == len(found) else None)


@dataclass(frozen=True, slots=True)
class Row:
    """One class of pools, or all of them.

    Attributes:
        waits, static_waits: of its jobs, here and on the static cluster.
        use, static, oracle: machines here, on the static cluster, and of the one that knows the future.
    """

    name: str
    waits: Waits
    static_waits: Waits
    use: Use
    static: Use
    oracle: Use


@dataclass(frozen=True, slots=True)
class PoolRow:
    """One pool; `hourly` in US dollars, None: unknown; `refused`: how often a quota stood in its way."""

    key: str
    size: str
    peak: int
    maximum: int
    hourly: float | None
    refused: int


@dataclass(frozen=True, slots=True)
class QuotaRow:
    """Cores at their peak; `limit` None: not given."""

    quota: str
    peak: int
    limit: int | None


@dataclass(frozen=True, slots=True)
class Curves:
    """What the charts show; times in seconds since the first arrival.

    Attributes:
        machines: by pool.
        waiting: jobs.
        cost: US dollars so far, by what: `this stack`, `static`, `all-knowing`.
    """

    machines: Mapping[str, list[tuple[float, float]]]
    waiting: list[tuple[float, float]]
    cost: Mapping[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is told of one stack and one trace.

    Attributes:
        seconds: from the first arrival until the last job had ended and the last machine gone.
        never: why jobs can never run, and how many.
        unfinished: jobs that a quota kept waiting for ever.
        notes: what to know of the figures.
    """

    stack: str
    trace: str
    jobs: int
    finished: int
    unfinished: int
    seconds: float
    rows: list[Row]
    total: Row
    pools: list[PoolRow]
    quotas: list[QuotaRow]
    never: dict[str, int]
    notes: list[str]
    curves: Curves

    def to_json(self) -> dict[str, Any]:
        """As plain values, names in snake case."""
        return asdict(self)


def examine(
    name: str,
    fleet: Fleet,
    location: str,
    trace: Trace,
    *,
    quota: Mapping[str, int] | None = None,
    progress: Progress | None = None,
    beside_static: bool = True,
) -> Report:
    """Simulate a trace on a stack and on its static cluster, and add up.

    Args:
        name: of the stack.
        location: whose prices are taken.
        quota: cores by family key, `spot` and `cores`.
        beside_static: whether to simulate the static cluster, too; without, its figures are this stack's.

    Raises:
        ValueError: the trace has no jobs.
    """
    out = Simulation(fleet, quota=quota).run(trace.jobs, progress)
    full = {key: replace(group, min=group.max) for key, group in fleet.groups.items()}
    static = Simulation(replace(fleet, groups=full)).run(trace.jobs) if beside_static else out
    hourly, notes = prices(fleet.plans.values(), location)
    end = max(out.ended, out.last_finish)
    mine = {key: list[tuple[float, float]]() for key in fleet.groups}
    needed = {key: list[tuple[float, float]]() for key in fleet.groups}
    for node in out.nodes:
        mine[node.group].append((node.requested_at, end if node.gone_at is None else node.gone_at))
        needed[node.group] += foreseen(node, fleet.boot[node.group])
    always = {
        key: [(static.began, static.last_finish)] * group.max if static.finished else []
        for key, group in fleet.groups.items()
    }
    uses = [{key: _use(spans[key], hourly[key]) for key in spans} for spans in (mine, always, needed)]
    classes: dict[str, list[str]] = {}
    for key, plan in fleet.plans.items():
        classes.setdefault(plan.settings.pool_class, []).append(key)
    rows = [_row(one, keys, out.waits.get(one, ()), static.waits.get(one, ()), uses) for one, keys in classes.items()]
    return Report(
        stack=name,
        trace=trace.name,
        jobs=len(trace.jobs),
        finished=out.finished,
        unfinished=out.unfinished,
        seconds=end - out.began,
        rows=rows,
        total=_row("all", list(fleet.groups), _all(out), _all(static), uses),
        pools=[
            PoolRow(
                key, plan.size.name, out.machines[key].highest, fleet.groups[key].max, hourly[key], out.refused[key]
            )
            for key, plan in fleet.plans.items()
        ],
        quotas=[QuotaRow(one, peak, (quota or {}).get(one)) for one, peak in sorted(out.cores.items())],
        never=dict(out.never.most_common()),
        notes=[*trace.notes, *notes],
        curves=Curves(
            {key: _since(series.points, out.began) for key, series in out.machines.items()},
            _since(out.waiting.points, out.began),
            {
                label: _spent(spans, hourly, out.began, end)
                for label, spans in (("this stack", mine), ("static", always), ("all-knowing", needed))
            },
        ),
    )


def prices(plans: Iterable[PoolPlan], location: str) -> tuple[dict[str, float | None], list[str]]:
    """US dollars an hour of a machine with its OS disk by pool, None: unknown; and what to know of them."""
    found: dict[str, float | None] = {}
    notes: list[str] = []
    for plan in plans:
        spot = plan.spot
        machine = Machines(plan.key, 1, 1, spot=spot is not None, max_hourly_usd=spot.max_price if spot else None)
        premium = plan.size.premium_disks is not False
        items = pool_items(machine, plan.size.name, plan.os_disk_type, plan.os_disk_gib, premium=premium)
        lines = bill(items, location).lines
        known = [line.price.monthly_usd for line in lines if line.price is not None]
        found[plan.key] = sum(known) / HOURS_A_MONTH if len(known) == len(lines) else None
        notes += [f"price of {line.item.what} in {location}: {line.note}" for line in lines if line.note]
    return found, notes


def foreseen(node: Node, boot: float) -> list[tuple[float, float]]:
    """When a machine would be on if the future were known: when it is busy, and booting before."""
    spans: list[tuple[float, float]] = []
    for began, ended in node.busy:
        if spans and began - spans[-1][1] <= boot:
            spans[-1] = (spans[-1][0], ended)
        else:
            spans.append((began - boot, ended))
    return spans


def _use(spans: Sequence[tuple[float, float]], hourly: float | None) -> Use:
    hours = sum(ended - began for began, ended in spans) / HOUR
    return Use(hours, 0.0 if not hours else None if hourly is None else hours * hourly)


def _row(
    name: str, keys: list[str], waits: Iterable[float], static_waits: Iterable[float], uses: list[dict[str, Use]]
) -> Row:
    use, static, oracle = (Use.total(one[key] for key in keys) for one in uses)
    return Row(name, Waits.of(waits), Waits.of(static_waits), use, static, oracle)


def _all(out: Outcome) -> list[float]:
    return [wait for waits in out.waits.values() for wait in waits]


def _since(points: Sequence[tuple[float, int]], began: float) -> list[tuple[float, float]]:
    return [(at - began, value) for at, value in points]


def _spent(
    spans: Mapping[str, list[tuple[float, float]]], hourly: Mapping[str, float | None], began: float, end: float
) -> list[tuple[float, float]]:
    """US dollars so far, at equal steps; what has no price is left out."""
    changes: list[tuple[float, float]] = []
    for key, found in spans.items():
        rate = (hourly[key] or 0) / HOUR
        changes += [(at, rate) for at, _ in found] + [(until, -rate) for _, until in found]
    changes.sort()
    points: list[tuple[float, float]] = []
    spent = rate = 0.0
    last, index = min([began, *(at for at, _ in changes[:1])]), 0
    for step in range(_STEPS + 1):
        now = began + (end - began) * step / _STEPS
        while index < len(changes) and changes[index][0] <= now:
            at, change = changes[index]
            spent, rate, last, index = spent + rate * (at - last), rate + change, at, index + 1
        spent, last = spent + rate * (now - last), now
        points.append((now - began, spent))
    return points
