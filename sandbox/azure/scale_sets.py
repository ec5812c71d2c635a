"""VM scale sets: the machines of agent pools, as Compute serves them.

AKS makes and deletes the sets (`agent_pools`); the autoscaler changes their capacity and deletes instances.
An instance's state follows from times in its document: it boots for `boot_delay` seconds, and a deletion drains
for `DRAIN_SECONDS` before the instance is gone. Instance ids are never used again.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import Any, ClassVar, cast

from capacity.catalogue import VmSize, load_catalogue
from sandbox.azure import faults, quota
from sandbox.azure.behaviour import Again, Behaviour, Body, Context, Reply, Request, register
from sandbox.azure.cluster_network import check_room_for_machines
from sandbox.azure.container_service import INSTANCE_TYPE, SCALE_SET_TYPE, listed, mapping, private, public
from sandbox.azure.errors import ArmError, bad_request
from sandbox.azure.operations import Operation
from sandbox.azure.store import Resource

DRAIN_SECONDS = 1.0
_NEVER = 1e9
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def computer_name(scale_set: str, instance_id: int) -> str:
    """The host name, and so the node's: the set's name and six digits in base 36."""
    digits = ""
    for _ in range(6):
        instance_id, digit = divmod(instance_id, 36)
        digits = _DIGITS[digit] + digits
    return scale_set + digits


def instances(ctx: Context, scale_set_id: str) -> list[Resource]:
    """The set's instances in the order of their ids, the ones being deleted among them."""
    found = ctx.store.of_type(INSTANCE_TYPE, scale_set_id)
    return sorted(found, key=lambda one: int(one.body["instanceId"]))


def living(ctx: Context, scale_set_id: str) -> list[Resource]:
    """The set's instances that are not being deleted: what its capacity counts."""
    return [one for one in instances(ctx, scale_set_id) if not private(one).get("deleting")]


def state(ctx: Context, instance: Resource) -> str:
    """`booting`, `running`, `stopped`, `failed` or `deleting`."""
    kept = private(instance)
    if kept.get("deleting"):
        return "deleting"
    if kept.get("failure"):
        return "failed"
    if kept.get("stopped"):
        return "stopped"
    return "running" if ctx.now() >= kept["readyAt"] else "booting"


def size_of(scale_set: Resource) -> VmSize:
    """The catalogue's entry of the set's size.

    Raises:
        KeyError: the catalogue no longer has it.
    """
    name = scale_set.body["sku"]["name"]
    found = load_catalogue().size(name)
    if found is None:
        raise KeyError(f"the size {name} of {scale_set.id} is not in the catalogue")
    return found


def is_spot(scale_set: Resource) -> bool:
    """Whether its machines are spot."""
    return scale_set.properties["virtualMachineProfile"].get("priority") == "Spot"


def add_instances(ctx: Context, scale_set: Resource, count: int) -> None:
    """Create machines, each in the zone that has the fewest."""
    zones: list[str] = listed(scale_set.body.get("zones"))
    spread = Counter((one.body.get("zones") or [""])[0] for one in living(ctx, scale_set.id))
    now = ctx.now()
    for _ in range(count):
        number = int(private(scale_set).get("nextInstance", 0))
        private(scale_set)["nextInstance"] = number + 1
        zone = min(zones, key=lambda one: (spread[one], one)) if zones else None
        if zone:
            spread[zone] += 1
        ctx.store.put(_instance(scale_set, number, zone, now, now + ctx.config.boot_delay))
    ctx.store.put(scale_set)


