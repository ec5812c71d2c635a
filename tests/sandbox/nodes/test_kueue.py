"""Kueue's configuration on this machine, and which local port stands for a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.queues import manager_config
from sandbox.nodes.kueue import Local, is_kueue, localised
from sandbox.nodes.services import Services, target_port
from sandbox.nodes.watched import Watched

Json = dict[str, Any]
LOCAL = Local("kueue-system", Path("/here/certificates"), lambda port: port + 10_000)
ARGUMENTS = ["--config=/controller_manager_config.yaml", "--zap-log-level=2"]


def test_ports_namespace_and_certificates_are_of_this_machine_and_the_rest_stays() -> None:
    arguments, document = localised(ARGUMENTS, yaml.safe_dump(manager_config(["default"])), LOCAL)
    assert arguments == ARGUMENTS
    local = yaml.safe_load(document)
    assert local.pop("health") == {"healthProbeBindAddress": "127.0.0.1:18081"}
    assert local.pop("metrics") == {"bindAddress": "127.0.0.1:18443"}
    assert local.pop("webhook") == {"host": "127.0.0.1", "port": 19443, "certDir": "/here/certificates"}
    assert local.pop("namespace") == "kueue-system"
    assert local.pop("featureGates") == {"VisibilityOnDemand": False}
    assert local["leaderElection"].pop("resourceNamespace") == "kueue-system"
    kept = {
        key: value for key, value in manager_config(["default"]).items() if key not in ("health", "metrics", "webhook")
    }
    assert local == kept


def test_what_the_configuration_leaves_out_gets_the_manager_s_own_ports() -> None:
    local = yaml.safe_load(localised([], "kind: Configuration", LOCAL)[1])
    assert local["health"]["healthProbeBindAddress"] == "127.0.0.1:18081"
    assert local["webhook"]["port"] == 19443


def test_metrics_that_are_off_stay_off() -> None:
    local = yaml.safe_load(localised([], "metrics: {bindAddress: '0'}", LOCAL)[1])
    assert local["metrics"] == {"bindAddress": "0"}


def test_gates_in_the_arguments_are_switched_there_as_the_manager_takes_them_from_one_place() -> None:
    arguments, document = localised(["--feature-gates=MultiKueue=false"], "{}", LOCAL)
    assert arguments == ["--feature-gates=MultiKueue=false,VisibilityOnDemand=false"]
    assert "featureGates" not in yaml.safe_load(document)


@pytest.mark.parametrize("document", ["[1, 2]", "a: [", "text"])
def test_what_is_no_configuration_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="the configuration is no"):
        localised([], document, LOCAL)


@pytest.mark.parametrize(
    ("image", "runs"),
    [
        ("registry.k8s.io/kueue/kueue:v0.16.1", True),
        ("registry.k8s.io/kueue/kueue@sha256:00", True),
        ("registry.k8s.io/kueue/kueueviz-backend:v0.16.1", False),
    ],
)
def test_kueue_is_known_by_its_image(image: str, runs: bool) -> None:
    assert is_kueue({"spec": {"containers": [{"name": "manager", "image": image}]}}) is runs


def pod(name: str = "one", *, ready: bool = True, app: str = "queue") -> Json:
    return {
        "metadata": {"namespace": "here", "name": name, "labels": {"app": app, "more": "x"}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "hook", "containerPort": 9443}]}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def service(**ports: Any) -> Json:
    return {
        "metadata": {"namespace": "here", "name": "hook"},
        "spec": {"clusterIPs": ["172.16.0.9"], "selector": {"app": "queue"}, "ports": [{"port": 443, **ports}]},
    }


def watched(*objects: Json) -> Watched:
    found: Watched = Watched.__new__(Watched)
    found.objects = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in objects}
    return found


@pytest.mark.parametrize(("target", "leads"), [(9443, 9443), ("hook", 9443), (None, 443), ("other", None)])
def test_a_service_s_port_leads_to_the_container_s_by_number_or_name(target: int | str | None, leads: int) -> None:
    assert target_port(service(targetPort=target), 443, pod()) == leads
    assert target_port(service(targetPort=target), 444, pod()) is None


def test_a_service_leads_to_a_ready_pod_that_it_selects() -> None:
    def local(one: Json, port: int) -> int | None:
        return port + 1 if one["metadata"]["name"] == "two" else None

    def services(*pods: Json) -> Services:
        return Services(watched(service(targetPort=9443)), watched(*pods), local)

    assert services(pod(), pod("two")).local_port("172.16.0.9", 443) == 9444
    assert services(pod("two", ready=False)).local_port("172.16.0.9", 443) is None
    assert services(pod("two", app="other")).local_port("172.16.0.9", 443) is None
    assert services(pod()).local_port("172.16.0.9", 443) is None, "its process does not run here"
    assert services(pod("two")).local_port("172.16.0.9", 80) is None
    assert services().knows("172.16.0.9")
    assert not services().knows("10.0.0.1")
