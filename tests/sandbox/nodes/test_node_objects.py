"""What a machine is in Kubernetes."""

from __future__ import annotations

import itertools
from typing import Any

from sandbox.nodes.machines import Machine
from sandbox.nodes.node_objects import change_of, free_addresses, new_node
from tests.sandbox.nodes.builders import cluster, machine

Json = dict[str, Any]


def node(of: Machine) -> Json:
    """The Node a machine registered, as the API server holds it."""
    made = new_node(of, cluster(), "10.224.0.4")
    made["metadata"]["resourceVersion"] = "7"
    return made


def test_a_node_shows_what_the_machine_leaves_to_pods() -> None:
    status = node(machine())["status"]
    assert status["capacity"]["cpu"] == "24"
    assert status["allocatable"] == {
        "cpu": "23660m",
        "memory": "219021312Ki",
        "ephemeral-storage": "119703055Ki",
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "pods": "110",
    }


def test_a_node_has_no_gpus_by_itself() -> None:
    assert "nvidia.com/gpu" not in node(machine())["status"]["capacity"]


def test_a_node_carries_the_pools_taints_and_labels_and_its_provider_id() -> None:
    made = node(machine())
    assert made["spec"]["taints"] == [{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]
    assert made["spec"]["providerID"] == machine().provider_id
    labels = made["metadata"]["labels"]
    assert labels["trainyard/pool"] == "heavy"
    assert labels["node.kubernetes.io/instance-type"] == "Standard_NC24ads_A100_v4"
    assert labels["topology.kubernetes.io/zone"] == "westeurope-1"
    assert made["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.1"


def test_a_node_in_line_with_its_machine_is_left_alone() -> None:
    change = change_of(machine(), cluster(), node(machine()), {})
    assert change.metadata_and_spec is None
    assert change.status is None


def test_the_same_quantity_written_otherwise_is_no_change() -> None:
    present = node(machine())
    present["status"]["allocatable"]["cpu"] = "23.66"
    present["status"]["capacity"]["memory"] = "220Gi"
    assert change_of(machine(), cluster(), present, {}).status is None


def test_what_the_pool_drops_is_taken_off_and_what_others_put_on_stays() -> None:
    before = machine(labels={"a": "1", "b": "1"})
    present = node(before)
    present["metadata"]["labels"]["mine"] = "yes"
    present["spec"]["taints"].append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    patch = change_of(machine(labels={"a": "2"}, taints=[]), cluster(), present, {}).metadata_and_spec
    assert patch is not None
    assert patch["metadata"]["labels"] == {"a": "2", "b": None}
    assert patch["spec"]["taints"] == [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    assert patch["metadata"]["resourceVersion"] == "7", "the list is replaced whole: not over somebody else's change"


def test_a_pools_taint_removed_by_hand_is_put_back() -> None:
    present = node(machine())
    present["spec"]["taints"] = []
    patch = change_of(machine(), cluster(), present, {}).metadata_and_spec
    assert patch is not None
    assert [one["key"] for one in patch["spec"]["taints"]] == ["sku"]


def test_a_machine_being_deleted_is_cordoned_once() -> None:
    leaving = machine(state="deleting")
    present = node(leaving)
    patch = change_of(leaving, cluster(), present, {}).metadata_and_spec
    assert patch == {"spec": {"unschedulable": True}}
    present["spec"]["unschedulable"] = True
    assert change_of(leaving, cluster(), present, {}).metadata_and_spec is None


def test_devices_appear_in_capacity_and_allocatable() -> None:
    patch = change_of(machine(), cluster(), node(machine()), {"nvidia.com/gpu": 4}).status
    assert patch == {"status": {"capacity": {"nvidia.com/gpu": "4"}, "allocatable": {"nvidia.com/gpu": "4"}}}


def test_devices_of_a_plugin_that_has_gone_are_counted_but_not_handed_out() -> None:
    present = node(machine())
    present["status"]["capacity"]["nvidia.com/gpu"] = "4"
    present["status"]["allocatable"]["nvidia.com/gpu"] = "4"
    assert change_of(machine(), cluster(), present, {}).status == {"status": {"allocatable": {"nvidia.com/gpu": "0"}}}


def test_addresses_are_not_given_twice() -> None:
    taken = [node(machine())]
    assert list(itertools.islice(free_addresses(taken), 2)) == ["10.224.0.5", "10.224.0.6"]
