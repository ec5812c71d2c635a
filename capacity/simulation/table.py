"""A report, or several side by side, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from capacity.cost.bill import usd
from capacity.simulation.report import Report, Row, Use

_NEVER = 12
"""Reasons that are written out; the rest is counted."""


def text(reports: Sequence[Report]) -> str:
    """Everything there is to say, one stack after the other, and a comparison where there are several."""
    lines = [line for report in reports for line in (*_one(report), "")]
    if len(reports) > 1:
        lines += [*_compared(reports), ""]
    return "\n".join(lines[:-1])


def span(seconds: float) -> str:
    """A time as people say it: `45 s`, `5 min`, `2.5 h`, `12 days`."""
    for unit, name, least in ((86400, "days", 2 * 86400), (3600, "h", 2 * 3600), (60, "min", 120)):
        if seconds >= least:
            return f"{round(seconds / unit, 1):g} {name}"
    return f"{round(seconds, 1):g} s"


def money(use: Use) -> str:
    """US dollars, or that they are not known."""
    return "unknown" if use.usd is None else usd(use.usd)


def _one(report: Report) -> Iterator[str]:
    yield f"{report.stack}: {report.jobs:,} jobs of {report.trace} over {span(report.seconds)}"
    yield f"{report.finished:,} finished, {sum(report.never.values()):,} can never run, {report.unfinished:,} left over"
    yield ""
    heads = ("jobs", "wait: median", "p95", "longest", "machine hours", "cost", "static", "all-knowing")
    yield _line("class", heads)
    for row in (*report.rows, report.total) if len(report.rows) > 1 else report.rows:
        yield _line(row.name, _cells(row))
    waits = report.total.static_waits
    yield ""
    yield (
        f"static: every pool always at its maximum, {span(waits.p95)} of waiting (p95), {span(waits.longest)} at "
        f"longest, {report.total.static.hours:,.0f} machine hours"
    )
    yield f"all-knowing: machines only while busy, and booting before: {report.total.oracle.hours:,.0f} machine hours"
    yield ""
    yield _line("pool", ("peak", "maximum", "$ an hour", "quota refused"))
    for pool in report.pools:
        price = "unknown" if pool.hourly is None else f"{pool.hourly:.2f}"
        yield _line(f"{pool.key} ({pool.size})", (f"{pool.peak}", f"{pool.maximum}", price, f"{pool.refused}"))
    yield ""
    yield _line("cores of quota", ("peak", "limit"))
    for quota in report.quotas:
        yield _line(quota.quota, (f"{quota.peak}", "not given" if quota.limit is None else f"{quota.limit}"))
    if report.never:
        yield ""
        yield "can never run:"
        listed = list(report.never.items())
        yield from (f"  {count:>6} x {reason}" for reason, count in listed[:_NEVER])
        if len(listed) > _NEVER:
            yield f"  {sum(count for _, count in listed[_NEVER:]):>6} x {len(listed) - _NEVER} more reasons (--json)"
    if report.notes:
        yield ""
        yield from (f"note: {note}" for note in report.notes)


def _cells(row: Row) -> tuple[str, ...]:
    waits = row.waits
    return (
        f"{waits.jobs:,}",
        *((span(waits.median), span(waits.p95), span(waits.longest)) if waits.jobs else ("-", "-", "-")),
        f"{row.use.hours:,.0f}",
        money(row.use),
        money(row.static),
        money(row.oracle),
    )


def _compared(reports: Sequence[Report]) -> Iterator[str]:
    yield _line("side by side", tuple(report.stack[-14:] for report in reports))
    totals = [report.total for report in reports]
    yield _line("finished", tuple(f"{report.finished:,}" for report in reports))
    yield _line("wait: median", tuple(span(one.waits.median) for one in totals))
    yield _line("wait: p95", tuple(span(one.waits.p95) for one in totals))
    yield _line("wait: longest", tuple(span(one.waits.longest) for one in totals))
    yield _line("machine hours", tuple(f"{one.use.hours:,.0f}" for one in totals))
    yield _line("cost", tuple(money(one.use) for one in totals))


def _line(name: str, cells: Sequence[str]) -> str:
    return " ".join([f"{name:<34}", *(f"{cell:>14}" for cell in cells)]).rstrip()
