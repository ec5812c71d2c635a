"""Who may do what to the cluster, its machines and its images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy.model import Finding, Resource, Rule, Settings, each, required
from policy.network import is_anywhere
from policy.stack import CLUSTER, Pool, StackView

_REGISTRY = "containerregistry:Registry"


def _is_true(value: Any) -> bool:
    return value is True


def _is_false(value: Any) -> bool:
    return value is not True


def _entra(cluster: Resource, _settings: Settings) -> Iterator[str]:
    profile = cluster.properties.section("aadProfile")
    if not profile or profile.flag("managed") is not True:
        yield "aadProfile.managed: users do not sign in through Entra ID. Set aadProfile.managed to true."
    elif profile.flag("enableAzureRBAC") is not True:
        yield "aadProfile.enableAzureRBAC: rights in Kubernetes are not Azure roles. Set it to true."


def _api_server(cluster: Resource, _settings: Settings) -> Iterator[str]:
    access = cluster.properties.section("apiServerAccessProfile")
    if access.flag("enablePrivateCluster") is True:
        return
    ranges = access.texts("authorizedIPRanges")
    if not ranges or any(is_anywhere(one) for one in ranges):
        yield (
            "apiServerAccessProfile: the whole internet reaches the API server. Set authorizedIPRanges, or "
            "enablePrivateCluster to true."
        )


def _identity(cluster: Resource, _settings: Settings) -> Iterator[str]:
    kind = cluster.properties.text("identity.type")
    client = cluster.properties.text("servicePrincipalProfile.clientId")
    if kind in {None, "None"} or client not in {None, "msi"}:
        yield (
            "identity: the cluster signs in with a secret that expires. Set identity.type to UserAssigned or "
            "SystemAssigned, and no servicePrincipalProfile."
        )


def _workload_identity(cluster: Resource, _settings: Settings) -> Iterator[str]:
    properties = cluster.properties
    if properties.flag("podIdentityProfile.enabled") is True:
        yield "podIdentityProfile.enabled: pod identity is retired. Set it to false and use workload identity."
    issuer = properties.flag("oidcIssuerProfile.enabled") is True
    if properties.flag("securityProfile.workloadIdentity.enabled") is not True or not issuer:
        yield ("securityProfile.workloadIdentity: pods need secrets to reach Azure. Enable it and oidcIssuerProfile.")


def _add_ons(cluster: Resource, _settings: Settings) -> Iterator[str]:
    for name, why in (
        ("httpApplicationRouting", "is retired and publishes services without authentication"),
        ("kubeDashboard", "shows the cluster with the rights of its own account"),
    ):
        if cluster.properties.flag(f"addonProfiles.{name}.enabled") is True:
            yield f"addonProfiles.{name}: the add-on {why}. Set enabled to false."


def _host_encryption(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        if pool.properties.flag("enableEncryptionAtHost") is not True:
            yield Finding(
                f"{pool.label}: enableEncryptionAtHost is not true, so temporary disks and caches of its machines are "
                "not encrypted. Set it; the feature must be registered.",
                pool.urn,
            )

    return each(stack.pools, judge)


def _public_addresses(stack: StackView, _settings: Settings) -> Iterator[Finding]:
    def judge(pool: Pool) -> Iterator[Finding]:
        if pool.properties.flag("enableNodePublicIP") is True:
            yield Finding(
                f"{pool.label}: enableNodePublicIP gives every machine an address on the internet. Set it to false.",
                pool.urn,
            )

    return each(stack.pools, judge)


RULES = (
    Rule(
        name="aks-no-local-accounts",
        title="The cluster has no local accounts.",
        why="A local account's certificate is full administration without a name, and cannot be taken back.",
        fix="Set disableLocalAccounts to true; people and pipelines sign in through Entra ID.",
        severity="high",
        kinds=(CLUSTER,),
        follows=(
            "Azure.AKS.LocalAccounts",
            "CKV_AZURE_141",
            "APRL ca324d71-54b0-4a3e-b9e4-10e767daa9fc",
        ),
        check=required("disableLocalAccounts", _is_true, "local accounts are on: set it to true"),
    ),
    Rule(
        name="aks-entra-rbac",
        title="People sign in to Kubernetes through Entra ID, with Azure roles.",
        why="Otherwise rights in the cluster live apart from those in Azure, and outlive their owners.",
        fix="Set aadProfile.managed and aadProfile.enableAzureRBAC to true.",
        severity="high",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.ManagedAAD", "Azure.AKS.AzureRBAC", "CIS AKS 5.5.1", "CIS AKS 5.5.2"),
        check=_entra,
    ),
    Rule(
        name="aks-kubernetes-rbac",
        title="Kubernetes checks rights.",
        why="Without RBAC every pod's account may do everything.",
        fix="Set enableRBAC to true; it is AKS's default, and cannot be changed later.",
        severity="critical",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.UseRBAC", "CKV_AZURE_5"),
        check=required("enableRBAC", _is_true, "rights are not checked: set it to true", absent=True),
    ),
    Rule(
        name="aks-managed-identity",
        title="The cluster signs in to Azure with a managed identity.",
        why="A service principal's secret expires, and with it scaling, volumes and load balancers.",
        fix="Set identity.type to UserAssigned or SystemAssigned.",
        severity="high",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.ManagedIdentity",),
        check=_identity,
    ),
    Rule(
        name="aks-api-server-restricted",
        title="The API server is not open to the whole internet.",
        why="Everybody may try every flaw of the API server, and every leaked token works from anywhere.",
        fix="Set apiServerAccessProfile.authorizedIPRanges, or make the cluster private.",
        severity="high",
        level="advisory",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.AuthorizedIPs", "CKV_AZURE_6", "CKV_AZURE_115", "CIS AKS 5.4.1", "CIS AKS 5.4.2"),
        check=_api_server,
    ),
    Rule(
        name="aks-workload-identity",
        title="Pods reach Azure with workload identity, not with secrets or pod identity.",
        why="Training jobs read data and push images; a secret in a pod is a secret on every machine it ran on.",
        fix="Enable securityProfile.workloadIdentity and oidcIssuerProfile; disable podIdentityProfile.",
        severity="medium",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.PodIdentity", "CIS AKS 5.2.1"),
        check=_workload_identity,
    ),
    Rule(
        name="aks-no-risky-add-ons",
        title="No add-on publishes services or a dashboard by itself.",
        why="HTTP application routing and the Kubernetes dashboard are retired ways in.",
        fix="Disable the add-on.",
        severity="medium",
        kinds=(CLUSTER,),
        follows=("Azure.AKS.HttpAppRouting", "CKV_AZURE_8"),
        check=_add_ons,
    ),
    Rule(
        name="aks-encryption-at-host",
        title="Machines encrypt their temporary disks and caches.",
        why="Training data is copied to local disks, which Azure's own encryption at rest does not cover otherwise.",
        fix="Register Microsoft.Compute/EncryptionAtHost and set enableEncryptionAtHost on every pool.",
        severity="low",
        level="disabled",
        check=_host_encryption,
        follows=("CKV_AZURE_227",),
    ),
    Rule(
        name="aks-no-node-public-ip",
        title="Machines have no public addresses.",
        why="A GPU machine on the internet is found within minutes, and its pods' host ports with it.",
        fix="Set enableNodePublicIP to false; egress goes through the NAT gateway.",
        severity="high",
        check=_public_addresses,
        follows=("CKV_AZURE_143", "CIS AKS 5.4.3"),
    ),
    Rule(
        name="acr-no-admin-user",
        title="The container registry has no admin user.",
        why="It is one shared password that may push any image that the cluster will run.",
        fix="Set adminUserEnabled to false; pull with the nodes' identity.",
        severity="high",
        kinds=(_REGISTRY,),
        follows=("Azure.ACR.AdminUser", "CKV_AZURE_137", "CIS AKS 5.1.2"),
        check=required("adminUserEnabled", _is_false, "the admin user is on: set it to false"),
    ),
    Rule(
        name="acr-no-anonymous-pull",
        title="The container registry wants a sign-in for pulls.",
        why="Images carry code, and often more than was meant.",
        fix="Set anonymousPullEnabled to false.",
        severity="medium",
        kinds=(_REGISTRY,),
        follows=("Azure.ACR.AnonymousAccess", "CKV_AZURE_138", "APRL 03f4a7d8-c5b4-7842-8e6e-14997a34842b"),
        check=required("anonymousPullEnabled", _is_false, "anybody may pull: set it to false"),
    ),
)
