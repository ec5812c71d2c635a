"""What Kubernetes and AKS allow as labels and taints: pure checks, each with the remedy.

Source of the reserved prefixes: azure-aks-docs `use-labels.md`. The kubelet refuses the subdomains of
`kubernetes.io` and `k8s.io` by itself.
"""

from __future__ import annotations

import re

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
RESERVED = ("kubernetes.azure.com", "kubernetes.io", "k8s.io")
OURS = "trainyard"
AKS_LABELS = ("agentpool", "storageprofile", "storagetier", "accelerator", "nvidia.com/device-plugin.config")
"""Labels without a reserved prefix that AKS, or this platform, sets itself."""

_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$")
_PREFIX = re.compile(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$")
_NAME_RULE = "up to 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last"


def label_key_fault(key: str) -> str | None:
    """Why a key cannot be a label of a pool; None if it can."""
    if key in AKS_LABELS:
        return "is a label that the platform sets itself; allowed: keys of your own. Choose another."
    return _key_fault(key)


def label_value_fault(value: str) -> str | None:
    """Why a value cannot be a label's; None if it can."""
    if value == "" or _NAME.match(value):
        return None
    return f"is no label value; allowed: nothing, or {_NAME_RULE}. Change it."


def taint_fault(taint: str) -> str | None:
    """Why a text cannot be a taint of a pool; None if it can."""
    key, _, rest = taint.partition("=")
    value, _, effect = rest.rpartition(":")
    if not key or not rest or effect not in EFFECTS:
        return f"is no taint; allowed: key=value:Effect with {', '.join(EFFECTS)}. Write it so."
    if fault := _key_fault(key):
        return fault
    if not _NAME.match(value):
        return f"has the value `{value}`; allowed: {_NAME_RULE}. Change it."
    return None


def taint_key(taint: str) -> str:
    """The key of `key=value:Effect`."""
    return taint.partition("=")[0]


def _key_fault(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if any(prefix == one or prefix.endswith(f".{one}") for one in RESERVED):
        return f"has the reserved prefix `{prefix}/`, which AKS refuses; allowed: a prefix of your own. Rename it."
    if prefix == OURS:
        return "has the prefix `trainyard/`, under which the platform puts its own; allowed: another one. Rename it."
    if (slash and (len(prefix) > 253 or not _PREFIX.match(prefix))) or not _NAME.match(name):
        return (
            f"is no key of Kubernetes; allowed: {_NAME_RULE}, with a DNS name and `/` before it if need be. Rename it."
        )
    return None
