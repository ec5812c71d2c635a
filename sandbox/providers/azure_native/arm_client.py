"""Requests to Resource Manager: sign-in, retries, and waiting for long operations.

Retries what the real provider retries: 408, 429, 5xx, lost connections, and a 409 that says another operation
runs, after `Retry-After` or with growing pauses, for a little over three minutes altogether.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, urljoin, urlsplit

import aiohttp

Document = dict[str, Any]

RETRY_SECONDS = 200.0
"""How long one request is tried again; the real provider waits 20, 60 and 120 seconds."""
POLL_SECONDS = 0.5
"""Between two looks at an operation when the service names no time."""

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_RUNNING = frozenset(
    {"inprogress", "running", "accepted", "creating", "updating", "deleting", "provisioning", "scaling", "pending"}
)
_FAILED = frozenset({"failed", "canceled", "cancelled"})
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_TOKEN_MARGIN = 120.0
_LONGEST_PAUSE = 30.0


class ArmRequestError(Exception):
    """An answer that refuses a request, worded as the real provider words it.

    Attributes:
        status: HTTP status, 0 for a failed operation or a lost connection.
        code: Azure's error code.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(
            f'Status={status} Code="{code}" Message="{message}"' if code else f'Status={status} Message="{message}"'
        )
        self.status = status
        self.code = code


class UnfinishedError(Exception):
    """A write that Azure accepted and that failed, or was given up, afterwards: the resource may be there."""


@dataclass(frozen=True)
class Credentials:
    """With what to sign in where.

    Attributes:
        endpoint: Resource Manager's address, `https://127.0.0.1:4711`.
        authority: the sign-in service's address.
        tenant: the directory, `adfs` in a sandbox.
    """

    endpoint: str
    authority: str
    tenant: str
    client_id: str
    client_secret: str


@dataclass(frozen=True)
class Answer:
    """What a request got: status, headers, and the JSON document, empty when there was none."""

    status: int
    headers: Mapping[str, str]
    document: Document


