"""The engine's side of the pack: answers its `Analyzer` protocol with the rules' answers.

Spoken directly instead of through pulumi-policy, for four reasons (docs/adr/0010): a resource's properties are read
once, not once a rule; what could not be verified has a level of its own; an unknown name in the configuration is an
error; Kubernetes objects are judged by the inputs that the engine shows for each resource, as it shows none of them for
the stack where the provider's address is not known yet.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from policy import report
from policy.facts import sources
from policy.facts.facts import Facts
from policy.model import Answer, Level, Resource, Rule, kind_of, of_resource, of_stack
from policy.properties import Properties, plain
from policy.stack import StackView

_LEVELS: Mapping[Level, int] = {
    "advisory": analyzer_pb2.ADVISORY,
    "mandatory": analyzer_pb2.MANDATORY,
    "disabled": analyzer_pb2.DISABLED,
}
_SEVERITIES = {
    "low": analyzer_pb2.POLICY_SEVERITY_LOW,
    "medium": analyzer_pb2.POLICY_SEVERITY_MEDIUM,
    "high": analyzer_pb2.POLICY_SEVERITY_HIGH,
    "critical": analyzer_pb2.POLICY_SEVERITY_CRITICAL,
}
_MESSAGE_LIMIT = 400 * 1024 * 1024
UNVERIFIED_SCHEMA = {
    "type": "string",
    "enum": ["fail", "warn", "ignore"],
    "description": "What the rule does when it cannot be judged: fails with its own level, warns, or says nothing.",
}


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """One pack of rules, judging one deployment.

    Args:
        name: the pack's.
        rules: all of them; names are unique.
        environment: where sign-in, subscription and caches are looked up.
    """

    def __init__(self, name: str, rules: Sequence[Rule], environment: Mapping[str, str] = os.environ) -> None:
        self.name = name
        self._rules = {rule.name: rule for rule in rules}
        self._levels: dict[str, Level] = {rule.name: rule.level for rule in rules}
        self._settings: dict[str, dict[str, Any]] = {rule.name: rule.defaults for rule in rules}
        self._declared: dict[str, Resource] = {}
        self._environment = dict(environment)
        self._config: dict[str, str] = {}
        self._unverified: list[str] = []

    # What the engine asks; the names are the protocol's.

    def GetAnalyzerInfo(self, request: Any, context: Any) -> analyzer_pb2.AnalyzerInfo:  # noqa: N802, ARG002
        """The rules, their settings and their defaults."""
        return analyzer_pb2.AnalyzerInfo(
            name=self.name,
            displayName="Trainyard",
            supportsConfig=True,
            policies=[_info(rule) for rule in self._rules.values()],
        )

    def GetPluginInfo(self, request: Any, context: Any) -> plugin_pb2.PluginInfo:  # noqa: N802, ARG002
        """A version; the engine shows that of PulumiPolicy.yaml."""
        return plugin_pb2.PluginInfo(version="0.1.0")

    def ConfigureStack(self, request: Any, context: Any) -> analyzer_pb2.AnalyzerStackConfigureResponse:  # noqa: N802, ARG002
        """Learn the stack's own configuration: azure-native's names the subscription."""
        self._config = {str(key): str(value) for key, value in request.config.items()}
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Configure(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Take the configuration; the engine has already judged each rule's settings by their schema.

        It judges the settings that a rule has, and takes others without a word; so it does with a level that no rule
        here has, `remediate`.
        """
        wrong = [*self._unknown(request.policyConfig), *self._unfit(request.policyConfig)]
        if wrong:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, " ".join(wrong))
        names: dict[int, Level] = {number: level for level, number in _LEVELS.items()}
        for name, given in request.policyConfig.items():
            if name == "all":
                continue
            if given.enforcementLevel in names:
                self._levels[name] = names[given.enforcementLevel]
            self._settings[name] |= json_format.MessageToDict(given.properties)
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: Any) -> analyzer_pb2.AnalyzeResponse:  # noqa: N802, ARG002
        """Judge one resource before it is made, and remember what it declares."""
        resource = self._remember(request)
        diagnostics = [
            diagnostic
            for rule in self._enabled(resource.kind)
            for diagnostic in self._said(rule, of_resource(rule, resource, self._settings[rule.name]), resource.urn)
        ]
        return analyzer_pb2.AnalyzeResponse(diagnostics=diagnostics)

    def AnalyzeStack(self, request: Any, context: Any) -> analyzer_pb2.AnalyzeResponse:  # noqa: N802, ARG002
        """Judge the whole, by what its resources declare."""
        resources = [self._known(one) for one in request.resources]
        view = StackView(resources, self._facts(), self._config)
        diagnostics = [
            diagnostic
            for rule in self._enabled(None)
            for diagnostic in self._said(rule, of_stack(rule, view, self._settings[rule.name]))
        ]
        if self._environment.get(report.VARIABLE):
            report.write(Path(self._environment[report.VARIABLE]), view, self._unverified)
        return analyzer_pb2.AnalyzeResponse(diagnostics=diagnostics)

    def Remediate(self, request: Any, context: Any) -> analyzer_pb2.RemediateResponse:  # noqa: N802, ARG002
        """No rule changes what a program declares."""
        return analyzer_pb2.RemediateResponse()

    def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802, ARG002
        """Nothing that takes long is left running."""
        return empty_pb2.Empty()

    # What it does with it.

    def _enabled(self, kind: str | None) -> list[Rule]:
        """The rules that judge resources of a kind; with None, those that judge the stack."""
        return [
            rule
            for name, rule in self._rules.items()
            if self._levels[name] != "disabled" and (kind in rule.kinds if kind is not None else not rule.kinds)
        ]

    def _said(self, rule: Rule, answers: Iterable[Answer], urn: str = "") -> list[analyzer_pb2.AnalyzeDiagnostic]:
        """Answers as the engine takes them."""
        level = self._levels[rule.name]
        unverified = str(self._settings[rule.name].get("unverified", rule.unverified))
        found: list[analyzer_pb2.AnalyzeDiagnostic] = []
        for answer in answers:
            if answer.unverified:
                self._unverified.append(f"{rule.name}: {answer.message.removeprefix('unverified: ')}")
                if unverified == "ignore":
                    continue
            told: Level = "advisory" if answer.unverified and unverified == "warn" else level
            found.append(
                analyzer_pb2.AnalyzeDiagnostic(
                    policyName=rule.name,
                    policyPackName=self.name,
                    description=rule.title,
                    message=f"{rule.title}\n{answer.message}",
                    urn=answer.urn or urn,
                    enforcementLevel=_LEVELS[told],  # pyright: ignore[reportArgumentType]  an enum's number
                    severity=_SEVERITIES[rule.severity],  # pyright: ignore[reportArgumentType]  the same
                )
            )
        return found

    def _remember(self, request: Any) -> Resource:
        kind, api = kind_of(request.type)
        resource = Resource(
            urn=request.urn,
            type=request.type,
            name=request.name,
            kind=kind,
            api=api,
            properties=Properties(plain(request.properties)),
            ignore_changes=frozenset(request.options.ignoreChanges),
            parent=request.options.parent,
        )
        self._declared[resource.urn] = resource
        return resource

    def _known(self, request: Any) -> Resource:
        """A resource by its inputs, as they were analysed; where they were not, by what the engine shows."""
        resource = self._declared.get(request.urn) or self._remember(request)
        depends = {key: tuple(value.urns) for key, value in request.propertyDependencies.items()}
        return replace(resource, depends=depends)

    def _facts(self) -> Facts:
        return sources.facts(self._settings[sources.RULE_NAME], self._environment, self._config)

    def _unknown(self, configured: Iterable[str]) -> Iterable[str]:
        """What is wrong with the names in the configuration."""
        for name in configured:
            if name not in self._rules and name != "all":
                near = difflib.get_close_matches(name, self._rules, n=1)
                hint = f"did you mean {near[0]}?" if near else "docs/policies.md lists them."
                yield f"The configuration names a policy {name!r}, and there is none: {hint}"

    def _unfit(self, configured: Mapping[str, Any]) -> Iterable[str]:
        """What is wrong with levels and settings of rules that there are."""
        levels = {number: level for level, number in _LEVELS.items()}
        for name, given in configured.items():
            if given.enforcementLevel not in levels:
                yield f"{name}: no rule here has that enforcementLevel; it may be {', '.join(_LEVELS)}."
            if name not in self._rules:
                continue
            known = [*self._rules[name].defaults]
            for setting in map(str, given.properties):
                if setting not in known:
                    near = difflib.get_close_matches(setting, known, n=1)
                    hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}."
                    yield f"{name} has no setting {setting!r}: {hint}"


