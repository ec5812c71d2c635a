"""The cluster, through the user's own `kubectl` and sign-in: the Job, its pod, its logs.

Owns the calls and the words for what they answer. Does not know what an upload is.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from datasets.declared import Declared
from datasets.job import CODE_LABEL, code_version, config_map, job, job_name, receiver_files
from datasets.problems import FAILED, UNREACHABLE, USAGE, CommandError

Json = dict[str, Any]
_POLL = 1.0
_NO_PODS: Json = {"items": []}
_WAIT_SECONDS = 30 * 60
_CALL_SECONDS = 60


class KubectlError(Exception):
    """kubectl failed; its own words.

    Attributes:
        missing: the object is not there.
        exists: it is there already.
        transient: the same call may succeed later.
    """

    def __init__(self, told: str) -> None:
        super().__init__(told)
        self.missing = "(NotFound)" in told
        self.exists = "(AlreadyExists)" in told
        refused = ("(Forbidden)", "(Invalid)", "(BadRequest)", "You must be logged in", "(Unauthorized)")
        self.transient = not self.missing and not self.exists and not any(word in told for word in refused)


class Cluster:
    """One cluster as one user.

    Args:
        arguments: what every kubectl call begins with: `--kubeconfig`, `--context`.
    """

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self._arguments = arguments

    def command(self, *words: str) -> list[str]:
        """A kubectl command line."""
        return ["kubectl", *self._arguments, *words]

    def call(self, *words: str, document: Mapping[str, Any] | None = None) -> str:
        """Run kubectl; gives what it printed.

        Raises:
            KubectlError: it failed.
            CommandError: it is not there.
        """
        try:
            done = subprocess.run(
                self.command(*words),
                input=None if document is None else json.dumps(document),
                stdin=subprocess.DEVNULL if document is None else None,
                capture_output=True,
                text=True,
                check=False,
                timeout=_CALL_SECONDS,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
        except FileNotFoundError:
            raise CommandError(USAGE, "kubectl is not on PATH: install it") from None
        except subprocess.TimeoutExpired:
            raise KubectlError(f"kubectl {words[0]} did not answer within {_CALL_SECONDS} s") from None
        if done.returncode:
            raise KubectlError(done.stderr.strip() or f"kubectl {words[0]} failed with {done.returncode}")
        return done.stdout

    def get(self, *words: str) -> Json | None:
        """An object or a list, None where it is not there."""
        try:
            return cast(Json, json.loads(self.call("get", *words, "--output=json")))
        except KubectlError as error:
            if error.missing:
                return None
            raise


class UploadJob:
    """The Job of one dataset.

    Args:
        cluster: where.
        dataset: which.
        say: shows a line to the user.
    """

    def __init__(self, cluster: Cluster, dataset: Declared, say: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._dataset = dataset
        self._say = say
        self._files = receiver_files()
        self._space = f"--namespace={dataset.namespace}"

    @property
    def name(self) -> str:
        """The Job's name."""
        return job_name(self._dataset.name)

    def is_of_this_program(self, found: Json) -> bool:
        """Whether a Job runs this very receiver, on this very target."""
        wanted = job(self._dataset, self._files)
        arguments = wanted["spec"]["template"]["spec"]["containers"][0]["args"]
        return (
            found["metadata"].get("labels", {}).get(CODE_LABEL) == code_version(self._files)
            and found["spec"]["template"]["spec"]["containers"][0].get("args") == arguments
        )

    def find(self) -> Json | None:
        """The Job as it is, None where there is none."""
        return self._cluster.get("job", self.name, self._space)

    def ensure(self) -> None:
        """Make the Job unless one runs; one that has ended is made anew.

        Raises:
            CommandError: the cluster does not take it.
        """
        try:
            found = self.find()
            if found is not None and (_ended(found) or "deletionTimestamp" in found["metadata"]):
                self.delete(wait=True)
                found = None
            if found is None:
                self._create(job(self._dataset, self._files))
                found = self.find()
            if found is not None:
                self._create(config_map(self._dataset, self._files, found["metadata"]["uid"]))
        except KubectlError as error:
            code = UNREACHABLE if error.transient else FAILED
            raise CommandError(
                code,
                f"the upload's Job cannot be made: {error}\nNothing was changed. You need the rights to create jobs "
                f"and configmaps and to port-forward to pods in namespace {self._dataset.namespace}",
            ) from error

    def _create(self, document: Json) -> None:
        try:
            self._cluster.call("create", "--filename=-", document=document)
        except KubectlError as error:
            if not error.exists:  # somebody was faster: theirs will do, or is told apart later
                raise

    def delete(self, *, wait: bool) -> None:
        """Delete the Job with its pod, unless it is gone."""
        self._cluster.call(
            "delete",
            "job",
            self.name,
            self._space,
            "--ignore-not-found",
            "--cascade=foreground",
            f"--wait={wait}".lower(),
        )

    def ready_pod(self) -> str:
        """Wait for the Job's pod to run; gives its name.

        Raises:
            CommandError: it does not, with the cluster's reason.
        """
        end, told = time.monotonic() + _WAIT_SECONDS, ""
        while True:
            try:
                pods = self._cluster.get("pods", self._space, f"--selector=job-name={self.name}") or _NO_PODS
                found = self.find()
            except KubectlError as error:
                if not error.transient:
                    raise CommandError(FAILED, f"the upload's pod cannot be seen: {error}") from error
                pods, found, reason = _NO_PODS, {}, str(error).splitlines()[-1]
            else:
                reason = "the Job has no pod yet"
            if found is None:
                raise CommandError(FAILED, f"the Job {self.name} was deleted by somebody: repeat the command")
            if found and _ended(found):
                raise CommandError(FAILED, f"the Job {self.name} has ended: {self._last_words()}")
            for pod in cast("list[Json]", pods["items"]):
                if "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Succeeded", "Failed"):
                    continue
                if _is_ready(pod):
                    return str(pod["metadata"]["name"])
                reason = _waits_for(pod)
            if reason != told:
                self._say(f"waiting for the upload's pod: {reason}")
                told = reason
            if time.monotonic() > end:
                raise CommandError(
                    UNREACHABLE,
                    f"the upload's pod does not run after {_WAIT_SECONDS // 60} minutes: {reason}\nLook at it with: "
                    f"kubectl describe pods {self._space} --selector=job-name={self.name}",
                )
            time.sleep(_POLL)

    def _last_words(self) -> str:
        try:
            return self._cluster.call("logs", f"job/{self.name}", self._space, "--tail=5").strip() or "it said nothing"
        except KubectlError as error:
            return f"its logs are not to be had ({error})"


