"""From the resources that a program registers to what Azure bills for them.

Owns which resource types cost what. A type that Azure bills by itself and that is not known here becomes an item
without a price, so that nothing is taken for free because nobody thought of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from typing import Any, cast

from capacity.catalogue import Catalogue, load_catalogue
from capacity.cost.items import Item, Machines, cluster_items, disk, egress_items, pool_items, share_items
from capacity.cost.prices import DATA
from capacity.pools import os_disk_type
from stacks.settings import OsDisk

_GIB: Mapping[str, float] = {"Gi": 1, "Ti": 1024, "Mi": 1 / 1024, "G": 1e9 / 2**30, "T": 1e12 / 2**30}
_DISK_DRIVER = "disk.csi.azure.com"
_DEFAULT_OS_DISK_GIB = 128


@dataclass(frozen=True, slots=True)
class Declared:
    """One resource as a program registers it.

    Attributes:
        type: the engine's type token.
        name: its name in the program.
        inputs: camelCase; what is not known yet is absent or any text.
    """

    type: str
    name: str
    inputs: Mapping[str, Any]


def from_resources(resources: Iterable[Declared], catalogue: Catalogue | None = None) -> list[Item]:
    """Everything that Azure bills for these resources."""
    return _Reader(list(resources), catalogue or load_catalogue()).items()


@lru_cache(maxsize=1)
def free_types() -> frozenset[str]:
    """Types that Azure does not bill by themselves, without provider and version."""
    rows = (DATA / "free_types.csv").read_text().splitlines()[1:]
    return frozenset(row.split(",", 1)[0] for row in rows)


class _Reader:
    """All resources of one stack; some can only be judged beside others."""

    def __init__(self, resources: list[Declared], catalogue: Catalogue) -> None:
        self._resources = resources
        self._catalogue = catalogue
        self._disk_classes = {
            _text(one.inputs, "metadata", "name"): _text(one.inputs, "parameters", "skuName") or "StandardSSD_LRS"
            for one in resources
            if _kind(one.type) == "StorageClass" and _text(one.inputs, "provisioner") == _DISK_DRIVER
        }

        # A volume names its account as text, which the share itself does not before the account exists.
        volumes = [
            _mapping(_mapping(_mapping(one.inputs.get("spec")).get("csi")).get("volumeAttributes"))
            for one in resources
            if _kind(one.type) == "PersistentVolume"
        ]
        self._mounted_from = {
            _text(one, "shareName"): _text(one, "storageAccount") for one in volumes if "shareName" in one
        }

    def items(self) -> list[Item]:
        return [item for one in self._resources for item in self._of(one)]

    def _of(self, one: Declared) -> Iterator[Item]:
        if one.type.startswith("azure-native:"):
            # azure-native:storage/v20240101:FileShare and azure-native:storage:FileShare are one type
            short = re.sub(r"/v\w+(?=:)", "", one.type.removeprefix("azure-native:"))
            handler = _AZURE.get(short)
            if handler is not None:
                yield from handler(self, one)
            elif short not in free_types():
                yield Item(f"{short.split(':')[-1]} {one.name}", "other", None, why="no price is known for this type")
        elif one.type.startswith("kubernetes:"):
            handler = _KUBERNETES.get(_kind(one.type))
            if handler is not None:
                yield from handler(self, one)

    def agent_pool(self, one: Declared) -> Iterator[Item]:
        tags = _mapping(one.inputs.get("tags"))
        key = tags.get("trainyard-pool")
        yield from self._pool(one.inputs, key if isinstance(key, str) else one.name)

    def cluster(self, one: Declared) -> Iterator[Item]:
        yield from cluster_items(one.name, _text(one.inputs, "sku", "tier") or "Free")
        for pool in _list(one.inputs.get("agentPoolProfiles")):
            # A refresh lists every pool here; those that are resources of their own are counted there.
            profile = _mapping(pool)
            if _text(profile, "name") not in self._pool_names:
                yield from self._pool(profile, _text(profile, "name") or "system")

    @property
    def _pool_names(self) -> set[str]:
        return {
            _text(one.inputs, "agentPoolName") or one.name
            for one in self._resources
            if re.fullmatch(r"azure-native:containerservice(/v\w+)?:AgentPool", one.type)
        }

    def _pool(self, inputs: Mapping[str, Any], key: str) -> Iterator[Item]:
        name = _text(inputs, "vmSize")
        size = self._catalogue.size(name)
        machines = _machines(inputs, key)
        gib = int(_number(inputs.get("osDiskSizeGB")) or _DEFAULT_OS_DISK_GIB)
        kind = _text(inputs, "osDiskType")
        if not kind:
            kind = os_disk_type(OsDisk(size_gib=max(gib, 30)), size, None) if size else "Managed"
        premium = size is None or size.premium_disks is not False
        yield from pool_items(machines, size.name if size else name or "unknown size", kind, gib, premium=premium)

    def share(self, one: Declared) -> Iterator[Item]:
        yield from share_items(
            _text(one.inputs, "shareName") or one.name,
            int(_number(one.inputs.get("shareQuota")) or 0),
            sku=self._account_sku(one),
            iops=_number(one.inputs.get("provisionedIops")),
            mibps=_number(one.inputs.get("provisionedBandwidthMibps")),
        )

    def _account_sku(self, share: Declared) -> str:
        """SKU of a share's account, which its own inputs name but do not tell; `unknown` where it cannot be told."""
        accounts = [
            one for one in self._resources if re.match(r"azure-native:storage[:/].*:?StorageAccount$", one.type)
        ]
        name = self._mounted_from.get(_text(share.inputs, "shareName")) or _text(share.inputs, "accountName")
        named = [one for one in accounts if _text(one.inputs, "accountName") == name]
        if not named:
            # Before an account exists its name is unknown. NFS needs HTTPS-only off, and a premium account.
            nfs = _text(share.inputs, "enabledProtocols") == "NFS"
            own = _number(share.inputs.get("provisionedIops")) is not None
            named = [
                one
                for one in accounts
                if (one.inputs.get("enableHttpsTrafficOnly") is False) == nfs
                and (_text(one.inputs, "sku", "name").startswith("PremiumV2")) == own
                and not one.inputs.get("isHnsEnabled")
            ]
        found = {_text(one.inputs, "sku", "name") for one in named}
        return found.pop() if len(found) == 1 else "unknown"

    def account(self, one: Declared) -> Iterator[Item]:
        if _text(one.inputs, "kind") in ("StorageV2", "BlockBlobStorage"):
            meter = "blob-hot" if _text(one.inputs, "sku", "name") == "Standard_LRS" else None
            yield Item(f"account {one.name}: blobs and requests", "storage", meter, by_use=True)

    def gateway(self, one: Declared) -> Iterator[Item]:
        yield from egress_items(one.name, 0)

    def managed_disk(self, one: Declared) -> Iterator[Item]:
        gib = int(_number(one.inputs.get("diskSizeGB")) or 0)
        yield disk(f"disk {one.name}: {gib} GiB", gib, 1, _text(one.inputs, "sku", "name") or "Standard_LRS")

    def registry(self, one: Declared) -> Iterator[Item]:
        tier = _text(one.inputs, "sku", "name")
        yield Item(f"registry, {tier}", "registry", f"registry-{tier.lower()}")
        yield Item("registry: images", "registry", "registry-data", by_use=True)

    def endpoint(self, one: Declared) -> Iterator[Item]:
        yield Item(f"private endpoint {one.name}", "network", "private-endpoint")
        yield Item("private endpoints: data", "network", "private-endpoint-data", by_use=True)

    def service(self, one: Declared) -> Iterator[Item]:
        if _text(one.inputs, "spec", "type") == "LoadBalancer":
            yield Item(f"load balancer for {one.name}", "network", "load-balancer")
            yield Item("load balancer: data", "network", "load-balancer-data", by_use=True)

    def claim(self, one: Declared) -> Iterator[Item]:
        yield from self._claim(one.name, one.inputs.get("spec"), 1)

    def stateful_set(self, one: Declared) -> Iterator[Item]:
        spec = _mapping(one.inputs.get("spec"))
        count = _number(spec.get("replicas"))
        for template in _list(spec.get("volumeClaimTemplates")):
            yield from self._claim(one.name, _mapping(template).get("spec"), 1 if count is None else count)

    def ceph_cluster(self, one: Declared) -> Iterator[Item]:
        spec = _mapping(one.inputs.get("spec"))
        monitors = _mapping(spec.get("mon"))
        claim = _mapping(monitors.get("volumeClaimTemplate")).get("spec")
        if claim is not None:
            yield from self._claim(f"{one.name} monitors", claim, _number(monitors.get("count")) or 1)
        for device in _list(_mapping(spec.get("storage")).get("storageClassDeviceSets")):
            device_set = _mapping(device)
            for template in _list(device_set.get("volumeClaimTemplates")):
                name = f"{one.name} {_text(device_set, 'name')}"
                yield from self._claim(name, _mapping(template).get("spec"), _number(device_set.get("count")) or 1)

    def chart(self, one: Declared) -> Iterator[Item]:
        chart = _text(one.inputs, "chart")
        if re.search(
            r'"(?:storageClass|storageClassName|persistence|persistentVolume|size)"',
            json.dumps(one.inputs.get("values"), default=str),
        ):
            yield Item(f"chart {chart}: its disks", "disks", None, why="what a chart claims is not read")

    def _claim(self, name: str, spec: Any, count: float) -> Iterator[Item]:
        """Disks of claims whose class makes managed disks; claims on other drivers are billed as what they lie on."""
        wanted = _mapping(spec)
        sku = self._disk_classes.get(_text(wanted, "storageClassName"))
        if sku is not None:
            gib = _gib(_text(wanted, "resources", "requests", "storage"))
            pieces = f"{count:g} of " if count != 1 else ""
            yield disk(f"disks of {name}: {pieces}{gib} GiB", gib, count, sku)


