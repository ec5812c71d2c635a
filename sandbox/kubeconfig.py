"""Kubeconfig files: where an API server is, whom to trust there, and how to sign in.

Reads client certificates, tokens, token files and exec plugins (`kubelogin`), as files or in place. Does not
send requests: `sandbox.kubernetes_client` does.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import yaml

Json = dict[str, Any]
_RENEW_BEFORE = 60
"""Seconds before its end at which a plugin's token is fetched anew."""


class KubeconfigError(ValueError):
    """A kubeconfig that cannot be used; the message says where and why."""


@dataclass
class Access:
    """One API server as one user.

    Attributes:
        server: `https://host:port`, without a slash at the end.
        ca: PEM of the authorities to trust; None: the system's.
        client_certificate, client_key: PEM, where the user signs in with a certificate.
        bearer_token: a fixed token.
        token_file: a file that holds a token, read at each request.
        exec_plugin: kubeconfig's `exec`: a command that prints an ExecCredential.
        namespace: the context's, `default` where it names none.
        insecure: do not check the server's certificate.
    """

    server: str
    ca: str | None = None
    client_certificate: str | None = None
    client_key: str | None = None
    bearer_token: str | None = None
    token_file: Path | None = None
    exec_plugin: Json | None = None
    namespace: str = "default"
    insecure: bool = False
    _plugin_token: str | None = field(default=None, init=False, repr=False)
    _plugin_token_ends: float = field(default=0, init=False, repr=False)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False)

    def ssl_context(self) -> ssl.SSLContext:
        """What a connection to the server trusts and shows."""
        context = ssl.create_default_context(cadata=self.ca)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate and self.client_key:
            with tempfile.TemporaryDirectory() as folder:  # OpenSSL takes a client's pair from files only
                pair = Path(folder) / "pair.pem"
                pair.touch(mode=0o600)
                pair.write_text(self.client_certificate + "\n" + self.client_key)
                context.load_cert_chain(pair)
        return context

    async def token(self) -> str | None:
        """The bearer token to send now, None where a certificate signs in.

        Raises:
            KubeconfigError: the exec plugin failed; its own words are in the message.
        """
        if self.bearer_token:
            return self.bearer_token
        if self.token_file:
            return self.token_file.read_text().strip()
        if self.exec_plugin is None:
            return None
        async with self._lock:
            if self._plugin_token is None or time.time() > self._plugin_token_ends - _RENEW_BEFORE:
                self._plugin_token, self._plugin_token_ends = await _run_plugin(self.exec_plugin)
            return self._plugin_token


def read_kubeconfig(source: Path | str, context: str | None = None) -> Access:
    """Read a kubeconfig from a file (`Path`) or from its text (`str`).

    Args:
        source: the file, whose relative paths then count from its folder, or the text.
        context: instead of the file's `current-context`.

    Raises:
        KubeconfigError: it is no kubeconfig, or the context, cluster or user it names is not in it.
    """
    folder = source.parent if isinstance(source, Path) else Path.cwd()
    where = str(source) if isinstance(source, Path) else "the kubeconfig"
    try:
        document: object = yaml.safe_load(source.read_text() if isinstance(source, Path) else source)
    except (OSError, yaml.YAMLError) as error:
        raise KubeconfigError(f"{where} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise KubeconfigError(f"{where} is no kubeconfig: a mapping with clusters, users and contexts is expected")
    config = cast(Json, document)
    name = context or str(config.get("current-context") or "")
    chosen = _named(config, "contexts", name, "context", where)
    cluster = _named(config, "clusters", str(chosen.get("cluster", "")), "cluster", where)
    user = _named(config, "users", str(chosen.get("user", "")), "user", where) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise KubeconfigError(f"{where}: cluster {chosen['cluster']!r} names no server")
    token_file = user.get("tokenFile")
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        ca=_data(cluster, "certificate-authority", folder),
        client_certificate=_data(user, "client-certificate", folder),
        client_key=_data(user, "client-key", folder),
        bearer_token=user.get("token"),
        token_file=folder / token_file if token_file else None,
        exec_plugin=user.get("exec"),
        namespace=str(chosen.get("namespace") or "default"),
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
    )


def _named(config: Mapping[str, Any], section: str, name: str, item: str, where: str) -> Json:
    for entry in cast(list[Json], config.get(section) or []):
        if entry.get("name") == name:
            return cast(Json, entry.get(item) or {})
    known = [str(entry.get("name")) for entry in cast(list[Json], config.get(section) or [])]
    raise KubeconfigError(f"{where} has no {item} {name!r}; it has {known}")


def _data(section: Mapping[str, Any], key: str, folder: Path) -> str | None:
    """A PEM given in place as base64 (`KEY-data`) or as a file (`KEY`)."""
    if section.get(f"{key}-data"):
        return base64.b64decode(str(section[f"{key}-data"])).decode()
    if section.get(key):
        return (folder / str(section[key])).read_text()
    return None


async def _run_plugin(plugin: Json) -> tuple[str, float]:
    """Run an exec plugin; returns its token and when that ends, in epoch seconds."""
    command = [str(plugin["command"]), *map(str, plugin.get("args") or [])]
    extra = cast(list[Json], plugin.get("env") or [])
    environment = {**os.environ, **{str(one["name"]): str(one["value"]) for one in extra}}
    environment["KUBERNETES_EXEC_INFO"] = json.dumps(
        {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    )
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        hint = plugin.get("installHint") or "put it on PATH"
        raise KubeconfigError(
            f"the kubeconfig's sign-in plugin {command[0]!r} cannot be run: {error}; {hint}"
        ) from error
    out, err = await process.communicate()
    if process.returncode != 0:
        raise KubeconfigError(f"{' '.join(command)} ended with {process.returncode}: {err.decode().strip()}")
    try:
        status = cast(Json, json.loads(out)["status"])
        token = str(status["token"])
    except (ValueError, KeyError, TypeError) as error:
        raise KubeconfigError(f"{' '.join(command)} printed no ExecCredential with a token: {out[:200]!r}") from error
    ends = status.get("expirationTimestamp")
    return token, datetime.fromisoformat(str(ends)).timestamp() if ends else float("inf")
