"""One API server as one user: requests with patience, and which kinds it serves.

Sits on `sandbox.kubernetes_client`; adds what pulumi-kubernetes adds to client-go: discovery, a bound on requests,
signing in anew after a 401, retries. Several engine connections with one kubeconfig share a cluster.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from sandbox.kubeconfig import Access, KubeconfigError
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    as_list,
    as_map,
    is_map,
    name_of,
    namespace_of,
    pluck,
    table,
    text,
)

T = TypeVar("T")
USER_AGENT = "pulumi-kubernetes/4.34 (trainyard-sandbox)"
PATIENCE = 60.0
"""Seconds for which a change is tried again while the API server is away or overloaded: it may be restarting."""
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_DISCOVERY_LASTS = 600.0


class NoSuchKindError(ApiError):
    """The API server serves no such kind: its custom resource definition is not there (yet)."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(404, "NoMatch", f'no matches for kind "{kind.kind}" in version "{kind.api_version}"')


@dataclass(frozen=True)
class Served:
    """How a kind is reached: its plural, and whether its objects live in namespaces."""

    plural: str
    namespaced: bool


class _Limiter:
    """A token bucket: `burst` requests at once, then `qps` a second."""

    def __init__(self, qps: float, burst: int) -> None:
        self._qps = qps
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._at = time.monotonic()

    async def take(self) -> None:
        if self._qps <= 0:
            return
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._qps) - 1
        self._at = now
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._qps)


