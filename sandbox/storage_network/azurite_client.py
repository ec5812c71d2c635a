"""The way to Azurite, and which of its containers are whose.

Azurite knows its accounts from its start on, so all of the sandbox's containers lie in one account of it, each under a
name made of the account, the container and when both were made. One that was deleted and made again has another
name there, and nothing of the old one is in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from email.utils import formatdate
from xml.etree import ElementTree as Xml

import aiohttp
from yarl import URL

from sandbox.azure.store import Resource
from sandbox.azurite import ACCOUNT, azurite_key
from sandbox.home import Home
from sandbox.storage_network.accounts import Accounts
from sandbox.storage_network.errors import StorageError
from sandbox.storage_network.shared_key import signature

_VERSION = "2024-11-04"
_LOOK = 0.5
log = logging.getLogger(__name__)


def held_name(account: Resource, container: Resource) -> str:
    """The name under which Azurite has a container."""
    life = f"{account.id.lower()} {account.created_at!r} {container.name} {container.created_at!r}"
    return hashlib.sha256(life.encode()).hexdigest()[:40]


class AzuriteClient:
    """Requests to Azurite, signed with its key.

    Args:
        home: knows its port and key.
        accounts: which containers there should be.
    """

    def __init__(self, home: Home, accounts: Accounts) -> None:
        self.url = f"http://127.0.0.1:{home.config.ports['azurite']}/{ACCOUNT}"
        self._key = azurite_key(home)
        self._accounts = accounts
        self._there: set[str] = set()
        self._session = aiohttp.ClientSession(
            # Azurite drops idle connections after 5 s: one that is used again just then would fail a write.
            connector=aiohttp.TCPConnector(force_close=True, limit=0),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=120),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def send(
        self, method: str, target: str, headers: Mapping[str, str], body: aiohttp.StreamReader | None = None
    ) -> aiohttp.ClientResponse:
        """Send a request; the caller reads and releases the answer.

        Args:
            target: path and query behind the account, encoded.

        Raises:
            StorageError: 503, Azurite does not answer.
        """
        url = URL(self.url + target, encoded=True)
        signed = {**headers, "x-ms-date": formatdate(usegmt=True)}
        signed.setdefault("x-ms-version", _VERSION)
        proof = signature(self._key, method, signed, ACCOUNT, url.raw_path_qs)
        signed["Authorization"] = f"SharedKey {ACCOUNT}:{proof}"
        try:
            return await self._session.request(method, url, headers=signed, data=body, allow_redirects=False)
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise StorageError(
                503,
                "ServerBusy",
                f"Azurite, which holds the sandbox's blobs, does not answer ({error}): see `make status`.",
            ) from error

    async def hold(self, account: Resource, container: Resource) -> str:
        """Make sure that Azurite has a container; its name there."""
        name = held_name(account, container)
        if name not in self._there:
            async with await self.send("PUT", f"/{name}?restype=container", {}) as answer:
                if answer.status not in (201, 409):
                    raise StorageError(503, "ServerBusy", f"Azurite could not make a container: {await answer.text()}")
            self._there.add(name)
        return name

    async def keep_in_step(self) -> None:
        """Make and delete Azurite's containers as Resource Manager's come and go, until cancelled."""
        connection = self._accounts.store.connection
        seen: int | None = None
        while True:
            version: int = connection.execute("PRAGMA data_version").fetchone()[0]
            if version != seen:
                try:
                    await self._bring_in_step()
                    seen = version
                except StorageError as error:
                    log.warning("containers are not in step: %s", error)
            await asyncio.sleep(_LOOK)

    async def _bring_in_step(self) -> None:
        # What is there is read before what should be: a container made in between is in the second list.
        there = await self._list()
        wanted = {held_name(*pair): pair for pair in self._accounts.all_containers()}
        self._there = there & set(wanted)
        for pair in wanted.values():
            await self.hold(*pair)
        for name in sorted(there - set(wanted)):
            async with await self.send("DELETE", f"/{name}?restype=container", {}) as answer:
                log.info("container %s is gone: %s", name, answer.status)

    async def _list(self) -> set[str]:
        found: set[str] = set()
        marker = ""
        while True:
            async with await self.send("GET", f"/?comp=list&marker={marker}", {}) as answer:
                document = Xml.fromstring(await answer.read())
            found.update(name.text or "" for name in document.iterfind("./Containers/Container/Name"))
            marker = document.findtext("./NextMarker") or ""
            if not marker:
                return found
