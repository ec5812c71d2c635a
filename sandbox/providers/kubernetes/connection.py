"""One engine connection: its configuration, its cluster, and where its messages go.

One provider process serves many connections at once; none sees another's configuration. Connections with the same
kubeconfig share one `Cluster`, with its HTTP connections and its knowledge of kinds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field

from sandbox.kubeconfig import KubeconfigError, read_kubeconfig
from sandbox.kubernetes_client import ApiError
from sandbox.providers.kubernetes.cluster import Cluster, NoSuchKindError, is_namespaced
from sandbox.providers.kubernetes.host import Host, Severity
from sandbox.providers.kubernetes.objects import Json, Kind
from sandbox.providers.kubernetes.settings import Settings, SettingsError, with_choice

_log = logging.getLogger(__name__)
_KEPT = 512
_FIRST_CONTACT = 2.0


@dataclass
class Connection:
    """One engine connection.

    Attributes:
        host: the engine.
        settings: what the engine configured.
        cluster: the API server; None while it is unreachable.
        unreachable: why there is none, in words for the user.
        crds: custom resource definitions that the program declares, by group and kind.
        cancelled: set when the user interrupts.
    """

    host: Host = field(default_factory=lambda: Host(""))
    settings: Settings = field(default_factory=Settings)
    cluster: Cluster | None = None
    unreachable: str = "the provider was not configured on this connection"
    crds: dict[tuple[str, str], Json] = field(default_factory=dict[tuple[str, str], Json])
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def default_namespace(self) -> str:
        """The namespace of objects that name none; empty while the cluster is unreachable and none is set."""
        return self.settings.namespace or (self.cluster.namespace if self.cluster else "")

    def is_namespaced(self, kind: Kind) -> bool:
        """Whether objects of a kind live in namespaces."""
        return is_namespaced(kind, self.crds, self.cluster)

    async def serves(self, kind: Kind) -> bool:
        """Whether the API server is reachable and has the kind."""
        if self.cluster is None:
            return False
        try:
            await self.cluster.served(kind)
        except NoSuchKindError:
            return False
        return True

    def log(self, severity: Severity, urn: str, message: str) -> None:
        """Tell the user about a resource."""
        self.host.log(severity, urn, message)


class Connections:
    """The connections of this process, by their gRPC peers."""

    def __init__(self) -> None:
        self._connections: OrderedDict[str, Connection] = OrderedDict()
        self._clusters: dict[tuple[str, float, int, float], Cluster] = {}

    def of(self, peer: str) -> Connection:
        """The connection of a peer; a new one if it was not seen before."""
        connection = self._connections.setdefault(peer, Connection())
        self._connections.move_to_end(peer)
        if len(self._connections) > _KEPT:
            self._connections.popitem(last=False)
        return connection

    async def attach(self, peer: str, address: str) -> None:
        """Note where the engine of a peer takes messages. A peer's port may have been another engine's before."""
        former = self._connections.pop(peer, None)
        if former is not None:
            await former.host.close()
        self.of(peer).host = Host(address)

    async def configure(self, peer: str, settings: Settings) -> None:
        """Configure a peer's connection, and look whether its cluster answers."""
        connection = self.of(peer)
        connection.settings, connection.crds, connection.cancelled = settings, {}, asyncio.Event()
        connection.cluster, connection.unreachable = None, ""
        try:
            cluster = self._cluster(settings)
            await cluster.discover(patience=_FIRST_CONTACT)
            connection.cluster = cluster
        except (SettingsError, KubeconfigError) as error:
            connection.unreachable = f"unable to load Kubernetes client configuration from kubeconfig: {error}"
        except ApiError as error:
            connection.unreachable = f"unable to load schema information from the API server: {error}"
        if connection.unreachable:
            _log.warning("%s: %s", peer, connection.unreachable)

    def _cluster(self, settings: Settings) -> Cluster:
        contents = with_choice(settings)
        key = (contents, settings.qps, settings.burst, settings.timeout)
        if key not in self._clusters:
            access = read_kubeconfig(contents)
            self._clusters[key] = Cluster(access, qps=settings.qps, burst=settings.burst, timeout=settings.timeout)
        return self._clusters[key]

    async def close(self) -> None:
        """Close every connection, to engines and clusters."""
        for connection in self._connections.values():
            await connection.host.close()
        for cluster in self._clusters.values():
            await cluster.close()
