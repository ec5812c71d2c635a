"""The Job: pinned, placed, harmless; its script runs; and what a run does with the cluster's answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from capacity.classes import GPU_TAINT
from storage_bench import __main__ as command
from storage_bench.job import RUN_LABEL, UID_LABEL, job
from storage_bench.kubectl import Kubectl, KubectlError
from storage_bench.run import RunError, judge, run
from storage_bench.script import pod_script
from storage_bench.settings import ORDER, RunSettings, measure_command

FIXTURES = Path(__file__).parent / "fixtures"
IMAGE = "registry.example/fio@sha256:" + "0" * 64
SETTINGS = RunSettings("datasets", "default", "files-premium-v2-nfs", pods=2, pool="heavy", image=IMAGE)


def spec(settings: RunSettings = SETTINGS) -> dict[str, Any]:
    return job(settings)["spec"]


# ---- settings


@pytest.mark.parametrize("image", ["fio", "fio:latest", "fio@sha256:abc", "docker.io/fio:3@sha256:" + "g" * 64])
def test_an_image_without_its_digest_is_refused(image: str):
    with pytest.raises(ValueError, match="not pinned"):
        replace(SETTINGS, image=image)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"pods": 0}, "pods 0"), ({"seconds": 1}, "1 seconds"), ({"patterns": ()}, "none"), ({"streams": 0}, "streams 0")],
)
def test_settings_out_of_bounds_are_refused(change: dict[str, Any], says: str):
    with pytest.raises(ValueError, match=says):
        replace(SETTINGS, **change)


def test_the_same_settings_give_the_same_job_and_others_another():
    assert SETTINGS.name == replace(SETTINGS).name
    assert len({SETTINGS.name, replace(SETTINGS, pods=3).name, replace(SETTINGS, seconds=61).name}) == 3
    assert len(replace(SETTINGS, claim="a" * 200).name) <= 63


# ---- the object


def test_each_pod_is_on_a_node_of_its_own_in_the_pool():
    pod = spec()["template"]["spec"]
    assert pod["nodeSelector"]["trainyard/pool"] == "heavy"
    [apart] = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart["topologyKey"] == "kubernetes.io/hostname"
    assert apart["labelSelector"]["matchLabels"].items() <= spec()["template"]["metadata"]["labels"].items()
    assert (spec()["completions"], spec()["parallelism"], spec()["completionMode"]) == (2, 2, "Indexed")


def test_pods_tolerate_gpu_and_spot_nodes_and_what_is_asked():
    made = job(SETTINGS, ["team=vision:NoExecute"])["spec"]["template"]["spec"]["tolerations"]
    written = [f"{one['key']}={one['value']}:{one['effect']}" for one in made]
    assert GPU_TAINT in written
    assert "kubernetes.azure.com/scalesetpriority=spot:NoSchedule" in written
    assert "team=vision:NoExecute" in written
    with pytest.raises(ValueError, match="key=value:Effect"):
        job(SETTINGS, ["vision"])


def test_pods_have_no_rights_and_are_not_evicted_to_save_a_node():
    template = spec()["template"]
    assert template["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"
    assert template["spec"]["automountServiceAccountToken"] is False
    [container] = template["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_deadline_leaves_room_for_waiting_writing_and_all_patterns():
    assert SETTINGS.deadline_seconds > SETTINGS.wait_minutes * 60 + len(ORDER) * SETTINGS.slot_seconds


def test_reading_is_direct_unless_the_page_cache_is_asked_for():
    for pattern in ORDER:
        assert "--direct=1" in measure_command(SETTINGS, pattern)
        assert "--direct=0" in measure_command(replace(SETTINGS, direct=False), pattern)


# ---- the script


@pytest.mark.skipif(shutil.which("fio") is None, reason="no fio here; the fixtures were made with one")
def test_the_script_runs_in_two_pods_at_once_and_leaves_nothing(tmp_path: Path):
    small = replace(
        SETTINGS, patterns=("small-files",), seconds=10, streams=1, stream_mib=4, small_files=8, lead_seconds=2
    )
    data, running = tmp_path / "data", list[subprocess.Popen[str]]()
    data.mkdir()
    for number in ("0", "1"):
        work = tmp_path / number
        work.mkdir()
        script = pod_script(small).replace("/work/", f"{work}/").replace("--direct=1", "--direct=0")
        environment = {**os.environ, "DATA": str(data), "RUN": "a", "JOB_COMPLETION_INDEX": number, "NODE_NAME": "n"}
        running.append(
            subprocess.Popen(["sh", "-c", script], env=environment, cwd=work, stdout=subprocess.PIPE, text=True)
        )
    for one in running:
        assert one.communicate(timeout=120)[0].endswith("storage-bench: done\n")
    assert not [path for path in data.rglob("*") if path.is_file()]


def test_the_script_is_a_shells(tmp_path: Path):
    file = tmp_path / "script.sh"
    file.write_text(pod_script(SETTINGS))
    done = subprocess.run(["sh", "-n", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- a run


@dataclass
class Cluster:
    """A cluster of one claim, which answers as kubectl does.

    Attributes:
        output: pod name to what it prints.
        looks: how often the Job is looked at before it has ended.
    """

    output: Mapping[str, str]
    modes: tuple[str, ...] = ("ReadWriteMany",)
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    looks: int = 2
    made: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    deleted: list[str] = field(default_factory=list[str])

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        if kind == "persistentvolumeclaim":
            claim = {"spec": {"accessModes": list(self.modes), "storageClassName": "fast", "volumeName": "v"}}
            return {**claim, "status": {"capacity": {"storage": "1Ti"}}} if name == "datasets" else None
        if kind == "persistentvolume":
            return {"spec": {"csi": {"driver": "file.csi.azure.com"}}}
        if kind == "node":
            labels = {"node.kubernetes.io/instance-type": "Standard_NC24ads_A100_v4"}
            return {"metadata": {"name": name, "annotations": self.annotations, "labels": labels}}
        if not self.made:
            return None
        self.looks -= 1
        ended = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-23T10:00:00Z"}]
        return {"status": {"conditions": ended if self.looks < 0 else []}}

    def labelled(self, kind: str, label: str) -> list[dict[str, Any]]:
        assert (kind, label) == ("pods", f"{RUN_LABEL}={SETTINGS.name}")
        names = sorted(self.output)
        return [
            {"metadata": {"name": name}, "spec": {"nodeName": f"node-{name}"}, "status": {"phase": "Running"}}
            for name in names
        ]

    def create(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> None:
        if not dry_run:
            self.made.append(wanted)

    def delete(self, kind: str, name: str) -> None:
        self.deleted.append(f"{kind} {name}")
        self.made.clear()

    def logs(self, pod: str) -> str:
        return self.output[pod]


class Unreachable(Cluster):
    """A cluster whose nodes do not answer."""

    def logs(self, pod: str) -> str:
        raise KubectlError(f"Error from server: {pod}: dial tcp: i/o timeout")


def measured(
    cluster: Cluster, folder: Path, *, again: bool = False, keep: bool = False, said: list[str] | None = None
) -> Path:
    say = (said if said is not None else []).append
    return run(SETTINGS, cast("Kubectl", cluster), again=again, keep=keep, say=say, folder=folder, poll_seconds=0)


def real_output() -> dict[str, str]:
    return {name: (FIXTURES / f"{name}.log").read_text() for name in ("pod-0", "pod-1")}


def test_a_run_makes_the_job_waits_and_writes_what_was_measured_and_where(tmp_path: Path):
    cluster, said = Cluster(real_output()), list[str]()
    written = json.loads(measured(cluster, tmp_path, keep=True, said=said).read_text())
    assert len(cluster.made) == 1
    assert "2 running of 2" in said
    assert set(written["patterns"]) == set(ORDER)
    assert written["patterns"]["sequential"]["mibps"] > 0
    assert written["claim"] == {"storageClass": "fast", "driver": "file.csi.azure.com", "size": "1Ti"}
    assert (written["nodes"]["size"], written["date"]) == ("Standard_NC24ads_A100_v4", "2026-11-23")
    assert (written["image"], written["fio"]) == (IMAGE, "fio-3.33")


def test_a_second_call_goes_on_with_the_first_ones_job(tmp_path: Path):
    cluster, said = Cluster(real_output(), made=[{}]), list[str]()
    measured(cluster, tmp_path, keep=True, said=said)
    assert cluster.made == [{}], "no second Job"
    assert "go on with it" in said[0]


def test_again_takes_the_old_job_away_first(tmp_path: Path):
    cluster = Cluster(real_output(), made=[{}])
    measured(cluster, tmp_path, again=True, keep=True)
    assert cluster.deleted == [f"job {SETTINGS.name}"]
    assert cluster.made != [{}]


def test_pods_without_output_on_simulated_nodes_give_no_figures_and_are_named(tmp_path: Path):
    cluster = Cluster({"pod-0": "", "pod-1": ""}, annotations={"kwok.x-k8s.io/node": "fake"})
    with pytest.raises(RunError, match="simulated nodes") as raised:
        measured(cluster, tmp_path)
    assert "pod-0: printed nothing" in str(raised.value)
    assert not list(tmp_path.iterdir()), "nothing is written"
    assert cluster.deleted, "pods keep their claim from being deleted, finished ones too"


def test_output_that_could_not_be_fetched_is_kept_for_a_second_call(tmp_path: Path):
    cluster = Unreachable(real_output())
    with pytest.raises(RunError, match="The Job stays"):
        measured(cluster, tmp_path)
    assert not cluster.deleted


def test_a_run_takes_its_job_away_unless_it_is_to_stay(tmp_path: Path):
    taken, kept = Cluster(real_output()), Cluster(real_output())
    measured(taken, tmp_path)
    measured(kept, tmp_path, keep=True)
    assert (taken.deleted, kept.deleted) == ([f"job {SETTINGS.name}"], [])


def test_a_claim_of_one_node_is_refused_before_anything_is_made(tmp_path: Path):
    cluster = Cluster(real_output(), modes=("ReadWriteOnce",))
    with pytest.raises(RunError, match="ReadWriteMany"):
        measured(cluster, tmp_path)
    assert not cluster.made


def test_a_claim_that_is_not_there_is_refused(tmp_path: Path):
    settings = replace(SETTINGS, claim="elsewhere")
    with pytest.raises(RunError, match="no claim elsewhere"):
        run(settings, cast("Kubectl", Cluster(real_output())), folder=tmp_path, poll_seconds=0)


def test_an_interrupt_says_that_the_job_goes_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run", interrupted)
    monkeypatch.setattr(command, "Kubectl", str)
    arguments = ["run", "--claim", "datasets", "--pods", "2", "--pool", "heavy", "--backend", "rook-disks"]
    assert command.main([*arguments, "--image", IMAGE]) == command.INTERRUPTED
    printed = capsys.readouterr().err
    assert "goes on in the cluster" in printed
    assert "kubectl -n default delete job storage-bench-datasets-" in printed


def test_no_kubectl_is_said_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(KubectlError, match="no kubectl on PATH"):
        Kubectl("default")


def test_a_run_has_a_folder_of_its_own_however_the_last_one_ended():
    [container] = spec()["template"]["spec"]["containers"]
    [run_name] = [one for one in container["env"] if one["name"] == "RUN"]
    assert run_name["valueFrom"]["fieldRef"]["fieldPath"] == f"metadata.labels['{UID_LABEL}']"
    assert "$RUN" in container["command"][2]


def test_a_dry_run_asks_the_cluster_and_makes_nothing():
    cluster = Cluster(real_output())
    judge(SETTINGS, cast("Kubectl", cluster))
    assert not cluster.made
    with pytest.raises(RunError, match="ReadWriteMany"):
        judge(SETTINGS, cast("Kubectl", Cluster({}, modes=("ReadWriteOnce",))))
