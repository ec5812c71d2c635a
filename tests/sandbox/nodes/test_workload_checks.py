"""Which pods are judged, and how a verdict shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.home import REPOSITORY
from sandbox.nodes import kueue
from sandbox.nodes.addon_objects import addon_objects
from sandbox.nodes.objects import condition, text
from sandbox.nodes.pod_status import event, is_started, not_started, offered_devices, seconds_to_wait, started
from sandbox.nodes.quantities import cpu_quantity, parse_quantity
from sandbox.nodes.verdicts import cannot_start, crashes
from sandbox.nodes.workload_checks import CHECKS, HELD_IMAGES, is_held
from tests.sandbox.nodes.builders import cluster

Json = dict[str, Any]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "default", "uid": "0123456789ab"},
    "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]},
}


def with_status(patch: Json) -> Json:
    return {**POD, "status": patch["status"]}


def test_kwok_waits_for_exactly_the_images_that_are_judged_and_for_kueue() -> None:
    stages = list(yaml.safe_load_all((REPOSITORY / "sandbox" / "nodes" / "kwok.yaml").read_text()))
    [ready] = [one for one in stages if one.get("metadata", {}).get("name") == "pod-ready"]
    keys = [one["key"] for one in ready["spec"]["selector"]["matchExpressions"]]
    waits = f'test("{HELD_IMAGES.pattern}") or test("{kueue.IMAGE.pattern}")'
    assert any(waits in key for key in keys), "kwok.yaml and the code must say the same"
    [create] = [one for one in stages if one.get("metadata", {}).get("name") == "pod-create"]
    [patch] = create["spec"]["next"]["patches"]
    assert f'regexMatch "{HELD_IMAGES.pattern}|{kueue.IMAGE.pattern}" .image' in patch["template"]
    for check in CHECKS:
        assert HELD_IMAGES.search(f"registry.example/{check.repository}:v1"), check.repository


def test_every_stage_of_pods_patches_only_the_version_it_was_chosen_for() -> None:
    """Else a stage is played again on every copy from before its own patch, and each patch is one more event."""
    stages = list(yaml.safe_load_all((REPOSITORY / "sandbox" / "nodes" / "kwok.yaml").read_text()))
    changing = [one for one in stages if one["kind"] == "Stage" and "delete" not in one["spec"]["next"]]
    pods = [one for one in changing if one["spec"]["resourceRef"]["kind"] == "Pod"]
    assert len(pods) == 5
    for stage in pods:
        [patch] = stage["spec"]["next"]["patches"]
        assert "metadata: {resourceVersion: {{ .metadata.resourceVersion | Quote }}}" in patch["template"]


@pytest.mark.parametrize(
    ("image", "held"),
    [
        ("registry.k8s.io/autoscaling/cluster-autoscaler:v1.36.1", True),
        ("nvcr.io/nvidia/k8s-device-plugin@sha256:00", True),
        ("docker.io/rocm/k8s-device-plugin:1.31.0.9", True),
        ("nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3", True),
        ("mcr.microsoft.com/my-cluster-autoscaler-ui:1", False),
        ("nginx", False),
    ],
)
def test_pods_are_held_by_image(image: str, held: bool) -> None:
    assert is_held({"spec": {"containers": [{"name": "c", "image": image}]}}) is held


@pytest.mark.parametrize(
    ("image", "command", "judged"),
    [
        ("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", [], True),
        ("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", ["/usr/bin/nvidia-device-plugin"], True),
        ("nvcr.io/nvidia/k8s-device-plugin:v0.20.0", ["gpu-feature-discovery"], False),
        ("docker.io/rocm/k8s-device-plugin:labeller-1.31", [], False),
        ("mirror.example:5000/rocm/k8s-device-plugin:1.31.0.9", [], True),
    ],
)
def test_other_programs_of_a_judged_image_just_run(image: str, command: list[str], judged: bool) -> None:
    container = {"name": "c", "image": image, "command": command}
    assert any(check.concerns(container) for check in CHECKS) is judged


def test_a_started_pod_tells_its_devices() -> None:
    pod = with_status(started({"nvidia.com/gpu": 4}, NOW))
    assert is_started(pod)
    assert offered_devices(pod) == {"nvidia.com/gpu": 4}


def test_a_crash_shows_on_its_container_and_is_counted() -> None:
    pod = POD
    for count in (1, 2):
        pod = with_status(not_started(pod, POD["spec"]["containers"][0], crashes("unknown flag: --x"), NOW))
        first, second = pod["status"]["containerStatuses"]
        assert first["restartCount"] == count
        assert first["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        assert second["ready"]
    assert not is_started(pod)
    assert condition(pod, "Ready")["status"] == "False"
    assert offered_devices(pod) == {}


def test_a_container_that_cannot_start_is_no_restart() -> None:
    verdict = cannot_start("ContainerCreating", "no such configmap")
    pod = with_status(not_started(POD, POD["spec"]["containers"][0], verdict, NOW))
    assert pod["status"]["phase"] == "Pending"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def test_restarts_come_further_apart_and_count_from_the_last_end() -> None:
    pod = POD
    waits: list[float] = []
    for _ in range(6):
        pod = with_status(not_started(pod, POD["spec"]["containers"][0], crashes("no"), NOW))
        waits.append(seconds_to_wait(pod, NOW))
    assert waits == sorted(waits)
    assert waits[0] < waits[-1] <= 10
    assert seconds_to_wait(pod, NOW + timedelta(seconds=60)) <= 0


def test_the_same_event_has_the_same_name_and_another_message_another() -> None:
    def name(problem: str) -> str:
        return text(event(POD, POD["spec"]["containers"][0], crashes(problem), NOW), "metadata", "name")

    assert name("unknown flag: --x") == name("unknown flag: --x") != name("unknown flag: --y")


@pytest.mark.parametrize(
    ("written", "value"), [("500m", "0.5"), ("16Gi", "17179869184"), ("2e3", "2000"), ("110", "110")]
)
def test_quantities_are_read(written: str, value: str) -> None:
    assert parse_quantity(written) == parse_quantity(value)


def test_quantities_are_written_as_kubernetes_writes_them() -> None:
    assert [cpu_quantity(4000), cpu_quantity(3860)] == ["4", "3860m"]
    with pytest.raises(ValueError, match="is no quantity"):
        parse_quantity("much")


def test_aks_daemon_sets_tolerate_everything_and_follow_the_clusters_settings() -> None:
    made = addon_objects(cluster().addons, cilium=True, several_zones=False)
    daemon_sets = {one["metadata"]["name"]: one for one in made if one["kind"] == "DaemonSet"}
    assert {"cilium", "azure-cns", "csi-azuredisk-node", "csi-azurefile-node", "csi-blob-node"} <= set(daemon_sets)
    assert "kube-proxy" not in daemon_sets
    for one in daemon_sets.values():
        tolerations = one["spec"]["template"]["spec"]["tolerations"]
        assert {"operator": "Exists", "effect": "NoSchedule"} in tolerations


def test_storage_classes_are_zone_redundant_on_clusters_of_several_zones() -> None:
    def sku(several: bool, name: str) -> str:
        made = addon_objects(cluster().addons, cilium=True, several_zones=several)
        [found] = [one for one in made if one["kind"] == "StorageClass" and one["metadata"]["name"] == name]
        return found["parameters"]["skuname"]

    assert sku(False, "managed-csi-premium") == "Premium_LRS"
    assert sku(True, "managed-csi-premium") == "Premium_ZRS"


def test_the_data_files_say_where_they_come_from() -> None:
    folder = REPOSITORY / "sandbox" / "nodes" / "data"
    readme = (folder / "README.md").read_text()
    for file in Path(folder).glob("*.csv"):
        assert file.name in readme
