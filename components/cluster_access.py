"""The way into the cluster: who may, and the Kubernetes provider that every object goes through.

Owns the deployers' right to Kubernetes objects and the provider. Local accounts are off, so both people and
Pulumi sign in to Entra through `kubelogin`, with the kubeconfig that Azure gives.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import containerservice as aks

from components.access_gate import wait_for_access
from components.cluster import Cluster
from components.environment import Environment
from components.roles import AKS_RBAC_CLUSTER_ADMIN, assign_role, role_id
from stacks.settings import Deployer


class ClusterAccess(pulumi.ComponentResource):
    """The deployers' role and the Kubernetes provider.

    A role takes minutes to work once it is given. A hook on its creation asks the API server until it does, so that
    the first object does not fail; the provider comes after it.

    Args:
        environment: of the stack.
        resource_group: name of the cluster's group.
        cluster: to get into.
        deployers: people and pipelines that deploy; none: whoever deploys now.
    """

    provider: kubernetes.Provider
    kubeconfig: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        cluster: Cluster,
        deployers: Sequence[Deployer],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:ClusterAccess", name, None, opts)
        credentials = aks.list_managed_cluster_user_credentials_output(
            resource_group_name=resource_group, resource_name=cluster.name, format="exec"
        )
        self.kubeconfig = pulumi.Output.secret(credentials.apply(_first_kubeconfig))

        async def access_works(_args: pulumi.ResourceHookArgs) -> None:
            kubeconfig = await self.kubeconfig.future()
            if kubeconfig is not None:
                await wait_for_access(kubeconfig)

        gate = pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook(f"{name}-works", access_works)])
        roles = [
            assign_role(
                f"{name}-{deployer.object_id}",
                environment=environment,
                role=role_id(environment, AKS_RBAC_CLUSTER_ADMIN),
                principal_id=deployer.object_id,
                principal_type=deployer.principal_type,
                scope=cluster.id,
                # Only the present deployer's own role can be waited for by asking.
                opts=pulumi.ResourceOptions(
                    parent=self, hooks=gate if deployer.object_id == environment.deployer.object_id else None
                ),
            )
            for deployer in (deployers or (environment.deployer,))
        ]
        self.provider = kubernetes.Provider(
            name,
            kubeconfig=self.kubeconfig,
            cluster_identifier=cluster.id,
            enable_server_side_apply=True,
            # An object that a killed deployment left is taken over by the next one, not refused as existing.
            upsert_existing_objects=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=roles),
        )
        self.register_outputs({})


def _first_kubeconfig(credentials: aks.ListManagedClusterUserCredentialsResult) -> str:
    if not credentials.kubeconfigs:
        raise pulumi.RunError("Azure gave no kubeconfig for the cluster: does the deployer have 'Cluster User' on it?")
    return base64.b64decode(credentials.kubeconfigs[0].value).decode()
