"""The real engine on the provider's stand-in and the simulated Azure."""

from __future__ import annotations

import re

import pytest

from tests.sandbox.azure_native.workbench import Workbench

pytestmark = pytest.mark.control_plane

GROUP = """
rg = resources.ResourceGroup("rg", resource_group_name="rg", location="westeurope", tags=TAGS)
"""
NETWORK = (
    GROUP
    + """
vnet = network.VirtualNetwork("vnet", resource_group_name=rg.name, virtual_network_name="vnet", tags=TAGS,
    address_space={"address_prefixes": ["10.0.0.0/16"]})
nsg = network.NetworkSecurityGroup("nsg", resource_group_name=rg.name, network_security_group_name="nsg", tags=TAGS)
nodes = network.Subnet("nodes", resource_group_name=rg.name, virtual_network_name=vnet.name, subnet_name="nodes",
    address_prefix="10.0.0.0/20", network_security_group={"id": nsg.id})
identity = managedidentity.UserAssignedIdentity("identity", resource_group_name=rg.name, resource_name_="identity")
pulumi.export("principal", identity.principal_id)
"""
)


def test_a_program_is_deployed_stays_unchanged_and_is_taken_down(bench: Workbench) -> None:
    bench.program(NETWORK)

    assert "principal: [unknown]" in bench.pulumi("preview")
    assert bench.arm("GET", "/resourceGroups/rg").status_code == 404, "a preview sent something to Azure"
    bench.pulumi("up", "--yes", "--skip-preview")
    bench.pulumi("preview", "--expect-no-changes")
    bench.pulumi("refresh", "--yes", "--expect-no-changes")
    bench.pulumi("preview", "--expect-no-changes")
    bench.pulumi("destroy", "--yes", "--skip-preview")

    assert bench.arm("GET", "/resourceGroups/rg").status_code == 404


def test_a_tag_is_an_update_a_location_a_replacement_and_the_networks_subnets_survive(bench: Workbench) -> None:
    bench.program(NETWORK)
    bench.pulumi("up", "--yes", "--skip-preview")

    bench.program(NETWORK.replace('"vnet", tags=TAGS', '"vnet", tags={**TAGS, "more": "1"}'))
    said = bench.pulumi("up", "--yes", "--skip-preview")
    assert re.search(r"~ 1 updated\s+5 unchanged", said)
    document = bench.arm("GET", "/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet").json()
    assert [subnet["name"] for subnet in document["properties"]["subnets"]] == ["nodes"]

    bench.program(NETWORK.replace('location="westeurope"', 'location="northeurope"'))
    assert "azure-native:resources:ResourceGroup rg replace" in bench.pulumi("preview")


def test_what_changes_on_azure_is_seen_by_a_refresh_and_put_back(bench: Workbench) -> None:
    bench.program(GROUP)
    bench.pulumi("up", "--yes", "--skip-preview")
    bench.arm("PUT", "/resourceGroups/rg", body={"location": "westeurope", "tags": {"by": "hand"}})

    bench.pulumi("refresh", "--yes")
    group = next(one for one in bench.state()["resources"] if one["type"].endswith(":ResourceGroup"))
    assert group["inputs"]["tags"] == {"by": "hand"}
    assert "~ 1 updated" in bench.pulumi("up", "--yes", "--skip-preview")
    bench.pulumi("preview", "--expect-no-changes")


def test_ignored_changes_are_sent_as_the_refreshed_state_has_them(bench: Workbench) -> None:
    ignoring = GROUP.replace("tags=TAGS)", 'tags=TAGS, opts=pulumi.ResourceOptions(ignore_changes=["tags"]))')
    bench.program(ignoring)
    bench.pulumi("up", "--yes", "--skip-preview")
    bench.arm("PUT", "/resourceGroups/rg", body={"location": "westeurope", "tags": {"by": "hand"}})

    bench.pulumi("refresh", "--yes", "--expect-no-changes")
    bench.pulumi("up", "--yes", "--skip-preview", "--refresh")

    assert bench.arm("GET", "/resourceGroups/rg").json()["tags"] == {"by": "hand"}


def test_a_resource_made_by_others_is_not_taken_over(bench: Workbench) -> None:
    bench.arm("PUT", "/resourceGroups/rg", body={"location": "westeurope"})
    bench.program(GROUP)

    said = bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    assert "cannot create already existing resource '/subscriptions/" in said


def test_a_misspelt_property_is_refused_by_azure_itself(bench: Workbench) -> None:
    bench.program(NETWORK.replace('"address_prefixes"', '"addressPrefixen"'))

    said = bench.pulumi("up", "--yes", "--skip-preview", fails=True)

    assert "Status=400" in said
    assert "addressPrefixen" in said


def test_an_unknown_configuration_key_is_refused(bench: Workbench) -> None:
    bench.program(GROUP)
    bench.pulumi("config", "set", "azure-native:subscription", "x")

    said = bench.pulumi("preview", fails=True)

    assert "azure-native:subscription" in said
    assert "subscriptionId" in said


def test_a_missing_resource_is_named_by_a_function_that_reads_it(bench: Workbench) -> None:
    bench.program(
        'pulumi.export("n", network.get_virtual_network(resource_group_name="no", virtual_network_name="v").id)'
    )

    said = bench.pulumi("preview", fails=True)

    assert "request failed /subscriptions/" in said
    assert "Status=404" in said


def test_a_provider_that_was_restarted_serves_the_next_deployment(bench: Workbench) -> None:
    bench.program(GROUP)
    bench.kill("provider")
    bench.start("provider")
    bench.kill("azure")
    bench.start("azure")

    bench.pulumi("up", "--yes", "--skip-preview")
    bench.pulumi("preview", "--expect-no-changes")
