"""One object's way: create, second preview, update, drift, refresh, delete."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.home import Home
from sandbox.providers.kubernetes.objects import UNKNOWN
from sandbox.providers.kubernetes.properties import Secret
from tests.sandbox.kubernetes.engine import (
    CONFIG_MAP,
    DEPLOYMENT,
    Engine,
    RefusedError,
    config_map,
    deployment,
    fresh,
    secret,
    urn,
)

Kubectl = Callable[..., Any]


def test_an_object_is_created_with_its_fields_and_deleted(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("plain")
    made = engine.create(CONFIG_MAP, config_map(name, {"a": "1"}))
    assert made.id == f"default/{name}"
    assert kubectl("get", "configmap", name, "-o", "json")["data"] == {"a": "1"}
    engine.delete(made)
    with pytest.raises(RuntimeError, match="NotFound"):
        kubectl("get", "configmap", name)


def test_the_second_preview_is_empty(engine: Engine) -> None:
    inputs = config_map(fresh("twice"), {"a": "1"})
    made = engine.create(CONFIG_MAP, inputs)
    diff = engine.diff(made, inputs)
    assert not diff.changed
    assert diff.detail == {}


def test_a_name_is_chosen_once(engine: Engine) -> None:
    made = engine.create(CONFIG_MAP, config_map(None, {"a": "1"}))
    assert re.fullmatch(r"it-[0-9a-f]{8}", made.name)
    assert made.live["metadata"]["annotations"]["pulumi.com/autonamed"] == "true"
    assert not engine.diff(made, config_map(None, {"a": "1"})).changed


def test_the_outputs_are_the_live_object_and_what_the_provider_needs_later(engine: Engine) -> None:
    made = engine.create(CONFIG_MAP, config_map(fresh("outputs"), {"a": "1"}))
    assert made.live["metadata"]["uid"]
    assert made.outputs["__initialApiVersion"] == "v1"
    assert re.fullmatch(r"pulumi-kubernetes-[0-9a-f]{8}", made.outputs["__fieldManager"])
    assert made.outputs["__inputs"] == made.inputs


def test_a_changed_field_is_updated_in_place(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("changed")
    made = engine.create(DEPLOYMENT, deployment(name))
    new = deployment(name, replicas=2)
    diff = engine.diff(made, new)
    assert diff.detail == {"spec.replicas": "UPDATE"}
    assert diff.replaces == []
    updated = engine.update(made, new)
    live = kubectl("get", "deployment", name, "-o", "json")
    assert live["spec"]["replicas"] == 2
    assert live["status"]["availableReplicas"] == 2
    assert not engine.diff(updated, new).changed
    engine.delete(updated)


def test_a_field_taken_out_of_the_program_goes(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("removed")
    made = engine.create(CONFIG_MAP, config_map(name, {"a": "1"}, labels={"keep": "1", "drop": "1"}))
    new = config_map(name, {"a": "1"}, labels={"keep": "1"})
    assert engine.diff(made, new).detail == {"metadata.labels.drop": "DELETE"}
    updated = engine.update(made, new)
    assert kubectl("get", "configmap", name, "-o", "json")["metadata"]["labels"] == {"keep": "1"}
    assert not engine.diff(updated, new).changed


def test_quantities_in_another_spelling_are_no_change(engine: Engine) -> None:
    inputs = deployment(fresh("quantities"))
    limits = {"cpu": "0.5", "memory": "1024Mi"}
    inputs["spec"]["template"]["spec"]["containers"][0]["resources"] = {"limits": limits, "requests": {"cpu": 0.25}}
    made = engine.create(DEPLOYMENT, inputs)
    assert made.live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "1Gi"
    assert not engine.diff(made, inputs).changed
    engine.delete(made)


def test_empty_values_that_the_server_leaves_out_are_no_change(engine: Engine) -> None:
    inputs = deployment(fresh("empty"))
    inputs["spec"]["template"]["spec"] |= {"hostNetwork": False, "nodeSelector": {}}
    inputs["spec"]["template"]["spec"]["containers"][0] |= {"args": [], "env": [], "resources": {}}
    made = engine.create(DEPLOYMENT, inputs)
    assert not engine.diff(made, inputs).changed
    engine.delete(made)


def test_drift_shows_in_a_refresh_and_is_repaired(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("drift")
    inputs = config_map(name, {"a": "1"}, labels={"team": "a"})
    made = engine.create(CONFIG_MAP, inputs)
    kubectl("label", "configmap", name, "team=b", "--overwrite")
    found, diff = engine.refresh(made)
    assert found is not None
    assert diff is not None
    assert diff.detail == {"metadata.labels.team": "UPDATE"}
    assert found.inputs["metadata"]["labels"] == {"team": "b"}
    assert engine.diff(found, inputs).changed
    repaired = engine.update(found, inputs)
    assert kubectl("get", "configmap", name, "-o", "json")["metadata"]["labels"] == {"team": "a"}
    assert not engine.diff(repaired, inputs).changed


def test_what_others_add_is_no_drift(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("added")
    made = engine.create(CONFIG_MAP, config_map(name, {"a": "1"}))
    kubectl("annotate", "configmap", name, "other=1")
    _, diff = engine.refresh(made)
    assert diff is not None
    assert not diff.changed


def test_a_refresh_after_a_changed_status_is_empty(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("status")
    made = engine.create(DEPLOYMENT, deployment(name))
    kubectl("delete", "pod", "-l", f"app={name}", "--wait=true")
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
    found, diff = engine.refresh(made)
    assert found is not None
    assert diff is not None
    assert found.live["metadata"]["resourceVersion"] != made.live["metadata"]["resourceVersion"]
    assert not diff.changed
    assert found.inputs == made.inputs
    engine.delete(made)


def test_a_deleted_object_is_gone_in_a_refresh(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("gone")
    made = engine.create(CONFIG_MAP, config_map(name, {}))
    kubectl("delete", "configmap", name)
    assert engine.read(made) is None
    engine.delete(made)


def test_an_import_reads_the_whole_object_as_inputs(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("import")
    kubectl("create", "configmap", name, "--from-literal=a=1")
    made = engine.create(CONFIG_MAP, config_map(fresh("other"), {}))
    made.id, made.inputs, made.outputs = f"default/{name}", {}, {}
    found = engine.read(made)
    assert found is not None
    assert found.inputs == config_map(name, {"a": "1"}, namespace="default")
    assert not engine.diff(found, config_map(name, {"a": "1"})).changed


def test_a_misspelt_field_is_refused_in_preview_and_in_create(engine: Engine) -> None:
    wrong = deployment(fresh("misspelt"))
    wrong["spec"]["replica"] = 2
    with pytest.raises(RefusedError, match=r'unknown field "spec\.replica"'):
        engine.preview_create(DEPLOYMENT, wrong)
    with pytest.raises(RefusedError, match=r'unknown field "spec\.replica"'):
        engine.create(DEPLOYMENT, wrong)


def test_a_misspelt_field_is_refused_in_an_update(engine: Engine) -> None:
    name = fresh("misspelt")
    made = engine.create(CONFIG_MAP, config_map(name, {"a": "1"}))
    wrong = {**config_map(name, {"a": "1"}), "dta": {"b": "2"}}
    with pytest.raises(RefusedError, match="dta"):
        engine.update(made, wrong, preview=True)


def test_a_preview_changes_nothing_and_shows_what_the_server_would_make(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("preview")
    outputs = engine.preview_create(DEPLOYMENT, deployment(name))
    assert outputs["spec"]["strategy"]["type"] == "RollingUpdate"
    assert "status" not in outputs
    with pytest.raises(RuntimeError, match="NotFound"):
        kubectl("get", "deployment", name)


def test_a_preview_with_unknown_values_gives_the_inputs_back(engine: Engine) -> None:
    outputs = engine.preview_create(CONFIG_MAP, config_map(fresh("unknown"), {"a": UNKNOWN}))
    assert outputs["data"] == {"a": UNKNOWN}
    assert "uid" not in outputs["metadata"]


def test_an_unknown_value_is_a_change(engine: Engine) -> None:
    name = fresh("unknown")
    made = engine.create(DEPLOYMENT, deployment(name))
    new = deployment(name)
    new["spec"]["template"]["spec"]["containers"][0]["image"] = UNKNOWN
    assert engine.diff(made, new).detail == {"spec.template.spec.containers[0].image": "UPDATE"}
    engine.delete(made)


def test_a_preview_in_a_namespace_that_is_yet_to_come_gives_the_inputs_back(engine: Engine) -> None:
    outputs = engine.preview_create(CONFIG_MAP, config_map("a", {"a": "1"}, namespace=fresh("nowhere")))
    assert outputs["data"] == {"a": "1"}


def test_creating_over_an_existing_object_is_refused(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("exists")
    kubectl("create", "configmap", name, "--from-literal=theirs=1")
    with pytest.raises(RefusedError, match="upsertExistingObjects"):
        engine.create(CONFIG_MAP, config_map(name, {"ours": "1"}))
    assert kubectl("get", "configmap", name, "-o", "json")["data"] == {"theirs": "1"}


def test_creating_over_an_existing_object_updates_it_where_upserts_are_on(
    attach: Callable[[], Engine], plane: Home, kubectl: Kubectl
) -> None:
    engine = attach()
    engine.configure(kubeconfig=plane.admin_kubeconfig.read_text(), upsertExistingObjects="true")
    name = fresh("upsert")
    kubectl("create", "configmap", name, "--from-literal=theirs=1")
    made = engine.create(CONFIG_MAP, config_map(name, {"ours": "1"}))
    assert made.live["data"] == {"theirs": "1", "ours": "1"}


def test_a_conflict_says_who_owns_the_field_and_what_to_do(
    attach: Callable[[], Engine], plane: Home, engine: Engine, kubectl: Kubectl
) -> None:
    name = fresh("conflict")
    inputs = config_map(name, {"a": "1"}, labels={"team": "a"})
    made = engine.update(engine.create(CONFIG_MAP, inputs), inputs)
    other = json.dumps(config_map(name, {}, labels={"team": "b"}))
    kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=rival", "-f", "-", stdin=other)
    changed = config_map(name, {"a": "1"}, labels={"team": "c"})
    with pytest.raises(Exception, match=r'(?s)conflict with "rival".*patchForce'):
        engine.update(made, changed)
    force = attach()
    force.configure(kubeconfig=plane.admin_kubeconfig.read_text(), enablePatchForce="true")
    assert force.update(made, changed).live["metadata"]["labels"] == {"team": "c"}


def test_an_ignored_field_keeps_what_others_made_of_it(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("ignored")
    made = engine.create(DEPLOYMENT, deployment(name, replicas=1))
    kubectl("scale", f"deployment/{name}", "--replicas=3")
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=180s")
    found = engine.read(made)
    assert found is not None
    new = deployment(name, replicas=1, labels={"changed": "yes"})
    assert engine.diff(found, new, ignore=("spec.replicas",)).detail == {"metadata.labels": "ADD"}
    engine.update(found, new, ignore=("spec.replicas",))
    live = kubectl("get", "deployment", name, "-o", "json")
    assert live["spec"]["replicas"] == 3
    assert live["metadata"]["labels"] == {"changed": "yes"}
    engine.delete(made)


def test_a_secret_s_data_are_secret_however_they_came(engine: Engine) -> None:
    inputs = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": fresh("s")}, "stringData": {"key": "value"}}
    made = engine.create(urn("core/v1:Secret"), inputs)
    assert isinstance(made.inputs["data"], Secret)
    assert isinstance(made.outputs["data"], Secret)
    assert isinstance(made.outputs["__inputs"]["data"], Secret)
    assert made.live["data"] == {"key": "dmFsdWU="}
    assert not engine.diff(made, inputs).changed


def test_a_secret_input_stays_secret_in_the_outputs(engine: Engine) -> None:
    made = engine.create(CONFIG_MAP, config_map(fresh("secret"), {"a": secret("hidden"), "b": "open"}))
    assert isinstance(made.outputs["data"]["a"], Secret)
    assert made.outputs["data"]["b"] == "open"
    found = engine.read(made)
    assert found is not None
    assert isinstance(found.inputs["data"]["a"], Secret)
    assert isinstance(found.outputs["data"]["a"], Secret)


def test_an_object_of_another_kind_than_its_type_is_refused(engine: Engine) -> None:
    with pytest.raises(RefusedError, match="says it is v1/ConfigMap"):
        engine.check(urn("core/v1:Secret"), config_map("x", {}))


def test_a_list_is_refused(engine: Engine) -> None:
    with pytest.raises(RefusedError, match="cannot be created directly"):
        engine.check(urn("core/v1:ConfigMapList"), {"apiVersion": "v1", "kind": "ConfigMapList", "items": []})


def test_a_patch_owns_its_fields_only_and_gives_them_up(engine: Engine, kubectl: Kubectl) -> None:
    name = fresh("patched")
    kubectl("create", "configmap", name, "--from-literal=theirs=1")
    patch = engine.create(urn("core/v1:ConfigMapPatch"), config_map(name, {"ours": "1"}))
    assert kubectl("get", "configmap", name, "-o", "json")["data"] == {"theirs": "1", "ours": "1"}
    engine.delete(patch)
    assert kubectl("get", "configmap", name, "-o", "json")["data"] == {"theirs": "1"}
