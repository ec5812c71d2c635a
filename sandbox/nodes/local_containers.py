"""Runs the containers of upload Jobs for real, as processes here: those of pods labelled `trainyard/job: data-upload`.

Owns the process, what it sees (its variables, its ConfigMap's files, its claims as folders, its identity as AKS's
webhook hands it over, the network by the proxy that stands for the virtual one), its log, and the pod's status until it
ended. `kubectl port-forward` and `kubectl logs` reach it through kwok, which is told where by objects of its own.

What is not emulated: the image (this Python runs), limits, users and file permissions, and a network and mounts of the
container's own. So a port of the container is a free port here: a variable whose value is one of the container's ports
gets the local one; and a mount is a folder of the sandbox, which paths in variables and arguments are led to. SMB and
NFS are no part of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sandbox.home import Home
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.azure_client import FEDERATED_AUDIENCE
from sandbox.nodes.debugging import Debugging
from sandbox.nodes.events import post_event
from sandbox.nodes.local_process import LocalProcess, free_port
from sandbox.nodes.local_volumes import LocalVolumes, NotYetError, placed
from sandbox.nodes.objects import (
    Json,
    Key,
    annotations_of,
    condition,
    items,
    key_of,
    labels_of,
    text,
    words_of,
)
from sandbox.nodes.pod_status import ended, is_started, new_event, started
from sandbox.nodes.surroundings import MissingReferenceError, Surroundings, expand
from sandbox.nodes.watched import Watched
from sandbox.processes import MARK

log = logging.getLogger(__name__)

LABEL, LABEL_VALUE = "trainyard/job", "data-upload"
_USE_IDENTITY = "azure.workload.identity/use"
_CLIENT_ID = "azure.workload.identity/client-id"
_RETRY = 1.0
_LOOK = 0.2
_TOKEN_EVERY = 30 * 60
_LISTENS_WITHIN = 30.0


class LocalContainers:
    """The processes of all upload pods.

    Args:
        home: the sandbox; folders of containers and volumes lie in it.
        client: the API server.
        pods: all pods.
        around: what containers may look at.
    """

    def __init__(self, home: Home, client: KubernetesClient, pods: Watched, around: Surroundings) -> None:
        self._home = home
        self._client = client
        self._pods = pods
        self._around = around
        self._volumes = LocalVolumes(home, around)
        self._debugging = Debugging(client)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        pods.on_change(self._changed)

    async def run(self) -> None:
        """Stay until cancelled, then end all processes."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _changed(self, before: Json | None, pod: Json | None) -> None:
        if pod is None:
            uid = text(before or {}, "metadata", "uid")
            task = self._tasks.pop(uid, None)
            if task is not None:
                task.add_done_callback(lambda _task: shutil.rmtree(self._folder(uid), ignore_errors=True))
                task.cancel()
        elif runs_here(pod) and _at_its_start(pod):
            uid = text(pod, "metadata", "uid")
            if uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._attend(key_of(pod), uid))

    async def _attend(self, key: Key, uid: str) -> None:
        """Run one pod's container from its start to its end."""
        folder = self._folder(uid)
        try:
            pod = self._pods.objects.get(key)
            if pod is not None and is_started(pod):
                # Its process went with a former run of this program, as with a machine that was started anew.
                await self._patch(pod, ended(pod, 137, "Error", datetime.now(UTC)))
                return
            while (pod := self._present(key, uid)) is not None:
                try:
                    await self._live(pod, folder)
                except (NotYetError, MissingReferenceError, LookupError) as error:
                    await self._tell(pod, str(error))
                    await asyncio.sleep(_RETRY)
                except ApiError as error:
                    log.warning("pod %s/%s: %s", *key, error)
                    await asyncio.sleep(_RETRY)
                else:
                    return
        except Exception:
            log.exception("running pod %s/%s", *key)

    def _folder(self, uid: str) -> Path:
        """What one container has on this machine; its log stays until the pod goes."""
        return self._home.run / "containers" / uid

    def _present(self, key: Key, uid: str) -> Json | None:
        pod = self._pods.objects.get(key)
        same = (
            pod is not None and text(pod, "metadata", "uid") == uid and not text(pod, "metadata", "deletionTimestamp")
        )
        return pod if same else None

    async def _live(self, pod: Json, folder: Path) -> None:
        [container] = items(pod, "spec", "containers")
        ports = {str(one["containerPort"]): free_port() for one in items(container, "ports")}
        mounts = await self._volumes.mounts(pod, container, folder)
        variables = await self._variables(pod, container, folder, ports, mounts)
        words = [*words_of(container, "command"), *words_of(container, "args")]
        words = [placed(expand(word, variables), mounts) for word in words]
        if words[0] not in ("python", "python3"):
            raise NotYetError(f"the sandbox runs Python for real, not {words[0]!r}")
        log_file = folder / "log"
        numbers = {int(port): local for port, local in ports.items()}
        await self._debugging.show(pod, str(container["name"]), numbers, log_file)
        process = await LocalProcess.start([sys.executable, *words[1:]], variables, folder, log_file)
        log.info("pod %s/%s runs as process %d", *key_of(pod), process.pid)
        try:
            await self._watch(pod, process, ports, folder)
        finally:
            await process.end()
            await self._debugging.hide(pod)

    async def _watch(self, pod: Json, process: LocalProcess, ports: Mapping[str, int], folder: Path) -> None:
        """Let the pod be ready once it listens, end it when it is to go, and say how it ended."""
        if await _listens(process, ports):
            await self._patch(pod, started({}, datetime.now(UTC)))
        while not await process.ended(_LOOK):
            if self._present(key_of(pod), text(pod, "metadata", "uid")) is None:
                return  # kwok shows how a pod that is deleted goes
            await self._fresh_token(pod, folder)
        code = process.code or 0
        log.info("pod %s/%s ended with %d", *key_of(pod), code)
        await self._patch(pod, ended(pod, code, "Completed" if code == 0 else "Error", datetime.now(UTC)))

    async def _variables(
        self, pod: Json, container: Json, folder: Path, ports: Mapping[str, int], mounts: Mapping[str, Path]
    ) -> dict[str, str]:
        declared = await self._around.environment(pod, container)
        variables = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            MARK: str(self._home.root),
            "HOME": str(folder),
            "HTTPS_PROXY": f"http://127.0.0.1:{self._home.config.ports['network']}",
            "SSL_CERT_FILE": str(self._home.ca_bundle),
            **{name: placed(str(ports.get(value, value)), mounts) for name, value in declared.items()},
        }
        return {**variables, **await self._identity(pod, folder)}

    async def _identity(self, pod: Json, folder: Path) -> dict[str, str]:
        """What AKS's workload-identity webhook adds to a container."""
        name = text(pod, "spec", "serviceAccountName") or "default"
        account = await self._around.service_account(text(pod, "metadata", "namespace"), name)
        if account is None:
            raise NotYetError(f'serviceaccount "{name}" not found')
        cluster = self._around.cluster
        client_id = annotations_of(account).get(_CLIENT_ID)
        enabled = cluster is not None and cluster.addons.workload_identity
        if labels_of(pod).get(_USE_IDENTITY) != "true" or not client_id or not enabled:
            return {}
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").unlink(missing_ok=True)
        await self._fresh_token(pod, folder, first=True)
        return {
            "AZURE_CLIENT_ID": client_id,
            "AZURE_TENANT_ID": self._home.config.tenant_id,
            "AZURE_AUTHORITY_HOST": self._home.azure_url,
            "AZURE_FEDERATED_TOKEN_FILE": str(folder / "token"),
        }

    async def _fresh_token(self, pod: Json, folder: Path, *, first: bool = False) -> None:
        """Project the service account's token anew, long before it ends."""
        file = folder / "token"
        now = datetime.now(UTC).timestamp()
        if not first and (not file.exists() or now - file.stat().st_mtime < _TOKEN_EVERY):
            return
        name = text(pod, "spec", "serviceAccountName") or "default"
        token = await self._around.service_account_token(text(pod, "metadata", "namespace"), name, FEDERATED_AUDIENCE)
        partial = file.with_suffix(".partial")
        partial.write_text(token)
        partial.replace(file)

    async def _tell(self, pod: Json, message: str) -> None:
        now = datetime.now(UTC)
        event = new_event(pod, "Failed", message, now, component="kubelet", host=text(pod, "spec", "nodeName"))
        with contextlib.suppress(ApiError):
            await post_event(self._client, event)

    async def _patch(self, pod: Json, patch: Json) -> None:
        namespace, name = key_of(pod)
        patch = {"metadata": {"uid": text(pod, "metadata", "uid")}, **patch}
        try:
            await self._client.patch(path("v1", "pods", namespace, name, "status"), patch, "strategic")
        except ApiError as error:
            if not (error.not_found or error.conflict):  # gone, or another pod of that name
                raise


def runs_here(pod: Json) -> bool:
    """Whether a pod is one of those that run for real."""
    return labels_of(pod).get(LABEL) == LABEL_VALUE


def _at_its_start(pod: Json) -> bool:
    return (
        not text(pod, "metadata", "deletionTimestamp")
        and text(pod, "status", "phase") in ("Pending", "Running")
        and condition(pod, "Initialized").get("status") == "True"
    )


async def _listens(process: LocalProcess, ports: Mapping[str, int]) -> bool:
    """Wait until every port of a container accepts; False where it ended before, or does not."""
    async with asyncio.timeout(_LISTENS_WITHIN):
        for port in ports.values():
            while True:
                if process.code is not None:
                    return False
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
    return True
