"""What everything of Azure Kubernetes Service shares: the form of its errors, and where its state is kept.

AKS answers errors without the outer `{"error": …}` that other services put around them.
"""

from __future__ import annotations

from typing import Any, cast

from sandbox.azure.behaviour import Body, Context, Request
from sandbox.azure.errors import ArmError
from sandbox.azure.store import Resource

CLUSTER_TYPE = "Microsoft.ContainerService/managedClusters"
POOL_TYPE = "Microsoft.ContainerService/managedClusters/agentPools"
SCALE_SET_TYPE = "Microsoft.Compute/virtualMachineScaleSets"
INSTANCE_TYPE = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines"
IDENTITY_TYPE = "Microsoft.ManagedIdentity/userAssignedIdentities"
GROUP_TYPE = "Microsoft.Resources/resourceGroups"

_PRIVATE = "_sandbox"


def refusal(code: str, message: str, target: str | None = None, *, status: int = 400) -> ArmError:
    """An error in AKS's own form."""
    return ArmError(status, code, message, target=target, flat=True)


def invalid(parameter: str, details: str) -> ArmError:
    """`InvalidParameter`, as AKS words it for a value out of its bounds.

    Args:
        parameter: `agentPoolProfile.upgradeSettings.maxSurge`.
        details: what is wrong with it, a full sentence.
    """
    return refusal(
        "InvalidParameter",
        f"The value of parameter {parameter} is invalid. Error details: {details} "
        "Please see https://aka.ms/aks-naming-rules for more details.",
        parameter,
    )


def unchangeable(path: str) -> ArmError:
    """A create-only property was given another value.

    Args:
        path: `properties.vmSize`.
    """
    return refusal("PropertyChangeNotAllowed", f"Changing property '{path}' is not allowed.", path)


def in_progress(what: str) -> ArmError:
    """409: another operation must end first.

    Args:
        what: `operation (Updating)` or `agentpool operation (nodepool1 - Creating)`.
    """
    return ArmError(
        409,
        "OperationNotAllowed",
        f"Operation is not allowed: Another {what} is in progress, please wait for it to finish before starting a new "
        "operation. See https://aka.ms/aks-pending-operation for more details",
        headers={"Retry-After": "1"},
        flat=True,
    )


def private(resource: Resource) -> Body:
    """What the sandbox keeps of a resource beside its document; a change is written by `Store.put`."""
    return resource.body.setdefault(_PRIVATE, {})


def public(resource: Resource) -> Body:
    """The document without what the sandbox keeps beside it."""
    return {key: value for key, value in resource.body.items() if key != _PRIVATE}


def text(value: Any) -> str:
    """A property that may be missing, as a string."""
    return "" if value is None else str(value)


def mapping(value: Any) -> Body:
    """An object that may be missing."""
    return cast(Body, value or {})


def listed(value: Any) -> list[Any]:
    """A list that may be missing."""
    return cast("list[Any]", value or [])


def number_in(properties: Body, key: str) -> int | None:
    """A whole number of the body, None where it is left out."""
    value = properties.get(key)
    return int(value) if value is not None else None


def group_id(subscription_id: str, name: str) -> str:
    """The id of a resource group."""
    return f"/subscriptions/{subscription_id}/resourceGroups/{name}"


CLUSTER_PATH = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService"
    "/managedClusters/{cluster}"
)


def cluster_of_route(ctx: Context, request: Request, action: str) -> Resource:
    """The cluster of a route's path, readable by the caller."""
    identifier = CLUSTER_PATH.format(**{key: request.params[key] for key in ("subscription", "group", "cluster")})
    ctx.authorization.require(ctx.caller, action, identifier)
    found = ctx.store.get(identifier)
    if found is None:
        raise ArmError(404, "ResourceNotFound", f"The managed cluster '{request.params['cluster']}' was not found.")
    return found
