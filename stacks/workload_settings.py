"""What runs on the pools, as a stack file says it: queues for training jobs, and services that scale with their load.

Owns the models alone; rules between their values: `stacks/workload_rules.py`, `capacity/serve_plan.py`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stacks.base import Settings
from stacks.value_types import NUMBER, Flag

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
Namespace = Annotated[str, Field(pattern=DNS_LABEL, examples=["default"])]


class Queues(Settings):
    """Kueue: jobs wait in queues by pool class, gangs start whole or not at all."""

    enabled: Annotated[Flag, Field(description="Run Kueue; `false` takes it away again.")] = False
    namespaces: Annotated[
        tuple[Namespace, ...],
        Field(description="Namespaces that get the queues; those but `default` are made."),
    ] = ("default",)


class Service(Settings):
    """One service on the `serve` pools, with as many replicas as its load asks for."""

    image: Annotated[
        str, Field(min_length=1, pattern=r"^\S+$", examples=["ghcr.io/team/model:1.4"], description="Container image.")
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="Port that the container listens on."), NUMBER] = 8080
    namespace: Annotated[Namespace, Field(description="Where it runs; made unless it is `default`.")] = "default"
    pool: Annotated[str | None, Field(description="The one serve pool to run on; default: every serve pool.")] = None
    gpu: Annotated[int, Field(ge=0, le=16, description="GPUs a replica."), NUMBER] = 0
    cpu: Annotated[float, Field(gt=0, le=416, description="CPUs a replica."), NUMBER] = 1
    memory_gib: Annotated[float, Field(gt=0, le=12288, description="GiB of memory a replica."), NUMBER] = 2
    min_replicas: Annotated[int, Field(ge=1, le=1000, description="Replicas when nobody asks."), NUMBER] = 1
    max_replicas: Annotated[int, Field(ge=1, le=1000, description="Replicas at most."), NUMBER]
    target_cpu: Annotated[
        int | None, Field(ge=1, le=100, description="Percent of its CPUs that a replica should use."), NUMBER
    ] = None
    target_gpu: Annotated[
        int | None, Field(ge=1, le=100, description="Percent of the time its GPU should be busy (DCGM)."), NUMBER
    ] = None
    health_path: Annotated[
        str | None, Field(pattern=r"^/\S*$", description="Path that answers 200 when ready; default: the port opens.")
    ] = None
    startup_seconds: Annotated[
        int, Field(ge=10, le=3600, description="Seconds for a replica to load its model."), NUMBER
    ] = 600
    args: Annotated[tuple[str, ...], Field(description="Arguments of the container.")] = ()


class GpuMetrics(Settings):
    """Where GPU utilisation is found, for services that scale by it."""

    prometheus_url: Annotated[
        str,
        Field(
            pattern=r"^https?://[^\s/:]+$",
            examples=["http://prometheus-server.monitoring.svc"],
            description="A Prometheus that scrapes dcgm-exporter.",
        ),
    ]
    port: Annotated[int, Field(ge=1, le=65535, description="Prometheus' port."), NUMBER] = 9090
