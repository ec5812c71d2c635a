"""Runs the autoscaler while the declared one would run, and lets it go on when that goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from sandbox.autoscaler.api_writes import Pace, Writes
from sandbox.autoscaler.cluster import Cluster, Memory, node_of
from sandbox.autoscaler.declared import DeclarationError, Declared, declared
from sandbox.autoscaler.fleet import Fleet
from sandbox.autoscaler.groups import DiscoveryError
from sandbox.autoscaler.loop import Autoscaler
from sandbox.autoscaler.real import RealAutoscaler
from sandbox.autoscaler.resource_manager import ArmFailedError, ResourceManager
from sandbox.home import Home
from sandbox.kubeconfig import read_kubeconfig
from sandbox.kubernetes_client import ApiError, KubernetesClient, path
from sandbox.nodes.azure_client import FEDERATED_AUDIENCE, AzureClient, AzureError
from sandbox.nodes.surroundings import Surroundings
from sandbox.nodes.watched import Watched

log = logging.getLogger(__name__)
_LOOK = 1.0
"""Seconds between two looks at whether the declared autoscaler runs."""
_RATE, _BURST = 5.0, 10.0
"""Requests to the API server by default (`--kube-client-qps`, `--kube-client-burst`)."""


class Controller:
    """The autoscaler of one sandbox.

    Args:
        home: the sandbox.
        real: the real program, to be run in place of ours.
    """

    def __init__(self, home: Home, real: Path | None = None) -> None:
        self._home = home
        self._real = real
        self._azure = AzureClient(home)
        self._client = KubernetesClient(read_kubeconfig(home.admin_kubeconfig), user_agent="cluster-autoscaler")
        self._around = Surroundings(self._client, self._azure, lambda: None, lambda _: None)
        self._cluster = Cluster(
            nodes=Watched(self._client, path("v1", "nodes")),
            pods=Watched(self._client, path("v1", "pods"), index=node_of),
            daemons=Watched(self._client, path("apps/v1", "daemonsets")),
            budgets=Watched(self._client, path("policy/v1", "poddisruptionbudgets")),
        )

    async def run(self) -> None:
        """Run until cancelled."""
        watched = (self._cluster.nodes, self._cluster.pods, self._cluster.daemons, self._cluster.budgets)
        try:
            async with asyncio.TaskGroup() as group:
                for one in watched:
                    group.create_task(_for_ever(one.run))
                group.create_task(_for_ever(self._scale))
        finally:
            await self._client.close()
            await self._azure.close()

    async def _scale(self) -> None:
        """One run of the autoscaler after the other: whenever it was paused, a new one begins."""
        await self._cluster.complete()
        while True:
            told = await self._declared()
            if told is None:
                await asyncio.sleep(_LOOK)
                continue
            log.info("the declared autoscaler runs: scaling begins")
            if self._real is None:
                await self._run_once(told)
            else:
                await self._run_real(self._real, told)
            log.info("the declared autoscaler does not run any more: scaling is paused")

    async def _run_real(self, program: Path, told: Declared) -> None:
        """The real program instead of ours."""
        real = RealAutoscaler(
            self._home,
            program,
            lambda: self._around.service_account_token(told.namespace, told.account, FEDERATED_AUDIENCE),
        )
        await real.run(told, lambda: self._still(told, _LOOK))

    async def _run_once(self, told: Declared) -> None:
        """Turn after turn until the declared autoscaler ends or is told otherwise."""
        memory = Memory()
        azure = ResourceManager(self._home, lambda: self._sign_in(told))
        pace = Pace(told.number("kube-client-qps", _RATE), told.number("kube-client-burst", _BURST))
        writes = Writes(self._client, pace)
        fleet = Fleet(azure, memory.backoff, time.time)
        scaler = Autoscaler(self._client, cluster=self._cluster, fleet=fleet, writes=writes, memory=memory)
        try:
            while await self._declared() == told:
                began = time.monotonic()
                try:
                    await scaler.turn(told)
                except (ApiError, ArmFailedError, AzureError, DeclarationError, DiscoveryError) as error:
                    log.warning("this turn came to nothing: %s", error)
                rest = told.options.scan_interval - (time.monotonic() - began)
                if not await self._still(told, rest):
                    return
        finally:
            await scaler.stop()
            await azure.close()

    async def _still(self, told: Declared, seconds: float) -> bool:
        """Wait for the next turn; False as soon as the declared autoscaler does not run as it did."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(_LOOK, left))
            if await self._declared() != told:
                return False
        return True

    async def _declared(self) -> Declared | None:
        try:
            return await declared(self._client, self._around)
        except DeclarationError as error:
            log.warning("the declared autoscaler cannot be followed: %s", error)
            return None

    async def _sign_in(self, told: Declared) -> str:
        """A token of Azure for the Deployment's own identity.

        Raises:
            ArmFailedError: there is none.
        """
        try:
            assertion = await self._around.service_account_token(told.namespace, told.account, FEDERATED_AUDIENCE)
            return await self._azure.exchange(assertion, told.client_id)
        except AzureError as error:
            raise ArmFailedError(error.status, error.code, error.message) from error


async def _for_ever(part: Callable[[], Awaitable[None]]) -> None:
    """Run a part, and again should it fail."""
    while True:
        try:
            await part()
        except (ApiError, AzureError) as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a part failed; it starts again")
        await asyncio.sleep(_LOOK)
