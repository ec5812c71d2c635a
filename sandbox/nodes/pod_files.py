"""The files that a container sees out of ConfigMaps: pure, from its pod and their data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from sandbox.nodes.objects import Json, items

ConfigMaps = Mapping[str, Mapping[str, str] | None]
"""Data of ConfigMaps by name; None where there is no such ConfigMap."""


def mounted_config_maps(pod: Json) -> set[str]:
    """The names of the ConfigMaps that a pod has as volumes."""
    return {str(volume["configMap"]["name"]) for volume in items(pod, "spec", "volumes") if volume.get("configMap")}


def files_in(pod: Json, container: Json, folder: PurePosixPath, config_maps: ConfigMaps) -> dict[str, str]:
    """The files in one folder of a container, name to text.

    Raises:
        LookupError: a ConfigMap, or a key of it that the volume names, does not exist; as the kubelet says it.
    """
    files: dict[str, str] = {}
    volumes = {volume["name"]: volume for volume in items(pod, "spec", "volumes")}
    for mount in items(container, "volumeMounts"):
        source = volumes.get(mount["name"], {}).get("configMap")
        if source is None:
            continue
        content = volume_files(str(mount["name"]), source, config_maps)
        place = PurePosixPath(mount["mountPath"])
        if place == folder and not mount.get("subPath"):
            files.update(content)
        elif place.parent == folder and mount.get("subPath") in content:
            files[place.name] = content[mount["subPath"]]
    return files


def volume_files(volume: str, source: Json, config_maps: ConfigMaps) -> dict[str, str]:
    """The files of one ConfigMap volume, path in it to text.

    Raises:
        LookupError: the ConfigMap, or a key of it that the volume names, does not exist; as the kubelet says it.
    """
    name = str(source["name"])
    data = config_maps.get(name)
    if data is None:
        if source.get("optional"):
            return {}
        raise LookupError(f'MountVolume.SetUp failed for volume "{volume}": configmap "{name}" not found')
    chosen = items(source, "items")
    if not chosen:
        return dict(data)
    missing = [str(one["key"]) for one in chosen if one["key"] not in data]
    if missing and not source.get("optional"):
        raise LookupError(
            f'MountVolume.SetUp failed for volume "{volume}": configmap "{name}" has no key {missing[0]!r}'
        )
    return {one["path"]: data[one["key"]] for one in chosen if one["key"] in data}
