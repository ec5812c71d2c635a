"""A stack's settings against the catalogue and the address plan, and the one entry by which a program loads them.

Owns the rules that need to know Azure's sizes, prices and ranges. Says nothing of quota, restrictions or capacity:
those are asked live by the policy pack.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from capacity.autoscaler_releases import RELEASES, release_for
from capacity.catalogue import Catalogue, VmSize, is_burstable, load_catalogue
from capacity.file_system_checks import file_system_catalogue_rules
from capacity.network_plan import NetworkError, plan_network
from capacity.pools import plan_pool, size_name
from capacity.prediction import TooManyTagsError, pool_tags
from capacity.serve_plan import serve_rules
from stacks.draft import Draft
from stacks.loading import load_stack, read_file
from stacks.problems import PathParts, Problem, SettingsErrors, nearest
from stacks.settings import OsDisk, Pool, Stack

__all__ = ["SettingsErrors", "load", "load_file"]

SYSTEM_POOL_VCPUS = 4
SYSTEM_POOL_MIB = 4096
"""AKS's least for system pools (azure-aks-docs `use-system-pools.md`)."""

PLATFORM_TAGS = 3
"""Tags that the program itself puts on every pool: project, stack, pool."""


def load(values: Mapping[str, Any], secret_keys: Collection[str] = frozenset()) -> Stack:
    """The stack that a file's keys describe, fit to be planned and deployed.

    Args:
        values: the keys without `trainyard:`, their values parsed.
        secret_keys: keys that the engine holds encrypted; their values are not shown in errors.

    Raises:
        SettingsErrors: with every error of the file.
    """
    catalogue = load_catalogue()
    return load_stack(values, [lambda draft: catalogue_rules(draft, catalogue), network_rules], secret_keys)


def load_file(path: Path) -> Stack:
    """The stack of a `Pulumi.<environment>.yaml`, read without the engine.

    Raises:
        SettingsErrors: with every error of the file.
    """
    return load(read_file(path))


def catalogue_rules(draft: Draft, catalogue: Catalogue) -> Iterator[Problem]:
    """Everything wrong with sizes, and with what a pool asks of its size."""
    yield from _region(draft, catalogue)
    yield from _autoscaler(draft)
    yield from _system_pool(draft, catalogue)
    yield from file_system_catalogue_rules(draft, catalogue)
    yield from serve_rules(draft, catalogue)
    for key, pool in draft.pools():
        yield from _pool(draft, key, pool, catalogue)


def network_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with the address ranges."""
    names = {
        "vnet_cidr": "vnetCidr",
        "node_subnet_cidr": "nodeSubnetCidr",
        "private_endpoint_cidr": "privateEndpointCidr",
        "pod_cidr": "podCidr",
        "service_cidr": "serviceCidr",
    }
    try:
        plan_network(draft.stack)
    except NetworkError as error:
        for fault in error.faults:
            needs: tuple[PathParts, ...] = tuple(("network", names[field]) for field in fault.needs)
            yield Problem(("network", names[fault.field]), fault.message, needs=needs)


def _region(draft: Draft, catalogue: Catalogue) -> Iterator[Problem]:
    location = draft.stack.location
    if location.isalnum() and location.islower() and location not in catalogue.regions:
        near = nearest(location, catalogue.regions)
        yield Problem(
            ("location",),
            f"{draft.shown(location, 'location')} is no region of the catalogue; allowed: "
            f"{', '.join(catalogue.regions)}. {f'Did you mean {near}?' if near else 'Use one of these.'}",
        )


def _autoscaler(draft: Draft) -> Iterator[Problem]:
    version = draft.stack.cluster.kubernetes_version
    if draft.stack.autoscaler.mode == "deployment" and release_for(version) is None:
        yield Problem(
            ("cluster", "kubernetesVersion"),
            f"{draft.shown(version)} has no cluster-autoscaler that is known here; allowed in deployment mode: "
            f"{', '.join(RELEASES)}. Use one of them, or set trainyard:autoscaler.mode to managed.",
            needs=(("autoscaler", "mode"),),
        )


def _size(draft: Draft, path: PathParts, name: str, catalogue: Catalogue) -> Iterator[Problem]:
    """Whether there is such a size, sold in the stack's region, that this platform can run on."""
    size = catalogue.size(name)
    if size is None:
        near = catalogue.nearest_sizes(name)
        yield Problem(
            path,
            f"{draft.shown(name)} is not in the catalogue; allowed: the {len(catalogue.sizes)} sizes of "
            f"capacity/data/vm_sizes.csv. {f'Nearest: {_listed(near)}.' if near else 'Use one of these.'}",
        )
        return
    location = draft.stack.location
    if location in catalogue.regions and not catalogue.sold_in(location, size.name):
        instead = catalogue.alternatives(size, location)
        regions = catalogue.regions_of(size.name)[:4]
        yield Problem(
            path,
            f"{size.name} has never been sold in {location}; allowed: a size that is. "
            f"{f'In {location}: {_listed(instead)}. ' if instead else ''}"
            f"{f'This size, cheapest first: {_listed(regions)}.' if regions else 'Use another size.'}",
            needs=(("location",),),
        )
    if size.architecture != "amd64":
        yield Problem(
            path,
            f"{size.name} is an {size.architecture} machine; allowed: amd64, which the images of training jobs are "
            f"built for. Use {_listed(_same_on_amd64(size, catalogue)) or 'an amd64 size'}.",
        )


