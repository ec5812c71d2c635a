"""The document of a managed cluster: what a client's body becomes with AKS's defaults and computed values."""

from __future__ import annotations

import copy
import hashlib
import uuid
from typing import Any, cast

from sandbox.azure import kubernetes_versions as versions
from sandbox.azure.behaviour import Body, Context
from sandbox.azure.cluster_rules import CREATE_ONLY, at
from sandbox.azure.container_service import mapping, text
from sandbox.azure.store import Resource

SCALER_DEFAULTS = {
    "balance-similar-node-groups": "false",
    "daemonset-eviction-for-empty-nodes": False,
    "daemonset-eviction-for-occupied-nodes": True,
    "expander": "random",
    "ignore-daemonsets-utilization": False,
    "max-empty-bulk-delete": "10",
    "max-graceful-termination-sec": "600",
    "max-node-provision-time": "15m",
    "max-total-unready-percentage": "45",
    "new-pod-scale-up-delay": "0s",
    "ok-total-unready-count": "3",
    "scale-down-delay-after-add": "10m",
    "scale-down-delay-after-delete": "10s",
    "scale-down-delay-after-failure": "3m",
    "scale-down-unneeded-time": "10m",
    "scale-down-unready-time": "20m",
    "scale-down-utilization-threshold": "0.5",
    "scan-interval": "10s",
    "skip-nodes-with-local-storage": "false",
    "skip-nodes-with-system-pods": "true",
}


def merged(body: Body, old: Body | None) -> Body:
    """The properties of a PUT on top of what is stored: create-only values and whole profiles left out stay."""
    new = {key: value for key, value in copy.deepcopy(body).items() if value is not None}
    if old is None:
        return new
    kept_profiles = ("networkProfile", "storageProfile", "autoUpgradeProfile", "apiServerAccessProfile")
    computed = ("identityProfile", "oidcIssuerProfile", "autoScalerProfile")
    for key in (*kept_profiles, *computed, "kubernetesVersion", "nodeResourceGroup", "supportPlan", "enableRBAC"):
        if key not in new and key in old:
            new[key] = copy.deepcopy(old[key])
    for path in CREATE_ONLY:
        value = at(old, path)
        if value is not None and at(new, path) is None:
            _set(new, path, value)
    return new


def _set(properties: Body, path: str, value: Any) -> None:
    *steps, last = path.split(".")
    node = properties
    for step in steps:
        node = cast(Body, node.setdefault(step, {}))
    node[last] = value


def network_profile(given: Body) -> Body:
    """A network profile with AKS's defaults."""
    profile: Body = {key: value for key, value in given.items() if value is not None}
    profile.setdefault("networkPlugin", "azure")
    profile.setdefault("networkDataplane", "azure")
    profile.setdefault("networkPolicy", "none")
    profile.setdefault("loadBalancerSku", "standard")
    profile.setdefault("outboundType", "loadBalancer")
    profile.setdefault("serviceCidr", "10.0.0.0/16")
    profile.setdefault("dnsServiceIP", "10.0.0.10")
    if profile.get("networkPluginMode") == "overlay" or profile["networkPlugin"] == "kubenet":
        profile.setdefault("podCidr", "10.244.0.0/16")
    if profile.get("podCidr"):
        profile["podCidrs"] = [profile["podCidr"]]
    profile["serviceCidrs"] = [profile["serviceCidr"]]
    profile.setdefault("ipFamilies", ["IPv4"])
    return profile


def default_node_group(resource_group: str, name: str, location: str) -> str:
    """`MC_rg_cluster_westeurope`, as AKS cuts it."""
    return f"MC_{resource_group}_{name}_{location}"[:80]


def new_state(cluster_id: str, principal_id: str, now: float) -> Body:
    """What the sandbox keeps of a new cluster: its identity, and the digits and characters in its names."""
    uid = uuid.uuid4().hex
    digits = int(hashlib.sha256(f"{cluster_id.lower()}{uid}".encode()).hexdigest(), 16) % 90_000_000 + 10_000_000
    return {"principalId": principal_id, "suffix": str(digits), "uid": uid[:24], "dns": uid[24:], "madeAt": now}


