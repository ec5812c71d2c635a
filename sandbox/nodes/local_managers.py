"""Runs Kueue's manager for real, as a process on this machine, while its pod is to run.

Owns the process, its account's sign-in, its files, and the pod's status: ready while the process says so, restarted
with a growing pause where it ends, gone with the pod. The program is built the first time, as an image would be pulled
(`sandbox.tools`). Its webhooks are reached by their service: `sandbox/nodes/services.py`.

What is not emulated: the image, limits, users, and a network of the container's own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from sandbox.home import Home
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes import kueue
from sandbox.nodes.debugging import Debugging
from sandbox.nodes.events import post_event
from sandbox.nodes.local_process import LocalProcess, free_port
from sandbox.nodes.local_volumes import LocalVolumes, NotYetError, placed
from sandbox.nodes.objects import Json, Key, condition, items, key_of, section, text
from sandbox.nodes.pod_status import event, new_event, not_started, seconds_to_wait, started, unready
from sandbox.nodes.surroundings import MissingReferenceError, Surroundings, command_line
from sandbox.nodes.verdicts import Verdict, cannot_start, crashes
from sandbox.nodes.watched import Watched
from sandbox.processes import MARK
from sandbox.progress import Progress
from sandbox.tool_builds import BuildError
from sandbox.tools import KUEUE, ensure

log = logging.getLogger(__name__)

_LOOK = 0.5
"""Seconds between two looks at a process and its files."""
_TOKEN_EVERY = 30 * 60
_RETRY = 1.0
_RETRY_BUILD = 60.0
_SAYS = 3
"""Lines of a log that tell why a process ended."""


class LocalManagers:
    """The processes of all pods of Kueue's manager.

    Args:
        home: the sandbox.
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
        self._ports: dict[str, dict[int, int]] = {}
        pods.on_change(self._changed)

    async def run(self) -> None:
        """Stay until cancelled, then end all processes."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def local_port(self, pod: Json, port: int) -> int | None:
        """Where a port of a pod's container is on this machine; None where no process of it runs here."""
        return self._ports.get(text(pod, "metadata", "uid"), {}).get(port)

    def _changed(self, before: Json | None, pod: Json | None) -> None:
        if pod is None:
            uid = text(before or {}, "metadata", "uid")
            task = self._tasks.pop(uid, None)
            if task is not None:
                task.add_done_callback(lambda _task: shutil.rmtree(self._folder(uid), ignore_errors=True))
                task.cancel()
        elif kueue.is_kueue(pod) and _is_to_run(pod):
            uid = text(pod, "metadata", "uid")
            if uid not in self._tasks:
                self._tasks[uid] = asyncio.create_task(self._attend(key_of(pod), uid))

    def _folder(self, uid: str) -> Path:
        return self._home.run / "containers" / uid

    def _present(self, key: Key, uid: str) -> Json | None:
        pod = self._pods.objects.get(key)
        return pod if pod is not None and text(pod, "metadata", "uid") == uid and _is_to_run(pod) else None

    async def _attend(self, key: Key, uid: str) -> None:
        """Keep one pod's process running for as long as the pod is to run."""
        verdict: Verdict | None = None
        pause = 0.0
        pod = self._present(key, uid)
        if pod is not None and _has_run(pod):
            # Its process went with a former run of this program.
            verdict = crashes("the machine was started anew")
        while (pod := self._present(key, uid)) is not None:
            try:
                if verdict is not None:
                    pod = await self._show_not_running(pod, verdict) or pod
                verdict = None
                await asyncio.sleep(max(pause, seconds_to_wait(pod, datetime.now(UTC))))
                verdict, pause = await self._live_once(key, uid)
            except ApiError as error:
                log.warning("pod %s/%s: %s", *key, error)
                await asyncio.sleep(_RETRY)
            except Exception:
                log.exception("running pod %s/%s", *key)
                await asyncio.sleep(_RETRY)

    async def _live_once(self, key: Key, uid: str) -> tuple[Verdict | None, float]:
        """One life of the process; what its end shows in the pod, and seconds until it may be tried again."""
        pod = self._present(key, uid)
        if pod is None:
            return None, 0
        try:
            return crashes(await self._live(pod)), 0
        except ValueError as error:
            return crashes(str(error)), 0
        except BuildError as error:
            return cannot_start("ErrImagePull", str(error)), _RETRY_BUILD
        except (NotYetError, MissingReferenceError, LookupError) as error:
            return cannot_start("CreateContainerConfigError", str(error)), _RETRY
        except OSError as error:
            return cannot_start("RunContainerError", str(error)), _RETRY

    async def _live(self, pod: Json) -> str:
        """Start the process and stay with it; gives why it ended, nothing where its pod is to go."""
        uid = text(pod, "metadata", "uid")
        folder = self._folder(uid)
        folder.mkdir(parents=True, exist_ok=True)
        container = items(pod, "spec", "containers")[0]
        host, told = text(pod, "spec", "nodeName"), f'Pulling image "{container["image"]}"'
        await self._post(
            pod, new_event(pod, "Pulling", told, datetime.now(UTC), component="kubelet", host=host, kind="Normal")
        )
        program = await _built()
        command, variables = await self._prepare(pod, container, folder)
        log_file = folder / "log"
        await self._debugging.show(pod, str(container["name"]), self._ports[uid], log_file)
        process = await LocalProcess.start([str(program), *command], variables, folder, log_file)
        log.info("pod %s/%s runs as process %d", *key_of(pod), process.pid)
        try:
            await self._patch(pod, unready(pod, "starting", datetime.now(UTC)))
            await self._follow(pod, container, folder, process)
        finally:
            await process.end()
            self._ports.pop(uid, None)
            await self._debugging.hide(pod)
        log.info("pod %s/%s ended with %s", *key_of(pod), process.code)
        return f"exit code {process.code}: {_last_lines(log_file)}"

    async def _prepare(self, pod: Json, container: Json, folder: Path) -> tuple[list[str], dict[str, str]]:
        """Write what the process reads; gives its arguments and variables."""
        uid, namespace = text(pod, "metadata", "uid"), text(pod, "metadata", "namespace")
        mounts = await self._volumes.mounts(pod, container, folder)
        declared = await self._around.environment(pod, container)
        ports = self._ports[uid] = {}

        def port(number: int) -> int:
            return ports.setdefault(number, free_port())

        words = [placed(word, mounts) for word in command_line(container, declared)]
        given = next((one.partition("=")[2] for one in words if one.startswith("--config=")), "")
        certificates = mounts.get(kueue.CERTIFICATES, folder / "certificates")
        local = kueue.Local(namespace, certificates, port)
        words, document = kueue.localised(words, Path(given).read_text() if given else "{}", local)
        own = folder / "configuration.yaml"
        own.write_text(document)
        words = [f"--config={own}" if one == f"--config={given}" else one for one in words]
        await self._write_token(pod, folder)
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(json.dumps(self._sign_in(folder)))
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "KUBECONFIG": str(kubeconfig),
            MARK: str(self._home.root),
            **declared,
        }
        return words if given else [f"--config={own}", *words], variables

    def _sign_in(self, folder: Path) -> Json:
        """A kubeconfig with what the kubelet would have put into the container: the account's token, the authority."""
        cluster = {"server": self._home.api_server_url, "certificate-authority": str(self._home.ca_cert)}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "account", "user": {"tokenFile": str(folder / "token")}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "account"}}],
            "current-context": "here",
        }

    async def _write_token(self, pod: Json, folder: Path) -> None:
        name = text(pod, "spec", "serviceAccountName") or "default"
        namespace = text(pod, "metadata", "namespace")
        token = await self._around.service_account_token(namespace, name, self._home.api_server_url, pod)
        partial = folder / ".token.partial"
        partial.touch(0o600)
        partial.write_text(token)
        partial.replace(folder / "token")

    async def _follow(self, pod: Json, container: Json, folder: Path, process: LocalProcess) -> None:
        """Ask whether it is ready, keep its files fresh, until it ends or its pod is to go."""
        key, uid = key_of(pod), text(pod, "metadata", "uid")
        probe = section(container, "readinessProbe")
        failures, ready = 0, False
        fresh = asked = 0.0
        clock = asyncio.get_running_loop().time
        token = clock()
        async with aiohttp.ClientSession() as session:
            while not await process.ended(_LOOK) and self._present(key, uid) is not None:
                if not ready or clock() - asked >= float(probe.get("periodSeconds") or 10):
                    asked = clock()
                    answers = await self._answers(session, probe, uid)
                    failures = 0 if answers else failures + 1
                    if answers and not ready:
                        ready = True
                        await self._patch(pod, started({}, datetime.now(UTC)))
                    elif ready and failures >= int(probe.get("failureThreshold") or 3):
                        ready = False
                        now = self._present(key, uid) or pod
                        await self._patch(pod, unready(now, "Readiness probe failed", datetime.now(UTC)))
                if clock() - fresh >= _RETRY:
                    fresh = clock()
                    await self._refresh(pod, container, folder)
                if clock() - token >= _TOKEN_EVERY:
                    token = clock()
                    await self._write_token(pod, folder)

    async def _refresh(self, pod: Json, container: Json, folder: Path) -> None:
        """Bring changed ConfigMaps and Secrets to the process, as the kubelet does; a server that is away is borne."""
        try:
            await self._volumes.mounts(pod, container, folder)
        except (ApiError, NotYetError, LookupError) as error:
            log.info("files of pod %s/%s: %s", *key_of(pod), error)

    async def _answers(self, session: aiohttp.ClientSession, probe: Json, uid: str) -> bool:
        """Whether the container's readiness probe succeeds; one without a probe is ready."""
        ask = section(probe, "httpGet")
        if not ask:
            return True
        local = self._ports.get(uid, {}).get(int(ask["port"]))
        try:
            timeout = aiohttp.ClientTimeout(total=float(probe.get("timeoutSeconds") or 1))
            async with session.get(f"http://127.0.0.1:{local}{ask['path']}", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _show_not_running(self, pod: Json, verdict: Verdict) -> Json | None:
        """Show in the pod that its container does not run, once for each end; gives the pod after that."""
        now = datetime.now(UTC)
        container = items(pod, "spec", "containers")[0]
        said = condition(pod, "sandbox.trainyard/Started")
        crashed = verdict.waiting_reason == "CrashLoopBackOff"
        if not crashed and said.get("status") == "False" and said.get("message") == verdict.problem:
            return None
        log.info("pod %s/%s: %s", *key_of(pod), verdict.problem)
        await self._post(pod, event(pod, container, verdict, now))
        return await self._patch(pod, not_started(pod, container, verdict, now))

    async def _post(self, pod: Json, told: Json) -> None:
        try:
            await post_event(self._client, told)
        except ApiError as error:
            log.info("an event of pod %s/%s was not taken: %s", *key_of(pod), error)

    async def _patch(self, pod: Json, patch: Json) -> Json | None:
        """Write a pod's status; gives the pod as it is then, None where it is gone or another one of that name."""
        namespace, name = key_of(pod)
        patch = {"metadata": {"uid": text(pod, "metadata", "uid")}, **patch}
        try:
            return await self._client.patch(path("v1", "pods", namespace, name, "status"), patch, "strategic")
        except ApiError as error:
            if error.not_found or error.conflict:
                return None
            raise


async def _built() -> Path:
    """The manager, out of the cache or built now."""
    found = await asyncio.to_thread(ensure, Progress(), (KUEUE,))
    return found[KUEUE.name].path


def _is_to_run(pod: Json) -> bool:
    return (
        not text(pod, "metadata", "deletionTimestamp")
        and text(pod, "status", "phase") in ("Pending", "Running")
        and condition(pod, "Initialized").get("status") == "True"
    )


def _has_run(pod: Json) -> bool:
    return any("running" in section(one, "state") for one in items(pod, "status", "containerStatuses"))


def _last_lines(log_file: Path) -> str:
    """The end of a log without the runtime's stamps."""
    lines = log_file.read_text(errors="replace").splitlines()[-_SAYS:]
    return " ".join(line.partition(" F ")[2] for line in lines)[-900:]
