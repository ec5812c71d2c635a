"""What all types of Microsoft.Network share: names, etags, and waiting for operations on the same network."""

from __future__ import annotations

import re

from sandbox.azure.behaviour import Behaviour, Body, Context, Reference, Request
from sandbox.azure.checks import find
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.locations import normalised
from sandbox.azure.operations import Operation
from sandbox.azure.store import Resource

NETWORKS = "Microsoft.Network/virtualNetworks"
SUBNETS = f"{NETWORKS}/subnets"
SECURITY_GROUPS = "Microsoft.Network/networkSecurityGroups"
NAT_GATEWAYS = "Microsoft.Network/natGateways"
PUBLIC_ADDRESSES = "Microsoft.Network/publicIPAddresses"
ENDPOINTS = "Microsoft.Network/privateEndpoints"
INTERFACES = "Microsoft.Network/networkInterfaces"
JOIN_SUBNET = f"{SUBNETS}/join/action"


class NetworkType(Behaviour):
    """A type of the network service."""

    name_pattern = re.compile(r"[A-Za-z0-9]([\w.-]{0,78}\w)?")
    name_rule = "1 to 80 letters, digits, underscores, periods and hyphens, beginning with a letter or digit and ending with a letter, digit or underscore"  # fmt: skip  # noqa: E501
    has_etag = True
    patches_tags_only = True
    creates = 0.3
    deletes = 0.3


def in_progress(operation: Operation) -> ArmError:
    """The refusal while another operation works on the same network; a client tries again."""
    return ArmError(
        409,
        "AnotherOperationInProgress",
        f"Another operation on this or dependent resource is in progress: '{operation.kind}' of "
        f"{operation.resource_id}, operation {operation.id}.",
        headers={"Retry-After": "1"},
    )


def users(ctx: Context, resource_id: str, places: tuple[tuple[str, str], ...]) -> list[str]:
    """The ids of resources that name `resource_id`.

    Args:
        places: (type, path of the property, see `Reference.path`).
    """
    wanted = resource_id.lower()
    return [
        one.id
        for resource_type, path in places
        for one in ctx.store.of_type(resource_type)
        if any(isinstance(value, str) and value.lower() == wanted for _, value in find(one.body, path))
    ]


def refuse_use(code: str, what: str, resource: Resource, found: list[str]) -> None:
    """Refuse the deletion of what others use.

    Raises:
        ArmError: somebody uses it.
    """
    if found:
        raise ArmError(
            400,
            code,
            f"{what} {resource.id} cannot be deleted because it is in use by: {', '.join(found[:5])}. Delete or "
            "detach these first.",
        )


def same_region(ctx: Context, references: tuple[Reference, ...], region: str, body: Body, request: Request) -> None:
    """What a network resource refers to must lie in its own region.

    Raises:
        ArmError: it lies in another.
    """
    for reference in references:
        for path, value in find(body, reference.path):
            target = ctx.store.get(str(value))
            place = normalised(str(target.body.get("location", region))) if target else region
            if place not in (region, "global"):
                raise bad_request(
                    "InvalidResourceReference",
                    f"Resource {value} referenced by resource {request.resource_id} at '{path}' was not found in "
                    f"{region}: it is in {place}. Both resources must be in the same region.",
                    path,
                )
