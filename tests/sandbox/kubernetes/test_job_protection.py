"""The mark on jobs' pods, put there by a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from components.job_protection import NAME, SAFE_TO_EVICT, policy_spec
from tests.sandbox.kubernetes.conftest import Kubectl

_POLICY = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy"}
_SPACE = "protected"


def _job(name: str, annotations: Mapping[str, str] | None = None, **pod: Any) -> dict[str, Any]:
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "x"}], **pod}
    template = {"metadata": {"annotations": dict(annotations or {}), "labels": {"is": name}}, "spec": spec}
    metadata = {"name": name, "namespace": _SPACE}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}


def _service(name: str) -> dict[str, Any]:
    template = {"metadata": {"labels": {"is": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": _SPACE},
        "spec": {"selector": {"matchLabels": {"is": name}}, "template": template},
    }


def _mark(kubectl: Kubectl, name: str) -> str | None:
    """The annotation on the one pod of a job or service, once there is a pod."""
    for _ in range(100):
        pods = kubectl("get", "pods", "-n", _SPACE, "-l", f"is={name}", "-o", "json")["items"]
        if pods:
            return pods[0]["metadata"].get("annotations", {}).get(SAFE_TO_EVICT)
        time.sleep(0.3)
    raise TimeoutError(f"{name} has no pod")


@pytest.fixture(scope="module")
def protected(kubectl: Kubectl) -> Kubectl:
    """The policy in force: the API server takes it up some seconds after it was made."""
    binding = {**_POLICY, "kind": "MutatingAdmissionPolicyBinding", "spec": {"policyName": NAME}}
    kubectl("create", "namespace", _SPACE)
    for one in ({**_POLICY, "spec": policy_spec()}, binding):
        kubectl("apply", "--validate=strict", "-f", "-", stdin=json.dumps({**one, "metadata": {"name": NAME}}))
    for attempt in range(30):
        kubectl("apply", "-f", "-", stdin=json.dumps(_job(f"first-{attempt}")))
        if _mark(kubectl, f"first-{attempt}") == "false":
            return kubectl
        time.sleep(1)
    raise TimeoutError("the policy does not work")


def test_a_job_s_pod_is_not_for_eviction_without_its_author_saying_so(protected: Kubectl) -> None:
    protected("apply", "-f", "-", stdin=json.dumps(_job("plain")))
    assert _mark(protected, "plain") == "false"


def test_an_author_s_own_word_stands(protected: Kubectl) -> None:
    protected("apply", "-f", "-", stdin=json.dumps(_job("own", {SAFE_TO_EVICT: "true"})))
    assert _mark(protected, "own") == "true"


def test_services_and_what_runs_on_serve_machines_are_not_marked(protected: Kubectl) -> None:
    protected("apply", "-f", "-", stdin=json.dumps(_service("service")))
    protected("apply", "-f", "-", stdin=json.dumps(_job("warmup", nodeSelector={"trainyard/role": "serve"})))
    assert _mark(protected, "service") is None
    assert _mark(protected, "warmup") is None