def _instance(scale_set: Resource, number: int, zone: str | None, now: float, ready_at: float) -> Resource:
    profile = scale_set.properties["virtualMachineProfile"]
    body: Body = {
        "id": f"{scale_set.id}/virtualMachines/{number}",
        "name": f"{scale_set.name}_{number}",
        "type": INSTANCE_TYPE,
        "instanceId": str(number),
        "location": scale_set.body["location"],
        "sku": {"name": scale_set.body["sku"]["name"], "tier": "Standard"},
        "tags": mapping(scale_set.body.get("tags")),
        "properties": {
            "latestModelApplied": True,
            "vmId": str(uuid.uuid4()),
            "hardwareProfile": {},
            "osProfile": {"computerName": computer_name(scale_set.name, number), "adminUsername": "azureuser"},
            "storageProfile": profile["storageProfile"],
            "networkProfile": {"networkInterfaces": []},
        },
        "_sandbox": {"readyAt": ready_at, "priority": profile.get("priority", "Regular")},
    }
    if zone:
        body["zones"] = [zone]
    return Resource(body["id"], INSTANCE_TYPE, body["name"], body, now, now)


def drain(ctx: Context, scale_set: Resource, doomed: Iterable[Resource]) -> Operation:
    """Begin to delete instances; the operation on the set ends it."""
    numbers: list[str] = []
    for one in doomed:
        private(one)["deleting"] = ctx.now()
        ctx.store.put(one)
        numbers.append(one.body["instanceId"])
    return ctx.operations.start(scale_set.id, "remove", DRAIN_SECONDS, {"instances": numbers})


def resize(ctx: Context, scale_set: Resource, capacity: int) -> None:
    """Bring the set to a number of machines: new ones boot, of surplus ones the youngest go first."""
    present = living(ctx, scale_set.id)
    if capacity > len(present):
        add_instances(ctx, scale_set, capacity - len(present))
    elif capacity < len(present):
        drain(ctx, scale_set, present[capacity:])


