"""The Kubernetes control plane of one sandbox: etcd, API server, controller manager, scheduler, and kwok.

Owns their flags, their kubeconfigs and the order in which they start. All are the real programs. Also a command:
`python -m sandbox.control_plane reset --home DIR` empties the cluster, as the deletion of a managed cluster does.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox import certificates, kwok_kinds
from sandbox.home import REPOSITORY, Home
from sandbox.processes import Part, ProcessError, Processes, accepts
from sandbox.setup import locked

AKS_SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-e28e3e6ce2f6"
"""The Entra application that stands for every AKS API server: the audience of users' tokens."""
KWOK_CONFIG = REPOSITORY / "sandbox" / "nodes" / "kwok.yaml"
_GO_MEMORY = {"GOGC": "300", "GOMEMLIMIT": "4GiB"}
"""Fewer collections for more memory, up to a limit: with a thousand machines at once they took a fifth of the time."""
NAMES = ("etcd", "api-server", "controller-manager", "scheduler", "kwok")
"""In the order they start; they stop the other way round."""


def start(home: Home) -> list[str]:
    """Start whatever of the control plane does not run; gives the names of what was started.

    Raises:
        ProcessError: a part did not become ready.
    """
    processes = Processes(home)
    started: list[str] = []
    with locked(home.run / "control-plane.lock"):
        write_configuration(home)
        parts = _parts(home)
        for stage in (NAMES[:1], NAMES[1:2], NAMES[2:]):
            started += [name for name in stage if processes.start(parts[name])]
            processes.wait_ready([parts[name] for name in stage])
            if "api-server" in stage:
                kwok_kinds.install(home)
                if processes.pid("kwok") is None:
                    kwok_kinds.free_nodes(home)
    return started


def stop(home: Home) -> list[str]:
    """Stop the control plane; gives the names of what ran."""
    processes = Processes(home)
    with locked(home.run / "control-plane.lock"):
        return [name for name in reversed(NAMES) if processes.stop(name)]


def reset(home: Home) -> None:
    """Stop the control plane, forget every Kubernetes object, and start it again."""
    stop(home)
    with locked(home.run / "control-plane.lock"):
        shutil.rmtree(home.etcd_data, ignore_errors=True)
    start(home)


def write_configuration(home: Home) -> None:
    """Write the kubeconfigs and the authorization webhook's configuration."""
    for name, path in (
        ("admin", home.admin_kubeconfig),
        ("controller-manager", home.tls / "controller-manager.kubeconfig"),
        ("scheduler", home.tls / "scheduler.kubeconfig"),
    ):
        pair = certificates.pair(home, name)
        _write(
            path,
            _kubeconfig(home, name, {"client-certificate-data": _b64(pair.cert), "client-key-data": _b64(pair.key)}),
        )
    webhook = _kubeconfig(home, "authorizer", {"token": home.config.internal_token})
    webhook["clusters"][0]["cluster"]["server"] = f"{home.azure_url}/sandbox/authorize"
    _write(_webhook_config(home), webhook)
    _write(_egress_config(home), _egress(home))
    _write(home.kubeconfig, _kubeconfig(home, "trainyard-sandbox", {"exec": _kubelogin(home)}))