class Cluster:
    """One API server as one user.

    Every method raises `ApiError`; with status 401 also where the sign-in plugin fails.

    Args:
        access: where it is and how to sign in.
        qps, burst, timeout: see `Settings`.
    """

    def __init__(self, access: Access, *, qps: float = 0, burst: int = 1, timeout: float = 30) -> None:
        self._access = access
        self._timeout = timeout
        self._limiter = _Limiter(qps, burst)
        self._client = KubernetesClient(access, user_agent=USER_AGENT, timeout=timeout)
        self._stale: list[KubernetesClient] = []
        self._kinds: dict[Kind, Served] = {}
        self._discovered_at = 0.0
        self._discovering = asyncio.Lock()

    @property
    def server(self) -> str:
        """`https://host:port`."""
        return self._access.server

    @property
    def namespace(self) -> str:
        """The namespace that the kubeconfig's context names, or `default`."""
        return self._access.namespace

    async def close(self) -> None:
        """Close the connections."""
        for client in (self._client, *self._stale):
            await client.close()

    async def discover(self, *, patience: float = 0) -> None:
        """Read which kinds the server has."""
        kinds: dict[Kind, Served] = {}
        for where in ("/api", "/apis"):
            document = await self._send(lambda client, where=where: _discovery(client, where), patience)
            for group in map(as_map, as_list(document.get("items"))):
                for version in map(as_map, as_list(group.get("versions"))):
                    for resource in map(as_map, as_list(version.get("resources"))):
                        kind = Kind(
                            text(pluck(group, "metadata", "name")),
                            text(version.get("version")),
                            text(pluck(resource, "responseKind", "kind")),
                        )
                        kinds.setdefault(kind, Served(text(resource.get("resource")), resource["scope"] != "Cluster"))
        self._kinds, self._discovered_at = kinds, time.monotonic()

    async def served(self, kind: Kind) -> Served:
        """How a kind is reached; looks again at the server before it says there is none.

        Raises:
            NoSuchKindError: the server has no such kind.
        """
        asked_at = time.monotonic()
        fresh = asked_at - self._discovered_at < _DISCOVERY_LASTS
        if kind not in self._kinds or not fresh:
            async with self._discovering:
                if self._discovered_at < asked_at:
                    await self.discover()
        if kind not in self._kinds:
            raise NoSuchKindError(kind)
        return self._kinds[kind]

    def known(self, kind: Kind) -> Served | None:
        """How a kind is reached as far as is known without asking the server."""
        return self._kinds.get(kind)

    async def where(self, kind: Kind, namespace: str = "", name: str | None = None) -> str:
        """The REST path of an object, or of its collection without a name."""
        served = await self.served(kind)
        return path(kind.api_version, served.plural, (namespace or "default") if served.namespaced else None, name)

    async def where_is(self, obj: Json) -> str:
        """The REST path of an object."""
        return await self.where(Kind.of(obj), namespace_of(obj), name_of(obj))

    async def get(self, where: str, *, patience: float = 0) -> Json:
        """One object."""
        return await self._send(lambda client: client.get(where), patience)

    async def list(self, where: str, params: Mapping[str, str] | None = None) -> tuple[list[Json], str]:
        """The objects of a collection, and the resource version to watch from."""
        return await self._send(lambda client: client.list(where, params))

    async def create(self, where: str, body: Json, params: Mapping[str, str], *, patience: float = 0) -> Json:
        """Create an object in a collection."""
        return await self._send(lambda client: client.create(where, body, params), patience)

    async def replace(self, where: str, body: Json, params: Mapping[str, str], *, patience: float = 0) -> Json:
        """Write a whole object."""
        return await self._send(lambda client: client.replace(where, body, params), patience)

    async def apply(
        self,
        where: str,
        body: Json,
        *,
        manager: str,
        force: bool = False,
        params: Mapping[str, str] | None = None,
        patience: float = 0,
    ) -> Json:
        """Server-side apply."""
        return await self._send(
            lambda client: client.apply(where, body, manager=manager, force=force, params=params), patience
        )

    async def patch_json(self, where: str, patch: list[Json]) -> Json:
        """Change an object by a JSON patch."""
        return await self._send(lambda client: client.patch(where, patch, "json"))

    async def delete(self, where: str, propagation: str, *, patience: float = 0) -> Json | None:
        """Delete an object; None where there was none."""
        return await self._send(lambda client: client.delete(where, propagation=propagation), patience)

    async def watch(self, where: str, version: str, params: Mapping[str, str]) -> AsyncGenerator[Json]:
        """Events after a resource version; ends now and then."""
        await self._limiter.take()
        async for event in self._client.watch(where, version, params):
            yield event

    async def _send(self, request: Callable[[KubernetesClient], Awaitable[T]], patience: float = 0) -> T:
        """Send a request; again after a 401 with a fresh sign-in, and while `patience` lasts on passing troubles."""
        give_up = time.monotonic() + patience
        pause, refused = 0.2, False
        while True:
            await self._limiter.take()
            client = self._client
            try:
                return await request(client)
            except KubeconfigError as error:
                raise ApiError(401, "Unauthorized", f"signing in to {self.server} failed: {error}") from error
            except ApiError as error:
                if error.status == 401 and not refused and self._access.exec_plugin is not None:
                    refused = True
                    self._sign_in_anew(client)
                    continue
                if not error.transient or time.monotonic() + pause > give_up:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    def _sign_in_anew(self, refused: KubernetesClient) -> None:
        """Forget the plugin's token, unless another request did so already: it was refused before its end."""
        if refused is self._client:
            self._stale.append(refused)  # requests of others may still be under way on it
            self._access = replace(self._access)
            self._client = KubernetesClient(self._access, user_agent=USER_AGENT, timeout=self._timeout)


async def _discovery(client: KubernetesClient, where: str) -> Json:
    return (await client.request("GET", where, accept=_DISCOVERY))[0]


def is_namespaced(kind: Kind, crds: Mapping[tuple[str, str], Json], cluster: Cluster | None) -> bool:
    """Whether objects of a kind live in namespaces; True where nobody knows, as a later create tells.

    Args:
        kind: the kind.
        crds: custom resource definitions of this program, by group and kind.
        cluster: what the server is known to serve; None where it is unreachable.
    """
    if kind.is_built_in:
        return kind.kind.removesuffix("Patch") not in table("kinds.yaml")["cluster_scoped"]
    definition = crds.get((kind.group, kind.kind))
    if is_map(definition):
        return pluck(definition, "spec", "scope") != "Cluster"
    served = cluster.known(kind) if cluster else None
    return served is None or served.namespaced
