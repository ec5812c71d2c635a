"""Resource Manager as the autoscaler calls it, signed in with the Deployment's own federated identity.

Owns tokens, paging, throttling and long operations. Calls what AZ calls, with its API versions.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

import aiohttp

from sandbox.home import Home
from sandbox.nodes.azure_client import Json
from sandbox.nodes.objects import section, text

API = "2019-07-01"
_TOKEN_SECONDS = 600.0
_PATIENCE = 3600.0
"""Seconds for which a long operation is followed."""
_POLL = 2.0
_TRIES = 4


class ArmFailedError(Exception):
    """What Azure answered instead of success; `status` 0 where it could not be reached."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code or status}: {message}")
        self.status = status
        self.code = code
        self.message = message


class ResourceManager:
    """The scale sets of one resource group; every method raises `ArmFailedError`.

    Args:
        home: the sandbox.
        sign_in: gives a token of Azure for the autoscaler's identity.
    """

    def __init__(self, home: Home, sign_in: Callable[[], Awaitable[str]]) -> None:
        self._home = home
        self._sign_in = sign_in
        self._token: tuple[str, float] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def sign_in_anew(self) -> None:
        """Forget the token: another identity, or another one's rights."""
        self._token = None

    async def scale_sets(self, group_id: str) -> list[Json]:
        """Every scale set of a resource group."""
        return await self._list(f"{group_id}/providers/Microsoft.Compute/virtualMachineScaleSets")

    async def instances(self, scale_set_id: str) -> list[Json]:
        """A scale set's machines with their instance views."""
        return await self._list(f"{scale_set_id}/virtualMachines", {"$expand": "instanceView"})

    async def resize(self, scale_set_id: str, location: str, size: str, capacity: int) -> str | None:
        """Ask for a capacity, as AZ does: only what must be named. Gives the operation to follow, if one began."""
        name = scale_set_id.rsplit("/", 1)[-1]
        body: Json = {"location": location, "name": name, "sku": {"name": size, "tier": "Standard"}}
        body["sku"]["capacity"] = capacity
        _, headers = await self._send("PUT", scale_set_id, body=body)
        return headers.get("Azure-AsyncOperation")

    async def delete(self, scale_set_id: str, instance_ids: Sequence[str]) -> str | None:
        """Ask for machines to be deleted; gives the operation to follow."""
        _, headers = await self._send("POST", f"{scale_set_id}/delete", body={"instanceIds": list(instance_ids)})
        return headers.get("Azure-AsyncOperation")

    async def follow(self, operation: str) -> None:
        """Wait for a long operation to end.

        Raises:
            ArmFailedError: it failed, or it did not end within an hour.
        """
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            answer, headers = await self._send("GET", operation)
            status = text(answer, "status")
            if status == "Succeeded":
                return
            if status in ("Failed", "Canceled"):
                error = section(answer, "error")
                raise ArmFailedError(200, text(error, "code") or status, text(error, "message"))
            await asyncio.sleep(float(headers.get("Retry-After") or _POLL))
        raise ArmFailedError(0, "Timeout", f"{operation} did not end within {_PATIENCE:.0f} s")

    async def _list(self, where: str, params: Mapping[str, str] | None = None) -> list[Json]:
        found: list[Json] = []
        page, _ = await self._send("GET", where, params=params)
        found += cast(list[Json], page.get("value") or [])
        while page.get("nextLink"):
            page, _ = await self._send("GET", str(page["nextLink"]))
            found += cast(list[Json], page.get("value") or [])
        return found

    async def _send(
        self, method: str, where: str, *, body: Json | None = None, params: Mapping[str, str] | None = None
    ) -> tuple[Json, Mapping[str, str]]:
        """One request; throttled ones are sent again when Azure says, as the SDK's retry policy does."""
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._send_once(method, where, body, params)
            except _ThrottledError as throttled:
                if attempt == _TRIES:
                    raise throttled.failure from None
                await asyncio.sleep(throttled.seconds)
        raise AssertionError("the last attempt returns or raises")

    async def _send_once(
        self, method: str, where: str, body: Json | None, params: Mapping[str, str] | None
    ) -> tuple[Json, Mapping[str, str]]:
        url = where if where.startswith("https://") else self._home.azure_url + where
        query = None if where.startswith("https://") else {"api-version": API, **(params or {})}
        try:
            async with self._connection().request(
                method, url, params=query, json=body, headers={"Authorization": f"Bearer {await self._signed_in()}"}
            ) as reply:
                raw = await reply.read()
                if reply.status < 400:
                    return (cast(Json, json.loads(raw)) if raw.strip() else {}), reply.headers
                failure = _failure(reply.status, raw)
                if reply.status in (429, 503):
                    raise _ThrottledError(failure, float(reply.headers.get("Retry-After") or _POLL))
                if reply.status == 401:
                    self._token = None
                raise failure
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ArmFailedError(0, "Unreachable", f"no answer to {method} {url}: {error!r}") from error

    async def _signed_in(self) -> str:
        if self._token is None or self._token[1] < time.monotonic():
            self._token = (await self._sign_in(), time.monotonic() + _TOKEN_SECONDS)
        return self._token[0]

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=str(self._home.ca_cert))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=16), timeout=aiohttp.ClientTimeout(total=60)
            )
        return self._session


class _ThrottledError(Exception):
    def __init__(self, failure: ArmFailedError, seconds: float) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.seconds = seconds


def _failure(status: int, raw: bytes) -> ArmFailedError:
    try:
        body: Any = json.loads(raw)
    except ValueError:
        return ArmFailedError(status, "", raw.decode(errors="replace")[:300])
    error: Json = body.get("error") if isinstance(body.get("error"), dict) else body
    return ArmFailedError(status, str(error.get("code", "")), str(error.get("message", "")))