def _machines(inputs: Mapping[str, Any], key: str) -> Machines:
    """Bounds of a pool: AKS's own autoscaler's, else those in cluster-autoscaler's tags, else its count."""
    tags = _mapping(inputs.get("tags"))
    low = high = _number(inputs.get("count"))
    if inputs.get("enableAutoScaling") is True:
        low, high = _number(inputs.get("minCount")), _number(inputs.get("maxCount"))
    elif "cluster-autoscaler-enabled" in tags:
        low, high = _number(tags.get("min")), _number(tags.get("max"))
    least = int(low or 0)
    return Machines(
        key,
        least,
        max(int(high if high is not None else least), least),
        spot=_text(inputs, "scaleSetPriority") == "Spot",
        max_hourly_usd=_number(inputs.get("spotMaxPrice")),
    )


def _kind(token: str) -> str:
    return token.rpartition(":")[2]


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _text(inputs: Mapping[str, Any], *path: str) -> str:
    """The text at a path; empty where there is none."""
    found: Any = inputs
    for part in path:
        found = _mapping(found).get(part)
    return found if isinstance(found, str) else ""


def _number(value: Any) -> float | None:
    """A number, also one that was written as text; None where it is none, or no finite one."""
    try:
        found = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        return None
    return found if found is not None and isfinite(found) else None


