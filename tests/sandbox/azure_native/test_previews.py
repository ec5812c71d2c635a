from sandbox.providers.azure_native import checks
from sandbox.providers.azure_native.resources import preview
from sandbox.providers.azure_native.values import UNKNOWN, from_struct, has_unknowns, to_struct

POOL = "azure-native:containerservice:AgentPool"
GROUP = "azure-native:resources:ResourceGroup"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "s"}


def test_what_azure_computes_is_unknown_and_inputs_are_known() -> None:
    outputs = preview(POOL, {"count": 2, "agentPoolName": "p", "nodeLabels": {"a": "b"}})

    assert (outputs["count"], outputs["nodeLabels"]) == (2, {"a": "b"})
    assert outputs["name"] == outputs["provisioningState"] == outputs["maxPods"] == UNKNOWN
    assert "agentPoolName" not in outputs


def test_within_an_object_the_rest_is_unknown() -> None:
    outputs = preview(POOL, {"upgradeSettings": {"maxSurge": "1"}})

    assert outputs["upgradeSettings"]["maxSurge"] == "1"
    assert outputs["upgradeSettings"]["drainTimeoutInMinutes"] == UNKNOWN


def test_a_set_that_comes_back_as_a_map_is_unknown() -> None:
    outputs = preview(
        "azure-native:containerservice:ManagedCluster",
        {"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/a"]}},
    )

    assert outputs["identity"]["type"] == "UserAssigned"
    assert outputs["identity"]["userAssignedIdentities"] == UNKNOWN


def test_in_an_update_name_and_location_stay_known() -> None:
    outputs = preview(GROUP, {"tags": {"a": "b"}}, {"name": "rg", "location": "westeurope", "type": "t"})

    assert (outputs["name"], outputs["location"], outputs["type"]) == ("rg", "westeurope", UNKNOWN)


def test_a_name_left_out_is_the_logical_one_and_eight_digits_the_same_for_one_seed() -> None:
    first = checks.with_name(GROUP, "rg", {}, {}, seed=b"seed", proposal=None)
    second = checks.with_name(GROUP, "rg", {}, {}, seed=b"seed", proposal=None)

    assert first == second
    assert first["resourceGroupName"].startswith("rg")
    assert len(first["resourceGroupName"]) == len("rg") + 8
    assert first["__createBeforeDelete"] is True


def test_a_made_up_name_is_kept_the_next_time() -> None:
    olds = {"resourceGroupName": "rg12345678", "__createBeforeDelete": True}

    assert checks.with_name(GROUP, "rg", {}, olds, seed=b"other", proposal=None) == olds


def test_a_given_name_is_left_alone() -> None:
    assert checks.with_name(GROUP, "rg", {"resourceGroupName": "mine"}, {}, seed=b"s", proposal=None) == {
        "resourceGroupName": "mine"
    }


def test_a_role_assignments_name_is_a_uuid() -> None:
    made = checks.with_name("azure-native:authorization:RoleAssignment", "ra", {}, {}, seed=b"s", proposal=None)

    assert len(made["roleAssignmentName"]) == 36


def test_a_projects_own_autonaming_is_honoured_and_can_be_off() -> None:
    assert (
        checks.with_name(GROUP, "rg", {}, {}, seed=b"", proposal=("propose", "rg-dev"))["resourceGroupName"] == "rg-dev"
    )
    assert checks.with_name(GROUP, "rg", {}, {}, seed=b"", proposal=("disable", "")) == {}


def test_a_required_input_that_is_missing_is_named_and_an_unknown_one_counts_as_given() -> None:
    assert checks.missing_inputs(POOL, {"resourceGroupName": UNKNOWN, "agentPoolName": "p"}) == [
        "missing required property 'resourceName'"
    ]


def test_secrets_are_opened_nulls_left_out_and_unknowns_kept() -> None:
    values = from_struct(to_struct({"a": SECRET, "b": None, "c": [UNKNOWN], "d": 3}))

    assert values == {"a": "s", "c": [UNKNOWN], "d": 3}
    assert has_unknowns(values)
    assert not has_unknowns({"a": [{"b": "c"}]})
