"""What a rule is, what it may answer, and how one is run so that it always answers.

A rule passes, fails, or says that it could not be verified; each failure names what breaks and what to do. A rule that
meets an unknown value, an unreadable fact or a mistake of its own gives the third answer, never a traceback and never
silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from policy.properties import Properties, UnknownValueError, UnverifiedError, as_flag

if TYPE_CHECKING:
    from policy.stack import StackView

Level = Literal["mandatory", "advisory", "disabled"]
Severity = Literal["critical", "high", "medium", "low"]
Unverified = Literal["fail", "warn", "ignore"]
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")

_AZURE_TYPE = re.compile(r"azure-native(?:_[^:]*)?:(\w+)(?:/\w+)?:(\w+)")
_KUBERNETES_TYPE = re.compile(r"kubernetes:(.+):(\w+)")


@dataclass(frozen=True)
class Resource:
    """One resource as the program declares it.

    Attributes:
        kind: the type without provider and API version: `containerservice:AgentPool`, or `Deployment` of Kubernetes.
        api: Kubernetes' group and version, `apps/v1`; empty for Azure.
        properties: the inputs.
        depends: property to the URNs that its value comes from.
    """

    urn: str
    type: str
    name: str
    kind: str
    api: str
    properties: Properties
    ignore_changes: frozenset[str] = frozenset()
    parent: str = ""
    depends: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


def kind_of(token: str) -> tuple[str, str]:
    """A type token's kind and Kubernetes API; other providers' tokens as they are.

    `azure-native:containerservice/v20250101:AgentPool` and the unversioned form are one kind.
    """
    azure = _AZURE_TYPE.fullmatch(token)
    if azure:
        return f"{azure[1]}:{azure[2]}", ""
    kubernetes = _KUBERNETES_TYPE.fullmatch(token)
    if kubernetes:
        return kubernetes[2], kubernetes[1]
    return token, ""


@dataclass(frozen=True)
class Finding:
    """One failure.

    Attributes:
        message: what breaks, by how much, and what to do.
        urn: the resource it is said of; empty: the rule's own, or the stack.
    """

    message: str
    urn: str = ""


@dataclass(frozen=True)
class Answer:
    """One thing to tell the engine.

    Attributes:
        unverified: the rule could not be judged; the message says why.
    """

    message: str
    urn: str = ""
    unverified: bool = False


@dataclass(frozen=True)
class Setting:
    """One of a rule's settings.

    Attributes:
        schema: JSON schema of its value, `default` and `description` among it.
    """

    name: str
    schema: Mapping[str, Any]


Settings = Mapping[str, Any]
ResourceCheck = Callable[[Resource, Settings], Iterable[str]]
StackCheck = Callable[["StackView", Settings], Iterable[Finding]]


@dataclass(frozen=True)
class Rule:
    """One thing that must hold.

    Attributes:
        name: as the configuration names it, `vcpu-quota`.
        title: the rule in one sentence.
        why: what goes wrong otherwise.
        fix: how to mend it.
        level: what a failure does where nothing is configured.
        severity: how bad it is.
        kinds: the kinds of resources that it judges; empty: the whole stack.
        follows: public checks that it follows, `Azure.AKS.LocalAccounts`.
        check: yields failures: of one resource as text, of a stack as `Finding`s.
        unverified: what a rule that could not be judged does where nothing is configured.
    """

    name: str
    title: str
    why: str
    fix: str
    severity: Severity
    check: ResourceCheck | StackCheck
    level: Level = "mandatory"
    kinds: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    unverified: Unverified = "warn"

    @property
    def defaults(self) -> dict[str, Any]:
        """Every setting's default."""
        return {one.name: one.schema["default"] for one in self.settings} | {"unverified": self.unverified}


def answers(findings: Callable[[], Iterable[Finding]]) -> Iterator[Answer]:
    """Run a rule: its failures, then, where it could not go on, why.

    What it found before it met an unknown value is kept.
    """
    try:
        for one in findings():
            yield Answer(one.message, one.urn)
    except UnknownValueError as unknown:
        yield Answer(f"unverified: {unknown}. Preview again when what it comes from is there.", unverified=True)
    except UnverifiedError as reason:
        yield Answer(f"unverified: {reason}", unverified=True)
    except Exception as mistake:  # noqa: BLE001  whatever a rule's own mistake is, the engine must get an answer
        said = f"{type(mistake).__name__}: {mistake}".splitlines()[0]
        yield Answer(f"unverified: the rule itself failed ({said}): please report it.", unverified=True)


def each(items: Iterable[_Item], judge: Callable[[_Item], Iterable[_Found]]) -> Iterator[_Found]:
    """The failures of many things, where one that cannot be judged does not hide the others.

    Raises:
        UnverifiedError: at the end, with what could not be judged.
    """
    reasons: dict[str, None] = {}
    for item in items:
        try:
            yield from judge(item)
        except (UnknownValueError, UnverifiedError) as reason:
            reasons[str(reason)] = None
    if reasons:
        raise UnverifiedError("; ".join(reasons))


def of_resource(rule: Rule, resource: Resource, settings: Settings) -> Iterator[Answer]:
    """A resource rule's answers about one resource."""
    check: Any = rule.check
    return answers(lambda: (Finding(message, resource.urn) for message in check(resource, settings)))


def of_stack(rule: Rule, stack: StackView, settings: Settings) -> Iterator[Answer]:
    """A stack rule's answers."""
    check: Any = rule.check
    return answers(lambda: check(stack, settings))


def required(
    path: str,
    holds: Callable[[Any], bool],
    says: str,
    *,
    absent: Any = None,
    when: Callable[[Resource], bool] | None = None,
) -> ResourceCheck:
    """A check of one property.

    Args:
        path: the property.
        holds: whether its value is good.
        says: what is wrong otherwise; `{value}` is the value.
        absent: what Azure takes where nothing is given; judged like a value.
        when: the resources it applies to; all.
    """

    def check(resource: Resource, _settings: Settings) -> Iterator[str]:
        if when is not None and not when(resource):
            return
        given = as_flag(resource.properties.get(path))
        value = absent if given is None else given
        try:
            good = holds(value)
        except TypeError:  # a list or an object, where Azure takes a word
            good = False
        if not good:
            shown = "nothing is set" if given is None else f"it is {given!r}"
            yield f"{path}: {says} ({shown})."

    return check