def _same_on_amd64(size: VmSize, catalogue: Catalogue) -> list[str]:
    """Up to three amd64 sizes of as many vCPUs and as much memory."""
    same = (size.vcpus, size.memory_mib, size.gpus, "amd64")
    sizes = catalogue.sizes.values()
    return [one.name for one in sizes if (one.vcpus, one.memory_mib, one.gpus, one.architecture) == same][:3]


def _system_pool(draft: Draft, catalogue: Catalogue) -> Iterator[Problem]:
    pool = draft.stack.cluster.system_pool
    path: PathParts = ("cluster", "systemPool", "vmSize")
    if is_burstable(pool.vm_size):
        yield Problem(
            path,
            f"{draft.shown(pool.vm_size)} is of the B series, which AKS refuses for system pools; allowed: other "
            f"series. Use Standard_D4ds_v5.",
        )
        return
    yield from _size(draft, path, pool.vm_size, catalogue)
    size = catalogue.size(pool.vm_size)
    if size is None:
        return
    if size.vcpus < SYSTEM_POOL_VCPUS or size.memory_mib < SYSTEM_POOL_MIB:
        yield Problem(
            path,
            f"{size.name} has {size.vcpus} vCPUs and {size.memory_mib} MiB; allowed: {SYSTEM_POOL_VCPUS} vCPUs and "
            f"{SYSTEM_POOL_MIB} MiB at least, AKS's own rule. Use Standard_D4ds_v5.",
        )
    if size.gpus:
        yield Problem(
            path,
            f"{size.name} has GPUs, which no system pod uses; allowed: sizes without. Use Standard_D4ds_v5.",
        )
    yield from _os_disk(("cluster", "systemPool"), pool.os_disk, size)


def _pool(draft: Draft, key: str, pool: Pool, catalogue: Catalogue) -> Iterator[Problem]:
    path: PathParts = ("pools", key)
    own_class = ((*path, "class"),)
    # A size that the class chose is an error of the class only; without a known class nothing is known of the size.
    rests_on = ((*path, "vmSize"),) if pool.vm_size else (*own_class, (*path, "vmSize"))
    chosen = "" if pool.vm_size else f" (nothing set: {size_name(pool)} is the default of class {pool.pool_class})"
    problems = [
        Problem(one.path, one.message + chosen, one.needs)
        for one in _size(draft, (*path, "vmSize"), size_name(pool), catalogue)
    ]
    size = catalogue.size(size_name(pool))
    if size is not None:
        problems += _fit(path, pool, size)
        problems += _os_disk(path, pool.os_disk, size)
        problems += _sharing(draft, path, pool, size)
        problems += _tags(draft, path, key, pool, catalogue)
    for problem in problems:
        yield Problem(problem.path, problem.message, (*problem.needs, *rests_on))


