"""Puts the parts together: what is watched, what is polled, what runs beside each other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from sandbox.home import Home
from sandbox.kubeconfig import read_kubeconfig
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.addons import AddonManager
from sandbox.nodes.azure_client import AzureClient, AzureError
from sandbox.nodes.local_containers import LocalContainers
from sandbox.nodes.local_managers import LocalManagers
from sandbox.nodes.machines import Fleet
from sandbox.nodes.mounts import Mounts
from sandbox.nodes.node_controller import NodeController
from sandbox.nodes.node_tunnel import NodeTunnel
from sandbox.nodes.objects import Json, text
from sandbox.nodes.provisioner import Provisioner
from sandbox.nodes.services import Services
from sandbox.nodes.surroundings import Surroundings
from sandbox.nodes.watched import Watched
from sandbox.nodes.workloads import Workloads

log = logging.getLogger(__name__)

_POLL = 1.0
_RESTART = 2.0


class Controller:
    """Everything that AKS does inside one sandbox's cluster."""

    def __init__(self, home: Home) -> None:
        self._azure = AzureClient(home)
        self._client = KubernetesClient(read_kubeconfig(home.admin_kubeconfig), user_agent="aks")
        self._fleet: Fleet | None = None
        nodes = Watched(self._client, path("v1", "nodes"))
        pods = Watched(self._client, path("v1", "pods"), index=_node_of)
        csi_nodes = Watched(self._client, path("storage.k8s.io/v1", "csinodes"))
        around = Surroundings(
            self._client, self._azure, lambda: self._fleet, lambda name: nodes.objects.get(("", name))
        )
        self._nodes = NodeController(self._client, nodes, pods, csi_nodes, lambda: self._fleet)
        self._workloads = Workloads(self._client, pods, around)
        self._addons = AddonManager(self._client, self._azure, lambda: self._fleet)
        self._volumes = Provisioner(self._client, self._azure, nodes, lambda: self._fleet, home.config.role_delay)
        volumes = (self._volumes.claims, self._volumes.volumes)
        self._mounts = Mounts(self._client, pods, csi_nodes, *volumes)
        self._containers = LocalContainers(home, self._client, pods, around)
        self._managers = LocalManagers(home, self._client, pods, around)
        services = Watched(self._client, path("v1", "services"))
        self._tunnel = NodeTunnel(home, Services(services, pods, self._managers.local_port))
        self._watched = (nodes, pods, csi_nodes, services, *self._addons.watched.values(), *volumes)

    async def run(self) -> None:
        """Run until cancelled."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("machines", self._poll),
            ("nodes", self._nodes.run),
            ("workloads", self._workloads.run),
            ("addons", self._addons.run),
            ("volumes", self._volumes.run),
            ("mounts", self._mounts.run),
            ("containers", self._containers.run),
            ("managers", self._managers.run),
            ("tunnel", self._tunnel.run),
            *((f"watch {number}", watched.run) for number, watched in enumerate(self._watched)),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for name, part in parts:
                    group.create_task(_for_ever(name, part))
        finally:
            await self._client.close()
            await self._azure.close()

    async def _poll(self) -> None:
        """Read the machines, again and again; an Azure that does not answer changes nothing."""
        silent = False
        while True:
            try:
                fleet = await self._azure.fleet()
                silent = False
                if fleet is not self._fleet:
                    self._fleet = fleet
                    self._nodes.look()
                    self._addons.look()
            except AzureError as error:
                if not silent:
                    log.warning("the machines cannot be read: %s", error)
                silent = True
            await asyncio.sleep(_POLL)


async def _for_ever(name: str, part: Callable[[], Awaitable[None]]) -> None:
    """Run a part, and again should it fail: one part's fault must not stop the others."""
    while True:
        try:
            await part()
        except ApiError as error:
            log.warning("%s: %s", name, error)
        except Exception:
            log.exception("%s failed; it starts again", name)
        await asyncio.sleep(_RESTART)


def _node_of(pod: Json) -> str:
    return text(pod, "spec", "nodeName")
