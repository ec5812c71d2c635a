"""One turn after the other: look, clear up, grow, shrink.

Source: CA `core/static_autoscaler.go`. The order is the program's; a turn in which a pool grew removes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from capacity.autoscaling.backoff import Backoff
from capacity.autoscaling.scale_down import Fits, Idle, Machine, Pauses, removable, unneeded
from capacity.autoscaling.scale_up import (
    Group,
    Room,
    Situation,
    Verdict,
    below_minimum,
    is_unhealthy,
    place_on,
    scale_up,
)
from capacity.autoscaling.scheduling import Shape, admits
from capacity.cost.prices import load_prices
from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.declared import Declared, priorities
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.groups import Pool
from sandbox.autoscaler.pods import CONSUMES, age, finished, unknown_resources, waits
from sandbox.autoscaler.provisioning_requests import Gang, ProvisioningRequests, consumed_by
from sandbox.autoscaler.removals import Leaving, Removals
from sandbox.autoscaler.resource_manager import ArmFailedError
from sandbox.autoscaler.view import Shapes, View, expendable, view
from sandbox.kubernetes_client import ApiError, KubernetesClient
from sandbox.nodes.objects import Json, annotations_of, key_of, owner_kind, section, text
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)


@dataclass
class Cluster:
    """What is watched of the API server."""

    nodes: Watched
    pods: Watched
    daemons: Watched
    budgets: Watched

    def pods_of(self, node: str) -> Iterable[Json]:
        """The pods on a node."""
        return self.pods.grouped(node)


@dataclass
class Memory:
    """What one process remembers from turn to turn; a new one begins without it."""

    backoff: Backoff = field(default_factory=Backoff)
    idle: Idle = field(default_factory=Idle)
    pauses: Pauses = field(default_factory=Pauses)
    shapes: Shapes = field(default_factory=Shapes)


class Autoscaler:
    """One run of the autoscaler, from the pod's start to its end.

    Args:
        client: the API server.
        cluster: what is watched.
        fleet: the scale sets.
        writes: to the API server.
        memory: what is remembered, shared with the fleet.
        lots: draws among equals.
    """

    def __init__(
        self,
        client: KubernetesClient,
        cluster: Cluster,
        fleet: Fleet,
        writes: Writes,
        memory: Memory,
        lots: random.Random | None = None,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._fleet = fleet
        self._writes = writes
        self._memory = memory
        self._lots = lots or random.Random()
        self._requests = ProvisioningRequests(client, writes)
        self._removals = Removals(writes, cluster.pods_of, fleet.delete, self._removal_failed)
        self._is_new = True

    async def stop(self) -> None:
        """End as a process that is killed: nothing is finished, nothing is taken back."""
        await self._removals.stop()
        await self._fleet.stop()

    async def turn(self, told: Declared) -> None:
        """One turn.

        Raises:
            ApiError, ArmFailedError: the API server or Azure cannot be asked; the next turn tries again.
            DeclarationError, DiscoveryError: what is declared cannot be followed.
        """
        now = time.time()
        if self._is_new:
            await self._take_off_old_marks()
            self._is_new = False
        self._memory.backoff.forget_old(now, told.options)
        await self._fleet.look(told)
        seen = view(self._cluster.nodes.objects.values(), self._cluster.pods_of, self._memory.shapes, now)
        await self._fleet.clear(told, seen)
        groups = self._groups(seen)
        if await self._grow(told, seen, groups, now):
            self._memory.pauses.added_at = now
        else:
            self._shrink(told, seen, now)
        self._forget()

    # growing

    async def _grow(self, told: Declared, seen: View, groups: Sequence[Group], now: float) -> bool:
        """Grow at most one pool; whether one grew."""
        pods = self._waiting(told, now)
        gangs, kept = await self._requests.read(now) if told.is_on("enable-provisioning-requests") else ([], [])
        rooms = self._rooms(seen, groups)
        for gang in kept:
            place_on(rooms, self._not_yet_here(gang))
        waiting = Counter(self._memory.shapes.of(pod) for pod in pods)
        left = place_on(rooms, waiting)
        situation = await self._situation(told, left, seen, groups, now)
        if left:
            verdict = scale_up(situation, groups, told.options)
            self._tell(pods, left, verdict, groups, now)
            if verdict.growth and await self._grow_by(verdict.growth.group, verdict.growth.nodes, told):
                return True
        for gang in gangs:
            if await self._grow_for(gang, rooms, told, situation, groups, now):
                return True
        if told.options.enforce_node_group_min_size:
            for name, size in below_minimum(groups, situation).items():
                log.info("%s is below its minimum of %d", name, size)
                if await self._grow_to(name, size, told):
                    return True
        return False

    async def _grow_for(
        self,
        gang: Gang,
        rooms: list[Room],
        told: Declared,
        situation: Situation,
        groups: Sequence[Group],
        now: float,
    ) -> bool:
        """Machines for all of a gang's pods or for none; whether a pool grew."""
        trial = [Room(one.free, one.count, one.labels, one.taints, one.taken_by) for one in rooms]
        left = place_on(trial, gang.shapes)
        if not left:
            rooms[:] = trial
            await self._requests.conclude(gang.request, "Provisioned", "CapacityIsFound", "there is room", now)
            return False
        whole = Situation(
            left,
            situation.targets,
            now,
            situation.backoff,
            self._lots,
            situation.unhealthy,
            situation.priorities,
        )
        verdict = scale_up(whole, groups, told.options, whole=True)
        if verdict.growth is None:
            reasons = "; ".join(f"{one.group}: {one.reason}" for one in verdict.skipped) or "no pool can take it"
            await self._requests.not_now(gang.request, reasons, now)
            return False
        if not await self._grow_by(verdict.growth.group, verdict.growth.nodes, told):
            await self._requests.not_now(gang.request, f"{verdict.growth.group_id} could not grow", now)
            return False
        message = f"{verdict.growth.group_id} grows by {verdict.growth.nodes}"
        await self._requests.conclude(gang.request, "Provisioned", "CapacityIsProvisioned", message, now)
        return True

    async def _grow_by(self, group: Group, nodes: int, told: Declared) -> bool:
        return await self._grow_to(group.id, self._fleet.known[group.id].target + nodes, told)

    async def _grow_to(self, name: str, target: int, told: Declared) -> bool:
        log.info("%s grows from %d to %d", name, self._fleet.known[name].target, target)
        try:
            await self._fleet.grow(name, target, told)
        except ArmFailedError as error:
            log.warning("%s cannot grow to %d: %s", name, target, error)
            return False
        return True

    def _waiting(self, told: Declared, now: float) -> list[Json]:
        """Pods that wait for machines; those that no machine of a scale set can be foreseen to take are told so."""
        found: list[Json] = []
        for pod in self._cluster.pods.grouped(""):
            if not waits(pod) or owner_kind(pod) == "DaemonSet" or CONSUMES in annotations_of(pod):
                continue
            if age(pod, now) < told.options.new_pod_scale_up_delay:
                continue
            odd = unknown_resources(section(pod, "spec"))
            if odd:
                self._not_triggered(pod, f"no node group offers {', '.join(odd)}", now)
            elif not expendable(self._memory.shapes.of(pod), told.options):
                found.append(pod)
        return found

    def _rooms(self, seen: View, groups: Sequence[Group]) -> list[Room]:
        rooms = seen.rooms(self._removals.names)
        for group in groups:
            coming = self._fleet.upcoming(group.id, seen)
            if coming:
                rooms.append(Room(group.template.allocatable, coming, group.template.labels, group.template.taints))
        return rooms

    def _not_yet_here(self, gang: Gang) -> dict[Shape, int]:
        """Pods of a gang that are not on a node yet, for which its room is kept."""
        name = text(gang.request, "metadata", "name")
        here = Counter(
            self._memory.shapes.of(pod)
            for pod in self._cluster.pods.objects.values()
            if consumed_by(annotations_of(pod).get(CONSUMES, "")) == name
            and text(pod, "metadata", "namespace") == text(gang.request, "metadata", "namespace")
            and text(pod, "spec", "nodeName")
        )
        return {shape: count - here[shape] for shape, count in gang.shapes.items() if count > here[shape]}

    async def _situation(
        self, told: Declared, waiting: Mapping[Shape, int], seen: View, groups: Sequence[Group], now: float
    ) -> Situation:
        listed = await priorities(self._client) if "priority" in told.options.expanders else None
        unhealthy: set[str] = set()
        for group in groups:
            nodes = seen.of_pool(group.id)
            unready = sum(1 for one in nodes if one.readiness == "unready")
            if is_unhealthy(unready, self._fleet.known[group.id].target, told.options):
                unhealthy.add(group.id)
        every = list(seen.nodes.values())
        if is_unhealthy(sum(1 for one in every if one.readiness == "unready"), len(every), told.options):
            unhealthy = {group.id for group in groups}
        targets = self._fleet.targets()
        return Situation(waiting, targets, now, self._memory.backoff, self._lots, frozenset(unhealthy), listed)

    def _groups(self, seen: View) -> list[Group]:
        daemons = list(self._cluster.daemons.objects.values())
        return [
            pool.group(seen.like_a_node_of(name), daemons, _hourly(pool)) for name, pool in self._fleet.pools.items()
        ]

    # what is said about it

    def _tell(
        self, pods: Sequence[Json], left: Mapping[Shape, int], verdict: Verdict, groups: Sequence[Group], now: float
    ) -> None:
        """Events on the pods that still wait: what was triggered for them, or why nothing was."""
        growth = verdict.growth
        helped = Counter(growth.helped if growth else {})
        open_ = Counter(left)
        for pod in pods:
            shape = self._memory.shapes.of(pod)
            if not open_[shape]:
                continue
            open_[shape] -= 1
            if growth and helped[shape]:
                helped[shape] -= 1
                target = self._fleet.known[growth.group_id].target
                change = f"[{{{growth.group_id} {target}->{target + growth.nodes} (max: {growth.group.max})}}]"
                self._writes.say(pod, "Pod", "TriggeredScaleUp", f"pod triggered scale-up: {change}", now)
            else:
                self._not_triggered(pod, _why_not(shape, verdict, groups), now)

    def _not_triggered(self, pod: Json, why: str, now: float) -> None:
        self._writes.say(pod, "Pod", "NotTriggerScaleUp", f"pod didn't trigger scale-up: {why}", now)

    # shrinking

    def _shrink(self, told: Declared, seen: View, now: float) -> None:
        """Find what is not needed, and begin to remove what has not been for long enough."""
        if not told.options.scale_down_enabled:
            return
        budgets: dict[str, list[Json]] = defaultdict(list)
        for (namespace, _), budget in self._cluster.budgets.objects.items():
            budgets[namespace].append(budget)
        pools = self._fleet.pools
        machines = [one for one in seen.machines(pools, budgets) if one.name not in self._removals.names]
        by_group = {name: pool.options for name, pool in pools.items()}
        found = unneeded(machines, by_group, self._moves(seen))
        self._memory.idle.update(found, now)
        if not self._memory.pauses.over(told.options, now):
            return
        sizes = {name: known.target - self._removals.of_pool(name) for name, known in self._fleet.known.items()}
        going = removable(
            machines,
            found,
            self._memory.idle,
            options=told.options,
            by_group=by_group,
            sizes=sizes,
            minimums={name: pool.min for name, pool in pools.items()},
            deleting=len(self._removals.names),
            draining=self._removals.draining,
            now=now,
        )
        names = [*((one, False) for one in going.empty), *((one, True) for one in going.drain)]
        if not names:
            return
        log.info("%d empty nodes go, %d are drained", len(going.empty), len(going.drain))
        self._memory.pauses.deleted_at = now
        leaving = [Leaving(name, seen.nodes[name].pool, seen.nodes[name].provider_id, drain) for name, drain in names]
        for name, _ in names:
            self._writes.say(seen.nodes[name].node, "Node", "ScaleDown", "node removed by cluster autoscaler", now)
        self._removals.begin(leaving, told.options)

    def _moves(self, seen: View) -> Fits:
        """Whether a machine's pods fit on the other nodes; room given to one is taken for the next."""
        moved: dict[str, Counter[Shape]] = {}

        def fits(machine: Machine) -> bool:
            gone = {machine.name, *moved, *self._removals.names}
            wanted = Counter(
                self._memory.shapes.of(pod)
                for pod in seen.nodes[machine.name].pods
                if not finished(pod) and owner_kind(pod) != "DaemonSet"
            )
            before: Counter[Shape] = sum(moved.values(), Counter())
            if place_on(seen.rooms(gone), before + wanted):
                return False
            moved[machine.name] = wanted
            return True

        return fits

    def _removal_failed(self, reason: str) -> None:
        log.warning("%s", reason)
        self._memory.pauses.failed_at = time.time()

    async def _take_off_old_marks(self) -> None:
        """Marks of an autoscaler that was killed: its nodes are looked at afresh (CA `cleanUpIfRequired`)."""
        for key, node in list(self._cluster.nodes.objects.items()):
            if any(
                one.get("key") == "ToBeDeletedByClusterAutoscaler" for one in section(node, "spec").get("taints", [])
            ):
                try:
                    await self._writes.unmark(key[1])
                except ApiError as error:
                    log.warning("the mark of %s cannot be taken off: %s", key[1], error)

    def _forget(self) -> None:
        uids = {text(one, "metadata", "uid") for one in self._cluster.pods.objects.values()}
        self._memory.shapes.keep(uids)
        self._writes.forget(uids | {text(one, "metadata", "uid") for one in self._cluster.nodes.objects.values()})


