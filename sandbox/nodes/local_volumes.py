"""What stands on this machine for the mounts of a container: ConfigMaps, Secrets, claims and empty folders.

Owns the folders and files; of SMB, NFS and disks they are no part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sandbox.home import Home
from sandbox.kubernetes_client import path
from sandbox.nodes.objects import Json, items, text
from sandbox.nodes.pod_files import mounted_config_maps, volume_files
from sandbox.nodes.surroundings import Surroundings


class NotYetError(Exception):
    """Something that the container needs is not there (yet); in the kubelet's words."""


class LocalVolumes:
    """The mounts of all containers that run on this machine.

    Args:
        home: the sandbox; volumes lie in it.
        around: the API server.
    """

    def __init__(self, home: Home, around: Surroundings) -> None:
        self._home = home
        self._around = around

    async def mounts(self, pod: Json, container: Json, folder: Path) -> dict[str, Path]:
        """Where each mount of a container lies: path in the container to folder, or to file for a `subPath`.

        Asked again, it writes what has changed in ConfigMaps and Secrets since.

        Args:
            folder: what the container has on this machine.

        Raises:
            NotYetError, LookupError: a ConfigMap, Secret or claim is not there.
            ApiError: the API server cannot be asked.
        """
        volumes = {str(volume["name"]): volume for volume in items(pod, "spec", "volumes")}
        places: dict[str, Path] = {}
        found: dict[str, Path] = {}
        for mount in items(container, "volumeMounts"):
            name = str(mount["name"])
            if name not in places:
                places[name] = await self._place(pod, volumes[name], folder / "volumes" / name)
            found[str(mount["mountPath"])] = places[name] / str(mount.get("subPath") or "")
        return found

    async def _place(self, pod: Json, volume: Json, place: Path) -> Path:
        namespace, name = text(pod, "metadata", "namespace"), str(volume["name"])
        if "persistentVolumeClaim" in volume:
            return await self._claimed(namespace, str(volume["persistentVolumeClaim"]["claimName"]))
        place.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            maps = {one: await self._around.config_map(namespace, one) for one in mounted_config_maps(pod)}
            for file, content in volume_files(name, volume["configMap"], maps).items():
                _write(place / file, content.encode())
        elif "secret" in volume:
            secret = str(volume["secret"]["secretName"])
            data = await self._around.secret(namespace, secret)
            if data is None:
                raise NotYetError(f'MountVolume.SetUp failed for volume "{name}": secret "{secret}" not found')
            for file, content in data.items():
                _write(place / file, content)
        return place

    async def _claimed(self, namespace: str, claim: str) -> Path:
        found = await self._around.client.find(path("v1", "persistentvolumeclaims", namespace, claim))
        volume = text(found or {}, "spec", "volumeName")
        if not volume or text(found or {}, "status", "phase") != "Bound":
            raise NotYetError(f'persistentvolumeclaim "{claim}" is not bound')
        place = self._home.root / "volumes" / volume
        place.mkdir(parents=True, exist_ok=True)
        return place


def placed(value: str, mounts: Mapping[str, Path]) -> str:
    """A variable or argument with the container's mount paths led to what stands for them."""
    for mount, place in mounts.items():
        value = re.sub(rf"(?<![\w./-]){re.escape(mount)}(?=[/:]|$)", lambda _match, place=place: str(place), value)
    return value


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, and only where it says something else: programs watch such files."""
    if file.exists() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.touch(0o600)
    partial.write_bytes(content)
    partial.replace(file)