@dataclass
class _Token:
    value: str = ""
    expires: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ArmClient:
    """One sign-in's requests.

    Args:
        credentials: with what to sign in where.
        http: shared by all clients of an event loop, with the sandbox's authority trusted.
    """

    def __init__(self, credentials: Credentials, http: aiohttp.ClientSession) -> None:
        self.credentials = credentials
        self._http = http
        self._token = _Token()

    async def get(self, resource_id: str, api_version: str) -> Document | None:
        """A resource's document; None when there is none.

        Raises:
            ArmRequestError: any other refusal.
        """
        try:
            return await self.fetch(resource_id, api_version)
        except ArmRequestError as refused:
            if refused.status == 404:
                return None
            raise

    async def fetch(self, resource_id: str, api_version: str) -> Document:
        """A resource's document.

        Raises:
            ArmRequestError: refused, or not there.
        """
        return (await self._request("GET", self._url(resource_id, api_version))).document

    async def post(self, resource_id: str, api_version: str, query: Mapping[str, str] | None = None) -> Document:
        """What an action answers."""
        return (await self._request("POST", self._url(resource_id, api_version, query), {})).document

    async def put(self, resource_id: str, api_version: str, body: Document, timeout: float) -> Document:
        """Create or update, and wait at most `timeout` seconds until it is done.

        Returns:
            the document of the first answer; read the resource for its final state.

        Raises:
            ArmRequestError: refused at once, nothing was written.
            UnfinishedError: accepted and failed later, or not done in time.
        """
        url = self._url(resource_id, api_version)
        answer = await self._request("PUT", url, body)
        try:
            async with asyncio.timeout(timeout):
                await self._settle(answer, url, api_version)
        except TimeoutError as late:
            raise UnfinishedError(f"not done within {timeout:g} seconds; Azure goes on with it") from late
        except ArmRequestError as failure:
            raise UnfinishedError(str(failure)) from failure
        except asyncio.CancelledError as cancelled:
            raise UnfinishedError("cancelled while Azure was at it; Azure goes on") from cancelled
        return answer.document

    async def delete(self, resource_id: str, api_version: str, timeout: float) -> None:
        """Delete and wait at most `timeout` seconds until it is gone; one that is not there is fine.

        Raises:
            ArmRequestError: refused, failed, or not done in time.
        """
        try:
            answer = await self._request("DELETE", self._url(resource_id, api_version))
            if answer.status == 202:
                async with asyncio.timeout(timeout):
                    await self._settle(answer, None, api_version)
        except TimeoutError as late:
            raise ArmRequestError(0, "", f"{resource_id} was not deleted within {timeout:g} seconds") from late
        except ArmRequestError as refused:
            if refused.status != 404:
                raise

    async def token(self, scope: str | None = None) -> str:
        """A bearer token: the cached one for Resource Manager, a fresh one for any other scope."""
        if scope is not None:
            return (await self._sign_in(scope))["access_token"]
        async with self._token.lock:
            if time.time() > self._token.expires - _TOKEN_MARGIN:
                answer = await self._sign_in(f"{self.credentials.endpoint}/.default")
                self._token.value = answer["access_token"]
                self._token.expires = time.time() + float(answer.get("expires_in", 3600))
            return self._token.value

    async def _sign_in(self, scope: str) -> Document:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.credentials.client_id,
            "client_secret": self.credentials.client_secret,
            "scope": scope,
        }
        url = f"{self.credentials.authority}/{self.credentials.tenant}/oauth2/v2.0/token"
        try:
            async with self._http.post(url, data=form, timeout=_TIMEOUT) as response:
                answer = cast(Document, await response.json(content_type=None))
                if response.status != 200:
                    reason = answer.get("error_description") or answer.get("error")
                    raise ArmRequestError(
                        response.status, "AuthenticationFailed", f"sign-in as {self.credentials.client_id}: {reason}"
                    )
                return answer
        except (aiohttp.ClientError, TimeoutError, json.JSONDecodeError) as failure:
            raise ArmRequestError(0, "", f"sign-in at {url} failed: {failure!r}. Is the sandbox running?") from failure

    def _url(self, resource_id: str, api_version: str, query: Mapping[str, str] | None = None) -> str:
        pairs = {"api-version": api_version, **(query or {})}
        return f"{self.credentials.endpoint}{resource_id}?" + "&".join(
            f"{name}={value}" for name, value in pairs.items()
        )

    async def _request(self, method: str, url: str, body: Document | None = None) -> Answer:
        started = time.monotonic()
        attempt = 0
        while True:
            failure: ArmRequestError
            pause: float | None = None
            try:
                answer = await self._send(method, url, body)
                if answer.status < 400:
                    return answer
                failure = _refusal(answer)
                if answer.status == 401 and attempt == 0:
                    # the token may be older than a sign-in service that was started anew
                    self._token.expires = 0.0
                    attempt += 1
                    continue
                if not (answer.status in _RETRIED or failure.code == "AnotherOperationInProgress"):
                    raise failure
                pause = _retry_after(answer)
            except (aiohttp.ClientError, TimeoutError) as lost:
                failure = ArmRequestError(0, "", f"{method} {url}: the connection was lost: {lost!r}")
            pause = min(2.0**attempt, _LONGEST_PAUSE) if pause is None else pause
            if time.monotonic() - started + pause > RETRY_SECONDS:
                raise failure
            attempt += 1
            await asyncio.sleep(pause)

    async def _send(self, method: str, url: str, body: Document | None) -> Answer:
        headers = {"Authorization": f"Bearer {await self.token()}", "Accept": "application/json"}
        async with self._http.request(method, url, json=body, headers=headers, timeout=_TIMEOUT) as response:
            text = await response.text()
            try:
                document: Any = json.loads(text) if text else {}
            except json.JSONDecodeError:
                document = {"error": {"code": "", "message": f"unexpected response from Azure: '{text[:500]}'"}}
            found = cast(Document, document) if isinstance(document, dict) else {"value": document}
            return Answer(response.status, response.headers, found)

    async def _settle(self, answer: Answer, resource_url: str | None, api_version: str) -> None:
        """Wait for a long operation: by its own address, by `Location`, or by looking at the resource."""
        status_url = answer.headers.get("Azure-AsyncOperation") or answer.headers.get("Operation-Location")
        location = answer.headers.get("Location")
        if status_url:
            await self._until_done(answer, self._absolute(status_url, api_version), _operation_status)
        elif location and answer.status == 202:
            await self._until_done(answer, self._absolute(location, api_version), _location_status)
        elif resource_url and _provisioning_status(answer) not in ("", "succeeded"):
            await self._until_done(answer, resource_url, _provisioning_status)

    async def _until_done(self, answer: Answer, url: str, status_of: Callable[[Answer], str]) -> None:
        status = "running"
        while status in _RUNNING:
            pause = _retry_after(answer)
            await asyncio.sleep(POLL_SECONDS if pause is None else max(pause, 0.05))
            answer = await self._request("GET", url)
            status = status_of(answer)
        if status in _FAILED:
            raise _operation_failure(answer, status)

    def _absolute(self, url: str, api_version: str) -> str:
        """The address in full, with an API version: some services leave either out."""
        absolute = urljoin(self.credentials.endpoint, url)
        if "api-version" in dict(parse_qsl(urlsplit(absolute).query)):
            return absolute
        return f"{absolute}{'&' if '?' in absolute else '?'}api-version={api_version}"


def open_session(authority: str) -> aiohttp.ClientSession:
    """A session of the running event loop that trusts this certificate authority (a PEM file) and no other."""
    context = ssl.create_default_context(cafile=authority)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=64))


def _refusal(answer: Answer) -> ArmRequestError:
    """The error in any of Resource Manager's forms: `{"error": {code, message}}`, or flat."""
    inner: Any = answer.document.get("error", answer.document)
    error = cast(Document, inner) if isinstance(inner, dict) else {}
    message = str(error.get("message") or json.dumps(answer.document))
    return ArmRequestError(answer.status, str(error.get("code") or ""), message)


def _operation_failure(answer: Answer, status: str) -> ArmRequestError:
    properties: Any = answer.document.get("properties")
    inner: Any = answer.document.get("error") or (
        cast(Document, properties).get("error") if isinstance(properties, dict) else None
    )
    error = cast(Document, inner) if isinstance(inner, dict) else {}
    message = str(error.get("message") or f"the operation ended as {status}, and Azure says no more")
    return ArmRequestError(answer.status, str(error.get("code") or "OperationFailed"), message)


def _retry_after(answer: Answer) -> float | None:
    value = answer.headers.get("Retry-After", "")
    try:
        return max(float(value), 0.0)
    except ValueError:
        return None


def _operation_status(answer: Answer) -> str:
    return str(answer.document.get("status", "")).lower()


def _location_status(answer: Answer) -> str:
    return "running" if answer.status == 202 else "succeeded"


def _provisioning_status(answer: Answer) -> str:
    properties: Any = answer.document.get("properties")
    state: Any = cast(Document, properties).get("provisioningState") if isinstance(properties, dict) else None
    return str(state or "").lower()
