"""Alibaba's public GPU trace of 2023 (cluster-trace-gpu-v2023, `openb_pod_list_*.csv`): one pod a line.

A job runs from when it was scheduled there to its deletion; one that never was runs as long as it waited, as nothing
else is known of it. A share of a GPU takes one whole GPU, or one slice where a pool cuts its GPUs. `qos` and
`pod_phase` decide nothing.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from capacity.simulation.jobs import Demand, Job
from capacity.traces.table import Table, Trace

COLUMNS = (
    "name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec", "qos", "pod_phase",
    "creation_time", "deletion_time", "scheduled_time",
)  # fmt: skip
_TELLING = {"cpu_milli", "num_gpu", "creation_time"}
"""Columns that our own format has not."""


def is_format(columns: list[str]) -> bool:
    """Whether a table with these columns is meant as one of this format."""
    return bool(_TELLING & set(columns))


def read(table: Table) -> Trace:
    """The jobs of a table.

    Raises:
        TraceErrors: with everything that is wrong.
    """
    table.expect(COLUMNS, COLUMNS)
    jobs: list[Job] = []
    demands: dict[Demand, Demand] = {}
    shares = unscheduled = 0
    for line, cells in table.rows():
        demand = _demand(table, line, cells)
        created = table.number(line, cells, "creation_time")
        began = table.number(line, cells, "scheduled_time", default=created)
        ended = table.number(line, cells, "deletion_time")
        if ended < began or began < created:
            table.fault(
                line, f"created at {created:g}, scheduled at {began:g}, deleted at {ended:g}: not in this order"
            )
        shares += demand.gpus == 1 and 0 < table.whole(line, cells, "gpu_milli", 0) < 1000
        unscheduled += not cells["scheduled_time"].strip()
        name = cells["name"].strip() or f"line {line}"
        jobs.append(Job(name, created, ended - began, demands.setdefault(demand, demand)))
    trace = table.done(jobs)
    if shares:
        trace.notes.append(f"{shares} jobs share a GPU in the trace; here each takes one, or one slice of one")
    if unscheduled:
        trace.notes.append(f"{unscheduled} jobs never ran in the trace; here they run for as long as they waited there")
    return trace


def _demand(table: Table, line: int, cells: dict[str, str]) -> Demand:
    gpus = table.whole(line, cells, "num_gpu", 0)
    return Demand(
        cpu_milli=table.whole(line, cells, "cpu_milli", 0),
        memory_kib=table.whole(line, cells, "memory_mib", 0) * 1024,
        gpus=gpus,
        gpu_model=_model(table, line, cells["gpu_spec"].strip()) if gpus else "",
    )


def _model(table: Table, line: int, spec: str) -> str:
    """The catalogue's names for the GPUs of a spec, `V100M16|V100M32`; empty: any."""
    names = [] if spec.lower() in ("", "nan") else spec.split("|")
    for name in names:
        if name not in _specs():
            table.fault(line, f"gpu_spec {name!r} is not known; known: {', '.join(_specs())}")
    models = [_specs().get(name, "") for name in names]
    return "|".join(models) if all(models) else ""


@lru_cache(maxsize=1)
def _specs() -> dict[str, str]:
    with (Path(__file__).parent / "data" / "gpu_specs.csv").open(newline="") as file:
        return {row["spec"]: row["model"] for row in csv.DictReader(file)}
