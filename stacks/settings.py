"""What a stack file may say: the only schema of Trainyard's settings.

Owns the models and the bounds of each single value. Rules between values are in `stacks/pool_rules.py` and
`stacks/stack_rules.py`; what needs the catalogue of sizes, in `capacity/checks.py`, whose `load` reports all errors of
a file at once and is how a program gets a `Stack`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from stacks.base import Settings
from stacks.storage_settings import Dataset, Storage
from stacks.surge import surge_nodes
from stacks.value_types import NUMBER, PRICE, Cidr, Flag, ObjectId, Surge, Zone, true_or_false
from stacks.workload_settings import GpuMetrics, Queues, Service

PoolClass = Literal["cpu", "light-gpu", "heavy-gpu", "storage"]
Role = Literal["train", "serve"]
MigProfile = Literal["MIG1g", "MIG2g", "MIG3g", "MIG4g", "MIG7g"]
Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]

POOL_KEY_PATTERN = r"^[a-z][a-z0-9]{0,6}$"
"""AKS allows 12 characters of `[a-z0-9]`; the last five are a hash of the create-only values."""


class Spot(Settings):
    """Machines that Azure may take back at any time, for a fraction of the price."""

    max_price: Annotated[
        float,
        PRICE,
        Field(description="US dollars an hour at most; -1: up to the on-demand price."),
        NUMBER,
    ] = -1
    eviction_policy: Annotated[
        Literal["Delete", "Deallocate"],
        Field(description="What an eviction does. Deallocated machines go on counting against quota."),
    ] = "Delete"


class OsDisk(Settings):
    """The disk a node boots from."""

    size_gib: Annotated[int, Field(ge=30, le=2048, description="GiB; images of GPU frameworks need room."), NUMBER] = (
        128
    )
    type: Annotated[
        Literal["auto", "Ephemeral", "Managed"],
        Field(description="`auto`: on the machine's own disk where the size has room for it, else managed."),
    ] = "auto"


def _spot_mapping(value: Any) -> Any:
    """`true` is a mapping with nothing in it, `false` is none."""
    if isinstance(value, Spot | dict) or value is None:
        return value  # pyright: ignore[reportUnknownVariableType]  (an arbitrary mapping, which pydantic judges)
    try:
        return {} if true_or_false(value) else None
    except PydanticCustomError:
        raise PydanticCustomError(
            "spot_type", "is neither true nor false nor a mapping with maxPrice and evictionPolicy"
        ) from None


class Gpu(Settings):
    """How the GPUs of a pool's machines are handed to pods."""

    sharing: Annotated[
        Literal["whole", "time-slicing", "mig"],
        Field(description="One pod a GPU, `replicas` pods a GPU in turns, or hardware partitions."),
    ] = "whole"
    replicas: Annotated[int | None, Field(ge=2, le=48, description="Pods a GPU, with time-slicing only."), NUMBER] = (
        None
    )
    mig_profile: Annotated[MigProfile | None, Field(description="AKS's GPU instance profile, with mig only.")] = None
    mig_strategy: Annotated[
        Literal["single"],
        Field(description="Only `single`: with `mixed` the autoscaler takes a busy node for an empty one."),
    ] = "single"
    driver: Annotated[
        Literal["Install", "None"] | None,
        Field(description="Who installs the GPU driver: AKS (`Install`) or somebody else (`None`)."),
    ] = None


class PoolScaling(Settings):
    """Scale-down settings of one pool that differ from the profile's."""

    unneeded_minutes: Annotated[
        int | None, Field(ge=1, le=1440, description="Idle minutes before a node goes."), NUMBER
    ] = None
    utilization_threshold: Annotated[float | None, Field(ge=0, le=1, description="Below it a node may go."), NUMBER] = (
        None
    )
    gpu_utilization_threshold: Annotated[
        float | None, Field(ge=0, le=1, description="The same for GPUs; 0: only empty nodes go."), NUMBER
    ] = None


