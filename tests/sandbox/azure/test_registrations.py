"""Providers and features that are registered, and what a sign-in may do, over real HTTPS."""

from __future__ import annotations

from tests.sandbox.azure.conftest import Azure

FEATURE = "providers/Microsoft.Features/providers/Microsoft.Compute/features/EncryptionAtHost"


def test_a_feature_that_is_not_registered_says_so_until_it_is(azure: Azure) -> None:
    path = f"{azure.subscription}/{FEATURE}"
    assert azure.get(path).json()["properties"] == {"state": "Registered"}
    change = {"name": "Microsoft.Compute/EncryptionAtHost", "state": "NotRegistered"}
    assert azure.call("PUT", "/sandbox/registrations", change, token=azure.home.config.internal_token).ok
    assert azure.get(path).json()["properties"] == {"state": "NotRegistered"}
    assert azure.call("POST", f"{path}/register").json()["properties"] == {"state": "Registered"}


def test_a_provider_that_is_not_registered_says_so_until_it_is(azure: Azure) -> None:
    path = f"{azure.subscription}/providers/Microsoft.Storage"
    change = {"name": "Microsoft.Storage", "state": "NotRegistered"}
    assert azure.call("PUT", "/sandbox/registrations", change, token=azure.home.config.internal_token).ok
    listed = azure.get(f"{azure.subscription}/providers").json()["value"]
    states = {one["namespace"]: one["registrationState"] for one in listed}
    assert states["Microsoft.Storage"] == "NotRegistered"
    assert states["Microsoft.Compute"] == "Registered"
    assert azure.call("POST", f"{path}/register").json()["registrationState"] == "Registered"
    assert azure.get(path).json()["registrationState"] == "Registered"


def test_the_owner_sees_that_everything_is_allowed(azure: Azure) -> None:
    found = azure.get(f"{azure.subscription}/providers/Microsoft.Authorization/permissions").json()["value"]
    assert [one["actions"] for one in found] == [["*"]]


def test_only_the_sandbox_itself_takes_registrations_away(azure: Azure) -> None:
    azure.refused(
        azure.put("/sandbox/registrations", {"name": "Microsoft.Storage", "state": "Registered"}), 403, "Forbidden"
    )
