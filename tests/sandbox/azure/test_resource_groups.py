"""Resource groups over real HTTPS."""

from __future__ import annotations

from tests.sandbox.azure.conftest import Azure


def test_a_group_is_read_as_it_was_put(azure: Azure) -> None:
    made = azure.get(azure.group).json()
    assert made["location"] == "westeurope"
    assert made["properties"]["provisioningState"] == "Succeeded"


def test_a_group_that_is_not_there_is_not_found(azure: Azure) -> None:
    azure.refused(azure.get(f"{azure.subscription}/resourceGroups/none"), 404, "ResourceGroupNotFound")
