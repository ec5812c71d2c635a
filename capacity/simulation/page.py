"""A report as one HTML page that needs nothing else: readable in light and dark, and on a phone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from capacity.cost.bill import usd
from capacity.simulation.chart import chart
from capacity.simulation.report import Report, Row
from capacity.simulation.table import money, span

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --card: #f6f8fa; --text: #1f2328; --muted: #59636e; --edge: #d1d9e0;
  --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989; --c5: #9a6700; --c6: #0a7ea4;
  --c7: #cf222e }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --card: #151b23; --text: #f0f6fc; --muted: #9198a1;
  --edge: #3d444d; --c0: #4493f8; --c1: #f0883e; --c2: #3fb950; --c3: #ab7df8; --c4: #db61a2; --c5: #d29922;
  --c6: #39c5cf; --c7: #f85149 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 16px; max-width: 1180px; background: var(--ground); color: var(--text);
  font: 16px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif }
h1 { font-size: 1.4rem; margin: 8px 0 4px } h2 { font-size: 1.1rem; margin: 28px 0 8px } p { margin: 4px 0 }
h1, li { overflow-wrap: anywhere }
.muted { color: var(--muted) }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 14px 0 }
.figures div, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px }
.figures b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 12px }
figure { margin: 0 } figcaption { font-weight: 600; margin-bottom: 6px }
svg { width: 100%; height: auto; display: block } svg text { fill: var(--muted); font-size: 15px }
.grid { stroke: var(--edge); stroke-width: 1 } .line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 6px 0 0;
  padding: 0; font-size: .9rem }
.legend li::before { content: ""; display: inline-block; width: 14px; height: 3px; margin-right: 6px;
  vertical-align: middle; background: var(--c) }
.c0 { stroke: var(--c0); --c: var(--c0) } .c1 { stroke: var(--c1); --c: var(--c1) }
.c2 { stroke: var(--c2); --c: var(--c2) } .c3 { stroke: var(--c3); --c: var(--c3) }
.c4 { stroke: var(--c4); --c: var(--c4) } .c5 { stroke: var(--c5); --c: var(--c5) }
.c6 { stroke: var(--c6); --c: var(--c6) } .c7 { stroke: var(--c7); --c: var(--c7) }
.wide { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: 6px 8px; border-bottom: 1px solid var(--edge); white-space: nowrap }
th:first-child, td:first-child { text-align: left } th { color: var(--muted); font-weight: 500 }
@media (max-width: 640px) {
  .cards thead { display: none } .cards tr { display: block; border-bottom: 1px solid var(--edge); padding: 6px 0 }
  .cards td { display: flex; justify-content: space-between; border: 0; padding: 2px 0; gap: 12px; white-space: normal }
  .cards td:first-child { font-weight: 600 } .cards td:not(:first-child)::before { content: attr(data-of);
    color: var(--muted) }
}
"""


def page(reports: Sequence[Report]) -> str:
    """The page of one report, or of several below each other."""
    title = escape(" and ".join(report.stack for report in reports))
    body = "\n".join(line for report in reports for line in _one(report))
    compared = "\n".join(_compared(reports)) if len(reports) > 1 else ""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Simulation of {title}</title>\n<style>{_STYLE}</style>\n{compared}\n{body}\n</html>\n"
    )


