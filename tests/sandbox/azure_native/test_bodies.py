from collections.abc import Iterator
from typing import Any

import pytest

from arm.documents import renamed
from arm.ids import arm_type, arm_types
from arm.shapes import Shape, resource_shape
from sandbox.azure.schemas import Model, model_for
from sandbox.providers.azure_native import bodies

CLUSTER = "azure-native:containerservice:ManagedCluster"
NETWORK = "azure-native:network:VirtualNetwork"

NOWHERE = {
    # gone or moved in the versions that azure-mgmt describes; no program of ours sets them
    "IpamPoolPrefixAllocationArgs.id",
    "PoliciesArgs.softDeletePolicy",
    "FileShareArgs.expand",
    "DeploymentParameterArgs.type",
    # in the address, not in the body; no program of ours sets it
    "VirtualNetworkPeeringInitArgs.syncRemoteAddressSpace",
}


def _places(shape: Shape, model: Model, seen: set[tuple[Any, str]]) -> Iterator[str]:
    """Every input below that has no place in the ARM model."""
    if (shape.of, model.name) in seen or shape.of is None:
        return
    seen.add((shape.of, model.name))
    for name, sub_shape in shape.fields.items():
        path = renamed(shape).get(name) or bodies._path(name, shape, model)  # pyright: ignore[reportPrivateUsage]
        field = bodies._field(model, path)  # pyright: ignore[reportPrivateUsage]
        if field is None:
            yield f"{shape.of.__name__}.{name}"
            continue
        item = sub_shape
        while item.item is not None:
            item = item.item
        if item.kind == "object" and field.model is not None:
            yield from _places(item, field.model, seen)


@pytest.mark.parametrize("token", arm_types())
def test_every_input_has_its_place_in_the_arm_document(token: str) -> None:
    shape = resource_shape(token).inputs
    homeless = set(_places(shape, model_for(arm_type(token).type), set()))
    parameters = {f"{shape.of.__name__}.{name}" for name in arm_type(token).parameters} if shape.of else set[str]()

    assert homeless - parameters - NOWHERE == set()


def test_inputs_go_under_properties_at_every_depth_and_the_id_stays_out() -> None:
    body = bodies.body_of(
        NETWORK,
        {
            "resourceGroupName": "rg",
            "virtualNetworkName": "v",
            "location": "westeurope",
            "tags": {"properties": "a tag's name"},
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "s", "addressPrefix": "10.0.0.0/24"}],
            "azureApiVersion": "2024-05-01",
            "__createBeforeDelete": True,
        },
    )

    assert body == {
        "location": "westeurope",
        "tags": {"properties": "a tag's name"},
        "properties": {
            "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
            "subnets": [{"name": "s", "properties": {"addressPrefix": "10.0.0.0/24"}}],
        },
    }


def test_a_list_of_identities_is_a_map_on_the_wire() -> None:
    body = bodies.body_of(CLUSTER, {"identity": {"type": "UserAssigned", "userAssignedIdentities": ["/one"]}})

    assert body == {"identity": {"type": "UserAssigned", "userAssignedIdentities": {"/one": {}}}}


def test_the_autoscaler_profile_gets_its_hyphens() -> None:
    body = bodies.body_of(CLUSTER, {"autoScalerProfile": {"scanInterval": "10s"}})

    assert body["properties"]["autoScalerProfile"] == {"scan-interval": "10s"}


def test_a_misspelt_name_is_sent_so_that_azure_can_refuse_it() -> None:
    body = bodies.body_of(CLUSTER, {"networkProfile": {"podCiddr": "10.244.0.0/16"}})

    assert body["properties"]["networkProfile"] == {"podCiddr": "10.244.0.0/16"}


def test_a_storage_account_is_sent_under_the_wires_names() -> None:
    body = bodies.body_of(
        "azure-native:storage:StorageAccount", {"enableHttpsTrafficOnly": False, "kind": "FileStorage"}
    )

    assert body == {"kind": "FileStorage", "properties": {"supportsHttpsTrafficOnly": False}}


def test_subnets_of_their_own_survive_an_update_of_the_network() -> None:
    body = bodies.body_of(NETWORK, {"addressSpace": {"addressPrefixes": ["10.0.0.0/16"]}})
    live: dict[str, Any] = {"properties": {"subnets": [{"name": "mine"}], "addressSpace": {}}}

    assert bodies.with_live_lists(NETWORK, body, live)["properties"] == {
        "addressSpace": {"addressPrefixes": ["10.0.0.0/16"]},
        "subnets": [{"name": "mine"}],
    }


def test_subnets_that_the_program_lists_win_over_those_there() -> None:
    body = bodies.body_of(NETWORK, {"subnets": []})

    assert bodies.with_live_lists(NETWORK, body, {"properties": {"subnets": [{"name": "old"}]}})["properties"] == {
        "subnets": []
    }


def test_a_new_network_starts_without_subnets() -> None:
    assert bodies.with_empty_lists(NETWORK, {"properties": {}})["properties"]["subnets"] == []
