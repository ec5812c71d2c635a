"""The policy pack in the real engine: quota before deployment, remedies that work, facts that cannot be read."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto.analyzer_pb2_grpc import AnalyzerStub

from policy.report import VARIABLE
from policy.rules import RULES
from sandbox import orders
from sandbox.home import REPOSITORY
from tests.conftest import RunningSandbox, Stack
from tests.end_to_end.faulty_azure import Fault, faulty_azure
from tests.end_to_end.whole import StackFile

pytestmark = pytest.mark.sandbox

T4 = "Standard NCASv3_T4 Family"
PLAIN = """
import pulumi
from pulumi_azure_native import containerservice, resources

settings = pulumi.Config()
group = resources.ResourceGroup("group", location=settings.get("location") or "northeurope")
cluster = containerservice.ManagedCluster(
    "cluster",
    resource_group_name=group.name,
    location=settings.get("location") or "northeurope",
    dns_prefix="plain",
    identity={"type": "SystemAssigned"},
    agent_pool_profiles=[{"name": "system", "mode": "System", "vm_size": "Standard_D4ds_v5", "count": 2}],
)
containerservice.AgentPool(
    "cpu",
    resource_group_name=group.name,
    resource_name_=cluster.name,
    vm_size="Standard_D8ds_v5",
    count=1,
)
containerservice.AgentPool(
    "gpu",
    resource_group_name=group.name,
    resource_name_=cluster.name,
    vm_size=settings.get("size") or "Standard_NC4as_T4_v3",
    scale_set_priority="Spot" if settings.get_bool("spot") else None,
    node_labels={"kubernetes.azure.com/scalesetpriority": "spot"} if settings.get_bool("spot") else None,
    node_taints=["kubernetes.azure.com/scalesetpriority=spot:NoSchedule"] if settings.get_bool("spot") else None,
    enable_auto_scaling=True,
    min_count=0,
    max_count=settings.get_int("max") or 8,
    count=0,
    upgrade_settings=None if settings.get_bool("spot") else {"max_surge": "1"},
)
"""
"""A program with two pools that has nothing of Trainyard in it."""


@dataclass(frozen=True)
class Pack:
    """The pack, with a configuration and a cache of its own."""

    sandbox: RunningSandbox
    folder: Path

    def configure(self, **policies: object) -> Path:
        """A configuration: every policy off but those named, Azure's facts never kept."""
        file = self.folder / "policies.json"
        off = {rule.name: "disabled" for rule in RULES}
        named = {name.replace("_", "-"): given for name, given in policies.items()}
        facts = {"enforcementLevel": "advisory", "cacheSeconds": 0, "timeoutSeconds": 5}
        file.write_text(json.dumps({**off, "azure-facts": facts, **named}))
        return file

    def preview(self, stack: Stack, *more: str, variables: dict[str, str] | None = None) -> CompletedProcess[str]:
        """`pulumi preview` with the pack."""
        config = ("--policy-pack-config", str(self.folder / "policies.json"))
        return stack.sandbox.run(
            "pulumi",
            "preview",
            "--stack",
            stack.name,
            "--policy-pack",
            str(REPOSITORY / "policy"),
            *config,
            *more,
            folder=stack.folder,
            check=False,
            variables={"XDG_CACHE_HOME": str(self.folder), **(variables or {})},
        )


@pytest.fixture
def pack(sandbox: RunningSandbox, tmp_path: Path) -> Pack:
    made = Pack(sandbox, tmp_path)
    made.configure(vcpu_quota={"enforcementLevel": "mandatory", "regionsToTry": 2})
    return made


@pytest.fixture
def plain(sandbox: RunningSandbox, tmp_path: Path) -> Generator[Stack]:
    folder = tmp_path / "plain"
    folder.mkdir()
    with sandbox.scratch_stack(folder, PLAIN) as stack:
        yield stack


def quota(sandbox: RunningSandbox, region: str, name: str, limit: int) -> AbstractContextManager[object]:
    """Another limit for a while."""
    return orders.quota(sandbox.home, region, {name: limit})


def passed(done: CompletedProcess[str]) -> str:
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "Traceback" not in said
    return said


