"""What the policy pack adds to a preview of the program.

Times previews with the pack and without, in turn, on the running sandbox. Azure's facts come from the pack's cache, as
in a second preview within ten minutes; the sandbox's quota is raised meanwhile, so that the stacks pass.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.home import REPOSITORY, Home
from sandbox.orders import quota_of_at_least

SECONDS_AT_MOST = {100: 1.0}
"""Pools to seconds that the pack may add."""
SHARE_AT_MOST = {20: 0.25}
"""Pools to the share of a preview that the pack may add."""
ROUNDS = 5
"""Previews of each kind: what is measured is small beside a preview's noise."""
_REGION = "westeurope"
_PLENTY = 10_000_000
_QUOTAS = (
    "cores",
    "lowPriorityCores",
    "StandardDdsv5Family",
    "Standard NCASv3_T4 Family",
    "StandardNCADSA100v4Family",
)
"""What the measured stacks draw on (`bench/pools.py`)."""


@dataclass(frozen=True)
class Measured:
    """One project to preview: its folder and environment."""

    folder: Path
    environment: Mapping[str, str]


def measure(home: Home, programs: Mapping[int, Measured], cache: Path) -> int:
    """Measure, print, and say how many goals are missed.

    Args:
        home: the running sandbox.
        programs: number of pools to the program with as many.
        cache: a folder for the pack's facts.

    Raises:
        SystemExit: a preview failed; with its output.
    """
    counts = sorted({*SECONDS_AT_MOST, *SHARE_AT_MOST})
    best: dict[tuple[int, bool], float] = {}
    with quota_of_at_least(home, _REGION, dict.fromkeys(_QUOTAS, _PLENTY)):
        for count in counts:
            _preview(programs[count], cache, policies=True)  # fills the cache
        for _ in range(ROUNDS):
            for count in counts:
                for policies in (False, True):
                    taken = _preview(programs[count], cache, policies=policies)
                    best[count, policies] = min(taken, best.get((count, policies), taken))
    missed = 0
    for count in counts:
        plain, judged = best[count, False], best[count, True]
        if count in SECONDS_AT_MOST:
            missed += _said(
                f"policies at {count} pools add {judged - plain:.2f} s to {plain:.2f} s", judged - plain, count
            )
        if count in SHARE_AT_MOST:
            share = judged / plain - 1
            missed += _said(f"policies at {count} pools add {share:.0%} to {plain:.2f} s", share, count)
    return missed


def _said(what: str, reached: float, count: int) -> bool:
    """Print one goal; whether it is missed."""
    most = SECONDS_AT_MOST.get(count, SHARE_AT_MOST.get(count, 0))
    print(f"{'met' if reached <= most else 'MISSED':>7}: {what} (at most {most})")
    return reached > most


def _preview(program: Measured, cache: Path, *, policies: bool) -> float:
    """Seconds of one preview."""
    config = REPOSITORY / "stacks" / "policies.sandbox.json"
    pack = ["--policy-pack", str(REPOSITORY / "policy"), "--policy-pack-config", str(config)] if policies else []
    command = ["pulumi", "preview", "--non-interactive", "--suppress-progress", "--stack", "bench", *pack]
    began = time.monotonic()
    done = subprocess.run(
        command,
        cwd=program.folder,
        env={**program.environment, "XDG_CACHE_HOME": str(cache)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"bench: `{' '.join(command)}` failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return seconds
