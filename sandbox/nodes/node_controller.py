"""Brings Nodes in line with the machines: registers, corrects, drains, removes.

Owns when to look and in what order to act; what is to be is decided in `node_objects`, `csi_nodes` and
`pod_status`. Looks a few times a second at the nodes of which something changed, and at all of them now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.csi_nodes import drivers_change, new_csi_node, running_drivers
from sandbox.nodes.machines import Cluster, Fleet, Machine
from sandbox.nodes.node_objects import change_of, free_addresses, is_managed, new_node
from sandbox.nodes.objects import Json, is_ready, key_of, owner_kind, text
from sandbox.nodes.pod_status import offered_devices, orphaned_status
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)

_AT_ONCE = 16
_PAUSE = 0.3
"""Seconds between two looks."""
_LOOK_ANYWAY = 30.0
"""Seconds after which all nodes are looked at, changed or not."""
_EVICT_EVERY = 2.0


class NodeController:
    """The nodes of one cluster.

    Args:
        client: the API server.
        nodes, pods, csi_nodes: watched; pods grouped by node name.
        fleet: gives the machines now; None before they were first read.
    """

    def __init__(
        self,
        client: KubernetesClient,
        nodes: Watched,
        pods: Watched,
        csi_nodes: Watched,
        fleet: Callable[[], Fleet | None],
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._pods = pods
        self._csi_nodes = csi_nodes
        self._fleet = fleet
        self._dirty = asyncio.Event()
        self._names: set[str] = set()
        self._seen: Fleet | None = None
        self._looked_at = float("-inf")
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._evicted: dict[str, float] = {}
        for watched in (nodes, csi_nodes):
            watched.on_change(lambda before, after: self._look_at(text(after or before or {}, "metadata", "name")))
        pods.on_change(self._pod_changed)

    def look(self) -> None:
        """Machines changed: look again soon."""
        self._dirty.set()

    async def run(self) -> None:
        """Keep the nodes in line until cancelled."""
        for watched in (self._nodes, self._pods, self._csi_nodes):
            await watched.complete.wait()
        while True:
            fleet = self._fleet()
            if fleet is not None:
                await self._bring_in_line(fleet, self._due(fleet))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_look(fleet)):
                    await self._dirty.wait()
            self._dirty.clear()
            await asyncio.sleep(_PAUSE)

    def _next_look(self, fleet: Fleet | None) -> float:
        draining = fleet is not None and any(machine.state == "deleting" for machine in fleet.machines.values())
        return _EVICT_EVERY if draining else _LOOK_ANYWAY

    def _look_at(self, name: str) -> None:
        self._names.add(name)
        self._dirty.set()

    def _pod_changed(self, before: Json | None, pod: Json | None) -> None:
        """Of all the pods' changes only those matter that change what a node offers."""
        if _offer(before) != _offer(pod):
            self._look_at(text(pod or before or {}, "spec", "nodeName"))

    def _due(self, fleet: Fleet) -> set[str]:
        """The nodes to look at now: all from time to time, else those of which something changed, and those that go."""
        names, self._names = self._names, set()
        before, self._seen = self._seen, fleet
        now = time.monotonic()
        if before is None or before.cluster != fleet.cluster or now - self._looked_at >= _LOOK_ANYWAY:
            self._looked_at = now
            return {*fleet.machines, *(name for _, name in self._nodes.objects)}
        if before is not fleet:
            names |= {name for name in before.machines if name not in fleet.machines}
            names |= {name for name, machine in fleet.machines.items() if before.machines.get(name) != machine}
        return names | {name for name, machine in fleet.machines.items() if machine.state == "deleting"}

    async def _bring_in_line(self, fleet: Fleet, names: set[str]) -> None:
        work: list[tuple[str, Awaitable[object]]] = []
        addresses = iter(free_addresses(self._nodes.objects.values()))
        for name in names:
            machine, node = fleet.machines.get(name), self._nodes.objects.get(("", name))
            if machine is not None and fleet.cluster is not None:
                work.extend((name, one) for one in self._machine_work(machine, fleet.cluster, addresses))
            elif machine is None and node is not None and is_managed(node):
                work.append((name, self._remove(node)))
        results = await asyncio.gather(*(self._bounded(one) for _, one in work))
        again = {name for (name, _), done in zip(work, results, strict=True) if not done}
        if again:
            asyncio.get_running_loop().call_later(1, self._look_at_all, again)

    def _look_at_all(self, names: set[str]) -> None:
        self._names |= names
        self._dirty.set()

    def _machine_work(self, machine: Machine, cluster: Cluster, addresses: Iterator[str]) -> list[Awaitable[object]]:
        node = self._nodes.objects.get(("", machine.node_name))
        if node is None:
            return [self._register(machine, cluster, next(addresses))] if machine.state == "running" else []
        if text(node, "metadata", "deletionTimestamp"):
            return []
        if text(node, "spec", "providerID") != machine.provider_id:  # another machine under the name of a former one
            return [self._remove(node)]
        work: list[Awaitable[object]] = []
        pods = list(self._pods.grouped(machine.node_name))
        if machine.state in ("running", "deleting"):
            change = change_of(machine, cluster, node, _devices(pods))
            where = path("v1", "nodes", None, machine.node_name)
            if change.metadata_and_spec is not None:
                work.append(self._patch(where, change.metadata_and_spec))
            if change.status is not None:
                work.append(self._patch(f"{where}/status", change.status))
            work.extend(self._csi_work(machine, node, pods))
        if machine.state == "deleting":
            work.extend(self._evictions(pods))
        return work

    def _csi_work(self, machine: Machine, node: Json, pods: list[Json]) -> list[Awaitable[object]]:
        csi_node = self._csi_nodes.objects.get(("", machine.node_name))
        if csi_node is None:
            return [self._create(path("storage.k8s.io/v1", "csinodes"), new_csi_node(node))]
        change = drivers_change(csi_node, machine, running_drivers(pods))
        return (
            []
            if change is None
            else [self._patch(path("storage.k8s.io/v1", "csinodes", None, machine.node_name), change)]
        )

    def _evictions(self, pods: list[Json]) -> list[Awaitable[object]]:
        """Ask away a draining node's pods, but for those of DaemonSets; PodDisruptionBudgets may say: not yet."""
        now = time.monotonic()
        self._evicted = {uid: at for uid, at in self._evicted.items() if now - at < _EVICT_EVERY}
        work: list[Awaitable[object]] = []
        for pod in pods:
            uid = text(pod, "metadata", "uid")
            ended = text(pod, "status", "phase") in ("Succeeded", "Failed") or text(
                pod, "metadata", "deletionTimestamp"
            )
            if ended or owner_kind(pod) in ("DaemonSet", "Node") or uid in self._evicted:
                continue
            self._evicted[uid] = now
            work.append(self._evict(pod))
        return work

    async def _evict(self, pod: Json) -> None:
        namespace, name = key_of(pod)
        if await self._client.evict(namespace, name):
            log.info("evicted pod %s/%s", namespace, name)

    async def _register(self, machine: Machine, cluster: Cluster, address: str) -> None:
        log.info("node %s registers (%s, pool %s)", machine.node_name, machine.vm_size, machine.pool)
        node = await self._create(path("v1", "nodes"), new_node(machine, cluster, address))
        if node is not None:
            await self._create(path("storage.k8s.io/v1", "csinodes"), new_csi_node(node))

    async def _remove(self, node: Json) -> None:
        """The machine is gone: so are its Node and, with nobody left to end them, its pods."""
        name = text(node, "metadata", "name")
        if not text(node, "metadata", "deletionTimestamp"):
            log.info("node %s goes: its machine is gone", name)
            await self._client.delete(path("v1", "nodes", None, name), uid=node["metadata"]["uid"])
        for pod in self._pods.grouped(name):
            where = path("v1", "pods", *key_of(pod))
            if text(pod, "status", "phase") not in ("Succeeded", "Failed"):
                await self._patch(f"{where}/status", orphaned_status(pod, datetime.now(UTC)))
            await self._client.delete(where, grace_seconds=0, uid=pod["metadata"]["uid"])

    async def _create(self, where: str, body: Json) -> Json | None:
        """Create an object; None where it is there already."""
        try:
            return await self._client.create(where, body)
        except ApiError as error:
            if error.conflict:
                return None
            raise

    async def _patch(self, where: str, patch: Json) -> None:
        await self._client.patch(where, patch)

    async def _bounded(self, work: Awaitable[object]) -> bool:
        """Do one piece of work; False where it has to be done again."""
        async with self._limit:
            try:
                await work
            except ApiError as error:
                if not (error.not_found or error.conflict):  # changed meanwhile: the watch will tell
                    log.warning("%s", error)
                return False
        return True


def _devices(pods: list[Json]) -> dict[str, int]:
    """What the device plugins that run on a node offer."""
    devices: dict[str, int] = {}
    for pod in pods:
        if is_ready(pod):
            devices.update(offered_devices(pod))
    return devices


def _offer(pod: Json | None) -> tuple[object, ...]:
    """The part of a pod that bears on its node: devices and drivers while it runs."""
    if pod is None or not is_ready(pod):
        return ()
    return (tuple(sorted(offered_devices(pod).items())), *sorted(running_drivers([pod])))
