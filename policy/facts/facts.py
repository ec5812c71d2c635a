"""Facts as rules take them: typed, and each read once a run.

Owns the meaning of the answers that `policy/facts/azure.py` defines. Where an answer is missing, its reason is raised
again for every rule that needs it, and Azure is not asked again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

from capacity.catalogue import VmSize, load_catalogue
from capacity.quota import Cores, Machines, Reservation, Usage
from policy.facts.azure import UnreadableError, described, question
from policy.facts.cache import Reader

_PARALLEL = 6
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class Offer:
    """A VM size as this subscription is offered it in one region.

    Attributes:
        zones: where it can be had; empty: only in the region as a whole.
        closed: why the region is closed for this subscription, `NotAvailableForSubscription`; None: it is not.
        capabilities: as Azure names and spells them.
    """

    name: str
    family: str
    zones: tuple[str, ...]
    closed: str | None
    capabilities: Mapping[str, str]

    @property
    def cores(self) -> Cores:
        """What it counts as."""
        return Cores(self.name, self.family, int(self.capabilities["vCPUs"]))

    def can(self, capability: str) -> bool | None:
        """Whether Azure says that it can; None: it does not say."""
        value = self.capabilities.get(capability)
        return None if value is None else value.lower() == "true"

    @property
    def ephemeral_gib(self) -> int | None:
        """The largest ephemeral OS disk in GiB: the largest of the machine's own disks; None: not said."""
        if self.can("EphemeralOSDiskSupported") is not True:
            return None if self.can("EphemeralOSDiskSupported") is None else 0
        own = (("CachedDiskBytes", 1024**3), ("MaxResourceVolumeMB", 1024), ("NvmeDiskSizeInMiB", 1024))
        rooms = [int(self.capabilities[name]) // unit for name, unit in own if name in self.capabilities]
        return max(rooms) if rooms else None


@dataclass(frozen=True)
class LiveCluster:
    """A cluster that is there already."""

    location: str
    node_group: str | None


@dataclass(frozen=True)
class Permissions:
    """What a sign-in may do on the subscription."""

    granted: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

    def allows(self, action: str) -> bool:
        """Whether one of the roles grants it and does not withhold it."""
        return any(_any(actions, action) and not _any(withheld, action) for actions, withheld in self.granted)


class Facts:
    """What one run knows of Azure.

    Args:
        reader: where answers come from.
        again: gives a reader whose answers are fresh; None where there is none.
    """

    def __init__(self, reader: Reader, again: Callable[[], Reader] | None = None) -> None:
        self._reader = reader
        self._again = again
        self._known: dict[str, Any] = {}
        self._offers: dict[str, dict[str, Offer]] = {}
        self._lock = threading.Lock()

    @property
    def described(self) -> str:
        """Where the answers come from."""
        return self._reader.described

    def fresh(self) -> Facts | None:
        """Facts that are no older than half a minute, to judge a failure on again; None: these are as fresh as any."""
        return Facts(self._again()) if self._again else None

    def prepare(self, questions: Iterable[str]) -> None:
        """Read several answers at once; what cannot be read is said when it is asked for."""
        missing = [one for one in dict.fromkeys(questions) if one not in self._known]
        if missing:
            with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
                list(pool.map(self._try, missing))

    def usages(self, region: str) -> dict[str, Usage]:
        """Quota key to Azure's figures."""
        return self._read(_usages, "usages", region)

    def offers(self, region: str) -> dict[str, Offer]:
        """Size in lower case to what is offered of it in a region."""
        if region not in self._offers:
            self._offers[region] = self._read(_offers, "sizes", region)
        return self._offers[region]

    def cores(self, region: str, size: str) -> Cores:
        """What a size counts as: as the region offers it, else as the catalogue knows it.

        Raises:
            UnreadableError: neither knows it.
        """
        known = load_catalogue().size(size)
        if known is not None:
            return Cores(known.name, known.family, known.vcpus)
        found = self.offers(region).get(size.lower())
        if found is None:
            raise UnreadableError(f"how many vCPUs {size} has is unknown: it is neither in the catalogue nor on offer.")
        return found.cores

    def aks_sizes(self, region: str) -> frozenset[str]:
        """Sizes in lower case that AKS takes for nodes."""
        return self._read(_texts, "aks-sizes", region)

    def cluster(self, group: str, name: str) -> LiveCluster | None:
        """A cluster; None where it is not there."""
        return self._read(_cluster, "cluster", group, name)

    def machines(self, group: str, region: str) -> list[Machines]:
        """The machines of a node resource group, one entry a pool; none where it is not there."""
        rows = self._read(_machines, "scale-sets", group)
        return [Machines(pool, self.cores(region, size), count, spot, of) for pool, size, count, spot, of in rows]

    def reservations(self, group: str, region: str) -> list[Reservation]:
        """The capacity reservations of a group; none where it is not there."""
        rows = self._read(_reserved, "reservations", group)
        return [Reservation(group, self.cores(region, size), count) for size, count in rows]

    def providers(self) -> dict[str, str]:
        """Resource provider in lower case to its registration, `Registered`."""
        return self._read(_registrations, "providers")

    def feature(self, namespace: str, name: str) -> str:
        """A feature's registration, `Registered`."""
        return self._read(str, "feature", namespace, name)

    def permissions(self) -> Permissions:
        """What this sign-in may do."""
        return self._read(_permissions, "permissions")

    def _try(self, asked: str) -> None:
        try:
            answer: Any = self._reader.read(asked)
        except UnreadableError as reason:
            answer = reason
        except _MISSHAPEN as wrong:
            answer = _senseless(asked, self.described, wrong)
        with self._lock:
            self._known.setdefault(asked, answer)

    def _read(self, shaped: Callable[[Any], _Answer], kind: str, *arguments: str) -> _Answer:
        """An answer in its type; raises `UnreadableError`, where it has none, too."""
        asked = question(kind, *arguments)
        if asked not in self._known:
            self._try(asked)
        answer = self._known[asked]
        if isinstance(answer, UnreadableError):
            raise UnreadableError(str(answer))
        try:
            return shaped(answer)
        except _MISSHAPEN as wrong:
            raise _senseless(asked, self.described, wrong) from wrong


_MISSHAPEN = (AttributeError, KeyError, IndexError, TypeError, ValueError)
"""What comes of an answer that is not what was asked for: of a damaged file, or of another version of Azure's API."""


def _senseless(asked: str, source: str, wrong: Exception) -> UnreadableError:
    return UnreadableError(
        f"{described(asked)}: the answer makes no sense ({source}; {type(wrong).__name__}). Run `make azure-snapshot` "
        "where it comes from a snapshot, else report it."
    )


def _usages(answer: Any) -> dict[str, Usage]:
    return {key: Usage(str(name), int(current), int(limit)) for key, (name, current, limit) in answer.items()}


def _offers(answer: Any) -> dict[str, Offer]:
    return {
        name: Offer(row["name"], row["family"], tuple(row["zones"]), row["closed"], dict(row["can"]))
        for name, row in answer.items()
    }


def _texts(answer: Any) -> frozenset[str]:
    if not isinstance(answer, list):
        raise TypeError
    return frozenset(cast("list[str]", answer))


def _cluster(answer: Any) -> LiveCluster | None:
    return None if answer is None else LiveCluster(answer["location"], answer["nodeGroup"])


def _machines(answer: Any) -> list[tuple[str, str, int, bool, str | None]]:
    return [(row["pool"], row["size"], int(row["count"]), bool(row["spot"]), row["group"]) for row in answer]


def _reserved(answer: Any) -> list[tuple[str, int]]:
    return [(row["size"], int(row["count"])) for row in answer]


def _registrations(answer: Any) -> dict[str, str]:
    return {str(namespace): str(state) for namespace, state in answer.items()}


def _permissions(answer: Any) -> Permissions:
    return Permissions(tuple((tuple(row["actions"]), tuple(row["notActions"])) for row in answer))


def alternatives(size: VmSize, region: str) -> list[Cores]:
    """Sizes sold in a region that could stand in for another, best first."""
    catalogue = load_catalogue()
    names = catalogue.alternatives(size, region, count=20)
    return [Cores(one.name, one.family, one.vcpus) for name in names if (one := catalogue.size(name))]


def _any(patterns: Iterable[str], action: str) -> bool:
    return any(_pattern(one).fullmatch(action) for one in patterns)


@lru_cache(maxsize=2048)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")), re.IGNORECASE)
