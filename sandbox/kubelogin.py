"""A stand-in for Azure's `kubelogin`, under that name on the sandbox's PATH: the exec plugin of AKS's kubeconfigs.

Takes the real one's `get-token` flags and environment variables, signs in as a service principal or with a federated
identity, and prints an ExecCredential. Ways to sign in that need a person, a managed identity or the Azure CLI are
refused: the sandbox has none. Standard library only, as kubectl starts it for every command.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

_LOGINS = (
    "devicecode",
    "interactive",
    "spn",
    "ropc",
    "msi",
    "azurecli",
    "azd",
    "workloadidentity",
    "azurepipelines",
)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TIMEOUT = 30
_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


class LoginError(Exception):
    """No token; the message says why and what to do."""


def parser() -> argparse.ArgumentParser:
    """The real one's command line, as far as `get-token` goes; anything else is an error."""
    top = argparse.ArgumentParser(prog="kubelogin", description=__doc__, allow_abbrev=False)
    commands = top.add_subparsers(dest="command", required=True)
    get = commands.add_parser("get-token", allow_abbrev=False, help="print a token for the API server")
    get.add_argument("-l", "--login", default="devicecode", choices=_LOGINS)
    get.add_argument("--server-id", required=True, help="the API server's Entra application")
    get.add_argument("-t", "--tenant-id", default="")
    get.add_argument("--client-id", default="")
    get.add_argument("--client-secret", default="")
    get.add_argument("--federated-token-file", default="")
    get.add_argument("--authority-host", default="")
    get.add_argument("-e", "--environment", default="AzurePublicCloud")
    get.add_argument("--token-cache-dir", "--cache-dir", default="", help="ignored: a token is asked for each time")
    get.add_argument("--timeout", default="", help="ignored")
    get.add_argument("--legacy", action="store_true", help="ignored: of an Entra integration that is gone")
    get.add_argument("--disable-environment-override", action="store_true")
    get.add_argument("--disable-instance-discovery", action="store_true", help="ignored: nothing is discovered")
    get.add_argument("-v", "--v", default="0", help="ignored")
    return top


def get_token(flags: argparse.Namespace, environment: Mapping[str, str]) -> dict[str, object]:
    """Sign in as flags and environment say; gives the token endpoint's answer.

    Raises:
        LoginError: the way to sign in is not to be had here, something is missing, or Azure refuses.
    """
    overrides: Mapping[str, str] = {} if flags.disable_environment_override else environment
    login = overrides.get("AAD_LOGIN_METHOD") or flags.login
    client_id = _first(overrides, "AZURE_CLIENT_ID", "AAD_SERVICE_PRINCIPAL_CLIENT_ID") or flags.client_id
    tenant = overrides.get("AZURE_TENANT_ID") or flags.tenant_id
    authority = flags.authority_host or environment.get("AZURE_AUTHORITY_HOST", "")
    form = {"grant_type": "client_credentials", "client_id": client_id, "scope": f"{flags.server_id}/.default"}
    if login == "spn":
        secret = _first(overrides, "AZURE_CLIENT_SECRET", "AAD_SERVICE_PRINCIPAL_CLIENT_SECRET") or flags.client_secret
        _need(secret, "the client's secret", "--client-secret or AZURE_CLIENT_SECRET")
        form["client_secret"] = secret
    elif login == "workloadidentity":
        file = overrides.get("AZURE_FEDERATED_TOKEN_FILE") or flags.federated_token_file
        _need(file, "the federated token", "--federated-token-file or AZURE_FEDERATED_TOKEN_FILE")
        form |= {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": Path(file).read_text().strip()}
    else:
        raise LoginError(
            f"the sandbox's kubelogin cannot sign in by {login!r}: set AAD_LOGIN_METHOD=spn, as `make env` does, "
            "or workloadidentity"
        )
    _need(client_id, "the client", "--client-id or AZURE_CLIENT_ID")
    _need(tenant, "the tenant", "--tenant-id or AZURE_TENANT_ID")
    _need(authority, "the authority", '--authority-host or AZURE_AUTHORITY_HOST; eval "$(make -s env)" sets it')
    return _ask(f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token", form)


def credential(answer: Mapping[str, object], version: str, now: datetime.datetime) -> dict[str, object]:
    """The ExecCredential that kubectl reads."""
    expires = now + datetime.timedelta(seconds=int(str(answer["expires_in"])))
    stamp = expires.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "kind": "ExecCredential",
        "apiVersion": version,
        "spec": {"interactive": False},
        "status": {"expirationTimestamp": stamp, "token": answer["access_token"]},
    }


def exec_version(environment: Mapping[str, str]) -> str:
    """The ExecCredential version the caller asks for in `KUBERNETES_EXEC_INFO`; v1beta1 where it does not.

    Raises:
        LoginError: a version we do not speak.
    """
    asked = json.loads(environment.get("KUBERNETES_EXEC_INFO") or "{}").get("apiVersion", _VERSIONS[1])
    if asked not in _VERSIONS:
        raise LoginError(f"ExecCredential version {asked!r} is not known; {' and '.join(_VERSIONS)} are")
    return asked


def _ask(url: str, form: Mapping[str, str]) -> dict[str, object]:
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())
    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or None)
    handlers = [urllib.request.HTTPSHandler(context=context)]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise LoginError(f"{url} refused: {error.code} {error.read().decode(errors='replace')}") from error
    except (OSError, ValueError) as error:
        raise LoginError(f"{url} cannot be asked for a token: {error}; is the sandbox up? (make status)") from error


def _first(environment: Mapping[str, str], *names: str) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _need(value: str, what: str, where: str) -> None:
    if not value:
        raise LoginError(f"{what} is not given: {where}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; gives the exit code."""
    flags = parser().parse_args(arguments)
    try:
        answer = get_token(flags, os.environ)
        shown = credential(answer, exec_version(os.environ), datetime.datetime.now(datetime.UTC))
    except (LoginError, OSError) as error:
        print(f"kubelogin: {error}", file=sys.stderr)
        return 1
    print(json.dumps(shown))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
