"""How often a verdict on a pod is written, while the copy of the pod lags behind."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from sandbox.kubernetes_client import KubernetesClient, PatchKind
from sandbox.nodes import workloads
from sandbox.nodes.objects import Json
from sandbox.nodes.surroundings import Surroundings
from sandbox.nodes.verdicts import Verdict, runs
from sandbox.nodes.watched import Watched
from sandbox.nodes.workloads import Workloads


class Client:
    """Takes patches, and tells nobody of them."""

    def __init__(self) -> None:
        self.patches: list[Json] = []

    async def patch(self, _where: str, body: Json, _kind: PatchKind) -> Json:
        self.patches.append(body)
        return body


def exporter(version: str) -> Json:
    return {
        "metadata": {"namespace": "kube-system", "name": "e", "uid": "u", "resourceVersion": version},
        "spec": {"containers": [{"name": "e", "image": "nvcr.io/nvidia/k8s/dcgm-exporter:4"}]},
        "status": {"phase": "Pending", "conditions": [{"type": "Initialized", "status": "True"}]},
    }


def test_a_verdict_is_written_once_for_each_version_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    async def judged(_pod: Json, _around: Surroundings) -> tuple[Verdict, Json | None]:
        return runs(), None

    async def play() -> None:
        client = Client()
        pods = Watched(cast(KubernetesClient, client), "/api/v1/pods")
        watched: Any = pods
        Workloads(cast(KubernetesClient, client), pods, cast(Surroundings, None))
        for version in ("1", "2"):
            watched._put(("kube-system", "e"), exporter(version))
            await asyncio.sleep(0.1)
        assert [one["metadata"]["resourceVersion"] for one in client.patches] == ["1", "2"]
        watched._put(("kube-system", "e"), None)

    monkeypatch.setattr(workloads, "judge_pod", judged)
    monkeypatch.setattr(workloads, "_RETRY", 0.01)
    asyncio.run(play())
