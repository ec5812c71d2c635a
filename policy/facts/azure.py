"""Facts as Azure tells them: which request answers which question, and what is kept of the answer.

Owns the questions. A question is a text, `usages/westeurope`; its answer is plain JSON, fit for a cache or a snapshot.
What Azure does not answer raises `UnreadableError`: an empty list is no answer either, as a missing right
can look like one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote

from capacity.catalogue import family_key
from policy.model import UnverifiedError

Json = dict[str, Any]

COMPUTE = "2024-07-01"
SKUS = "2021-07-01"
CONTAINER_SERVICE = "2025-05-01"
VM_SKUS = "2026-04-02-preview"
RESOURCES = "2021-04-01"
FEATURES = "2021-07-01"
PERMISSIONS = "2022-04-01"
_CAPABILITIES = (
    "vCPUs",
    "GPUs",
    "MemoryGB",
    "LowPriorityCapable",
    "EncryptionAtHostSupported",
    "EphemeralOSDiskSupported",
    "CachedDiskBytes",
    "MaxResourceVolumeMB",
    "NvmeDiskSizeInMiB",
    "AcceleratedNetworkingEnabled",
    "RdmaEnabled",
)


class UnreadableError(UnverifiedError):
    """Azure did not answer a question; the message says which, why, and what to do."""


class AbsentError(Exception):
    """Azure says that there is no such thing, which is an answer."""


class Requests(Protocol):
    """Resource Manager, as far as questions need it."""

    subscription: str

    def get(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> Json:
        """One document.

        Raises:
            AbsentError: 404.
            UnreadableError: no answer.
        """
        ...

    def list(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> list[Json]:
        """All pages of a list; raises as `get` does."""
        ...


def question(kind: str, *arguments: str) -> str:
    """A question's text."""
    return "/".join([kind, *(quote(one.lower(), safe="") for one in arguments)])


def ask(requests: Requests, asked: str) -> Any:
    """Ask Azure.

    Raises:
        UnreadableError: no answer, or an empty one.
    """
    kind, *arguments = asked.split("/")
    return _QUESTIONS[kind](requests, *map(unquote, arguments))


def _usages(requests: Requests, region: str) -> Any:
    rows = requests.list(_compute(requests, f"locations/{region}/usages"), COMPUTE)
    found = {
        family_key(str(row["name"]["value"])): [row["name"]["value"], int(row["currentValue"]), int(row["limit"])]
        for row in rows
    }
    return _something(found, f"quota in {region}")


def _sizes(requests: Requests, region: str) -> Any:
    rows = requests.list(_compute(requests, "skus"), SKUS, {"$filter": f"location eq '{region}'"})
    found = {
        str(row["name"]).lower(): _size(row, region) for row in rows if row.get("resourceType") == "virtualMachines"
    }
    return _something(found, f"sizes on offer in {region}")


def _size(row: Json, region: str) -> Json:
    """One size: zones that are left after restrictions, and why the region is closed where it is."""
    zones = [zone for place in row.get("locationInfo") or () for zone in place.get("zones") or ()]
    closed: str | None = None
    for one in row.get("restrictions") or ():
        info: Json = one.get("restrictionInfo") or {}
        if one.get("type") == "Zone":
            zones = [zone for zone in zones if zone not in (info.get("zones") or ())]
        elif region in {str(place).lower() for place in info.get("locations") or one.get("values") or ()}:
            closed = str(one.get("reasonCode") or "NotAvailableForSubscription")
    values = {one["name"]: one["value"] for one in row.get("capabilities") or () if one["name"] in _CAPABILITIES}
    return {"name": row["name"], "family": row["family"], "zones": sorted(zones), "closed": closed, "can": values}


def _aks_sizes(requests: Requests, region: str) -> Any:
    path = f"/subscriptions/{requests.subscription}/providers/Microsoft.ContainerService/locations/{region}/vmSkus"
    rows = requests.list(path, VM_SKUS)
    return _something(sorted({str(row["name"]).lower() for row in rows}), f"sizes that AKS accepts in {region}")


def _clusters(requests: Requests) -> Any:
    """All clusters of the subscription; none is an answer."""
    path = f"/subscriptions/{requests.subscription}/providers/Microsoft.ContainerService/managedClusters"
    return [
        {
            "group": str(row["id"]).split("/")[4],
            "name": row["name"],
            "nodeGroup": row["properties"].get("nodeResourceGroup"),
        }
        for row in requests.list(path, CONTAINER_SERVICE)
    ]


