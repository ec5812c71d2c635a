"""What one engine connection has configured, and the requests it has under way.

A debug provider serves many engines at once, and each of them many providers: configuration is kept for each gRPC
peer, never globally.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from arm.shapes import provider_keys
from sandbox.home import Home
from sandbox.providers.azure_native.arm_client import ArmClient, Credentials, open_session

_KEPT = 1024
"""Connections remembered; the oldest are forgotten, engines never close theirs in an orderly way."""
_ENGINES_OWN = frozenset({"version", "pluginDownloadURL"})


class NotConfiguredError(Exception):
    """A request on a connection that has configured nothing: this process was started anew in between."""


@dataclass
class Session:
    """One connection's provider.

    Attributes:
        location: what resources get that name none; None: their group's.
        groups: locations of resource groups, as far as they were asked for.
        tasks: requests under way, ended by `Cancel`.
    """

    arm: ArmClient
    subscription: str
    location: str | None
    groups: dict[str, str] = field(default_factory=dict[str, str])
    tasks: set[asyncio.Task[object]] = field(default_factory=set["asyncio.Task[object]"])

    @asynccontextmanager
    async def request(self) -> AsyncGenerator[None]:
        """Count the running task among those that `Cancel` ends."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request runs outside of any task")
        self.tasks.add(task)
        try:
            yield
        finally:
            self.tasks.discard(task)

    def cancel(self) -> None:
        """End what is under way; writes that Azure has accepted report what is there so far."""
        for task in self.tasks:
            task.cancel()


class Sessions:
    """All connections' providers, by peer.

    Args:
        home: the sandbox whose Azure is asked; its sign-in holds where the configuration gives none.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._by_peer: OrderedDict[str, Session] = OrderedDict()
        self._http: aiohttp.ClientSession | None = None

    def configure(self, peer: str, settings: Mapping[str, str]) -> None:
        """Take a connection's configuration: `{key: value}`, without the `azure-native:` in front."""
        config = self._home.config
        credentials = Credentials(
            endpoint=self._home.azure_url,
            authority=self._home.azure_url,
            tenant=settings.get("tenantId") or config.tenant_id,
            client_id=settings.get("clientId") or config.client_id,
            client_secret=settings.get("clientSecret") or config.client_secret,
        )
        self._http = self._http or open_session(str(self._home.ca_cert))
        self._by_peer[peer] = Session(
            arm=ArmClient(credentials, self._http),
            subscription=settings.get("subscriptionId") or config.subscription_id,
            location=settings.get("location"),
        )
        self._by_peer.move_to_end(peer)
        while len(self._by_peer) > _KEPT:
            self._by_peer.popitem(last=False)

    def of(self, peer: str) -> Session:
        """A connection's provider.

        Raises:
            NotConfiguredError: it was never configured, or in an earlier process.
        """
        session = self._by_peer.get(peer)
        if session is None:
            raise NotConfiguredError(
                "The azure-native provider was restarted while a deployment was running and no longer knows its "
                "configuration. Run `make up`, or `python -m recovery` and then `pulumi up --refresh`."
            )
        return session

    def cancel(self, peer: str) -> None:
        """End a connection's requests, if it has any."""
        session = self._by_peer.get(peer)
        if session is not None:
            session.cancel()

    async def close(self) -> None:
        """Close all connections to Azure."""
        if self._http is not None:
            await self._http.close()


def unknown_keys(settings: Mapping[str, object]) -> list[str]:
    """One message for each configuration key that azure-native does not have."""
    allowed = provider_keys() | _ENGINES_OWN
    return [
        f"unknown configuration key 'azure-native:{key}': azure-native takes {', '.join(sorted(provider_keys()))}"
        for key in sorted(settings)
        if key not in allowed and not key.startswith("__")
    ]
