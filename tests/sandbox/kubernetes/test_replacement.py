"""Which changes replace an object, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.home import Home
from sandbox.providers.kubernetes.objects import clone
from tests.sandbox.kubernetes.engine import (
    CONFIG_MAP,
    DEPLOYMENT,
    Engine,
    Json,
    config_map,
    deployment,
    fresh,
    pod_template,
    urn,
)

SKIP = {"pulumi.com/skipAwait": "true"}


def _object(api_version: str, kind: str, **rest: Any) -> Json:
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": fresh(kind.lower()), "annotations": SKIP},
        **rest,
    }


def _role(kind: str, scope: str) -> Json:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": f"{scope}-role"}


_LABELS = {"matchLabels": {"app": "x"}}
_JOB = {"template": pod_template({"app": "x"}, restartPolicy="Never"), "completions": 1, "parallelism": 1}
_SETS = {"selector": _LABELS, "template": pod_template({"app": "x"}), "serviceName": "x"}
_VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteMany"],
    "csi": {"driver": "file.csi.azure.com", "volumeHandle": "a", "volumeAttributes": {"shareName": "a"}},
}
_CLAIM = {"accessModes": ["ReadWriteMany"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}
_SUBJECTS = [{"kind": "ServiceAccount", "name": "x", "namespace": "default"}]
_RBAC = "rbac.authorization.k8s.io/v1"

REPLACING: list[tuple[str, Json, tuple[str | int, ...], Any]] = [
    ("core/v1:ConfigMap", config_map(fresh("c"), {"a": "1"}), ("data", "a"), "2"),
    ("core/v1:Secret", _object("v1", "Secret", data={"a": "YQ=="}), ("data", "a"), "Yg=="),
    ("apps/v1:Deployment", deployment(fresh("d"), annotations=SKIP), ("spec", "selector", "matchLabels", "app"), "y"),
    ("apps/v1:DaemonSet", _object("apps/v1", "DaemonSet", spec={k: v for k, v in _SETS.items() if k != "serviceName"}),
     ("spec", "selector", "matchLabels", "app"), "y"),
    ("apps/v1:StatefulSet", _object("apps/v1", "StatefulSet", spec=_SETS), ("spec", "serviceName"), "y"),
    ("apps/v1:StatefulSet", _object("apps/v1", "StatefulSet", spec=_SETS), ("spec", "podManagementPolicy"), "Parallel"),
    ("batch/v1:Job", _object("batch/v1", "Job", spec=_JOB),
     ("spec", "template", "spec", "containers", 0, "image"), "y"),
    ("batch/v1:Job", _object("batch/v1", "Job", spec=_JOB), ("spec", "parallelism"), 2),
    (f"{_RBAC}:RoleBinding", _object(_RBAC, "RoleBinding", roleRef=_role("Role", "x"), subjects=_SUBJECTS),
     ("roleRef", "name"), "y"),
    (f"{_RBAC}:ClusterRoleBinding",
     _object(_RBAC, "ClusterRoleBinding", roleRef=_role("ClusterRole", "x"), subjects=_SUBJECTS),
     ("roleRef", "name"), "y"),
    ("storage.k8s.io/v1:StorageClass",
     _object("storage.k8s.io/v1", "StorageClass", provisioner="x.csi", parameters={"skuName": "a"}),
     ("parameters", "skuName"), "b"),
    ("storage.k8s.io/v1:StorageClass", _object("storage.k8s.io/v1", "StorageClass", provisioner="x.csi"),
     ("provisioner",), "y.csi"),
    ("core/v1:PersistentVolume", _object("v1", "PersistentVolume", spec=_VOLUME),
     ("spec", "csi", "volumeAttributes", "shareName"), "b"),
    ("core/v1:PersistentVolumeClaim", _object("v1", "PersistentVolumeClaim", spec=_CLAIM), ("spec", "volumeName"), "b"),
    ("core/v1:Service", _object("v1", "Service", spec={"ports": [{"port": 80}], "clusterIP": "172.16.7.7"}),
     ("spec", "clusterIP"), "172.16.7.8"),
    ("core/v1:Pod", _object("v1", "Pod", spec=pod_template({})["spec"]), ("spec", "containers", 0, "image"), "y"),
    ("core/v1:ResourceQuota", _object("v1", "ResourceQuota", spec={"hard": {"pods": "1000"}, "scopes": ["BestEffort"]}),
     ("spec", "scopes", 0), "NotBestEffort"),
    ("core/v1:ConfigMap", config_map(fresh("c"), {}), ("metadata", "name"), fresh("renamed")),
    ("core/v1:ConfigMap", config_map(fresh("c"), {}), ("metadata", "namespace"), "kube-system"),
]  # fmt: skip

UPDATING: list[tuple[str, Json, tuple[str | int, ...], Any]] = [
    ("apps/v1:Deployment", deployment(fresh("d"), annotations=SKIP),
     ("spec", "template", "spec", "containers", 0, "image"), "y"),
    ("batch/v1:Job", _object("batch/v1", "Job", spec={**_JOB, "backoffLimit": 3}), ("spec", "backoffLimit"), 4),
    ("core/v1:PersistentVolume", _object("v1", "PersistentVolume", spec=_VOLUME),
     ("spec", "capacity", "storage"), "2Gi"),
    ("core/v1:PersistentVolumeClaim", _object("v1", "PersistentVolumeClaim", spec=_CLAIM),
     ("spec", "resources", "requests", "storage"), "2Gi"),
    (f"{_RBAC}:RoleBinding", _object(_RBAC, "RoleBinding", roleRef=_role("Role", "x"), subjects=_SUBJECTS),
     ("subjects", 0, "name"), "y"),
    ("storage.k8s.io/v1:StorageClass", _object("storage.k8s.io/v1", "StorageClass", provisioner="x.csi"),
     ("metadata", "annotations", "a"), "b"),
]  # fmt: skip


def _changed(inputs: Json, path: tuple[str | int, ...], value: Any) -> Json:
    changed: Any = clone(inputs)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return changed


def _titles(cases: list[tuple[str, Json, tuple[str | int, ...], Any]]) -> list[str]:
    return [f"{token.rpartition(':')[2]}-{'.'.join(map(str, path))}" for token, _, path, _ in cases]


@pytest.mark.parametrize(("token", "inputs", "path", "value"), REPLACING, ids=_titles(REPLACING))
def test_a_change_replaces(engine: Engine, token: str, inputs: Json, path: tuple[str | int, ...], value: Any) -> None:
    made = engine.create(urn(token), inputs)
    diff = engine.diff(made, _changed(inputs, path, value))
    assert diff.replaces, diff
    identity_stays = path[0] != "metadata"
    assert diff.deletes_first is identity_stays, "two objects cannot bear one name"
    engine.delete(made)


@pytest.mark.parametrize(("token", "inputs", "path", "value"), UPDATING, ids=_titles(UPDATING))
def test_a_change_updates(engine: Engine, token: str, inputs: Json, path: tuple[str | int, ...], value: Any) -> None:
    made = engine.create(urn(token), inputs)
    diff = engine.diff(made, _changed(inputs, path, value))
    assert diff.changed
    assert diff.replaces == []
    engine.delete(made)


def test_an_object_with_a_chosen_name_is_made_anew_before_the_old_one_goes(engine: Engine) -> None:
    made = engine.create(CONFIG_MAP, config_map(None, {"a": "1"}))
    diff = engine.diff(made, config_map(None, {"a": "2"}))
    assert diff.replaces == ["data.a"]
    assert not diff.deletes_first


def test_a_replaced_object_gets_a_new_name(engine: Engine) -> None:
    first = engine.create(CONFIG_MAP, config_map(None, {"a": "1"}))
    second = engine.create(CONFIG_MAP, config_map(None, {"a": "2"}))
    assert first.name != second.name


def test_a_preview_of_a_replacement_under_the_same_name_succeeds(engine: Engine) -> None:
    inputs = deployment(fresh("same"), annotations=SKIP)
    made = engine.create(DEPLOYMENT, inputs)
    changed = _changed(inputs, ("spec", "selector", "matchLabels", "app"), "y")
    changed["spec"]["template"]["metadata"]["labels"] = {"app": "y"}
    assert engine.preview_create(DEPLOYMENT, changed)["metadata"]["name"] == made.name
    engine.delete(made)


def test_mutable_config_maps_and_secrets_are_updated(attach: Callable[[], Engine], plane: Home) -> None:
    engine = attach()
    engine.configure(
        kubeconfig=plane.admin_kubeconfig.read_text(), enableConfigMapMutable="true", enableSecretMutable="true"
    )
    name = fresh("mutable")
    made = engine.create(CONFIG_MAP, config_map(name, {"a": "1"}))
    diff = engine.diff(made, config_map(name, {"a": "2"}))
    assert diff.changed
    assert diff.replaces == []
    assert engine.update(made, config_map(name, {"a": "2"})).live["data"] == {"a": "2"}


def test_a_job_that_never_became_ready_is_replaced_where_its_annotation_says_so(engine: Engine) -> None:
    inputs = _object("batch/v1", "Job", spec={**_JOB, "suspend": True})
    inputs["metadata"]["annotations"] = {**SKIP, "pulumi.com/replaceUnready": "true"}
    made = engine.create(urn("batch/v1:Job"), inputs)
    diff = engine.diff(made, inputs)
    assert diff.changed
    assert diff.replaces == ['.metadata.annotations["pulumi.com/replaceUnready"]']
    engine.delete(made)
