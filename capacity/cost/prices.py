"""Retail prices: what one unit of a meter costs in a region, and where that is known from.

Owns the reading of `capacity/data/retail_meters.csv` and `retail_prices.csv`. Machines' prices come from the catalogue.
A price of another region stands in where a region's own is not known, and says so; without any price a meter is
unknown, which is not free.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from capacity.catalogue import Catalogue, load_catalogue

DATA = Path(__file__).parent.parent / "data"
HOURS_A_MONTH = 730
"""As Azure's price calculator counts: 365 days of 24 hours in 12 months."""

UNITS_A_MONTH: Mapping[str, float] = {
    "hour": HOURS_A_MONTH,
    "day": HOURS_A_MONTH / 24,
    "month": 1,
    "GB": 1,
    "GB/month": 1,
}
"""Billing unit to how many of it make a month; data is billed by the piece."""

MACHINE, SPOT_MACHINE = "machine:", "spot-machine:"
"""Beginnings of the meters of machines; a VM size follows."""


@dataclass(frozen=True, slots=True)
class Meter:
    """Something that Azure bills, and how its retail price API names it.

    Attributes:
        key: our name, as in `disk-P10`.
        what: in words.
        unit: of billing: hour, day, month, GB, GB/month.
        service, product, sku, name: the API's serviceName, productName, skuName, meterName; empty: any.
    """

    key: str
    what: str
    unit: str
    service: str
    product: str
    sku: str
    name: str


@dataclass(frozen=True, slots=True)
class Price:
    """What one piece costs a month.

    Attributes:
        monthly_usd: US dollars a month for one machine, disk, GiB; for data, for one GB.
        source: where the price is known from.
        borrowed_from: the region whose price this is, where the asked region's own is not known.
        ceiling: whether the true price is not known, but no higher.
    """

    monthly_usd: float
    source: str
    borrowed_from: str | None = None
    ceiling: bool = False


class Prices(Protocol):
    """Anything that knows prices."""

    def price(self, meter: str, region: str) -> Price | None:
        """The price of a meter in a region; None: unknown."""
        ...


class PriceTable:
    """The prices of the data files.

    Args:
        meters: by key.
        rows: meter to region to (US dollars a unit, source).
        catalogue: machines' prices.
    """

    def __init__(
        self,
        meters: Mapping[str, Meter],
        rows: Mapping[str, Mapping[str, tuple[float, str]]],
        catalogue: Catalogue,
    ) -> None:
        self.meters = meters
        self._rows = rows
        self._catalogue = catalogue

    def price(self, meter: str, region: str) -> Price | None:
        """The region's own price, else the dearest known one, said to be another region's.

        The price of a spot machine moves by the hour and is in no table: the on-demand price is its ceiling.
        """
        for start in (MACHINE, SPOT_MACHINE):
            if meter.startswith(start):
                hourly = self._catalogue.price(region, meter.removeprefix(start))
                if hourly is None:
                    return None
                return Price(hourly * HOURS_A_MONTH, "capacity/data/vm_prices.csv", ceiling=start == SPOT_MACHINE)
        rows = self._rows.get(meter, {})
        if not rows:
            return None
        where = region if region in rows else max(rows, key=lambda one: (rows[one][0], one))
        usd, source = rows[where]
        monthly = usd * UNITS_A_MONTH[self.meters[meter].unit]
        return Price(monthly, source, borrowed_from=None if where == region else where)


@lru_cache(maxsize=1)
def load_prices() -> PriceTable:
    """The prices that lie beside the catalogue, read once a process."""
    return read_prices(DATA, load_catalogue())


def read_prices(folder: Path, catalogue: Catalogue) -> PriceTable:
    """Prices from the two files of a folder.

    Raises:
        ValueError: a price names a meter that is not in the list of meters, or a unit that is not known.
    """
    with (folder / "retail_meters.csv").open(newline="") as file:
        meters = {
            row["meter"]: Meter(
                row["meter"], row["what"], row["unit"], row["service"], row["product"], row["sku"], row["name"]
            )
            for row in csv.DictReader(file)
        }
    rows: dict[str, dict[str, tuple[float, str]]] = {}
    with (folder / "retail_prices.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            meter = meters.get(row["meter"])
            if meter is None or meter.unit not in UNITS_A_MONTH:
                raise ValueError(f"{folder}: the price of {row['meter']} has no meter, or one with an unknown unit")
            rows.setdefault(row["meter"], {})[row["region"]] = (float(row["usd"]), f"{row['source']}, {row['date']}")
    return PriceTable(meters, rows, catalogue)
