"""Live retail prices: Azure's public price list, asked without an account, with the data files behind it.

Owns the requests, their cache on disk, and the choice of the one row that is meant. An answer that cannot be had or
read is reported in `problems`, and the data files' price is used: a price is never made up.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from capacity.cost.prices import HOURS_A_MONTH, MACHINE, SPOT_MACHINE, UNITS_A_MONTH, Meter, Price, PriceTable

ADDRESS = "https://prices.azure.com/api/retail/prices"
CACHED_SECONDS = 24 * 3600
"""List prices change by the month; spot prices by the hour, but no estimate of a month needs that."""

_PATIENCE = 10
_MOST_PAGES = 5
_UNITS: Mapping[str, float] = {
    "1 Hour": HOURS_A_MONTH,
    "1/Hour": HOURS_A_MONTH,
    "1/Day": HOURS_A_MONTH / 24,
    "1/Month": 1,
    "1": 1,
}
"""The price list's `unitOfMeasure` to how many of it make a month; units of data cost what one of them costs."""


class LivePrices:
    """Prices as the price list says now.

    Args:
        table: what is used where the list says nothing.
        folder: where answers are kept; a day old, they are asked for again.
        address: the price list's.

    Attributes:
        problems: why a price is not live, each once.
    """

    def __init__(self, table: PriceTable, folder: Path, address: str = ADDRESS) -> None:
        self._table = table
        self._folder = folder
        self._address = address
        self._unreachable = False
        self.problems: list[str] = []

    def price(self, meter: str, region: str) -> Price | None:
        """The list's price in the region, else the data files'."""
        wanted = self._wanted(meter, region)
        if wanted is None:
            return self._table.price(meter, region)
        rows = [row for row in self._rows(_filter(wanted)) if _is_meant(row, meter)]
        found = [price for row in rows if (price := self._monthly(row)) is not None]
        if not found:
            return self._table.price(meter, region)
        return Price(min(found), f"{self._address}, now")

    def _wanted(self, meter: str, region: str) -> dict[str, str] | None:
        """What the price list calls the meter; None where we do not know."""
        for start in (SPOT_MACHINE, MACHINE):
            if meter.startswith(start):
                size = meter.removeprefix(start)
                return {"serviceName": "Virtual Machines", "armRegionName": region, "armSkuName": size}
        known: Meter | None = self._table.meters.get(meter)
        if known is None or not known.name:
            return None
        named = {
            "serviceName": known.service,
            "productName": known.product,
            "skuName": known.sku,
            "meterName": known.name,
        }
        # Services without a place of their own are listed under Global.
        where = "Global" if known.service in _GLOBAL else region
        return {"armRegionName": where, **{name: value for name, value in named.items() if value}}

    def _monthly(self, row: Mapping[str, Any]) -> float | None:
        unit, usd = row.get("unitOfMeasure"), row.get("retailPrice")
        if not isinstance(usd, int | float):
            return None
        if unit in _UNITS:
            return usd * _UNITS[str(unit)]
        if isinstance(unit, str) and unit.split("/")[0] in ("1 GB", "1 GiB"):
            return usd * UNITS_A_MONTH["GB"]
        self._problem(f"the price list bills {row.get('meterName')} by {unit!r}, which is not known here")
        return None

    def _rows(self, odata: str) -> list[Mapping[str, Any]]:
        """All rows of one question, from the cache or from the list; none where it cannot be asked."""
        kept = self._folder / f"{sha256(f'{self._address} {odata}'.encode()).hexdigest()[:24]}.json"
        if kept.exists() and time.time() - kept.stat().st_mtime < CACHED_SECONDS:
            try:
                return cast("list[Mapping[str, Any]]", json.loads(kept.read_text()))
            except ValueError:
                kept.unlink(missing_ok=True)
        if self._unreachable:
            return []
        try:
            rows = self._asked(odata)
        except (OSError, ValueError) as error:
            self._unreachable = isinstance(error, urllib.error.URLError) and not isinstance(
                error, urllib.error.HTTPError
            )
            self._problem(f"{self._address} gave no prices ({error}); those of capacity/data are used")
            return []
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(rows))
        partial.replace(kept)
        return rows

    def _asked(self, odata: str) -> list[Mapping[str, Any]]:
        query = urllib.parse.urlencode({"api-version": "2023-01-01-preview", "currencyCode": "USD", "$filter": odata})
        address: str | None = f"{self._address}?{query}"
        rows: list[Mapping[str, Any]] = []
        for _ in range(_MOST_PAGES):
            if not address:
                break
            if urllib.parse.urlsplit(address)[:2] != urllib.parse.urlsplit(self._address)[:2]:
                raise ValueError(f"its next page lies elsewhere: {address[:80]}")
            with urllib.request.urlopen(address, timeout=_PATIENCE) as answer:
                page = json.load(answer)
            if not isinstance(page, dict) or not isinstance(cast("dict[str, Any]", page).get("Items"), list):
                raise ValueError("the answer has no Items")  # noqa: TRY004  what it was sent, not what it was called with
            listed = cast("dict[str, Any]", page)
            rows += cast("Sequence[Mapping[str, Any]]", listed["Items"])
            address = listed.get("NextPageLink")
            if address:
                address = address.replace(":443/", "/")
        return rows

    def _problem(self, text: str) -> None:
        if text not in self.problems:
            self.problems.append(text)


_GLOBAL = frozenset({"Azure DNS", "NAT Gateway", "Load Balancer"})


def _filter(wanted: Mapping[str, str]) -> str:
    """An OData filter; the list compares with care for case."""
    named = [f"{name} eq '{value.replace(chr(39), chr(39) * 2)}'" for name, value in wanted.items()]
    return " and ".join([*named, "priceType eq 'Consumption'"])


def _is_meant(row: Mapping[str, Any], meter: str) -> bool:
    """Whether a row is a Linux machine of the wanted kind, or of the lowest tier of use of anything else."""
    if row.get("tierMinimumUnits") not in (None, 0, 0.0) or row.get("currencyCode", "USD") != "USD":
        return False
    if not meter.startswith((MACHINE, SPOT_MACHINE)):
        return True
    sku, product = str(row.get("skuName", "")), str(row.get("productName", ""))
    if "Windows" in product or "Low Priority" in sku or "Cloud Services" in product or "CloudServices" in product:
        return False
    return ("Spot" in sku) == meter.startswith(SPOT_MACHINE)