def failed(done: CompletedProcess[str]) -> str:
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    assert "Exception calling application" not in said
    return said


def test_one_core_short_fails_a_program_that_is_not_ours_and_one_more_passes(plain: Stack, pack: Pack) -> None:
    with quota(pack.sandbox, "northeurope", T4, 35):
        said = failed(pack.preview(plain))
        assert "[mandatory]" in said
        assert "northeurope, Standard NCASv3_T4 Family: 36 vCPUs needed at most, 0 used by others, limit 35" in said
        assert "short by 1" in said
        assert "ask for a limit of 36" in said
    with quota(pack.sandbox, "northeurope", T4, 36):
        assert "short by" not in passed(pack.preview(plain))


def test_each_remedy_applied_passes(plain: Stack, pack: Pack) -> None:
    with quota(pack.sandbox, "northeurope", T4, 35):
        said = failed(pack.preview(plain))
        lower = re.search(r"the maximum of gpu from 8 to (\d+)", said)
        size = re.search(r"for gpu, with room for as many machines: (\w+)", said)
        region = re.search(r"room for all pools: (\w+)", said)
        assert lower
        assert size
        assert region
        assert "spot machines for gpu" in said
        remedies = [("max", lower[1]), ("size", size[1]), ("location", region[1]), ("spot", "true")]
        for key, value in remedies:
            plain.pulumi("config", "set", key, value)
            assert "short by" not in passed(pack.preview(plain)), key
            plain.pulumi("config", "rm", key)


def test_the_platform_fails_with_remedies_of_its_own_settings(stack_file: StackFile, pack: Pack) -> None:
    config = ("--config-file", str(stack_file.path))
    report = pack.folder / "report.json"
    passed(pack.preview(stack_file.stack, *config, variables={VARIABLE: str(report)}))
    [row] = [one for one in json.loads(report.read_text())["quota"] if one["family"] == T4]
    enough = row["used"] + row["needed"]
    with quota(pack.sandbox, "westeurope", T4, enough - 1):
        said = failed(pack.preview(stack_file.stack, *config))
        assert (
            f"{row['needed']} vCPUs needed at most, {row['used']} used by others, limit {enough - 1}: short by 1"
            in said
        )
        lower = re.search(r"the maximum of light from 8 to (\d+)", said)
        assert lower
        stack_file.set("pools.light.max", lower[1])
        assert "short by" not in passed(pack.preview(stack_file.stack, *config))
        stack_file.set("pools.light.max", "8")
        size = re.search(r"for light, with room for as many machines: (\w+)", said)
        assert size
        stack_file.set("pools.light.vmSize", size[1])
        assert "short by" not in passed(pack.preview(stack_file.stack, *config))
        stack_file.set("pools.light.vmSize", "Standard_NC4as_T4_v3")
    with quota(pack.sandbox, "westeurope", T4, enough):
        passed(pack.preview(stack_file.stack, *config))


@pytest.mark.parametrize("stack", ["sandbox"])
def test_the_stack_passes_its_own_configuration(platform: Stack, pack: Pack, stack: str) -> None:
    (pack.folder / "policies.json").write_text((REPOSITORY / "stacks" / f"policies.{stack}.json").read_text())
    said = passed(pack.preview(platform))
    assert "[mandatory]" not in said
    assert "unverified" not in said


@pytest.mark.parametrize("fault", ["forbidden", "empty", "stalls"])
def test_quota_that_cannot_be_read_is_unverified_and_warns_or_fails_as_configured(
    plain: Stack, pack: Pack, fault: Fault
) -> None:
    with faulty_azure(pack.sandbox, fault, "/usages") as address:
        began = time.monotonic()
        said = passed(pack.preview(plain, variables={"ARM_ENDPOINT": address}))
        assert time.monotonic() - began < 90
        assert "[advisory]" in said
        assert "unverified: " in said
        assert "quota in northeurope" in said
        pack.configure(vcpu_quota={"enforcementLevel": "mandatory", "unverified": "fail"})
        said = failed(pack.preview(plain, variables={"ARM_ENDPOINT": address}))
        assert "[mandatory]" in said
        assert "unverified: " in said


