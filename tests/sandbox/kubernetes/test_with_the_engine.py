"""The real engine and a real program on the provider: `up`, second preview, refresh, change, destroy."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import environment
from sandbox.home import REPOSITORY, Home

Kubectl = Callable[..., Any]
PROGRAM = """
import pathlib

import pulumi
import pulumi_kubernetes as kubernetes

kubeconfig = pathlib.Path(pulumi.Config().require("kubeconfig")).read_text()
replicas = pulumi.Config().get_int("replicas") or 1
early = kubernetes.Provider("early", kubeconfig=pulumi.Output.secret(kubeconfig), cluster_identifier="one")
first = kubernetes.core.v1.Namespace("first", opts=pulumi.ResourceOptions(provider=early))
# Known only once the namespace is there, as a cluster's own kubeconfig is in the first preview.
late = kubernetes.Provider("late", kubeconfig=first.id.apply(lambda _: kubeconfig), cluster_identifier="one")
opts = pulumi.ResourceOptions(provider=late)
namespace = kubernetes.core.v1.Namespace("app", metadata={"name": "engine-app"}, opts=opts)
settings = kubernetes.core.v1.ConfigMap("settings", metadata={"namespace": "engine-app"}, data={"a": "1"}, opts=opts)
secret = kubernetes.core.v1.Secret(
    "secret", metadata={"namespace": "engine-app"}, string_data={"password": pulumi.Output.secret("hidden")}, opts=opts
)
labels = {"app": "web"}
web = kubernetes.apps.v1.Deployment(
    "web",
    metadata={"namespace": "engine-app", "name": "web"},
    spec={
        "replicas": replicas,
        "selector": {"match_labels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "containers": [
                    {
                        "name": "web",
                        "image": "nginx",
                        "env_from": [{"config_map_ref": {"name": settings.metadata.name}}],
                        "resources": {"limits": {"cpu": "0.5", "memory": "1024Mi"}},
                        "args": [],
                    }
                ]
            },
        },
    },
    opts=opts,
)
kubernetes.core.v1.Service(
    "web", metadata={"namespace": "engine-app", "name": "web"}, spec={"selector": labels, "ports": [{"port": 80}]},
    opts=opts,
)
kubernetes.policy.v1.PodDisruptionBudget(
    "web", metadata={"namespace": "engine-app"}, spec={"max_unavailable": 1, "selector": {"match_labels": labels}},
    opts=opts,
)
for index in range(40):
    kubernetes.core.v1.ConfigMap(
        f"many-{index}", metadata={"namespace": "engine-app"}, data={"i": str(index)}, opts=opts
    )
rook = kubernetes.helm.v3.Release(
    "rook", chart="rook-ceph", version="v1.20.6", namespace="engine-app", values={"a": {"b": True}}, opts=opts
)
kubernetes.apiextensions.CustomResource(
    "ceph", api_version="ceph.rook.io/v1", kind="CephCluster", metadata={"namespace": "engine-app"},
    spec={"mon": {"count": 3}}, opts=pulumi.ResourceOptions(provider=late, depends_on=[rook]),
)
pulumi.export("ready", web.status.ready_replicas)
pulumi.export("data", secret.data)
"""


class Pulumi:
    """The engine's command line in one project's folder."""

    def __init__(self, home: Home, folder: Path, port: int) -> None:
        self._folder = folder
        self._environment = environment.process_environment(home) | {
            "PULUMI_DEBUG_PROVIDERS": f"kubernetes:{port}",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
        }

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def state(self) -> dict[str, Any]:
        """The outputs of every resource, by name and type."""
        resources = json.loads(self("stack", "export"))["deployment"]["resources"]
        return {one["urn"].split("::", 2)[2]: one for one in resources}


@pytest.fixture(scope="module")
def pulumi(plane: Home, provider: int, tmp_path_factory: pytest.TempPathFactory) -> Pulumi:
    folder = tmp_path_factory.mktemp("project")
    (folder / "__main__.py").write_text(PROGRAM)
    project = {"name": "project", "runtime": "python", "config": {"pulumi:disable-default-providers": ["kubernetes"]}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    run = Pulumi(plane, folder, provider)
    run("stack", "init", "test")
    run("config", "set", "kubeconfig", str(plane.admin_kubeconfig))
    return run


def test_a_program_comes_up_stays_the_same_changes_and_goes(pulumi: Pulumi, kubectl: Kubectl) -> None:
    pulumi("up", "--yes", "--skip-preview")
    assert kubectl("get", "deployment", "web", "-n", "engine-app", "-o", "json")["status"]["readyReplicas"] == 1
    assert pulumi("stack", "output", "ready").strip() == "1"
    assert "secret" in pulumi("stack", "output", "data")
    pulumi("preview", "--expect-no-changes")
    pulumi("refresh", "--yes", "--expect-no-changes")

    kubectl("delete", "pod", "-n", "engine-app", "-l", "app=web", "--wait=true")
    kubectl("rollout", "status", "-n", "engine-app", "deployment/web", "--timeout=180s")
    pulumi("refresh", "--yes", "--expect-no-changes")
    pulumi("preview", "--expect-no-changes")

    pulumi("config", "set", "replicas", "2")
    said = pulumi("up", "--yes")
    assert "1 updated" in said
    assert "replaced" not in said
    assert kubectl("get", "deployment", "web", "-n", "engine-app", "-o", "json")["status"]["readyReplicas"] == 2

    kubectl(
        "patch", "service", "web", "-n", "engine-app", "-p", '{"spec": {"ports": [{"port": 80, "targetPort": 81}]}}'
    )
    kubectl("delete", "pdb", "--all", "-n", "engine-app")
    said = pulumi("up", "--yes", "--refresh")
    assert "1 created" in said, "what somebody deleted comes back"
    pulumi("preview", "--expect-no-changes")

    pulumi("destroy", "--yes")
    with pytest.raises(RuntimeError, match="NotFound"):
        kubectl("get", "namespace", "engine-app")
