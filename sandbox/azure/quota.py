"""vCPU quota: limits by family, region and for spot, and what living machines use of them.

Limits come from `data/quota.json`, changed for one sandbox by `PUT /sandbox/quota`; usage is counted from the
scale sets' instances each time, so it cannot drift from them. Spot machines draw on `lowPriorityCores` alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from capacity.catalogue import VmSize, family_key, load_catalogue
from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.container_service import INSTANCE_TYPE, private, refusal
from sandbox.azure.errors import ArmError
from sandbox.azure.locations import location_names, normalised

REGION = "cores"
SPOT = "lowPriorityCores"
_DATA = Path(__file__).parent / "data" / "quota.json"
_OVERRIDES = "quota-limits"


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(_DATA.read_text()))


@lru_cache(maxsize=1)
def families() -> Mapping[str, str]:
    """Quota families of all known sizes: key (see `family_key`) to Azure's spelling."""
    return {size.family_key: size.family for size in load_catalogue().sizes.values()}


@lru_cache(maxsize=1)
def _default_limits() -> Mapping[str, int]:
    data = _data()
    granted = {family_key(name): int(limit) for name, limit in data["families"].items()}
    with_gpus = {size.family_key for size in load_catalogue().sizes.values() if size.gpus}
    limits = {
        key: granted.get(key, int(data["gpu_family"] if key in with_gpus else data["family"])) for key in families()
    }
    return {**limits, REGION.lower(): int(data[REGION]), SPOT.lower(): int(data[SPOT])}


def limit(ctx: Context, location: str, name: str) -> int:
    """vCPUs at most of a family, of `cores` or of `lowPriorityCores`, in a region."""
    key = family_key(name)
    changed = ctx.store.kv_get(_OVERRIDES, {})
    return int(changed.get(f"{location}/{key}", _default_limits()[key]))


def used(ctx: Context, location: str) -> Counter[str]:
    """vCPUs in use in a region, by family key, `cores` and `lowprioritycores`."""
    count: Counter[str] = Counter()
    for instance in ctx.store.of_type(INSTANCE_TYPE):
        if instance.body.get("location") != location:
            continue
        size = load_catalogue().size(instance.body["sku"]["name"])
        if size is None:
            continue
        if private(instance)["priority"] == "Spot":
            count[SPOT.lower()] += size.vcpus
        else:
            count[size.family_key] += size.vcpus
            count[REGION.lower()] += size.vcpus
    return count


def check_for_aks(ctx: Context, location: str, size: VmSize, machines: int, *, spot: bool) -> None:
    """AKS asks for quota before it begins.

    Raises:
        ArmError: `machines` more of that size do not fit.
    """
    short = _shortage(ctx, location, size, machines, spot=spot)
    if short is None:
        return
    name, remaining, wanted = short
    advice = (
        "If you want to increase the quota, please follow this instruction: "
        "https://learn.microsoft.com/en-us/azure/quotas/view-quotas. Surge nodes would also consume vcpu quota, please "
        "consider use smaller maxSurge or use maxUnavailable to proceed upgrade without surge nodes, details: "
        "aka.ms/aks/maxUnavailable."
    )
    if name == REGION:
        message = (
            f"Insufficient regional vcpu quota left for location {location}. left regional vcpu quota {remaining}, "
            f"requested quota {wanted}. {advice}"
        )
    else:
        message = (
            f"Insufficient vcpu quota requested {wanted}, remaining {remaining} for family {name} for region "
            f"{location}. {advice}"
        )
    raise refusal("ErrCode_InsufficientVCPUQuota", message)


