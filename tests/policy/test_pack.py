"""The pack as the engine talks to it: configuration, levels, inputs kept for the stack, and no tracebacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import analyzer_pb2

from policy.engine import Pack
from policy.model import Finding, Rule
from policy.properties import UNKNOWN
from policy.rules import RULES
from tests.policy.world import World, urn

UNKNOWN_MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
NO_AZURE = {"ARM_ENDPOINT": "https://127.0.0.1:1", "ARM_SUBSCRIPTION_ID": "s", "AZURE_TENANT_ID": "adfs"}


def struct(values: dict[str, Any]) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(values)
    return made


class AbortedError(Exception):
    pass


@pytest.fixture
def context() -> Mock:
    made = Mock(spec=grpc.ServicerContext)

    def abort(_code: grpc.StatusCode, words: str) -> None:
        raise AbortedError(words)

    made.abort.side_effect = abort
    return made


def pack(*rules: Rule, **environment: str) -> Pack:
    return Pack("trainyard", [*rules, *RULES], {**NO_AZURE, **environment})


def configure(made: Pack, context: Any, **configured: tuple[int, dict[str, Any]]) -> None:
    config = {
        name.replace("_", "-"): analyzer_pb2.PolicyConfig(enforcementLevel=level, properties=struct(properties))  # pyright: ignore[reportArgumentType]
        for name, (level, properties) in configured.items()
    }
    made.Configure(analyzer_pb2.ConfigureAnalyzerRequest(policyConfig=config), context)


def analyze(made: Pack, token: str, inputs: dict[str, Any], name: str = "one") -> list[analyzer_pb2.AnalyzeDiagnostic]:
    request = analyzer_pb2.AnalyzeRequest(type=token, urn=urn(name), name=name, properties=struct(inputs))
    return list(made.Analyze(request, None).diagnostics)


def only(*names: str) -> dict[str, tuple[int, dict[str, Any]]]:
    """Every rule off but these."""
    return {rule.name.replace("-", "_"): (analyzer_pb2.DISABLED, {}) for rule in RULES if rule.name not in names}


def test_the_engine_is_told_every_rule_with_its_level_and_its_settings() -> None:
    info = pack().GetAnalyzerInfo(None, None)
    assert info.supportsConfig
    assert [one.name for one in info.policies] == [rule.name for rule in RULES]
    quota = info.policies[0]
    assert quota.enforcementLevel == analyzer_pb2.MANDATORY
    assert quota.policy_type == analyzer_pb2.POLICY_TYPE_STACK
    assert {*quota.configSchema.properties.fields} == {"regionsToTry", "unverified"}


def test_a_policy_that_does_not_exist_is_an_error_that_names_the_nearest(context: Mock) -> None:
    with pytest.raises(AbortedError, match=r"'vcpu-qouta', and there is none: did you mean vcpu-quota"):
        configure(pack(), context, vcpu_qouta=(analyzer_pb2.MANDATORY, {}))


def test_a_setting_that_a_policy_does_not_have_is_an_error_that_names_the_nearest(context: Mock) -> None:
    with pytest.raises(AbortedError, match=r"vcpu-quota has no setting 'regionsToTyr': did you mean regionsToTry"):
        configure(pack(), context, vcpu_quota=(analyzer_pb2.MANDATORY, {"regionsToTyr": 2}))


def test_a_level_that_no_rule_has_is_an_error_and_not_the_default(context: Mock) -> None:
    with pytest.raises(AbortedError, match="vcpu-quota: no rule here has that enforcementLevel; it may be advisory"):
        configure(pack(), context, vcpu_quota=(analyzer_pb2.REMEDIATE, {}))


def test_levels_and_settings_are_the_configurations(context: Mock) -> None:
    made = pack()
    inputs = {"disableLocalAccounts": False}
    token = "azure-native:containerservice/v20240101:ManagedCluster"
    rule = "aks-no-local-accounts"

    def level() -> int | None:
        found = [one for one in analyze(made, token, inputs) if one.policyName == rule]
        return found[0].enforcementLevel if found else None

    assert level() == analyzer_pb2.MANDATORY
    configure(made, context, aks_no_local_accounts=(analyzer_pb2.ADVISORY, {}))
    assert level() == analyzer_pb2.ADVISORY
    configure(made, context, aks_no_local_accounts=(analyzer_pb2.DISABLED, {}))
    assert level() is None


@pytest.mark.parametrize(
    ("unverified", "expected"), [("fail", [analyzer_pb2.MANDATORY]), ("warn", [analyzer_pb2.ADVISORY]), ("ignore", [])]
)
def test_what_is_unverified_has_a_level_of_its_own(context: Mock, unverified: str, expected: list[int]) -> None:
    made = pack()
    configure(made, context, aks_no_local_accounts=(analyzer_pb2.MANDATORY, {"unverified": unverified}))
    said = analyze(made, "azure-native:containerservice:ManagedCluster", {"disableLocalAccounts": UNKNOWN_MARK})
    found = [one for one in said if one.policyName == "aks-no-local-accounts"]
    assert [one.enforcementLevel for one in found] == expected
    assert all("unverified: disableLocalAccounts is known only once" in one.message for one in found)


def test_secrets_are_read_and_not_taken_for_objects(context: Mock) -> None:
    made = pack()
    configure(made, context, **only("acr-no-admin-user"))
    said = analyze(made, "azure-native:containerregistry:Registry", {"adminUserEnabled": {**SECRET, "value": True}})
    assert [one.policyName for one in said] == ["acr-no-admin-user"]


def test_the_stack_is_judged_by_inputs_though_the_engine_shows_none_of_them(context: Mock) -> None:
    seen: list[Any] = []

    def check(stack: Any, _settings: Any) -> list[Finding]:
        seen.extend((one.kind, one.properties.plain(), one.depends) for one in stack.resources)
        return []

    made = pack(Rule("sees", "It sees.", "Why.", "Fix.", "low", check))
    configure(made, context, **only("sees"))
    analyze(made, "kubernetes:apps/v1:Deployment", {"spec": {"replicas": 3}})
    shown = analyzer_pb2.AnalyzerResource(
        type="kubernetes:apps/v1:Deployment",
        urn=urn("one"),
        name="one",
        propertyDependencies={"spec": analyzer_pb2.AnalyzerPropertyDependencies(urns=["urn:other"])},
    )
    made.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=[shown]), None)
    assert seen == [("Deployment", {"spec": {"replicas": 3}}, {"spec": ("urn:other",)})]


def test_a_mistake_in_a_rule_is_an_answer(context: Mock) -> None:
    def check(_stack: Any, _settings: Any) -> list[Finding]:
        raise ZeroDivisionError("boom")

    made = pack(Rule("breaks", "It breaks.", "Why.", "Fix.", "low", check))
    configure(made, context, **only("breaks"))
    [said] = made.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), None).diagnostics
    assert "unverified: the rule itself failed (ZeroDivisionError: boom)" in said.message
    assert said.enforcementLevel == analyzer_pb2.ADVISORY


def test_the_report_has_what_could_not_be_verified(tmp_path: Path, context: Mock) -> None:
    file = tmp_path / "policy.json"
    made = pack(TRAINYARD_POLICY_REPORT=str(file), XDG_CACHE_HOME=str(tmp_path))
    configure(made, context, **only("rights-suffice"))
    made.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(), None)
    found = json.loads(file.read_text())
    assert found["quota"] == []
    assert found["unverified"][0].startswith("rights-suffice: what this sign-in may do could not be read")


DAMAGED = {
    "not there": None,
    "empty": "",
    "cut off": json.dumps({"takenAt": "2026-11-28T00:00:00+00:00", "answers": World().answers})[:300],
    "of another kind": '{"takenAt": "2026-11-28T00:00:00+00:00", "answers": null}',
    "without a time": '{"takenAt": null, "answers": {}}',
    "with answers of another kind": json.dumps(
        {"takenAt": "2026-11-28T00:00:00+00:00", "answers": dict.fromkeys(World().answers, 5)}
    ),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_a_damaged_snapshot_is_unverified_with_its_remedy_and_ends_nothing(
    name: str, tmp_path: Path, context: Mock
) -> None:
    file, report = tmp_path / "snapshot.json", tmp_path / "policy.json"
    text = DAMAGED[name]
    if text is not None:
        file.write_text(text)
    made = pack(TRAINYARD_POLICY_REPORT=str(report))
    configure(made, context, azure_facts=(analyzer_pb2.ADVISORY, {"source": "snapshot", "snapshot": str(file)}))
    shown: list[analyzer_pb2.AnalyzerResource] = []
    for resource, (token, inputs) in World().resources.items():
        analyze(made, token, inputs, resource)
        shown.append(analyzer_pb2.AnalyzerResource(type=token, urn=urn(resource), name=resource))
    said = made.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=shown), None).diagnostics
    by_name = {one.policyName: one.message for one in said}
    for rule in ("vcpu-quota", "size-sold", "size-accepted-by-aks", "rights-suffice", "providers-registered"):
        assert "unverified" in by_name[rule], rule
        assert "make azure-snapshot" in by_name[rule], rule
        assert "the rule itself failed" not in by_name[rule], rule
    assert json.loads(report.read_text())["quota"] == []


def test_every_rule_answers_about_a_stack_where_everything_is_unknown() -> None:
    """The engine's worst case: each input of each resource unknown, one after the other."""
    for name, (_, inputs) in World().resources.items():
        for path in inputs:
            world = World()
            world.set(name, path, UNKNOWN)
            for rule in RULES:
                for one in world.judged(rule.name):
                    assert "the rule itself failed" not in one.message, (rule.name, name, path, one.message)
