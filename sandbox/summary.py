"""What `make up` ends with: the platform in words a person can read."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from sandbox.environment import language_host, process_environment, real_kubernetes_provider
from sandbox.home import Home

_RELEASE = "sandbox.trainyard/release"
"""Label of a chart's record in the cluster; there is none where the real Kubernetes provider serves."""


def summary(home: Home, stack: str, outputs: Mapping[str, Any]) -> str:
    """The summary's text.

    Args:
        home: the sandbox.
        stack: the stack that was deployed.
        outputs: the stack's outputs.
    """
    nodes = kubectl_json(home, "get", "nodes", "-o", "json")["items"]
    version = kubectl_json(home, "version", "-o", "json")["serverVersion"]["gitVersion"]
    provider = real_kubernetes_provider(home)
    return "\n".join(
        [
            f"Stack {stack} is up: cluster {outputs.get('clusterName', '?')}, Kubernetes {version}, "
            f"autoscaler {outputs.get('autoscaler', '?')}.",
            "",
            *pool_table(outputs.get("pools", {}), nodes),
            "",
            *storage_lines(outputs),
            *chart_lines(kubectl_json(home, "get", "configmaps", "-A", "-l", _RELEASE, "-o", "json")["items"]),
            f"Kubernetes provider: {provider or 'one of the sandbox itself'}.",
            f"Python language host: {language_host(home)}.",
            "",
            "Look further:",
            '  eval "$(make -s env)"     then pulumi, kubectl and the SDKs of Azure work on it',
            "  kubectl get nodes,pods -A",
            "  pulumi stack output",
            "  make status               the processes of the sandbox",
            f"  {home.logs}",
            "  make down                 remove everything",
        ]
    )


def pool_table(pools: Mapping[str, Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Pools as a table: class, size, limits, and the nodes that are there now."""
    now = Counter(_label(node, "trainyard/pool") for node in nodes)
    ready = Counter(_label(node, "trainyard/pool") for node in nodes if _is_ready(node))
    rows = [("POOL", "CLASS", "SIZE", "ROLE", "MIN", "MAX", "NODES", "")]
    for key, pool in pools.items():
        count = f"{now[key]}" if now[key] == ready[key] else f"{now[key]} ({ready[key]} ready)"
        price = "spot" if pool.get("spot") else ""
        rows.append(
            (key, pool["class"], pool["vmSize"], pool["role"], f"{pool['min']:g}", f"{pool['max']:g}", count, price)
        )
    system = sum(_label(node, "kubernetes.azure.com/mode") == "system" for node in nodes)
    rows.append(("(system)", "", "", "", "", "", str(system), ""))
    return aligned(rows)


def storage_lines(outputs: Mapping[str, Any]) -> list[str]:
    """Shares, containers, the file system's claim and StorageClasses, where the stack has any."""
    named = (
        ("Shares", "shares"),
        ("Containers", "containers"),
        ("File system", "fileSystem"),
        ("StorageClasses", "storageClasses"),
        ("Storage accounts", "storageAccounts"),
    )
    return [f"{title}: {_listed(outputs[key])}" for title, key in named if outputs.get(key)]


def kept_things(outputs: Mapping[str, Any]) -> list[str]:
    """What a destroy of the stack leaves on Azure, in words; nothing where data is deleted or nothing was deployed."""
    return [str(one) for one in outputs.get("keptOnDestroy", [])]


def chart_lines(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Charts with where their custom resource definitions come from: the chart's own schema, or a permissive one."""
    charts = sorted((one["data"]["chart"], one["data"]["version"], one["data"]["definitions"]) for one in records)
    said = ", ".join(f"{chart} {version} ({source})" for chart, version, source in charts if source != "none")
    return [f"Charts and their definitions: {said}"] if said else []


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Columns two spaces apart."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def kubectl_json(home: Home, *arguments: str) -> Any:
    """Ask the API server as the sandbox's administrator.

    Raises:
        subprocess.CalledProcessError: it does not answer.
    """
    done = subprocess.run(
        [str(home.bin / "kubectl"), "--kubeconfig", str(home.admin_kubeconfig), *arguments],
        env=process_environment(home),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _listed(value: Any) -> str:
    """A list or mapping of names in one line."""
    if isinstance(value, Mapping):
        pairs = cast(Mapping[str, Any], value)
        return ", ".join(f"{name} ({_listed(inner)})" if inner else name for name, inner in pairs.items())
    if isinstance(value, list):
        values = cast(list[Any], value)
        return ", ".join(_listed(inner) for inner in values)
    return str(value)


def _label(node: Mapping[str, Any], key: str) -> str:
    return node["metadata"].get("labels", {}).get(key, "")


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
