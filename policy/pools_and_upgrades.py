"""How pools live beside each other: system and spot pools, their autoscaler, and upgrades that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator

from capacity.catalogue import is_burstable
from policy.model import Finding, Rule, Setting, Settings, each
from policy.stack import AUTOSCALER_TAG, Cluster, Pool, StackView

_SPOT_KEY = "kubernetes.azure.com/scalesetpriority"
_SPOT_TAINT = f"{_SPOT_KEY}=spot:NoSchedule"


def _spot_pools(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        if not pool.spot:
            return
        if pool.system:
            yield Finding(f"{pool.label}: a system pool cannot be of spot machines. Use regular ones.", pool.urn)
        if pool.properties.get("upgradeSettings.maxSurge") is not None:
            yield Finding(f"{pool.label}: AKS refuses maxSurge on spot pools. Leave upgradeSettings out.", pool.urn)
        has_label = pool.properties.mapping("nodeLabels").get(_SPOT_KEY) == "spot"
        if not has_label or _SPOT_TAINT not in pool.properties.texts("nodeTaints"):
            yield Finding(
                f"{pool.label}: AKS puts the taint {_SPOT_TAINT} and the label {_SPOT_KEY} on spot pools, and a "
                "program that does not declare them cannot update the pool later. Add both.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _system_pool(stack: StackView, settings: Settings) -> Iterator[Finding]:
    def judge(cluster: Cluster) -> Iterator[Finding]:
        if cluster.resource is None:
            return
        pools = [pool for pool in stack.pools if pool.cluster.key == cluster.key and pool.system]
        if not pools:
            yield Finding(f"{cluster.name}: no pool has mode System, and AKS needs one. Add it.", cluster.key)
        for pool in pools:
            count = pool.properties.number("count") or pool.minimum
            if count < int(settings["machines"]):
                yield Finding(
                    f"{pool.label}: {count} machines, fewer than {settings['machines']}: while one is upgraded or "
                    "lost, nothing is scheduled and DNS fails. Set count.",
                    pool.urn,
                )
            if is_burstable(pool.size):
                yield Finding(f"{pool.label}: AKS refuses {pool.size} in system pools. Use another series.", pool.urn)

    return each(stack.clusters, judge)


def _system_isolated(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        taints = pool.properties.texts("nodeTaints")
        if pool.system and not any(one.startswith("CriticalAddonsOnly=true:") for one in taints):
            yield Finding(
                f"{pool.label}: jobs are scheduled beside Kubernetes' own pods and starve them. Add the taint "
                "CriticalAddonsOnly=true:NoSchedule.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _one_autoscaler(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        enabled = str(pool.properties.mapping("tags").get(AUTOSCALER_TAG, "")).lower() == "true"
        if pool.managed and enabled:
            yield Finding(
                f"{pool.label}: AKS's autoscaler and one that goes by tags both scale it, and undo each other. Set "
                "enableAutoScaling to false, or remove the tag cluster-autoscaler-enabled.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _unattended_upgrades(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(cluster: Cluster) -> Iterator[Finding]:
        if cluster.resource is None:
            return
        own = [p.label for p in stack.pools if p.cluster.key == cluster.key and p.self_hosted and not p.managed]
        profile = cluster.resource.properties.section("autoUpgradeProfile")
        channels = {
            "upgradeChannel": profile.text("upgradeChannel") or "none",
            "nodeOSUpgradeChannel": profile.text("nodeOSUpgradeChannel") or "NodeImage",
        }
        active = [f"{name} {value}" for name, value in channels.items() if value.lower() not in {"none"}]
        if own and active:
            yield Finding(
                f"{cluster.name}: {', '.join(active)} upgrades by itself, which brings pools that an autoscaler of the "
                f"stack's own scales ({', '.join(own[:3])}) back to their stored count, jobs or not. Set both to none.",
                cluster.key,
            )

    return each(stack.clusters, judge)


def _maintenance_window(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    windows = stack.of("containerservice:MaintenanceConfiguration")

    def judge(cluster: Cluster) -> Iterator[Finding]:
        profile = cluster.resource.properties.section("autoUpgradeProfile") if cluster.resource else None
        channel = (profile.text("upgradeChannel") if profile is not None else None) or "none"
        if channel != "none" and not windows:
            yield Finding(
                f"{cluster.name}: upgradeChannel {channel} drains machines at any hour. Add a MaintenanceConfiguration "
                "aksManagedAutoUpgradeSchedule.",
                cluster.key,
            )

    return each(stack.clusters, judge)


def _tier(stack: StackView, settings: Settings) -> Iterator[Finding]:
    def judge(cluster: Cluster) -> Iterator[Finding]:
        if cluster.resource is None:
            return
        tier = cluster.resource.properties.text("sku.tier") or "Free"
        nodes = sum(pool.maximum for pool in stack.pools if pool.cluster.key == cluster.key)
        if tier == "Free" and nodes > int(settings["freeNodes"]):
            yield Finding(
                f"{cluster.name}: tier Free with up to {nodes} machines, more than {settings['freeNodes']}: its API "
                "server is small and has no uptime guarantee. Set sku.tier to Standard.",
                cluster.key,
            )

    return each(stack.clusters, judge)


def _number(name: str, default: int, description: str, minimum: int = 0) -> Setting:
    return Setting(name, {"type": "integer", "minimum": minimum, "default": default, "description": description})


RULES = (
    Rule(
        name="aks-spot-pools",
        title="Spot pools declare what AKS adds to them, and no surge.",
        why="AKS refuses a surge on spot, and later updates of a pool without its own taint and label.",
        fix="Declare the spot taint and label, and leave upgradeSettings out.",
        severity="high",
        check=_spot_pools,
    ),
    Rule(
        name="aks-system-pool",
        title="There is a system pool that survives the loss of a machine.",
        why="DNS, metrics and the autoscaler itself run there.",
        fix="Give the system pool two machines or more, of no B series.",
        severity="high",
        level="advisory",
        follows=("Azure.AKS.MinNodeCount", "APRL 7f7ae535-a5ba-4665-b7e0-c451dbdda01f"),
        settings=(_number("machines", 2, "Machines at least.", 1),),
        check=_system_pool,
    ),
    Rule(
        name="aks-system-pool-isolated",
        title="Jobs do not run in the system pool.",
        why="A job that takes all memory there takes DNS and the autoscaler along.",
        fix="Taint it: CriticalAddonsOnly=true:NoSchedule.",
        severity="medium",
        level="advisory",
        follows=("CKV_AZURE_232", "APRL 5ee083cd-6ac3-4a83-8913-9549dd36cf56"),
        check=_system_isolated,
    ),
    Rule(
        name="aks-one-autoscaler",
        title="No pool has two autoscalers.",
        why="Each undoes what the other did, machines with jobs among it.",
        fix="Use AKS's own, or the one that goes by tags.",
        severity="critical",
        check=_one_autoscaler,
    ),
    Rule(
        name="aks-unattended-upgrades",
        title="AKS upgrades nothing by itself where the stack has an autoscaler of its own.",
        why="An upgrade drains machines and sets pools back to their stored count (kubernetes/autoscaler#7943).",
        fix="Set autoUpgradeProfile's channels to none, and upgrade when no job runs.",
        severity="high",
        check=_unattended_upgrades,
    ),
    Rule(
        name="aks-maintenance-window",
        title="Automatic upgrades have a window.",
        why="Otherwise machines are drained in the middle of a training run.",
        fix="Add a MaintenanceConfiguration.",
        severity="medium",
        follows=("Azure.AKS.MaintenanceWindow",),
        check=_maintenance_window,
    ),
    Rule(
        name="aks-paid-tier",
        title="Large clusters have an API server to match.",
        why="The free tier's API server is for tests, and slows down when hundreds of pods come at once.",
        fix="Set sku.tier to Standard.",
        severity="medium",
        level="advisory",
        follows=("Azure.AKS.UptimeSLA", "CKV_AZURE_170", "APRL 0611251f-e70f-4243-8ddd-cfe894bec2e7"),
        settings=(_number("freeNodes", 10, "Machines at most with the free tier."),),
        check=_tier,
    ),
)
