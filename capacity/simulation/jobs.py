"""Jobs of a trace, as the simulation takes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What each pod of a job asks for, and where it may run.

    Attributes:
        cpu_milli: thousandths of a core.
        memory_kib: KiB.
        gpus: whole GPUs of one pod.
        pool_class: the class of pool it names; empty: any training pool that fits.
        gpu_model: the GPU it needs, as the catalogue names it, `A100-80GB-PCIe`, or its beginning, `A100`; several
            with `|` between them; empty: any.
        priority: of its PriorityClass; higher goes first.
    """

    cpu_milli: int
    memory_kib: int
    gpus: int = 0
    pool_class: str = ""
    gpu_model: str = ""
    priority: int = 0

    def wants_model(self, model: str) -> bool:
        """Whether GPUs of a model will do."""
        asked = self.gpu_model.lower().split("|")
        return not self.gpu_model or any(f"{model.lower()}-".startswith(f"{one}-") for one in asked)

    def __str__(self) -> str:
        """As people say it, for reasons and tables."""
        gpus = f"{self.gpus} GPU{'s' if self.gpus != 1 else ''} " if self.gpus else ""
        model = f"({self.gpu_model}) " if self.gpu_model else ""
        of_class = f" of class {self.pool_class}" if self.pool_class else ""
        return f"{gpus}{model}{self.cpu_milli / 1000:g} cores {self.memory_kib / 2**20:.3g} GiB{of_class}"


@dataclass(frozen=True, slots=True)
class Job:
    """One job: `pods` pods that start together or not at all.

    Attributes:
        name: as in the trace.
        arrival: seconds from the trace's start.
        duration: seconds it runs once all its pods run.
        demand: of each pod.
        pods: how many; above 1 it is a gang.
    """

    name: str
    arrival: float
    duration: float
    demand: Demand
    pods: int = 1
