"""Container registries."""

from __future__ import annotations

import re

from sandbox.azure.behaviour import Behaviour, Body, Context, Reply, Request, register
from sandbox.azure.context import section
from sandbox.azure.errors import bad_request, conflict
from sandbox.azure.ids import key_of
from sandbox.azure.store import Resource

REGISTRIES = "Microsoft.ContainerRegistry/registries"
_PREMIUM_ONLY = ("networkRuleSet", "dataEndpointEnabled")


class Registries(Behaviour):
    """`Microsoft.ContainerRegistry/registries`."""

    type = REGISTRIES
    name_pattern = re.compile(r"[A-Za-z0-9]{5,50}")
    name_rule = "5 to 50 letters and digits"
    creates = 0.3
    changes = 0.3
    deletes = 0.3

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """One name in the world; what only the Premium tier has."""
        for other in ctx.store.of_type(REGISTRIES):
            if other.name.lower() == request.name.lower() and key_of(other.id) != key_of(request.resource_id):
                raise conflict(
                    "AlreadyInUse", f"The registry DNS name {request.name.lower()}.azurecr.io is already in use."
                )
        sku = str(section(body, "sku").get("name"))
        if sku == "Classic":
            raise bad_request("SkuNotSupported", "The sku 'Classic' is retired: use Basic, Standard or Premium.", "sku")
        properties = section(body, "properties")
        if sku != "Premium":
            asked = [key for key in _PREMIUM_ONLY if properties.get(key)]
            if properties.get("publicNetworkAccess") == "Disabled":
                asked.append("publicNetworkAccess")
            if properties.get("zoneRedundancy") == "Enabled":
                asked.append("zoneRedundancy")
            if asked:
                raise bad_request(
                    "FeatureNotSupportedInSku",
                    f"The registry sku '{sku}' does not support {', '.join(asked)}: use Premium or leave these out.",
                )

    def fill(self, ctx: Context, request: Request, document: Body, existing: Resource | None) -> None:
        """Login server and Azure's defaults."""
        properties = document["properties"]
        document["sku"]["tier"] = document["sku"]["name"]
        properties["loginServer"] = f"{document['name'].lower()}.azurecr.io"
        properties["creationDate"] = existing.properties["creationDate"] if existing else ctx.timestamp()
        defaults: Body = {
            "adminUserEnabled": False,
            "anonymousPullEnabled": False,
            "dataEndpointEnabled": False,
            "publicNetworkAccess": "Enabled",
            "networkRuleBypassOptions": "AzureServices",
            "zoneRedundancy": "Disabled",
        }
        for key, value in defaults.items():
            properties.setdefault(key, value)

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`listCredentials`, refused while the admin user is off."""
        if name.lower() != "listcredentials":
            return super().action(ctx, request, resource, name, body)
        raise bad_request(
            "UnAuthorizedForCredentialOperations",
            f"Cannot perform credential operations for {resource.id} as admin user is disabled. Kindly enable admin "
            "user as per docs: https://docs.microsoft.com/azure/container-registry/container-registry-authentication",
        )


register(Registries())
