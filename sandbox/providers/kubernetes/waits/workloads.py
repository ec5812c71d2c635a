"""Deployments, DaemonSets, StatefulSets, Jobs and ReplicationControllers."""

from __future__ import annotations

from sandbox.providers.kubernetes.objects import (
    Json,
    Kind,
    annotation,
    as_list,
    as_map,
    conditions_of,
    generation_of,
    is_owned_by,
    name_of,
    pluck,
    text,
    whole,
)
from sandbox.providers.kubernetes.waits.base import Collection, Event, NotReadyError, Wait, selected
from sandbox.providers.kubernetes.waits.pods import OwnedPods

_REVISION = "deployment.kubernetes.io/revision"
_POD = Kind("", "v1", "Pod")
_REPLICA_SET = Kind("apps", "v1", "ReplicaSet")
_CLAIM = Kind("", "v1", "PersistentVolumeClaim")


def _observed(obj: Json) -> bool:
    """Whether the controller has seen the object as it is."""
    seen = pluck(obj, "status", "observedGeneration")
    return seen is not None and whole(seen) >= generation_of(obj)


class DeploymentWait(Wait):
    """A Deployment is ready once it is available and its newest ReplicaSet has all its pods ready."""

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._replica_sets: dict[str, Json] = {}
        self._claims: dict[str, Json] = {}
        self._pods = OwnedPods()

    def related(self) -> list[Collection]:
        """See `Wait`."""
        found = [selected(self.outputs, _REPLICA_SET), selected(self.outputs, _POD)]
        return [*found, Collection(_CLAIM, self.namespace)] if self._claim_names() else found

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        obj = event.object
        match Kind.of(obj).kind:
            case "ReplicaSet" if is_owned_by(obj, self.outputs):
                revision = annotation(obj, _REVISION)
                if event.deleted:
                    self._replica_sets.pop(revision, None)
                else:
                    self._replica_sets[revision] = obj
            case "PersistentVolumeClaim" if name_of(obj) in self._claim_names():
                if event.deleted:
                    self._claims.pop(name_of(obj), None)
                else:
                    self._claims[name_of(obj)] = obj
            case "Pod":
                self._pods.observe(event)
            case _:
                pass

    def done(self) -> bool:
        """See `Wait`."""
        revision = annotation(self.object, _REVISION)
        if not _observed(self.object) or not revision or self._unbound_claims():
            return False
        rolled_out = revision == "1" or self._progressed()
        return self._available() and rolled_out and self._replica_set_ready()

    def _claim_names(self) -> set[str]:
        volumes = as_list(pluck(self.object, "spec", "template", "spec", "volumes"))
        return {text(pluck(one, "persistentVolumeClaim", "claimName")) for one in volumes} - {""}

    def _unbound_claims(self) -> list[str]:
        return [name for name, claim in self._claims.items() if pluck(claim, "status", "phase") != "Bound"]

    def _available(self) -> bool:
        return conditions_of(self.object).get("Available", {}).get("status") == "True"

    def _progressed(self) -> bool:
        progressing = conditions_of(self.object).get("Progressing", {})
        return progressing.get("status") == "True" and progressing.get("reason") == "NewReplicaSetAvailable"

    def _counts(self) -> tuple[int, int]:
        """Ready and wanted pods of the newest ReplicaSet: what it is to have by now, not what the program said."""
        replica_set = self._replica_sets.get(annotation(self.object, _REVISION), {})
        wanted = pluck(replica_set, "spec", "replicas")
        return whole(pluck(replica_set, "status", "readyReplicas")), 1 if wanted is None else whole(wanted)

    def _replica_set_ready(self) -> bool:
        if annotation(self.object, _REVISION) not in self._replica_sets:
            return False
        ready, wanted = self._counts()
        return ready >= wanted

    def progress(self) -> str:
        """See `Wait`."""
        ready, wanted = self._counts()
        return f"Waiting for app ReplicaSet to be available ({ready}/{wanted} Pods available)"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        conditions = conditions_of(self.object)
        found = [
            f"[{one['reason']}] {one['message']}"
            for one in (conditions.get("Progressing", {}), conditions.get("Available", {}))
            if one and one.get("status") != "True" and one.get("reason") and one.get("message")
        ]
        if unbound := self._unbound_claims():
            found.append(f"Failed to bind PersistentVolumeClaim(s): {','.join(unbound)!r}")
        if not self._available():
            found.append("Minimum number of live Pods was not attained")
        elif annotation(self.object, _REVISION) != "1" and not self._progressed():
            found.append("Minimum number of Pods to consider the application live was not attained")
        elif not self._replica_set_ready():
            found.append(
                "Attempted to roll forward to new ReplicaSet, but minimum number of Pods did not become live"
                if annotation(self.object, _REVISION) != "1"
                else "Minimum number of Pods to consider the application live was not attained"
            )
        newest = self._replica_sets.get(annotation(self.object, _REVISION))
        return found + self._pods.problems(newest)