def _one(report: Report) -> Iterator[str]:
    total, never = report.total, sum(report.never.values())
    yield f"<h1>{escape(report.stack)}</h1>"
    yield (
        f'<p class="muted">{report.jobs:,} jobs of {escape(report.trace)} over {span(report.seconds)}: '
        f"{report.finished:,} finished, {never:,} can never run, {report.unfinished:,} left over</p>"
    )
    figures = {
        "wait, median": span(total.waits.median),
        "wait, 95 in 100 jobs": span(total.waits.p95),
        "machine hours": f"{total.use.hours:,.0f}",
        "cost": money(total.use),
        "always at its maximum": money(total.static),
        "had it known the future": money(total.oracle),
    }
    yield '<div class="figures">'
    yield from (f'<div><b>{value}</b><span class="muted">{name}</span></div>' for name, value in figures.items())
    yield "</div>"
    curves, seconds = report.curves, report.seconds
    yield '<div class="charts">'
    for title, picture in (
        ("Machines", chart("machines over time, by pool", curves.machines, seconds=seconds, steps=True)),
        ("Waiting jobs", chart("waiting jobs over time", {"waiting": curves.waiting}, seconds=seconds, steps=True)),
        ("Cost so far", chart("US dollars so far", curves.cost, seconds=seconds, steps=False, unit="$")),
    ):
        yield f"<figure><figcaption>{title}</figcaption>\n{picture}</figure>"
    yield "</div>"
    yield "<h2>By class</h2>"
    heads = ("Jobs", "Wait, median", "p95", "Longest", "Static, p95", "Machine hours", "Cost", "Static", "All-knowing")
    rows = (*report.rows, total) if len(report.rows) > 1 else report.rows
    yield from _table("Class", heads, {row.name: _cells(row) for row in rows})
    yield "<h2>Pools</h2>"
    pools = {
        f"{one.key} ({one.size})": (
            f"{one.peak}",
            f"{one.maximum}",
            "unknown" if one.hourly is None else usd(one.hourly),
            f"{one.refused}",
        )
        for one in report.pools
    }
    yield from _table("Pool", ("Peak", "Maximum", "An hour", "Refused by quota"), pools)
    yield "<h2>Cores of quota</h2>"
    quotas = {q.quota: (f"{q.peak}", "not given" if q.limit is None else f"{q.limit}") for q in report.quotas}
    yield from _table("Quota", ("Peak", "Limit"), quotas)
    if report.never:
        yield f"<h2>Can never run: {never:,}</h2><ul>"
        yield from (f"<li>{count:,} x {escape(reason)}</li>" for reason, count in report.never.items())
        yield "</ul>"
    yield "<h2>To know</h2><ul>"
    yield from (f"<li>{escape(note)}</li>" for note in (*report.notes, *_TOLD))
    yield "</ul>"


_TOLD = (
    "Static: every pool always at its maximum, from the first arrival to the last finish.",
    "All-knowing: jobs on the same machines, each on only while busy and for the boot before.",
    "Costs are machines and their OS disks at list prices, without taxes.",
)


def _cells(row: Row) -> tuple[str, ...]:
    waits = row.waits
    return (
        f"{waits.jobs:,}",
        *((span(waits.median), span(waits.p95), span(waits.longest)) if waits.jobs else ("-", "-", "-")),
        span(row.static_waits.p95) if row.static_waits.jobs else "-",
        f"{row.use.hours:,.0f}",
        money(row.use),
        money(row.static),
        money(row.oracle),
    )


def _compared(reports: Sequence[Report]) -> Iterator[str]:
    yield "<h1>Side by side</h1>"
    rows = {
        "Finished": tuple(f"{one.finished:,}" for one in reports),
        "Wait, median": tuple(span(one.total.waits.median) for one in reports),
        "Wait, p95": tuple(span(one.total.waits.p95) for one in reports),
        "Machine hours": tuple(f"{one.total.use.hours:,.0f}" for one in reports),
        "Cost": tuple(money(one.total.use) for one in reports),
    }
    yield from _table("", tuple(one.stack for one in reports), rows)


def _table(first: str, heads: Sequence[str], rows: dict[str, tuple[str, ...]]) -> Iterator[str]:
    yield f'<div class="wide"><table class="cards"><thead><tr><th>{escape(first)}</th>'
    yield "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr></thead><tbody>"
    for name, cells in rows.items():
        found = "".join(
            f'<td data-of="{escape(head, quote=True)}">{escape(cell)}</td>'
            for head, cell in zip(heads, cells, strict=True)
        )
        yield f"<tr><td>{escape(name)}</td>{found}</tr>"
    yield "</tbody></table></div>"