def _info(rule: Rule) -> analyzer_pb2.PolicyInfo:
    """A rule as the engine is told of it."""
    schema = analyzer_pb2.PolicyConfigSchema()
    schema.properties.update(schema_of(rule)["properties"])
    return analyzer_pb2.PolicyInfo(
        name=rule.name,
        displayName=rule.name,
        description=rule.title,
        enforcementLevel=_LEVELS[rule.level],  # pyright: ignore[reportArgumentType]  an enum's number
        configSchema=schema,
        policy_type=analyzer_pb2.POLICY_TYPE_RESOURCE if rule.kinds else analyzer_pb2.POLICY_TYPE_STACK,
        severity=_SEVERITIES[rule.severity],  # pyright: ignore[reportArgumentType]  an enum's number
        remediation_steps=rule.fix,
        tags=list(rule.follows),
    )


def schema_of(rule: Rule) -> dict[str, Any]:
    """The JSON schema of a rule's settings, its level left out: that is the engine's."""
    properties = {one.name: dict(one.schema) for one in rule.settings}
    properties["unverified"] = {**UNVERIFIED_SCHEMA, "default": rule.unverified}
    return {"type": "object", "properties": properties}


def serve(pack: Pack) -> None:
    """Serve until the engine ends the process; prints the port, as the engine expects. Call on the main thread."""
    limits = [("grpc.max_receive_message_length", _MESSAGE_LIMIT), ("grpc.max_send_message_length", _MESSAGE_LIMIT)]
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=limits)
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(pack, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    done = threading.Event()

    def end(_sign: int, _frame: FrameType | None) -> None:
        done.set()

    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, end)
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    done.wait()
    server.stop(0)
