"""The blob service over HTTPS: what is refused is refused here, the rest is Azurite's to answer.

Bodies are passed on as they come, in both directions. Containers are made and deleted through Resource Manager.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Mapping
from email.utils import formatdate
from typing import Any

import aiohttp
from aiohttp import web

from sandbox.azure.authorization import Authorization
from sandbox.azure.oauth import Tokens
from sandbox.azure.store import Resource, Store
from sandbox.certificates import pair
from sandbox.home import Home
from sandbox.storage_network import listing
from sandbox.storage_network.accounts import Accounts, container_id
from sandbox.storage_network.azurite_client import AzuriteClient
from sandbox.storage_network.errors import StorageError, not_emulated
from sandbox.storage_network.requests import BlobRequest, parse
from sandbox.storage_network.resolving import INTERNET, Origin
from sandbox.storage_network.rules import Gate, check_network

log = logging.getLogger("sandbox.storage_network")
_STORAGE_API = "2024-01-01"
_NOT_PASSED_ON = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
    | {"transfer-encoding", "authorization", "date", "x-ms-date", "x-ms-copy-source-authorization"}
)
_NOT_PASSED_BACK = frozenset({"connection", "keep-alive", "transfer-encoding", "date"})
_PUBLIC_ACCESS = {"container": "Container", "blob": "Blob"}
_CHUNK = 256 * 1024


class Front:
    """The blob service of one sandbox.

    Args:
        home: the sandbox's folder.
        store: Resource Manager's file.
    """

    def __init__(self, home: Home, store: Store) -> None:
        self._home = home
        self._store = store
        self.accounts = Accounts(store)
        self._gate = Gate(self.accounts, Tokens(home, store), Authorization(store, home.config))
        self._origins: dict[int, Origin] = {}
        self._azurite = AzuriteClient(home, self.accounts)
        self._arm = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=str(home.ca_cert))),
            headers={"Authorization": f"Bearer {home.config.internal_token}"},
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, auto_decompress=False)
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen on the sandbox's port on 127.0.0.1.

        Raises:
            OSError: the port is taken.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        files = pair(self._home, "blob")
        context.load_cert_chain(files.cert, files.key)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._home.config.ports["blob"], ssl_context=context).start()
        self._keeper = asyncio.create_task(self._azurite.keep_in_step())

    async def stop(self) -> None:
        """Finish what is being answered and close."""
        if self._keeper:
            self._keeper.cancel()
        await self._runner.cleanup()
        await self._azurite.close()
        await self._arm.close()

    def expect(self, port: int, origin: Origin) -> None:
        """Take the connection that will come from this local port as one from there."""
        self._origins[port] = origin

    def forget(self, port: int) -> None:
        """That connection is over."""
        self._origins.pop(port, None)

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        status, code = 500, ""
        try:
            response = await self._answer(http)
            status = response.status
        except StorageError as error:
            status, code = error.status, error.code
            body = b"" if http.method == "HEAD" else error.xml
            headers = {"x-ms-version": http.headers.get("x-ms-version", ""), **error.headers}
            response = web.Response(status=status, headers=headers, body=body, content_type="application/xml")
        finally:
            milliseconds = round((time.perf_counter() - started) * 1000, 1)
            path = http.raw_path.partition("?")[0]
            fields = {"method": http.method, "path": path, "status": status, "code": code, "ms": milliseconds}
            log.info("request", extra={"fields": fields})
        return response

    async def _answer(self, http: web.Request) -> web.StreamResponse:
        request = parse(http.method, http.headers.get("Host", ""), http.raw_path)
        account = self.accounts.find(request.account)
        if account is None:
            raise StorageError(
                404,
                "ResourceNotFound",
                f"There is no storage account '{request.account}' that has blobs: on Azure its name would not resolve.",
            )
        check_network(self._store, account, self._origin_of(http))
        self._gate.check(request, http.headers, account)
        if request.container is None:
            return _xml(listing.containers(request, self.accounts.containers(account)))
        if request.query.get("restype") == "container" and "comp" not in request.query:
            if http.method == "PUT":
                return await self._make_container(request, http.headers, account)
            if http.method == "DELETE":
                return await self._delete_container(request, account)
        return await self._pass_on(http, request, account)

    def _origin_of(self, http: web.Request) -> Origin:
        peer: tuple[str, int] | None = http.transport.get_extra_info("peername") if http.transport else None
        return self._origins.get(peer[1], INTERNET) if peer else INTERNET

    async def _pass_on(self, http: web.Request, request: BlobRequest, account: Resource) -> web.StreamResponse:
        name = await self._held(account, request.container or "")
        if http.method == "PUT" and "Content-Length" not in http.headers:
            raise StorageError(411, "MissingContentLengthHeader", "Content-Length is required for this request.")
        headers = {key: value for key, value in http.headers.items() if key.lower() not in _NOT_PASSED_ON}
        source = headers.get("x-ms-copy-source")
        if source is not None:
            headers["x-ms-copy-source"] = await self._copy_source(http, source)
        query = request.target.partition("?")[2]
        target = f"/{name}{request.rest}" + (f"?{query}" if query else "")
        body = http.content if http.can_read_body else None
        async with await self._azurite.send(http.method, target, headers, body) as answer:
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in _NOT_PASSED_BACK}
            if source is not None or "x-ms-copy-source" in kept:
                kept = {key: value for key, value in kept.items() if key.lower() != "x-ms-copy-source"}
            if http.method == "GET" and answer.content_type == "application/xml":
                shown = listing.renamed(await answer.read(), self._azurite.url, name, request)
                kept.pop("Content-Length", None)
                return web.Response(status=answer.status, headers=kept, body=shown)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(http)
            if http.method != "HEAD":
                async for chunk in answer.content.iter_chunked(_CHUNK):
                    await response.write(chunk)
            await response.write_eof()
            return response

    async def _held(self, account: Resource, container: str) -> str:
        """Azurite's name of a container.

        Raises:
            StorageError: 404 `ContainerNotFound`.
        """
        found = self.accounts.container(account, container)
        if found is None:
            raise StorageError(404, "ContainerNotFound", "The specified container does not exist.")
        return await self._azurite.hold(account, found)

    async def _copy_source(self, http: web.Request, source: str) -> str:
        """The address within Azurite of a blob that is copied, which the caller must be allowed to read."""
        address, _, target = source.removeprefix("https://").partition("/")
        try:
            request = parse("GET", address, f"/{target}")
        except StorageError as error:
            raise not_emulated(f"copying from '{source}', which is no blob of this sandbox") from error
        account = self.accounts.find(request.account)
        if account is None or request.container is None or request.blob is None:
            raise StorageError(404, "CannotVerifyCopySource", "The specified resource does not exist.")
        check_network(self._store, account, self._origin_of(http))
        given = http.headers.get("x-ms-copy-source-authorization") or http.headers.get("Authorization", "")
        if given.partition(" ")[0].lower() == "bearer":
            self._gate.check(request, {"Authorization": given}, account)
        elif account.name != parse(http.method, http.headers.get("Host", ""), http.raw_path).account:
            raise not_emulated("copying between accounts with keys: sign in with a token")
        name = await self._held(account, request.container)
        return f"{self._azurite.url}/{name}{request.rest}"

    async def _make_container(
        self, request: BlobRequest, headers: Mapping[str, str], account: Resource
    ) -> web.StreamResponse:
        container = request.container or ""
        if self.accounts.container(account, container) is not None:
            raise StorageError(409, "ContainerAlreadyExists", "The specified container already exists.")
        prefix = "x-ms-meta-"
        metadata = {key[len(prefix) :]: value for key, value in headers.items() if key.lower().startswith(prefix)}
        access = _PUBLIC_ACCESS.get(headers.get("x-ms-blob-public-access", ""), "None")
        body = {"properties": {"publicAccess": access, "metadata": metadata}}
        document = await self._manage("PUT", container_id(account, container), body)
        await self._held(account, container)
        return web.Response(status=201, headers={"ETag": document["etag"], "Last-Modified": formatdate(usegmt=True)})

    async def _delete_container(self, request: BlobRequest, account: Resource) -> web.StreamResponse:
        container = request.container or ""
        await self._held(account, container)
        await self._manage("DELETE", container_id(account, container))
        return web.Response(status=202)

    async def _manage(self, method: str, resource_id: str, body: Any = None) -> dict[str, Any]:
        """Ask Resource Manager; its refusal is the service's."""
        url = f"{self._home.azure_url}{resource_id}?api-version={_STORAGE_API}"
        try:
            async with self._arm.request(method, url, json=body) as answer:
                document: dict[str, Any] = await answer.json() if answer.content_length else {}
        except aiohttp.ClientConnectionError as error:
            raise StorageError(503, "ServerBusy", f"The simulated Azure does not answer ({error}).") from error
        if answer.status >= 400:
            raise StorageError(answer.status, document["error"]["code"], document["error"]["message"])
        return document


def _xml(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/xml")
