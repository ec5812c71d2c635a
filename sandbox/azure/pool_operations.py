"""What operations do to agent pools: their stored document, their scale set, and the steps until all is there.

A pool's own PUT and its cluster's PUT both come here. Machines that somebody else added to a scale set go when
AKS brings it to the count it has stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from capacity.catalogue import VmSize
from sandbox.azure import clusters, pool_documents, quota
from sandbox.azure.behaviour import Again, Body, Context
from sandbox.azure.clusters import Cluster
from sandbox.azure.container_service import POOL_TYPE, number_in, private, public, refusal
from sandbox.azure.errors import ArmError
from sandbox.azure.operations import Operation
from sandbox.azure.placement import missing_placement_right
from sandbox.azure.scale_sets import instances, living, resize, state
from sandbox.azure.skus import offer
from sandbox.azure.store import Resource

SUBNET_ACTIONS = (
    "Microsoft.Network/virtualNetworks/subnets/read",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
)
ROLE_PATIENCE_SECONDS = 60.0
"""How long an operation waits for its identity's rights to take effect before it fails."""
_SETTLED = ("Succeeded", "Failed")


def live_count(ctx: Context, cluster: Cluster, name: str) -> int:
    """Machines that a pool has now."""
    return len(living(ctx, pool_documents.scale_set_id(cluster, name)))


def write_pool(ctx: Context, cluster: Cluster, name: str, new: Body, old: Resource | None, *, size: VmSize) -> Resource:
    """Store a checked pool; an existing one's scale set follows at once, a new one's comes with its operation."""
    properties = pool_documents.completed(new, old.properties if old else None, cluster, size)
    changed = old is not None and number_in(new, "count") != live_count(ctx, cluster, name)
    word = "Creating" if old is None else "Scaling" if changed else "Updating"
    body = pool_documents.pool_document(cluster, old.name if old else name, properties, word)
    body["_sandbox"] = {"scaleSet": pool_documents.scale_set_id(cluster, body["name"])}
    pool = Resource(body["id"], POOL_TYPE, body["name"], body, old.created_at if old else ctx.now(), ctx.now())
    ctx.store.put(pool)
    if old is not None:
        reconcile(ctx, cluster, pool)
    return pool


def reconcile(ctx: Context, cluster: Cluster, pool: Resource) -> None:
    """Bring a pool's scale set to what AKS has stored: tags, and the count where AKS does not scale it itself."""
    scale_set = ctx.store.get(pool_documents.scale_set_id(cluster, pool.name))
    if scale_set is None:
        return
    scale_set.body["tags"] = pool_documents.scale_set_tags(cluster, pool.name, pool.properties)
    ctx.store.put(scale_set)
    present = len(living(ctx, scale_set.id))
    if pool.properties.get("enableAutoScaling"):
        low, high = int(pool.properties["minCount"]), int(pool.properties["maxCount"])
        resize(ctx, scale_set, min(max(present, low), high))
    else:
        resize(ctx, scale_set, int(pool.properties["count"]))


def bring_up(ctx: Context, cluster: Cluster, pool: Resource) -> bool:
    """Make a pool's machines where they are not there yet.

    Returns:
        Whether something was made just now.
    """
    identifier = pool_documents.scale_set_id(cluster, pool.name)
    if ctx.store.exists(identifier):
        return False
    found = offer(ctx, cluster.location, pool.properties["vmSize"])
    if found is None:
        raise refusal("BadRequest", f"The VM size {pool.properties['vmSize']} is no longer offered.")
    spot = pool.properties.get("scaleSetPriority") == "Spot"
    quota.check_for_compute(ctx, cluster.location, found.size, int(pool.properties["count"]), spot=spot)
    made = pool_documents.scale_set(cluster, pool.name, pool.properties, found.size, ctx.now())
    ctx.store.put(made)
    resize(ctx, made, int(pool.properties["count"]))
    return True


