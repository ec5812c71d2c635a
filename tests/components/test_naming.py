"""Names that Azure takes, for any environment."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import naming

environments = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True)


@given(environments)
def test_a_storage_account_s_name_keeps_azure_s_rule_for_any_environment(environment: str) -> None:
    for purpose in ("smb", "psmb", "pnfs"):
        assert re.fullmatch("[a-z0-9]{3,24}", naming.storage_account_name(purpose, environment, "abc123"))


@given(environments)
def test_a_registry_s_name_keeps_azure_s_rule_for_any_environment(environment: str) -> None:
    assert re.fullmatch("[A-Za-z0-9]{5,50}", naming.registry_name(environment, "abc123"))


@given(environments)
def test_group_and_cluster_names_fit_for_any_environment(environment: str) -> None:
    group = naming.resource_group_name(environment, "southafricanorth")
    assert len(naming.node_resource_group_name(group)) <= 90
    assert len(naming.cluster_name(environment)) <= 63
    assert len(naming.dns_prefix(environment, "abc123")) <= 54


def test_two_long_names_that_begin_alike_do_not_become_one() -> None:
    assert naming.cluster_name("a" * 100) != naming.cluster_name("a" * 99 + "b")


@given(keys, st.integers(10, 250))
def test_a_pool_s_name_keeps_aks_s_rule_and_begins_with_its_key(key: str, max_pods: int) -> None:
    name = naming.agent_pool_name(key, {"maxPods": max_pods})
    assert re.fullmatch("[a-z][a-z0-9]{0,11}", name)
    assert name.startswith(key)


def test_a_changed_create_only_value_changes_the_pool_s_name() -> None:
    assert naming.agent_pool_name("heavy", {"maxPods": 110}) != naming.agent_pool_name("heavy", {"maxPods": 60})


def test_the_order_of_create_only_values_does_not_change_the_pool_s_name() -> None:
    assert naming.agent_pool_name("heavy", {"a": 1, "b": 2}) == naming.agent_pool_name("heavy", {"b": 2, "a": 1})


@pytest.mark.parametrize("key", ["", "Heavy", "heavy-1", "1heavy", "heavyyyy"])
def test_a_pool_key_that_aks_would_refuse_is_an_error(key: str) -> None:
    with pytest.raises(ValueError, match="1 to 7 characters"):
        naming.agent_pool_name(key, {})
