"""User-assigned identities and their federated credentials."""

from __future__ import annotations

import re
import uuid
from typing import cast
from urllib.parse import urlsplit

from sandbox.azure.behaviour import Behaviour, Body, Context, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request, conflict
from sandbox.azure.federation import CREDENTIALS, IDENTITIES
from sandbox.azure.ids import key_of
from sandbox.azure.store import Resource

_USED_BY = (
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Compute/virtualMachineScaleSets",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.ContainerRegistry/registries",
)


class UserAssignedIdentities(Behaviour):
    """`Microsoft.ManagedIdentity/userAssignedIdentities`."""

    type = IDENTITIES
    shows_state = False
    name_pattern = re.compile(r"[A-Za-z0-9][\w-]{2,127}")
    name_rule = "3 to 128 letters, digits, hyphens and underscores, beginning with a letter or digit"

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Its principal and client id, which a PUT never changes."""
        properties = document["properties"]
        properties["tenantId"] = ctx.config.tenant_id
        for key in ("principalId", "clientId"):
            properties[key] = existing.properties[key] if existing else str(uuid.uuid4())
        properties.setdefault("isolationScope", "None")

    def check_delete(self, ctx: Context, resource: Resource) -> None:
        """Azure lets an identity in use go and its users break; the sandbox names the user instead."""
        wanted = key_of(resource.id)
        for resource_type in _USED_BY:
            for one in ctx.store.of_type(resource_type):
                if wanted in {key_of(key) for key in section(one.body, "identity", "userAssignedIdentities")}:
                    raise conflict(
                        "IdentityInUse",
                        f"The identity '{resource.id}' is assigned to '{one.id}': delete that one first.",
                    )


class FederatedIdentityCredentials(Behaviour):
    """`…/federatedIdentityCredentials`: which outside token may act as the identity."""

    type = CREDENTIALS
    has_location = False
    shows_state = False
    name_pattern = re.compile(r"[A-Za-z0-9][\w-]{2,119}")
    name_rule = "3 to 120 letters, digits, hyphens and underscores, beginning with a letter or digit"

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Issuer, subject, one audience; no two of one issuer and subject; one write at a time an identity."""
        properties = cast(Body, body.get("properties") or {})
        issuer, subject = str(properties.get("issuer") or ""), str(properties.get("subject") or "")
        audiences = cast(list[str], properties.get("audiences") or [])
        for key, value in (("issuer", issuer), ("subject", subject), ("audiences", audiences)):
            if not value:
                raise bad_request("BadRequest", f"The federated credential '{request.name}' needs '{key}'.", key)
        parts = urlsplit(issuer)
        if parts.scheme != "https" or not parts.netloc or len(issuer) > 600:
            raise bad_request(
                "BadRequest", f"The issuer '{issuer}' must be an https URL of at most 600 characters.", "issuer"
            )
        if len(audiences) != 1:
            raise bad_request(
                "BadRequest", f"A federated credential has one audience, not {len(audiences)}.", "audiences"
            )
        others = [
            one
            for one in ctx.store.of_type(CREDENTIALS, request.parent_id)
            if key_of(one.id) != key_of(request.resource_id)
        ]
        for other in others:
            if (other.properties["issuer"], other.properties["subject"]) == (issuer, subject):
                raise conflict(
                    "Conflict",
                    "Issuer and subject combination already exists for this Managed Identity: federated credential "
                    f"'{other.name}' has issuer '{issuer}' and subject '{subject}'.",
                )
        if existing is None and len(others) >= 20:
            raise bad_request("BadRequest", "An identity can have 20 federated credentials at most.")


register(UserAssignedIdentities())
register(FederatedIdentityCredentials())