def _gib(text: str) -> int:
    """GiB of a Kubernetes quantity, rounded up; 0 where it is none."""
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)(Gi|Ti|Mi|G|T)", text)
    return int(-(-float(found[1]) * _GIB[found[2]] // 1)) if found else 0


_Handler = Callable[[_Reader, Declared], Iterator[Item]]
_AZURE: Mapping[str, _Handler] = {
    "containerservice:AgentPool": _Reader.agent_pool,
    "containerservice:ManagedCluster": _Reader.cluster,
    "storage:FileShare": _Reader.share,
    "storage:StorageAccount": _Reader.account,
    "network:NatGateway": _Reader.gateway,
    "network:PublicIPAddress": lambda _, one: iter([Item(f"public address {one.name}", "network", "public-ip")]),
    "network:PrivateEndpoint": _Reader.endpoint,
    "privatedns:PrivateZone": lambda _, one: iter(
        [Item(f"private DNS zone {one.name}", "network", "private-dns-zone")]
    ),
    "network:LoadBalancer": lambda _, one: iter([Item(f"load balancer {one.name}", "network", "load-balancer")]),
    "network:VirtualNetworkPeering": lambda _, one: iter(
        [Item(f"peering {one.name}: data", "network", None, by_use=True, why="price unknown")]
    ),
    "compute:Disk": _Reader.managed_disk,
    "containerregistry:Registry": _Reader.registry,
}
_KUBERNETES: Mapping[str, _Handler] = {
    "Service": _Reader.service,
    "PersistentVolumeClaim": _Reader.claim,
    "StatefulSet": _Reader.stateful_set,
    "CephCluster": _Reader.ceph_cluster,
    "Release": _Reader.chart,
}
