"""A Resource Manager of a few lines, for what the simulated Azure does not do on request: fail and stall."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from sandbox.providers.azure_native.arm_client import ArmClient, Credentials

Handler = Callable[["Call"], "tuple[int, Any, dict[str, str]]"]


@dataclass(frozen=True)
class Call:
    """One request, its body read."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    number: int


@dataclass
class FakeArm:
    """What it was asked, and a client of it."""

    arm: ArmClient
    base: str
    calls: list[Call] = field(default_factory=list[Call])

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]


@asynccontextmanager
async def fake_arm(answer: Callable[[FakeArm, Call], tuple[int, Any, dict[str, str]]]) -> AsyncGenerator[FakeArm]:
    """Serve `answer(fake, call) -> (status, document, headers)` on loopback."""
    fakes: list[FakeArm] = []

    async def handle(request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return web.json_response({"access_token": "t", "expires_in": 3600})
        text = await request.text()
        fake = fakes[0]
        call = Call(
            request.method, request.path, dict(request.query), json.loads(text) if text else None, len(fake.calls)
        )
        fake.calls.append(call)
        status, document, headers = answer(fake, call)
        return web.json_response(document, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        base = str(server.make_url("")).rstrip("/")
        credentials = Credentials(base, base, "adfs", "client", "secret")
        fakes.append(FakeArm(ArmClient(credentials, http), base))
        yield fakes[0]