def _parts(home: Home) -> dict[str, Part]:
    """The processes, by name."""
    ports = home.config.ports
    tools: dict[str, str] = json.loads(home.tools_file.read_text())
    etcd, server = certificates.pair(home, "etcd"), certificates.pair(home, "api-server")
    client = certificates.pair(home, "etcd-client")
    public, private = certificates.service_account_keys(home)
    etcd_url = f"https://127.0.0.1:{ports['etcd']}"
    peer_url = f"https://127.0.0.1:{ports['etcd_peer']}"

    def part(name: str, program: str, flags: dict[str, Any], is_ready: Callable[[], bool], **more: Any) -> Part:
        command = (tools[program], *(f"--{flag}={value}" for flag, value in flags.items()))
        return Part(name, command, is_ready, environment=_GO_MEMORY, **more)

    return {
        "etcd": part(
            "etcd",
            "etcd",
            {
                "name": "sandbox",
                "data-dir": home.etcd_data,
                "listen-client-urls": etcd_url,
                "advertise-client-urls": etcd_url,
                "listen-peer-urls": peer_url,
                "initial-advertise-peer-urls": peer_url,
                "initial-cluster": f"sandbox={peer_url}",
                **_etcd_tls("", etcd, home.ca_cert),
                **_etcd_tls("peer-", etcd, home.ca_cert),
                "auto-compaction-mode": "periodic",
                "auto-compaction-retention": "1h",
                "log-level": "warn",
            },
            lambda: accepts(ports["etcd"]),
            port=ports["etcd"],
        ),
        "api-server": part(
            "api-server",
            "kube-apiserver",
            {
                "etcd-servers": etcd_url,
                "etcd-cafile": home.ca_cert,
                "etcd-certfile": client.cert,
                "etcd-keyfile": client.key,
                "bind-address": "127.0.0.1",
                "advertise-address": "127.0.0.1",
                "secure-port": ports["api_server"],
                "endpoint-reconciler-type": "none",
                "service-cluster-ip-range": "172.16.0.0/16",
                "allow-privileged": "true",
                "tls-cert-file": server.cert,
                "tls-private-key-file": server.key,
                "client-ca-file": home.ca_cert,
                "service-account-issuer": home.api_server_url,
                "service-account-key-file": public,
                "service-account-signing-key-file": private,
                "oidc-issuer-url": f"{home.azure_url}/adfs",
                "oidc-ca-file": home.ca_cert,
                "oidc-client-id": AKS_SERVER_APPLICATION,
                "oidc-username-claim": "oid",
                "oidc-username-prefix": "-",
                "oidc-groups-claim": "groups",
                "authorization-mode": "Node,RBAC,Webhook",
                "authorization-webhook-config-file": _webhook_config(home),
                "authorization-webhook-version": "v1",
                "authorization-webhook-cache-authorized-ttl": "5s",
                "authorization-webhook-cache-unauthorized-ttl": "1s",
                "profiling": "false",
                # To the nodes as on AKS: through a tunnel, whose other end is in sandbox.nodes.
                "egress-selector-config-file": _egress_config(home),
                "kubelet-client-certificate": client.cert,
                "kubelet-client-key": client.key,
            },
            lambda: _says_ok(home, f"{home.api_server_url}/readyz"),
            port=ports["api_server"],
        ),
        "controller-manager": part(
            "controller-manager",
            "kube-controller-manager",
            {
                "kubeconfig": home.tls / "controller-manager.kubeconfig",
                "bind-address": "127.0.0.1",
                "secure-port": ports["controller_manager"],
                "cert-dir": home.tls,
                "tls-cert-file": server.cert,
                "tls-private-key-file": server.key,
                "use-service-account-credentials": "true",
                "service-account-private-key-file": private,
                "root-ca-file": home.ca_cert,
                "cluster-signing-cert-file": home.ca_cert,
                "cluster-signing-key-file": home.ca_key,
                "leader-elect": "false",
                "kube-api-qps": 1000,
                "kube-api-burst": 2000,
                "node-monitor-grace-period": "135s",  # for leases of 120 s: kwok.yaml
                "profiling": "false",
            },
            lambda: _says_ok(home, f"https://127.0.0.1:{ports['controller_manager']}/healthz"),
            port=ports["controller_manager"],
        ),
        "scheduler": part(
            "scheduler",
            "kube-scheduler",
            {
                "kubeconfig": home.tls / "scheduler.kubeconfig",
                "bind-address": "127.0.0.1",
                "secure-port": ports["scheduler"],
                "tls-cert-file": server.cert,
                "tls-private-key-file": server.key,
                "leader-elect": "false",
                "kube-api-qps": 1000,
                "kube-api-burst": 2000,
                "profiling": "false",
            },
            lambda: _says_ok(home, f"https://127.0.0.1:{ports['scheduler']}/healthz"),
            port=ports["scheduler"],
        ),
        "kwok": part(
            "kwok",
            "kwok",
            {
                "kubeconfig": home.admin_kubeconfig,
                "config": KWOK_CONFIG,
                "server-address": f"127.0.0.1:{ports['kwok']}",
                "tls-cert-file": server.cert,
                "tls-private-key-file": server.key,
                "enable-crds": ",".join(kwok_kinds.KINDS),
            },
            lambda: _says_ok(home, f"http://127.0.0.1:{ports['kwok']}/healthz"),
            port=ports["kwok"],
        ),
    }


