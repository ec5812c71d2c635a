"""The simulated Azure as its own parts and as workloads see it: Resource Manager, tokens, machines."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import aiohttp

from sandbox.home import Home
from sandbox.nodes.machines import Fleet, read_fleet

Json = dict[str, Any]
FEDERATED_AUDIENCE = "api://AzureADTokenExchange"
"""Whom a service account's token is for when it is exchanged for one of Azure's."""


_NOT_MODIFIED = 304


class _Answer(NamedTuple):
    """What Azure answered, with the tag of its text where it has one."""

    status: int
    text: bytes
    tag: str


class AzureError(Exception):
    """What Azure answered instead of success; `status` 0 where it could not be reached."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}" if code else message)
        self.status = status
        self.code = code
        self.message = message


class AzureClient:
    """Requests to the simulated Azure of one sandbox; every method raises `AzureError`."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._session: aiohttp.ClientSession | None = None
        self._last_tag = ""
        self._last_text: bytes = b""
        self._last_fleet: Fleet | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def fleet(self) -> Fleet:
        """The cluster and its machines now; the same object as before where nothing changed."""
        token = self._home.config.internal_token
        answer = await self._send("GET", "/sandbox/machines", token=token, known=self._last_tag)
        if self._last_fleet is not None and answer.status == _NOT_MODIFIED:
            return self._last_fleet
        if self._last_fleet is None or answer.text != self._last_text:
            try:
                self._last_fleet = read_fleet(answer.text)
            except (KeyError, ValueError, TypeError) as error:
                message = f"/sandbox/machines has not the agreed shape: {error!r}"
                raise AzureError(0, "UnexpectedAnswer", message) from error
            self._last_text = answer.text
        self._last_tag = answer.tag
        return self._last_fleet

    async def arm(
        self,
        method: str,
        resource_id: str,
        api_version: str,
        *,
        body: Json | None = None,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Json:
        """One Resource Manager request; as the platform itself where no token is given."""
        answer = await self._send(
            method,
            resource_id,
            token=token or self._home.config.internal_token,
            params={"api-version": api_version, **(params or {})},
            body=body,
        )
        return cast(Json, json.loads(answer.text)) if answer.text.strip() else {}

    async def exchange(self, assertion: str, client_id: str) -> str:
        """A token of Azure for a service account's token, as workload identity has it."""
        form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
            "scope": "https://management.azure.com/.default",
        }
        answer = await self._send("POST", f"/{self._home.config.tenant_id}/oauth2/v2.0/token", form=form)
        return str(cast(Json, json.loads(answer.text))["access_token"])

    async def _send(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        form: Mapping[str, str] | None = None,
        known: str = "",
    ) -> _Answer:
        """One request; where the tag `known` is still right the answer is 304, without a text."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if known:
            headers["If-None-Match"] = known
        try:
            async with self._connection().request(
                method, self._home.azure_url + path, params=params, json=body, data=form, headers=headers
            ) as reply:
                text = await reply.read()
                if reply.status >= 400:
                    raise _error(reply.status, text)
                return _Answer(reply.status, text, reply.headers.get("ETag", ""))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AzureError(
                0, "Unreachable", f"{self._home.azure_url} does not answer {method} {path}: {error!r}"
            ) from error

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=str(self._home.ca_cert))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=16), timeout=aiohttp.ClientTimeout(total=20)
            )
        return self._session


def _error(status: int, text: bytes) -> AzureError:
    """Resource Manager's `{error: {code, message}}`, or sign-in's `{error, error_description}`."""
    try:
        body = cast(Json, json.loads(text))
    except ValueError:
        return AzureError(status, "", text.decode(errors="replace")[:300] or f"status {status} and no body")
    error: Any = body.get("error")
    if isinstance(error, dict):
        detail = cast(Json, error)
        return AzureError(status, str(detail.get("code", "")), str(detail.get("message", "")))
    return AzureError(status, str(error or ""), str(body.get("error_description") or body.get("message") or ""))
