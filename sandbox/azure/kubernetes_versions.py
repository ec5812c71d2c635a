"""The Kubernetes versions that the simulated AKS offers, and which change of version it allows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from sandbox.azure.behaviour import Body
from sandbox.azure.container_service import refusal

_DATA = Path(__file__).parent / "data" / "kubernetes_versions.json"
OFFICIAL = "KubernetesOfficial"
LONG_TERM = "AKSLongTermSupport"


@dataclass(frozen=True)
class Minor:
    """One minor version, `1.36`, with its patches in order and the support plans it is sold under."""

    name: str
    patches: tuple[str, ...]
    support: tuple[str, ...]
    is_default: bool


@lru_cache(maxsize=1)
def offered() -> tuple[Minor, ...]:
    """The versions in `data/kubernetes_versions.json`, oldest first."""
    document = cast(dict[str, Any], json.loads(_DATA.read_text()))
    return tuple(
        Minor(one["minor"], tuple(one["patches"]), tuple(one["support"]), one["default"])
        for one in document["versions"]
    )


def resolve(requested: str | None, *, cluster: str, support_plan: str = OFFICIAL) -> str:
    """The full version that `1.36`, `1.36.1` or nothing stands for.

    Args:
        cluster: its name, for the error.

    Raises:
        ArmError: AKS does not offer it, or only under another support plan.
    """
    minors = [minor for minor in offered() if support_plan in minor.support]
    if not requested:
        return next(minor for minor in minors if minor.is_default).patches[-1]
    for minor in minors:
        if requested == minor.name:
            return minor.patches[-1]
        if requested in minor.patches:
            return requested
    long_term_only = any(requested == minor.name or requested in minor.patches for minor in offered())
    reason = (
        "which is only available for Long-Term Support (LTS)"
        if long_term_only
        else "which is not supported in this region"
    )
    raise refusal(
        "K8sVersionNotSupported",
        f"Managed cluster {cluster} is on version {requested}, {reason}. Please use [az aks get-versions] command to "
        "get the supported version list in this region. For more information, please check "
        "https://aka.ms/supported-version-list",
    )


def number(version: str) -> tuple[int, ...]:
    """A version for comparing."""
    return tuple(int(part) for part in version.split("."))


def upgrades_from(current: str) -> list[str]:
    """The full versions that a control plane of `current` can go to: no minor version may be skipped."""
    here = number(current)
    return [
        patch
        for minor in offered()
        if number(minor.name)[1] in {here[1], here[1] + 1}
        for patch in minor.patches
        if number(patch) > here
    ]


def check_upgrade(current: str, wanted: str) -> None:
    """A version never goes down and skips no minor version.

    Raises:
        ArmError: it would.
    """
    possible = upgrades_from(current)
    if wanted != current and wanted not in possible:
        raise refusal(
            "OperationNotAllowed",
            f"Upgrading Kubernetes version {current} to {wanted} is not allowed. Available upgrades: "
            f"[{' '.join(reversed(possible))}]. Please see https://aka.ms/aks-supported-k8s-ver for version details.",
        )


def version_list() -> Body:
    """What `locations/{location}/kubernetesVersions` answers."""
    return {
        "values": [
            {
                "version": minor.name,
                "capabilities": {"supportPlan": list(minor.support)},
                "isDefault": minor.is_default,
                "isPreview": False,
                "patchVersions": {patch: {"upgrades": upgrades_from(patch)} for patch in minor.patches},
            }
            for minor in reversed(offered())
        ]
    }
