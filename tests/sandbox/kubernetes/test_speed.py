"""How long the provider takes for a second preview."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sandbox.kubernetes.engine import DEPLOYMENT, Engine, Json, Resource, deployment, fresh

OBJECTS = 60


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / 100


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the provider's CPU time from /proc")
def test_a_second_preview_of_sixty_objects_takes_less_than_a_second(engine: Engine, provider_pid: int) -> None:
    programs = [
        deployment(fresh("many"), replicas=0, annotations={"pulumi.com/skipAwait": "true"}) for _ in range(OBJECTS)
    ]

    def create(inputs: Json) -> Resource:
        return engine.create(DEPLOYMENT, inputs)

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(create, programs))
        before, began = _cpu_seconds(provider_pid), time.monotonic()
        diffs = list(pool.map(engine.diff, made, programs))
        cpu, wall = _cpu_seconds(provider_pid) - before, time.monotonic() - began
        assert not any(one.changed for one in diffs)
        list(pool.map(engine.delete, made))
    print(f"{OBJECTS} objects: {wall:.2f} s, {cpu:.2f} s of the provider's CPU")
    assert cpu < 1, "CPU time: other programs may share the machine"


def test_previews_of_updates_run_side_by_side(engine: Engine) -> None:
    skip = {"pulumi.com/skipAwait": "true"}

    def create(name: str) -> Resource:
        return engine.create(DEPLOYMENT, deployment(name, replicas=0, annotations=skip))

    def preview(resource: Resource) -> str:
        new = deployment(resource.name, replicas=0, image="nginx:2", annotations=skip)
        shown = engine.update(resource, new, preview=True)
        return shown.live["spec"]["template"]["spec"]["containers"][0]["image"]

    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(create, [fresh("asked") for _ in range(10)]))
        assert set(pool.map(preview, made)) == {"nginx:2"}
        list(pool.map(engine.delete, made))