def _fit(path: PathParts, pool: Pool, size: VmSize) -> Iterator[Problem]:
    own_class = ((*path, "class"),)
    if pool.is_gpu and not size.gpus:
        kind = "an accelerator that AKS does not support" if size.family.lower().startswith("standardn") else "no GPU"
        yield Problem(
            (*path, "vmSize"),
            f"{size.name} has {kind}, the class is {pool.pool_class}; allowed: sizes with NVIDIA GPUs, or "
            f"Standard_ND96isr_MI300X_v5. Use class cpu, or a size as Standard_NC4as_T4_v3.",
            needs=own_class,
        )
    if not pool.is_gpu and size.gpus:
        yield Problem(
            (*path, "vmSize"),
            f"{size.name} has GPUs, the class is {pool.pool_class}, which neither hands them out nor keeps other "
            f"pods away; allowed: sizes without. Use class light-gpu or heavy-gpu, or another size.",
            needs=own_class,
        )
    if pool.spot is not None and size.spot_capable is False:
        yield Problem(
            (*path, "spot"),
            f"true with {size.name}, which Azure does not offer as spot; allowed: false. "
            f"Remove it, or use another size.",
        )
    if pool.encryption_at_host and size.encryption_at_host is False:
        yield Problem(
            (*path, "encryptionAtHost"),
            f"true with {size.name}, which cannot; allowed: false. Remove it, or use another size.",
        )


def _os_disk(path: PathParts, disk: OsDisk, size: VmSize) -> Iterator[Problem]:
    room = size.os_disk_room_gib
    if disk.type == "Ephemeral" and room is not None and room < disk.size_gib:
        remedy = f"Set osDisk.sizeGib to {room} or less, or" if room >= 30 else "Set"
        yield Problem(
            (*path, "osDisk", "type"),
            f"Ephemeral with {disk.size_gib} GiB on {size.name}, whose own disk has room for {room}; allowed there: "
            f"auto, Managed. {remedy} osDisk.type to auto.",
            needs=((*path, "osDisk", "sizeGib"),),
        )


def _sharing(draft: Draft, path: PathParts, pool: Pool, size: VmSize) -> Iterator[Problem]:
    if not pool.is_gpu or not size.gpus:
        return
    needs = ((*path, "class"), (*path, "gpu", "sharing"))
    if size.gpu_vendor == "amd":
        if pool.gpu.sharing != "whole":
            yield Problem(
                (*path, "gpu", "sharing"),
                f"{pool.gpu.sharing} with {size.name}, whose GPUs are AMD's; allowed: whole. "
                f"Use it, or an NVIDIA size.",
                needs=needs,
            )
        if pool.gpu.driver == "Install":
            yield Problem(
                (*path, "gpu", "driver"),
                f"Install with {size.name}, whose GPUs are AMD's; allowed: None, AKS installs no AMD "
                f"driver. Remove it.",
                needs=needs,
            )
        if draft.stack.cluster.os_sku == "AzureLinux":
            yield Problem(
                (*path, "vmSize"),
                f"{size.name} with trainyard:cluster.osSku AzureLinux; allowed with AMD GPUs: Ubuntu. "
                f"Change osSku, or use an NVIDIA size.",
                needs=(*needs, ("cluster", "osSku")),
            )
    elif pool.gpu.sharing == "mig" and size.mig_capable is not True:
        yield Problem(
            (*path, "gpu", "sharing"),
            f"mig with {size.name}, whose {size.gpu_model} AKS does not partition; allowed: whole, time-slicing, or an "
            f"A100, H100 or H200 size. Change one of them.",
            needs=needs,
        )


def _tags(draft: Draft, path: PathParts, key: str, pool: Pool, catalogue: Catalogue) -> Iterator[Problem]:
    """Whether the pool's tags are few enough, those of the program counted."""
    platform = {f"platform-{index}": "" for index in range(PLATFORM_TAGS)}
    try:
        pool_tags(
            plan_pool(key, pool, catalogue, draft.stack.storage.file_system.backend),
            location=draft.stack.location,
            autoscaler=draft.stack.autoscaler,
            autoscaler_name="",
            tags={**draft.stack.tags, **platform},
        )
    except TooManyTagsError as error:
        yield Problem((*path, "tags"), str(error))


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)
