"""The workloads of Ceph's daemons as Rook makes them: pure, from a custom resource to manifests."""

from __future__ import annotations

from sandbox.nodes.objects import Json, items, section, text
from sandbox.operators.placement import apart, merge_placement, on_nodes_with, place, tolerates_unreachable

OSD_ID = "sandbox.trainyard/osd-id"
"""Annotation of an OSD's claim: the id that its prepare job wrote onto the disk."""
DEVICE_SET, SET_INDEX, SET_CLAIM_ID = "ceph.rook.io/DeviceSet", "ceph.rook.io/setIndex", "ceph.rook.io/DeviceSetPVCId"
ON_CLAIM = "ceph.rook.io/pvc"
ZONE = "topology.kubernetes.io/zone"
_DEFAULT_MON_SIZE = "10Gi"


def letters(index: int) -> str:
    """Rook's names of daemons: a, b, … z, aa."""
    name = ""
    index += 1
    while index > 0:
        index, rest = divmod(index - 1, 26)
        name = chr(ord("a") + rest) + name
    return name


def daemon_labels(cluster: Json, daemon: str, name: str, *, app: str) -> Json:
    """A daemon's labels on its Deployment and pods."""
    namespace = text(cluster, "metadata", "namespace")
    return {**selector_labels(namespace, daemon, name, app=app), "ceph_daemon_type": daemon}


def selector_labels(namespace: str, daemon: str, name: str, *, app: str) -> Json:
    """The labels that a daemon's Deployment selects its pods by."""
    return {"app": app, "rook_cluster": namespace, "ceph_daemon_id": name, daemon: name}


def mon(cluster: Json, name: str) -> list[Json]:
    """A monitor: its claim, where it has one, and its Deployment."""
    spec = cluster["spec"]
    template = section(spec, "mon", "volumeClaimTemplate")
    labels = daemon_labels(cluster, "mon", name, app="rook-ceph-mon") | {"mon_cluster": _namespace(cluster)}
    pod = _pod(cluster, "mon", "rook-ceph-default")
    made: list[Json] = []
    if template:
        claim = _object(cluster, "v1", "PersistentVolumeClaim", f"rook-ceph-mon-{name}", labels)
        requests = {"storage": _DEFAULT_MON_SIZE, **section(template, "spec", "resources", "requests")}
        claim["spec"] = {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": requests},
            **_class_name(template),
        }
        pod = tolerates_unreachable(pod)
        source: Json = {"persistentVolumeClaim": {"claimName": f"rook-ceph-mon-{name}"}}
        made.append(claim)
    else:
        source = {"hostPath": {"path": f"{spec.get('dataDirHostPath') or '/var/lib/rook'}/mon-{name}/data"}}
    pod["volumes"] = [{"name": "ceph-daemon-data", **source}]
    pod = place(pod, _placement(cluster, "mon"))
    alone = not section(spec, "mon").get("allowMultiplePerNode")
    pod = apart(pod, {"app": "rook-ceph-mon"}, required=alone)
    selector = selector_labels(_namespace(cluster), "mon", name, app="rook-ceph-mon")
    made.append(_deployment(cluster, f"rook-ceph-mon-{name}", labels, selector, pod))
    return made


def mgr(cluster: Json, name: str, count: int) -> Json:
    """A manager's Deployment; several keep apart."""
    labels = daemon_labels(cluster, "mgr", name, app="rook-ceph-mgr")
    pod = place(_pod(cluster, "mgr", "rook-ceph-mgr"), _placement(cluster, "mgr"))
    if count > 1:
        pod["containers"].append({"name": "watch-active", "image": _image(cluster)})
        alone = not section(cluster["spec"], "mgr").get("allowMultiplePerNode")
        pod = apart(pod, {"app": "rook-ceph-mgr", "rook_cluster": _namespace(cluster)}, required=alone)
    selector = selector_labels(_namespace(cluster), "mgr", name, app="rook-ceph-mgr")
    return _deployment(cluster, f"rook-ceph-mgr-{name}", labels, selector, tolerates_unreachable(pod))


