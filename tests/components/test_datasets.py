"""What the stack declares for uploads: rights no wider than its targets, and where each dataset lives."""

from __future__ import annotations

from typing import Any

import pytest

from components.datasets import source_output
from components.roles import STORAGE_BLOB_DATA_CONTRIBUTOR
from infra.platform import Platform
from stacks.storage_settings import Source
from tests.components.recorder import Recorder, record
from tests.components.stacks import SHARES, environment, stack

STORAGE: dict[str, Any] = {"files": {"shares": SHARES}, "blob": {"containers": ["raw", "other"]}}
DATASETS: dict[str, Any] = {
    "one": {"source": "./one", "target": {"container": "raw"}},
    "two": {"source": "az://acc/con/a/b/", "target": {"container": "raw", "path": "deep/two"}},
    "three": {"source": {"url": "https://x.org/a", "sha256": "0" * 64}, "target": {"share": "datasets", "path": ""}},
}


def platform(datasets: dict[str, Any]) -> tuple[Recorder, dict[str, Any]]:
    """What is registered, and the stack output."""
    outputs: dict[str, Any] = {}

    def build() -> None:
        made = Platform("trainyard", environment=environment(), settings=stack(storage=STORAGE, datasets=datasets))
        outputs.update(made.outputs)

    return record(build), outputs["datasets"]


@pytest.fixture(scope="module")
def made() -> tuple[Recorder, dict[str, Any]]:
    return platform(DATASETS)


def test_the_identity_may_write_each_target_container_and_nothing_else(made: tuple[Recorder, dict[str, Any]]) -> None:
    roles = [
        one
        for one in made[0].of_type("azure-native:authorization:RoleAssignment")
        if one.inputs["principalId"] == "principal-datasets"
    ]
    [role] = roles
    assert role.inputs["roleDefinitionId"].endswith(STORAGE_BLOB_DATA_CONTRIBUTOR)
    assert role.inputs["scope"].endswith("/blobServices/default/containers/raw")


def test_the_service_account_signs_in_as_that_identity_alone(made: tuple[Recorder, dict[str, Any]]) -> None:
    account = made[0].one("kubernetes:core/v1:ServiceAccount", "datasets").inputs
    assert account["metadata"]["annotations"] == {"azure.workload.identity/client-id": "client-datasets"}
    assert account["automountServiceAccountToken"] is False
    credential = made[0].one("azure-native:managedidentity:FederatedIdentityCredential", "datasets").inputs
    assert credential["subject"] == "system:serviceaccount:default:data-upload"
    assert credential["audiences"] == ["api://AzureADTokenExchange"]


def test_the_output_names_sources_and_targets_as_the_command_takes_them(made: tuple[Recorder, dict[str, Any]]) -> None:
    output = made[1]
    assert output["one"]["target"]["container"].endswith(".blob.core.windows.net/raw")
    assert output["one"]["target"]["path"] == "one", "the dataset's name, unless the stack names another folder"
    assert output["two"]["source"] == {"container": "https://acc.blob.core.windows.net/con", "path": "a/b"}
    assert output["three"]["target"] == {"claim": "datasets", "protocol": "nfs", "path": ""}


def test_a_stack_without_datasets_has_no_identity_for_them() -> None:
    recorder, output = platform({})
    assert output == {}
    assert not [one for one in recorder.made if "data-upload" in str(one.inputs)]


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ({"folder": "~/x"}, {"folder": "~/x"}),
        ({"container": "az://acc/con"}, {"container": "https://acc.blob.core.windows.net/con", "path": ""}),
    ],
)
def test_sources(source: dict[str, str], output: dict[str, str]) -> None:
    assert source_output(Source.model_validate(source)) == output