def missing_right(ctx: Context, cluster: Cluster, pool: Resource) -> tuple[str, str] | None:
    """The first action, with its scope, that AKS's identity still lacks for this pool's machines."""
    subnet_id = pool.properties.get("vnetSubnetID")
    if subnet_id:
        action = clusters.lacking(ctx, cluster.principal_id, SUBNET_ACTIONS, str(subnet_id))
        if action:
            return action, str(subnet_id)
    return missing_placement_right(ctx, cluster, pool.properties)


def wait_for_rights(ctx: Context, cluster: Cluster, operation: Operation, pools: Sequence[Resource]) -> None:
    """Go on once AKS's identity may use the subnet and the reservations of these pools.

    Raises:
        Again: a right has not taken effect yet.
        ArmError: nor has it after `ROLE_PATIENCE_SECONDS`.
    """
    for pool in pools:
        missing = missing_right(ctx, cluster, pool)
        if missing is None:
            continue
        if ctx.now() - operation.started_at < ROLE_PATIENCE_SECONDS:
            raise Again(0.5)
        raise clusters.not_permitted(cluster, *missing)


def failed_machine(ctx: Context, cluster: Cluster, pool: Resource) -> ArmError | None:
    """The error of the pool's first machine that could not be made."""
    for one in instances(ctx, pool_documents.scale_set_id(cluster, pool.name)):
        failure = private(one).get("failure")
        if failure:
            return refusal(failure["code"], f"Agent pool {pool.name}: {failure['message']}", status=409)
    return None


def is_ready(ctx: Context, cluster: Cluster, pool: Resource) -> bool:
    """Whether no machine of the pool is still booting or going away."""
    present = instances(ctx, pool_documents.scale_set_id(cluster, pool.name))
    return all(state(ctx, one) not in {"booting", "deleting"} for one in present)


def set_state(ctx: Context, pool: Resource, word: str) -> None:
    """Write a pool's provisioning state."""
    pool.properties["provisioningState"] = word
    ctx.store.put(pool)


def check_not_last_system_pool(ctx: Context, cluster_id: str, name: str) -> None:
    """A cluster keeps at least one system pool.

    Raises:
        ArmError: `name` is the only one.
    """
    others = [one for one in clusters.pools_of(ctx, cluster_id) if one.name != name]
    if not any(one.properties.get("mode") == "System" for one in others):
        raise refusal(
            "MustDefineAtLeastOneSystemPool",
            f"There has to be at least one system agent pool: '{name}' is the last one of the cluster.",
        )


def finish_pools(ctx: Context, cluster: Cluster, operation: Operation, pools: Sequence[Resource]) -> None:
    """The steps of an operation on pools: rights, machines, until every machine is up.

    Raises:
        Again: it is not there yet.
        ArmError: it failed.
    """
    wait_for_rights(ctx, cluster, operation, pools)
    made = False
    for pool in pools:
        made = bring_up(ctx, cluster, pool) or made
    if made:
        raise Again(ctx.config.boot_delay + 0.5)
    for pool in pools:
        failure = failed_machine(ctx, cluster, pool)
        if failure:
            raise failure
        if not is_ready(ctx, cluster, pool):
            raise Again(0.3)
    for pool in pools:
        set_state(ctx, pool, "Succeeded")


def doom(ctx: Context, scale_set_id: str) -> None:
    """Every machine of a set is going away."""
    for one in living(ctx, scale_set_id):
        private(one)["deleting"] = ctx.now()
        ctx.store.put(one)


def shown(ctx: Context, pool: Resource) -> Body:
    """An agent pool as GET shows it: `count` is what its scale set has; what ended before it was done has failed."""
    document = public(pool)
    properties = dict(document["properties"])
    identifier = private(pool)["scaleSet"]
    if ctx.store.exists(identifier):
        properties["count"] = len(living(ctx, identifier))
    cluster_id = pool.id.rsplit("/", 2)[0]
    if properties["provisioningState"] not in _SETTLED and not (
        ctx.operations.running(pool.id) or ctx.operations.running(cluster_id)
    ):
        properties["provisioningState"] = "Failed"
    return {**document, "properties": properties}
