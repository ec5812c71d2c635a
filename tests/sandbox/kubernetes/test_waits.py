"""When each kind counts as ready, what is said when it does not become so, and how deletion ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import empty_pb2

from tests.sandbox.kubernetes.engine import (
    CONFIG_MAP,
    DEPLOYMENT,
    Engine,
    Json,
    Resource,
    UnhealthyError,
    config_map,
    deployment,
    fresh,
    pod_template,
    urn,
)

Kubectl = Callable[..., Any]
NEVER_READY = "registry.k8s.io/autoscaling/cluster-autoscaler:v1"
"""Its pods wait for a verdict on their arguments, which nobody gives here."""
POD = urn("core/v1:Pod")
JOB = urn("batch/v1:Job")
SERVICE = urn("core/v1:Service")
CLAIM = urn("core/v1:PersistentVolumeClaim")


def _object(api_version: str, kind: str, spec: Json | None = None, **metadata: Any) -> Json:
    made: Json = {"apiVersion": api_version, "kind": kind, "metadata": {"name": fresh(kind.lower()), **metadata}}
    return made if spec is None else {**made, "spec": spec}


def test_a_deployment_is_ready_when_its_pods_are(engine: Engine) -> None:
    made = engine.create(DEPLOYMENT, deployment(fresh("ready"), replicas=2))
    assert made.live["status"]["readyReplicas"] == 2
    engine.delete(made)


def test_a_deployment_without_replicas_is_ready_at_once(engine: Engine) -> None:
    made = engine.create(DEPLOYMENT, deployment(fresh("none"), replicas=0))
    engine.delete(made)


def test_an_update_waits_for_the_new_replica_set(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("rollout")
    made = engine.create(DEPLOYMENT, deployment(name))
    updated = engine.update(made, deployment(name, image="nginx:2"))
    pods = kubectl("get", "pods", "-l", f"app={name}", "-o", "json")["items"]
    ready = [
        one["spec"]["containers"][0]["image"]
        for one in pods
        if "deletionTimestamp" not in one["metadata"] and one["status"]["phase"] == "Running"
    ]
    assert "nginx:2" in ready
    assert updated.live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    engine.delete(updated)


def test_a_deployment_that_does_not_become_ready_is_kept_with_its_pods_reasons(engine: Engine) -> None:
    with pytest.raises(UnhealthyError, match="failed to fully initialize") as caught:
        engine.create(DEPLOYMENT, deployment(fresh("unready"), image=NEVER_READY), timeout=3)
    assert caught.value.state["status"]["unavailableReplicas"] == 1
    said = "\n".join(caught.value.reasons)
    assert "timed out waiting to be Ready" in said
    assert "Minimum number of live Pods was not attained" in said
    assert "containers with unready status: [main]" in said
    assert caught.value.id.startswith("default/unready")


def test_an_unready_deployment_shows_as_unhealthy_in_a_refresh(engine: Engine) -> None:
    inputs = deployment(fresh("unhealthy"), image=NEVER_READY, annotations={"pulumi.com/skipAwait": "true"})
    made = engine.create(DEPLOYMENT, inputs)
    engine.read(made)
    del made.inputs["metadata"]["annotations"]
    with pytest.raises(UnhealthyError, match="was created but failed to initialize"):
        engine.read(made)


def test_the_timeout_annotation_bounds_the_wait(engine: Engine) -> None:
    began = time.monotonic()
    inputs = deployment(fresh("short"), image=NEVER_READY, annotations={"pulumi.com/timeoutSeconds": "2"})
    with pytest.raises(UnhealthyError):
        engine.create(DEPLOYMENT, inputs)
    assert time.monotonic() - began < 10


def test_skip_await_waits_for_nothing(engine: Engine) -> None:
    inputs = deployment(fresh("skip"), image=NEVER_READY, annotations={"pulumi.com/skipAwait": "true"})
    made = engine.create(DEPLOYMENT, inputs)
    assert "readyReplicas" not in made.live.get("status", {})
    engine.delete(made)


def test_an_interrupt_ends_the_wait_and_keeps_the_object(engine: Engine) -> None:
    inputs = deployment(fresh("cancel"), image=NEVER_READY)
    threading.Timer(2, lambda: engine.call("Cancel", empty_pb2.Empty())).start()
    with pytest.raises(UnhealthyError, match="was cancelled"):
        engine.create(DEPLOYMENT, inputs, timeout=60)


def test_a_daemon_set_is_ready_when_every_node_runs_it(engine: Engine) -> None:
    labels = {"app": fresh("daemon")}
    spec = {"selector": {"matchLabels": labels}, "template": pod_template(labels)}
    made = engine.create(urn("apps/v1:DaemonSet"), _object("apps/v1", "DaemonSet", spec))
    assert made.live["status"]["numberAvailable"] == 1
    engine.delete(made)


def test_a_daemon_set_without_nodes_is_ready_once_its_controller_saw_it(engine: Engine) -> None:
    labels = {"app": fresh("daemon")}
    template = pod_template(labels, nodeSelector={"no": "where"})
    made = engine.create(
        urn("apps/v1:DaemonSet"),
        _object("apps/v1", "DaemonSet", {"selector": {"matchLabels": labels}, "template": template}),
    )
    assert made.live["status"]["desiredNumberScheduled"] == 0
    engine.delete(made)


def test_a_daemon_set_that_does_not_become_ready_says_why(engine: Engine) -> None:
    labels = {"app": fresh("daemon")}
    spec = {"selector": {"matchLabels": labels}, "template": pod_template(labels, NEVER_READY)}
    with pytest.raises(UnhealthyError) as caught:
        engine.create(urn("apps/v1:DaemonSet"), _object("apps/v1", "DaemonSet", spec), timeout=3)
    assert "Available: 0/1" in caught.value.reasons


def test_a_stateful_set_is_ready_when_all_replicas_are(engine: Engine) -> None:
    labels = {"app": fresh("stateful")}
    spec = {"selector": {"matchLabels": labels}, "template": pod_template(labels), "serviceName": "x", "replicas": 2}
    inputs = _object("apps/v1", "StatefulSet", spec)
    made = engine.create(urn("apps/v1:StatefulSet"), inputs)
    assert made.live["status"]["readyReplicas"] == 2
    changed = json.loads(json.dumps(inputs))
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    updated = engine.update(made, changed)
    assert updated.live["status"]["currentRevision"] == updated.live["status"]["updateRevision"]
    assert updated.live["status"]["updateRevision"] != made.live["status"]["updateRevision"]
    engine.delete(updated)


def test_a_job_is_ready_when_it_is_complete(engine: Engine) -> None:
    template = pod_template({}, restartPolicy="Never")
    template["metadata"]["annotations"] = {"sandbox.trainyard/run-seconds": "1"}
    made = engine.create(JOB, _object("batch/v1", "Job", {"template": template}))
    assert made.live["status"]["succeeded"] == 1
    engine.delete(made)


def test_a_job_that_fails_ends_the_wait(engine: Engine) -> None:
    template = pod_template({}, NEVER_READY, restartPolicy="Never")
    spec = {"template": template, "activeDeadlineSeconds": 1}
    began = time.monotonic()
    with pytest.raises(UnhealthyError) as caught:
        engine.create(JOB, _object("batch/v1", "Job", spec), timeout=60)
    assert time.monotonic() - began < 30
    assert any("DeadlineExceeded" in reason for reason in caught.value.reasons)


def test_a_pod_is_ready_when_its_containers_are(engine: Engine) -> None:
    made = engine.create(POD, _object("v1", "Pod", pod_template({})["spec"]))
    assert made.live["status"]["phase"] == "Running"
    engine.delete(made)


def test_a_pod_that_fits_nowhere_says_so(engine: Engine) -> None:
    spec = pod_template({}, nodeSelector={"no": "where"})["spec"]
    with pytest.raises(UnhealthyError) as caught:
        engine.create(POD, _object("v1", "Pod", spec), timeout=2)
    assert any("0/1 nodes are available" in reason for reason in caught.value.reasons)


def test_a_service_waits_for_its_endpoints(engine: Engine) -> None:
    name = fresh("served")
    pods = engine.create(DEPLOYMENT, deployment(name))
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    made = engine.create(SERVICE, _object("v1", "Service", spec))
    assert made.live["spec"]["clusterIP"]
    engine.delete(made)
    engine.delete(pods)


def test_a_service_whose_pods_are_not_ready_is_not_ready(engine: Engine) -> None:
    name = fresh("pending")
    inputs = deployment(name, image=NEVER_READY, annotations={"pulumi.com/skipAwait": "true"})
    pods = engine.create(DEPLOYMENT, inputs)
    spec = {"selector": {"app": name}, "ports": [{"port": 80}]}
    with pytest.raises(UnhealthyError) as caught:
        engine.create(SERVICE, _object("v1", "Service", spec), timeout=6)
    assert any("does not target any Pods" in reason for reason in caught.value.reasons)
    engine.delete(pods)


@pytest.mark.parametrize(
    "spec",
    [
        {"clusterIP": "None", "selector": {"app": "nobody"}, "ports": [{"port": 80}]},
        {"type": "ExternalName", "externalName": "example.org"},
        {"ports": [{"port": 80}]},
    ],
    ids=["headless", "external", "without-selector"],
)
def test_a_service_without_endpoints_to_come_is_ready_at_once(engine: Engine, spec: Json) -> None:
    began = time.monotonic()
    engine.delete(engine.create(SERVICE, _object("v1", "Service", spec)))
    assert time.monotonic() - began < 2


def test_a_load_balancer_waits_for_its_address(engine: Engine, kubectl: Kubectl) -> None:
    inputs = _object("v1", "Service", {"type": "LoadBalancer", "ports": [{"port": 80}]})
    name = inputs["metadata"]["name"]
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "20.0.0.1"}]}}})
    timer = threading.Timer(2, kubectl, ("patch", "service", name, "--subresource=status", "-p", status))
    timer.start()
    made = engine.create(SERVICE, inputs)
    timer.join()
    assert made.live["status"]["loadBalancer"]["ingress"][0]["ip"] == "20.0.0.1"
    engine.delete(made)


def test_an_ingress_waits_for_its_address(engine: Engine, kubectl: Kubectl) -> None:
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "kubernetes", "port": {"number": 443}}}}
    inputs = _object("networking.k8s.io/v1", "Ingress", {"rules": [{"http": {"paths": [path]}}]})
    name = inputs["metadata"]["name"]
    ingress = urn("networking.k8s.io/v1:Ingress")
    with pytest.raises(UnhealthyError) as caught:
        engine.create(ingress, inputs, timeout=1)
    assert any("loadBalancer" in reason for reason in caught.value.reasons)
    kubectl("delete", "ingress", name)
    status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": "20.0.0.1"}]}}})
    timer = threading.Timer(1, kubectl, ("patch", "ingress", name, "--subresource=status", "-p", status))
    timer.start()
    made = engine.create(ingress, inputs)
    timer.join()
    engine.delete(made)


def _volume(name: str) -> Json:
    csi = {"driver": "file.csi.azure.com", "volumeHandle": name}
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteMany"],
        "csi": csi,
        "storageClassName": name,
        "claimRef": {"name": name, "namespace": "default"},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def _claim(name: str, **spec: Any) -> Json:
    asked = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": asked}


def test_a_static_volume_and_its_claim_are_available_and_bound(engine: Engine) -> None:
    name = fresh("share")
    volume = engine.create(urn("core/v1:PersistentVolume"), _volume(name))
    assert volume.live["status"]["phase"] == "Available"
    claim = engine.create(CLAIM, _claim(name, storageClassName=name, volumeName=name))
    assert claim.live["status"]["phase"] == "Bound"
    found, diff = engine.refresh(volume)
    assert found is not None
    assert diff is not None
    assert not diff.changed, "binding fills in the claim's uid, which is no drift"
    engine.delete(claim)
    engine.delete(volume)


def test_a_claim_that_nobody_binds_is_not_ready(engine: Engine) -> None:
    with pytest.raises(UnhealthyError) as caught:
        engine.create(CLAIM, _claim(fresh("lonely"), storageClassName="nothing"), timeout=1)
    assert any("Pending" in reason for reason in caught.value.reasons)


def test_a_claim_of_a_class_that_binds_late_is_not_waited_for(engine: Engine) -> None:
    late = _object("storage.k8s.io/v1", "StorageClass")
    late |= {"provisioner": "x.csi", "volumeBindingMode": "WaitForFirstConsumer"}
    kind = engine.create(urn("storage.k8s.io/v1:StorageClass"), late)
    made = engine.create(CLAIM, _claim(fresh("late"), storageClassName=kind.name), timeout=60)
    assert made.live["status"]["phase"] == "Pending"
    engine.delete(made)


def test_a_token_secret_is_ready_when_its_token_is_there(engine: Engine) -> None:
    account = engine.create(urn("core/v1:ServiceAccount"), _object("v1", "ServiceAccount"))
    inputs = _object("v1", "Secret", annotations={"kubernetes.io/service-account.name": account.name})
    made = engine.create(urn("core/v1:Secret"), {**inputs, "type": "kubernetes.io/service-account-token"})
    assert "token" in made.live["data"]


def test_a_quota_is_ready_when_its_status_shows_it(engine: Engine) -> None:
    namespace = engine.create(urn("core/v1:Namespace"), _object("v1", "Namespace"))
    inputs = _object("v1", "ResourceQuota", {"hard": {"pods": "4"}}, namespace=namespace.name)
    made = engine.create(urn("core/v1:ResourceQuota"), inputs)
    assert made.live["status"]["hard"] == {"pods": "4"}
    engine.delete(namespace)


def test_a_replication_controller_is_ready_when_its_pods_are(engine: Engine) -> None:
    labels = {"app": fresh("rc")}
    spec = {"replicas": 1, "selector": labels, "template": pod_template(labels)}
    made = engine.create(urn("core/v1:ReplicationController"), _object("v1", "ReplicationController", spec))
    assert made.live["status"]["availableReplicas"] == 1
    engine.delete(made)


def _crd(kind: str) -> Json:
    plural = f"{kind.lower()}s"
    free = {"type": "object", "x_kubernetes_preserve_unknown_fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": free, "status": free}}}
    spec = {
        "group": "example.org",
        "scope": "Namespaced",
        "names": {"kind": kind, "plural": plural},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    metadata = {"name": f"{plural}.example.org"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata,
        "spec": spec,
    }


CRD = urn("apiextensions.k8s.io/v1:CustomResourceDefinition")


def test_a_definition_is_ready_when_its_kind_is_served(engine: Engine) -> None:
    inputs = _crd("Widget")
    made = engine.create(CRD, inputs)
    assert not engine.diff(made, inputs).changed
    custom = _object("example.org/v1", "Widget", {"size": 3})
    widget = engine.create(urn("example.org/v1:Widget"), custom)
    assert widget.live["spec"] == {"size": 3}
    changed = json.loads(json.dumps(inputs))
    changed["spec"]["names"]["shortNames"] = ["wd"]
    updated = engine.update(made, changed)
    assert not engine.diff(updated, changed).changed
    engine.delete(widget)
    engine.delete(updated)
    engine.delete(widget)


def test_an_object_waits_for_its_definition_to_come(engine: Engine, attach: Any) -> None:
    custom = _object("example.org/v1", "Gadget", {"size": 3})
    assert engine.preview_create(urn("example.org/v1:Gadget"), custom)["spec"] == {"size": 3}
    made: list[Resource] = []
    thread = threading.Thread(target=lambda: made.append(engine.create(urn("example.org/v1:Gadget"), custom)))
    thread.start()
    time.sleep(1.5)
    definition = engine.create(CRD, _crd("Gadget"))
    thread.join(40)
    assert [one.name for one in made] == [custom["metadata"]["name"]]
    engine.delete(definition)


def test_an_object_waits_for_its_namespace_to_come(engine: Engine) -> None:
    namespace = _object("v1", "Namespace")
    inputs = config_map("early", {}, namespace=namespace["metadata"]["name"])
    made: list[Resource] = []
    thread = threading.Thread(target=lambda: made.append(engine.create(CONFIG_MAP, inputs)))
    thread.start()
    time.sleep(0.5)
    engine.create(urn("core/v1:Namespace"), namespace)
    thread.join(40)
    assert [one.id for one in made] == [f"{namespace['metadata']['name']}/early"]


@pytest.mark.parametrize(
    "wait_for",
    [
        "jsonpath={.data.ready}=yes",
        "jsonpath={.metadata.labels['state']}",
        '["jsonpath={.data.ready}=yes", "jsonpath={.metadata.labels.state}=done"]',
    ],
)
def test_wait_for_waits_for_what_it_names(engine: Engine, kubectl: Kubectl, wait_for: str) -> None:
    name = fresh("waitfor")
    inputs = config_map(name, {}, annotations={"pulumi.com/waitFor": wait_for})
    patch = json.dumps({"data": {"ready": "yes"}, "metadata": {"labels": {"state": "done"}}})
    timer = threading.Timer(1.5, kubectl, ("patch", "configmap", name, "-p", patch))
    timer.start()
    began = time.monotonic()
    made = engine.create(CONFIG_MAP, inputs)
    assert time.monotonic() - began > 1
    assert made.live["data"] == {"ready": "yes"}


def test_wait_for_a_condition(engine: Engine) -> None:
    annotations = {"pulumi.com/waitFor": "condition=Progressing"}
    inputs = deployment(fresh("condition"), image=NEVER_READY, annotations=annotations)
    made = engine.create(DEPLOYMENT, inputs, timeout=20)
    engine.delete(made)


def test_deletion_waits_until_the_dependents_are_gone(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("cascade")
    made = engine.create(DEPLOYMENT, deployment(name))
    engine.delete(made)
    assert kubectl("get", "pods", "-l", f"app={name}", "-o", "json")["items"] == []
    engine.delete(made)


def test_orphans_stay_where_the_annotation_says_so(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("orphan")
    annotations = {"pulumi.com/deletionPropagationPolicy": "orphan"}
    made = engine.create(DEPLOYMENT, deployment(name, annotations=annotations))
    engine.delete(made)
    assert len(kubectl("get", "replicasets", "-l", f"app={name}", "-o", "json")["items"]) == 1
    kubectl("delete", "replicaset", "-l", f"app={name}")


def test_a_namespace_is_gone_with_all_it_held(engine: Engine, kubectl: Kubectl) -> None:
    namespace = engine.create(urn("core/v1:Namespace"), _object("v1", "Namespace"))
    engine.create(CONFIG_MAP, config_map("inside", {}, namespace=namespace.name))
    engine.delete(namespace)
    with pytest.raises(RuntimeError, match="NotFound"):
        kubectl("get", "namespace", namespace.name)


def test_a_finalizer_that_holds_an_object_is_named(engine: Engine, kubectl: Kubectl) -> None:
    made = engine.create(CONFIG_MAP, config_map(fresh("held"), {}, finalizers=["example.org/hold"]))
    with pytest.raises(UnhealthyError, match=r"example\.org/hold") as caught:
        engine.delete(made, timeout=1)
    assert caught.value.state["metadata"]["deletionTimestamp"]
    kubectl("patch", "configmap", made.name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    engine.delete(made)
