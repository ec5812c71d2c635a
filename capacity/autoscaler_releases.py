"""Which cluster-autoscaler goes with which Kubernetes: its minor version must be the cluster's.

Source: kubernetes/autoscaler `cluster-autoscaler/README.md`, the newest release of each minor, 2026-11-23.
"""

from __future__ import annotations

from collections.abc import Mapping

RELEASES: Mapping[str, str] = {"1.33": "v1.33.6", "1.34": "v1.34.5", "1.35": "v1.35.2", "1.36": "v1.36.1"}
"""Kubernetes minor to the autoscaler's release."""


def release_for(kubernetes_version: str) -> str | None:
    """The autoscaler's release for `1.36` or `1.36.1`, None where none is known."""
    return RELEASES.get(".".join(kubernetes_version.split(".")[:2]))
