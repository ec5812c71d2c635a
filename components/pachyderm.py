"""Pachyderm: versioned data and pipelines, on a container of ours and a PostgreSQL of its own.

Owns the chart's release, its namespace and who may reach it, the secrets it is given, the database and the identity it
reads and writes its container with. Does not own the container, nor a licence.

No password is a default and none is in the stack file: the chart's own ones (`insecure-user-password`, a mock identity
provider with admin and password) are all replaced by random ones, made when the secrets are first deployed. Later
deployments leave them as they are, so nothing is rotated by surprise; the state holds them encrypted.

Who may use it: Pachyderm 2.11 has authentication with a licence only (`licenseSecret`), and without one whoever reaches
pachd may do everything. So nothing is exposed outside the cluster, and inside it a network policy admits the namespace
itself and namespaces labelled `trainyard/pachyderm=client`; people come through `kubectl port-forward`. With a
licence, `kubectl get secret -n pachyderm pachyderm-access` has the root token for `pachctl auth use-auth-token`, and
the one user who can log in by password has no rights until root gives some; for people, put connectors of your own
into `upstream-idps`.

Azure: no key. pachd signs in by workload identity: the chart gives go-cdk an account name and an empty key, and go-cdk
then asks Azure's default credential chain. Pipelines' pods are made by pachd and carry the label for workload identity
only if the pipeline's spec says so; without it they sign in as the nodes, which may read and write flat containers.

Chart values and templates: pachyderm/pachyderm `etc/helm/pachyderm`; go-cdk v0.27.0 `blob/azureblob`; read 2026-11-23.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
import yaml
from pulumi_azure_native import managedidentity
from pulumi_kubernetes import core, meta, networking

from capacity.pools import PoolPlan
from components.blob_storage import MadeContainer
from components.cluster import Cluster
from components.data_group import DataGroup
from components.environment import Environment
from components.pachyderm_database import (
    DATABASE,
    DISK_CLASS,
    HOST,
    PASSWORD_KEY,
    PORT,
    USER,
    PachydermDatabase,
)
from components.roles import STORAGE_BLOB_DATA_CONTRIBUTOR, assign_role, role_id
from stacks.storage_settings import Pachyderm as Settings

NAMESPACE = "pachyderm"
CHART, VERSION, REPOSITORY = "pachyderm", "2.11.6", "https://helm.pachyderm.com"
ACCESS = "pachyderm-access"
CLIENT_LABEL = "trainyard/pachyderm"
SERVICE_ACCOUNTS = ("pachyderm", "pachyderm-worker")
_USE_WORKLOAD_IDENTITY = {"azure.workload.identity/use": "true"}


class Pachyderm(pulumi.ComponentResource):
    """One Pachyderm.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the platform's group, for the identity.
        settings: container and the database's size.
        container: where Pachyderm keeps its data; flat, over fuse2.
        pools: the stack's pools: the database runs on a storage pool where there is one.
        data: the group that disks lie in.
        cluster: whose tokens Azure trusts.
        provider: the cluster.
    """

    kept: list[str]
    """What stays where data is kept, in words."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        settings: Settings,
        container: MadeContainer,
        pools: Mapping[str, PoolPlan],
        data: DataGroup,
        cluster: Cluster,
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Pachyderm", name, None, opts)
        self._label = name
        self._environment = environment
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider)
        namespace = core.v1.Namespace(name, metadata={"name": NAMESPACE}, opts=self._objects)
        password = self._secret("postgres", HOST, {PASSWORD_KEY: secrets.token_urlsafe(32)}, namespace)
        access = self._secret(
            "access",
            ACCESS,
            {
                "root-token": secrets.token_urlsafe(32),
                "pachd-oauth-client-secret": secrets.token_urlsafe(32),
                "OAUTH_CLIENT_SECRET": secrets.token_urlsafe(32),
                "enterprise-secret": secrets.token_urlsafe(32),
                "upstream-idps": _identity_providers(secrets.token_urlsafe(32)),
            },
            namespace,
        )
        policy = self._closed(namespace)
        selector, tolerations = database_place(pools)
        database = PachydermDatabase(
            f"{name}-database",
            namespace=namespace.metadata.name.apply(str),
            size_gib=settings.database_gib,
            password=password,
            node_selector=selector,
            tolerations=tolerations,
            data=data,
            provider=provider,
            opts=pulumi.ResourceOptions(parent=self),
        )
        identity, rights = self._azure_identity(resource_group, cluster, container)
        kubernetes.helm.v3.Release(
            name,
            name=CHART,
            chart=CHART,
            version=VERSION,
            namespace=NAMESPACE,
            repository_opts=kubernetes.helm.v3.RepositoryOptsArgs(repo=REPOSITORY),
            values=chart_values(
                account_name=container.account_name,
                container=container.name,
                client_id=identity.client_id,
                deployment_id=environment.stable_uuid("pachyderm", "deployment").replace("-", ""),
                license_secret=settings.license_secret,
            ),
            timeout=1200,
            opts=pulumi.ResourceOptions.merge(
                self._objects,
                pulumi.ResourceOptions(
                    depends_on=[policy, database.ready, access, *rights, *container.ready],
                    custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m", delete="15m"),
                ),
            ),
        )
        self.kept = [f"the disks of Pachyderm's database and etcd in {data.group_name}"]
        self.register_outputs({})

    def _secret(
        self, what: str, secret_name: str, values: Mapping[str, str], namespace: core.v1.Namespace
    ) -> core.v1.Secret:
        return core.v1.Secret(
            f"{self._label}-{what}",
            metadata={"name": secret_name, "namespace": namespace.metadata.name},
            # The provider turns stringData into data, and what is ignored must be called as the state has it.
            data={
                key: pulumi.Output.secret(base64.b64encode(value.encode()).decode()) for key, value in values.items()
            },
            # Each run makes new random texts; only those of the first are ever used.
            opts=pulumi.ResourceOptions.merge(self._objects, pulumi.ResourceOptions(ignore_changes=["data"])),
        )

    def _closed(self, namespace: core.v1.Namespace) -> networking.v1.NetworkPolicy:
        selector = meta.v1.LabelSelectorArgs
        peers = [
            networking.v1.NetworkPolicyPeerArgs(pod_selector=selector()),
            networking.v1.NetworkPolicyPeerArgs(namespace_selector=selector(match_labels={CLIENT_LABEL: "client"})),
        ]
        return networking.v1.NetworkPolicy(
            self._label,
            metadata={"name": "only-clients", "namespace": namespace.metadata.name},
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=selector(),
                policy_types=["Ingress"],
                ingress=[networking.v1.NetworkPolicyIngressRuleArgs(from_=peers)],
            ),
            opts=self._objects,
        )

    def _azure_identity(
        self, resource_group: pulumi.Input[str], cluster: Cluster, container: MadeContainer
    ) -> tuple[managedidentity.UserAssignedIdentity, list[pulumi.Resource]]:
        environment, child = self._environment, pulumi.ResourceOptions(parent=self)
        identity = managedidentity.UserAssignedIdentity(
            self._label,
            resource_group_name=resource_group,
            resource_name_=f"id-trainyard-{environment.name}-pachyderm",
            location=environment.location,
            tags=environment.tags,
            opts=child,
        )
        credentials: list[pulumi.Resource] = []
        for account in SERVICE_ACCOUNTS:
            # Azure takes one change of an identity's credentials at a time.
            after = pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=list(credentials)))
            credentials.append(
                managedidentity.FederatedIdentityCredential(
                    f"{self._label}-{account}",
                    resource_group_name=resource_group,
                    resource_name_=identity.name,
                    federated_identity_credential_resource_name=account,
                    issuer=cluster.issuer_url,
                    subject=f"system:serviceaccount:{NAMESPACE}:{account}",
                    audiences=["api://AzureADTokenExchange"],
                    opts=after,
                )
            )
        role = assign_role(
            f"{self._label}-container",
            environment=environment,
            role=role_id(environment, STORAGE_BLOB_DATA_CONTRIBUTOR),
            principal_id=identity.principal_id,
            scope=pulumi.Output.concat(container.account_id, "/blobServices/default/containers/", container.name),
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=container.ready)),
        )
        return identity, [*credentials, role]


