"""Where one sandbox keeps its things, and what its parts must know of each other.

Owns the folder's layout and `sandbox.json`. A sandbox is one folder: several run side by side, each with
its own ports. Does not start anything.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
PARTS = (
    "azure",
    "etcd",
    "etcd_peer",
    "api_server",
    "controller_manager",
    "scheduler",
    "kwok",
    "azure_native",
    "kubernetes",
    "blob",
    "network",
    "azurite",
    "node_tunnel",
)
"""Everything that listens, each on a loopback port of its own."""
_PORTS = range(12000, 32000)


@dataclass(frozen=True)
class Config:
    """What the parts of one sandbox agree on; written once, read by all.

    Attributes:
        ports: part (see `PARTS`) to TCP port on 127.0.0.1.
        subscription_id, tenant_id, client_id, client_secret: what `make env` exports. The tenant is `adfs`:
            Microsoft's identity libraries then ask this host alone (FACTS 3).
        object_id: the deployer's principal, the `oid` of its tokens.
        internal_token: bearer token with which the sandbox's own parts call its Azure.
        boot_delay: seconds from a machine's creation to its node.
        role_delay: seconds until a role assignment takes effect.
    """

    ports: dict[str, int]
    subscription_id: str
    tenant_id: str
    client_id: str
    client_secret: str
    object_id: str
    internal_token: str
    boot_delay: float
    role_delay: float


class Home:
    """The folder of one sandbox.

    Args:
        root: the folder; default: `$SANDBOX_HOME`, else `.sandbox` in the repository.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or Path(os.environ.get("SANDBOX_HOME") or REPOSITORY / ".sandbox")).absolute()
        self.config_file = self.root / "sandbox.json"
        self.tools_file = self.root / "tools.json"
        self.run = self.root / "run"
        self.logs = self.root / "logs"
        self.tls = self.root / "tls"
        self.ca_cert = self.tls / "ca.crt"
        self.ca_key = self.tls / "ca.key"
        self.ca_bundle = self.tls / "bundle.pem"
        self.azure_cert = self.tls / "azure.crt"
        self.azure_key = self.tls / "azure.key"
        self.azure_db = self.root / "azure.db"
        self.etcd_data = self.root / "etcd"
        self.blobs = self.root / "blobs"
        self.bin = self.root / "bin"
        self.kubeconfig = self.root / "kubeconfig"
        self.admin_kubeconfig = self.root / "admin.kubeconfig"
        self.pulumi_home = self.root / "pulumi"
        self.pulumi_state = self.root / "state"

    @property
    def config(self) -> Config:
        """What `sandbox.json` says.

        Raises:
            FileNotFoundError: this sandbox was never started.
        """
        return Config(**json.loads(self.config_file.read_text()))

    @property
    def azure_url(self) -> str:
        """`https://127.0.0.1:<port>` of the simulated Azure: Resource Manager and sign-in."""
        return f"https://127.0.0.1:{self.config.ports['azure']}"

    @property
    def api_server_url(self) -> str:
        """`https://127.0.0.1:<port>` of the Kubernetes API server."""
        return f"https://127.0.0.1:{self.config.ports['api_server']}"

    def create(self, **overrides: Any) -> Config:
        """Make the folders and, the first time, `sandbox.json` with free ports and fresh secrets."""
        for folder in (self.root, self.run, self.logs, self.tls, self.bin, self.pulumi_home, self.pulumi_state):
            folder.mkdir(parents=True, exist_ok=True)
        if not self.config_file.exists():
            config = Config(
                ports=dict(zip(PARTS, _free_ports(len(PARTS)), strict=True)),
                subscription_id=str(uuid.uuid4()),
                tenant_id="adfs",
                client_id=str(uuid.uuid4()),
                client_secret=secrets.token_urlsafe(24),
                object_id=str(uuid.uuid4()),
                internal_token=secrets.token_urlsafe(24),
                boot_delay=float(os.environ.get("SANDBOX_BOOT_DELAY", "3")),
                role_delay=float(os.environ.get("SANDBOX_ROLE_DELAY", "5")),
            )
            config = Config(**{**asdict(config), **overrides})
            self._write(config)
        missing = [part for part in PARTS if part not in self.config.ports]
        if missing:  # made by an earlier version, which had fewer parts
            added = dict(zip(missing, _free_ports(len(missing)), strict=True))
            self._write(replace(self.config, ports={**self.config.ports, **added}))
        return self.config

    def _write(self, config: Config) -> None:
        partial = self.config_file.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(config), indent=2))
        partial.chmod(0o600)
        partial.replace(self.config_file)


def _free_ports(count: int) -> list[int]:
    """Pick `count` different free loopback ports, all held until all are known.

    They lie below the range that the kernel gives to outgoing connections, so that a stopped part finds its port
    free when it starts again.
    """
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            one = socket.socket()
            try:
                one.bind(("127.0.0.1", _PORTS.start + secrets.randbelow(len(_PORTS))))
            except OSError:
                one.close()
                continue
            held.append(one)
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
