"""HTTPS in front of the simulated Azure: one port for Resource Manager, sign-in and the sandbox's own paths.

Turns HTTP into `Request`s and `Reply`s into HTTP, with the headers of long operations, and writes one log line a
request. Everything runs in one event loop and without awaiting in between, so requests never overlap.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
import uuid
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web

from sandbox.azure import faults, oauth, resource_types
from sandbox.azure.behaviour import Reply, Request
from sandbox.azure.errors import ArmError
from sandbox.azure.pipeline import ResourceManager
from sandbox.home import Home

log = logging.getLogger("sandbox.azure")
TICK = 0.2
"""Seconds between two looks at what is due."""
_LARGEST_BODY = 4 * 1024 * 1024  # ARM's own limit on a request


class Server:
    """The simulated Azure of one sandbox.

    Args:
        home: the sandbox's folder.
    """

    def __init__(self, home: Home) -> None:
        resource_types.load()
        self._home = home
        self.manager = ResourceManager(home)
        self.tokens = oauth.Tokens(home, self.manager.store)
        self._app = web.Application(client_max_size=_LARGEST_BODY)
        self._app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(self._app, access_log=None)
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen on the sandbox's port on 127.0.0.1.

        Raises:
            FileNotFoundError: the sandbox has no certificates yet.
            OSError: the port is taken.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._home.azure_cert, self._home.azure_key)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._home.config.ports["azure"], ssl_context=context).start()
        self._ticker = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Finish what is being answered and close."""
        if self._ticker:
            self._ticker.cancel()
        await self._runner.cleanup()
        self.manager.store.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self.manager.settle_due()
            except Exception:
                log.exception("settling failed")

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        started = time.perf_counter()
        raw = await http.read()
        code = ""
        try:
            await self._meet_fault(http, raw)
            reply = self._answer(http, raw)
        except ArmError as error:
            code = error.code
            reply = Reply(error.status, error.body, headers=error.headers)
        except ConnectionResetError:
            raise
        except Exception:
            code = "InternalServerError"
            log.exception("request failed", extra={"fields": {"method": http.method, "path": http.path}})
            reply = Reply(500, ArmError(500, code, "The sandbox failed: see its azure.log.").body)
        milliseconds = round((time.perf_counter() - started) * 1000, 1)
        fields = {"method": http.method, "path": http.path, "status": reply.status, "code": code, "ms": milliseconds}
        quiet = http.path == "/sandbox/health"
        log.log(logging.DEBUG if quiet else logging.INFO, "request", extra={"fields": fields})
        return _response(http, reply)

    async def _meet_fault(self, http: web.Request, raw: bytes) -> None:
        """Stall, drop or refuse the request, where a fault on order says so.

        Raises:
            ArmError: the fault's answer.
            ConnectionResetError: the connection was dropped.
        """
        path = unquote(http.rel_url.raw_path)
        if "/providers/" not in path:
            return
        method = "GET" if http.method == "HEAD" else http.method
        fault = self.manager.fault(method, path, _json(raw))
        if fault is None:
            return
        await asyncio.sleep(fault["stall"])
        if fault["answer"] == "drop" and http.transport is not None:
            http.transport.abort()
            raise ConnectionResetError("dropped on order")
        error = faults.error(fault)
        if error is not None:
            raise error

    def _answer(self, http: web.Request, raw: bytes) -> Reply:
        if http.path == "/sandbox/health":
            return Reply(200, {"status": "ok"})
        anonymous = self.tokens.anonymous(http.method, http.path, http.query, raw)
        if anonymous is not None:
            return anonymous
        caller = self.tokens.principal(http.headers.get("Authorization"))
        query = dict(parse_qsl(http.query_string, keep_blank_values=True))
        request = Request(
            "GET" if http.method == "HEAD" else http.method,
            unquote(http.rel_url.raw_path),
            None,
            next((value for key, value in query.items() if key.lower() == "api-version"), ""),
            query,
            {key.lower(): value for key, value in http.headers.items()},
            self._home.azure_url,
        )
        return self.manager.handle(request, _json(raw), caller)


def _json(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"The request content was invalid and could not be deserialized: '{error}'.",
        ) from error


def _response(http: web.Request, reply: Reply) -> web.Response:
    headers = {"x-ms-request-id": str(uuid.uuid4()), **reply.headers}
    status = reply.status
    operation = reply.operation
    if operation is not None and operation.status == "InProgress":
        namespace = operation.resource_id.lower().rsplit("/providers/", 1)
        provider = namespace[1].split("/")[0] if len(namespace) == 2 else "microsoft.resources"
        subscription = operation.resource_id.split("/")[2]
        version = http.query.get("api-version", "")
        base = f"https://{http.host}/subscriptions/{subscription}/providers/{provider}/locations/global"
        headers.setdefault("Azure-AsyncOperation", f"{base}/operations/{operation.id}?api-version={version}")
        if operation.kind != "put" or status == 202:
            headers.setdefault("Location", f"{base}/operationResults/{operation.id}?api-version={version}")
        headers.setdefault("Retry-After", "1")
    if http.method == "HEAD":
        return web.Response(status=204 if status == 200 else status, headers=headers)
    if reply.body is None:
        return web.Response(status=status, headers=headers)
    return web.json_response(reply.body, status=status, headers=headers)
