"""Prices of disks and shares, region by region, on top of the platform's price table.

Owns the reading of `capacity/data/storage_prices.csv`, whose meters are those of `retail_meters.csv` and the three of
provisioned v2 shares. A region's own price there comes before any other; what it lacks, the price table answers.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from capacity.catalogue import DATA
from capacity.cost.prices import UNITS_A_MONTH, Price, Prices, load_prices


class StoragePrices:
    """Prices by (meter, region), and the table that is asked for the others."""

    def __init__(self, rows: Mapping[tuple[str, str], Price], others: Prices) -> None:
        self._rows = rows
        self._others = others

    def price(self, meter: str, region: str) -> Price | None:
        """The price of a meter in a region; None: unknown."""
        return self._rows.get((meter, region)) or self._others.price(meter, region)


def read_storage_prices(folder: Path, others: Prices) -> StoragePrices:
    """The prices of a folder's `storage_prices.csv`."""
    with (folder / "storage_sources.csv").open(newline="") as file:
        sources = {row["key"]: f"{row['source']}, {row['date']}" for row in csv.DictReader(file)}
    with (folder / "storage_prices.csv").open(newline="") as file:
        rows = {
            (row["meter"], row["region"]): Price(float(row["usd"]) * UNITS_A_MONTH[row["unit"]], sources[row["source"]])
            for row in csv.DictReader(file)
        }
    return StoragePrices(rows, others)


@lru_cache(maxsize=1)
def load_storage_prices() -> StoragePrices:
    """The prices that lie beside this module, read once a process."""
    return read_storage_prices(DATA, load_prices())
