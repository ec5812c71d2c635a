"""Ways past a rule: the unknown beside the wrong, other spellings, halves of the internet, what is not declared."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.policy.world import A100, Change, World, absent, answered, both, configured, given, unknown, urn, usages

PODS = "spec.template.spec"
WRONG = {"name": "second", "image": "nginx:latest", "securityContext": {"privileged": True}}
FIRST = {"name": "first", "image": "nginx:1.2", "securityContext": {"privileged": False}}


def judged(rule: str, *changes: Change) -> tuple[list[str], list[str]]:
    """What fails, and what is unverified."""
    world = World()
    for change in changes:
        change(world)
    answers = world.judged(rule)
    told = [one.message for one in answers if not one.unverified]
    return told, [one.message for one in answers if one.unverified]


@pytest.mark.parametrize(
    "hidden",
    [
        both(given("job", f"{PODS}.containers", [FIRST, WRONG]), unknown("job", f"{PODS}.containers.0.image")),
        both(given("job", f"{PODS}.containers", [FIRST, WRONG]), unknown("job", f"{PODS}.containers.0")),
        both(given("job", f"{PODS}.containers", [WRONG]), unknown("job", f"{PODS}.initContainers")),
    ],
    ids=["an unknown value", "an unknown container", "an unknown list"],
)
def test_a_container_that_is_not_known_yet_hides_no_other(hidden: Change) -> None:
    failed, unverified = judged("k8s-images-pinned", hidden)
    assert len(failed) == len(unverified) == 1
    assert "second: image nginx:latest names no fixed version" in failed[0]


def test_an_unknown_setting_of_a_container_hides_no_privileged_one() -> None:
    containers = given("job", f"{PODS}.containers", [FIRST, WRONG])
    failed, unverified = judged(
        "k8s-not-privileged", containers, unknown("job", f"{PODS}.containers.0.securityContext")
    )
    assert len(failed) == len(unverified) == 1
    assert "second: runs privileged" in failed[0]


def test_an_unknown_rule_of_a_role_hides_no_wildcard() -> None:
    rules = [{"verbs": ["get"]}, {"verbs": ["*"], "resources": ["pods"], "apiGroups": [""]}]
    failed, unverified = judged("k8s-no-wildcard-rbac", given("role", "rules", rules), unknown("role", "rules.0.verbs"))
    assert [one.partition(":")[0] for one in failed] == ["rules[1]"]
    assert len(unverified) == 1


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("acr-no-admin-user", given("registry", "adminUserEnabled", "true")),
        ("storage-no-public-blobs", given("account", "allowBlobPublicAccess", "True")),
        ("aks-no-node-public-ip", given("light", "enableNodePublicIP", "true")),
        ("aks-no-local-accounts", given("cluster", "disableLocalAccounts", "false")),
        ("storage-secure-transfer", given("account", "enableHttpsTrafficOnly", "false")),
    ],
)
def test_true_and_false_in_text_are_what_azure_takes_them_for(rule: str, change: Change) -> None:
    assert len(judged(rule, change)[0]) == 1
    assert judged("aks-no-local-accounts", given("cluster", "disableLocalAccounts", "true")) == ([], [])


def test_words_are_compared_as_azure_compares_them() -> None:
    open_to_all = given("nsg", "securityRules.0.sourceAddressPrefix", "*")
    lower = both(given("nsg", "securityRules.0.access", "allow"), given("nsg", "securityRules.0.direction", "inbound"))
    assert len(judged("nsg-no-open-sign-in", open_to_all, lower)[0]) == 1
    spot = both(given("heavy", "scaleSetPriority", "spot"), given("heavy", "upgradeSettings", {"maxSurge": "1"}))
    assert len(judged("aks-spot-pools", spot)[0]) == 1
    assert judged("aks-system-pool", given("cluster", "agentPoolProfiles.0.mode", "system")) == ([], [])


@pytest.mark.parametrize("network", ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "2000::/3"])
def test_a_half_of_the_internet_is_nobody_s_network(network: str) -> None:
    assert len(judged("nsg-no-open-sign-in", given("nsg", "securityRules.0.sourceAddressPrefix", network))[0]) == 1
    ranges = given("cluster", "apiServerAccessProfile.authorizedIPRanges", ["203.0.113.0/24", network])
    assert len(judged("aks-api-server-restricted", ranges)[0]) == 1


@pytest.mark.parametrize("network", ["203.0.113.7", "10.0.0.0/8", "VirtualNetwork", "2001:db8::/32"])
def test_somebody_s_network_may_sign_in(network: str) -> None:
    assert judged("nsg-no-open-sign-in", given("nsg", "securityRules.0.sourceAddressPrefix", network)) == ([], [])


@pytest.mark.parametrize("surge", ["x", "", [], "1.5", "-1", "²", True])
def test_a_value_of_another_kind_in_one_pool_hides_no_shortage_of_another(surge: Any) -> None:
    few = answered(usages(spot=(0, 95)), "usages", "westeurope")
    failed, unverified = judged("vcpu-quota", few, given("light", "upgradeSettings.maxSurge", surge))
    assert len(failed) == 1
    assert "lowPriorityCores: 96 vCPUs needed" in failed[0]
    assert surge == "" or "maxSurge is" in unverified[0]


@pytest.mark.parametrize("value", ["x", "10.0.0.0/99", [], {}, -1, math.inf])
@pytest.mark.parametrize(
    ("rule", "resource", "path"),
    [
        ("aks-pod-room", "cluster", "networkProfile.podCidr"),
        ("aks-address-ranges", "cluster", "networkProfile.serviceCidr"),
        ("aks-subnet-room", "vnet", "subnets.0.addressPrefix"),
        ("storage-tls", "account", "minimumTlsVersion"),
        ("aks-azure-cni", "cluster", "networkProfile.networkPlugin"),
        ("ephemeral-disk-fits", "light", "osDiskSizeGB"),
        ("storage-shares-kept", "shares", "shareDeleteRetentionPolicy.days"),
    ],
)
def test_a_value_of_another_kind_is_no_mistake_of_the_rule(rule: str, resource: str, path: str, value: Any) -> None:
    failed, unverified = judged(rule, given(resource, path, value))
    assert not [one for one in unverified if "the rule itself failed" in one]
    assert failed or unverified or value in ([], {}) or rule == "ephemeral-disk-fits"


def test_a_subnet_of_several_ranges_or_of_one_not_known_yet_is_judged_too() -> None:
    small = both(absent("vnet", "subnets.0.addressPrefix"), given("vnet", "subnets.0.addressPrefixes", ["10.0.0.0/29"]))
    [said] = judged("aks-subnet-room", small)[0]
    assert "subnet nodes (10.0.0.0/29) has room for 3 machines" in said
    ranges = ["10.0.0.0/29", "10.0.1.0/26"]
    assert judged("aks-subnet-room", small, given("vnet", "subnets.0.addressPrefixes", ranges)) == ([], [])
    failed, unverified = judged("aks-subnet-room", unknown("vnet", "subnets.0.addressPrefix"))
    assert failed == []
    assert "addressPrefix is known only once the deployment runs" in unverified[0]


def test_machines_that_aks_adds_by_itself_are_not_taken_for_none() -> None:
    failed, unverified = judged("vcpu-quota", given("cluster", "nodeProvisioningProfile", {"mode": "Auto"}))
    assert failed == []
    assert "aks: AKS adds machines of its own choosing" in unverified[0]


@pytest.mark.parametrize(
    ("resource", "path", "value"),
    [
        ("heavy", "maxCount", 4),
        ("light", "tags.max", "8"),
        ("light", "osDiskSizeGB", 128),
        ("share", "shareQuota", 100),
        ("cluster", "sku.tier", "Standard"),
    ],
)
def test_what_costs_money_and_is_not_known_yet_is_not_counted_as_nothing(resource: str, path: str, value: Any) -> None:
    plenty = configured(monthlyUsd=1_000_000)
    failed, unverified = judged("budget", plenty, unknown(resource, path))
    assert failed == []
    assert f"{resource}'s {path}, known only once the deployment runs" in unverified[0]
    known = judged("budget", plenty, given(resource, path, value))[1]
    assert not [one for one in known if "known only once" in one]


def test_an_account_s_service_is_found_by_where_its_name_comes_from() -> None:
    world = World()
    for name in ("share", "shares"):
        unknown(name, "accountName")(world)
    assert "its account is known only once" in world.judged("storage-shares-kept")[0].message
    world.depends = {name: {"accountName": (urn("account"),)} for name in ("share", "shares")}
    assert world.judged("storage-shares-kept") == []
    world.depends["shares"] = {"accountName": (urn("another"),)}
    [said] = world.judged("storage-shares-kept")
    assert said.urn == urn("share")
    assert "Add a FileServiceProperties with shareDeleteRetentionPolicy" in said.message


def test_a_budget_of_the_stack_file_that_is_none_is_said() -> None:
    world = World()
    world.config["trainyard:budget"] = json.dumps({"monthlyUsd": "much"})
    assert "trainyard:budget cannot be read" in world.judged("budget")[0].message


def test_a_pool_whose_priority_is_not_known_yet_is_not_counted_against_the_wrong_quota() -> None:
    failed, unverified = judged("vcpu-quota", unknown("heavy", "scaleSetPriority"), absent("heavy", "upgradeSettings"))
    assert failed == []
    assert "heavy (scaleSetPriority is known only once the deployment runs)" in unverified[0]
    assert A100 not in unverified[0]