def _etcd_tls(prefix: str, pair: certificates.Pair, authority: Path) -> dict[str, Any]:
    """Only holders of a certificate of this sandbox may speak to etcd."""
    return {
        f"{prefix}cert-file": pair.cert,
        f"{prefix}key-file": pair.key,
        f"{prefix}client-cert-auth": "true",
        f"{prefix}trusted-ca-file": authority,
    }


def _says_ok(home: Home, url: str) -> bool:
    """Whether a health endpoint answers `ok`, asked with the administrator's certificate."""
    with certificates.opener(home, "admin").open(url, timeout=5) as answer:
        return answer.read() == b"ok"


def _kubeconfig(home: Home, name: str, user: dict[str, Any]) -> dict[str, Any]:
    """A kubeconfig of one cluster, this one, and one user."""
    cluster = {"server": home.api_server_url, "certificate-authority-data": _b64(home.ca_cert)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "trainyard-sandbox", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": "trainyard-sandbox", "user": name}}],
        "current-context": name,
    }


def _kubelogin(home: Home) -> dict[str, Any]:
    """How AKS's own kubeconfig has a user sign in."""
    arguments = ["get-token", "--environment", "AzurePublicCloud", "--server-id", AKS_SERVER_APPLICATION]
    arguments += ["--client-id", "80faf920-1908-4b52-b5ef-a8e7bedfc67a", "--tenant-id", home.config.tenant_id]
    return {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "kubelogin",
        "args": [*arguments, "--login", "devicecode"],
        "env": None,
        "provideClusterInfo": False,
        "installHint": 'the sandbox\'s own kubelogin is on PATH after: eval "$(make -s env)"',
    }


def _egress(home: Home) -> dict[str, Any]:
    """How the API server reaches nodes and pods."""
    client = certificates.pair(home, "etcd-client")
    tls = {"caBundle": str(home.ca_cert), "clientCert": str(client.cert), "clientKey": str(client.key)}
    tcp = {"url": f"https://127.0.0.1:{home.config.ports['node_tunnel']}", "tlsConfig": tls}
    return {
        "apiVersion": "apiserver.k8s.io/v1beta1",
        "kind": "EgressSelectorConfiguration",
        "egressSelections": [
            {"name": "cluster", "connection": {"proxyProtocol": "HTTPConnect", "transport": {"tcp": tcp}}}
        ],
    }


def _egress_config(home: Home) -> Path:
    return home.tls / "egress.json"


def _webhook_config(home: Home) -> Path:
    return home.tls / "authorizer.kubeconfig"


def _b64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _write(path: Path, document: dict[str, Any]) -> None:
    """JSON is YAML: a kubeconfig in either serves every client. Left alone where it says the same already."""
    text = json.dumps(document, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return
    partial = path.with_name(f".{path.name}.partial")
    partial.touch(0o600)
    partial.write_text(text)
    partial.replace(path)


def main() -> None:
    """The command line: `reset`, `start` or `stop` the control plane of the sandbox in `--home`."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.control_plane", description=__doc__)
    parser.add_argument("action", choices=["reset", "start", "stop"])
    parser.add_argument("--home", type=Path, default=None)
    arguments = parser.parse_args()
    home = Home(arguments.home)
    try:
        {"reset": reset, "start": start, "stop": stop}[arguments.action](home)
    except ProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
