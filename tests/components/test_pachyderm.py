"""Pachyderm as it is declared: no password that anybody knows, a place for its database, a way to its container."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import yaml

from infra.platform import Platform
from tests.components.recorder import Made, Recorder, record
from tests.components.stacks import environment, stack

CPU: dict[str, Any] = {"cpu": {"class": "cpu", "max": 3}}
STORAGE: dict[str, Any] = {"store": {"class": "storage", "vmSize": "Standard_D4ds_v5", "min": 3, "max": 3}}
SECRET = "4dabf18193072939515e22adb298388d"


def platform(pools: dict[str, Any], **storage: Any) -> Recorder:
    wanted: dict[str, Any] = {
        "blob": {"containers": ["raw"]},
        "files": {"dynamic": False},
        "pachyderm": {"container": "raw", "databaseGib": 128},
        **storage,
    }
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(pools=pools, storage=wanted)))


@pytest.fixture(scope="module")
def made() -> Recorder:
    return platform({**CPU, **STORAGE})


def release(made: Recorder) -> Made:
    [one] = [one for one in made.of_type("kubernetes:helm.sh/v3:Release") if one.name == "pachyderm"]
    return one


def secrets(made: Recorder) -> dict[str, dict[str, str]]:
    found = {one.name: one for one in made.of_type("kubernetes:core/v1:Secret")}
    return {name: _plain(one.inputs["data"]) for name, one in found.items()}


def _plain(values: dict[str, Any]) -> dict[str, str]:
    assert SECRET in values, "a secret is not marked as one"
    return {key: base64.b64decode(value).decode() for key, value in values["value"].items()}


def test_the_chart_is_pinned_and_given_no_password_and_no_key(made: Recorder) -> None:
    inputs = release(made).inputs
    assert (inputs["chart"], inputs["version"]) == ("pachyderm", "2.11.6")
    values = inputs["values"]
    database = values["global"]["postgresql"]
    assert (database["postgresqlPassword"], database["postgresqlPostgresPassword"]) == ("", "")
    assert values["pachd"]["storage"]["microsoft"]["secret"] == ""
    assert values["oidc"]["mockIDP"] is False
    told = json.dumps(values)
    assert "insecure" not in told
    for held in secrets(made).values():
        for value in held.values():
            assert value not in told


def test_every_secret_that_the_chart_asks_for_by_name_has_the_keys_it_reads(made: Recorder) -> None:
    held = {one.inputs["metadata"]["name"]: set(_plain(one.inputs["data"])) for one in _secret_objects(made)}
    values = release(made).inputs["values"]
    database = values["global"]["postgresql"]
    assert database["postgresqlExistingSecretKey"] in held[database["postgresqlExistingSecretName"]]
    assert "root-token" in held[values["pachd"]["rootTokenSecretName"]]
    assert "pachd-oauth-client-secret" in held[values["pachd"]["oauthClientSecretSecretName"]]
    assert "OAUTH_CLIENT_SECRET" in held[values["console"]["config"]["oauthClientSecretSecretName"]]
    assert "enterprise-secret" in held[values["pachd"]["enterpriseSecretSecretName"]]
    assert "upstream-idps" in held[values["oidc"]["upstreamIDPsSecretName"]]


def _secret_objects(made: Recorder) -> list[Made]:
    return made.of_type("kubernetes:core/v1:Secret")


def test_secrets_are_long_differ_and_stay_as_they_first_were(made: Recorder) -> None:
    again = secrets(platform({**CPU, **STORAGE}))
    texts = [value for held in secrets(made).values() for value in held.values()]
    assert len(texts) == len(set(texts)) == 6
    assert all(len(one) >= 43 for one in texts)
    for name, held in secrets(made).items():
        assert all(again[name][key] != value for key, value in held.items()), f"{name} is the same in every stack"
    for one in _secret_objects(made):
        assert one.ignore_changes == ["data"], f"{one.name} would change at every deployment"


def test_who_logs_in_by_password_needs_a_random_one(made: Recorder) -> None:
    [connector] = yaml.safe_load(secrets(made)["pachyderm-access"]["upstream-idps"])
    assert len(connector["config"]["password"]) >= 43


def test_authentication_is_on_with_a_licence_and_said_to_be_off_without(made: Recorder) -> None:
    assert release(made).inputs["values"]["pachd"]["activateAuth"] is False
    licensed = platform({**CPU}, pachyderm={"container": "raw", "licenseSecret": "licence"})
    pachd = release(licensed).inputs["values"]["pachd"]
    assert (pachd["activateAuth"], pachd["enterpriseLicenseKeySecretName"]) == (True, "licence")


def test_other_namespaces_reach_it_only_where_they_are_labelled(made: Recorder) -> None:
    policy = made.one("kubernetes:networking.k8s.io/v1:NetworkPolicy", "pachyderm").inputs["spec"]
    assert policy["podSelector"] == {}
    [rule] = policy["ingress"]
    assert rule["from"] == [
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"trainyard/pachyderm": "client"}}},
    ]
    assert release(made).inputs["values"]["proxy"]["service"]["type"] == "ClusterIP"


def test_pachd_signs_in_to_azure_with_an_identity_that_may_use_one_container(made: Recorder) -> None:
    pachd = release(made).inputs["values"]["pachd"]
    assert pachd["podLabels"] == {"azure.workload.identity/use": "true"}
    annotations = {"azure.workload.identity/client-id": "client-pachyderm"}
    assert pachd["serviceAccount"]["additionalAnnotations"] == annotations
    assert pachd["worker"]["serviceAccount"]["additionalAnnotations"] == annotations
    role = made.one("azure-native:authorization:RoleAssignment", "pachyderm-container").inputs
    assert role["scope"] == "/id/blob-flat/blobServices/default/containers/raw"
    subjects = {
        one.inputs["subject"]
        for one in made.of_type("azure-native:managedidentity:FederatedIdentityCredential")
        if one.name.startswith("pachyderm")
    }
    assert subjects == {f"system:serviceaccount:pachyderm:{name}" for name in ("pachyderm", "pachyderm-worker")}


def test_the_database_runs_where_no_machine_scales_away(made: Recorder) -> None:
    pod = made.one("kubernetes:apps/v1:StatefulSet", "pachyderm-database").inputs["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"trainyard/class": "storage"}
    assert pod["tolerations"] == [{"key": "storage-node", "operator": "Equal", "value": "true", "effect": "NoSchedule"}]


def test_without_a_storage_pool_the_database_runs_on_a_cpu_pool_and_is_not_evicted() -> None:
    template = platform(CPU).one("kubernetes:apps/v1:StatefulSet", "pachyderm-database").inputs["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"trainyard/class": "cpu"}
    assert "tolerations" not in template["spec"] or template["spec"]["tolerations"] == []
    assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_the_database_s_image_is_pinned_and_its_disk_lies_with_the_data(made: Recorder) -> None:
    [container] = made.one("kubernetes:apps/v1:StatefulSet", "pachyderm-database").inputs["spec"]["template"]["spec"][
        "containers"
    ]
    assert container["image"].rpartition(":")[2] == "17.5-bookworm"
    disks = made.one("kubernetes:storage.k8s.io/v1:StorageClass", "pachyderm-database").inputs
    assert disks["parameters"]["resourceGroup"] == "rg-trainyard-test-westeurope-data"
    assert disks["reclaimPolicy"] == "Retain"
    assert release(made).inputs["values"]["etcd"]["storageClass"] == disks["metadata"]["name"]


def test_the_database_s_disk_goes_where_data_may_be_deleted() -> None:
    made = platform(CPU, deleteData=True)
    assert (
        made.one("kubernetes:storage.k8s.io/v1:StorageClass", "pachyderm-database").inputs["reclaimPolicy"] == "Delete"
    )
