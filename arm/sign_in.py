"""How this repository's commands find Azure: which Resource Manager, and who signs in.

Follows what Azure's own tools read (`AZURE_*`, workload identity, `az login`) and what the azure-native provider reads
(`ARM_CLIENT_ID`, `ARM_CLIENT_SECRET`, `ARM_TENANT_ID`, `ARM_ENVIRONMENT`, `ARM_ENDPOINT`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CLOUDS: Mapping[str, tuple[str, str]] = {
    "public": ("https://management.azure.com", "login.microsoftonline.com"),
    "usgovernment": ("https://management.usgovcloudapi.net", "login.microsoftonline.us"),
    "china": ("https://management.chinacloudapi.cn", "login.chinacloudapi.cn"),
}
"""`ARM_ENVIRONMENT` to Resource Manager and authority, as azure-core and azure-identity have them."""

_ALSO = {"": "public", "azurecloud": "public", "usgov": "usgovernment", "azureusgovernment": "usgovernment"}
_ALSO["azurechinacloud"] = "china"


@dataclass(frozen=True)
class Cloud:
    """One Resource Manager.

    Attributes:
        endpoint: its address, no slash at the end.
        authority: the host that signs in; None: azure-identity decides, from `AZURE_AUTHORITY_HOST`.
    """

    endpoint: str
    authority: str | None

    @property
    def scope(self) -> str:
        """What a token is asked for."""
        return f"{self.endpoint}/.default"


def cloud(environment: Mapping[str, str]) -> Cloud:
    """The Resource Manager that these variables name; the public one where they name none.

    Raises:
        ValueError: `ARM_ENVIRONMENT` names a cloud that is not known.
    """
    named = environment.get("ARM_ENVIRONMENT", "").lower()
    key = _ALSO.get(named, named)
    if key not in _CLOUDS:
        raise ValueError(
            f"ARM_ENVIRONMENT={named} is no cloud; allowed: {', '.join(_CLOUDS)}. For another one set ARM_ENDPOINT."
        )
    endpoint, authority = _CLOUDS[key]
    asked = environment.get("ARM_ENDPOINT", "").rstrip("/")
    known = None if asked or environment.get("AZURE_AUTHORITY_HOST") or key == "public" else authority
    return Cloud(asked or endpoint, known)


def credential(environment: Mapping[str, str]) -> Any:
    """A credential of azure-identity: azure-native's own variables where only they are set, else its default chain."""
    # Imported here: it takes a second, which a run that finds its facts in the cache need not wait for.
    from azure.identity import ClientSecretCredential, DefaultAzureCredential  # noqa: PLC0415

    tenant, client, secret = (
        environment.get(f"ARM_{name}", "") for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")
    )
    authority = cloud(environment).authority
    elsewhere = {"authority": authority} if authority else {}
    if tenant and client and secret and not environment.get("AZURE_CLIENT_ID"):
        return ClientSecretCredential(tenant, client, secret, **elsewhere)
    return DefaultAzureCredential(**elsewhere)
