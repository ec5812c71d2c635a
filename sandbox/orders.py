"""What a person, a demonstration or a test orders of the simulated Azure: limits of quota, faults, evictions.

Owns one request at a time, as one of the sandbox's own parts, from outside any event loop. Does not own what an order
does (`sandbox/azure`).
"""

from __future__ import annotations

import json
import ssl
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from capacity.catalogue import family_key
from sandbox.home import Home

_SECONDS = 60


def ask(home: Home, method: str, where: str, body: Mapping[str, Any] | None = None) -> Any:
    """One request, and what the answer's JSON says; None where it says nothing.

    Args:
        home: the running sandbox.
        where: path and query, `/sandbox/machines`.

    Raises:
        urllib.error.URLError: Azure does not answer, or refuses.
    """
    context = ssl.create_default_context(cafile=str(home.ca_cert))
    handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(home.azure_url + where, method=method, data=data)
    request.add_header("Authorization", f"Bearer {home.config.internal_token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS) as answer:
        text = answer.read()
    return json.loads(text) if text.strip() else None


def quotas(home: Home, region: str) -> dict[str, int]:
    """The limits of a region, by the names that `capacity.catalogue.family_key` gives.

    Raises:
        urllib.error.URLError: Azure does not answer.
    """
    where = f"/subscriptions/{home.config.subscription_id}/providers/Microsoft.Compute/locations/{region}/usages"
    listed = ask(home, "GET", f"{where}?api-version=2024-07-01")["value"]
    return {family_key(row["name"]["value"]): int(row["limit"]) for row in listed}


def set_quota(home: Home, region: str, name: str, limit: int) -> None:
    """Set one limit.

    Raises:
        urllib.error.URLError: Azure does not answer, or does not know the name.
    """
    ask(home, "PUT", "/sandbox/quota", {"region": region, "name": name, "limit": limit})


@contextmanager
def quota(home: Home, region: str, limits: Mapping[str, int]) -> Generator[dict[str, int]]:
    """Other limits for a while.

    Yields:
        The limits as they were before, by the names given.

    Raises:
        KeyError: a name that the region has no limit of.
        urllib.error.URLError: Azure does not answer.
    """
    present = quotas(home, region)
    before = {name: present[family_key(name)] for name in limits}
    try:
        for name, limit in limits.items():
            set_quota(home, region, name, limit)
        yield before
    finally:
        for name, limit in before.items():
            set_quota(home, region, name, limit)


@contextmanager
def quota_of_at_least(home: Home, region: str, wanted: Mapping[str, int]) -> Generator[dict[str, int]]:
    """Raise for a while the limits that are lower than wanted; yields and raises as `quota`, of those raised."""
    present = quotas(home, region)
    with quota(
        home, region, {name: limit for name, limit in wanted.items() if present[family_key(name)] < limit}
    ) as was:
        yield was