class ScaleSets(Behaviour):
    """`Microsoft.Compute/virtualMachineScaleSets`, uniform ones."""

    type: ClassVar[str] = SCALE_SET_TYPE

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Compute takes a further change while one is under way."""

    def validate(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> None:
        """Clients change what AKS made; they make none of their own."""
        if existing is None:
            raise bad_request(
                "OperationNotAllowed",
                f"The sandbox makes scale sets for agent pools only: '{request.name}' cannot be created by itself. Add "
                "an agent pool.",
            )
        sku = mapping(body.get("sku"))
        name = sku.get("name", existing.body["sku"]["name"])
        if str(name).lower() != existing.body["sku"]["name"].lower():
            raise bad_request(
                "PropertyChangeNotAllowed", f"Changing property 'sku.name' to '{name}' is not allowed.", "sku.name"
            )
        capacity = sku.get("capacity")
        if capacity is not None and not 0 <= int(capacity) <= 1000:
            raise bad_request("InvalidParameter", f"The capacity {capacity} must be 0 to 1000.", "sku.capacity")

    def put(self, ctx: Context, request: Request, body: Body, existing: Resource | None) -> Reply:
        """Change capacity and tags; what is left out stays, as in the autoscaler's own requests."""
        if existing is None:
            raise ValueError("a new scale set passed validate")
        if body.get("tags") is not None:
            existing.body["tags"] = body["tags"]
        wanted = mapping(body.get("sku")).get("capacity")
        present = living(ctx, existing.id)
        target = len(present) if wanted is None else int(wanted)
        more = target - len(present)
        if more > 0:
            quota.check_for_compute(ctx, existing.body["location"], size_of(existing), more, spot=is_spot(existing))
            check_room_for_machines(ctx, _subnet_id(existing), more)
        existing.updated_at = ctx.now()
        existing.properties.pop("provisioningState", None)
        ctx.store.put(existing)
        fault = faults.take_later(ctx, existing) if more > 0 else None
        resize(ctx, existing, target)
        if fault is None:
            operation = ctx.operations.start(existing.id, "put", ctx.config.boot_delay if more > 0 else 0.2)
        else:
            operation = _doom(ctx, existing, more, fault)
        return Reply(200, self.render(ctx, ctx.store.get(existing.id) or existing), operation)

    def patched(self, ctx: Context, request: Request, body: Body, existing: Resource) -> Body:
        """A PATCH says the same as a PUT here: what is left out stays."""
        return {"location": existing.body["location"], **body}

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document with the capacity as it is now."""
        shown = public(resource)
        capacity = len(living(ctx, resource.id))
        busy = ctx.operations.running(resource.id) is not None
        ended = shown["properties"].get("provisioningState", "Succeeded")
        properties = {**shown["properties"], "provisioningState": "Updating" if busy else ended}
        return {**shown, "sku": {**shown["sku"], "capacity": capacity}, "properties": properties}

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Only AKS deletes them, with their pool."""
        raise ArmError(
            409, "OperationNotAllowed", f"'{resource.name}' belongs to an agent pool: delete the pool instead."
        )

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`delete`, `deallocate` and `start` of the instances that `instanceIds` names."""
        doing = name.lower()
        if doing not in {"delete", "deallocate", "start"}:
            return super().action(ctx, request, resource, name, body)
        present = {one.body["instanceId"]: one for one in instances(ctx, resource.id)}
        given = cast("list[Any] | None", body.get("instanceIds"))
        if not given or given == ["*"]:
            if doing == "delete" and not given:
                raise bad_request(
                    "InvalidParameter", "Required parameter 'instanceIds' is missing (null).", "instanceIds"
                )
            given = list(present)
        wanted = [str(one) for one in given]
        unknown = [one for one in wanted if one not in present]
        if unknown:
            raise bad_request(
                "InvalidParameter",
                f"The provided instanceId {unknown[0]} is not an active Virtual Machine Scale Set VM instanceId.",
                "instanceIds",
            )
        chosen = [present[one] for one in wanted]
        if doing == "delete":
            return Reply(202, None, drain(ctx, resource, [one for one in chosen if not private(one).get("deleting")]))
        for one in chosen:
            _switch(ctx, one, on=doing == "start")
        return Reply(202, None, ctx.operations.start(resource.id, doing, 0.2))

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Drained instances go; machines that cannot be had go or stay behind as failed, and fail the operation.

        Raises:
            ArmError: the machines that were asked for could not be had.
            Again: as they could not; what became of them is kept first.
        """
        for number in operation.data.get("instances", ()):
            ctx.store.remove(f"{operation.resource_id}/virtualMachines/{number}")
        if "failure" in operation.data:
            failure = operation.data["failure"]
            raise ArmError(409, failure["code"], failure["message"])
        if "doomed" in operation.data:
            operation.data["failure"] = operation.data.pop("fault")
            _fail(ctx, operation)
            raise Again(0)


def _doom(ctx: Context, scale_set: Resource, more: int, fault: Body) -> Operation:
    """Let the youngest machines fail after a while, but for those that the fault grants."""
    code = fault["answer"]
    doomed = living(ctx, scale_set.id)[-more:][min(fault["granted"], more) :]
    for one in doomed:
        private(one)["readyAt"] = ctx.now() + _NEVER
        ctx.store.put(one)
    data = {
        "doomed": [one.id for one in doomed],
        "leave": fault["leave"],
        "fault": {"code": code, "message": faults.MESSAGES[code]},
    }
    return ctx.operations.start(scale_set.id, "put", fault["after"], data)


def _fail(ctx: Context, operation: Operation) -> None:
    """Of the machines that could not be had, leave some behind as failed."""
    doomed = [one for one in map(ctx.store.get, operation.data["doomed"]) if one and not private(one).get("deleting")]
    for place, one in enumerate(doomed):
        if place < operation.data["leave"]:
            private(one)["failure"] = operation.data["failure"]
            ctx.store.put(one)
        else:
            ctx.store.remove(one.id)


def _switch(ctx: Context, instance: Resource, *, on: bool) -> None:
    kept = private(instance)
    if on and kept.pop("stopped", None):
        kept["readyAt"] = ctx.now() + ctx.config.boot_delay
    elif not on:
        kept["stopped"] = ctx.now()
    ctx.store.put(instance)


