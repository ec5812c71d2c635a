"""Whether a region sells this subscription what the pools ask for, and AKS takes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from capacity.catalogue import load_catalogue
from policy.facts.azure import question
from policy.facts.facts import Offer, alternatives
from policy.model import Finding, Rule, Setting, Settings, UnverifiedError, each
from policy.stack import Cluster, Pool, StackView, region_name

WHOLE_MACHINE_GPUS = 8
"""GPUs of a machine that training across machines fills."""

DEFAULT_OS_DISK_GIB = 128
"""AKS's default for sizes of the field's kind (azure-aks-docs `concepts-storage.md`)."""

_Judge = Callable[[Pool, Offer, str], Iterator[str]]


def _allowed(stack: StackView, settings: Settings) -> Iterator[Finding]:
    allowed = [str(one) for one in settings["allowed"]]

    def judge(cluster: Cluster) -> Iterator[Finding]:
        region = cluster.region(stack.facts)
        if region not in allowed:
            urn = cluster.resource.urn if cluster.resource else ""
            yield Finding(f"{region} is not allowed; allowed: {', '.join(allowed)}. Move the stack.", urn)

    if allowed:
        yield from each({pool.cluster.key: pool.cluster for pool in stack.pools}.values(), judge)


def _sold(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    _prepare(stack)

    def judge(pool: Pool) -> Iterator[Finding]:
        region, size = pool.cluster.region(stack.facts), pool.size
        offer = stack.facts.offers(region).get(size.lower())
        if offer is None:
            said = f"{pool.label}: {size} is not sold in {region}."
            yield Finding(f"{said} {_instead(size, region, stack)}", pool.urn)
        elif offer.closed is not None:
            said = f"{pool.label}: {size} is closed to this subscription in {region} ({offer.closed})."
            yield Finding(f"{said} Ask Azure's support to open it, or: {_instead(size, region, stack)}", pool.urn)

    return each(stack.pools, judge)


def _accepted(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    _prepare(stack)

    def judge(pool: Pool) -> Iterator[Finding]:
        region, size = pool.cluster.region(stack.facts), pool.size
        if size.lower() not in stack.facts.aks_sizes(region):
            said = f"{pool.label}: AKS takes no {size} for nodes in {region}, though Azure may sell it."
            yield Finding(f"{said} {_instead(size, region, stack)}", pool.urn)

    return each(stack.pools, judge)


def _judged(judge: _Judge) -> Callable[[StackView, Settings], Iterator[Finding]]:
    """A rule over every pool whose size is on offer; what is not is another rule's."""

    def check(stack: StackView, _settings: Settings) -> Iterator[Finding]:
        _prepare(stack)

        def one(pool: Pool) -> Iterator[Finding]:
            region = pool.cluster.region(stack.facts)
            offer = stack.facts.offers(region).get(pool.size.lower())
            for message in judge(pool, offer, region) if offer is not None else ():
                yield Finding(f"{pool.label}: {message}", pool.urn)

        return each(stack.pools, one)

    return check


def _zones(pool: Pool, offer: Offer, region: str) -> Iterator[str]:
    missing = sorted(set(pool.properties.texts("availabilityZones")) - set(offer.zones))
    if missing:
        yield (
            f"{offer.name} is not to be had in zone {', '.join(missing)} of {region} by this subscription; it is in "
            f"{', '.join(offer.zones) or 'none'}. Use those, or no zones."
        )


def _spot(pool: Pool, offer: Offer, region: str) -> Iterator[str]:
    if pool.spot and not _can(offer, "LowPriorityCapable", pool):
        yield f"{offer.name} is not sold as spot in {region}. Use another size, or no spot."


def _ephemeral(pool: Pool, offer: Offer, _region: str) -> Iterator[str]:
    if pool.properties.text("osDiskType") != "Ephemeral":
        return
    room, wanted = offer.ephemeral_gib, pool.properties.number("osDiskSizeGB") or DEFAULT_OS_DISK_GIB
    if room is None:
        raise UnverifiedError(f"{pool.label}: Azure does not say what room {offer.name} has for an ephemeral disk")
    if wanted > room:
        yield (
            f"{offer.name} has room for an ephemeral OS disk of {room} GiB, and {wanted} are asked for. Lower "
            "osDiskSizeGB, or set osDiskType to Managed."
        )


def _encryption(pool: Pool, offer: Offer, _region: str) -> Iterator[str]:
    wanted = pool.properties.flag("enableEncryptionAtHost") is True
    if wanted and not _can(offer, "EncryptionAtHostSupported", pool):
        yield f"{offer.name} cannot encrypt on the host. Use another size, or leave enableEncryptionAtHost out."


def _accelerated(pool: Pool, offer: Offer, _region: str) -> Iterator[str]:
    if not _can(offer, "AcceleratedNetworkingEnabled", pool):
        yield f"{offer.name} has no accelerated networking, and data arrives slowly. Use a size that has."


