"""Promises that hold for every resource of every stack."""

from __future__ import annotations

from typing import Any

import pytest

from infra.platform import Platform
from tests.components.file_systems import SIZES, settings
from tests.components.recorder import Made, Recorder, record
from tests.components.stacks import environment, stack

WITHOUT_TAGS = {
    # Azure gives these no tags of their own.
    "azure-native:authorization:RoleAssignment",
    "azure-native:authorization:RoleDefinition",
    "azure-native:containerservice:MaintenanceConfiguration",
    "azure-native:managedidentity:FederatedIdentityCredential",
    "azure-native:network:PrivateDnsZoneGroup",
    "azure-native:network:VirtualNetworkPeering",
    "azure-native:storage:BlobContainer",
    "azure-native:storage:BlobServiceProperties",
    "azure-native:storage:FileServiceProperties",
    "azure-native:storage:FileShare",
}
STACKS: dict[str, dict[str, Any]] = {
    "deployment": {},
    "managed": {"autoscaler": {"mode": "managed"}},
    "private": {"cluster": {"private": True, "kubernetesVersion": "1.33"}},
    "no shares": {"storage": {"files": {"dynamic": False}}},
    **{backend: settings({"backend": backend, "sizeGib": size}) for backend, size in SIZES.items()},
    "queues and services": {
        "queues": {"enabled": True, "namespaces": ["default", "vision"]},
        "serve": {"chat": {"image": "registry/model:1", "maxReplicas": 4, "targetCpu": 70, "namespace": "vision"}},
        "gpuMetrics": {"prometheusUrl": "http://prometheus.monitoring.svc"},
    },
    "containers": {
        "storage": {
            "blob": {
                "dynamic": True,
                "containers": {"raw": {}, "tree": {"hierarchical": True}, "posix": {"protocol": "nfs"}},
            },
            "pachyderm": {"container": "raw"},
        }
    },
}


@pytest.fixture(params=sorted(STACKS), scope="module")
def platform(request: pytest.FixtureRequest) -> Recorder:
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**STACKS[request.param])))


def azure(recorder: Recorder) -> list[Made]:
    return [made for made in recorder.made if made.type.startswith("azure-native:")]


def test_every_azure_resource_that_can_carry_tags_says_whose_it_is(platform: Recorder) -> None:
    assert azure(platform)
    for made in azure(platform):
        if made.type not in WITHOUT_TAGS:
            tags = made.inputs.get("tags", {})
            assert tags.get("trainyard-stack") == "test", f"{made.type} {made.name} is not tagged"
            assert tags.get("team") == "vision", f"{made.type} {made.name} lost the stack file's own tags"


def test_every_resource_hangs_below_a_component_of_ours(platform: Recorder) -> None:
    for made in platform.made:
        if made.type not in {"trainyard:infra:Platform", "pulumi:pulumi:Stack"}:
            parent = made.parent.split("::")[2].rsplit("$", 1)[-1]
            assert parent.startswith("trainyard:"), f"{made.type} {made.name} hangs below {made.parent!r}"


def test_no_resource_declares_the_aliases_of_old_api_versions(platform: Recorder) -> None:
    assert {made.type: made.aliases for made in azure(platform) if made.aliases} == {}


def test_every_kubernetes_object_goes_through_the_cluster_s_own_provider(platform: Recorder) -> None:
    objects = [made for made in platform.made if made.type.startswith("kubernetes:")]
    assert objects
    for made in objects:
        assert "pulumi:providers:kubernetes::access" in made.provider, f"{made.type} {made.name}: {made.provider!r}"


def test_every_name_given_to_azure_is_the_same_in_every_run(platform: Recorder) -> None:
    for made in azure(platform):
        names = [key for key in made.inputs if key.lower().endswith("name") or key == "roleDefinitionId"]
        assert names, f"{made.type} {made.name} has no name of ours: an interrupted creation could not be found again"


def test_logical_names_are_unique_within_their_type(platform: Recorder) -> None:
    seen = [(made.type, made.name) for made in platform.made]
    assert len(seen) == len(set(seen))


def test_no_assignment_of_a_role_outlives_a_change_of_its_principal(platform: Recorder) -> None:
    for made in platform.of_type("azure-native:authorization:RoleAssignment"):
        assert made.delete_before_replace, f"{made.name}: Azure refuses a second assignment of the same GUID"
