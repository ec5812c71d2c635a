"""Which VM sizes this subscription is offered where: sizes, zones, restrictions.

Sizes and regions come from the catalogue; zones and restrictions from `data/offers.json`, changed for one
sandbox by `PUT /sandbox/skus`. Serves `Microsoft.Compute/skus` and AKS's `vmSkus`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from capacity.catalogue import VmSize, family_key, load_catalogue
from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.locations import locations, normalised

_DATA = Path(__file__).parent / "data" / "offers.json"
_OVERRIDES = "sku-offers"
_LOCATION_FILTER = re.compile(r"\s*location\s+eq\s+'([^']*)'\s*", re.IGNORECASE)
_AKS_GPU_VENDORS = {"amd": ("standard_nd96isr_mi300x_v5",)}
"""GPU vendors of which AKS takes only some sizes (azure-aks-docs use-amd-gpus.md)."""


@dataclass(frozen=True)
class Offer:
    """One size in one region, as this subscription is offered it.

    Attributes:
        zones: where it can be pinned to; empty: only the region as a whole.
        restricted: Azure answers `NotAvailableForSubscription` for the region.
    """

    size: VmSize
    location: str
    zones: tuple[str, ...]
    restricted: bool

    @property
    def for_aks(self) -> bool:
        """Whether AKS takes it for nodes."""
        allowed = _AKS_GPU_VENDORS.get(self.size.gpu_vendor or "")
        return not self.restricted and (allowed is None or self.size.name.lower() in allowed)


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(_DATA.read_text()))


@lru_cache(maxsize=1)
def _zonal() -> frozenset[str]:
    return frozenset(one["name"] for one in locations() if one["zones"])


def _make(size: VmSize, location: str, overrides: Mapping[str, Mapping[str, Any]]) -> Offer:
    zones = _data()["size_zones"].get(location, {}).get(size.name)
    if zones is None:
        zones = ("1", "2", "3") if location in _zonal() else ()
    restricted = size.family_key in {family_key(one) for one in _data()["retired_families"]}
    changed = overrides.get(f"{location}/{size.name}".lower(), {})
    return Offer(size, location, tuple(changed.get("zones", zones)), bool(changed.get("restricted", restricted)))


def offer(ctx: Context, location: str, size: str) -> Offer | None:
    """The size in that region; None where it is unknown or not sold there."""
    found = load_catalogue().size(size)
    if found is None or not load_catalogue().sold_in(location, found.name):
        return None
    return _make(found, location, ctx.store.kv_get(_OVERRIDES, {}))


def offers(ctx: Context, location: str) -> list[Offer]:
    """Every size sold in that region, by name."""
    overrides = ctx.store.kv_get(_OVERRIDES, {})
    catalogue = load_catalogue()
    return [
        _make(size, location, overrides) for name, size in catalogue.sizes.items() if catalogue.sold_in(location, name)
    ]


def capabilities(size: VmSize) -> dict[str, str]:
    """What a `ResourceSku` says of the size, in Azure's names, units and spelling; what is unknown is left out."""
    known: dict[str, Any] = {
        "vCPUs": size.vcpus,
        "vCPUsAvailable": size.vcpus,
        "MemoryGB": f"{size.memory_mib / 1024:g}",
        "GPUs": size.gpus or None,
        "CpuArchitectureType": {"amd64": "x64", "arm64": "Arm64"}[size.architecture],
        "VMDeploymentTypes": "IaaS",
        "MaxResourceVolumeMB": None if size.temp_disk_gib is None else size.temp_disk_gib * 1024,
        "CachedDiskBytes": None if size.cache_disk_gib is None else size.cache_disk_gib * 1024**3,
        "NvmeDiskSizeInMiB": size.nvme_disk_gib * 1024 if size.nvme_disk_gib else None,
        "EphemeralOSDiskSupported": None if size.os_disk_room_gib is None else size.os_disk_room_gib > 0,
        "PremiumIO": size.premium_disks,
        "AcceleratedNetworkingEnabled": size.accelerated_networking,
        "RdmaEnabled": size.rdma,
        "LowPriorityCapable": size.spot_capable,
        "EncryptionAtHostSupported": size.encryption_at_host,
        "CapacityReservationSupported": size.capacity_reservation,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def document(one: Offer) -> Body:
    """The offer as a `ResourceSku`."""
    tier, _, short = one.size.name.partition("_")
    restrictions: list[Body] = []
    if one.restricted:
        restrictions.append(
            {
                "type": "Location",
                "values": [one.location],
                "restrictionInfo": {"locations": [one.location]},
                "reasonCode": "NotAvailableForSubscription",
            }
        )
    return {
        "resourceType": "virtualMachines",
        "name": one.size.name,
        "tier": tier,
        "size": short,
        "family": one.size.family,
        "locations": [one.location],
        "locationInfo": [{"location": one.location, "zones": list(one.zones), "zoneDetails": []}],
        "capabilities": [{"name": name, "value": value} for name, value in capabilities(one.size).items()],
        "restrictions": restrictions,
    }


def _list_skus(ctx: Context, request: Request, _body: Body) -> Reply:
    wanted = request.query.get("$filter")
    if wanted is None:
        places = [one["name"] for one in locations()]
    else:
        match = _LOCATION_FILTER.fullmatch(wanted)
        if not match:
            raise bad_request(
                "InvalidFilterInQueryString",
                f"The filter '{wanted}' is not supported: only \"location eq 'westeurope'\" is.",
                "$filter",
            )
        places = [normalised(match[1])]
    return Reply(200, {"value": [document(one) for place in places for one in offers(ctx, place)]})


def _list_aks_skus(ctx: Context, request: Request, _body: Body) -> Reply:
    place = normalised(request.params["location"])
    return Reply(200, {"value": [document(one) for one in offers(ctx, place) if one.for_aks]})


def _change_offer(ctx: Context, _request: Request, body: Body) -> Reply:
    """`PUT /sandbox/skus {region, name, zones?, restricted?}`: what this subscription is offered from now on."""
    place, size = normalised(str(body.get("region", ""))), load_catalogue().size(str(body.get("name", "")))
    unknown = set(body) - {"region", "name", "zones", "restricted"}
    if unknown or size is None or not load_catalogue().sold_in(place, size.name):
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"{body!r} must be {{region, name, zones?, restricted?}} with a size that is sold in the region.",
        )
    overrides = ctx.store.kv_get(_OVERRIDES, {})
    overrides[f"{place}/{size.name}".lower()] = {key: body[key] for key in ("zones", "restricted") if key in body}
    ctx.store.kv_set(_OVERRIDES, overrides)
    changed = offer(ctx, place, size.name)
    return Reply(200, document(changed) if changed else None)


def register_routes() -> None:
    """Serve the lists."""
    register_route(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.Compute/skus",
        _list_skus,
        action="Microsoft.Compute/skus/read",
    )
    register_route(
        "GET",
        "/subscriptions/{subscription}/providers/Microsoft.ContainerService/locations/{location}/vmSkus",
        _list_aks_skus,
        action="Microsoft.ContainerService/locations/vmSkus/read",
    )
    register_route("PUT", "/sandbox/skus", _change_offer, platform_only=True)


register_routes()
