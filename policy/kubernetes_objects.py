"""What runs in the cluster: images, privileges, room, rights.

Judged by each object's inputs before it is made: for the stack as a whole the engine shows no properties of objects
whose cluster is still to be made. Charts are judged by what the program says of them; what they bring is not visible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase

from policy.model import Resource, Rule, Setting, Settings, each
from policy.properties import Properties

_WORKLOADS = ("Pod", "Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job", "CronJob")
_ROLES = ("Role", "ClusterRole")
_CONTAINERS = ("initContainers", "containers")
_HOST = ("hostNetwork", "hostPID", "hostIPC")
_REMOVE = "Remove it, or name the workload in `exceptions`."
_STRONG = {"SYS_ADMIN", "ALL"}
"""Capabilities that are as good as being privileged."""


def _pod(workload: Resource) -> Properties:
    """The pod that a workload makes."""
    if workload.kind == "Pod":
        return workload.properties.section("spec")
    if workload.kind == "CronJob":
        return workload.properties.section("spec.jobTemplate.spec.template.spec")
    return workload.properties.section("spec.template.spec")


def _each_container(workload: Resource, judge: Callable[[str, Properties], Iterator[str]]) -> Iterator[str]:
    """The failures of all containers: one that is not known yet hides no other's."""
    pod = _pod(workload)

    def one(container: Properties) -> Iterator[str]:
        return judge(str(container.known("name") or "?"), container)

    return each(_CONTAINERS, lambda kind: each(pod.sections(kind), one))


def _excepted(resource: Resource, settings: Settings) -> bool:
    """Whether `namespace/name` is among the exceptions."""
    name = resource.properties.known("metadata.name") or resource.name
    full = f"{resource.properties.known('metadata.namespace') or 'default'}/{name}"
    return any(fnmatchcase(full, str(pattern)) for pattern in settings["exceptions"])


def _images(workload: Resource, settings: Settings) -> Iterator[str]:
    def judge(name: str, container: Properties) -> Iterator[str]:
        image = container.text("image") or ""
        digest = "@sha256:" in image
        tag = image.rsplit("/", 1)[-1].partition("@")[0].partition(":")[2]
        if not digest and tag in {"", "latest"}:
            yield (
                f"{name}: image {image or '(none)'} names no fixed version, and another one may run tomorrow. Give a "
                "version, or a digest (@sha256:…)."
            )
        elif not digest and any(image.startswith(str(one)) for one in settings["digestsFrom"]):
            yield f"{name}: image {image} is of a registry whose images are pinned by digest. Add @sha256:…"

    return _each_container(workload, judge)


def _privileged(workload: Resource, settings: Settings) -> Iterator[str]:
    def judge(name: str, container: Properties) -> Iterator[str]:
        context = container.section("securityContext")
        strong = _STRONG & {one.upper() for one in context.texts("capabilities.add")}
        if context.flag("privileged") is True:
            yield f"{name}: runs privileged, which is root on the machine. {_REMOVE}"
        elif strong:
            yield f"{name}: has the capability {', '.join(sorted(strong))}, as good as privileged. {_REMOVE}"

    return iter(()) if _excepted(workload, settings) else _each_container(workload, judge)


def _escalation(workload: Resource, settings: Settings) -> Iterator[str]:
    def judge(name: str, container: Properties) -> Iterator[str]:
        context = container.section("securityContext")
        if context.flag("privileged") is not True and context.flag("allowPrivilegeEscalation") is not False:
            yield (
                f"{name}: may gain rights that it was not started with. Set "
                "securityContext.allowPrivilegeEscalation to false."
            )

    return iter(()) if _excepted(workload, settings) else _each_container(workload, judge)


def _host_namespaces(workload: Resource, settings: Settings) -> Iterator[str]:
    if _excepted(workload, settings):
        return
    pod = _pod(workload)

    def judge(one: str) -> Iterator[str]:
        if pod.flag(one) is True:
            yield f"{one}: the pod sees the machine's own. {_REMOVE}"

    yield from each(_HOST, judge)


def _room(workload: Resource, settings: Settings) -> Iterator[str]:
    wanted = [("requests", "cpu"), ("requests", "memory"), ("limits", "memory")]
    if settings["cpuLimits"]:
        wanted.append(("limits", "cpu"))

    def judge(name: str, container: Properties) -> Iterator[str]:
        given = container.section("resources")
        missing = [
            f"{kind}.{what}" for kind, what in wanted if given.raw(kind) is None or given.raw(f"{kind}.{what}") is None
        ]
        if missing:
            yield f"{name}: resources has no {', '.join(missing)}. Set them: what is not said is not kept free."

    return _each_container(workload, judge)


def _wildcards(role: Resource, settings: Settings) -> Iterator[str]:
    if _excepted(role, settings):
        return

    def judge(rule: tuple[int, Properties]) -> Iterator[str]:
        number, grants = rule
        stars = [part for part in ("verbs", "resources", "apiGroups") if "*" in grants.texts(part)]
        if stars:
            yield f"rules[{number}]: {', '.join(stars)} is `*`, which grants more than is known. Name what is needed."

    yield from each(enumerate(role.properties.sections("rules")), judge)


