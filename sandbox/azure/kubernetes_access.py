"""Azure RBAC for Kubernetes: may this user do that in the cluster?

Answers the API server's authorization webhook as AKS's does: a Kubernetes request becomes a data action on the
cluster, which the user's roles at the cluster's scope or above must grant, effective now. Owner grants none.
"""

from __future__ import annotations

from typing import cast

from sandbox.azure import clusters
from sandbox.azure.behaviour import Body, Context, Reply, Request, register_route
from sandbox.azure.container_service import CLUSTER_TYPE, listed, mapping, text

_VERBS = {
    "get": "read",
    "list": "read",
    "watch": "read",
    "create": "write",
    "update": "write",
    "patch": "write",
    "delete": "delete",
    "deletecollection": "delete",
    "head": "read",
    "post": "write",
    "put": "write",
    "*": "*",
}
_KNOWN_GROUPS = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "apps",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "extensions",
        "flowcontrol.apiserver.k8s.io",
        "metrics.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "snapshot.storage.k8s.io",
        "storage.k8s.io",
    }
)
"""API groups that Azure has data actions of; every other group's objects are `customresources` to it."""


def data_action(spec: Body) -> str:
    """The data action that a SubjectAccessReview's `spec` asks for.

    Custom resources have one action for all their kinds (azure-aks-docs manage-azure-rbac.md).
    """
    path = cast("Body | None", spec.get("nonResourceAttributes"))
    if path is not None:
        where = text(path.get("path")).strip("/") or "api"
        return f"{CLUSTER_TYPE}/{where}/{_VERBS.get(text(path.get('verb')).lower(), 'action')}"
    wanted = mapping(spec.get("resourceAttributes"))
    group, verb = text(wanted.get("group")), text(wanted.get("verb")).lower()
    kind = text(wanted.get("resource"))
    if wanted.get("subresource"):
        kind = f"{kind}/{wanted['subresource']}"
    doing = _VERBS.get(verb)
    if group not in {"", "*"} and group not in _KNOWN_GROUPS:
        kind = "customresources"
    elif group:
        kind = f"{group}/{kind}"
    return f"{CLUSTER_TYPE}/{kind}/{doing}" if doing else f"{CLUSTER_TYPE}/{kind}/{verb}/action"


def decide(ctx: Context, review: Body) -> Body:
    """Answer a SubjectAccessReview.

    Args:
        review: as the API server sends it, `authorization.k8s.io/v1`.

    Returns:
        The same review with its `status`: allowed, or no opinion and the reason.
    """
    spec = mapping(review.get("spec"))
    allowed, reason = _decision(ctx, spec)
    return {
        "apiVersion": review.get("apiVersion", "authorization.k8s.io/v1"),
        "kind": "SubjectAccessReview",
        "status": {"allowed": allowed, "reason": reason},
    }


def _decision(ctx: Context, spec: Body) -> tuple[bool, str]:
    cluster = clusters.backed(ctx)
    if cluster is None:
        return False, "there is no managed cluster"
    sign_in = mapping(cluster.properties.get("aadProfile"))
    user, groups = text(spec.get("user")), [str(one) for one in listed(spec.get("groups"))]
    administrators = {str(one).lower() for one in listed(sign_in.get("adminGroupObjectIDs"))}
    if administrators & {one.lower() for one in groups}:
        return True, "Access allowed: the user is in a group of adminGroupObjectIDs."
    if not sign_in.get("enableAzureRBAC"):
        return False, "Azure RBAC for Kubernetes is off on this cluster."
    action = data_action(spec)
    namespace = text(mapping(spec.get("resourceAttributes")).get("namespace"))
    scope = f"{cluster.id}/namespaces/{namespace}" if namespace else cluster.id
    if ctx.authorization.allows((user, *groups), action, scope, data_action=True):
        return True, f"Access allowed by Azure RBAC: {action}."
    return (
        False,
        f"User '{user}' does not have access to the resource in Azure. Update role assignment to allow access.",
    )


def _authorize(ctx: Context, _request: Request, body: Body) -> Reply:
    return Reply(200, decide(ctx, body))


register_route("POST", "/sandbox/authorize", _authorize, platform_only=True)
