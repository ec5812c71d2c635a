"""What the stack declares so that datasets can be uploaded: an identity, its rights, and where each dataset lives.

Owns the service account that uploads run as, its identity on Azure and the roles on the containers that are targets.
Does not own the Job that copies: the command makes it with its own receiver (`datasets/`), so that the two never
differ and a stack has nothing running while nobody uploads. Rights on a source container are its owner's to give: to
`identity.principalId` of the output.
"""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import managedidentity
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta

from components.blob_storage import MadeContainer
from components.cluster import Cluster
from components.environment import Environment
from components.roles import STORAGE_BLOB_DATA_CONTRIBUTOR, assign_role, role_id
from stacks.storage_settings import Dataset, Share, Source

NAME = "data-upload"
NAMESPACE = "default"
"""Where the claims of shares and file systems are: a pod mounts those of its own namespace alone."""
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "trainyard"}


class Datasets(pulumi.ComponentResource):
    """The datasets of one environment.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the group to live in.
        datasets: name to its settings.
        shares: name to its settings.
        share_claims: share to `<namespace>/<claim>`.
        containers: name to the container.
        file_system_claim: `<namespace>/<claim>` of the file system; None: there is none.
        cluster: whose service accounts the identity trusts.
        provider: the cluster.
    """

    outputs: dict[str, object]
    """The stack output `datasets`, which the upload command reads."""

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        datasets: Mapping[str, Dataset],
        shares: Mapping[str, Share],
        share_claims: Mapping[str, str],
        containers: Mapping[str, MadeContainer],
        file_system_claim: str | None,
        cluster: Cluster,
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Datasets", name, None, opts)
        self.outputs = {}
        self._containers = containers
        self._claims = {
            **{key: (share_claims[key], share.protocol) for key, share in shares.items()},
            None: (file_system_claim or "", "posix"),
        }
        if not datasets:
            self.register_outputs({})
            return
        child = pulumi.ResourceOptions(parent=self)
        identity = managedidentity.UserAssignedIdentity(
            name,
            resource_group_name=resource_group,
            resource_name_=f"id-trainyard-{environment.name}-{NAME}",
            location=environment.location,
            tags=environment.tags,
            opts=child,
        )
        rights: list[pulumi.Resource] = [
            managedidentity.FederatedIdentityCredential(
                name,
                resource_group_name=resource_group,
                resource_name_=identity.name,
                federated_identity_credential_resource_name=NAME,
                issuer=cluster.issuer_url,
                subject=f"system:serviceaccount:{NAMESPACE}:{NAME}",
                audiences=["api://AzureADTokenExchange"],
                opts=child,
            )
        ]
        for target in sorted({one.target.container for one in datasets.values() if one.target.container is not None}):
            made = containers[target]
            rights.append(
                assign_role(
                    f"{name}-{target}-writes",
                    environment=environment,
                    role=role_id(environment, STORAGE_BLOB_DATA_CONTRIBUTOR),
                    principal_id=identity.principal_id,
                    scope=pulumi.Output.concat(made.account_id, "/blobServices/default/containers/", made.name),
                    opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=made.ready)),
                )
            )
        core.ServiceAccount(
            name,
            metadata=meta.ObjectMetaArgs(
                name=NAME,
                namespace=NAMESPACE,
                labels=_LABELS,
                annotations={"azure.workload.identity/client-id": identity.client_id},
            ),
            # What runs as it asks the API server for nothing.
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(provider=provider, depends_on=rights)),
        )
        for key, dataset in datasets.items():
            self.outputs[key] = {
                "source": source_output(dataset.source),
                "target": self._target(key, dataset),
                "namespace": NAMESPACE,
                "serviceAccount": NAME,
                "identity": {"clientId": identity.client_id, "principalId": identity.principal_id},
            }
        self.register_outputs({})

    def _target(self, name: str, dataset: Dataset) -> dict[str, str]:
        """A target as the upload command takes it: a container's address, or a claim and what its names must fit."""
        target, path = dataset.target, dataset.folder(name)
        if target.container is not None:
            made = self._containers[target.container]
            return {"container": _container_url(made.account_name, made.name), "path": path}
        claim, protocol = self._claims[target.share]
        return {"claim": claim.rpartition("/")[2], "protocol": protocol, "path": path}


def source_output(source: Source) -> dict[str, str]:
    """A source as the upload command takes it: containers by their https address."""
    if source.folder is not None:
        return {"folder": source.folder}
    if source.container is not None:
        account, _, rest = source.container.removeprefix("az://").partition("/")
        container, _, path = rest.partition("/")
        return {"container": _container_url(account, container), "path": path.strip("/")}
    return {"url": source.url or "", "sha256": source.sha256 or ""}


def _container_url(account: str, container: str) -> str:
    return f"https://{account}.blob.core.windows.net/{container}"
