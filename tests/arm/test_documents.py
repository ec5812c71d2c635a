from typing import Any

from arm.documents import function_outputs, inputs_within, outputs_of, without_empty

POOL = "azure-native:containerservice:AgentPool"
STORAGE = "azure-native:storage:StorageAccount"


def test_properties_come_one_level_up_and_read_only_ones_with_them() -> None:
    outputs = outputs_of(
        "azure-native:network:VirtualNetwork",
        {
            "id": "/x",
            "name": "v",
            "type": "Microsoft.Network/virtualNetworks",
            "location": "westeurope",
            "properties": {
                "provisioningState": "Succeeded",
                "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
                "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}],
                "notInTheSdk": 1,
            },
        },
    )

    assert outputs == {
        "id": "/x",
        "name": "v",
        "type": "Microsoft.Network/virtualNetworks",
        "location": "westeurope",
        "provisioningState": "Succeeded",
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "s", "addressPrefix": "10.0.0.0/24"}],
        "azureApiVersion": "2024-05-01",
    }


def test_an_agent_pools_type_is_the_settable_one() -> None:
    outputs = outputs_of(
        POOL, {"type": "Microsoft.ContainerService/…", "properties": {"type": "VirtualMachineScaleSets"}}
    )

    assert outputs["type"] == "VirtualMachineScaleSets"


def test_a_role_definitions_inner_type_is_its_role_type() -> None:
    outputs = outputs_of(
        "azure-native:authorization:RoleDefinition",
        {"type": "Microsoft.Authorization/roleDefinitions", "properties": {"type": "CustomRole", "roleName": "r"}},
    )

    assert (outputs["type"], outputs["roleType"]) == ("Microsoft.Authorization/roleDefinitions", "CustomRole")


def test_renamed_properties_are_found_where_the_wire_has_them() -> None:
    document: dict[str, Any] = {
        "properties": {
            "supportsHttpsTrafficOnly": False,
            "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]},
        }
    }

    outputs = outputs_of(STORAGE, document)

    assert outputs["enableHttpsTrafficOnly"] is False
    assert outputs["networkRuleSet"]["ipRules"] == [{"iPAddressOrRange": "1.2.3.4"}]


def test_hyphens_on_the_wire_are_upper_case_letters_in_the_sdk() -> None:
    outputs = outputs_of(
        "azure-native:containerservice:ManagedCluster",
        {"properties": {"autoScalerProfile": {"scale-down-unneeded-time": "10m"}}},
    )

    assert outputs["autoScalerProfile"] == {"scaleDownUnneededTime": "10m"}


def test_inputs_within_outputs_leave_out_what_only_azure_sets() -> None:
    within = inputs_within(POOL, {"count": 3, "provisioningState": "Succeeded", "upgradeSettings": {"maxSurge": "1"}})

    assert within == {"count": 3, "upgradeSettings": {"maxSurge": "1"}}


def test_a_set_of_texts_is_a_list_again_among_the_inputs() -> None:
    outputs: dict[str, Any] = {
        "identity": {"type": "UserAssigned", "principalId": "p", "userAssignedIdentities": {"/id": {}}}
    }

    within = inputs_within("azure-native:containerservice:ManagedCluster", outputs)

    assert within == {"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/id"]}}


def test_a_function_that_lists_shows_what_the_action_answered() -> None:
    found = function_outputs(
        "azure-native:storage:listStorageAccountKeys", {"keys": [{"keyName": "key1", "value": "s"}]}
    )

    assert found == {"keys": [{"keyName": "key1", "value": "s"}]}


def test_a_function_that_gets_shows_the_resources_outputs() -> None:
    found = function_outputs("azure-native:containerservice:getAgentPool", {"id": "/p", "properties": {"count": 2}})

    assert (found["count"], found["id"], found["azureApiVersion"]) == (2, "/p", "2025-09-01")


def test_empty_lists_and_maps_say_nothing_but_false_and_zero_do() -> None:
    assert without_empty({"a": [], "b": {"c": {}}, "d": False, "e": 0}) == {"d": False, "e": 0}
    assert without_empty({"a": [{}]}) is None
