"""Node groups: the scale sets that carry the autoscaler's tags, and what a machine of each will be.

Source: AZ `azure_template.go`, `azure_autodiscovery.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.options import Options
from capacity.autoscaling.scale_up import Group
from capacity.autoscaling.scheduling import Taint, Template, Toleration, admits
from capacity.catalogue import load_catalogue
from sandbox.autoscaler.pods import amounts, shape
from sandbox.nodes.objects import Json, items, labels_of, section, text
from sandbox.nodes.quantities import parse_quantity

PREFIX = "k8s.io_cluster-autoscaler_node-template_"
ACCELERATOR = "kubernetes.azure.com/accelerator"
_PODS = 110
"""Pods at most on a predicted node, whatever the pool's own maximum is."""
_DAEMON_TOLERATIONS = frozenset(
    Toleration(f"node.kubernetes.io/{key}", "Exists")
    for key in ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
)
"""What the DaemonSet controller adds to its pods."""


class DiscoveryError(ValueError):
    """A scale set's tags cannot be used; the message names the tag."""


@dataclass(frozen=True)
class Pool:
    """A scale set that the autoscaler looks after.

    Attributes:
        name, id: on Azure, as it spells them.
        location, size: of its machines.
        min, max: from its tags.
        capacity: machines that Azure has been told to have.
        spot: whether its machines are spot.
        template: a node as its tags foretell it, before DaemonSets.
        options: the flags with its own tags.
    """

    name: str
    id: str
    location: str
    size: str
    min: int
    max: int
    capacity: int
    spot: bool
    template: Template
    options: Options

    def group(self, node: Template | None, daemons: Sequence[Json], price: float | None = None) -> Group:
        """As the decisions see it.

        Args:
            node: like a node that is there; None: none is, and the tags have to do.
            daemons: the cluster's DaemonSets.
        """
        template = node or with_daemons(self.template, daemons)
        return Group(self.name, template, self.min, self.max, self.options, price)


def discovered(scale_sets: Iterable[Mapping[str, Any]], specs: Sequence[str], options: Options) -> list[Pool]:
    """The scale sets that the flag `node-group-auto-discovery` names; those without `min` and `max` are passed over.

    Args:
        specs: the flag's values, `label:key=value,…`.

    Raises:
        DiscoveryError: a tag has no usable value.
    """
    wanted = [dict(pair.split("=", 1) for pair in spec.removeprefix("label:").split(",")) for spec in specs]
    pools: list[Pool] = []
    for one in scale_sets:
        tags: dict[str, str] = section(one, "tags")
        named = any(all(tags.get(key) == value for key, value in spec.items()) for spec in wanted)
        if named and "min" in tags and "max" in tags:
            pools.append(_pool(one, tags, options))
    return sorted(pools, key=lambda pool: pool.name)


def _pool(document: Mapping[str, Any], tags: Mapping[str, str], options: Options) -> Pool:
    name = text(document, "name")
    try:
        low, high = int(tags["min"]), int(tags["max"])
        own = options.for_group(tags)
        template = tag_template(text(document, "sku", "name"), tags)
    except ValueError as error:
        raise DiscoveryError(f"scale set {name}: {error}: change the pool's tags through AKS") from error
    if not 0 <= low <= high:
        raise DiscoveryError(f"scale set {name}: the tags min {low} and max {high} are no range")
    return Pool(
        name=name,
        id=text(document, "id"),
        location=text(document, "location"),
        size=text(document, "sku", "name"),
        min=low,
        max=high,
        capacity=int(section(document, "sku").get("capacity") or 0),
        spot=text(document, "properties", "virtualMachineProfile", "priority") == "Spot",
        template=template,
        options=own,
    )


def tag_template(size_name: str, tags: Mapping[str, str]) -> Template:
    """A node as its tags foretell it; what they leave out is the size's whole capacity.

    Raises:
        ValueError: a taint or amount cannot be read, or nothing is known of the size.
    """
    size = load_catalogue().size(size_name)
    if size is None:
        raise ValueError(f"nothing is known of the size {size_name}")
    capacity = Amounts(size.vcpus * 1000, size.memory_mib * 1024, nvidia=size.gpus, pods=_PODS)
    resources = {
        key.removeprefix(f"{PREFIX}resources_").replace("_", "/").replace("~2", "/"): value
        for key, value in tags.items()
        if key.startswith(f"{PREFIX}resources_")
    }
    for value in resources.values():
        parse_quantity(value)
    told = amounts(resources, up=False)
    names = {"cpu": "cpu_milli", "memory": "memory_kib", "ephemeral-storage": "ephemeral_kib"}
    names |= {"nvidia.com/gpu": "nvidia", "amd.com/gpu": "amd"}
    allocatable = capacity._replace(
        **{field: getattr(told, field) for name, field in names.items() if name in resources}
    )
    labels = {_key(key, "label_"): value for key, value in tags.items() if key.startswith(f"{PREFIX}label_")}
    taints = [
        Taint(_key(key, "taint_"), *_value_and_effect(key, value))
        for key, value in tags.items()
        if key.startswith(f"{PREFIX}taint_")
    ]
    generic = {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node.kubernetes.io/instance-type": size_name,
    }
    return Template(allocatable, {**generic, **labels}, tuple(taints), allocatable)


def with_daemons(template: Template, daemons: Sequence[Json]) -> Template:
    """A template without what the DaemonSets that would run on its node ask for."""
    allocatable = template.allocatable
    for daemon in daemons:
        pod = section(daemon, "spec", "template")
        one = shape(section(pod, "metadata"), section(pod, "spec"))
        tolerant = replace(one, tolerations=one.tolerations | _DAEMON_TOLERATIONS)
        if admits(template.labels, template.taints, tolerant):
            allocatable = allocatable.minus(one.requests)
    return replace(template, allocatable=allocatable)


def node_template(node: Json, daemon_pods: Sequence[Json]) -> Template:
    """A template like a node that is there (CA `processors/nodeinfosprovider`)."""
    used = Amounts()
    for pod in daemon_pods:
        used = used.plus(shape(section(pod, "metadata"), section(pod, "spec")).requests)
    labels = {key: value for key, value in labels_of(node).items() if key != "kubernetes.io/hostname"}
    taints = tuple(
        Taint(str(one["key"]), str(one.get("value") or ""), str(one["effect"])) for one in items(node, "spec", "taints")
    )
    return Template(
        amounts(section(node, "status", "allocatable"), up=False).minus(used),
        labels,
        taints,
        amounts(section(node, "status", "capacity"), up=False),
    )


def _key(tag: str, kind: str) -> str:
    return tag.removeprefix(PREFIX + kind).replace("_", "/").replace("~2", "_")


def _value_and_effect(tag: str, value: str) -> tuple[str, str]:
    text_, _, effect = value.rpartition(":")
    if effect not in ("NoSchedule", "NoExecute", "PreferNoSchedule"):
        raise ValueError(f"the tag {tag} is {value!r}, and value:Effect is expected")
    return text_, effect
