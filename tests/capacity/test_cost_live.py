"""Live prices: the right row of Azure's price list, its cache, and the data files behind it."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from capacity.cost.live import LivePrices
from capacity.cost.prices import HOURS_A_MONTH, MACHINE, SPOT_MACHINE, load_prices

SIZE = "Standard_NC4as_T4_v3"


def row(**changes: Any) -> dict[str, Any]:
    """A row as Azure's price list has it."""
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": 0.5,
        "unitPrice": 0.5,
        "armRegionName": "westeurope",
        "location": "EU West",
        "meterName": "NC4as T4 v3",
        "productName": "Virtual Machines NCasT4_v3 Series",
        "skuName": "NC4as T4 v3",
        "serviceName": "Virtual Machines",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": SIZE,
        **changes,
    }


MACHINES = [
    row(skuName="NC4as T4 v3 Low Priority", retailPrice=0.01),
    row(skuName="NC4as T4 v3 Spot", retailPrice=0.2),
    row(productName="Virtual Machines NCasT4_v3 Series Windows", retailPrice=0.1),
    row(),
]
DISK = row(
    serviceName="Storage",
    productName="Premium SSD Managed Disks",
    skuName="P10 LRS",
    meterName="P10 LRS Disk",
    unitOfMeasure="1/Month",
    retailPrice=33.0,
    armSkuName="Premium_SSD_Managed_Disk_P10",
)
NAT = row(serviceName="NAT Gateway", meterName="Standard Gateway", armRegionName="Global", retailPrice=0.05)


class PriceList(ThreadingHTTPServer):
    """A server with the shape of Azure's price list, in pages of two rows."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.status = 200
        self.body: bytes | None = None
        self.elsewhere = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/api/retail/prices"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = cast(PriceList, self.server)
        query = parse_qs(urlsplit(self.path).query)
        server.asked.append(query["$filter"][0])
        rows = [
            one
            for one in (*MACHINES, DISK, NAT)
            if all(_fits(one, part) for part in query["$filter"][0].split(" and "))
        ]
        skip = int(query.get("$skip", ["0"])[0])
        page: dict[str, Any] = {
            "BillingCurrency": "USD",
            "Items": rows[skip : skip + 2],
            "NextPageLink": None,
            "Count": 2,
        }
        if len(rows) > skip + 2:
            page["NextPageLink"] = server.elsewhere or f"{server.address}?{urlsplit(self.path).query}&$skip={skip + 2}"
        body = server.body or json.dumps(page).encode()
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _fits(one: dict[str, Any], part: str) -> bool:
    name, _, value = part.partition(" eq ")
    return one["type" if name == "priceType" else name] == value.strip("'")


@pytest.fixture
def prices_list() -> Generator[PriceList]:
    server = PriceList()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def live(server: PriceList, folder: Path) -> LivePrices:
    return LivePrices(load_prices(), folder, server.address)


def test_a_machine_is_the_linux_row_over_all_pages(prices_list: PriceList, tmp_path: Path) -> None:
    price = live(prices_list, tmp_path).price(MACHINE + SIZE, "westeurope")
    assert price is not None
    assert price.monthly_usd == pytest.approx(0.5 * HOURS_A_MONTH)
    assert not price.ceiling


def test_spot_machines_have_a_price_of_their_own(prices_list: PriceList, tmp_path: Path) -> None:
    price = live(prices_list, tmp_path).price(SPOT_MACHINE + SIZE, "westeurope")
    assert price is not None
    assert price.monthly_usd == pytest.approx(0.2 * HOURS_A_MONTH)
    assert not price.ceiling


def test_disks_by_the_month_and_gateways_of_the_whole_world(prices_list: PriceList, tmp_path: Path) -> None:
    known = live(prices_list, tmp_path)
    disk, gateway = known.price("disk-P10", "westeurope"), known.price("nat-gateway", "westeurope")
    assert disk is not None
    assert gateway is not None
    assert disk.monthly_usd == 33.0
    assert gateway.monthly_usd == pytest.approx(0.05 * HOURS_A_MONTH)


def test_answers_are_kept(prices_list: PriceList, tmp_path: Path) -> None:
    for _ in range(2):
        live(prices_list, tmp_path).price("disk-P10", "westeurope")
    assert len(prices_list.asked) == 1


def test_what_the_list_does_not_have_comes_from_the_data_files(prices_list: PriceList, tmp_path: Path) -> None:
    known = live(prices_list, tmp_path)
    assert known.price("public-ip", "westeurope") == load_prices().price("public-ip", "westeurope")
    assert known.price("files-premium-v2", "eastus2") == load_prices().price("files-premium-v2", "eastus2")
    assert known.price("cluster-premium", "westeurope") is None
    assert known.problems == []


@pytest.mark.parametrize("body", [b"<html>", b'{"Items": 5}', b"[]"], ids=["no JSON", "no rows", "a list"])
def test_an_answer_that_makes_no_sense_is_told_and_not_used(
    prices_list: PriceList, tmp_path: Path, body: bytes
) -> None:
    prices_list.body = body
    known = live(prices_list, tmp_path)
    assert known.price("disk-P10", "westeurope") == load_prices().price("disk-P10", "westeurope")
    assert len(known.problems) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_list_out_of_reach_is_asked_once_and_told(tmp_path: Path) -> None:
    known = LivePrices(load_prices(), tmp_path, "http://127.0.0.1:9/api/retail/prices")
    assert known.price("disk-P10", "westeurope") == load_prices().price("disk-P10", "westeurope")
    assert known.price("nat-gateway", "westeurope") is not None
    assert len(known.problems) == 1


def test_a_refusal_is_told(prices_list: PriceList, tmp_path: Path) -> None:
    prices_list.status = 429
    known = live(prices_list, tmp_path)
    known.price("disk-P10", "westeurope")
    assert "429" in known.problems[0]


def test_a_next_page_elsewhere_is_not_followed(prices_list: PriceList, tmp_path: Path) -> None:
    prices_list.elsewhere = "http://127.0.0.1:9/steal"
    known = live(prices_list, tmp_path)
    assert known.price(MACHINE + SIZE, "westeurope") == load_prices().price(MACHINE + SIZE, "westeurope")
    assert "elsewhere" in known.problems[0]