def test_an_azure_without_faults_is_read_through_the_same_way(plain: Stack, pack: Pack) -> None:
    """Else the test above could be passing for the wrong reason."""
    with faulty_azure(pack.sandbox, "none", "/usages") as address:
        assert "unverified" not in passed(pack.preview(plain, variables={"ARM_ENDPOINT": address}))


def test_a_policy_that_does_not_exist_stops_the_preview(plain: Stack, pack: Pack) -> None:
    pack.configure(vcpu_qouta="mandatory")
    assert "did you mean vcpu-quota" in failed(pack.preview(plain))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"vcpu-quota": {"regionsToTyr": 2}}', "did you mean regionsToTry"),
        ('{"vcpu-quota": "remediate"}', "vcpu-quota"),
        ('{"vcpu-quota": {"enforcementLevel": "remediate"}}', "vcpu-quota"),
        ('{"vcpu-quota": "mandatoryy"}', "mandatoryy"),
        ('{"vcpu-quota": ', "JSON"),
        ("[]", "json"),
    ],
)
def test_a_configuration_that_means_nothing_stops_the_preview(plain: Stack, pack: Pack, text: str, told: str) -> None:
    (pack.folder / "policies.json").write_text(text)
    assert told in failed(pack.preview(plain))


def test_settings_are_judged_by_their_schema(plain: Stack, pack: Pack) -> None:
    pack.configure(vcpu_quota={"regionsToTry": "many"})
    assert "regionsToTry" in failed(pack.preview(plain))


def test_a_snapshot_serves_without_azure_and_old_ones_are_warned_about(plain: Stack, pack: Pack) -> None:
    file = pack.folder / "snapshot.json"
    pack.sandbox.run(
        str(REPOSITORY / ".venv/bin/python"),
        "-m",
        "policy.facts",
        "--output",
        str(file),
        "northeurope",
        folder=REPOSITORY,
    )
    facts = {"enforcementLevel": "advisory", "source": "snapshot", "snapshot": str(file)}
    pack.configure(vcpu_quota="mandatory", azure_facts=facts)
    nowhere = {"ARM_ENDPOINT": "https://127.0.0.1:1"}
    assert "unverified" not in passed(pack.preview(plain, variables=nowhere))
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "takenAt": "2024-01-01T00:00:00+00:00"}))
    assert "hours ago" in passed(pack.preview(plain, variables=nowhere))
    report = {VARIABLE: str(pack.folder / "report.json")}
    for damaged in ("", file.read_text()[:500]):
        file.write_text(damaged)
        said = passed(pack.preview(plain, variables=nowhere | report))
        assert "make azure-snapshot" in said
        assert "unverified" in said


def test_features_that_are_not_registered_fail(plain: Stack, pack: Pack) -> None:
    program = (plain.folder / "__main__.py").read_text()
    (plain.folder / "__main__.py").write_text(
        program.replace("    min_count=0,", "    min_count=0,\n    enable_encryption_at_host=True,")
    )
    pack.configure(features_registered="mandatory", rights_suffice="mandatory", providers_registered="mandatory")
    name = "Microsoft.Compute/EncryptionAtHost"
    passed(pack.preview(plain))
    orders.ask(pack.sandbox.home, "PUT", "/sandbox/registrations", {"name": name, "state": "NotRegistered"})
    try:
        assert f"the feature {name} is NotRegistered, and gpu needs it" in failed(pack.preview(plain))
    finally:
        orders.ask(pack.sandbox.home, "PUT", "/sandbox/registrations", {"name": name, "state": "Registered"})


def test_an_official_language_host_can_start_the_pack(pack: Pack) -> None:
    """It runs `python -m pulumi.policy ENGINE FOLDER` in the pack's virtualenv, and reads a port."""
    command = [
        str(REPOSITORY / ".venv/bin/python"),
        "-u",
        "-m",
        "pulumi.policy",
        "127.0.0.1:1",
        str(REPOSITORY / "policy"),
    ]
    process = subprocess.Popen(command, cwd=pack.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub: Any = AnalyzerStub(channel)
            info = stub.GetAnalyzerInfo(Empty())
        assert info.name == "trainyard"
        assert len(info.policies) > 50
    finally:
        process.terminate()
        assert process.wait(60) == 0
