"""The self-hosted autoscaler, and that there is never more than one."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from components import autoscaler_flags as flags
from components.autoscaler_rights import CLUSTER_RULES, NAMESPACE_RULES, NODE_GROUP_ACTIONS, SUBNET_ACTIONS
from infra.platform import Platform
from stacks.settings import Autoscaler
from tests.components.recorder import SUBSCRIPTION, Recorder, record
from tests.components.stacks import environment, stack

KNOWN_FLAGS = Path(__file__).parents[2] / "sandbox" / "nodes" / "data" / "cluster_autoscaler_flags.csv"


def platform(**changes: Any) -> Recorder:
    return record(lambda: Platform("trainyard", environment=environment(), settings=stack(**changes)))


@pytest.mark.parametrize("profile", ["batch", "bursty"])
@pytest.mark.parametrize("expander", ["priority", "least-waste"])
def test_every_flag_is_one_that_the_program_knows(profile: str, expander: str) -> None:
    rows = [line for line in KNOWN_FLAGS.read_text().splitlines() if not line.startswith("#")]
    known = {row["flag"] for row in csv.DictReader(rows)}
    given = flags.arguments(Autoscaler.model_validate({"profile": profile, "expander": expander}), "cluster")
    for argument in given:
        assert argument.removeprefix("--").split("=")[0] in known, argument


def test_batch_never_removes_a_node_with_a_job_on_it() -> None:
    given = flags.arguments(Autoscaler(profile="batch"), "cluster")
    assert "--scale-down-utilization-threshold=0" in given
    assert "--scale-down-gpu-utilization-threshold=0" in given


def test_a_kubernetes_version_without_a_known_autoscaler_is_an_error_that_names_the_others() -> None:
    with pytest.raises(ValueError, match=r"1\.20.*known: 1\.33"):
        flags.image("1.20")


def test_a_patch_version_takes_its_minor_s_autoscaler() -> None:
    assert flags.image("1.36.2") == flags.image("1.36")


def test_priorities_name_every_pool_whatever_its_hash_and_end_with_everything() -> None:
    found = yaml.safe_load(
        flags.priorities(
            stack(
                pools={
                    "spot": {"class": "heavy-gpu", "max": 4, "spot": True, "priority": 90},
                    "heavy": {"class": "heavy-gpu", "max": 4},
                }
            ).pools
        )
    )
    assert list(found) == [90, 50, 0]
    assert found[0] == [".*"]
    assert re.match(found[90][0], "aks-spotx1y2z-12345678-vmss")
    assert not re.match(found[50][0], "aks-spotx1y2z-12345678-vmss")
    assert not re.match(found[50][0], "aks-heavy2x1y2z-12345678-vmss"), "another pool's name begins alike"


def test_in_deployment_mode_aks_s_own_autoscaler_is_off_everywhere() -> None:
    made = platform()
    for pool in made.of_type("azure-native:containerservice:AgentPool"):
        assert pool.inputs["enableAutoScaling"] is False
        assert pool.inputs["tags"]["cluster-autoscaler-enabled"] == "true"
        assert "minCount" not in pool.inputs
    [cluster] = made.of_type("azure-native:containerservice:ManagedCluster")
    assert "autoScalerProfile" not in cluster.inputs


def test_in_managed_mode_there_is_no_autoscaler_of_our_own_and_no_tag_it_would_find() -> None:
    made = platform(autoscaler={"mode": "managed"})
    assert made.of_type("trainyard:components:Autoscaler") == []
    pools = made.of_type("azure-native:containerservice:AgentPool")
    assert [pool.inputs["enableAutoScaling"] for pool in pools] == [True] * 4
    assert not any("cluster-autoscaler-enabled" in pool.inputs["tags"] for pool in pools)
    assert {pool.name: (pool.inputs["minCount"], pool.inputs["maxCount"]) for pool in pools}["serve"] == (1, 4)
    [cluster] = made.of_type("azure-native:containerservice:ManagedCluster")
    assert cluster.inputs["autoScalerProfile"]["expander"] == "priority"


def test_automatic_upgrades_are_off_in_deployment_mode_and_in_a_window_in_managed_mode() -> None:
    def channels(**changes: Any) -> Any:
        return (
            platform(**changes)
            .one("azure-native:containerservice:ManagedCluster", "cluster")
            .inputs["autoUpgradeProfile"]
        )

    assert channels() == {"upgradeChannel": "none", "nodeOSUpgradeChannel": "None"}
    assert channels(autoscaler={"mode": "managed"}) == {"upgradeChannel": "patch", "nodeOSUpgradeChannel": "NodeImage"}


def test_its_rights_name_every_verb_resource_and_action() -> None:
    for rule in (*CLUSTER_RULES, *NAMESPACE_RULES):
        assert "*" not in [*rule.verbs, *rule.resources, rule.group]
    assert not any("*" in action for action in (*NODE_GROUP_ACTIONS, *SUBNET_ACTIONS))


def test_its_azure_role_reaches_the_node_resource_group_and_one_subnet_only() -> None:
    made = platform()
    scopes = {
        one.name: one.inputs["scope"]
        for one in made.of_type("azure-native:authorization:RoleAssignment")
        if one.name.startswith("autoscaler-")
    }
    assert scopes == {
        "autoscaler-scales": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-trainyard-test-westeurope-nodes",
        "autoscaler-joins-node-subnet": "/id/network/subnets/nodes",
    }


def test_it_signs_in_as_its_service_account_and_with_no_secret() -> None:
    made = platform()
    credential = made.one("azure-native:managedidentity:FederatedIdentityCredential", "autoscaler").inputs
    assert credential["subject"] == "system:serviceaccount:kube-system:cluster-autoscaler"
    assert credential["issuer"] == "https://issuer.example/"
    account = made.one("kubernetes:core/v1:ServiceAccount", "autoscaler").inputs
    assert account["metadata"]["annotations"]["azure.workload.identity/client-id"] == "client-autoscaler"
    pod = made.one("kubernetes:apps/v1:Deployment", "autoscaler").inputs["spec"]["template"]
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    names = {variable["name"] for variable in pod["spec"]["containers"][0]["env"]}
    assert not any("SECRET" in name or "PASSWORD" in name for name in names)
