"""A manager's pod is what its process is: ready when that says so, restarted where it ends, gone when it is to go.

Kueue itself is stood for by a script, so nothing is compiled: `tests/end_to_end/test_queues.py` runs the real one.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.queues import manager_config
from sandbox.nodes.kueue import CERTIFICATES
from sandbox.nodes.objects import condition, items, text
from sandbox.processes import Processes, start_time
from sandbox.tools import KUEUE
from tests.sandbox.nodes.builders import machine_document
from tests.sandbox.nodes.conftest import Cluster, eventually

Json = dict[str, Any]
pytestmark = pytest.mark.control_plane
MANAGER = """#!{python}
import http.server, json, os, pathlib, sys, yaml

home = pathlib.Path(os.environ["HOME"])
file = next(one.partition("=")[2] for one in sys.argv if one.startswith("--config="))
config = yaml.safe_load(pathlib.Path(file).read_text())
access = yaml.safe_load(pathlib.Path(os.environ["KUBECONFIG"]).read_text())
token = pathlib.Path(access["users"][0]["user"]["tokenFile"]).read_text()
seen = {{"pid": os.getpid(), "arguments": sys.argv[1:], "config": config, "token": token}}
home.joinpath("seen.json").write_text(json.dumps(seen))

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(500 if home.joinpath("unready").exists() else 200)
        self.end_headers()

    def log_message(self, *_):
        pass

host, _, port = config["health"]["healthProbeBindAddress"].rpartition(":")
print("serving", flush=True)
http.server.HTTPServer((host, int(port)), Health).serve_forever()
"""


@pytest.fixture
def manager(cluster: Cluster) -> Generator[Cluster]:
    """A machine, and a script where Kueue's manager would be built."""
    program = cluster.tools / KUEUE.build.key / KUEUE.name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(MANAGER.format(python=sys.executable))
    program.chmod(0o755)
    cluster.azure.machines = [machine_document(taints=[])]
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "manager-config"},
            "data": {"controller_manager_config.yaml": yaml.safe_dump(manager_config(["default"]))},
        },
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "stringData": {"tls.crt": "first"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "queues"}},
        _deployment(),
    )
    yield cluster
    cluster.kubectl("delete", "configmap/manager-config", "secret/cert", "serviceaccount/queues")


def _deployment() -> Json:
    container = {
        "name": "manager",
        "image": "registry.k8s.io/kueue/kueue:v0.16.1",
        "command": ["/manager"],
        "args": ["--config=/controller_manager_config.yaml", "--zap-log-level=2"],
        "ports": [{"containerPort": 9443, "name": "webhook-server"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8081}, "periodSeconds": 1, "failureThreshold": 2},
        "volumeMounts": [
            {"name": "cert", "mountPath": CERTIFICATES, "readOnly": True},
            {
                "name": "config",
                "mountPath": "/controller_manager_config.yaml",
                "subPath": "controller_manager_config.yaml",
            },
        ],
    }
    volumes = [
        {"name": "cert", "secret": {"secretName": "cert"}},
        {"name": "config", "configMap": {"name": "manager-config"}},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "queues"},
        "spec": {
            "selector": {"matchLabels": {"app": "queues"}},
            "template": {
                "metadata": {"labels": {"app": "queues"}},
                "spec": {"serviceAccountName": "queues", "containers": [container], "volumes": volumes},
            },
        },
    }


def the_pod(cluster: Cluster) -> Json:
    pods = cluster.list("pods", "-l", "app=queues")
    return pods[0] if pods else {}


def is_ready(cluster: Cluster) -> bool:
    return condition(the_pod(cluster), "Ready").get("status") == "True"


def restarts(cluster: Cluster) -> int:
    return sum(int(one["restartCount"]) for one in items(the_pod(cluster), "status", "containerStatuses"))


def folder(cluster: Cluster) -> Path:
    return cluster.home.run / "containers" / text(the_pod(cluster), "metadata", "uid")


def seen(cluster: Cluster) -> Json:
    return json.loads((folder(cluster) / "seen.json").read_text())


def test_the_process_has_the_pod_s_arguments_files_and_account_and_ends_with_it(manager: Cluster) -> None:
    eventually(lambda: is_ready(manager))
    saw = seen(manager)
    assert saw["arguments"][1] == "--zap-log-level=2"
    assert saw["config"]["integrations"] == manager_config(["default"])["integrations"]
    claims = json.loads(base64.urlsafe_b64decode(saw["token"].split(".")[1] + "=="))
    assert claims["sub"] == "system:serviceaccount:default:queues"
    certificate = Path(saw["config"]["webhook"]["certDir"]) / "tls.crt"
    assert certificate.read_text() == "first"
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "cert"}, "stringData": {"tls.crt": "second"}}
    manager.apply(secret)
    eventually(lambda: certificate.read_text() == "second")
    assert "serving" in manager.kubectl("logs", "deployment/queues")
    began = start_time(saw["pid"])
    assert began is not None
    manager.kubectl("delete", "deployment", "queues")
    eventually(lambda: start_time(saw["pid"]) != began)


def test_a_process_that_is_not_ready_makes_its_pod_so(manager: Cluster) -> None:
    eventually(lambda: is_ready(manager))
    flag = folder(manager) / "unready"
    flag.touch()
    eventually(lambda: not is_ready(manager))
    assert the_pod(manager)["status"]["phase"] == "Running"
    flag.unlink()
    eventually(lambda: is_ready(manager))
    assert restarts(manager) == 0, "it never ended"


def test_a_process_that_ends_is_started_again(manager: Cluster) -> None:
    eventually(lambda: is_ready(manager))
    os.kill(seen(manager)["pid"], signal.SIGKILL)
    eventually(lambda: restarts(manager) == 1)
    [status] = items(the_pod(manager), "status", "containerStatuses")
    assert "exit code 137" in status["lastState"]["terminated"]["message"]
    eventually(lambda: is_ready(manager))


def test_a_killed_sandbox_part_leaves_a_process_that_is_found_and_replaced(manager: Cluster) -> None:
    eventually(lambda: is_ready(manager))
    pid = seen(manager)["pid"]
    manager.kill_controller()
    processes = Processes(manager.home)
    try:
        assert pid in processes.strays()
        processes.end_strays()
        assert start_time(pid) is None
    finally:
        manager.start_controller()
    eventually(lambda: restarts(manager) == 1)
    eventually(lambda: is_ready(manager))
    assert seen(manager)["pid"] != pid