class Pool(Settings):
    """One pool of equal machines: an AKS agent pool, hence one VM scale set."""

    pool_class: Annotated[PoolClass, Field(alias="class", description="What the pool is for; gives the defaults.")]
    vm_size: Annotated[
        str | None, Field(description="Azure VM size, as in `Standard_NC4as_T4_v3`; default: the class's.")
    ] = None
    min: Annotated[int, Field(ge=0, le=1000, description="Machines kept when nothing waits."), NUMBER] = 0
    max: Annotated[int, Field(ge=1, le=1000, description="Machines at most; quota is checked against it."), NUMBER]
    role: Annotated[Role, Field(description="What runs here: training jobs or services.")] = "train"
    spot: Annotated[
        Spot | None,
        BeforeValidator(_spot_mapping, json_schema_input_type=bool | Spot | None),
        Field(description="Spot machines: `true`, or a mapping for price and eviction."),
    ] = None
    priority: Annotated[
        int, Field(ge=1, le=1000, description="Pools with a higher number are grown first (priority expander)."), NUMBER
    ] = 50
    zones: Annotated[tuple[Zone, ...], Field(description="Availability zones; one is best: see docs.")] = ()
    labels: Annotated[dict[str, str], Field(description="Kubernetes labels on top of Trainyard's own.")] = {}
    taints: Annotated[
        tuple[str, ...],
        Field(description="`key=value:Effect`, on top of the class's own.", examples=[["a=b:NoSchedule"]]),
    ] = ()
    tags: Annotated[dict[str, str], Field(description="Azure tags on the machines.")] = {}
    os_disk: Annotated[OsDisk, Field(description="The disk a node boots from.")] = OsDisk()
    max_pods: Annotated[int, Field(ge=10, le=250, description="Pods a node at most."), NUMBER] = 110
    gpu: Annotated[Gpu, Field(description="How GPUs are handed to pods; GPU classes only.")] = Gpu()
    surge: Annotated[
        Surge | None,
        Field(description="Extra machines in an upgrade: a number or a percentage; default: 1. None on spot pools."),
    ] = None
    capacity_reservation_group: Annotated[
        str | None,
        Field(
            pattern=r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Compute/capacityReservationGroups/[^/]+$",
            examples=["/subscriptions/…/resourceGroups/…/providers/Microsoft.Compute/capacityReservationGroups/a100"],
            description="Resource id of a capacity reservation group to draw machines from.",
        ),
    ] = None
    proximity_group: Annotated[Flag, Field(description="Keep the machines close together, for fast networks.")] = False
    encryption_at_host: Annotated[Flag, Field(description="Encrypt disks on the host; a feature to register.")] = False
    scaling: Annotated[PoolScaling, Field(description="Scale-down settings of this pool alone.")] = PoolScaling()

    @property
    def is_gpu(self) -> bool:
        """Whether the pool's class hands out GPUs."""
        return self.pool_class in ("light-gpu", "heavy-gpu")

    @property
    def is_storage(self) -> bool:
        """Whether the pool holds data, and so neither grows nor shrinks by itself."""
        return self.pool_class == "storage"

    @property
    def max_surge(self) -> str | None:
        """AKS's maxSurge: always set, as the documents name two defaults; none on spot, where AKS refuses it."""
        return None if self.spot else self.surge or "1"

    @property
    def surge_nodes(self) -> int:
        """Machines that an upgrade may add to the pool at its maximum."""
        return surge_nodes(self.max_surge, self.max) if self.max_surge else 0


