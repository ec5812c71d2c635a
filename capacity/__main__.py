"""`python -m capacity`: what a stack would do with a trace of jobs, what that costs, and what would do better."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from capacity.autoscaling.options import seconds
from capacity.catalogue import family_key, load_catalogue
from capacity.checks import load
from capacity.cost.bill import usd
from capacity.quota import SPOT as LOW_PRIORITY
from capacity.quota import UNLIMITED
from capacity.simulation.engine import Progress
from capacity.simulation.fleet import Fleet, fleet
from capacity.simulation.machines import REGION, SPOT
from capacity.simulation.page import page
from capacity.simulation.report import Report, examine
from capacity.simulation.suggest import Choice, Result, Search, changed, commands
from capacity.simulation.table import span, text
from capacity.traces import BUILT_IN, Trace, TraceErrors, read_trace
from stacks.loading import read_file
from stacks.problems import SettingsErrors
from stacks.settings import Stack


class UsageError(ValueError):
    """What was asked for does not fit the stack; says what does."""


def main(arguments: list[str] | None = None) -> int:
    """Simulate, and print the table; 1 where a file is not usable or what was asked for does not fit."""
    given = _parser().parse_args(arguments)
    try:
        trace = read_trace(given.trace)
        reports = [_report(path, trace, given) for path in (given.stack, *given.compare)]
        print(json.dumps([one.to_json() for one in reports], indent=1) if given.json else text(reports))
        if given.html:
            given.html.write_text(page(reports), encoding="utf-8")
            print(f"{given.html} written", file=sys.stderr)
        if given.suggest:
            print("\n".join(["", *_suggest(given, trace)]), file=sys.stderr if given.json else sys.stdout)
    except (SettingsErrors, TraceErrors, UsageError, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m capacity", description=__doc__)
    parser.add_argument("--stack", type=Path, required=True, help="stacks/Pulumi.<environment>.yaml")
    parser.add_argument("--trace", required=True, help=f"a CSV file (docs/simulation.md), or {', '.join(BUILT_IN)}")
    parser.add_argument("--json", action="store_true", help="print JSON in place of the table")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with charts")
    parser.add_argument("--compare", type=Path, action="append", default=[], help="another stack file, side by side")
    parser.add_argument(
        "--quota", action="append", default=[], metavar="FAMILY=CORES", help="or a snapshot of `make azure-snapshot`"
    )
    parser.add_argument(
        "--boot", action="append", type=_pair, default=[], metavar="POOL=SECONDS", help="from request to ready node"
    )
    parser.add_argument("--suggest", action="store_true", help="search limits and timings for the cheapest stack")
    parser.add_argument("--target-wait", type=_duration, default=600.0, help="goal of --suggest for p95; default: 10m")
    parser.add_argument("--evaluations", type=int, default=80, help="simulations that --suggest makes at most")
    return parser


def _report(path: Path, trace: Trace, given: argparse.Namespace) -> Report:
    stack = load(read_file(path))
    pools = _fleet(stack, dict(given.boot))
    quota = _quota(given.quota, stack, pools)
    name = path.name.removeprefix("Pulumi.").removesuffix(".yaml")
    return examine(name, pools, stack.location, trace, quota=quota, progress=_progress(name))


def _fleet(stack: Stack, boot: Mapping[str, float]) -> Fleet:
    strange = sorted(set(boot) - set(stack.pools))
    if strange:
        raise UsageError(f"--boot: no pool {', '.join(strange)}; the stack's: {', '.join(stack.pools)}")
    try:
        return fleet(stack, load_catalogue(), boot)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _quota(given: list[str], stack: Stack, pools: Fleet) -> dict[str, int]:
    """Cores by quota, from pairs and snapshots; those of a snapshot are what others in the subscription leave."""
    found: dict[str, int] = {}
    known = {family_key(plan.size.family) for plan in pools.plans.values()} | {SPOT, REGION}
    for one in given:
        name, equals, cores = one.partition("=")
        if not equals:
            found.update(_snapshot(Path(one), stack.location))
            continue
        key = SPOT if family_key(name) == LOW_PRIORITY else family_key(name)
        if key not in known:
            raise UsageError(f"--quota {one}: no pool counts against it; known: {', '.join(sorted(known))}")
        if not cores.isdigit():
            raise UsageError(f"--quota {one}: {cores!r} is no number of cores")
        found[key] = int(cores)
    return found


def _snapshot(path: Path, region: str) -> dict[str, int]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        usages = cast("dict[str, tuple[str, int, int]]", content["answers"][f"usages/{region}"])
        return {
            SPOT if key == LOW_PRIORITY else key: max(0, limit - current)
            for key, (_, current, limit) in usages.items()
            if limit != UNLIMITED
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--quota {path}: is no snapshot with usages/{region} ({error!r}): run `make azure-snapshot "
            f'REGIONS="{region}"`, or give FAMILY=CORES'
        ) from None


def _suggest(given: argparse.Namespace, trace: Trace) -> list[str]:
    """The cheapest settings that meet the goal, and how to set them."""
    values = read_file(given.stack)
    stack = load(values)
    first = _fleet(stack, dict(given.boot))
    start = {
        key: Choice(group.max, group.min, first.plans[key].settings.scaling.unneeded_minutes)
        for key, group in first.groups.items()
    }
    target = given.target_wait

    def evaluate(choices: Mapping[str, Choice]) -> Result | None:
        try:
            other = load(changed(values, choices))
        except SettingsErrors:
            return None
        pools = _fleet(other, dict(given.boot))
        report = examine("", pools, other.location, trace, quota=_quota(given.quota, other, pools), beside_static=False)
        if report.total.use.usd is None:
            raise UsageError("--suggest: the price of a pool is unknown: " + "; ".join(report.notes))
        sys.stderr.write(f"\r{search.tried} of at most {search.most} simulations ")
        return Result(max(row.waits.p95 for row in report.rows), report.total.use.usd, report.unfinished)

    search = Search(evaluate, target, given.evaluations)
    end, result = search.run(start)
    sys.stderr.write("\n")
    before = evaluate(start)
    if result is None or before is None:
        return ["no settings could be tried: raise --evaluations"]
    was = f"now: {span(before.p95)} and {usd(before.usd)}"
    lines = commands(start, end)
    reached = f"p95 {span(result.p95)} at {usd(result.usd)}"
    if result.p95 > target:
        return [
            f"no limits or timings bring p95 down to {span(target)} ({search.tried} tried); nearest: {reached} ({was})",
            "a job that finds no machine waits for a boot: set min above 0, or a longer target",
            *lines,
        ]
    if not lines:
        return [f"cheapest of {search.tried} tried for p95 of {span(target)}: the stack as it is, {reached}"]
    return [f"cheapest of {search.tried} tried for p95 of {span(target)}: {reached} ({was})", *lines]


def _progress(name: str) -> Progress | None:
    """Tells a terminal how far a simulation is; logs get no such lines."""
    if not sys.stderr.isatty():
        return None

    def tell(done: int, jobs: int) -> None:
        sys.stderr.write(f"\r{name}: {done:,} of {jobs:,} jobs{chr(10) if done == jobs else ' '}")
        sys.stderr.flush()

    return tell


def _pair(text: str) -> tuple[str, float]:
    pool, _, value = text.partition("=")
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not pool or not 0 <= found < 86400:
        raise argparse.ArgumentTypeError(f"{text} is not POOL=SECONDS, as heavy=300")
    return pool, found


def _duration(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
