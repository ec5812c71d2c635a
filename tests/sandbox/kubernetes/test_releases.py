"""Helm releases: recorded, with their custom resource definitions, and the objects of charts that are known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.providers.kubernetes.charts import definitions
from sandbox.providers.kubernetes.objects import UNKNOWN, table
from sandbox.providers.kubernetes.properties import Secret
from sandbox.providers.kubernetes.releases import chart_name
from tests.sandbox.kubernetes.engine import Engine, RefusedError, Resource, UnhealthyError, fresh, secret, urn

Kubectl = Callable[..., Any]
RELEASE = urn("helm.sh/v3:Release", "rook")


def _release(name: str, chart: str = "jobset", **more: Any) -> dict[str, Any]:
    return {"name": name, "chart": chart, "version": "v1.20.6", "namespace": "default", **more}


def test_a_release_is_recorded_without_its_values(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("release")
    made = engine.create(RELEASE, _release(name, values={"password": secret("hidden"), "open": 1}))
    assert made.id == f"default/{name}"
    assert made.outputs["status"]["status"] == "deployed"
    assert made.outputs["status"]["revision"] == 1
    assert isinstance(made.outputs["values"]["password"], Secret)
    record = kubectl("get", "configmap", f"sandbox-release.{name}", "-o", "json")
    assert record["data"] == {
        "chart": "jobset",
        "version": "v1.20.6",
        "revision": "1",
        "definitions": "permissive",
    }
    assert record["metadata"]["labels"] == {"sandbox.trainyard/release": name}
    engine.delete(made)


def test_a_chart_s_kinds_can_be_used_and_say_where_they_come_from(engine: Engine, kubectl: Kubectl) -> None:
    made = engine.create(RELEASE, _release(fresh("kinds"), "rook-ceph"))
    crd = kubectl("get", "crd", "cephclusters.ceph.rook.io", "-o", "json")
    assert crd["metadata"]["annotations"]["sandbox.trainyard/crd"] == "permissive"
    cluster = {
        "apiVersion": "ceph.rook.io/v1",
        "kind": "CephCluster",
        "metadata": {"name": fresh("ceph")},
        "spec": {"mon": {"count": 3}, "storage": {"storageClassDeviceSets": [{"name": "a"}]}},
    }
    custom = engine.create(urn("ceph.rook.io/v1:CephCluster"), cluster)
    assert custom.live["spec"]["mon"] == {"count": 3}
    assert not engine.diff(custom, cluster).changed
    engine.delete(custom)
    engine.delete(made)


def test_the_objects_of_a_known_chart_come_follow_its_values_and_go(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("rook")
    made = engine.create(RELEASE, _release(name, "rook-ceph"))
    operator = kubectl("get", "deployment", "rook-ceph-operator", "-o", "json")
    assert operator["status"]["readyReplicas"] == 1, "Helm waits for it"
    assert operator["spec"]["template"]["spec"]["containers"][0]["image"] == "docker.io/rook/ceph:v1.20.6"
    assert kubectl("get", "deployment", "ceph-csi-controller-manager", "-o", "json")
    tolerations = [{"key": "storage-node", "operator": "Exists"}]
    values = {"tolerations": tolerations, "csi": {"installCsiOperator": False}}
    updated = engine.update(made, _release(name, "rook-ceph", values=values))
    operator = kubectl("get", "deployment", "rook-ceph-operator", "-o", "json")
    assert tolerations[0] in operator["spec"]["template"]["spec"]["tolerations"]
    assert "ceph-csi-controller-manager" not in kubectl("get", "deployments", "-o", "name"), "no longer of the chart"
    engine.delete(updated)
    assert "rook-ceph-operator" not in kubectl("get", "deployments", "-o", "name")


def test_a_release_whose_pods_find_no_node_fails_and_keeps_its_state(engine: Engine, kubectl: Kubectl) -> None:
    inputs = _release(fresh("rook"), "rook-ceph", values={"nodeSelector": {"no": "such"}}, timeout=3)
    with pytest.raises(UnhealthyError, match="context deadline exceeded") as failed:
        engine.create(RELEASE, inputs)
    assert failed.value.state["status"]["status"] == "failed"
    assert any("rook-ceph-operator" in reason for reason in failed.value.reasons)
    record = kubectl("get", "configmap", f"sandbox-release.{inputs['name']}", "-o", "json")
    assert record["data"]["revision"] == "1"
    engine.delete(Resource(RELEASE, failed.value.id, inputs, failed.value.state))
    assert "rook-ceph-operator" not in kubectl("get", "deployments", "-o", "name")


def test_another_release_s_objects_are_not_taken_over(engine: Engine) -> None:
    made = engine.create(RELEASE, _release(fresh("first"), "rook-ceph"))
    with pytest.raises(RefusedError, match="exists and cannot be imported into the current release"):
        engine.create(RELEASE, _release(fresh("second"), "rook-ceph"))
    engine.delete(made)


def test_the_second_preview_of_a_release_is_empty(engine: Engine) -> None:
    inputs = _release(fresh("same"), values={"a": {"b": [1, 2]}})
    made = engine.create(RELEASE, inputs)
    assert not engine.diff(made, inputs).changed
    found, diff = engine.refresh(made)
    assert found is not None
    assert diff is not None
    assert not diff.changed
    engine.delete(made)


def test_changed_values_make_the_next_revision(engine: Engine) -> None:
    name = fresh("values")
    made = engine.create(RELEASE, _release(name, values={"a": 1}))
    new = _release(name, values={"a": 2})
    diff = engine.diff(made, new)
    assert diff.detail == {"values.a": "UPDATE"}
    assert diff.replaces == []
    updated = engine.update(made, new)
    assert updated.outputs["status"]["revision"] == 2
    assert engine.diff(updated, _release(fresh("renamed"), values={"a": 2})).replaces == ["name"]
    engine.delete(updated)


def test_a_release_that_somebody_removed_is_gone_in_a_refresh(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("removed")
    made = engine.create(RELEASE, _release(name))
    kubectl("delete", "configmap", f"sandbox-release.{name}")
    assert engine.read(made) is None


def test_a_name_in_use_is_refused_as_helm_does(engine: Engine) -> None:
    inputs = _release(fresh("taken"))
    made = engine.create(RELEASE, inputs)
    with pytest.raises(RefusedError, match="cannot re-use a name that is still in use"):
        engine.create(RELEASE, inputs)
    engine.delete(made)


def test_a_release_makes_its_namespace_where_asked(engine: Engine, kubectl: Kubectl) -> None:
    namespace = fresh("helm")
    inputs = {**_release("it"), "namespace": namespace}
    with pytest.raises(RefusedError, match=f'namespaces "{namespace}" not found'):
        engine.create(RELEASE, inputs)
    engine.create(RELEASE, {**inputs, "createNamespace": True})
    assert kubectl("get", "namespace", namespace, "-o", "json")["status"]["phase"] == "Active"


def test_an_unnamed_release_is_named_after_its_resource(engine: Engine) -> None:
    inputs = _release("")
    del inputs["name"]
    made = engine.create(RELEASE, inputs)
    assert made.outputs["name"].startswith("rook-")
    assert not engine.diff(made, inputs).changed
    engine.delete(made)


def test_a_chart_of_a_program_that_runs_for_real_comes_in_its_pinned_version_only(engine: Engine) -> None:
    with pytest.raises(RefusedError, match=r"chart kueue v1\.20\.6: the sandbox has 0\.16\.1 of it"):
        engine.create(RELEASE, _release(fresh("queue"), "kueue"))


def test_an_unknown_chart_is_recorded_and_said(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("unknown")
    made = engine.create(RELEASE, _release(name, "somebody-s-chart"))
    record = kubectl("get", "configmap", f"sandbox-release.{name}", "-o", "json")
    assert record["data"]["definitions"] == "unknown chart"
    assert any("knows of no custom resource definitions" in one for one in engine.messages.said)
    engine.delete(made)


def test_a_preview_leaves_what_comes_of_a_release_unknown(engine: Engine) -> None:
    outputs = engine.preview_create(RELEASE, _release(fresh("preview"), values={"later": UNKNOWN}))
    assert outputs["status"] is UNKNOWN
    assert outputs["resourceNames"] is UNKNOWN
    assert outputs["values"] == {"later": UNKNOWN}


@pytest.mark.parametrize(
    ("chart", "name"),
    [
        ("rook-ceph", "rook-ceph"),
        ("oci://registry.k8s.io/kueue/charts/kueue", "kueue"),
        ("./charts/rook-ceph-v1.20.6.tgz", "rook-ceph"),
        ("https://example.org/jobset-0.10.1.tgz", "jobset"),
        ("https://example.org/1.2.0/kadalu-helm-chart.tgz", "kadalu"),
    ],
)
def test_a_chart_is_known_by_its_own_name(chart: str, name: str) -> None:
    assert chart_name({"chart": chart}) == name


def test_own_schemas_are_preferred_where_they_are_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMODCACHE", str(tmp_path))
    permissive = definitions("jobset")
    assert permissive is not None
    assert permissive.source == "permissive"
    entry = table("charts.yaml")["jobset"]
    folder = tmp_path / entry["module"] / entry["folder"]
    folder.mkdir(parents=True)
    (folder / "queue.yaml").write_text(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b}\n"
        "spec: {group: b, conversion: {strategy: Webhook}}\n"
    )
    (folder / "kustomization.yaml").write_text("resources: [queue.yaml]\n")
    own = definitions("jobset")
    assert own is not None
    assert own.source == "schema"
    assert own.crds == [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "a.b", "annotations": {"sandbox.trainyard/crd": "schema"}},
            "spec": {"group": "b"},
        }
    ]


def test_the_user_s_folder_of_definitions_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    pool = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "kadalustorages.kadalu-operator.storage"},
        "spec": {"group": "kadalu-operator.storage", "names": {"kind": "KadaluStorage"}},
    }
    (deep / "crd.yml").write_text(yaml.safe_dump_all([{"kind": "Other"}, pool]))
    monkeypatch.setenv("SANDBOX_CRDS", str(tmp_path))
    found = definitions("kadalu")
    assert found is not None
    assert found.source == "schema"
    assert found.crds[0]["spec"] == pool["spec"]
    rook = definitions("rook-ceph")
    assert rook is not None
    assert rook.source == "permissive", "the folder has none of its kinds"


def test_some_schemas_of_a_chart_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "storageclusters.core.libopenstorage.org"
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name}}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**crd, "spec": {}}))
    monkeypatch.setenv("SANDBOX_CRDS", str(tmp_path))
    found = definitions("portworx")
    assert found is not None
    assert found.source == "schema for 1 of 2 kinds"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_CRDS", str(tmp_path / "no"))
    with pytest.raises(ValueError, match="there is no such folder"):
        definitions("kadalu")