class SystemPool(Settings):
    """The pool that runs Kubernetes' own pods; nothing else is scheduled there."""

    vm_size: Annotated[str, Field(description="Azure VM size; AKS refuses the B series here.")] = "Standard_D4ds_v5"
    count: Annotated[int, Field(ge=1, le=100, description="Machines; three where it must stay up."), NUMBER] = 2
    zones: Annotated[tuple[Zone, ...], Field(description="Availability zones to spread over.")] = ()
    os_disk: Annotated[OsDisk, Field(description="The disk a node boots from.")] = OsDisk()
    max_pods: Annotated[int, Field(ge=30, le=250, description="Pods a node at most."), NUMBER] = 110
    surge: Annotated[Surge, Field(description="Extra machines in an upgrade: a number or a percentage.")] = "1"

    @property
    def surge_nodes(self) -> int:
        """Machines that an upgrade may add."""
        return surge_nodes(self.surge, self.count)


class MaintenanceWindow(Settings):
    """When AKS may upgrade by itself."""

    day: Annotated[Day, Field(description="Day of the week.")] = "Sunday"
    start: Annotated[
        str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", examples=["02:00"], description="Hour and minute.")
    ] = "02:00"
    utc_offset: Annotated[
        str, Field(pattern=r"^[+-](0\d|1[0-4]):[0-5]\d$", examples=["+01:00"], description="Of `start`.")
    ] = "+00:00"
    duration_hours: Annotated[int, Field(ge=4, le=24, description="Hours; AKS wants four at least."), NUMBER] = 6


class Upgrades(Settings):
    """What AKS may upgrade by itself. Left out: `patch` and `NodeImage` in managed mode, nothing in deployment mode."""

    cluster: Annotated[
        Literal["none", "patch", "stable", "rapid", "node-image"] | None,
        Field(description="AKS's channel for Kubernetes versions; only `none` in deployment mode."),
    ] = None
    node_os: Annotated[
        Literal["None", "Unmanaged", "SecurityPatch", "NodeImage"] | None,
        Field(description="AKS's channel for node images; only `None` in deployment mode."),
    ] = None
    window: Annotated[MaintenanceWindow, Field(description="When AKS may upgrade.")] = MaintenanceWindow()


class Deployer(Settings):
    """Somebody who runs `pulumi up`, and so may make Kubernetes objects."""

    object_id: Annotated[ObjectId, Field(description="Object id in Entra; a pipeline's is its service principal's.")]
    principal_type: Annotated[
        Literal["User", "Group", "ServicePrincipal"],
        Field(description="Azure refuses a role for a principal of another type."),
    ]


class Cluster(Settings):
    """The AKS cluster."""

    kubernetes_version: Annotated[
        str, Field(pattern=r"^1\.\d{2}(\.\d+)?$", examples=["1.36"], description="Minor version.")
    ] = "1.36"
    tier: Annotated[Literal["Free", "Standard", "Premium"], Field(description="Uptime guarantee and price.")] = (
        "Standard"
    )
    administrators: Annotated[
        tuple[ObjectId, ...], Field(description="Object ids of the Entra groups that administer the cluster.")
    ] = ()
    deployers: Annotated[
        tuple[Deployer, ...],
        Field(description="People and pipelines that deploy; empty: whoever deploys. Two who take turns need both."),
    ] = ()
    private: Annotated[Flag, Field(description="The API server gets a private address only.")] = False
    authorized_ip_ranges: Annotated[
        tuple[Cidr, ...], Field(max_length=200, description="Who may reach a public API server; empty: everyone.")
    ] = ()
    os_sku: Annotated[Literal["Ubuntu", "Ubuntu2204", "Ubuntu2404", "AzureLinux"], Field(description="Node OS.")] = (
        "Ubuntu"
    )
    protect: Annotated[
        Flag, Field(description="Refuse to delete or replace the cluster; `false` where `pulumi destroy` may.")
    ] = True
    system_pool: Annotated[SystemPool, Field(description="The pool of Kubernetes' own pods.")] = SystemPool()
    upgrades: Annotated[Upgrades, Field(description="What AKS may upgrade by itself.")] = Upgrades()