def _ended(found: Json) -> bool:
    conditions = cast("list[Json]", found.get("status", {}).get("conditions") or [])
    return any(one["type"] in ("Complete", "Failed") and one["status"] == "True" for one in conditions)


def _is_ready(pod: Json) -> bool:
    conditions = cast("list[Json]", pod["status"].get("conditions") or [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _waits_for(pod: Json) -> str:
    """Why a pod does not run yet, in the cluster's words."""
    status = pod["status"]
    for one in cast("list[Json]", status.get("conditions") or []):
        if one["type"] == "PodScheduled" and one["status"] != "True":
            return f"no node has room for it ({one.get('message', 'not scheduled yet')}); a pool may be growing"
    for one in cast("list[Json]", status.get("containerStatuses") or []):
        waiting = one.get("state", {}).get("waiting")
        if waiting:
            return ": ".join(filter(None, (waiting.get("reason"), waiting.get("message"))))
    return str(status.get("phase", "Pending"))


def kubeconfig_arguments(kubeconfig: str, context: str | None, folder: str) -> tuple[str, ...]:
    """How kubectl finds the cluster: the stack's own kubeconfig, or a context of the user's.

    Args:
        kubeconfig: the stack's output.
        context: a context of the user's own kubeconfig, which then is used instead.
        folder: where the stack's kubeconfig may be written for as long as the command runs.
    """
    if context:
        return (f"--context={context}",)
    place = os.path.join(folder, "kubeconfig")
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(kubeconfig)
    return (f"--kubeconfig={place}",)
