"""`make bench-previews`: what Trainyard's components cost in a preview.

Times `pulumi preview` of the program and of a bare program that declares the same resources, in turn in one run, on the
running sandbox's engine and providers. Only ratios mean something: machines are shared and noisy.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from bench.declarations import write_declarations
from bench.policies import Measured, measure
from bench.pools import stack_file, values
from bench.projects import Program, encryption_salt, project
from components.environment import Environment
from sandbox.environment import process_environment
from sandbox.home import REPOSITORY, Home
from stacks.settings import Deployer, Stack

COUNTS = (4, 20, 100)
"""Pools of the cluster, the system pool among them: AKS takes 100."""
RATIO_AT_MOST = {4: 1.0, 100: 0.5}
GROWTH_AT_MOST = 1.4
OURS_A_ROUND = 3
"""Previews of the program for each one of the bare program: sixteen pools cost less than a preview's noise, so that
the fastest of many is needed to see them."""


def main() -> int:
    """Measure, print the table, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.previews", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="previews of the bare program at each size")
    rounds = parser.parse_args().rounds
    home = Home()
    if not home.config_file.exists():
        sys.exit("bench: no sandbox is running here: run `make up` first")
    timings: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="trainyard-bench-") as folder:
        programs = {count: _programs(home, Path(folder) / str(count), count) for count in COUNTS}
        # All sizes in every round, so that a machine that is busy for a while is so for all of them.
        for turn in range(1, rounds + 1):
            for count, (_, ours, bare) in programs.items():
                for program in (*[ours] * (OURS_A_ROUND - 1), bare, ours):
                    timings.setdefault((program.name, count), []).append(program.preview())
            print(f"round {turn} of {rounds}", file=sys.stderr, flush=True)
        judged = {count: Measured(ours.folder, ours.environment) for count, (_, ours, _) in programs.items()}
        missed = measure(home, judged, Path(folder) / "cache")
    best = {key: min(seconds) for key, seconds in timings.items()}
    print(f"{'pools':>5} {'resources':>9} {'program s':>10} {'bare s':>8} {'ratio':>6}   (fastest, median)")
    for count, (resources, ours, bare) in programs.items():
        mine, plain = best[ours.name, count], best[bare.name, count]
        middle = [statistics.median(timings[program.name, count]) for program in (ours, bare)]
        print(
            f"{count:>5} {resources:>9} {mine:>10.2f} {plain:>8.2f} {mine / plain:>6.2f}"
            f"   ({middle[0]:.2f}, {middle[1]:.2f})"
        )
    return _verdict(best) or int(bool(missed))


def _verdict(best: dict[tuple[str, int], float]) -> int:
    """Print the goals with what was reached; 1 where one is missed or could not be told from noise."""
    few, some, many = COUNTS
    early = (best["program", some] - best["program", few]) / (some - few)
    late = (best["program", many] - best["program", some]) / (many - some)
    missed = 0
    for count, most in RATIO_AT_MOST.items():
        reached = best["program", count] / best["bare", count]
        missed += _said(f"ratio to the bare program at {count} pools", reached, most)
    growth = f"time per added pool, {some} to {many} ({late * 1000:.0f} ms) to {few} to {some} ({early * 1000:.0f} ms)"
    if early <= 0:
        print(f"UNCLEAR: {growth}: {some} pools took no longer than {few}, which is noise; use more --rounds")
        return 1
    return int(bool(missed + _said(growth, late / early, GROWTH_AT_MOST)))


def _said(what: str, reached: float, most: float) -> bool:
    """Print one goal; whether it is missed."""
    print(f"{'met' if reached <= most else 'MISSED':>7}: {what}: {reached:.2f} (at most {most})")
    return reached > most


def _programs(home: Home, folder: Path, count: int) -> tuple[int, Program, Program]:
    """The two programs for a number of pools, each with a fresh stack of its own, and how many resources they have."""
    folder.mkdir(parents=True)
    declarations = folder / "declarations.json"
    config = home.config
    resources = write_declarations(
        declarations,
        Stack.model_validate(values(count - 1)),
        Environment(
            project="trainyard",
            name="bench",
            location="westeurope",
            subscription_id=config.subscription_id,
            tenant_id=config.tenant_id,
            deployer=Deployer(object_id=config.object_id, principal_type="ServicePrincipal"),
        ),
    )
    salt = encryption_salt()
    environment = {**process_environment(home), "BENCH_DECLARATIONS": str(declarations)}
    ours = project("program", folder, REPOSITORY / "infra", stack_file(count - 1, salt), environment)
    bare = project("bare", folder, REPOSITORY / "bench" / "bare.py", {"encryptionsalt": salt}, environment)
    return resources, ours, bare


if __name__ == "__main__":
    os.chdir(REPOSITORY)
    sys.exit(main())