class Network(Settings):
    """Address ranges. The defaults have room for AKS's own limit of 5,000 nodes."""

    vnet_cidr: Annotated[Cidr, Field(description="The virtual network.")] = "10.0.0.0/16"
    node_subnet_cidr: Annotated[Cidr | None, Field(description="One address a node; default: sized for the pools.")] = (
        None
    )
    private_endpoint_cidr: Annotated[Cidr | None, Field(description="For storage; default: the VNet's last /24.")] = (
        None
    )
    pod_cidr: Annotated[
        Cidr | None, Field(description="A /24 a node. A change replaces the cluster. Default: room for 5,000 nodes.")
    ] = None
    service_cidr: Annotated[Cidr, Field(description="Kubernetes services.")] = "172.16.0.0/16"
    outbound_ips: Annotated[int, Field(ge=1, le=16, description="Public addresses of the NAT gateway."), NUMBER] = 1


class Autoscaler(Settings):
    """Who adds and removes machines, and how eagerly."""

    mode: Annotated[
        Literal["deployment", "managed"],
        Field(description="cluster-autoscaler run by this stack, or AKS's own (see docs/adr)."),
    ] = "deployment"
    profile: Annotated[
        Literal["batch", "bursty"], Field(description="For jobs that must not be disturbed, or for services.")
    ] = "batch"
    expander: Annotated[
        Literal["priority", "least-waste", "most-pods", "random"], Field(description="Which pool grows first.")
    ] = "priority"
    idle_minutes: Annotated[
        int | None,
        Field(ge=1, le=600, description="Minutes before an idle machine goes; default: 5 in batch, 3 in bursty."),
    ] = None


class Registry(Settings):
    """The container registry."""

    sku: Annotated[Literal["Basic", "Standard", "Premium"], Field(description="Tier of the registry.")] = "Standard"


class Budget(Settings):
    """What the stack may cost a month; the policy pack says when it would cost more."""

    monthly_usd: Annotated[
        float, Field(gt=0, le=100_000_000, description="US dollars a month, list prices, before taxes."), NUMBER
    ]
    at: Annotated[
        Literal["minimum", "maximum", "load"],
        Field(description="With every pool at its minimum, at its maximum, or at the load below."),
    ] = "maximum"
    load: Annotated[
        float | None,
        Field(ge=0, le=1, description="Share of the machines between minimum and maximum that run on average."),
        NUMBER,
    ] = None
    machine_hours: Annotated[
        dict[str, Annotated[float, Field(ge=0), NUMBER]],
        Field(description="Pool to its machine hours a month, in place of `load`; pools not named: their minimum."),
    ] = {}


class Stack(Settings):
    """Everything a stack file says under `trainyard:`."""

    location: Annotated[str, Field(description="Azure region, as in `westeurope`.")]
    cluster: Annotated[Cluster, Field(description="The AKS cluster.")] = Cluster()
    network: Annotated[Network, Field(description="Address ranges and egress.")] = Network()
    pools: Annotated[dict[str, Pool], Field(min_length=1, description="Pool name (7 characters at most) to pool.")]
    storage: Annotated[Storage, Field(description="Where training data lives.")] = Storage()
    datasets: Annotated[
        dict[str, Dataset], Field(description="Name to where a dataset comes from and where it lives.")
    ] = {}
    autoscaler: Annotated[Autoscaler, Field(description="Who adds and removes machines, and how.")] = Autoscaler()
    queues: Annotated[Queues, Field(description="Queues for training jobs.")] = Queues()
    serve: Annotated[dict[str, Service], Field(description="Name of a service to what it runs and how it scales.")] = {}
    gpu_metrics: Annotated[
        GpuMetrics | None, Field(description="Where GPU utilisation is found, for services that scale by it.")
    ] = None
    registry: Annotated[Registry, Field(description="The container registry.")] = Registry()
    budget: Annotated[Budget | None, Field(description="What the stack may cost a month.")] = None
    tags: Annotated[dict[str, str], Field(description="Azure tags on everything.")] = {}
    allow_replacement: Annotated[
        tuple[str, ...], Field(description="Pools whose running machines a replacement may end.")
    ] = ()
