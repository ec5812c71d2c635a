import importlib
import inspect
import re

import pytest

from arm.ids import IncompleteInputsError, UnknownTypeError, ancestors, arm_type, arm_types, resource_id, same_id
from arm.shapes import resource_shape

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
CLUSTER = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/aks"


@pytest.mark.parametrize("token", arm_types())
def test_the_api_version_is_the_one_that_the_sdk_documents(token: str) -> None:
    _, module, name = token.split(":")
    source = inspect.getsource(getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name))
    found = re.search(r"Azure REST API version (\S+?)\.(\s|$)", source)

    assert found
    assert found[1] == arm_type(token).api_version


@pytest.mark.parametrize("token", arm_types())
def test_path_parameters_are_inputs_of_the_sdk(token: str) -> None:
    assert set(arm_type(token).parameters) <= set(resource_shape(token).inputs.fields)


@pytest.mark.parametrize("token", arm_types())
def test_the_path_ends_with_the_types_own_segments(token: str) -> None:
    kind = arm_type(token)
    if kind.token == "azure-native:resources:ResourceGroup":
        return
    namespace, *segments = kind.path.split("/providers/")[1].split("/")

    assert "/".join([namespace, *segments[0::2]]) == kind.type


def test_a_nested_resource_lies_under_its_parent() -> None:
    inputs = {"resourceGroupName": "rg", "resourceName": "aks", "agentPoolName": "heavy1"}

    found = resource_id("azure-native:containerservice:AgentPool", inputs, SUBSCRIPTION)

    assert found == f"{CLUSTER}/agentPools/heavy1"


def test_an_extension_lies_on_its_scope_whatever_slashes_that_has() -> None:
    inputs = {"scope": f"{CLUSTER}/", "roleAssignmentName": "abc"}

    found = resource_id("azure-native:authorization:RoleAssignment", inputs, SUBSCRIPTION)

    assert found == f"{CLUSTER}/providers/Microsoft.Authorization/roleAssignments/abc"


def test_a_versioned_token_is_the_same_type() -> None:
    assert arm_type("azure-native:network/v20240501:Subnet") is arm_type("azure-native:network:Subnet")


def test_a_type_we_do_not_know_is_named_in_the_error() -> None:
    with pytest.raises(UnknownTypeError, match="azure-native:web:WebApp"):
        arm_type("azure-native:web:WebApp")


def test_a_missing_path_parameter_is_named_in_the_error() -> None:
    with pytest.raises(IncompleteInputsError, match="'subnetName' is None"):
        resource_id("azure-native:network:Subnet", {"resourceGroupName": "rg", "virtualNetworkName": "v"}, SUBSCRIPTION)


@pytest.mark.parametrize("token", arm_types())
def test_taking_an_id_apart_undoes_making_it(token: str) -> None:
    kind = arm_type(token)
    inputs = {name: CLUSTER if name == "scope" else f"n{index}" for index, name in enumerate(kind.parameters)}

    assert kind.parse_id(kind.resource_id(inputs, SUBSCRIPTION).upper().replace("/N", "/n")).keys() == inputs.keys()
    assert kind.parse_id(kind.resource_id(inputs, SUBSCRIPTION)) == inputs


def test_an_id_of_another_type_is_refused() -> None:
    with pytest.raises(IncompleteInputsError, match="no id of azure-native:network:Subnet"):
        arm_type("azure-native:network:Subnet").parse_id(CLUSTER)


def test_ids_are_compared_without_regard_to_case() -> None:
    assert same_id(CLUSTER, CLUSTER.upper() + "/")
    assert not same_id(CLUSTER, GROUP)


def test_what_lies_above_a_role_on_a_pool_is_found_nearest_first() -> None:
    pool = f"{CLUSTER}/agentPools/heavy1"

    assert ancestors(f"{pool}/providers/Microsoft.Authorization/roleAssignments/x") == [pool, CLUSTER, GROUP]


def test_a_subscription_is_nobodys_parent() -> None:
    assert ancestors(GROUP) == []
    assert ancestors(f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/x") == []