def _subnet_id(scale_set: Resource) -> str | None:
    profile = scale_set.properties["virtualMachineProfile"]["networkProfile"]
    configurations = profile["networkInterfaceConfigurations"][0]["properties"]["ipConfigurations"]
    subnet = configurations[0]["properties"].get("subnet")
    return subnet["id"] if subnet else None


class Instances(Behaviour):
    """`…/virtualMachineScaleSets/virtualMachines`: one machine of a set."""

    type: ClassVar[str] = INSTANCE_TYPE
    put_only_by_platform: ClassVar[bool] = True
    name_pattern: ClassVar[re.Pattern[str]] = re.compile(r"\d+")
    name_rule: ClassVar[str] = "an instance id"

    def check_idle(self, ctx: Context, request: Request) -> None:
        """Instances are deleted while their set changes."""

    def get(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """Read one, with `$expand=instanceView` its view."""
        return Reply(200, self._shown(ctx, resource, request))

    def list_all(self, ctx: Context, request: Request) -> list[Body]:
        """A set's instances, in the order of their ids."""
        return [self._shown(ctx, one, request) for one in instances(ctx, request.parent_id or "")]

    def render(self, ctx: Context, resource: Resource) -> Body:
        """The document with the state as it is now."""
        shown = public(resource)
        word = {"booting": "Creating", "failed": "Failed", "deleting": "Deleting"}.get(
            state(ctx, resource), "Succeeded"
        )
        return {**shown, "properties": {**shown["properties"], "provisioningState": word}}

    def delete(self, ctx: Context, request: Request, resource: Resource) -> Reply:
        """As the set's `delete` action for this one."""
        scale_set = ctx.store.get(request.parent_id or "")
        if scale_set is None:
            raise self.missing(ctx, request)
        return Reply(202, None, drain(ctx, scale_set, [resource]))

    def action(self, ctx: Context, request: Request, resource: Resource, name: str, body: Body) -> Reply:
        """`deallocate` and `start`."""
        if name.lower() not in {"deallocate", "start"}:
            return super().action(ctx, request, resource, name, body)
        _switch(ctx, resource, on=name.lower() == "start")
        return Reply(202, None, ctx.operations.start(resource.id, name.lower(), 0.2))

    def settle(self, ctx: Context, operation: Operation) -> None:
        """Nothing is left to do: an instance's state follows from its times."""

    def _shown(self, ctx: Context, resource: Resource, request: Request) -> Body:
        shown = self.render(ctx, resource)
        if "instanceview" in request.query.get("$expand", "").lower():
            shown["properties"]["instanceView"] = view(ctx, resource)
        return shown


def view(ctx: Context, instance: Resource) -> Body:
    """An instance view: provisioning and power state, the error where it failed."""
    now = state(ctx, instance)
    provisioning: Body = {
        "code": {"booting": "ProvisioningState/creating", "deleting": "ProvisioningState/deleting"}.get(
            now, "ProvisioningState/succeeded"
        ),
        "level": "Info",
        "displayStatus": "Provisioning succeeded",
    }
    failure = private(instance).get("failure")
    if now == "failed" and failure:
        provisioning = {
            "code": f"ProvisioningState/failed/{failure['code']}",
            "level": "Error",
            "displayStatus": "Provisioning failed",
            "message": failure["message"],
        }
    power = {"booting": "starting", "stopped": "deallocated", "failed": "stopped"}.get(now, "running")
    return {
        "computerName": instance.properties["osProfile"]["computerName"],
        "statuses": [
            provisioning,
            {"code": f"PowerState/{power}", "level": "Info", "displayStatus": f"VM {power}"},
        ],
    }


class Machines(Behaviour):
    """`Microsoft.Compute/virtualMachines`: AKS's scale sets have none of their own, so the list is empty."""

    type: ClassVar[str] = "Microsoft.Compute/virtualMachines"
    put_only_by_platform: ClassVar[bool] = True


for _behaviour in (ScaleSets(), Instances(), Machines()):
    register(_behaviour)
