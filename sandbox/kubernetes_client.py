"""A small asynchronous client of the Kubernetes API: what the sandbox's own parts speak to the API server with.

Owns requests, paging, watches and the shape of errors. Does not know kinds: callers give REST paths, made with
`path`. Where the server is and how to sign in is read by `sandbox.kubeconfig`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Any, Literal, Self, cast

import aiohttp

from sandbox.kubeconfig import Access

PatchKind = Literal["merge", "strategic", "json", "apply"]
Json = dict[str, Any]

_CONTENT_TYPES: Mapping[PatchKind, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_PAGE = 500


class ApiError(Exception):
    """What the API server answered instead of success; `status` 0 where it could not be reached.

    Attributes:
        status: the HTTP status.
        reason: Kubernetes' word for it, `NotFound`, `Conflict`, `Invalid`, `TooManyRequests`, `Expired`.
        message: the server's sentence.
        details: `Status.details`: kind, name, causes, retryAfterSeconds.
    """

    def __init__(self, status: int, reason: str, message: str, details: Json | None = None) -> None:
        super().__init__(f"{message} ({status} {reason})")
        self.status = status
        self.reason = reason
        self.message = message
        self.details: Json = details or {}

    @property
    def not_found(self) -> bool:
        """Whether the object is not there."""
        return self.status == 404

    @property
    def conflict(self) -> bool:
        """Whether it exists already, or somebody else wrote it in between."""
        return self.status == 409

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later: unreachable, overloaded, starting."""
        return self.status in (0, 429) or self.status >= 500


def path(api_version: str, plural: str, namespace: str | None = None, name: str | None = None, *more: str) -> str:
    """The REST path of a collection or, with a name, an object; `more` are subresources: `status`, `eviction`."""
    parts = ["/api" if "/" not in api_version else "/apis", api_version]
    if namespace is not None:
        parts += ["namespaces", namespace]
    parts.append(plural)
    if name is not None:
        parts += [name, *more]
    return "/".join(parts)


