"""Federated sign-in: a Kubernetes service account's token exchanged for a user-assigned identity's.

Owns the checks of an assertion against the identity's federated credentials. The issuer's keys are the ones its
API server publishes.
"""

from __future__ import annotations

import json
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization

from sandbox.azure.store import Resource, Store
from sandbox.certificates import service_account_keys
from sandbox.home import Home

IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
CREDENTIALS = f"{IDENTITIES}/federatedIdentityCredentials"
EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"


class AssertionRefused(Exception):  # noqa: N818 - reads as what happened
    """The assertion proves nothing; the message is Entra's."""


def principal_of(home: Home, store: Store, client_id: str, assertion: str) -> str:
    """The principal id of the identity that the assertion may act as.

    Args:
        client_id: of the identity.
        assertion: the service account's token, a JWT.

    Raises:
        AssertionRefused: no such identity, no matching credential, or a bad signature.
    """
    identity = _identity(store, client_id)
    if identity is None:
        raise AssertionRefused(
            f"AADSTS700016: Application with identifier '{client_id}' was not found in the directory 'adfs'."
        )
    try:
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError as error:
        raise AssertionRefused("AADSTS50027: JWT token is invalid or malformed.") from error
    _match(store, identity, claims)
    try:
        key = serialization.load_pem_public_key(service_account_keys(home)[0].read_bytes())
        jwt.decode(assertion, key, algorithms=["RS256"], audience=EXCHANGE_AUDIENCE)  # pyright: ignore[reportArgumentType]
    except FileNotFoundError as error:
        raise AssertionRefused(
            "AADSTS50166: Request to External OIDC endpoint failed: the cluster has no keys yet."
        ) from error
    except jwt.InvalidTokenError as error:
        raise AssertionRefused(f"AADSTS700024: Client assertion is not valid: {error}.") from error
    return str(identity.properties["principalId"])


def _identity(store: Store, client_id: str) -> Resource | None:
    for one in store.of_type(IDENTITIES):
        if str(one.properties.get("clientId")).lower() == client_id.lower():
            return one
    return None


def _match(store: Store, identity: Resource, claims: dict[str, Any]) -> None:
    """The claims must be those of one credential, to the letter."""
    issuer, subject, audience = str(claims.get("iss")), str(claims.get("sub")), claims.get("aud")
    audiences = {str(one) for one in (cast(list[Any], audience) if isinstance(audience, list) else [audience])}
    for credential in store.of_type(CREDENTIALS, identity.id):
        wanted = credential.properties
        if wanted["issuer"] == issuer and wanted["subject"] == subject and audiences & set(wanted["audiences"]):
            return
    raise AssertionRefused(
        "AADSTS700213: No matching federated identity record found for presented assertion: issuer "
        f"'{issuer}', subject '{subject}', audience {json.dumps(sorted(audiences))}. Check the federated credentials "
        f"of '{identity.name}'."
    )
