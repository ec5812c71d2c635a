"""cluster-autoscaler as typed Kubernetes resources of our own (mode `deployment`).

Owns its service account and rights in Kubernetes, its identity and rights on Azure, its Deployment on the system pool
and its PodDisruptionBudget. The priority list serves both modes and has a component of its own here, too. Does not own
the scale sets' tags, by which it finds its node groups: they are the pools'.

A role on Azure works minutes after it was given: the program then exits, and Kubernetes starts it again until it may;
the Deployment's deadlines leave room for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_azure_native import authorization, managedidentity
from pulumi_kubernetes.apps import v1 as apps
from pulumi_kubernetes.core import v1 as core
from pulumi_kubernetes.meta import v1 as meta
from pulumi_kubernetes.policy import v1 as policy
from pulumi_kubernetes.rbac import v1 as rbac

from components.autoscaler_flags import arguments, image, priorities
from components.autoscaler_rights import (
    CLUSTER_RULES,
    NAMESPACE_RULES,
    NODE_GROUP_ACTIONS,
    PRIORITY_CONFIG_MAP,
    SUBNET_ACTIONS,
    Rule,
)
from components.cluster import Cluster
from components.environment import Environment
from components.naming import cluster_name
from components.roles import assign_role
from stacks.settings import Pool, Stack

NAMESPACE = "kube-system"
NAME = "cluster-autoscaler"
PORT = 8085
_ROLE_DEADLINE_SECONDS = 25 * 60
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "trainyard"}
_SELECTOR = {"app.kubernetes.io/name": NAME}
_RBAC_GROUP = "rbac.authorization.k8s.io"


class Priorities(pulumi.ComponentResource):
    """Which pools grow first, for the priority expander of either mode.

    Args:
        pools: key to settings; higher `priority` first.
        provider: the cluster.
    """

    def __init__(
        self,
        name: str,
        *,
        pools: Mapping[str, Pool],
        provider: kubernetes.Provider,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Priorities", name, None, opts)
        self.config_map = core.ConfigMap(
            name,
            metadata=meta.ObjectMetaArgs(name=PRIORITY_CONFIG_MAP, namespace=NAMESPACE, labels=_LABELS),
            data={"priorities": priorities(pools)},
            opts=pulumi.ResourceOptions(parent=self, provider=provider),
        )
        self.register_outputs({})


class Autoscaler(pulumi.ComponentResource):
    """cluster-autoscaler with everything it needs.

    Args:
        environment: gives names, location and tags.
        resource_group: name of the group to live in.
        settings: the stack's: profile, expander, version.
        cluster: whose node resource group it works on.
        node_subnet_id: grown scale sets join machines to it.
        provider: the cluster.
        needs: what must be there first.
    """

    def __init__(
        self,
        name: str,
        *,
        environment: Environment,
        resource_group: pulumi.Input[str],
        settings: Stack,
        cluster: Cluster,
        node_subnet_id: pulumi.Input[str],
        provider: kubernetes.Provider,
        needs: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("trainyard:components:Autoscaler", name, None, opts)
        self._label = name
        self._environment = environment
        self._objects = pulumi.ResourceOptions(parent=self, provider=provider)
        identity, rights = self._azure_identity(resource_group, cluster, node_subnet_id)
        account = core.ServiceAccount(
            name,
            metadata=_meta({"azure.workload.identity/client-id": identity.client_id}),
            opts=self._objects,
        )
        bindings = self._kubernetes_rights()
        self.deployment = self._deployment(settings, cluster, [account, *bindings, *rights, *needs])
        policy.PodDisruptionBudget(
            name,
            metadata=_meta(),
            spec=policy.PodDisruptionBudgetSpecArgs(
                max_unavailable=1, selector=meta.LabelSelectorArgs(match_labels=_SELECTOR)
            ),
            opts=self._objects,
        )
        self.register_outputs({})

    def _azure_identity(
        self, resource_group: pulumi.Input[str], cluster: Cluster, node_subnet_id: pulumi.Input[str]
    ) -> tuple[managedidentity.UserAssignedIdentity, list[pulumi.Resource]]:
        environment, child = self._environment, pulumi.ResourceOptions(parent=self)
        identity = managedidentity.UserAssignedIdentity(
            self._label,
            resource_group_name=resource_group,
            resource_name_=f"id-trainyard-{environment.name}-autoscaler",
            location=environment.location,
            tags=environment.tags,
            opts=child,
        )
        credential = managedidentity.FederatedIdentityCredential(
            self._label,
            resource_group_name=resource_group,
            resource_name_=identity.name,
            federated_identity_credential_resource_name=NAME,
            issuer=cluster.issuer_url,
            subject=f"system:serviceaccount:{NAMESPACE}:{NAME}",
            audiences=["api://AzureADTokenExchange"],
            opts=child,
        )
        subscription = f"/subscriptions/{environment.subscription_id}"
        node_group = cluster.id.apply(lambda _: f"{subscription}/resourceGroups/{cluster.node_resource_group}")
        grants: dict[str, tuple[Sequence[str], pulumi.Input[str]]] = {
            "scales": (NODE_GROUP_ACTIONS, node_group),
            "joins-node-subnet": (SUBNET_ACTIONS, node_subnet_id),
        }
        assignments: list[pulumi.Resource] = [credential]
        for purpose, (actions, scope) in grants.items():
            role = authorization.RoleDefinition(
                f"{self._label}-{purpose}",
                role_definition_id=environment.stable_uuid("role-definition", self._label, purpose),
                # A custom role's name is unique in the whole directory.
                role_name=f"Trainyard {environment.name} {environment.unique} autoscaler {purpose}",
                description="What cluster-autoscaler calls, and nothing else.",
                role_type="CustomRole",
                scope=subscription,
                assignable_scopes=[subscription],
                permissions=[authorization.PermissionArgs(actions=list(actions))],
                opts=child,
            )
            assignments.append(
                assign_role(
                    f"{self._label}-{purpose}",
                    environment=environment,
                    role=role.id,
                    principal_id=identity.principal_id,
                    scope=scope,
                    opts=child,
                )
            )
        return identity, assignments

    def _kubernetes_rights(self) -> list[pulumi.Resource]:
        subject = rbac.SubjectArgs(kind="ServiceAccount", name=NAME, namespace=NAMESPACE)
        everywhere = meta.ObjectMetaArgs(name=NAME, labels=_LABELS)
        cluster_role = rbac.ClusterRole(
            self._label, metadata=everywhere, rules=[_rule(rule) for rule in CLUSTER_RULES], opts=self._objects
        )
        role = rbac.Role(
            self._label, metadata=_meta(), rules=[_rule(rule) for rule in NAMESPACE_RULES], opts=self._objects
        )
        return [
            rbac.ClusterRoleBinding(
                self._label,
                metadata=everywhere,
                role_ref=rbac.RoleRefArgs(
                    api_group=_RBAC_GROUP, kind="ClusterRole", name=cluster_role.metadata.name.apply(str)
                ),
                subjects=[subject],
                opts=self._objects,
            ),
            rbac.RoleBinding(
                self._label,
                metadata=_meta(),
                role_ref=rbac.RoleRefArgs(api_group=_RBAC_GROUP, kind="Role", name=role.metadata.name.apply(str)),
                subjects=[subject],
                opts=self._objects,
            ),
        ]

    def _deployment(self, settings: Stack, cluster: Cluster, needs: Sequence[pulumi.Resource]) -> apps.Deployment:
        environment = {
            "ARM_SUBSCRIPTION_ID": self._environment.subscription_id,
            "ARM_RESOURCE_GROUP": cluster.node_resource_group,
            "ARM_VM_TYPE": "vmss",
            "ARM_USE_WORKLOAD_IDENTITY_EXTENSION": "true",
            # A machine that failed to come up is removed at once, and its state is asked for often enough for the
            # next pool to be tried soon.
            "AZURE_ENABLE_FAST_DELETE_ON_FAILED_PROVISIONING": "true",
            "AZURE_VMSS_CACHE_TTL": "60",
            "AZURE_VMSS_VMS_CACHE_TTL": "60",
            "AZURE_ENABLE_VMSS_ETAG": "true",
        }
        container = core.ContainerArgs(
            name=NAME,
            image=image(settings.cluster.kubernetes_version),
            command=["./cluster-autoscaler"],
            args=arguments(settings.autoscaler, cluster_name(self._environment.name), queues=settings.queues.enabled),
            env=[core.EnvVarArgs(name=key, value=value) for key, value in environment.items()],
            ports=[core.ContainerPortArgs(name="http", container_port=PORT)],
            liveness_probe=core.ProbeArgs(
                http_get=core.HTTPGetActionArgs(path="/health-check", port=PORT),
                initial_delay_seconds=10,
                period_seconds=20,
            ),
            resources=core.ResourceRequirementsArgs(
                requests={"cpu": "100m", "memory": "400Mi"}, limits={"memory": "1Gi"}
            ),
            security_context=core.SecurityContextArgs(
                allow_privilege_escalation=False,
                read_only_root_filesystem=True,
                capabilities=core.CapabilitiesArgs(drop=["ALL"]),
            ),
        )
        pod = core.PodSpecArgs(
            service_account_name=NAME,
            priority_class_name="system-cluster-critical",
            node_selector={"kubernetes.azure.com/mode": "system"},
            tolerations=[core.TolerationArgs(key="CriticalAddonsOnly", operator="Exists")],
            topology_spread_constraints=[
                core.TopologySpreadConstraintArgs(
                    max_skew=1,
                    topology_key="kubernetes.io/hostname",
                    when_unsatisfiable="ScheduleAnyway",
                    label_selector=meta.LabelSelectorArgs(match_labels=_SELECTOR),
                )
            ],
            security_context=core.PodSecurityContextArgs(
                run_as_non_root=True,
                run_as_user=65532,
                seccomp_profile=core.SeccompProfileArgs(type="RuntimeDefault"),
            ),
            containers=[container],
        )
        return apps.Deployment(
            self._label,
            metadata=_meta(),
            spec=apps.DeploymentSpecArgs(
                replicas=2,
                progress_deadline_seconds=_ROLE_DEADLINE_SECONDS,
                selector=meta.LabelSelectorArgs(match_labels=_SELECTOR),
                template=core.PodTemplateSpecArgs(
                    metadata=meta.ObjectMetaArgs(labels={**_LABELS, "azure.workload.identity/use": "true"}), spec=pod
                ),
            ),
            opts=pulumi.ResourceOptions.merge(
                self._objects,
                pulumi.ResourceOptions(
                    depends_on=list(needs),
                    custom_timeouts=pulumi.CustomTimeouts(create="30m", update="30m"),
                ),
            ),
        )


def _meta(annotations: Mapping[str, pulumi.Input[str]] | None = None) -> meta.ObjectMetaArgs:
    return meta.ObjectMetaArgs(
        name=NAME, namespace=NAMESPACE, labels=_LABELS, annotations=dict(annotations) if annotations else None
    )


def _rule(rule: Rule) -> rbac.PolicyRuleArgs:
    return rbac.PolicyRuleArgs(
        api_groups=[rule.group],
        resources=list(rule.resources),
        verbs=list(rule.verbs),
        resource_names=list(rule.names) or None,
    )