def check_for_compute(ctx: Context, location: str, size: VmSize, machines: int, *, spot: bool) -> None:
    """Compute itself refuses machines past the quota, as the autoscaler meets it.

    Raises:
        ArmError: `machines` more of that size do not fit.
    """
    short = _shortage(ctx, location, size, machines, spot=spot)
    if short is None:
        return
    name, remaining, wanted = short
    top = limit(ctx, location, name)
    called = "Total Regional" if name == REGION else "LowPriority" if name == SPOT else name
    raise ArmError(
        409,
        "QuotaExceeded",
        f"Operation could not be completed as it results in exceeding approved {called} Cores quota. Additional "
        f"details - Deployment Model: Resource Manager, Location: {location}, Current Limit: {top}, Current Usage: "
        f"{top - remaining}, Additional Required: {wanted}, (Minimum) New Limit Required: {top - remaining + wanted}. "
        "Setup Alerts when Quota reaches threshold. Learn more at https://aka.ms/quotamonitoringalerting . Submit a "
        "request for Quota increase by specifying parameters listed in the 'Details' section for deployment to "
        "succeed. Please read more about quota limits at "
        "https://docs.microsoft.com/en-us/azure/azure-supportability/per-vm-quota-requests",
    )


def _shortage(ctx: Context, location: str, size: VmSize, machines: int, *, spot: bool) -> tuple[str, int, int] | None:
    """The first quota that `machines` more do not fit into: its name, the vCPUs left, the vCPUs wanted."""
    wanted = size.vcpus * machines
    if wanted <= 0:
        return None
    in_use = used(ctx, location)
    for name in (SPOT,) if spot else (size.family, REGION):
        remaining = limit(ctx, location, name) - in_use[family_key(name)]
        if wanted > remaining:
            return name, remaining, wanted
    return None


def usages(ctx: Context, location: str) -> list[Body]:
    """What `locations/{location}/usages` lists."""
    in_use = used(ctx, location)
    named = [(REGION, "Total Regional vCPUs"), (SPOT, "Total Regional Low-priority vCPUs")]
    named += [(family, f"{family} vCPUs") for family in sorted(families().values(), key=str.lower)]
    rows = [
        {
            "unit": "Count",
            "currentValue": in_use[family_key(name)],
            "limit": limit(ctx, location, name),
            "name": {"value": name, "localizedValue": localized},
        }
        for name, localized in named
    ]
    machines = [one for one in ctx.store.of_type(INSTANCE_TYPE) if one.body.get("location") == location]
    sets = {one.id.rsplit("/", 2)[0].lower() for one in machines}
    for name, localized, count, top in (
        ("virtualMachines", "Virtual Machines", len(machines), 25000),
        ("virtualMachineScaleSets", "Virtual Machine Scale Sets", len(sets), 2500),
    ):
        rows.append(
            {
                "unit": "Count",
                "currentValue": count,
                "limit": top,
                "name": {"value": name, "localizedValue": localized},
            }
        )
    return rows


def _list_usages(ctx: Context, request: Request, _body: Body) -> Reply:
    place = normalised(request.params["location"])
    if place not in location_names():
        raise ArmError(400, "InvalidParameter", f"The location '{request.params['location']}' is not a region.")
    return Reply(200, {"value": usages(ctx, place)})


def _change_limit(ctx: Context, _request: Request, body: Body) -> Reply:
    """`PUT /sandbox/quota {region, name, limit}`."""
    place, name, top = normalised(str(body.get("region", ""))), str(body.get("name", "")), body.get("limit")
    known = family_key(name) in _default_limits() and place in location_names()
    if set(body) != {"region", "name", "limit"} or not known or not isinstance(top, int) or top < 0:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"{body!r} must be {{region, name, limit}}: a region, a quota family, 'cores' or 'lowPriorityCores', and a "
            "whole number of vCPUs.",
        )
    changed = ctx.store.kv_get(_OVERRIDES, {})
    changed[f"{place}/{family_key(name)}"] = top
    ctx.store.kv_set(_OVERRIDES, changed)
    return Reply(200, {"region": place, "name": name, "limit": top})


def register_routes() -> None:
    """Serve the lists."""
    register_route(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/locations/{location}/usages",
        _list_usages,
        action="Microsoft.Compute/locations/usages/read",
    )
    register_route("PUT", "/sandbox/quota", _change_limit, platform_only=True)


register_routes()
