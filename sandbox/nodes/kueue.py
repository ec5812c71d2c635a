"""What Kueue's manager needs to run on this machine instead of in its pod: its configuration with local places. Pure.

A port that a container would have for itself is a free loopback port here, and what the manager would read of its pod
(the namespace, the folder of its webhooks' certificate) is written out. Its visibility API is off: that one listens on
port 8082 of every address and keeps a certificate in `/visibility`, whatever it is told.

Source: sigs.k8s.io/kueue v0.16.1 `apis/config/v1beta2`, `pkg/config`, `pkg/visibility/server.go`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from sandbox.nodes.objects import Json, items, section

IMAGE = re.compile(r"(^|/)kueue([:@]|$)")
"""The images of pods that run here; named in `kwok.yaml`, too, which waits until they do."""
CERTIFICATES = "/tmp/k8s-webhook-server/serving-certs"  # noqa: S108  the container's, where the chart mounts them
HEALTH, METRICS, WEBHOOKS = 8081, 8443, 9443
"""Its own ports where the configuration names none."""
_OFF = "VisibilityOnDemand"
_FLAG = re.compile(r"--?feature-gates=.")


def is_kueue(pod: Json) -> bool:
    """Whether a pod is one of Kueue's manager."""
    return any(IMAGE.search(str(one.get("image", ""))) for one in items(pod, "spec", "containers"))


@dataclass(frozen=True)
class Local:
    """What stands for a pod's things here.

    Attributes:
        namespace: the pod's.
        certificates: the folder that stands for the webhooks' certificate.
        port: gives a local port for one of the container's.
    """

    namespace: str
    certificates: Path
    port: Callable[[int], int]


def localised(arguments: Sequence[str], document: str, local: Local) -> tuple[list[str], str]:
    """The manager's arguments and its configuration for this machine.

    Args:
        arguments: the container's, after its program.
        document: the configuration as its ConfigMap has it.

    Raises:
        ValueError: it is no configuration; the manager would end at once.
    """
    given = _read(document)
    switches = [one for one in arguments if _FLAG.match(one)]
    health, metrics, webhook = (section(given, one) for one in ("health", "metrics", "webhook"))
    mine: Json = {
        **given,
        "namespace": given.get("namespace") or local.namespace,
        "health": {**health, "healthProbeBindAddress": _address(health.get("healthProbeBindAddress"), HEALTH, local)},
        "metrics": {**metrics, "bindAddress": _address(metrics.get("bindAddress"), METRICS, local)},
        "webhook": {
            **webhook,
            "host": "127.0.0.1",
            "port": local.port(int(webhook.get("port") or WEBHOOKS)),
            "certDir": str(local.certificates),
        },
        "leaderElection": {"resourceNamespace": local.namespace, **section(given, "leaderElection")},
    }
    if not switches:  # the manager takes gates from one place only
        mine["featureGates"] = {**section(given, "featureGates"), _OFF: False}
    told = [f"{one},{_OFF}=false" if one in switches else one for one in arguments]
    return told, yaml.safe_dump(mine, sort_keys=True)


def _read(document: str) -> Json:
    try:
        given: Any = yaml.safe_load(document)
    except yaml.YAMLError as error:
        raise ValueError(f"the configuration is no YAML: {error}") from error
    if isinstance(given, dict):
        return cast(Json, given)
    raise ValueError("the configuration is no mapping")


def _address(address: Any, default: int, local: Local) -> str:
    """`:8081` as an address of this machine; `0` says that nothing listens."""
    if str(address) == "0":
        return "0"
    _, _, number = str(address or f":{default}").rpartition(":")
    return f"127.0.0.1:{local.port(int(number))}"
