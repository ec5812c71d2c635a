"""The OSDs of a CephCluster: claims by device set, prepare Jobs, and an OSD for each disk that was prepared.

What a disk is, an OSD remembers: its id stands on its claim. Also OSDs on nodes' own disks, one a node.
"""

from __future__ import annotations

import hashlib

from sandbox.nodes.objects import Json, annotations_of, condition, items, labels_of, section, text
from sandbox.operators.placement import allows
from sandbox.operators.rook.pods import (
    OSD_ID,
    SET_CLAIM_ID,
    SET_INDEX,
    claim_id,
    device_sets,
    node_osd,
    osd,
    osd_claim,
    placement_of_nodes,
    prepare_job,
    prepare_node_job,
)
from sandbox.operators.view import View, is_going

_MANAGER = "rook"


class Osds:
    """OSDs of all clusters."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._given: dict[tuple[str, str], str] = {}  # ids given a moment ago, which the copy may not show yet

    async def reconcile(self, cluster: Json) -> int:
        """Bring the OSDs of a cluster on; gives how many there are to be.

        A device set that shrinks keeps its OSDs, as with Rook: their data is for a person to move.
        """
        wanted = 0
        for device_set in device_sets(cluster):
            count = int(device_set.get("count") or 0)
            there = {
                int(labels_of(one)[SET_INDEX])
                for one in self._claims(cluster, device_set)
                if labels_of(one).get(SET_INDEX, "").isdigit()
            }
            for index in sorted({*range(count), *there}):
                wanted += 1
                await self._one(cluster, device_set, index)
        for node in self._nodes_with_disks(cluster):
            wanted += 1
            await self._on_node(cluster, text(node, "metadata", "name"))
        return wanted

    def _nodes_with_disks(self, cluster: Json) -> list[Json]:
        """The nodes whose own disks are used: those named, or all that placement allows."""
        storage = section(cluster, "spec", "storage")
        if not (storage.get("useAllNodes") or storage.get("nodes")):
            return []
        named = {text(one, "name") for one in items(storage, "nodes")}
        placement = placement_of_nodes(cluster)
        return [
            node
            for node in self._view.all("Node")
            if (storage.get("useAllNodes") or text(node, "metadata", "name") in named) and allows(placement, node)
        ]

    async def _on_node(self, cluster: Json, node: str) -> None:
        namespace = text(cluster, "metadata", "namespace")
        present = self._view.all("Deployment", namespace, {"app": "rook-ceph-osd", "topology-location-host": node})
        identifier = labels_of(present[0])["ceph-osd-id"] if present else None
        if identifier is None:
            wanted = prepare_node_job(cluster, node)
            job = self._view.find("Job", namespace, text(wanted, "metadata", "name"))
            if job is None:
                await self._view.create(wanted, manager=_MANAGER, owner=cluster)
            if job is None or condition(job, "Complete").get("status") != "True":
                return
            identifier = self._next_id(cluster, node)
        await self._view.keep(node_osd(cluster, node, identifier), manager=_MANAGER, owner=cluster)

    def _claims(self, cluster: Json, device_set: Json) -> list[Json]:
        namespace = text(cluster, "metadata", "namespace")
        return self._view.all("PersistentVolumeClaim", namespace, {"ceph.rook.io/DeviceSet": device_set["name"]})

    async def _one(self, cluster: Json, device_set: Json, index: int) -> None:
        claims: list[Json] = []
        for template in items(device_set, "volumeClaimTemplates"):
            claims.append(await self._claim(cluster, device_set, template, index))
        if not claims or any(is_going(one) for one in claims):
            return
        names = [text(one, "metadata", "name") for one in claims]
        identifier = annotations_of(claims[0]).get(OSD_ID)
        namespace = text(cluster, "metadata", "namespace")
        job = prepare_job(cluster, device_set, names)
        if identifier is None:
            present = self._view.find("Job", namespace, text(job, "metadata", "name"))
            if present is None:
                await self._view.create(job, manager=_MANAGER, owner=cluster)
            elif condition(present, "Complete").get("status") == "True" and "uid" in claims[0]["metadata"]:
                identity = self._next_id(cluster, claims[0]["metadata"]["uid"])
                await self._view.annotate(claims[0], {OSD_ID: identity})
            return
        node = self._node_of(cluster, claims[0])
        if node is not None:
            deployment = osd(cluster, device_set, names, identifier, node)
            await self._view.keep(deployment, manager=_MANAGER, owner=cluster)

    async def _claim(self, cluster: Json, device_set: Json, template: Json, index: int) -> Json:
        """The claim as it is, grown where the template asks for more, or as it is being made."""
        identifier = claim_id(device_set, template, index)
        namespace = text(cluster, "metadata", "namespace")
        present = self._view.all("PersistentVolumeClaim", namespace, {SET_CLAIM_ID: identifier})
        if present:
            await self._grow(present[0], template)
            return present[0]
        # Rook's suffix is random; here it is told by cluster and number, so that a restart does not make a second one.
        suffix = hashlib.sha256(f"{cluster['metadata']['uid']}/{identifier}".encode()).hexdigest()[:5]
        made = osd_claim(cluster, device_set, template, index, identifier + suffix)
        await self._view.create(made, manager=_MANAGER, owner=cluster)
        return made

    async def _grow(self, claim: Json, template: Json) -> None:
        asked = section(template, "spec", "resources", "requests").get("storage")
        has = section(claim, "spec", "resources", "requests").get("storage")
        if asked is not None and asked != has:
            await self._view.resize(claim, str(asked))

    def _next_id(self, cluster: Json, of: str) -> str:
        """The smallest id that no OSD of the cluster has; the same again for the same claim or node."""
        key = (cluster["metadata"]["uid"], of)
        if key in self._given:
            return self._given[key]
        namespace = text(cluster, "metadata", "namespace")
        taken = {annotations_of(one).get(OSD_ID) for one in self._view.all("PersistentVolumeClaim", namespace)}
        taken |= {labels_of(one).get("ceph-osd-id") for one in self._view.all("Deployment", namespace)}
        taken |= {given for (uid, _), given in self._given.items() if uid == key[0]}
        self._given[key] = next(str(number) for number in range(len(taken) + 1) if str(number) not in taken)
        return self._given[key]

    def _node_of(self, cluster: Json, claim: Json) -> Json | None:
        """The node an OSD's disk was prepared on, or, where that is gone, any in the zone of its volume."""
        namespace = text(cluster, "metadata", "namespace")
        name = annotations_of(claim).get("volume.kubernetes.io/selected-node", "")
        node = self._view.find("Node", "", name)
        if node is not None:
            return node
        present = self._view.all("Deployment", namespace, {"ceph.rook.io/pvc": text(claim, "metadata", "name")})
        return None if present else next(iter(self._view.all("Node")), None)