def _cluster(requests: Requests, group: str, name: str) -> Any:
    path = (
        f"/subscriptions/{requests.subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService"
        f"/managedClusters/{name}"
    )
    try:
        found = requests.get(path, CONTAINER_SERVICE)
    except AbsentError:
        return None
    return {
        "location": str(found["location"]).lower().replace(" ", ""),
        "nodeGroup": found["properties"].get("nodeResourceGroup"),
    }


def _scale_sets(requests: Requests, group: str) -> Any:
    path = (
        f"/subscriptions/{requests.subscription}/resourceGroups/{group}/providers/Microsoft.Compute"
        "/virtualMachineScaleSets"
    )
    try:
        rows = requests.list(path, COMPUTE)
    except AbsentError:
        return []
    return [_scale_set(row) for row in rows]


def _scale_set(row: Json) -> Json:
    profile: Json = row.get("properties", {}).get("virtualMachineProfile") or {}
    drawn: Json = profile.get("capacityReservation") or {}
    reservation: Json = drawn.get("capacityReservationGroup") or {}
    tags: Json = row.get("tags") or {}
    return {
        "pool": str(tags.get("aks-managed-poolName") or _pool_name(str(row["name"]))),
        "size": row["sku"]["name"],
        "count": int(row["sku"].get("capacity") or 0),
        "spot": profile.get("priority") == "Spot",
        "group": reservation.get("id"),
    }


def _pool_name(scale_set: str) -> str:
    """`aks-<pool>-<digits>-vmss` is how AKS names them."""
    parts = scale_set.split("-")
    return parts[1] if len(parts) == 4 else scale_set


def _reservations(requests: Requests, group: str) -> Any:
    try:
        rows = requests.list(f"{group}/capacityReservations", COMPUTE)
    except AbsentError:
        return []
    return [{"size": row["sku"]["name"], "count": int(row["sku"].get("capacity") or 0)} for row in rows]


def _providers(requests: Requests) -> Any:
    rows = requests.list(f"/subscriptions/{requests.subscription}/providers", RESOURCES)
    found = {str(row["namespace"]).lower(): str(row["registrationState"]) for row in rows}
    return _something(found, "which resource providers are registered")


def _feature(requests: Requests, namespace: str, name: str) -> Any:
    path = f"/subscriptions/{requests.subscription}/providers/Microsoft.Features/providers/{namespace}/features/{name}"
    try:
        found = requests.get(path, FEATURES)
    except AbsentError:
        return "NotRegistered"
    return str(found["properties"]["state"])


def _permissions(requests: Requests) -> Any:
    path = f"/subscriptions/{requests.subscription}/providers/Microsoft.Authorization/permissions"
    rows = requests.list(path, PERMISSIONS)
    kept: list[Json] = [
        {"actions": row.get("actions") or [], "notActions": row.get("notActions") or []} for row in rows
    ]
    return _something(kept, "what this sign-in may do")


def _compute(requests: Requests, rest: str) -> str:
    return f"/subscriptions/{requests.subscription}/providers/Microsoft.Compute/{rest}"


def _something(found: Any, what: str) -> Any:
    if not found:
        raise UnreadableError(
            f"Azure's answer about {what} is empty, which a missing right looks like: give this sign-in Reader on the "
            "subscription."
        )
    return found


_QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "usages": _usages,
    "sizes": _sizes,
    "aks-sizes": _aks_sizes,
    "cluster": _cluster,
    "clusters": _clusters,
    "scale-sets": _scale_sets,
    "reservations": _reservations,
    "providers": _providers,
    "feature": _feature,
    "permissions": _permissions,
}


def described(asked: str) -> str:
    """A question in words."""
    kind, *arguments = asked.split("/")
    where = " ".join(map(unquote, arguments))
    return _WORDS[kind].format(where)


_WORDS: Mapping[str, str] = {
    "usages": "quota in {}",
    "sizes": "sizes on offer in {}",
    "aks-sizes": "sizes that AKS accepts in {}",
    "cluster": "the cluster {}",
    "clusters": "the subscription's clusters",
    "scale-sets": "machines that run in {}",
    "reservations": "the capacity reservations of {}",
    "providers": "which resource providers are registered",
    "feature": "whether the feature {} is registered",
    "permissions": "what this sign-in may do",
}