def completed(ctx: Context, properties: Body, old: Body | None, kept: Body, *, location: str, name: str) -> Body:
    """The properties as AKS keeps them, the pools and the nodes' identity not among them.

    Args:
        properties: what `merged` gives, checked.
        kept: what the sandbox keeps of the cluster.
    """
    new = copy.deepcopy(properties)
    new.pop("agentPoolProfiles", None)
    requested = text(new.get("kubernetesVersion")) or None
    if old and requested == old["kubernetesVersion"]:
        current = old["currentKubernetesVersion"]
    else:
        current = versions.resolve(
            requested, cluster=name, support_plan=text(new.get("supportPlan")) or versions.OFFICIAL
        )
    access = mapping(new.get("apiServerAccessProfile"))
    issuer = mapping(new.get("oidcIssuerProfile"))
    if issuer.get("enabled"):
        issuer["issuerURL"] = ctx.home.api_server_url
    sign_in = cast("Body | None", new.get("aadProfile"))
    if sign_in is not None:
        sign_in.setdefault("tenantID", ctx.config.tenant_id)
    prefix = text(new.get("dnsPrefix") or new.get("fqdnSubdomain"))
    fqdn = f"{prefix}-{kept['dns']}.hcp.{location}.azmk8s.io"
    private = bool(access.get("enablePrivateCluster"))
    if private:
        new["privateFQDN"] = (
            f"{prefix}-{kept['dns']}.{uuid.UUID(int=int(kept['uid'], 16))}.privatelink.{location}.azmk8s.io"
        )
        access.setdefault("privateDNSZone", "system")
        access.setdefault("enablePrivateClusterPublicFQDN", True)
    if not private or access["enablePrivateClusterPublicFQDN"]:
        new["fqdn"] = fqdn
    else:
        new.pop("fqdn", None)
    upgrades: Body = {"nodeOSUpgradeChannel": "NodeImage", **mapping(new.get("autoUpgradeProfile"))}
    drivers = mapping(new.get("storageProfile"))
    return {
        "supportPlan": versions.OFFICIAL,
        "enableRBAC": True,
        "disableLocalAccounts": False,
        "servicePrincipalProfile": {"clientId": "msi"},
        "metricsProfile": {"costAnalysis": {"enabled": False}},
        "nodeProvisioningProfile": {"mode": "Manual", "defaultNodePools": "Auto"},
        "bootstrapProfile": {"artifactSource": "Direct"},
        "securityProfile": {},
        **new,
        "apiServerAccessProfile": {"enablePrivateCluster": False, **access} if access else None,
        "oidcIssuerProfile": issuer or {"enabled": False},
        "networkProfile": network_profile(mapping(new.get("networkProfile"))),
        "autoUpgradeProfile": upgrades,
        "storageProfile": {
            "diskCSIDriver": {"enabled": True},
            "fileCSIDriver": {"enabled": True},
            "snapshotController": {"enabled": True},
            **{key: value for key, value in drivers.items() if value is not None},
        },
        "kubernetesVersion": requested or current,
        "currentKubernetesVersion": current,
        "azurePortalFQDN": f"{prefix}-{kept['dns']}.portal.hcp.{location}.azmk8s.io",
        "maxAgentPools": 100,
        "powerState": {"code": "Running"},
        "resourceUID": kept["uid"],
    }


def kubelet_identity(cluster_id: str, name: str, group_id: str, location: str, *, tenant: str, now: float) -> Resource:
    """The identity that AKS makes for the nodes, in the machines' group."""
    identifier = f"{group_id}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}-agentpool"
    seed = f"{cluster_id.lower()}/{now}"
    body: Body = {
        "id": identifier,
        "name": f"{name}-agentpool",
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "location": location,
        "tags": {},
        "properties": {
            "tenantId": tenant,
            "principalId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/principal")),
            "clientId": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}/client")),
        },
    }
    return Resource(identifier, body["type"], body["name"], body, now, now)