def osd_claim(cluster: Json, device_set: Json, template: Json, index: int, name: str) -> Json:
    """The claim of one OSD of a device set, for one of its templates."""
    own = section(template, "metadata")
    identifier = claim_id(device_set, template, index)
    labels = {
        DEVICE_SET: device_set["name"],
        SET_INDEX: str(index),
        SET_CLAIM_ID: identifier,
        **section(own, "labels"),
    }
    claim = _object(cluster, "v1", "PersistentVolumeClaim", name, labels)
    claim["metadata"]["annotations"] = section(own, "annotations")
    claim["spec"] = template["spec"]
    return claim


def claim_id(device_set: Json, template: Json, index: int) -> str:
    """What tells an OSD's claim from others: set, template and number."""
    kind = text(template, "metadata", "name") or "data"
    return f"{device_set['name'].replace('.', '-')}-{kind.replace(' ', '-')}-{index}"


def prepare_job(cluster: Json, device_set: Json, claims: list[str]) -> Json:
    """The Job that prepares an OSD's disk; its pod is what chooses the node, and so the zone."""
    [data, *_] = claims
    pod = _pod(cluster, "prepareosd", "rook-ceph-osd", container="provision")
    pod["restartPolicy"] = "OnFailure"
    _use_disks(pod, claims)
    pod = _all_placement(cluster, pod)
    pod = place(pod, section(device_set, "preparePlacement") or section(device_set, "placement"))
    labels = {
        "app": "rook-ceph-osd-prepare",
        "rook_cluster": _namespace(cluster),
        ON_CLAIM: data,
        DEVICE_SET: device_set["name"],
    }
    job = _object(cluster, "batch/v1", "Job", f"rook-ceph-osd-prepare-{data}"[:63].rstrip("-."), labels)
    job["spec"] = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    return job


def osd(cluster: Json, device_set: Json, claims: list[str], identifier: str, node: Json) -> Json:
    """An OSD's Deployment; a portable one stays in its zone, another one on its node.

    Args:
        node: where its disk was prepared.
    """
    [data, *_] = claims
    labels = daemon_labels(cluster, "osd", identifier, app="rook-ceph-osd") | {
        "ceph-osd-id": identifier,
        "portable": str(bool(device_set.get("portable"))).lower(),
        ON_CLAIM: data,
        DEVICE_SET: device_set["name"],
    }
    pod = _pod(cluster, "osd", "rook-ceph-osd", resources=section(device_set, "resources"))
    _use_disks(pod, claims)
    if device_set.get("portable"):
        pod = tolerates_unreachable(pod)
    pod = _all_placement(cluster, pod)
    pod = place(pod, section(device_set, "placement"))
    zone = section(node, "metadata", "labels").get(ZONE)
    if not device_set.get("portable"):
        pod["nodeSelector"] = {"kubernetes.io/hostname": text(node, "metadata", "name")}
    elif zone:
        pod = place(pod, on_nodes_with(ZONE, zone))
    selector = {"app": "rook-ceph-osd", "rook_cluster": _namespace(cluster), "ceph-osd-id": identifier}
    return _deployment(cluster, f"rook-ceph-osd-{identifier}", labels, selector, pod)


def prepare_node_job(cluster: Json, node: str) -> Json:
    """The Job that prepares a node's own disks."""
    pod = _pod(cluster, "prepareosd", "rook-ceph-osd", container="provision")
    pod |= {"restartPolicy": "OnFailure", "nodeSelector": {"kubernetes.io/hostname": node}}
    pod = place(_all_placement(cluster, pod), section(cluster, "spec", "placement", "prepareosd"))
    labels = {"app": "rook-ceph-osd-prepare", "rook_cluster": _namespace(cluster)}
    job = _object(cluster, "batch/v1", "Job", f"rook-ceph-osd-prepare-{node}"[:63].rstrip("-."), labels)
    job["spec"] = {"template": {"metadata": {"labels": labels}, "spec": pod}}
    return job


def node_osd(cluster: Json, node: str, identifier: str) -> Json:
    """The Deployment of an OSD on a node's own disk: it never leaves that node."""
    more = {"ceph-osd-id": identifier, "portable": "false", "topology-location-host": node}
    labels = daemon_labels(cluster, "osd", identifier, app="rook-ceph-osd") | more
    pod = _pod(cluster, "osd", "rook-ceph-osd") | {"nodeSelector": {"kubernetes.io/hostname": node}}
    pod = place(_all_placement(cluster, pod), section(cluster, "spec", "placement", "osd"))
    selector = {"app": "rook-ceph-osd", "rook_cluster": _namespace(cluster), "ceph-osd-id": identifier}
    return _deployment(cluster, f"rook-ceph-osd-{identifier}", labels, selector, pod)


