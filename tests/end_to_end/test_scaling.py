"""From zero to what waits and back, on the real API server and scheduler: no machine too many, no job lost.

Times are those of a sandbox whose machines boot within seconds; the stack is deployed from a copy of its file with
larger pools, and from the file itself at the end.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

import pytest
import yaml

from sandbox.home import REPOSITORY
from sandbox.orders import ask, quota, set_quota
from sandbox.processes import Processes
from tests.conftest import RunningSandbox, Stack
from tests.end_to_end.whole import StackFile, delete_machines, machines_of

pytestmark = pytest.mark.sandbox

NAMESPACE = "scaling"
REGION, A100 = "westeurope", "StandardNCADSA100v4Family"
JOBS = 40
SLACK = 30.0
"""Seconds beyond the boot delay within which another pool's machines must run the jobs."""
Json = dict[str, Any]


class Yard:
    """Jobs, machines and faults of the sandbox."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox

    def faults(self, *wanted: Json) -> None:
        ask(self.sandbox.home, "PUT", "/sandbox/faults", {"faults": list(wanted)})

    def submit(self, name: str, count: int, selector: dict[str, str], *, seconds: int = 10, gpus: int = 1) -> None:
        limits = {"nvidia.com/gpu": gpus} if gpus else {}
        tolerations = [
            {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
            {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Exists"},
        ]
        container = {"name": "main", "image": "example.invalid/job:1"}
        resources = {"requests": {"cpu": "2"}, "limits": limits}
        pod = {
            "restartPolicy": "Never",
            "nodeSelector": selector,
            "tolerations": tolerations if gpus else [],
            "containers": [{**container, "resources": resources}],
        }
        marks = {"sandbox.trainyard/run-seconds": str(seconds)}
        jobs = [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": f"{name}-{number}", "namespace": NAMESPACE},
                "spec": {"template": {"metadata": {"annotations": marks, "labels": {"kind": name}}, "spec": pod}},
            }
            for number in range(count)
        ]
        self.sandbox.admin_kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(one) for one in jobs))

    def items(self, *what: str) -> list[Json]:
        return json.loads(self.sandbox.admin_kubectl("get", *what, "-o", "json"))["items"]

    def complete(self) -> int:
        return sum(int(one.get("status", {}).get("succeeded") or 0) for one in self.items("jobs", "-n", NAMESPACE))

    def machines(self) -> Counter[str]:
        return machines_of(self.sandbox)

    def restart_autoscaler(self) -> None:
        """A new process: it remembers no failure of an earlier test."""
        Processes(self.sandbox.home).stop("autoscaler")
        self.sandbox.sandbox_command("start")

    def pools_of_pods(self, kind: str) -> set[str]:
        """Pools on whose nodes pods of a kind run or ran."""
        pods = self.items("pods", "-n", NAMESPACE, "-l", f"kind={kind}")
        nodes = {one["metadata"]["name"]: one["metadata"]["labels"] for one in self.items("nodes")}
        used = {one["spec"]["nodeName"] for one in pods if one["spec"].get("nodeName")}
        return {nodes[name].get("trainyard/pool", "") for name in used if name in nodes}


def wait(what: str, until: Callable[[], bool], seconds: float) -> float:
    """Seconds until it was so; fails the test where that takes too long."""
    began = time.monotonic()
    while not until():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds:.0f} s"
        time.sleep(1)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def large(platform: Stack, tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    """The stack with a large heavy pool, an on-demand pool after it, and machines that go after a minute."""
    copy = tmp_path_factory.mktemp("scaling") / "Pulumi.sandbox.yaml"
    values = yaml.safe_load((REPOSITORY / "stacks" / copy.name).read_text())
    pools = values["config"]["trainyard:pools"]
    pools["heavy"] |= {"max": JOBS, "priority": 20}
    pools["sure"] = {"class": "heavy-gpu", "vmSize": "Standard_NC24ads_A100_v4", "min": 0, "max": 8, "priority": 10}
    values["config"]["trainyard:autoscaler"]["idleMinutes"] = 1
    copy.write_text(yaml.safe_dump(values, sort_keys=False))
    StackFile(platform, copy).up()
    yield
    platform.pulumi("up", "--yes", "--skip-preview")


@pytest.fixture
def yard(large: None, sandbox: RunningSandbox) -> Generator[Yard]:
    """An empty namespace, plenty of quota, no faults, and no machines that scale; left as it was found."""
    made = Yard(sandbox)
    with quota(sandbox.home, REGION, {"lowPriorityCores": 2000, A100: 576}):
        made.restart_autoscaler()
        sandbox.admin_kubectl("create", "namespace", NAMESPACE)
        yield made
        made.faults()
        sandbox.admin_kubectl("delete", "namespace", NAMESPACE, "--wait")
        delete_machines(sandbox, "heavy", "sure", "light", "cpu")


def test_forty_jobs_bring_forty_machines_complete_and_take_the_machines_along(yard: Yard) -> None:
    yard.submit("train", JOBS, {"trainyard/pool": "heavy"}, seconds=20)
    most = 0

    def all_done() -> bool:
        nonlocal most
        most = max(most, yard.machines()["heavy"])
        return yard.complete() == JOBS

    wait("forty jobs complete", all_done, 400)
    assert most <= JOBS
    wait("machines back to none", lambda: yard.machines()["heavy"] == 0, 300)
    failed = [one for one in yard.items("pods", "-n", NAMESPACE) if one["status"]["phase"] == "Failed"]
    assert failed == [], "a running job was disturbed"


def test_two_classes_at_once_keep_apart(yard: Yard) -> None:
    before = yard.machines()["serve"]
    yard.submit("gpu", 4, {"trainyard/class": "light-gpu", "trainyard/role": "train"}, seconds=15)
    yard.submit("plain", 4, {"trainyard/class": "cpu"}, gpus=0, seconds=15)
    seen: dict[str, set[str]] = {"gpu": set(), "plain": set()}

    def all_done() -> bool:
        for kind in seen:
            seen[kind] |= yard.pools_of_pods(kind)
        return yard.complete() == 8

    wait("eight jobs complete", all_done, 300)
    assert seen == {"gpu": {"light"}, "plain": {"cpu"}}
    assert yard.machines()["serve"] == before


FAILURES: dict[str, Json] = {
    "refused, AllocationFailed": {"answer": "AllocationFailed"},
    "refused, SkuNotAvailable": {"answer": "SkuNotAvailable"},
    "refused, QuotaExceeded": {"answer": "QuotaExceeded"},
    "accepted, nothing left behind": {"answer": "AllocationFailed", "when": "later", "after": 3},
    "accepted, failed machines left behind": {"answer": "AllocationFailed", "when": "later", "after": 3, "leave": 2},
}


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES.keys())
def test_when_spot_cannot_be_had_the_next_pool_runs_the_jobs(yard: Yard, fault: Json) -> None:
    yard.faults({**fault, "name": "heavy", "count": None})
    yard.submit("train", 2, {"trainyard/class": "heavy-gpu"}, seconds=5)

    def known() -> bool:
        log = Processes(yard.sandbox.home).log("autoscaler").read_text()
        return "aks-heavy" in log and "is left alone" in log.rpartition("scaling begins")[2]

    wait("the failure is known", known, 120)
    boot = yard.sandbox.home.config.boot_delay
    wait("the jobs run on demand", lambda: yard.pools_of_pods("train") == {"sure"}, SLACK + boot)
    wait("both jobs complete", lambda: yard.complete() == 2, 60)
    assert yard.machines()["heavy"] == 0, "failed machines were left behind"


def test_with_a_full_quota_nothing_is_half_done_and_the_rest_goes_on(yard: Yard) -> None:
    set_quota(yard.sandbox.home, REGION, A100, 24)
    yard.submit("train", 3, {"trainyard/pool": "sure"})
    yard.submit("plain", 1, {"trainyard/class": "cpu"}, gpus=0)
    wait("the other pool's job completes", lambda: yard.complete() == 1, 120)
    assert yard.machines()["sure"] == 0, "Azure refuses the whole change"
    events = yard.items("events", "-n", NAMESPACE)
    assert any(one["reason"] == "NotTriggerScaleUp" and "QuotaExceeded" not in one["message"] for one in events)


def test_an_autoscaler_killed_in_a_scale_up_leaves_no_machine_and_loses_no_job(yard: Yard) -> None:
    yard.submit("train", 6, {"trainyard/pool": "heavy"})
    wait("machines are asked for", lambda: yard.machines()["heavy"] > 0, 60)
    pid = Processes(yard.sandbox.home).pid("autoscaler")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    time.sleep(2)
    yard.sandbox.sandbox_command("start")
    wait("all jobs complete", lambda: yard.complete() == 6, 200)
    assert yard.machines()["heavy"] <= 6
    wait("machines back to none, by the new process", lambda: yard.machines()["heavy"] == 0, 300)