def database_place(pools: Mapping[str, PoolPlan]) -> tuple[dict[str, str], list[core.v1.TolerationArgs]]:
    """Node labels and tolerations for a pod that holds data: a storage pool's, else those of pools of class cpu."""
    if any(plan.settings.pool_class == "storage" for plan in pools.values()):
        toleration = core.v1.TolerationArgs(key="storage-node", operator="Equal", value="true", effect="NoSchedule")
        return {"trainyard/class": "storage"}, [toleration]
    return {"trainyard/class": "cpu"}, []


def chart_values(
    *,
    account_name: str,
    container: str,
    client_id: pulumi.Input[str],
    deployment_id: str,
    license_secret: str | None,
) -> dict[str, object]:
    """What the chart is given, besides its own defaults.

    Args:
        account_name: the storage account.
        container: in it.
        client_id: of the identity that pachd signs in to Azure as.
        deployment_id: the chart would make a new one at every update.
        license_secret: a Secret with a licence; without one the chart turns authentication off whatever it is told.
    """
    annotations = {"azure.workload.identity/client-id": client_id}
    return {
        "deployTarget": "MICROSOFT",
        "global": {
            "postgresql": {
                "postgresqlHost": f"{HOST}.{NAMESPACE}.svc.cluster.local",
                "postgresqlPort": str(PORT),
                "postgresqlUsername": USER,
                "postgresqlDatabase": DATABASE,
                "identityDatabaseFullNameOverride": "dex",
                "postgresqlAuthType": "scram-sha-256",
                "postgresqlExistingSecretName": HOST,
                "postgresqlExistingSecretKey": PASSWORD_KEY,
                "postgresqlPassword": "",
                "postgresqlPostgresPassword": "",
            }
        },
        "postgresql": {"enabled": False},
        "etcd": {"storageClass": DISK_CLASS, "storageSize": "10Gi"},
        "pachd": {
            "clusterDeploymentID": deployment_id,
            "activateAuth": license_secret is not None,
            **({"enterpriseLicenseKeySecretName": license_secret} if license_secret else {}),
            "enterpriseSecretSecretName": ACCESS,
            "rootTokenSecretName": ACCESS,
            "oauthClientSecretSecretName": ACCESS,
            "lokiDeploy": False,
            "lokiLogging": False,
            "metrics": {"enabled": False},
            "podLabels": _USE_WORKLOAD_IDENTITY,
            "serviceAccount": {"additionalAnnotations": annotations},
            "worker": {"serviceAccount": {"additionalAnnotations": annotations}},
            "storage": {
                "storageURL": f"azblob://{container}",
                "microsoft": {"container": container, "id": account_name, "secret": ""},
            },
        },
        "console": {"config": {"oauthClientSecretSecretName": ACCESS, "disableTelemetry": True}},
        "oidc": {"mockIDP": False, "upstreamIDPsSecretName": ACCESS},
        "proxy": {"service": {"type": "ClusterIP"}},
    }


def _identity_providers(password: str) -> str:
    """Dex's connectors as YAML: one user with a random password in place of the chart's `password`."""
    connector = {"id": "local", "name": "local", "type": "mockPassword"}
    return yaml.safe_dump([{**connector, "config": {"username": "admin", "password": password}}])
