"""The API server goes away and comes back in the middle of things."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from sandbox import control_plane
from sandbox.home import Home
from sandbox.processes import Processes
from tests.sandbox.kubernetes.engine import CONFIG_MAP, DEPLOYMENT, Engine, Resource, config_map, deployment, fresh

Kubectl = Callable[..., Any]


def test_a_create_outlives_a_restart_of_the_api_server(engine: Engine, plane: Home) -> None:
    inputs = config_map(fresh("patient"), {"a": "1"})
    Processes(plane).stop("api-server")
    made: list[Resource] = []
    thread = threading.Thread(target=lambda: made.append(engine.create(CONFIG_MAP, inputs)))
    thread.start()
    time.sleep(1)
    control_plane.start(plane)
    thread.join(90)
    assert [one.name for one in made] == [inputs["metadata"]["name"]]


def test_a_wait_outlives_a_restart_of_the_api_server(engine: Engine, plane: Home, kubectl: Kubectl) -> None:
    name = fresh("waiting")
    inputs = deployment(name)
    inputs["spec"]["template"]["spec"]["nodeSelector"] = {"later": name}
    made: list[Resource] = []
    thread = threading.Thread(target=lambda: made.append(engine.create(DEPLOYMENT, inputs, timeout=100)))
    thread.start()
    time.sleep(1)
    Processes(plane).stop("api-server")
    control_plane.start(plane)
    kubectl("label", "node", "machine", f"later={name}")
    thread.join(110)
    assert [one.name for one in made] == [name]
    engine.delete(made[0])
