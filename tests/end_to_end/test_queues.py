"""A gang starts whole or not at all, with the real Kueue on the real API server and the sandbox's own autoscaler.

The stack is deployed from a copy of its file with queues and a class of 7 machines, later of 8, and from the file
itself at the end, which takes Kueue away again. The first run builds Kueue and Helm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from components.queues import CHECK, GANG, NAMESPACE
from sandbox.home import REPOSITORY
from sandbox.nodes.objects import condition, items, labels_of, section, text
from sandbox.progress import Progress
from sandbox.tools import QUEUE_TOOLS, ensure
from tests.conftest import RunningSandbox, Stack
from tests.end_to_end.whole import StackFile, delete_machines

pytestmark = pytest.mark.sandbox

CLASS, POOL = "light-gpu", "light"
GROWING = ("cpu", "light", "heavy")
"""Pools that are empty when nothing waits; one with machines would not be updated."""
MACHINES = 8
QUEUE = "kueue.x-k8s.io/queue-name"
CONSUMES = "autoscaling.x-k8s.io/consume-provisioning-request"
Json = dict[str, Any]


@dataclass(frozen=True)
class Queues:
    """The deployed queues, and jobs in them."""

    file: StackFile

    @property
    def sandbox(self) -> RunningSandbox:
        return self.file.stack.sandbox

    def submit(self, name: str, queue: str, machines: int, *, seconds: int, namespace: str = "default") -> str:
        """A job of one pod a machine; gives what the API server says where it does not take it."""
        container = {
            "name": "main",
            "image": "example.invalid/job:1",
            "resources": {"requests": {"cpu": "2"}, "limits": {"nvidia.com/gpu": "1"}},
        }
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": namespace, "labels": {QUEUE: queue} if queue else {}},
            "spec": {
                "parallelism": machines,
                "completions": machines,
                "template": {
                    "metadata": {"annotations": {"sandbox.trainyard/run-seconds": str(seconds)}},
                    "spec": {"restartPolicy": "Never", "containers": [container]},
                },
            },
        }
        admin = ("--kubeconfig", str(self.sandbox.home.admin_kubeconfig))
        return self.sandbox.run("kubectl", *admin, "apply", "-f", "-", stdin=json.dumps(job), check=False).stderr

    def get(self, *what: str) -> Json:
        return json.loads(self.sandbox.admin_kubectl("get", *what, "--ignore-not-found", "-o", "json") or "{}")

    def pods(self, job: str) -> list[Json]:
        return items(self.get("pods", "-l", f"job-name={job}"), "items")

    def workload(self, job: str) -> Json:
        """Kueue's own object for a job."""
        found = items(self.get("workloads.kueue.x-k8s.io"), "items")
        owned = [one for one in found if any(own["name"] == job for own in items(one, "metadata", "ownerReferences"))]
        return owned[0] if owned else {}

    def machines(self, *pools: str) -> int:
        """Machines of these pools."""
        found = items(self.get("nodes"), "items")
        return sum(labels_of(one).get("trainyard/pool") in pools for one in found)

    def succeeded(self, job: str) -> int:
        return int(text(self.get("job", job), "status", "succeeded") or 0)


@pytest.fixture(scope="module")
def queues(platform: Stack, tmp_path_factory: pytest.TempPathFactory) -> Generator[Queues]:
    """Queues over a class of seven machines, which go after a minute."""
    copy = tmp_path_factory.mktemp("queues") / "Pulumi.sandbox.yaml"
    values = yaml.safe_load((REPOSITORY / "stacks" / copy.name).read_text())
    values["config"]["trainyard:queues"] = {"enabled": True}
    values["config"]["trainyard:pools"][POOL]["max"] = MACHINES - 1
    values["config"]["trainyard:autoscaler"]["idleMinutes"] = 1
    copy.write_text(yaml.safe_dump(values, sort_keys=False))
    ensure(Progress(), QUEUE_TOOLS)  # as `pulumi up` would, but without an end to its patience
    file = StackFile(platform, copy)
    made = Queues(file)
    delete_machines(platform.sandbox, *GROWING)
    file.up()
    yield made
    platform.sandbox.admin_kubectl("delete", "jobs", "-l", QUEUE, "--wait")
    delete_machines(platform.sandbox, *GROWING)
    platform.pulumi("up", "--yes", "--skip-preview")


def wait(what: str, until: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so; fails the test where that takes too long."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)


def test_with_room_for_seven_a_gang_of_eight_starts_nothing_holds_nothing_and_lets_a_small_job_pass(
    queues: Queues,
) -> None:
    assert queues.submit("gang", f"{CLASS}{GANG}", MACHINES, seconds=40) == ""
    wait("Kueue has looked at the gang", lambda: bool(condition(queues.workload("gang"), "QuotaReserved")), 60)
    reserved = condition(queues.workload("gang"), "QuotaReserved")
    assert reserved["status"] == "False", reserved
    assert queues.submit("small", CLASS, 1, seconds=5) == ""
    most = 0

    def is_done() -> bool:
        nonlocal most
        most = max(most, queues.machines(POOL))
        return queues.succeeded("small") == 1

    wait("the small job completes", is_done, 180)
    assert most == 1, "machines for the small job alone"
    assert queues.pods("gang") == []
    assert queues.get("job", "gang")["spec"]["suspend"] is True
    assert items(queues.get("provisioningrequests"), "items") == [], "it asks for machines once it has quota"
    used = section(queues.get("clusterqueue", f"{CLASS}{GANG}"), "status")["flavorsReservation"]
    assert {one["total"] for flavor in used for one in flavor["resources"]} == {"0"}, "it holds nothing"


def test_with_room_for_eight_it_starts_whole(queues: Queues) -> None:
    wait("the small job's machine is gone", lambda: queues.machines(POOL) == 0, 240)
    queues.file.set(f"pools.{POOL}.max", str(MACHINES))
    queues.file.up()
    running: set[int] = set()
    consumes: set[str] = set()

    def is_done() -> bool:
        pods = queues.pods("gang")
        running.add(sum(pod["status"].get("phase") == "Running" for pod in pods))
        consumes.update(section(pod, "metadata", "annotations").get(CONSUMES, "") for pod in pods)
        return queues.succeeded("gang") == MACHINES

    wait("the gang completes", is_done, 300)
    assert max(running) == MACHINES, "all at once"
    [request] = consumes
    assert CHECK in request
    assert condition(queues.workload("gang"), "Finished")["status"] == "True"


def test_while_kueue_is_away_no_job_passes_it_by_and_other_namespaces_go_on(queues: Queues) -> None:
    scale = ("-n", NAMESPACE, "scale", "deployment", "kueue-controller-manager")
    queues.sandbox.admin_kubectl(*scale, "--replicas", "0")
    wait("Kueue is gone", lambda: not items(queues.get("pods", "-n", NAMESPACE), "items"), 60)
    try:
        assert "failed calling webhook" in queues.submit("early", CLASS, 1, seconds=1)
        assert queues.submit("elsewhere", "", 1, seconds=1, namespace="kube-system") == ""
    finally:
        queues.sandbox.admin_kubectl("-n", "kube-system", "delete", "job", "elsewhere", "--ignore-not-found")
        queues.sandbox.admin_kubectl(*scale, "--replicas", "1")
        wait_for_kueue = ("-n", NAMESPACE, "rollout", "status", "deployment", "kueue-controller-manager")
        queues.sandbox.admin_kubectl(*wait_for_kueue, "--timeout", "120s")
    assert queues.submit("late", CLASS, 1, seconds=1) == ""
    wait("a job completes again", lambda: queues.succeeded("late") == 1, 180)
