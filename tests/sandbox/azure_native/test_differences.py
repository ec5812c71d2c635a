from typing import Any

import pytest

from sandbox.providers.azure_native.differences import carry_over, changes

POOL = "azure-native:containerservice:AgentPool"
CLUSTER = "azure-native:containerservice:ManagedCluster"


def _one(token: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str, bool]:
    [change] = changes(token, old, new)
    return change.key, change.kind, change.replaces


@pytest.mark.parametrize("name", ["vmSize", "gpuInstanceProfile", "agentPoolName", "resourceName", "resourceGroupName"])
def test_an_agent_pool_is_replaced_for_these(name: str) -> None:
    assert _one(POOL, {name: "a"}, {name: "b"}) == (name, "update", True)


@pytest.mark.parametrize(
    "name", ["maxPods", "osDiskType", "osDiskSizeGB", "count", "scaleSetPriority", "proximityPlacementGroupID", "osSKU"]
)
def test_an_agent_pool_is_updated_for_these_though_aks_refuses_some(name: str) -> None:
    assert _one(POOL, {name: "a"}, {name: "b"}) == (name, "update", False)


def test_public_ip_tags_below_a_pools_network_profile_replace_it() -> None:
    key, _, replaces = _one(
        POOL,
        {"networkProfile": {"nodePublicIPTags": [{"tag": "a"}]}},
        {"networkProfile": {"nodePublicIPTags": [{"tag": "b"}]}},
    )

    assert (key, replaces) == ("networkProfile.nodePublicIPTags[0].tag", True)


@pytest.mark.parametrize("name", ["podCidr", "outboundType", "networkPolicy", "serviceCidr", "networkPlugin"])
def test_a_cluster_is_replaced_for_its_network(name: str) -> None:
    _, _, replaces = _one(CLUSTER, {"networkProfile": {name: "a"}}, {"networkProfile": {name: "b"}})

    assert replaces


def test_a_clusters_version_and_load_balancer_are_updates() -> None:
    found = changes(
        CLUSTER,
        {"kubernetesVersion": "1.35", "networkProfile": {"loadBalancerProfile": {"allocatedOutboundPorts": 0}}},
        {"kubernetesVersion": "1.36", "networkProfile": {"loadBalancerProfile": {"allocatedOutboundPorts": 64}}},
    )

    assert [change.replaces for change in found] == [False, False]


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("azure-native:resources:ResourceGroup", "location"),
        ("azure-native:storage:StorageAccount", "isHnsEnabled"),
        ("azure-native:storage:FileShare", "enabledProtocols"),
        ("azure-native:network:PrivateEndpoint", "subnet"),
        ("azure-native:authorization:RoleAssignment", "principalId"),
        ("azure-native:authorization:RoleAssignment", "scope"),
    ],
)
def test_these_cannot_change_in_place(token: str, name: str) -> None:
    assert _one(token, {name: "a"}, {name: "b"})[2]


def test_another_role_is_sent_as_an_update_as_the_real_provider_does() -> None:
    assert not _one("azure-native:authorization:RoleAssignment", {"roleDefinitionId": "a"}, {"roleDefinitionId": "b"})[
        2
    ]


def test_locations_and_group_names_differ_only_in_letters() -> None:
    old = {"location": "West Europe", "resourceGroupName": "RG"}

    assert (
        changes("azure-native:network:VirtualNetwork", old, {"location": "westeurope", "resourceGroupName": "rg"}) == []
    )


def test_aks_own_old_words_for_a_tier_are_no_change() -> None:
    assert (
        changes(CLUSTER, {"sku": {"name": "Basic", "tier": "Paid"}}, {"sku": {"name": "Base", "tier": "Standard"}})
        == []
    )


def test_lists_are_compared_place_by_place() -> None:
    found = changes(POOL, {"nodeTaints": ["a", "b"]}, {"nodeTaints": ["a", "c", "d"]})

    assert [(change.key, change.kind) for change in found] == [("nodeTaints[1]", "update"), ("nodeTaints[2]", "add")]


def test_a_key_with_a_dot_is_quoted() -> None:
    assert _one(POOL, {"tags": {"k8s.io_x": "1"}}, {"tags": {}})[0] == 'tags["k8s.io_x"]'


def test_true_is_not_one() -> None:
    assert _one(POOL, {"enableFIPS": 1}, {"enableFIPS": True})[1] == "update"


@pytest.mark.parametrize(
    "ignored", ["count", "agentPoolProfiles", "agentPoolProfiles[0].count", "agentPoolProfiles[*].count"]
)
def test_what_the_program_ignores_is_no_change(ignored: str) -> None:
    old = {"count": 1, "agentPoolProfiles": [{"count": 1}]}
    new = {"count": 2, "agentPoolProfiles": [{"count": 2}]}

    left = [change.key for change in changes(CLUSTER, old, new, [ignored])]

    assert left == (["agentPoolProfiles[0].count"] if ignored == "count" else ["count"])


def test_what_changed_remotely_is_carried_into_the_inputs() -> None:
    assert carry_over({"count": 1, "mode": "User"}, {"count": 1, "mode": "User"}, {"count": 3, "mode": "User"}) == {
        "count": 3,
        "mode": "User",
    }


def test_what_azure_fills_in_and_keeps_is_not_carried() -> None:
    assert carry_over({"count": 1}, {"count": 1, "maxPods": 110}, {"count": 1, "maxPods": 110}) == {"count": 1}


def test_what_disappears_remotely_leaves_the_inputs() -> None:
    assert carry_over({"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "1"}}) == {
        "tags": {"a": "1"}
    }


def test_within_lists_only_what_changed_is_carried() -> None:
    inputs = {"subnets": [{"name": "s"}]}
    before = {"subnets": [{"name": "s", "policies": "Disabled"}]}
    now = {"subnets": [{"name": "s", "policies": "Enabled"}, {"name": "t", "policies": "Enabled"}]}

    assert carry_over(inputs, before, now) == {
        "subnets": [{"name": "s", "policies": "Enabled"}, {"name": "t", "policies": "Enabled"}]
    }


def test_path_parameters_stay_among_the_inputs() -> None:
    assert carry_over({"resourceGroupName": "rg"}, {}, {}) == {"resourceGroupName": "rg"}
