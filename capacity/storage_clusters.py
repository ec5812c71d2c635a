"""What a file system inside the cluster offers: rook and gluster on managed disks, rook on local NVMe.

Owns the ceilings of disks, machines, network and replication, and how many machines a dataset takes; how many disks
it takes is `file_system_plan`'s, so that what is compared here is what a stack file of that size deploys.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from capacity.catalogue import load_catalogue
from capacity.file_system_plan import USABLE, InCluster, data_disks, most_osds
from capacity.node_disks import node_disks
from capacity.storage_data import Backend, Machine
from capacity.storage_offers import Ceiling, Offer, Question, client_network, made_offer, monthly, refused_offer
from capacity.storage_workload import DISK_IO_MIB, Setup, Workload
from stacks.storage_settings import FileSystem


@dataclass(frozen=True, slots=True)
class Layout:
    """Machines of the storage pool, and disks on all of them together."""

    nodes: int
    disks: int


def cluster_offers(asked: Question) -> Iterator[Offer]:
    """What file systems inside the cluster offer."""
    for backend in asked.data.backends.values():
        if backend.in_cluster:
            on_nvme = backend.key == "rook-nvme"
            yield (_on_nvme if on_nvme else _on_disks)(backend, asked)


def _on_disks(backend: Backend, asked: Question) -> Offer:
    workload, setup = asked.workload, asked.setup
    machine, disk = asked.data.machine(setup.storage_size), asked.data.disk(setup.disk_gib)
    kind = "gluster" if _by_client(backend) else "rook"
    size = max(64, math.ceil(workload.size_gib))
    try:
        wanted = FileSystem(backend=kind, size_gib=size, replicas=setup.replicas, disk_gib=setup.disk_gib)
    except ValidationError as refusal:
        why = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in refusal.errors())
        return refused_offer(backend.key, backend, f"storage.fileSystem does not take it: {why}")
    disks = data_disks(wanted, size, setup.storage_nodes)
    a_node = _disks_a_node(kind, setup.storage_size)
    if a_node < 1:
        return refused_offer(backend.key, backend, f"{machine.size} is too small for a data disk with its daemon")
    plan = Layout(max(setup.storage_nodes, math.ceil(disks / a_node)), disks)
    ios, copies = _disk_ios(backend, workload), _disk_copies(workload, setup)
    moved = workload.request_mib * copies
    ceilings = [
        Ceiling(
            f"IOPS of {plan.disks} x {disk.tier}, {disk.iops:,.0f} each{_amplified(copies)}",
            plan.disks * disk.iops / ios / copies,
            "computed",
            disk.source,
        ),
        Ceiling(
            f"throughput of {plan.disks} x {disk.tier}, {disk.mibps:,.0f} MiB/s each{_amplified(copies)}",
            plan.disks * disk.mibps / moved,
            "computed",
            disk.source,
        ),
        *_networks(backend, plan, machine, asked),
    ]
    unknown = _unknown(workload)
    for figure, unit, divisor in (
        (machine.uncached_iops, "IOPS", ios * copies),
        (machine.uncached_mibps, "MiB/s", moved),
    ):
        if figure is None:
            unknown.append(f"uncached disk {unit} of {machine.size}")
            continue
        what = f"uncached disk {unit} of {plan.nodes} x {machine.size}, {figure:,.0f} each{_amplified(copies)}"
        ceilings.append(Ceiling(what, plan.nodes * figure / divisor, "computed", machine.source))
    return made_offer(
        backend.key,
        backend,
        workload,
        provisioned=f"{plan.nodes} x {machine.size}, {plan.disks} x {disk.tier}, {setup.replicas} replicas",
        ceilings=ceilings,
        unknown=unknown,
        cost=monthly(
            [
                (machine.size, f"machine:{machine.size}", plan.nodes),
                (f"{disk.tier} disk", f"disk-{disk.tier}", plan.disks),
            ],
            asked,
        ),
        order=(plan.nodes, plan.disks),
    )


def _on_nvme(backend: Backend, asked: Question) -> Offer:
    workload, setup = asked.workload, asked.setup
    machine = asked.data.machine(setup.nvme_size)
    own = node_disks(setup.nvme_size)
    if own is None or not own.nvme_disks:
        return refused_offer(backend.key, backend, f"{machine.size} has no local NVMe disks that are known")
    holds = own.nvme_gib * USABLE / setup.replicas
    nodes = max(setup.storage_nodes, math.ceil(workload.size_gib / holds))
    plan = Layout(nodes, nodes * own.nvme_disks)
    copies = _disk_copies(workload, setup)
    ceilings = list(_networks(backend, plan, machine, asked))
    unknown = _unknown(workload)
    rates, kind = (machine.nvme_write, "write") if workload.writes else (machine.nvme_read, "read")
    if rates is None:
        unknown.append(f"NVMe {kind} speed of {machine.size}")
    else:
        for figure, unit, divisor in (
            (rates[0], "IOPS", _disk_ios(backend, workload) * copies),
            (rates[1], "MiB/s", workload.request_mib * copies),
        ):
            what = f"NVMe {kind} {unit} of {plan.nodes} x {machine.size}, {figure:,.0f} each{_amplified(copies)}"
            ceilings.append(Ceiling(what, plan.nodes * figure / divisor, "computed", machine.source))
    return made_offer(
        backend.key,
        backend,
        workload,
        provisioned=f"{plan.nodes} x {machine.size}, {plan.disks} of their NVMe disks, {setup.replicas} replicas",
        ceilings=ceilings,
        unknown=unknown,
        cost=monthly([(machine.size, f"machine:{machine.size}", plan.nodes)], asked),
        order=(plan.nodes, plan.disks),
    )


def _networks(backend: Backend, plan: Layout, machine: Machine, asked: Question) -> Iterator[Ceiling]:
    """Network of both sides. Azure meters what a machine sends (source `vm-network`).

    Reading, storage nodes send each piece once. Writing, Ceph's first replica sends it to the others; gluster's client
    sends it to all replicas itself.
    """
    workload, setup = asked.workload, asked.setup
    by_client = workload.writes and _by_client(backend)
    yield client_network(asked, setup.replicas if by_client else 1)
    sent = 1 if not workload.writes else 0 if by_client else setup.replicas - 1
    if sent:
        again = f", each piece sent on {sent} times" if workload.writes else ""
        yield Ceiling(
            f"network of {plan.nodes} x {machine.size}, {machine.network_mibps:,.0f} MiB/s each{again}",
            plan.nodes * machine.network_mibps / workload.request_mib / sent,
            "computed",
            machine.source,
        )


def _disk_ios(backend: Backend, workload: Workload) -> float:
    """Disk I/O operations of one request on one replica, those of opening a small file among them."""
    opening = backend.limits["metadata_per_file"].value if workload.pattern == "small-files" else 0.0
    return workload.ios(DISK_IO_MIB) + opening


def _by_client(backend: Backend) -> bool:
    """Whether the client itself writes to all replicas, as gluster's does."""
    return backend.key.startswith("gluster")


def _disks_a_node(kind: InCluster, size: str) -> int:
    """Data disks that a storage machine takes: what Azure attaches, a monitor's left out, and what has room to run."""
    disks, machine = node_disks(size), load_catalogue().size(size)
    if disks is None or machine is None:
        raise ValueError(f"nothing is known of the disks of {size}: add its line to capacity/data/node_disks.csv")
    return min(disks.data_disks - 1, most_osds(machine)) if kind == "rook" else disks.data_disks


def _unknown(workload: Workload) -> list[str]:
    """Limits of every file system of the cluster that nobody publishes a figure for."""
    return ["how many files a second the file system opens"] if workload.pattern == "small-files" else []


def _disk_copies(workload: Workload, setup: Setup) -> int:
    return setup.replicas if workload.writes else 1


def _amplified(copies: int) -> str:
    return f", each piece written {copies} times" if copies > 1 else ""
