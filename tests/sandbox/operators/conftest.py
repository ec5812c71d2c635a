"""A real control plane with kwok, the nodes' controller and the operators, above an Azure that a test leads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any, cast

import pytest

from sandbox import certificates, control_plane, tools
from sandbox.home import REPOSITORY, Home
from sandbox.nodes.objects import items
from sandbox.operators.charts import Release, render
from sandbox.progress import Progress
from sandbox.providers.kubernetes.charts import definitions
from tests.sandbox.nodes.conftest import Cluster, eventually
from tests.sandbox.nodes.fake_azure import FakeAzure

Json = dict[str, Any]
_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "kubectl")
_CUSTOM = (
    *("cephclusters", "cephfilesystems", "cephblockpools", "clientprofiles", "cephconnections", "drivers"),
    *("operatorconfigs", "kadalustorages", "storageclusters"),
)


class StorageCluster(Cluster):
    """The cluster under test, with operators that can be started and killed."""

    _operators: subprocess.Popen[bytes] | None = None

    @property
    def has_operators(self) -> bool:
        """Whether the operators' process runs."""
        return self._operators is not None and self._operators.poll() is None

    def free(self, *where: str) -> None:
        """Take all finalizers off an object, where it is still there."""
        if self.get(*where):
            self.kubectl("patch", *where, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')

    def start_operators(self) -> None:
        """Start `python -m sandbox.operators`."""
        log = (self.home.logs / "operators.log").open("ab")
        self._operators = subprocess.Popen(
            [sys.executable, "-m", "sandbox.operators", "--home", str(self.home.root)],
            cwd=REPOSITORY,
            stdout=log,
            stderr=log,
        )

    def kill_operators(self) -> None:
        """`kill -9` them."""
        if self._operators is not None:
            self._operators.kill()
            self._operators.wait()

    def install(self, chart: str, namespace: str, version: str = "1.0", **values: Any) -> list[Json]:
        """Apply a chart's objects; gives them."""
        made = render(Release("release", namespace, chart, version, values))
        assert made is not None
        self.apply(*made)
        return made

    def pods(self, namespace: str, **labels: str) -> list[Json]:
        """The ready pods with these labels."""
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        return [
            pod
            for pod in self.list("pods", "-n", namespace, "-l", selector)
            if any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
            and not pod["metadata"].get("deletionTimestamp")
        ]

    def drivers_of(self, node: str) -> set[str]:
        """The drivers that a node's CSINode lists."""
        return {one["name"] for one in items(self.get("csinode", node), "spec", "drivers")}

    def events(self, namespace: str) -> str:
        """What was said in a namespace."""
        return "\n".join(f"{one['reason']}: {one['message']}" for one in self.list("events", "-n", namespace))

    def phase(self, kind: str, namespace: str, name: str) -> str:
        """A custom resource's phase; empty where it has none."""
        return cast("str", self.get(kind, name, "-n", namespace).get("status", {}).get("phase", ""))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[StorageCluster]:
    home = Home(tmp_path_factory.mktemp("operators"))
    home.create()
    certificates.ensure(home)
    wanted = [tool for tool in tools.TOOLS if tool.name in _PROGRAMS]
    found = {name: str(one.path) for name, one in tools.ensure(Progress(), wanted).items()}
    home.tools_file.write_text(json.dumps(found))
    pair = certificates.pair(home, "azure")
    azure = FakeAzure(home.config.ports["azure"], pair.cert, pair.key)
    cluster = StorageCluster(home, found["kubectl"], azure)
    try:
        control_plane.start(home)
        cluster.start_controller()
        cluster.start_operators()
        for chart in ("rook-ceph", "kadalu", "portworx"):
            known = definitions(chart)
            assert known is not None
            cluster.apply(*known.crds)
        yield cluster
    finally:
        cluster.kill_operators()
        cluster.kill_controller()
        control_plane.stop(home)
        azure.close()


@pytest.fixture
def cluster(running: StorageCluster) -> Generator[StorageCluster]:
    """The running cluster; what a test made of namespaces and storage is gone after it."""
    if not running.has_operators:
        running.start_operators()
    yield running
    _clear(running)


def _clear(cluster: StorageCluster) -> None:
    """Take away whatever a test left, finalizers or not."""
    mine = [
        one["metadata"]["name"]
        for one in cluster.list("namespaces")
        if not one["metadata"]["name"].startswith(("kube-", "default"))
    ]
    for name in mine:
        cluster.kubectl("delete", "deployments,daemonsets,statefulsets", "--all", "-n", name, "--wait=false")
    cluster.kubectl("delete", "pods,pvc,jobs,deployments,daemonsets", "--all", "-n", "default", "--wait=false")
    for kind in _CUSTOM:
        for one in cluster.list(kind, "-A"):
            where = (kind, one["metadata"]["name"], "-n", one["metadata"]["namespace"])
            cluster.kubectl("delete", *where, "--wait=false", "--ignore-not-found")
            cluster.free(*where)
    for kind in ("secrets", "configmaps"):
        for one in cluster.list(kind, "-A"):
            if one["metadata"].get("finalizers"):
                cluster.free(kind, one["metadata"]["name"], "-n", one["metadata"]["namespace"])
    cluster.azure.machines = []
    eventually(lambda: not cluster.list("nodes"))
    for name in mine:
        cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
    eventually(lambda: not {one["metadata"]["name"] for one in cluster.list("namespaces")} & set(mine), within=240)
    for one in cluster.list("pv"):
        cluster.kubectl("delete", "pv", one["metadata"]["name"], "--wait=false", "--ignore-not-found")
        cluster.free("pv", one["metadata"]["name"])
    classes = [one["metadata"]["name"] for one in cluster.list("storageclasses")]
    for name in classes:
        if name.startswith(("disks", "rook-", "kadalu.", "px-")):
            cluster.kubectl("delete", "storageclass", name)
