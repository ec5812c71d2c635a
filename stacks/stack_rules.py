"""Rules between the other values of a stack, that need no knowledge of Azure's sizes.

Owns the rules for the cluster, storage, tags and what names a pool. As in `stacks/pool_rules.py`, each problem names
what it rests on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from stacks.draft import Draft
from stacks.problems import PathParts, Problem, nearest
from stacks.storage_settings import Share

PREMIUM_SMALLEST_GIB = 100
PROVISIONED_SMALLEST_GIB = 32
ACCOUNT_IOPS = 102_400
ACCOUNT_MIBPS = 10_340
"""Of all shares of one "provisioned v2" account together, as of one share alone: "Azure Files scale targets"."""
_SHARE_NAME = re.compile(r"^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$")
_TAG_FORBIDDEN = re.compile(r"[<>%&\\?/]")
_TAG_RESERVED_PREFIXES = ("microsoft", "azure", "windows", "aks-managed", "k8s.io_cluster-autoscaler", "trainyard")
_TAG_RESERVED = ("cluster-autoscaler-enabled", "cluster-autoscaler-name", "min", "max")


def stack_rules(draft: Draft) -> Iterator[Problem]:
    """Everything wrong with a stack outside of its pools."""
    yield from _location(draft)
    yield from _cluster(draft)
    yield from _upgrades(draft)
    shares = draft.stack.storage.files.shares
    for name, share in shares.items():
        yield from _share(draft, name, share)
    yield from _provisioned_accounts(shares)
    yield from _tags(draft, ("tags",), draft.stack.tags)
    for key, pool in draft.pools():
        yield from _tags(draft, ("pools", key, "tags"), pool.tags, draft.stack.tags)
    yield from _replacement(draft)


def _location(draft: Draft) -> Iterator[Problem]:
    location = draft.stack.location
    if not re.fullmatch(r"[a-z][a-z0-9]+", location):
        short = re.sub(r"[^a-z0-9]", "", location.lower())
        yield Problem(
            ("location",),
            f"{draft.shown(location, 'location')} is no region's short name; allowed: lower-case letters and "
            f"digits, as westeurope. Use {short or 'such a name'}.",
        )


def _cluster(draft: Draft) -> Iterator[Problem]:
    cluster = draft.stack.cluster
    if cluster.private and cluster.authorized_ip_ranges:
        yield Problem(
            ("cluster", "authorizedIpRanges"),
            f"{len(cluster.authorized_ip_ranges)} ranges with a private cluster; allowed: none, AKS has them for "
            f"public API servers only. Remove authorizedIpRanges, or private.",
            needs=(("cluster", "private"),),
        )
    for zone, count in Counter(cluster.system_pool.zones).items():
        if count > 1:
            yield Problem(
                ("cluster", "systemPool", "zones"),
                f"names zone {zone} {count} times; allowed: each once. Remove the others.",
            )
    deployers = tuple(one.object_id for one in cluster.deployers)
    for field, entries in (("administrators", cluster.administrators), ("deployers", deployers)):
        for one, count in Counter(entry.lower() for entry in entries).items():
            if count > 1:
                yield Problem(("cluster", field), f"names {one} {count} times; allowed: each once. Remove the others.")


def _upgrades(draft: Draft) -> Iterator[Problem]:
    upgrades = draft.stack.cluster.upgrades
    path: PathParts = ("cluster", "upgrades")
    if draft.stack.autoscaler.mode == "deployment":
        wanted = (("cluster", upgrades.cluster, "none"), ("nodeOs", upgrades.node_os, "None"))
        for field, value, off in wanted:
            if value not in (None, off):
                yield Problem(
                    (*path, field),
                    f"{value} in deployment mode; allowed: {off}, as AKS scales pools back to their stored count "
                    f"when it upgrades by itself. Leave it out, or set trainyard:autoscaler.mode to managed.",
                    needs=(("autoscaler", "mode"),),
                )
    elif upgrades.cluster == "node-image" and upgrades.node_os not in (None, "NodeImage"):
        yield Problem(
            (*path, "nodeOs"),
            f"{upgrades.node_os} with the cluster's channel node-image; allowed: NodeImage. Use it, or another "
            f"channel.",
            needs=((*path, "cluster"), ("autoscaler", "mode")),
        )


def _share(draft: Draft, name: str, share: Share) -> Iterator[Problem]:
    path: PathParts = ("storage", "files", "shares", name)
    if not _SHARE_NAME.match(name):
        yield Problem(
            path,
            f"{draft.shown(name)} cannot name a share; allowed: 3 to 63 lower-case letters, digits and single hyphens, "
            f"a letter or digit first and last. Rename it.",
        )
    if share.protocol == "nfs" and share.tier == "standard":
        yield Problem(
            (*path, "protocol"),
            "nfs on the standard tier; allowed: smb, Azure has NFS on SSD only. "
            "Set tier to premium, or protocol to smb.",
            needs=((*path, "tier"),),
        )
    smallest = PROVISIONED_SMALLEST_GIB if share.has_performance else PREMIUM_SMALLEST_GIB
    if share.tier == "premium" and share.size_gib < smallest:
        yield Problem(
            (*path, "sizeGib"),
            f"{share.size_gib} on the premium tier; allowed: {smallest} to 102400. "
            f"Raise it to {smallest}, or set tier to standard.",
            needs=((*path, "tier"), (*path, "provisionedIops"), (*path, "provisionedMibps")),
        )
    if share.tier == "standard":
        for field, value in (
            ("provisionedIops", share.provisioned_iops),
            ("provisionedMibps", share.provisioned_mibps),
        ):
            if value is not None:
                yield Problem(
                    (*path, field),
                    f"{value} on the standard tier; allowed: none, only premium shares take it. "
                    f"Set tier to premium, or remove {field}.",
                    needs=((*path, "tier"),),
                )


def _provisioned_accounts(shares: Mapping[str, Share]) -> Iterator[Problem]:
    """Shares of one protocol with IOPS of their own share an account, and its limits."""
    for protocol in ("smb", "nfs"):
        ours = {
            name: share
            for name, share in shares.items()
            if share.has_performance and share.protocol == protocol and share.tier == "premium"
        }
        needs = tuple(("storage", "files", "shares", name) for name in ours)
        totals = {
            "provisionedIops": (sum(_iops(share) for share in ours.values()), ACCOUNT_IOPS, "IOPS"),
            "provisionedMibps": (sum(_mibps(share) for share in ours.values()), ACCOUNT_MIBPS, "MiB/s"),
        }
        for field, (total, limit, unit) in totals.items():
            if len(ours) > 1 and total > limit:
                yield Problem(
                    ("storage", "files", "shares"),
                    f"{', '.join(ours)} have {total} {unit} together; allowed: {limit}, which is what Azure gives the "
                    f"one account that premium {protocol} shares with IOPS of their own lie in. Lower {field}.",
                    needs=needs,
                )


def _iops(share: Share) -> int:
    """What is bought, or what Azure recommends: 3,000 and one a GiB ("Understanding Azure Files billing")."""
    return share.provisioned_iops or min(3000 + share.size_gib, ACCOUNT_IOPS)


def _mibps(share: Share) -> int:
    """What is bought, or what Azure recommends: 100 and a tenth a GiB."""
    return share.provisioned_mibps or min(100 + -(-share.size_gib // 10), ACCOUNT_MIBPS)


def _tags(
    draft: Draft, path: PathParts, tags: Mapping[str, str], above: Mapping[str, str] | None = None
) -> Iterator[Problem]:
    """Azure's rules for tags: names know no case, and some prefixes belong to somebody."""
    seen = {name.lower(): name for name in above or {}}
    for name, value in tags.items():
        lower = name.lower()
        if not name or len(name) > 512 or _TAG_FORBIDDEN.search(name):
            yield Problem(
                (*path, name),
                f"{draft.shown(name)} cannot name a tag; allowed: 1 to 512 characters without < > % & \\ ? /. "
                f"Rename it.",
            )
        if lower in _TAG_RESERVED or lower.startswith(_TAG_RESERVED_PREFIXES):
            yield Problem(
                (*path, name),
                f"{draft.shown(name)} is reserved by Azure, the autoscaler or this platform; allowed: names that are "
                f"none of {', '.join(_TAG_RESERVED)} and do not begin with "
                f"{', '.join(_TAG_RESERVED_PREFIXES)}. Rename it.",
            )
        if len(value) > 256:
            yield Problem((*path, name), f"has {len(value)} characters; allowed: 256 in a tag's value. Shorten it.")
        if seen.get(lower, name) != name:
            yield Problem(
                (*path, name),
                f"{draft.shown(name)} and {draft.shown(seen[lower])} differ in case only; allowed: names that differ "
                f"otherwise too, Azure's tags know no case. Rename one.",
            )
        seen.setdefault(lower, name)


def _replacement(draft: Draft) -> Iterator[Problem]:
    pools = list(draft.stack.pools)
    for index, name in enumerate(draft.stack.allow_replacement):
        if name not in pools:
            near = nearest(name, pools)
            yield Problem(
                ("allowReplacement", index),
                f"{draft.shown(name)} names no pool; allowed: {', '.join(pools)}. "
                f"{f'Did you mean {near}?' if near else 'Remove it.'}",
                needs=(("pools", name),),
            )
