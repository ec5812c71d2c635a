"""Labels and taints of an agent pool: Kubernetes' syntax, and what AKS keeps to itself.

Pure; each check raises ArmError with AKS's code and words, or returns nothing.
"""

from __future__ import annotations

import re

from sandbox.azure.behaviour import Body
from sandbox.azure.container_service import invalid, listed, mapping, refusal

SPOT_LABEL = "kubernetes.azure.com/scalesetpriority"
SPOT_TAINT = f"{SPOT_LABEL}=spot:NoSchedule"
_LABEL_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_LABEL_PREFIX = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_LABEL_KEY = re.compile(rf"({_LABEL_PREFIX}/)?{_LABEL_NAME}")
_LABEL_VALUE = re.compile(rf"({_LABEL_NAME})?")
_TAINT = re.compile(rf"(?P<key>({_LABEL_PREFIX}/)?{_LABEL_NAME})(=(?P<value>({_LABEL_NAME})?))?:(?P<effect>\w+)")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_OWN_LABELS = {"agentpool", "storageprofile", "storagetier", "accelerator"}
"""Short labels that AKS sets itself (azure-aks-docs use-labels.md)."""


def parsed_taint(taint: str) -> re.Match[str] | None:
    """`key=value:Effect` in groups `key`, `value`, `effect`; None where it is none."""
    return _TAINT.fullmatch(taint)


def check_labels(properties: Body) -> None:
    """Kubernetes' syntax, and none of the keys that AKS or Kubernetes keep to themselves."""
    for key, value in mapping(properties.get("nodeLabels")).items():
        if key == SPOT_LABEL and value == "spot" and properties.get("scaleSetPriority") == "Spot":
            continue
        prefix = key.partition("/")[0] if "/" in key else ""
        if prefix == "kubernetes.azure.com" or prefix.endswith(".kubernetes.azure.com"):
            raise refusal(
                "BadRequest",
                f"Invalid node label key {key}. The 'kubernetes.azure.com' prefix is preserved by aks system labels",
            )
        kubernetes = any(prefix == own or prefix.endswith("." + own) for own in ("kubernetes.io", "k8s.io"))
        allowed = any(prefix.endswith(own) for own in ("kubelet.kubernetes.io", "node.kubernetes.io"))
        if kubernetes and not allowed:
            raise refusal(
                "BadRequest",
                "For Kubernetes version greater than or equal to 1.16, node label keys in the 'kubernetes.io' or "
                "'k8s.io' namespace must begin with an allowed prefix (kubelet.kubernetes.io, node.kubernetes.io). "
                "For more information, please check https://aka.ms/aks-node-labels-116.",
                f"{key}={value}",
            )
        if key.lower() in _OWN_LABELS:
            raise refusal("NodeLabelKeyNotAllowed", f"Node label with key '{key}' is set by AKS and cannot be given.")
        if len(prefix) > 253 or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(str(value)):
            raise refusal(
                "BadRequest",
                f"Node label '{key}: {value}' does not meet syntax and character specifications. Please see "
                "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ for more details.",
            )


def check_taints(properties: Body) -> None:
    """`key=value:Effect`, none twice, and none that only AKS may set."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(listed(properties.get("nodeTaints"))):
        at = f"agentPoolProfile.nodeTaints[{index}]"
        parts = parsed_taint(str(taint))
        if not parts or parts["effect"] not in _EFFECTS:
            raise invalid(
                at, f"The taint '{taint}' must be 'key=value:Effect' with an effect of {', '.join(_EFFECTS)}."
            )
        key = parts["key"]
        spots_own = taint == SPOT_TAINT and properties.get("scaleSetPriority") == "Spot"
        if key.startswith(("kubernetes.azure.com/", "node.kubernetes.io/", "kubernetes.io/")) and not spots_own:
            raise invalid(
                at, f"The taint key '{key}' is reserved for the system: Modifications to system taints aren't allowed."
            )
        if (key, parts["effect"]) in seen:
            raise invalid(at, f"The taint '{taint}' repeats a key and effect.")
        seen.add((key, parts["effect"]))
