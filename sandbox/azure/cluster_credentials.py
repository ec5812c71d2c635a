"""The ways into a cluster that AKS hands out: kubeconfigs for users and for the local administrator."""

from __future__ import annotations

import base64

from sandbox.azure.behaviour import Body, Context
from sandbox.azure.container_service import refusal
from sandbox.azure.ids import parse
from sandbox.azure.store import Resource

SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-e28e3e6ce2f6"
"""AKS's server application in Entra: the audience of every token for an API server."""
_CLIENT_APPLICATION = "80faf920-1908-4b52-b5ef-a8e7bedfc67a"

_FRAME = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: {authority}
    server: {server}
  name: {cluster}
contexts:
- context:
    cluster: {cluster}
    user: {user}
  name: {cluster}
current-context: {cluster}
kind: Config
preferences: {{}}
users:
- name: {user}
  user:
{sign_in}"""

_EXEC = """    exec:
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --environment
      - AzurePublicCloud
      - --server-id
      - {server_id}
      - --client-id
      - {client_id}
      - --tenant-id
      - {tenant}
      - --login
      - devicecode
      command: kubelogin
      env: null
      installHint: |2

        kubelogin is not installed which is required to connect to AAD enabled cluster.

        To learn more, please go to https://aka.ms/aks/kubelogin
      provideClusterInfo: false
"""

_LEGACY = """    auth-provider:
      config:
        apiserver-id: {server_id}
        client-id: {client_id}
        config-mode: '1'
        environment: AzurePublicCloud
        tenant-id: {tenant}
      name: azure
"""


def user_credentials(ctx: Context, cluster: Resource, wanted: str | None) -> Body:
    """The user's kubeconfig; the same bytes at each call.

    Args:
        wanted: the `format` asked for: `exec` (the default), or `azure` as old clients read it.

    Raises:
        ArmError: another format.
    """
    form = (wanted or "exec").lower()
    if form not in {"exec", "azure"}:
        raise refusal("InvalidParameter", f"The format '{wanted}' must be 'azure' or 'exec'.", "format")
    if not cluster.properties.get("aadProfile"):
        return admin_credentials(ctx, cluster, user="clusterUser")
    sign_in = (_EXEC if form == "exec" else _LEGACY).format(
        server_id=SERVER_APPLICATION, client_id=_CLIENT_APPLICATION, tenant=ctx.config.tenant_id
    )
    return _credentials("clusterUser", _kubeconfig(ctx, cluster, "clusterUser", sign_in))


def admin_credentials(ctx: Context, cluster: Resource, *, user: str = "clusterAdmin") -> Body:
    """The local administrator's kubeconfig, with a client certificate.

    Raises:
        ArmError: local accounts are off.
    """
    if cluster.properties.get("disableLocalAccounts"):
        raise refusal(
            "BadRequest",
            "Getting static credential is not allowed because this cluster is set to disable local accounts.",
        )
    if not ctx.home.admin_kubeconfig.exists():
        raise refusal("ControlPlaneNotFound", "The sandbox's control plane was never started.", status=404)
    return _credentials(user, ctx.home.admin_kubeconfig.read_text())


def _kubeconfig(ctx: Context, cluster: Resource, user: str, sign_in: str) -> str:
    authority = ctx.home.ca_cert.read_bytes() if ctx.home.ca_cert.exists() else b""
    return _FRAME.format(
        authority=base64.b64encode(authority).decode(),
        server=ctx.home.api_server_url,
        cluster=cluster.name,
        user=f"{user}_{parse(cluster.id).resource_group}_{cluster.name}",
        sign_in=sign_in,
    )


def _credentials(name: str, kubeconfig: str) -> Body:
    return {"kubeconfigs": [{"name": name, "value": base64.b64encode(kubeconfig.encode()).decode()}]}
