"""Queues, the protection of running jobs, and services, as they are declared."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from components.autoscaler_rights import CLUSTER_RULES
from components.job_protection import SAFE_TO_EVICT
from components.queues import CHECK, VERSION
from infra.platform import Platform
from tests.components.recorder import Made, Recorder, record
from tests.components.stacks import environment, stack

_KUEUE = "kubernetes:kueue.x-k8s.io/v1beta2:"
_SERVICE = {"image": "registry/model:1", "maxReplicas": 4, "targetCpu": 70, "gpu": 1}


def platform(**changes: Any) -> Recorder:
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))


@pytest.fixture(scope="module")
def queued() -> Recorder:
    return platform(
        queues={"enabled": True, "namespaces": ["default", "vision"]},
        serve={"chat": _SERVICE, "look": {**_SERVICE, "targetGpu": 60, "namespace": "vision"}},
        gpuMetrics={"prometheusUrl": "http://prometheus.monitoring.svc"},
    )


@pytest.fixture(scope="module")
def plain() -> Recorder:
    return platform(cluster={"kubernetesVersion": "1.35"})


def named(recorder: Recorder, token: str) -> dict[str, Made]:
    return {made.inputs["metadata"]["name"]: made for made in recorder.of_type(token)}


def arguments(recorder: Recorder) -> list[str]:
    deployment = recorder.one("kubernetes:apps/v1:Deployment", "autoscaler")
    return deployment.inputs["spec"]["template"]["spec"]["containers"][0]["args"]


def test_a_class_has_a_queue_with_its_pools_quota_and_one_for_gangs_that_borrows_all_of_it(queued: Recorder) -> None:
    queues = named(queued, f"{_KUEUE}ClusterQueue")
    classes = {"cpu", "light-gpu", "heavy-gpu"}
    assert set(queues) == classes | {f"{one}-gang" for one in classes}
    for name in classes:
        own, gang = queues[name].inputs["spec"], queues[f"{name}-gang"].inputs["spec"]
        assert own["cohortName"] == gang["cohortName"] == name
        quotas = [one["nominalQuota"] for one in gang["resourceGroups"][0]["flavors"][0]["resources"]]
        assert set(quotas) == {"0"}
        assert [one["name"] for one in gang["admissionChecksStrategy"]["admissionChecks"]] == [CHECK]
        assert "admissionChecksStrategy" not in own
    heavy = queues["heavy-gpu"].inputs["spec"]["resourceGroups"][0]["flavors"][0]["resources"]
    assert {"name": "nvidia.com/gpu", "nominalQuota": "4"} in heavy


def test_no_running_job_is_preempted_for_a_waiting_one(queued: Recorder) -> None:
    for made in queued.of_type(f"{_KUEUE}ClusterQueue"):
        preemption = made.inputs["spec"]["preemption"]
        assert preemption["withinClusterQueue"] == preemption["reclaimWithinCohort"] == "Never"
        assert preemption["borrowWithinCohort"] == {"policy": "Never"}


def test_a_flavour_sends_jobs_to_training_machines_of_its_class_and_tolerates_their_taints(queued: Recorder) -> None:
    flavor = named(queued, f"{_KUEUE}ResourceFlavor")["heavy-gpu"].inputs["spec"]
    assert flavor["nodeLabels"] == {"trainyard/class": "heavy-gpu", "trainyard/role": "train"}
    assert {one["key"] for one in flavor["tolerations"]} == {"sku", "kubernetes.azure.com/scalesetpriority"}


def test_each_namespace_has_every_queue(queued: Recorder) -> None:
    local = queued.of_type(f"{_KUEUE}LocalQueue")
    places = {(made.inputs["metadata"]["namespace"], made.inputs["metadata"]["name"]) for made in local}
    queues = named(queued, f"{_KUEUE}ClusterQueue")
    assert places == {(namespace, queue) for namespace in ("default", "vision") for queue in queues}


def test_where_the_cluster_goes_no_job_in_a_queue_keeps_it(queued: Recorder) -> None:
    release = queued.one("kubernetes:helm.sh/v3:Release", "queues")
    of_queues = [one for one in queued.made if one.parent == release.parent]
    assert len(of_queues) > 10
    for one in of_queues:
        assert one.deleted_with.endswith("azure-native:containerservice:ManagedCluster::cluster"), one.name


def test_kueue_runs_on_the_system_pool_in_a_released_version(queued: Recorder) -> None:
    values = queued.one("kubernetes:helm.sh/v3:Release", "queues").inputs["values"]
    manager = values["controllerManager"]
    assert manager["nodeSelector"] == {"kubernetes.azure.com/mode": "system"}
    assert manager["manager"]["image"]["tag"] == f"v{VERSION}"
    assert yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"])["kind"] == "Configuration"


def test_kueue_is_asked_before_jobs_of_its_namespaces_only(queued: Recorder) -> None:
    values = queued.one("kubernetes:helm.sh/v3:Release", "queues").inputs["values"]
    config = yaml.safe_load(values["managerConfig"]["controllerManagerConfigYaml"])
    [selects] = config["managedJobsNamespaceSelector"]["matchExpressions"]
    assert selects == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["default", "vision"]}


def test_the_autoscaler_serves_requests_for_gangs_and_may_answer_them(queued: Recorder) -> None:
    assert "--enable-provisioning-requests=true" in arguments(queued)
    queued.one("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition", "provisioning-requests")
    verbs = {verb for rule in CLUSTER_RULES if "provisioningrequests" in rule.resources for verb in rule.verbs}
    assert verbs >= {"get", "list", "watch", "delete"}


def test_without_queues_nothing_of_them_is_there(plain: Recorder) -> None:
    assert not [made for made in plain.made if "kueue" in made.type or made.name == "provisioning-requests"]
    assert not [one for one in arguments(plain) if "provisioning" in one]


def test_before_policies_of_the_server_a_budget_keeps_jobs_where_they_are(plain: Recorder) -> None:
    budget = plain.one("kubernetes:policy/v1:PodDisruptionBudget", "job-protection-default").inputs["spec"]
    assert budget["minAvailable"] == 2**31 - 1
    [selects] = budget["selector"]["matchExpressions"]
    assert selects == {"key": "batch.kubernetes.io/job-name", "operator": "Exists"}


def test_from_136_on_the_server_marks_pods_of_jobs(queued: Recorder) -> None:
    token = "kubernetes:admissionregistration.k8s.io/v1:MutatingAdmissionPolicy"
    [mutation] = queued.one(token, "job-protection").inputs["spec"]["mutations"]
    assert SAFE_TO_EVICT in mutation["applyConfiguration"]["expression"]
    queued.one(f"{token}Binding", "job-protection")


def test_a_bursty_stack_leaves_jobs_to_their_authors() -> None:
    made = platform(autoscaler={"profile": "bursty"})
    assert not [one for one in made.made if "job-protection" in one.name]


def test_a_service_runs_on_serve_machines_only_with_a_gpu_and_probes(queued: Recorder) -> None:
    pod = queued.one("kubernetes:apps/v1:Deployment", "serve-chat").inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"trainyard/role": "serve"}
    assert [one["key"] for one in pod["tolerations"]] == ["sku"]
    [container] = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)


def test_the_replicas_are_the_hpa_s_alone(queued: Recorder) -> None:
    deployment = queued.one("kubernetes:apps/v1:Deployment", "serve-chat")
    assert "replicas" not in deployment.inputs["spec"]
    hpa = queued.one("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "serve-chat").inputs["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (1, 4)
    assert hpa["metrics"][0]["resource"]["target"]["averageUtilization"] == 70


def test_a_service_scales_by_its_gpu_where_somebody_measures_it(queued: Recorder) -> None:
    hpa = queued.one("kubernetes:autoscaling/v2:HorizontalPodAutoscaler", "serve-look").inputs["spec"]
    assert hpa["metrics"][1]["pods"]["metric"]["name"] == "dcgm_gpu_utilization"
    adapter = queued.one("kubernetes:helm.sh/v3:Release", "serve-prometheus-adapter").inputs["values"]
    assert adapter["prometheus"]["url"] == "http://prometheus.monitoring.svc"
    assert [one["name"]["as"] for one in adapter["rules"]["custom"]] == ["dcgm_gpu_utilization"]