def _cluster_admin(binding: Resource, settings: Settings) -> Iterator[str]:
    # A name that is not known yet is that of a role made in this deployment, which cluster-admin is not.
    if binding.properties.known("roleRef.name") == "cluster-admin" and not _excepted(binding, settings):
        yield "roleRef: cluster-admin may do everything. Bind a role with what is needed."


def _chart(release: Resource, _settings: Settings) -> Iterator[str]:
    chart = str(release.properties.get("chart") or "")
    if not release.properties.get("version") and not chart.startswith((".", "/")):
        yield f"{chart}: the chart has no version, and another may come tomorrow. Set version."


def _exceptions(*default: str) -> Setting:
    return Setting(
        "exceptions",
        {
            "type": "array",
            "items": {"type": "string"},
            "default": list(default),
            "description": "`namespace/name` that may, `*` for anything.",
        },
    )


RULES = (
    Rule(
        name="k8s-images-pinned",
        title="Images are pinned.",
        why="A machine that comes up in the night pulls whatever the tag is by then.",
        fix="Name a version, or a digest.",
        severity="high",
        kinds=_WORKLOADS,
        follows=("CKV_K8S_14", "CKV_K8S_43"),
        settings=(
            Setting(
                "digestsFrom",
                {
                    "type": "array",
                    "items": {"type": "string"},
                    "default": [],
                    "description": "Beginnings of image names that must have a digest, `registry.k8s.io/`.",
                },
            ),
        ),
        check=_images,
    ),
    Rule(
        name="k8s-not-privileged",
        title="No container is privileged, the named exceptions aside.",
        why="A privileged container is root on its machine, and every job on it is in its hands.",
        fix="Remove `privileged` and SYS_ADMIN, or name the workload in `exceptions`.",
        severity="critical",
        kinds=_WORKLOADS,
        follows=("CKV_K8S_16", "CKV_K8S_39", "CIS AKS 4.2.1"),
        settings=(_exceptions("*/nvidia-device-plugin-*", "*/dcgm-exporter", "rook-ceph/*", "kadalu/*"),),
        check=_privileged,
    ),
    Rule(
        name="k8s-no-privilege-escalation",
        title="No container gains rights that it was not started with.",
        why="A setuid program in an image is otherwise a way to root.",
        fix="Set securityContext.allowPrivilegeEscalation to false.",
        severity="medium",
        level="advisory",
        kinds=_WORKLOADS,
        follows=("CKV_K8S_20", "CIS AKS 4.2.5"),
        settings=(_exceptions("*/nvidia-device-plugin-*", "*/dcgm-exporter", "rook-ceph/*", "kadalu/*"),),
        check=_escalation,
    ),
    Rule(
        name="k8s-no-host-namespaces",
        title="No pod sees the machine's network, processes or memory.",
        why="A pod in the machine's network is not bound by network policies, and reaches its identity.",
        fix="Remove hostNetwork, hostPID and hostIPC, or name the workload in `exceptions`.",
        severity="high",
        kinds=_WORKLOADS,
        follows=("CKV_K8S_17", "CKV_K8S_18", "CKV_K8S_19", "CIS AKS 4.2.2", "CIS AKS 4.2.3", "CIS AKS 4.2.4"),
        settings=(_exceptions("rook-ceph/*", "kadalu/*"),),
        check=_host_namespaces,
    ),
    Rule(
        name="k8s-requests-and-limits",
        title="Containers say what they need.",
        why="Memory that nobody asked for is taken from a job, which dies; the autoscaler counts requests only.",
        fix="Set resources.requests for cpu and memory, and a limit for memory.",
        severity="medium",
        level="advisory",
        kinds=_WORKLOADS,
        follows=("CKV_K8S_10", "CKV_K8S_12", "CKV_K8S_13"),
        settings=(
            Setting(
                "cpuLimits",
                {
                    "type": "boolean",
                    "default": False,
                    "description": "Whether CPU limits are wanted (CKV_K8S_11).",
                },
            ),
        ),
        check=_room,
    ),
    Rule(
        name="k8s-no-wildcard-rbac",
        title="Roles name what they grant.",
        why="`*` grants secrets, and whatever a new version brings.",
        fix="Name API groups, resources and verbs.",
        severity="high",
        kinds=_ROLES,
        follows=("CKV_K8S_49", "CIS AKS 4.1.3"),
        settings=(_exceptions(),),
        check=_wildcards,
    ),
    Rule(
        name="k8s-no-cluster-admin",
        title="Nothing is bound to cluster-admin.",
        why="Whoever gets into such a pod owns the cluster.",
        fix="Bind a role with what is needed; people get Azure roles.",
        severity="high",
        kinds=("ClusterRoleBinding", "RoleBinding"),
        follows=("CIS AKS 4.1.1",),
        settings=(_exceptions(),),
        check=_cluster_admin,
    ),
    Rule(
        name="k8s-charts-pinned",
        title="Charts have a version.",
        why="Without one the newest is taken on the day of the deployment.",
        fix="Set the release's version.",
        severity="medium",
        kinds=("Release", "Chart"),
        check=_chart,
    ),
)
