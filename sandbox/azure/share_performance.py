"""Provisioned IOPS and throughput of file shares: who takes them, how much, and when they may sink.

Bounds and recommended values: learn.microsoft.com azure/storage/files `understanding-billing` and
`storage-files-scale-targets`, read 2026-07.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from sandbox.azure.behaviour import Body
from sandbox.azure.errors import bad_request

_PAUSE = datetime.timedelta(hours=24)
_ALLOWED_FROM = {
    "shareQuota": "nextAllowedQuotaDowngradeTime",
    "provisionedIops": "nextAllowedProvisionedIopsDowngradeTime",
    "provisionedBandwidthMibps": "nextAllowedProvisionedBandwidthDowngradeTime",
}


@dataclass(frozen=True)
class Provisioned:
    """A medium of the provisioned v2 model.

    Attributes:
        gib, iops, mibps: least and most of a share.
        base, per_gib: what is recommended, IOPS and MiB/s each: `base + GiB * per_gib`.
    """

    gib: tuple[int, int]
    iops: tuple[int, int]
    mibps: tuple[int, int]
    base: tuple[int, int]
    per_gib: tuple[float, float]

    def recommended(self, gib: int) -> tuple[int, int]:
        """IOPS and MiB/s of a share of that size, where none are asked for."""
        iops = min(self.base[0] + int(gib * self.per_gib[0]), self.iops[1])
        return iops, min(self.base[1] + int(gib * self.per_gib[1]), self.mibps[1])


_SSD = Provisioned((32, 262_144), (3_000, 102_400), (100, 10_340), (3_000, 100), (1, 0.1))
_HDD = Provisioned((32, 262_144), (500, 50_000), (60, 5_120), (1_000, 60), (0.2, 0.02))


def provisioned(sku: str) -> Provisioned | None:
    """The medium of an account of the provisioned v2 model, None for every other account."""
    return _SSD if sku.startswith("PremiumV2_") else _HDD if sku.startswith("StandardV2_") else None


def check_performance(sku: str, properties: Body, existing: Body | None) -> None:
    """Refuse IOPS and throughput that the account's model does not have, or not that much or little of.

    Raises:
        ArmError: 400.
    """
    medium = provisioned(sku)
    bursting: Body = properties.get("fileSharePaidBursting") or {}
    if bursting.get("paidBurstingEnabled") and not sku.startswith("Premium_"):
        raise _refused("fileSharePaidBursting", True, f"an account of {sku}; it is for Premium_LRS and Premium_ZRS")
    for key, bounds in (
        ("provisionedIops", medium.iops if medium else None),
        ("provisionedBandwidthMibps", medium.mibps if medium else None),
    ):
        given = properties.get(key)
        if given is None:
            continue
        if bounds is None:
            raise _refused(key, given, f"an account of {sku}: it needs a PremiumV2_ or StandardV2_ SKU")
        if not bounds[0] <= given <= bounds[1]:
            raise _refused(key, given, f"a share of {sku}: {bounds[0]} to {bounds[1]}")
    if medium is not None and existing is not None:
        _check_decrease(properties, existing)


def _check_decrease(properties: Body, existing: Body) -> None:
    for key, allowed_from in _ALLOWED_FROM.items():
        given, before = properties.get(key), existing.get(key)
        from_when = existing.get(allowed_from)
        if given is None or before is None or given >= before or from_when is None:
            continue
        if datetime.datetime.now(datetime.UTC) < datetime.datetime.fromisoformat(from_when):
            raise _refused(
                key,
                given,
                f"a share that has {before}: it may be lowered from {from_when}, 24 hours after it was raised",
            )


def fill_performance(sku: str, properties: Body, existing: Body | None) -> None:
    """What a share has where nothing is asked for, and from when it may sink after a rise."""
    medium = provisioned(sku)
    if medium is None:
        return
    before = existing or {}
    recommended = medium.recommended(int(properties["shareQuota"]))
    for key, value in zip(("provisionedIops", "provisionedBandwidthMibps"), recommended, strict=True):
        properties.setdefault(key, before.get(key, value))
    for key, allowed_from in _ALLOWED_FROM.items():
        if key in before and properties[key] > before[key]:
            properties[allowed_from] = (datetime.datetime.now(datetime.UTC) + _PAUSE).isoformat()
        elif allowed_from in before:
            properties[allowed_from] = before[allowed_from]


def _refused(key: str, value: Any, whose: str) -> Exception:
    return bad_request(
        "InvalidRequestPropertyValue",
        f"The value '{value}' is not allowed for property {key} of {whose}.",
        f"properties.{key}",
    )