def _rdma(pool: Pool, offer: Offer, _region: str) -> Iterator[str]:
    """A proximity placement group is asked for where machines exchange gradients."""
    gpus = int(offer.capabilities.get("GPUs", "0"))
    wanted = pool.properties.raw("proximityPlacementGroupID") is not None and gpus >= WHOLE_MACHINE_GPUS
    if wanted and pool.maximum > 1 and not _can(offer, "RdmaEnabled", pool):
        yield (
            f"its {offer.name} machines are kept close together for training across them, but have no RDMA network. "
            "Use an ND size with `r` in its name."
        )


def _can(offer: Offer, capability: str, pool: Pool) -> bool:
    found = offer.can(capability)
    if found is None:
        raise UnverifiedError(f"{pool.label}: Azure does not say whether {offer.name} has {capability}")
    return found


def _prepare(stack: StackView) -> None:
    """Ask for all regions' offers at once."""
    regions = [
        region_name(location)
        for cluster in stack.clusters
        if cluster.resource and isinstance(location := cluster.resource.properties.known("location"), str)
    ]
    stack.facts.prepare(question(kind, one) for one in regions for kind in ("usages", "sizes", "aks-sizes"))


def _instead(size: str, region: str, stack: StackView) -> str:
    known = load_catalogue().size(size)
    if known is None:
        return "Use a size that is offered: `az vm list-skus --location " + region + "`."
    offers = stack.facts.offers(region)
    sizes = [
        one.size
        for one in alternatives(known, region)
        if (offer := offers.get(one.size.lower())) is not None and offer.closed is None
    ][:3]
    regions = [one for one in load_catalogue().regions_of(size) if one != region][:3]
    parts = [f"Sizes like it there: {', '.join(sizes)}."] if sizes else []
    parts += [f"It has a price in {', '.join(regions)}."] if regions else []
    return " ".join(parts) or "Use another size."


RULES = (
    Rule(
        name="region-allowed",
        title="The stack lies in an allowed region.",
        why="Data may have to stay in a country, and reservations and quota are granted by region.",
        fix="Move the stack to one of the allowed regions.",
        severity="high",
        check=_allowed,
        settings=(
            Setting(
                "allowed",
                {
                    "type": "array",
                    "items": {"type": "string", "pattern": "^[a-z0-9]+$"},
                    "default": [],
                    "description": "Regions by their short names, `westeurope`; empty: all.",
                },
            ),
        ),
    ),
    Rule(
        name="size-sold",
        title="Every size is sold in the region, to this subscription.",
        why="The pool fails after the cluster is made: SkuNotAvailable, or NotAvailableForSubscription.",
        fix="Take a size or a region that the message names.",
        severity="critical",
        check=_sold,
    ),
    Rule(
        name="size-in-zones",
        title="Every size is sold in the pool's zones.",
        why="Zones are numbered for each subscription, and GPUs stand in few of them.",
        fix="Use the zones that the message names, or none.",
        severity="high",
        follows=("Azure.AKS.AvailabilityZone",),
        check=_judged(_zones),
    ),
    Rule(
        name="size-accepted-by-aks",
        title="AKS takes every size for nodes.",
        why="AKS refuses some sizes that Azure sells, as those without a driver.",
        fix="Take a size that the message names.",
        severity="critical",
        check=_accepted,
    ),
    Rule(
        name="spot-capable",
        title="Spot pools have sizes that are sold as spot.",
        why="The pool is refused.",
        fix="Use another size, or no spot.",
        severity="high",
        check=_judged(_spot),
    ),
    Rule(
        name="ephemeral-disk-fits",
        title="Ephemeral OS disks fit onto the machine.",
        why="The pool is refused; with a managed disk machines come up more slowly and are billed for it.",
        fix="Lower osDiskSizeGB, or set osDiskType to Managed.",
        severity="high",
        follows=("Azure.AKS.EphemeralOSDisk", "CKV_AZURE_226"),
        check=_judged(_ephemeral),
    ),
    Rule(
        name="host-encryption-capable",
        title="Sizes can encrypt on the host where that is asked for.",
        why="The pool is refused.",
        fix="Use another size, or leave enableEncryptionAtHost out.",
        severity="high",
        check=_judged(_encryption),
    ),
    Rule(
        name="accelerated-networking",
        title="Sizes have accelerated networking.",
        why="Without it every packet goes through the host's CPU, and data arrives late at GPUs.",
        fix="Use a size that has it.",
        severity="medium",
        level="advisory",
        unverified="ignore",
        check=_judged(_accelerated),
    ),
    Rule(
        name="rdma-where-used",
        title="GPU machines that train together have RDMA.",
        why="Gradients over Ethernet leave eight-GPU machines waiting for most of the time.",
        fix="Use an ND size with `r` in its name, and register Microsoft.ContainerService/AKSInfinibandSupport.",
        severity="medium",
        level="advisory",
        check=_judged(_rdma),
    ),
)
