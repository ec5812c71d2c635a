"""The configuration file of NVIDIA's device plugin, as the plugin's own Go types describe it.

Owns the schema (api/config/v1 of k8s-device-plugin v0.20.0) and reads a file against it. Stricter in one
thing: the plugin passes over keys it does not know, here they are errors, as a misspelt key is a GPU that is
not shared and nobody told.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

MigStrategy = Literal["none", "single", "mixed"]
RESOURCE_PREFIX = "nvidia.com/"
_RESOURCE_NAME = r"^(nvidia\.com/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"


class _Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class PluginFlags(_Section):
    """`flags.plugin`."""

    pass_device_specs: bool | None = None
    device_list_strategy: str | list[str] | None = None
    device_id_strategy: Annotated[Literal["uuid", "index"] | None, Field(alias="deviceIDStrategy")] = None
    cdi_annotation_prefix: Annotated[str | None, Field(alias="cdiAnnotationPrefix")] = None
    nvidia_ctk_path: Annotated[str | None, Field(alias="nvidiaCTKPath")] = None
    container_driver_root: str | None = None
    shared_devices_allocation_policy: Literal["distributed", "packed"] | None = None


class GfdFlags(_Section):
    """`flags.gfd`: read by GPU feature discovery, from the same file."""

    oneshot: bool | None = None
    no_timestamp: bool | None = None
    sleep_interval: str | int | None = None
    output_file: str | None = None
    machine_type_file: str | None = None


class Flags(_Section):
    """`flags`."""

    mig_strategy: MigStrategy | None = None
    fail_on_init_error: bool | None = None
    mps_root: str | None = None
    nvidia_driver_root: str | None = None
    nvidia_dev_root: str | None = None
    gdrcopy_enabled: bool | None = None
    gds_enabled: bool | None = None
    mofed_enabled: bool | None = None
    use_node_feature_api: Annotated[bool | None, Field(alias="useNodeFeatureAPI")] = None
    device_discovery_strategy: Literal["auto", "nvml", "tegra"] | None = None
    plugin: PluginFlags | None = None
    gfd: GfdFlags | None = None


class ReplicatedResource(_Section):
    """One entry of `sharing.<way>.resources`: how many pods may hold one device."""

    name: Annotated[str, Field(pattern=_RESOURCE_NAME, max_length=63)]
    replicas: Annotated[int, Field(ge=2)]
    rename: Annotated[str | None, Field(pattern=_RESOURCE_NAME)] = None
    devices: Literal["all"] | Annotated[int, Field(gt=0)] | list[str | int] = "all"

    @property
    def full_name(self) -> str:
        """The resource's name with NVIDIA's prefix."""
        return self.name if self.name.startswith(RESOURCE_PREFIX) else RESOURCE_PREFIX + self.name


class ReplicatedResources(_Section):
    """`sharing.timeSlicing` or `sharing.mps`."""

    rename_by_default: bool = False
    fail_requests_greater_than_one: bool | None = None
    resources: Annotated[list[ReplicatedResource], Field(min_length=1)]


class Sharing(_Section):
    """`sharing`; with `mps` set, `timeSlicing` is not looked at."""

    time_slicing: ReplicatedResources | None = None
    mps: ReplicatedResources | None = None


class ResourcePattern(_Section):
    """One entry of `resources`, which the plugin reads and then ignores."""

    pattern: str
    name: Annotated[str, Field(pattern=_RESOURCE_NAME)]


class Resources(_Section):
    """`resources`."""

    gpus: list[ResourcePattern] = []
    mig: list[ResourcePattern] = []


class Imex(_Section):
    """`imex`: only channel 0 may be named."""

    channel_ids: Annotated[list[Literal[0]], Field(alias="channelIDs", max_length=1)] = []
    required: bool = False


class PluginConfig(_Section):
    """The whole file."""

    version: Literal["v1"] = "v1"
    flags: Flags = Flags()
    resources: Resources = Resources()
    sharing: Sharing = Sharing()
    imex: Imex = Imex()

    @field_validator("version", mode="before")
    @classmethod
    def _empty_version(cls, value: Any) -> Any:
        return value or "v1"


def read_plugin_config(text: str) -> PluginConfig:
    """Read a configuration file.

    Raises:
        ValueError: what is wrong, in one line, with the keys' paths.
    """
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"unmarshal error: {' '.join(str(error).split())}") from error
    if document is None:  # an empty file is an empty configuration
        return PluginConfig()
    try:
        return PluginConfig.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'the file'}: {one['msg']} (got {one['input']!r})"
            for one in error.errors()
        )
        raise ValueError(f"unmarshal error: {problems}") from error
