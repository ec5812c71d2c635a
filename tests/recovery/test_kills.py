"""Deployments killed in the middle of a creation, with the real engine, and what the recovery makes of them."""

from __future__ import annotations

import os
import signal

import pytest

from tests.sandbox.azure_native.workbench import PATIENCE, Workbench, kill_engine

pytestmark = pytest.mark.control_plane

VNET = "/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet"
PROGRAM = """
rg = resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope", tags=TAGS)
vnet = network.VirtualNetwork("vnet", resource_group_name=rg.name, virtual_network_name="vnet", tags=TAGS,
    address_space={"address_prefixes": ["10.0.0.0/16"]})
nodes = network.Subnet("nodes", resource_group_name=rg.name, virtual_network_name=vnet.name, subnet_name="nodes",
    address_prefix="10.0.0.0/20")
"""


def _settles(bench: Workbench) -> None:
    bench.pulumi("up", "--yes", "--skip-preview", "--refresh")
    bench.pulumi("preview", "--expect-no-changes")
    assert [subnet["name"] for subnet in bench.arm("GET", VNET).json()["properties"]["subnets"]] == ["nodes"]
    types = [one["type"] for one in bench.state()["resources"]]
    assert types.count("azure-native:network:VirtualNetwork") == 1


def _types(bench: Workbench) -> set[str]:
    return {one["type"] for one in bench.state().get("resources", [])}


def test_an_engine_killed_in_a_creation_is_mended_and_the_deployment_goes_on(bench: Workbench) -> None:
    bench.program(PROGRAM)
    engine = bench.begin("up", "--yes", "--skip-preview")
    bench.wait_until_there(VNET)
    with bench.held("provider"):
        kill_engine(engine)
    before = bench.state()
    assert [one["type"] for one in before["pending_operations"]] == ["creating"]

    status, said = bench.recover()
    assert (status, bench.state()) == (2, before), said
    assert VNET in said

    status, said = bench.recover("--yes")
    assert status == 0, said
    after = bench.state()
    assert "pending_operations" not in after
    vnet = next(one for one in after["resources"] if one["type"] == "azure-native:network:VirtualNetwork")
    assert vnet["outputs"]["provisioningState"] == "Succeeded", "a resource that Azure was still at work on was taken"

    assert bench.recover("--yes")[0] == 0, "the second run is not idempotent"
    assert bench.state()["resources"] == after["resources"]
    _settles(bench)


def test_a_provider_killed_in_a_creation_is_mended_and_the_deployment_goes_on(bench: Workbench) -> None:
    bench.program(PROGRAM)
    engine = bench.begin("up", "--yes", "--skip-preview")
    bench.wait_until_there(VNET)
    bench.kill("provider")
    engine.communicate(timeout=PATIENCE)
    assert engine.returncode != 0
    assert "azure-native:network:VirtualNetwork" not in _types(bench)
    bench.start("provider")
    assert "already existing" in bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    status, said = bench.recover()
    assert status == 2, said
    assert VNET in said
    status, said = bench.recover("--yes")

    assert status == 0, said
    assert "azure-native:network:VirtualNetwork" in _types(bench)
    _settles(bench)


def test_a_resource_of_others_is_named_and_left_alone(bench: Workbench) -> None:
    bench.program(PROGRAM)
    bench.arm("PUT", "/resourceGroups/rg", body={"location": "westeurope", "tags": {"trainyard-project": "other"}})
    bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    status, said = bench.recover("--yes")

    assert status == 1, said
    assert "its tags say that it is of project other" in said
    assert "azure-native:resources:ResourceGroup" not in _types(bench)


def test_a_lock_of_a_living_engine_is_never_broken_unasked(bench: Workbench) -> None:
    bench.program(PROGRAM)
    engine = bench.begin("up", "--yes", "--skip-preview")
    bench.wait_until_there(VNET)
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        status, said = bench.recover("--yes")
    finally:
        os.kill(engine.pid, signal.SIGCONT)
        engine.communicate(timeout=PATIENCE)

    assert status == 1, said
    assert f"process {engine.pid}" in said
    assert engine.returncode == 0, "the deployment that was looked at did not go on undisturbed"


def test_without_a_sign_in_nothing_is_concluded_and_nothing_changed(bench: Workbench) -> None:
    bench.program(PROGRAM)
    engine = bench.begin("up", "--yes", "--skip-preview")
    bench.wait_until_there(VNET)
    with bench.held("provider"):
        kill_engine(engine)
    before = bench.state()

    status, said = bench.recover("--yes", AZURE_CLIENT_SECRET="wrong")

    assert status == 1, said
    assert "no sign-in to Azure" in said
    assert bench.state() == before