class DaemonSetWait(Wait):
    """A DaemonSet is ready once every node that it wants has an up-to-date, available pod."""

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._pods = OwnedPods()

    def related(self) -> list[Collection]:
        """See `Wait`."""
        return [selected(self.outputs, _POD)]

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        self._pods.observe(event)

    def _counts(self) -> tuple[int, dict[str, int]]:
        fields = ("currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
        status = as_map(self.object.get("status"))
        return whole(status.get("desiredNumberScheduled")), {key: whole(status.get(key)) for key in fields}

    def done(self) -> bool:
        """See `Wait`."""
        wanted, counts = self._counts()
        return _observed(self.object) and all(count >= wanted for count in counts.values())

    def progress(self) -> str:
        """See `Wait`."""
        if not _observed(self.object):
            return "Waiting for the DaemonSet controller to see the DaemonSet"
        wanted, counts = self._counts()
        return f"Available: {counts['numberAvailable']}/{wanted}"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        return [self.progress(), *self._pods.problems(self.object)]


class StatefulSetWait(Wait):
    """A StatefulSet is ready once all replicas are ready and of its newest revision."""

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._pods = OwnedPods()

    def related(self) -> list[Collection]:
        """See `Wait`."""
        return [selected(self.outputs, _POD)]

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        self._pods.observe(event)

    def _status(self, field: str) -> int:
        return whole(pluck(self.object, "status", field))

    def _wanted(self) -> int:
        return whole(pluck(self.object, "spec", "replicas"))

    def _by_hand(self) -> bool:
        """Whether pods are renewed only when somebody deletes them."""
        return generation_of(self.object) > 1 and pluck(self.object, "spec", "updateStrategy", "type") == "OnDelete"

    def _revisions(self) -> tuple[str, str]:
        status = as_map(self.object.get("status"))
        return text(status.get("currentRevision")), text(status.get("updateRevision"))

    def _replicas_ready(self) -> bool:
        counted = ["replicas", "readyReplicas"] + ([] if self._by_hand() else ["currentReplicas"])
        return _observed(self.object) and all(self._status(field) == self._wanted() for field in counted)

    def _revision_ready(self) -> bool:
        current, newest = self._revisions()
        return _observed(self.object) and (self._by_hand() or (current != "" and current == newest))

    def done(self) -> bool:
        """See `Wait`."""
        return self._replicas_ready() and self._revision_ready()

    def _ready_now(self) -> int:
        ready = self._status("readyReplicas")
        return ready if self._revision_ready() else min(ready, self._status("updatedReplicas"))

    def progress(self) -> str:
        """See `Wait`."""
        doing = "create Pods" if generation_of(self.object) <= 1 else "roll out"
        return f"Waiting for StatefulSet to {doing} ({self._ready_now()}/{self._wanted()} Pods ready)"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        found: list[str] = []
        if not self._replicas_ready():
            found.append(f"{self._ready_now()} out of {self._wanted()} replicas succeeded readiness checks")
        if not self._revision_ready():
            current, newest = self._revisions()
            found.append(f"StatefulSet controller failed to advance from revision {current!r} to revision {newest!r}")
        return found + self._pods.problems(self.object)


class JobWait(Wait):
    """A Job is ready once it is complete; one that failed for good ends the wait."""

    checked_on_read = True

    def __init__(self, inputs: Json, outputs: Json, before: Json | None = None) -> None:
        super().__init__(inputs, outputs, before)
        self._pods = OwnedPods()

    def related(self) -> list[Collection]:
        """See `Wait`."""
        return [Collection(_POD, self.namespace, {"labelSelector": f"batch.kubernetes.io/job-name={self.name}"})]

    def observe_related(self, event: Event) -> None:
        """See `Wait`."""
        self._pods.observe(event)

    def done(self) -> bool:
        """See `Wait`."""
        failed = conditions_of(self.object).get("Failed", {})
        if failed.get("status") == "True" and failed.get("reason") in ("BackoffLimitExceeded", "DeadlineExceeded"):
            message = f"Resource '{self.name}' was created but failed to initialize"
            raise NotReadyError(message, self.object, self.reasons())
        return is_complete(self.object)

    def progress(self) -> str:
        """See `Wait`."""
        status = as_map(self.object.get("status"))
        counts = " | ".join(f"{name.title()}: {whole(status.get(name))}" for name in ("active", "succeeded", "failed"))
        return f"Waiting for Job {self.name!r} to succeed ({counts})"

    def reasons(self) -> list[str]:
        """See `Wait`."""
        failed = conditions_of(self.object).get("Failed", {})
        own = [f"[{text(failed.get('reason'))}] {text(failed.get('message'))}"] if failed else []
        return own + self._pods.problems(self.object)


def is_complete(job: Json) -> bool:
    """Whether a Job has started and come to its good end."""
    complete = conditions_of(job).get("Complete", {})
    return pluck(job, "status", "startTime") is not None and complete.get("status") == "True"


class ReplicationControllerWait(Wait):
    """A ReplicationController is ready once as many pods are available as it wants."""

    def done(self) -> bool:
        """See `Wait`."""
        return pluck(self.object, "status", "availableReplicas") == pluck(self.object, "spec", "replicas")

    def reasons(self) -> list[str]:
        """See `Wait`."""
        have, want = pluck(self.object, "status", "availableReplicas"), pluck(self.object, "spec", "replicas")
        return [f"{whole(have)} of {whole(want)} pods are available"]
