"""Growing: machines for pods that wait, for whole gangs, and up to a pool's minimum.

Source: CA `core/static_autoscaler.go`, `core/scaleup`.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto

from capacity.autoscaling.scale_up import (
    Group,
    Room,
    Situation,
    Verdict,
    awaits_more,
    below_minimum,
    is_unhealthy,
    place_on,
    scale_up,
)
from capacity.autoscaling.scheduling import Shape, admits
from capacity.cost.prices import load_prices
from sandbox.autoscaler.api_writes import Writes
from sandbox.autoscaler.cluster import Cluster, Memory
from sandbox.autoscaler.declared import Declared, priorities
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.groups import Pool
from sandbox.autoscaler.pods import CONSUMES, age, unknown_resources, waits
from sandbox.autoscaler.provisioning_requests import Gang, ProvisioningRequests, consumed_by, without
from sandbox.autoscaler.resource_manager import ArmFailedError
from sandbox.autoscaler.view import View, expendable
from sandbox.kubernetes_client import KubernetesClient
from sandbox.nodes.objects import Json, annotations_of, owner_kind, section, text

log = logging.getLogger(__name__)
_HOURS_A_MONTH = 730


class Outcome(Enum):
    """What a turn came to: a pool grew, pods are too new to grow for, or there was nothing to do."""

    GREW = auto()
    WAITS = auto()
    NOTHING = auto()


class Growing:
    """What makes pools grow.

    Args:
        client: the API server.
        cluster: what is watched of it.
        fleet: the scale sets.
        writes: to the API server.
        memory: what is remembered.
    """

    def __init__(
        self, client: KubernetesClient, *, cluster: Cluster, fleet: Fleet, writes: Writes, memory: Memory
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._fleet = fleet
        self._writes = writes
        self._memory = memory
        self._lots = random.Random()
        self._requests = ProvisioningRequests(client, writes)

    async def grow(self, told: Declared, seen: View, leaving: set[str]) -> Outcome:
        """Grow at most one pool.

        Args:
            leaving: nodes that are being removed.

        Raises:
            ApiError, DeclarationError: the API server cannot be asked, or the list of priorities cannot be read.
        """
        now, groups = seen.now, self._groups(seen)
        pods = self._waiting(told, now)
        gangs, kept = await self._requests.read(now) if told.is_on("enable-provisioning-requests") else ([], [])
        rooms = self._rooms(seen, groups, leaving)
        for gang in kept:
            place_on(rooms, self._not_yet_here(gang))
        waiting = Counter(self._memory.shapes.of(pod) for pod in pods)
        left = place_on(rooms, waiting)
        situation = await self._situation(told, left, seen, groups)
        shapes = ((pod, self._memory.shapes.of(pod)) for pod in pods)
        new = awaits_more(
            ((age(pod, now), one.requests.gpus > 0) for pod, one in shapes if left.get(one)), told.options
        )
        if left and not new:
            verdict = scale_up(situation, groups, told.options)
            self._tell(pods, left, verdict, groups, now)
            if verdict.growth and await self._grow_by(verdict.growth.group, verdict.growth.nodes, told):
                return Outcome.GREW
        for gang in gangs:
            if await self._grow_for(gang, rooms, told, situation, groups):
                return Outcome.GREW
        if told.options.enforce_node_group_min_size:
            for name, size in below_minimum(groups, situation).items():
                log.info("%s is below its minimum of %d", name, size)
                if await self._grow_to(name, size, told):
                    return Outcome.GREW
        return Outcome.WAITS if new else Outcome.NOTHING

    async def _grow_for(
        self, gang: Gang, rooms: list[Room], told: Declared, situation: Situation, groups: Sequence[Group]
    ) -> bool:
        """Machines for all of a gang's pods or for none; whether a pool grew."""
        now = situation.now
        trial = [Room(one.free, one.count, one.labels, one.taints, one.taken_by) for one in rooms]
        left = place_on(trial, gang.shapes)
        if not left:
            rooms[:] = trial
            await self._requests.conclude(gang.request, "Provisioned", "CapacityIsFound", "there is room", now)
            return False
        verdict = scale_up(replace(situation, waiting=left), groups, told.options, whole=True)
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

    def _rooms(self, seen: View, groups: Sequence[Group], leaving: set[str]) -> list[Room]:
        rooms = seen.rooms(leaving)
        for group in groups:
            coming = self._fleet.upcoming(group.id, seen)
            if coming:
                rooms.append(Room(group.template.allocatable, coming, group.template.labels, group.template.taints))
        return rooms

    def _not_yet_here(self, gang: Gang) -> dict[Shape, int]:
        """Pods of a gang that are not on a node yet, for which its room is kept."""
        name = text(gang.request, "metadata", "name")
        here = [
            self._memory.shapes.of(pod)
            for pod in self._cluster.pods.objects.values()
            if consumed_by(annotations_of(pod).get(CONSUMES, "")) == name
            and text(pod, "metadata", "namespace") == text(gang.request, "metadata", "namespace")
            and text(pod, "spec", "nodeName")
        ]
        return without(gang.shapes, here)

    async def _situation(
        self, told: Declared, waiting: Mapping[Shape, int], seen: View, groups: Sequence[Group]
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
        return Situation(waiting, targets, seen.now, self._memory.backoff, self._lots, frozenset(unhealthy), listed)

    def _groups(self, seen: View) -> list[Group]:
        daemons = list(self._cluster.daemons.objects.values())
        return [
            pool.group(seen.like_a_node_of(name), daemons, _hourly(pool)) for name, pool in self._fleet.pools.items()
        ]

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
    return None if price is None else price.monthly_usd / _HOURS_A_MONTH
