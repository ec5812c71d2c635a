"""Our own format: one job a line, units in the columns' names.

Needed: `arrivalSeconds`, `durationSeconds`, `cpuCores`, `memoryGib`. As wanted: `name`, `class` (of the pool),
`gpuModel`, `gpus`, `gangSize`, `priority`. What a job asks for is asked for by each pod of its gang.
"""

from __future__ import annotations

from capacity.catalogue import load_catalogue
from capacity.simulation.jobs import Demand, Job
from capacity.traces.table import Table, Trace
from stacks.problems import nearest

NEEDED = ("arrivalSeconds", "durationSeconds", "cpuCores", "memoryGib")
OPTIONAL = ("name", "class", "gpuModel", "gpus", "gangSize", "priority")
CLASSES = ("cpu", "light-gpu", "heavy-gpu")
"""Classes of pools that take jobs."""
_PRIORITIES = -2_147_483_648
"""Kubernetes' least priority of a PriorityClass."""


def read(table: Table) -> Trace:
    """The jobs of a table.

    Raises:
        TraceErrors: with everything that is wrong.
    """
    table.expect(NEEDED, [*NEEDED, *OPTIONAL])
    jobs: list[Job] = []
    demands: dict[tuple[str, ...], Demand] = {}
    asked = [one for one in table.columns if one not in ("name", "arrivalSeconds", "durationSeconds", "gangSize")]
    for line, cells in table.rows():
        key = tuple(cells[column] for column in asked)
        demand = demands.get(key)
        if demand is None:
            before = len(table.errors)
            demand = _demand(table, line, cells)
            if len(table.errors) == before:
                demands[key] = demand
        jobs.append(
            Job(
                name=cells.get("name", "").strip() or f"line {line}",
                arrival=table.number(line, cells, "arrivalSeconds"),
                duration=table.number(line, cells, "durationSeconds"),
                demand=demand,
                pods=table.whole(line, cells, "gangSize", 1, least=1),
            )
        )
    return table.done(jobs)


def _demand(table: Table, line: int, cells: dict[str, str]) -> Demand:
    pool_class = cells.get("class", "").strip()
    if pool_class and pool_class not in CLASSES:
        near = nearest(pool_class, CLASSES)
        table.fault(
            line,
            f"class {pool_class!r} is not known; allowed: {', '.join(CLASSES)}, or nothing for any"
            f"{f'. Did you mean {near}?' if near else ''}",
        )
    gpus = table.whole(line, cells, "gpus", 0)
    model = cells.get("gpuModel", "").strip()
    if model and not gpus:
        table.fault(line, f"gpuModel {model} without gpus: say how many, in the column gpus")
    if gpus and pool_class == "cpu":
        table.fault(line, f"{gpus} gpus of class cpu, which has none: name another class, or none")
    for one in model.split("|") if model else ():
        if not is_sold(one):
            table.fault(line, f"gpuModel {one!r} is not in the catalogue; known: {', '.join(_models())}")
    return Demand(
        cpu_milli=round(table.number(line, cells, "cpuCores") * 1000),
        memory_kib=round(table.number(line, cells, "memoryGib") * 2**20),
        gpus=gpus,
        pool_class=pool_class,
        gpu_model=model,
        priority=table.whole(line, cells, "priority", 0, least=_PRIORITIES),
    )


def is_sold(model: str) -> bool:
    """Whether a size of the catalogue has such a GPU, which `A100` names as well as `A100-80GB-PCIe`."""
    asked = Demand(0, 0, gpus=1, gpu_model=model)
    return any(asked.wants_model(one) for one in _models())


def _models() -> list[str]:
    return sorted({size.gpu_model for size in load_catalogue().sizes.values() if size.gpu_model and size.gpus})
