"""Whether a pod may run on a node, as far as the autoscaler foresees it.

Owns resources, node selectors, required node affinity, taints and tolerations, and "one of these a node" (a required
anti-affinity to pods of the same kind on a host). Does not own preferences, spreading over zones, or volumes: a pod
that needs more of the scheduler than this is foreseen to fit where it may not.

Source: kube-scheduler's filters NodeResourcesFit, NodeAffinity, TaintToleration (Kubernetes documentation, "Scheduling
Framework" and "Taints and Tolerations").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from capacity.autoscaling.amounts import Amounts

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]


class Toleration(NamedTuple):
    """One toleration; an empty key with `Exists` tolerates every taint, an empty effect every effect."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Whether a pod with it may run beside a taint."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.operator == "Exists":
            return not self.key or self.key == taint.key
        return self.key == taint.key and self.value == taint.value


class Taint(NamedTuple):
    """One taint of a node."""

    key: str
    value: str
    effect: str

    @staticmethod
    def parse(text: str) -> Taint:
        """From `key=value:Effect` or `key:Effect`."""
        pair, _, effect = text.rpartition(":")
        key, _, value = pair.partition("=")
        return Taint(key, value, effect)


class Requirement(NamedTuple):
    """One expression of a node affinity."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def met_by(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels meets it."""
        return _OPERATORS[self.operator](labels.get(self.key), self.values)


def _compared(value: str | None, values: tuple[str, ...], sign: int) -> bool:
    try:
        return value is not None and sign * int(value) > sign * int(values[0])
    except (ValueError, IndexError):
        return False


_OPERATORS: Mapping[Operator, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, values: _compared(value, values, 1),
    "Lt": lambda value, values: _compared(value, values, -1),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything about a pod that decides where it fits: pods of one shape are interchangeable.

    Attributes:
        requests: what it asks for, its `pods` being 1.
        selector: labels that a node must carry.
        affinity: required node affinity: one of these groups of requirements must be met; empty: none is asked.
        tolerations: of taints.
        one_a_node: no two pods of this shape on one node.
        priority: of its PriorityClass.
    """

    requests: Amounts
    selector: frozenset[tuple[str, str]] = frozenset()
    affinity: tuple[tuple[Requirement, ...], ...] = ()
    tolerations: frozenset[Toleration] = frozenset()
    one_a_node: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Template:
    """A node of a group as it will be: what the autoscaler predicts of it.

    Attributes:
        allocatable: what pods may take, those that AKS's own DaemonSets ask for taken off.
        labels, taints: as the node will carry.
        capacity: what the machine has; by this, waste is counted. None: as `allocatable`.
    """

    allocatable: Amounts
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    taints: tuple[Taint, ...] = ()
    capacity: Amounts | None = None


def admits(labels: Mapping[str, str], taints: tuple[Taint, ...], shape: Shape) -> bool:
    """Whether a node with these labels and taints takes pods of a shape, were there room."""
    if any(labels.get(key) != value for key, value in shape.selector):
        return False
    if shape.affinity and not any(all(one.met_by(labels) for one in group) for group in shape.affinity):
        return False
    blocking = (taint for taint in taints if taint.effect in ("NoSchedule", "NoExecute"))
    return all(any(one.tolerates(taint) for one in shape.tolerations) for taint in blocking)


def fits_empty(template: Template, shape: Shape) -> bool:
    """Whether a pod of a shape fits on an empty node of a template."""
    return template.allocatable.holds(shape.requests) and admits(template.labels, template.taints, shape)