class KubernetesClient:
    """One API server, seen as one user.

    Every method raises `ApiError`. To be closed after use, or used with `async with`.

    Args:
        access: where the server is and how to sign in.
        user_agent: names the caller in the server's audit and managed fields.
        timeout: seconds one request may take; watches are not bound by it.
    """

    def __init__(self, access: Access, *, user_agent: str = "trainyard-sandbox", timeout: float = 30) -> None:
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._headers = {"Accept": "application/json", "User-Agent": user_agent}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        where: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str | None = None,
    ) -> tuple[Json, list[str]]:
        """Send one request; returns the answer and the texts of its `Warning` headers."""
        headers = await self._signed_in()
        if accept:
            headers["Accept"] = accept
        if body is not None:
            headers["Content-Type"] = content_type
        try:
            async with self._connection().request(
                method,
                self._access.server + where,
                params=params,
                data=None if body is None else json.dumps(body).encode(),
                headers=headers,
                timeout=self._timeout,
            ) as reply:
                text = await reply.text()
                if reply.status >= 400:
                    raise _error(reply.status, text, reply.headers.get("Retry-After"))
                warnings = [_warning_text(value) for value in reply.headers.getall("Warning", [])]
                return cast(Json, json.loads(text) if text.startswith(("{", "[")) else {"text": text}), warnings
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(self._access.server, method, where, error) from error

    async def get(self, where: str, params: Mapping[str, str] | None = None) -> Json:
        """One object, or any other answer such as `/version` or a discovery document."""
        return (await self.request("GET", where, params=params))[0]

    async def find(self, where: str) -> Json | None:
        """One object, or None where there is none."""
        try:
            return await self.get(where)
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def list(self, where: str, params: Mapping[str, str] | None = None) -> tuple[list[Json], str]:
        """All objects of a collection, read in pages, and the resource version to watch from.

        Items of a list carry no `apiVersion` and `kind`; here they are filled in from the list's own.
        """
        items: list[Json] = []
        query = {**(params or {}), "limit": str(_PAGE)}
        while True:
            page = await self.get(where, query)
            kind = str(page.get("kind", "")).removesuffix("List")
            for item in cast(list[Json], page.get("items") or []):
                items.append({"apiVersion": page.get("apiVersion"), "kind": kind, **item})
            metadata = cast(Json, page.get("metadata") or {})
            if not metadata.get("continue"):
                return items, str(metadata.get("resourceVersion", ""))
            query["continue"] = str(metadata["continue"])

    async def watch(
        self, where: str, resource_version: str, params: Mapping[str, str] | None = None, *, seconds: int = 300
    ) -> AsyncGenerator[Json]:
        """Events `{type, object}` after a resource version, bookmarks among them; ends after about `seconds`.

        Raises:
            ApiError: with status 410 when the version is too old: list again.
        """
        query = {
            **(params or {}),
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=seconds + 30)
        try:
            async with self._connection().get(
                self._access.server + where, params=query, headers=await self._signed_in(), timeout=timeout
            ) as reply:
                if reply.status >= 400:
                    raise _error(reply.status, await reply.text(), reply.headers.get("Retry-After"))
                async for line in _lines(reply.content):
                    event = cast(Json, json.loads(line))
                    if event["type"] == "ERROR":
                        raise _error(int(event["object"].get("code", 500)), json.dumps(event["object"]), None)
                    yield event
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(self._access.server, "watch", where, error) from error

    async def create(self, where: str, body: Json, params: Mapping[str, str] | None = None) -> Json:
        """Create an object in a collection, or post to a subresource."""
        return (await self.request("POST", where, params=params, body=body))[0]

    async def replace(self, where: str, body: Json, params: Mapping[str, str] | None = None) -> Json:
        """Write a whole object; its resource version, where it has one, must be the present one."""
        return (await self.request("PUT", where, params=params, body=body))[0]

    async def patch(
        self, where: str, body: Any, kind: PatchKind = "merge", params: Mapping[str, str] | None = None
    ) -> Json:
        """Change an object by a patch."""
        return (await self.request("PATCH", where, params=params, body=body, content_type=_CONTENT_TYPES[kind]))[0]

    async def apply(
        self, where: str, body: Json, *, manager: str, force: bool = False, params: Mapping[str, str] | None = None
    ) -> Json:
        """Server-side apply: make the fields of `body` so, as their owner `manager`."""
        query = {**(params or {}), "fieldManager": manager, "force": "true" if force else "false"}
        return await self.patch(where, body, "apply", query)

    async def delete(
        self, where: str, *, grace_seconds: int | None = None, propagation: str | None = None, uid: str | None = None
    ) -> Json | None:
        """Delete an object; None where there was none. With `uid` only that very object."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            return (await self.request("DELETE", where, body=options))[0]
        except ApiError as error:
            if error.not_found:
                return None
            raise

    async def evict(self, namespace: str, name: str, *, grace_seconds: int | None = None) -> bool:
        """Evict a pod; False where a PodDisruptionBudget forbids it now. A pod that is gone counts as evicted."""
        body: Json = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
        }
        if grace_seconds is not None:
            body["deleteOptions"] = {"gracePeriodSeconds": grace_seconds}
        try:
            await self.create(path("v1", "pods", namespace, name, "eviction"), body)
        except ApiError as error:
            if error.status == 429:
                return False
            if not error.not_found:
                raise
        return True

    def _connection(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._access.ssl_context(), limit=64)
            self._session = aiohttp.ClientSession(connector=connector)
        return self._session

    async def _signed_in(self) -> dict[str, str]:
        token = await self._access.token()
        return {**self._headers, "Authorization": f"Bearer {token}"} if token else dict(self._headers)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes]:
    """Lines of any length: an object may be longer than a stream reader's own limit for a line."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
        await asyncio.sleep(0)


def _error(status: int, text: str, retry_after: str | None) -> ApiError:
    try:
        body = cast(Json, json.loads(text))
    except ValueError:
        body = {"message": text.strip()[:500] or "an empty answer"}
    details = cast(Json, body.get("details") or {})
    if retry_after and retry_after.isdigit():
        details.setdefault("retryAfterSeconds", int(retry_after))
    return ApiError(status, str(body.get("reason", "")), str(body.get("message", text)), details)


def _unreachable(server: str, method: str, where: str, error: Exception) -> ApiError:
    return ApiError(0, "Unreachable", f"no answer from the API server {server} to {method} {where}: {error!r}")


def _warning_text(header: str) -> str:
    """`299 - "text"` → `text`."""
    quoted = header.split('"', 1)
    return quoted[1].rsplit('"', 1)[0].replace('\\"', '"') if len(quoted) == 2 else header