def _why_not(shape: Shape, verdict: Verdict, groups: Sequence[Group]) -> str:
    """Reasons with the number of groups each holds for, as the program words them."""
    reasons: Counter[str] = Counter()
    skipped = {one.group: one.reason for one in verdict.skipped}
    for group in groups:
        if not admits(group.template.labels, group.template.taints, shape):
            reasons["node(s) didn't match the pod's node affinity/selector or had untolerated taints"] += 1
        elif not group.template.allocatable.holds(shape.requests):
            reasons["node(s) are too small for the pod"] += 1
        elif group.id in skipped:
            reasons[skipped[group.id].partition(":")[0]] += 1
    return ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "no node group"


def _hourly(pool: Pool) -> float | None:
    """US dollars an hour of a machine, from the list of prices; None: not known."""
    price = load_prices().price(f"machine:{pool.size}", pool.location)
    return None if price is None else price.monthly_usd / 730


def node_of(pod: Json) -> str:
    """The node a pod is on, by which pods are grouped; empty: none yet."""
    return text(pod, "spec", "nodeName")


async def complete(cluster: Cluster) -> None:
    """Wait until everything that is watched has been read once."""
    for watched in (cluster.nodes, cluster.pods, cluster.daemons, cluster.budgets):
        await asyncio.shield(watched.complete.wait())


__all__ = ["Autoscaler", "Cluster", "Memory", "complete", "key_of", "node_of"]
