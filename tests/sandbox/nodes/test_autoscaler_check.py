"""How cluster-autoscaler's command line and settings are judged."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.nodes.autoscaler_check import azure_settings_problem, identity_problem, needed_permissions
from sandbox.nodes.autoscaler_flags import FlagError, check_flags, known_flags, parse_flags
from tests.sandbox.nodes.builders import NODE_GROUP, SUBSCRIPTION, cluster, cluster_document, fleet

Json = dict[str, Any]
GOOD = {
    "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
    "ARM_RESOURCE_GROUP": NODE_GROUP,
    "ARM_USE_WORKLOAD_IDENTITY_EXTENSION": "true",
}
LABELLED: Json = {
    "metadata": {"labels": {"azure.workload.identity/use": "true"}},
    "spec": {"serviceAccountName": "cluster-autoscaler"},
}
ANNOTATED: Json = {"metadata": {"annotations": {"azure.workload.identity/client-id": "an-id"}}}


def test_the_list_holds_all_flags_of_the_program() -> None:
    assert len(known_flags()) > 180
    assert known_flags()["scan-interval"] == "duration"
    assert "max-empty-bulk-delete" not in known_flags()


def test_flags_are_read_in_every_way_that_pflag_reads_them() -> None:
    found = parse_flags(["--scan-interval=10s", "--v", "4", "--balance-similar-node-groups", "-v=2", "--", "--what"])
    assert found == {"scan-interval": ["10s"], "v": ["4", "2"], "balance-similar-node-groups": ["true"]}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--max-empty-bulk-delete=10"], "unknown flag: --max-empty-bulk-delete"),
        (["--scan_intervall=10s"], "unknown flag: --scan_intervall"),
        (["-scan-interval=10s"], "unknown shorthand flag: 's'"),
        (["--scan-interval=10"], '"10" for "--scan-interval"'),
        (["--max-nodes-total=many"], '"many" for "--max-nodes-total"'),
        (["--skip-nodes-with-local-storage=no"], '"no" for "--skip-nodes-with-local-storage"'),
        (["--scale-down-utilization-threshold=half"], '"half" for "--scale-down-utilization-threshold"'),
        (["--scan-interval"], "flag needs an argument: --scan-interval"),
    ],
)
def test_a_command_line_the_program_refuses_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(FlagError) as error:
        parse_flags(arguments)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({}, "--cloud-provider is 'gce'"),
        ({"cloud-provider": ["azure"]}, "no node groups"),
        ({"cloud-provider": ["azure"], "expander": ["cheapest"]}, "expander cheapest not supported"),
        ({"cloud-provider": ["azure"], "nodes": ["5:1:pool"]}, "the minimum is above the maximum"),
        ({"cloud-provider": ["azure"], "node-group-auto-discovery": ["asg:tag=x"]}, "label:key=value"),
    ],
)
def test_values_the_program_refuses_at_start_are_refused(flags: dict[str, list[str]], said: str) -> None:
    with pytest.raises(FlagError) as error:
        check_flags(flags)
    assert said in str(error.value)


def test_good_settings_for_azure_pass() -> None:
    assert azure_settings_problem(GOOD, cluster()) is None
    lower = {**GOOD, "ARM_RESOURCE_GROUP": NODE_GROUP.lower()}
    assert azure_settings_problem(lower, cluster()) is None, "Azure's names are the same in any case"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ARM_SUBSCRIPTION_ID": ""}, "subscription ID not set"),
        ({"ARM_SUBSCRIPTION_ID": "another"}, "ARM_SUBSCRIPTION_ID is 'another'"),
        ({"ARM_RESOURCE_GROUP": ""}, "resource group not set"),
        ({"ARM_RESOURCE_GROUP": "platform"}, NODE_GROUP),
        ({"ARM_VM_TYPE": "vm"}, "unsupported VM type"),
        ({"ARM_USE_MANAGED_IDENTITY_EXTENSION": "true"}, "can not combine both"),
        ({"ARM_USE_WORKLOAD_IDENTITY_EXTENSION": "false"}, "no credentials provided"),
    ],
)
def test_bad_settings_for_azure_are_named(change: dict[str, str], said: str) -> None:
    assert said in str(azure_settings_problem({**GOOD, **change}, cluster()))


def test_workload_identity_needs_label_annotation_and_the_clusters_consent() -> None:
    assert identity_problem(LABELLED, ANNOTATED, GOOD, cluster()) is None
    unlabelled: Json = {**LABELLED, "metadata": {}}
    assert "azure.workload.identity/use" in str(identity_problem(unlabelled, ANNOTATED, GOOD, cluster()))
    assert "azure.workload.identity/client-id" in str(identity_problem(LABELLED, {}, GOOD, cluster()))
    assert "not found" in str(identity_problem(LABELLED, None, GOOD, cluster()))
    without = fleet(cluster=cluster_document(workloadIdentity=False)).cluster
    assert without is not None
    assert "switched off" in str(identity_problem(LABELLED, ANNOTATED, GOOD, without))


def test_the_rights_name_what_the_program_reads() -> None:
    wanted = {(one.verb, one.group, one.resource) for one in needed_permissions()}
    assert ("list", "", "nodes") in wanted
    assert ("create", "", "pods/eviction") in wanted
    assert ("update", "coordination.k8s.io", "leases") in wanted