def placement_of_nodes(cluster: Json) -> Json:
    """The placement of OSDs that use nodes' own disks."""
    return _placement(cluster, "osd")


def mds(cluster: Json, filesystem: Json, name: str) -> Json:
    """A metadata server's Deployment; its placement is the file system's own alone."""
    own = section(filesystem["spec"], "metadataServer")
    daemon = f"{text(filesystem, 'metadata', 'name')}-{name}"
    file_system = {"rook_file_system": text(filesystem, "metadata", "name")}
    labels = daemon_labels(filesystem, "mds", daemon, app="rook-ceph-mds") | file_system
    pod = _pod(cluster, "mds", "rook-ceph-default", resources=section(own, "resources"))
    if own.get("priorityClassName"):
        pod["priorityClassName"] = own["priorityClassName"]
    pod = place(tolerates_unreachable(pod), section(own, "placement"))
    selector = selector_labels(_namespace(cluster), "mds", daemon, app="rook-ceph-mds") | file_system
    return _deployment(filesystem, f"rook-ceph-mds-{daemon}", labels, selector, pod)


def _namespace(owner: Json) -> str:
    return text(owner, "metadata", "namespace")


def _image(cluster: Json) -> str:
    return text(cluster, "spec", "cephVersion", "image")


def _placement(cluster: Json, daemon: str) -> Json:
    placement = section(cluster, "spec", "placement")
    return merge_placement(section(placement, "all"), section(placement, daemon))


def _all_placement(cluster: Json, pod: Json) -> Json:
    if section(cluster, "spec", "storage").get("onlyApplyOSDPlacement"):
        return pod
    return place(pod, section(cluster, "spec", "placement", "all"))


def _pod(cluster: Json, daemon: str, account: str, *, container: str = "", resources: Json | None = None) -> Json:
    spec = cluster["spec"]
    wanted = section(spec, "resources", daemon) if resources is None else resources
    classes = section(spec, "priorityClassNames")
    pod: Json = {
        "serviceAccountName": account,
        "containers": [{"name": container or daemon, "image": _image(cluster), "resources": wanted}],
    }
    if section(spec, "network").get("provider") == "host":
        pod |= {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"}
    priority = classes.get(daemon) or classes.get("osd" if daemon == "prepareosd" else daemon) or classes.get("all")
    return {**pod, "priorityClassName": priority} if priority and daemon != "mds" else pod


def _use_disks(pod: Json, claims: list[str]) -> None:
    """Claims as raw block devices, as Rook hands them to its init containers."""
    pod["volumes"] = [{"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims]
    mapper = {
        "name": "blkdevmapper",
        "image": pod["containers"][0]["image"],
        "resources": pod["containers"][0]["resources"],
        "volumeDevices": [{"name": one, "devicePath": f"/{one}"} for one in claims],
    }
    pod["initContainers"] = [mapper]


def _class_name(template: Json) -> Json:
    name = text(template, "spec", "storageClassName")
    return {"storageClassName": name} if name else {}


def _object(owner: Json, api_version: str, kind: str, name: str, labels: Json) -> Json:
    metadata: Json = {"name": name, "namespace": _namespace(owner), "labels": labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _deployment(owner: Json, name: str, labels: Json, selector: Json, pod: Json) -> Json:
    made = _object(owner, "apps/v1", "Deployment", name, labels)
    made["spec"] = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": selector},
        "template": {"metadata": {"labels": {**labels, **selector}}, "spec": pod},
    }
    return made


def counted(spec: Json, *path: str, default: int) -> int:
    """A number at a path; the default where there is none, or 0."""
    return int(section(spec, *path[:-1]).get(path[-1]) or default)


def device_sets(cluster: Json) -> list[Json]:
    """The cluster's device sets."""
    return items(cluster, "spec", "storage", "storageClassDeviceSets")
