"""Where daemons may run: Rook's merging of placements, and pieces of pod specs. Pure.

Source: rook/rook v1.20.6 pkg/apis/ceph.rook.io/v1/placement.go, pkg/operator/k8sutil/pod.go.
"""

from __future__ import annotations

from typing import cast

from sandbox.nodes.objects import Json, items, section

UNREACHABLE: Json = {
    "key": "node.kubernetes.io/unreachable",
    "operator": "Exists",
    "effect": "NoExecute",
    "tolerationSeconds": 5,
}
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def merge_placement(of_all: Json, own: Json) -> Json:
    """A daemon's own placement over that of all; tolerations of both."""
    merged = {**of_all, **{key: value for key, value in own.items() if value is not None}}
    if own.get("tolerations") is not None:
        merged["tolerations"] = [*items(of_all, "tolerations"), *items(own, "tolerations")]
    return merged


def place(pod: Json, placement: Json) -> Json:
    """A pod's spec with a placement applied; node affinities and tolerations add up, other rules are replaced."""
    affinity = {**section(pod, "affinity")}
    if placement.get("nodeAffinity"):
        affinity["nodeAffinity"] = _both(section(affinity, "nodeAffinity"), placement["nodeAffinity"])
    for key in ("podAffinity", "podAntiAffinity"):
        if placement.get(key):
            affinity[key] = placement[key]
    placed = {**pod, "affinity": affinity}
    if placement.get("tolerations") is not None:
        placed["tolerations"] = [*items(placement, "tolerations"), *items(pod, "tolerations")]
    if placement.get("topologySpreadConstraints") is not None:
        placed["topologySpreadConstraints"] = placement["topologySpreadConstraints"]
    return placed


def _both(first: Json, second: Json) -> Json:
    """Two node affinities as one: the first terms' expressions together, as Rook joins them."""
    terms = [items(one, _REQUIRED, "nodeSelectorTerms") for one in (first, second)]
    both: Json = {}
    if all(terms):
        both[_REQUIRED] = {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        *items(terms[0][0], "matchExpressions"),
                        *items(terms[1][0], "matchExpressions"),
                    ]
                },
                *terms[1][1:],
            ]
        }
    elif any(terms):
        both[_REQUIRED] = {"nodeSelectorTerms": terms[0] or terms[1]}
    preferred = [*items(first, _PREFERRED), *items(second, _PREFERRED)]
    if preferred:
        both[_PREFERRED] = preferred
    return both


def on_nodes_with(key: str, value: str) -> Json:
    """A placement on nodes with this label."""
    expression = {"key": key, "operator": "In", "values": [value]}
    return {"nodeAffinity": {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}


def apart(pod: Json, labels: Json, *, required: bool, topology_key: str = "kubernetes.io/hostname") -> Json:
    """A pod's spec that keeps away from pods with these labels, in addition to its own rules."""
    term = {"labelSelector": {"matchLabels": labels}, "topologyKey": topology_key}
    affinity = {**section(pod, "affinity")}
    rules = {**section(affinity, "podAntiAffinity")}
    if required:
        rules[_REQUIRED] = [*items(rules, _REQUIRED), term]
    else:
        rules[_PREFERRED] = [*items(rules, _PREFERRED), {"weight": 50, "podAffinityTerm": term}]
    return {**pod, "affinity": {**affinity, "podAntiAffinity": rules}}


def tolerates_unreachable(pod: Json) -> Json:
    """A pod's spec that leaves an unreachable node after five seconds."""
    others = [one for one in items(pod, "tolerations") if one.get("key") != UNREACHABLE["key"]]
    return {**pod, "tolerations": [*others, UNREACHABLE]}


def allows(placement: Json, node: Json) -> bool:
    """Whether a placement's required node affinity and tolerations let a pod onto a node."""
    terms = items(placement, "nodeAffinity", _REQUIRED, "nodeSelectorTerms")
    labels = section(node, "metadata", "labels")
    if terms and not any(all(_meets(one, labels) for one in items(term, "matchExpressions")) for term in terms):
        return False
    taints = [one for one in items(node, "spec", "taints") if one.get("effect") in ("NoSchedule", "NoExecute")]
    return all(any(_tolerates(one, taint) for one in items(placement, "tolerations")) for taint in taints)


def _meets(expression: Json, labels: Json) -> bool:
    value, values = labels.get(expression["key"]), cast("list[str]", expression.get("values") or [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }.get(expression["operator"], False)


def _tolerates(toleration: Json, taint: Json) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    exists = toleration.get("operator") == "Exists"
    return exists or (toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", ""))
