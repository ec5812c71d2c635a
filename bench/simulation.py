"""`make bench-simulation`: how long simulations take, and how much memory.

The real trace, and synthetic ones of up to a million tasks on up to 5,000 nodes, each in a process of its own so that
its peak memory is its own. Judged by processor seconds: machines are shared, and the wall clock says how busy they are.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import resource
import subprocess
import sys
import time
from typing import Any

from capacity.catalogue import load_catalogue
from capacity.checks import load
from capacity.simulation.engine import Simulation
from capacity.simulation.fleet import Fleet, fleet
from capacity.simulation.jobs import Demand, Job
from capacity.traces import read_trace

SIZES = (62_500, 250_000, 1_000_000)
REAL_SECONDS, MILLION_SECONDS, MILLION_GIB = 5.0, 600.0, 4.0
GROWTH_AT_MOST = 1.25
"""Time a task at n tasks to that at a quarter of them, divided by the growth of log n: the rest is noise."""
GIB = 2**20
_SEED = 3


def synthetic(count: int) -> list[Job]:
    """Tasks of ten kinds, one in fifty a gang, arriving almost as fast as 5,000 nodes take them."""
    lots = random.Random(_SEED)
    cpu = [Demand(cores * 1000, 4 * GIB) for cores in (1, 2, 4)]
    light = [Demand(cores * 1000, gib * GIB, 1, "light-gpu") for cores, gib in ((2, 8), (4, 16), (6, 32))]
    heavy = [Demand(gpus * 10_000, gpus * 50 * GIB, gpus, "heavy-gpu") for gpus in (1, 1, 2, 2, 4, 8)]
    jobs: list[Job] = []
    at = 0.0
    for number in range(count):
        at += lots.expovariate(3.7)
        kinds = lots.choices((cpu, light, heavy), (30, 20, 50))[0]
        pods = 4 if lots.random() < 0.02 else 1
        jobs.append(Job(str(number), at, lots.expovariate(1 / 2400), lots.choice(kinds), pods))
    return jobs


def five_thousand_nodes() -> Fleet:
    """Five pools of 990 machines: with their surge and the system pool that is what a cluster takes."""
    light, heavy = "Standard_NC16as_T4_v3", "Standard_ND96asr_v4"
    pools: dict[str, Any] = {
        "cpu": {"class": "cpu", "max": 990},
        "light": {"class": "light-gpu", "vmSize": light, "max": 990},
        "light2": {"class": "light-gpu", "vmSize": light, "max": 990},
        "heavy": {"class": "heavy-gpu", "vmSize": heavy, "max": 990},
        "heavy2": {"class": "heavy-gpu", "vmSize": heavy, "max": 990},
    }
    return fleet(load({"location": "westeurope", "pools": pools}), load_catalogue())


def real_fleet() -> Fleet:
    """Pools that hold the real trace."""
    pools: dict[str, Any] = {
        "cpu": {"class": "cpu", "vmSize": "Standard_D64ds_v5", "max": 200},
        "light": {"class": "light-gpu", "vmSize": "Standard_NC64as_T4_v3", "max": 900},
        "heavy": {"class": "heavy-gpu", "vmSize": "Standard_ND96amsr_A100_v4", "max": 100},
    }
    return fleet(load({"location": "westeurope", "pools": pools}), load_catalogue())


def measure(count: int) -> dict[str, float]:
    """One simulation in this process; 0 tasks: the real trace, its reading included."""
    began, used = time.monotonic(), time.process_time()
    if count:
        jobs, stack = synthetic(count), five_thousand_nodes()
        began, used = time.monotonic(), time.process_time()
    else:
        jobs, stack = read_trace("alibaba-2023").jobs, real_fleet()
    out = Simulation(stack).run(jobs)
    return {
        "tasks": len(jobs),
        "nodes": sum(series.highest for series in out.machines.values()),
        "waiting": out.waiting.highest,
        "finished": out.finished,
        "seconds": time.process_time() - used,
        "wall": time.monotonic() - began,
        "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> int:
    """Measure, print the table, and say whether the goals are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulation", description=__doc__)
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES, help="tasks of the synthetic traces")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(measure(given.only)))
        return 0
    print(f"{'tasks':>9} {'nodes':>6} {'waiting':>8} {'cpu s':>8} {'wall s':>8} {'us/task':>8} {'GiB':>6}", flush=True)
    found: dict[int, dict[str, float]] = {}
    for count in (0, *given.sizes):
        command = [sys.executable, "-m", "bench.simulation", "--only", str(count)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[count] = one = json.loads(done.stdout)
        print(
            f"{one['tasks']:>9.0f} {one['nodes']:>6.0f} {one['waiting']:>8.0f} {one['seconds']:>8.1f} "
            f"{one['wall']:>8.1f} {one['seconds'] / one['tasks'] * 1e6:>8.0f} {one['gib']:>6.2f}",
            flush=True,
        )
    return _verdict(found)


def _verdict(found: dict[int, dict[str, float]]) -> int:
    """Print the goals with what was reached; 1 where one is missed."""
    sizes = [count for count in found if count]
    goals = [("seconds of the real trace", found[0]["seconds"], REAL_SECONDS)]
    if 1_000_000 in found:
        goals.append(("seconds of a million tasks", found[1_000_000]["seconds"], MILLION_SECONDS))
        goals.append(("GiB of a million tasks", found[1_000_000]["gib"], MILLION_GIB))
    for fewer, more in itertools.pairwise(sizes):
        growth = found[more]["seconds"] / more / (found[fewer]["seconds"] / fewer) * math.log(fewer) / math.log(more)
        goals.append((f"growth beyond n log n, {fewer} to {more}", growth, GROWTH_AT_MOST))
    missed = False
    for what, reached, most in goals:
        missed |= reached > most
        print(f"{'missed' if reached > most else 'met   '} {what}: {reached:.2f}, at most {most:g}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
