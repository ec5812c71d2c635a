"""Runs the operators' parts one after the other, whenever something changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from sandbox.home import Home
from sandbox.kubeconfig import read_kubeconfig
from sandbox.kubernetes_client import ApiError, KubernetesClient
from sandbox.operators.ceph_csi import CephCsi
from sandbox.operators.kadalu import Kadalu
from sandbox.operators.portworx import Portworx
from sandbox.operators.rook.operator import Rook
from sandbox.operators.view import View
from sandbox.operators.volumes import Volumes

log = logging.getLogger(__name__)

_PAUSE = 0.3
"""Seconds between two rounds."""
_LOOK_ANYWAY = 5.0
_RETRY = 1.0


class Operators:
    """All operators of one sandbox's cluster."""

    def __init__(self, home: Home) -> None:
        self._client = KubernetesClient(read_kubeconfig(home.admin_kubeconfig), user_agent="operators")
        self._view = View(self._client)
        self._parts: dict[str, Callable[[], Awaitable[None]]] = {
            "rook": Rook(self._view).reconcile,
            "ceph-csi": CephCsi(self._view).reconcile,
            "kadalu": Kadalu(self._view).reconcile,
            "portworx": Portworx(self._view).reconcile,
            "volumes": Volumes(self._view).reconcile,
        }

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow())
                group.create_task(self._reconcile())
        finally:
            await self._client.close()

    async def _follow(self) -> None:
        while True:
            try:
                await self._view.run()
            except Exception:
                log.exception("following failed; it starts again")
            await asyncio.sleep(_RETRY)

    async def _reconcile(self) -> None:
        await self._view.complete()
        while True:
            self._view.changed.clear()
            failed = False
            for name, part in self._parts.items():
                try:
                    await part()
                except ApiError as error:
                    log.warning("%s: %s", name, error)
                    failed = True
                except Exception:
                    log.exception("%s failed; it is tried again", name)
                    failed = True
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY if failed else _LOOK_ANYWAY):
                    await self._view.changed.wait()
