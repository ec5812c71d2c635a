"""Results on file: one JSON file a run under docs/storage-measurements, written by a run, read by the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from capacity.storage_data import Pattern
from storage_bench.aggregate import Measured
from storage_bench.settings import RunSettings

FOLDER = Path(__file__).parent.parent / "docs" / "storage-measurements"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was measured, as the cluster says.

    Attributes:
        date: of the run, `2026-11-23`.
        storage_class, driver, size: of the claim's volume, `rook-cephfs`, its CSI driver, `4Ti`.
        node_size, region: of the nodes, by their labels; empty where they have none.
        fio: its version.
    """

    date: str
    storage_class: str
    driver: str
    size: str
    node_size: str
    region: str
    fio: str


@dataclass(frozen=True, slots=True)
class Result:
    """One pattern of one run, read back from its file."""

    backend: str
    pattern: Pattern
    pods: int
    mibps: float
    iops: float
    date: str
    node_size: str
    file: str


def write_measurement(
    settings: RunSettings, measured: Sequence[Measured], around: Surroundings, folder: Path = FOLDER
) -> Path:
    """Write a run's file; a run of the same day and settings is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{settings.backend}-{around.date}-{settings.name.rsplit('-', 1)[-1]}.json"
    file.write_text(json.dumps(_document(settings, measured, around), indent=2) + "\n")
    return file


def _document(settings: RunSettings, measured: Sequence[Measured], around: Surroundings) -> dict[str, Any]:
    return {
        "backend": settings.backend,
        "date": around.date,
        "claim": {"storageClass": around.storage_class, "driver": around.driver, "size": around.size},
        "nodes": {"count": settings.pods, "size": around.node_size, "region": around.region},
        "fio": around.fio,
        "image": settings.image,
        "settings": {
            "seconds": settings.seconds,
            "streams": settings.streams,
            "streamMib": settings.stream_mib,
            "smallFiles": settings.small_files,
            "smallKib": settings.small_kib,
            "direct": settings.direct,
        },
        "patterns": {
            one.pattern: {
                "mibps": round(one.mibps, 1),
                "iops": round(one.iops, 1),
                "windowSeconds": round(one.window_seconds, 1),
                "perPodMibps": [round(pod, 1) for pod in one.per_pod_mibps],
                "latencyMs": {f"p{percentile:g}": round(value, 3) for percentile, value in one.latency_ms.items()},
            }
            for one in measured
        },
    }


def read_measurements(folder: Path = FOLDER) -> list[Result]:
    """Every pattern of every file, the newest first.

    Raises:
        ValueError: a file is not a run's.
    """
    found: list[Result] = []
    for file in sorted(folder.glob("*.json")):
        try:
            document = cast("Mapping[str, Any]", json.loads(file.read_text()))
            found += [
                Result(
                    backend=document["backend"],
                    pattern=cast("Pattern", pattern),
                    pods=document["nodes"]["count"],
                    mibps=float(one["mibps"]),
                    iops=float(one["iops"]),
                    date=document["date"],
                    node_size=document["nodes"]["size"],
                    file=file.name,
                )
                for pattern, one in document["patterns"].items()
            ]
        except (KeyError, TypeError, ValueError) as problem:
            raise ValueError(
                f"{file} is no result of storage_bench ({problem!r}): mend it or take it away"
            ) from problem
    return sorted(found, key=lambda one: (one.date, one.file), reverse=True)
