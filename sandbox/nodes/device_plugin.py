"""What a GPU vendor's device plugin would find and offer on a machine: pure decisions.

Follows NVIDIA's k8s-device-plugin v0.20.0 (cmd/nvidia-device-plugin, cmd/config-manager) and AMD's
rocm/k8s-device-plugin. Precedence of settings as there: command line, environment, configuration file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from sandbox.nodes.machines import Machine
from sandbox.nodes.objects import Json, items, program_of, text
from sandbox.nodes.plugin_config import RESOURCE_PREFIX, PluginConfig, ReplicatedResources, read_plugin_config
from sandbox.nodes.pod_files import files_in
from sandbox.nodes.verdicts import Verdict, cannot_start, crashes, runs

KUBELET_FOLDER = PurePosixPath("/var/lib/kubelet/device-plugins")
DEFAULT_CONFIG_LABEL = "nvidia.com/device-plugin.config"
MIG_DEVICES_PER_GPU = {"MIG1g": 7, "MIG2g": 3, "MIG3g": 2, "MIG4g": 1, "MIG7g": 1}
"""How many instances of AKS's profile one GPU of seven compute slices holds."""

_OPTIONS = {  # option: environment variable, of cmd/nvidia-device-plugin/main.go
    "mig-strategy": "MIG_STRATEGY",
    "fail-on-init-error": "FAIL_ON_INIT_ERROR",
    "driver-root": "NVIDIA_DRIVER_ROOT",
    "nvidia-driver-root": "NVIDIA_DRIVER_ROOT",
    "dev-root": "NVIDIA_DEV_ROOT",
    "nvidia-dev-root": "NVIDIA_DEV_ROOT",
    "pass-device-specs": "PASS_DEVICE_SPECS",
    "device-list-strategy": "DEVICE_LIST_STRATEGY",
    "device-id-strategy": "DEVICE_ID_STRATEGY",
    "gdrcopy-enabled": "GDRCOPY_ENABLED",
    "gds-enabled": "GDS_ENABLED",
    "mofed-enabled": "MOFED_ENABLED",
    "cdi-annotation-prefix": "CDI_ANNOTATION_PREFIX",
    "nvidia-cdi-hook-path": "NVIDIA_CDI_HOOK_PATH",
    "nvidia-ctk-path": "NVIDIA_CTK_PATH",
    "driver-root-ctr-path": "DRIVER_ROOT_CTR_PATH",
    "container-driver-root": "CONTAINER_DRIVER_ROOT",
    "mps-root": "MPS_ROOT",
    "shared-devices-allocation-policy": "SHARED_DEVICES_ALLOCATION_POLICY",
    "device-discovery-strategy": "DEVICE_DISCOVERY_STRATEGY",
    "imex-channel-ids": "IMEX_CHANNEL_IDS",
    "imex-required": "IMEX_REQUIRED",
    "kubelet-socket": "KUBELET_SOCKET",
    "config-file": "CONFIG_FILE",
    "cdi-feature-flags": "CDI_FEATURE_FLAGS",
    "cdi-disable-hooks": "CDI_DISABLE_HOOKS",
}
_SWITCHES = {
    "fail-on-init-error",
    "pass-device-specs",
    "gdrcopy-enabled",
    "gds-enabled",
    "mofed-enabled",
    "imex-required",
}
_TRUE, _FALSE = {"1", "t", "true"}, {"0", "f", "false"}
_ALLOWED = {
    "mig-strategy": {"none", "single", "mixed"},
    "device-id-strategy": {"uuid", "index"},
    "shared-devices-allocation-policy": {"distributed", "packed"},
    "device-discovery-strategy": {"auto", "nvml", "tegra"},
}
_MIG_NAMES = {  # Azure's size, and NVIDIA's names of the profiles on its GPU (MIG user guide)
    "standard_nd96asr_v4": ("1g.5gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "standard_nc40ads_h100_v5": ("1g.12gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb"),
    "standard_nc80adis_h100_v5": ("1g.12gb", "2g.24gb", "3g.47gb", "4g.47gb", "7g.94gb"),
    "standard_nd96isr_h200_v5": ("1g.18gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
}
_MIG_NAMES_80_GB = ("1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")


@dataclass(frozen=True)
class PluginPod:
    """All that a device plugin's container sees.

    Attributes:
        pod: the pod.
        container: the plugin's container of its spec.
        environment: that container's variables, references resolved.
        arguments: what follows the program on its command line.
        config_maps: data of the ConfigMaps the pod mounts, by name; None where there is none.
        node_labels: the node's labels.
        machine: the machine behind the node.
    """

    pod: Json
    container: Json
    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    config_maps: Mapping[str, Mapping[str, str] | None]
    node_labels: Mapping[str, str]
    machine: Machine


def judge_nvidia(seen: PluginPod) -> Verdict:
    """Whether NVIDIA's plugin would run, and what it would offer the kubelet."""
    try:
        options = _options(seen)
        config = _config(seen, options.get("config-file", ""))
    except LookupError as error:
        return cannot_start("ContainerCreating", str(error.args[0]))
    except ValueError as error:
        return crashes(str(error))
    if not _mounts_kubelet_folder(seen):
        return crashes(
            f"failed to create FS watcher for {KUBELET_FOLDER}/: no such file or directory; "
            f"mount the hostPath {KUBELET_FOLDER} there"
        )
    gpus = seen.machine.gpus
    if gpus is None or gpus.vendor != "nvidia" or not gpus.has_driver:
        fail = options.get("fail-on-init-error", str(config.flags.fail_on_init_error is not False)).lower() in _TRUE
        what = "has no NVIDIA GPU" if gpus is None or gpus.vendor != "nvidia" else "has no NVIDIA driver installed"
        problem = f"error getting plugins: Incompatible strategy detected auto: {seen.machine.vm_size} {what}"
        return crashes(problem) if fail else runs()
    if config.sharing.mps is not None:
        return crashes("error waiting for MPS daemon: the MPS control daemon does not run on this node")
    strategy = options.get("mig-strategy") or config.flags.mig_strategy or "none"
    return runs(_shared(_devices(seen.machine, strategy), config.sharing.time_slicing))


def judge_amd(seen: PluginPod) -> Verdict:
    """Whether AMD's plugin would run, and what it would offer: without AMD GPUs it runs and offers nothing."""
    if not _mounts_kubelet_folder(seen):
        return crashes(f"cannot reach the kubelet: mount the hostPath {KUBELET_FOLDER}")
    gpus = seen.machine.gpus
    return runs({"amd.com/gpu": gpus.count} if gpus is not None and gpus.vendor == "amd" else {})


def follows_its_label(pod: Json) -> bool:
    """Whether a config manager runs beside the plugin and hands it another file when the node's label changes."""
    return any(_is_config_manager(container) for container in items(pod, "spec", "containers"))


def _options(seen: PluginPod) -> dict[str, str]:
    """The settings of command line and environment, by option.

    Raises:
        ValueError: an option that the plugin does not know, or a value it does not take.
    """
    found = {option: seen.environment[name] for option, name in _OPTIONS.items() if seen.environment.get(name)}
    waiting = list(seen.arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            raise ValueError(f"unexpected argument {argument!r}")
        option, equals, value = argument.lstrip("-").partition("=")
        if option not in _OPTIONS:
            raise ValueError(f"flag provided but not defined: -{option}")
        if not equals:
            value = "true" if option in _SWITCHES else (waiting.pop(0) if waiting else "")
        found[option] = value
    for option, value in found.items():
        if option in _SWITCHES and value.lower() not in _TRUE | _FALSE:
            raise ValueError(f"could not parse {value!r} as bool value for flag {option}")
        if option in _ALLOWED and value not in _ALLOWED[option]:
            raise ValueError(f"invalid --{option} option: {value}; it takes {', '.join(sorted(_ALLOWED[option]))}")
    return found


def _config(seen: PluginPod, file: str) -> PluginConfig:
    """The configuration file that the plugin opens; none named: an empty one.

    Raises:
        LookupError: a volume's ConfigMap, or a key of it, does not exist.
        ValueError: there is no such file in the container, or it is not valid.
    """
    if not file:
        return PluginConfig()
    try:
        return read_plugin_config(_file_text(seen, PurePosixPath(file)))
    except ValueError as error:
        raise ValueError(f"unable to load config: unable to parse config file {file}: {error}") from error


def _file_text(seen: PluginPod, file: PurePosixPath) -> str:
    files = files_in(seen.pod, seen.container, file.parent, seen.config_maps)
    if file.name in files:
        return files[file.name]
    for manager in (*items(seen.pod, "spec", "initContainers"), *items(seen.pod, "spec", "containers")):
        environment = {one["name"]: str(one.get("value", "")) for one in items(manager, "env")}
        if _is_config_manager(manager) and environment.get("CONFIG_FILE_DST") == str(file):
            available = files_in(
                seen.pod, manager, PurePosixPath(environment.get("CONFIG_FILE_SRCDIR", "")), seen.config_maps
            )
            chosen = choose_config(set(available), seen.node_labels, environment)
            return available[chosen] if chosen else ""
    raise ValueError("error opening config file: no such file or directory")


def choose_config(available: set[str], node_labels: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The file that config-manager picks for a node; empty: an empty configuration.

    Raises:
        ValueError: there is none, as config-manager says it.
    """
    if not available:
        raise ValueError("no configuration files available")
    named = node_labels.get(environment.get("NODE_LABEL") or DEFAULT_CONFIG_LABEL) or environment.get("DEFAULT_CONFIG")
    if named:
        if named not in available:
            raise ValueError(f"specified config {named} does not exist; there are {', '.join(sorted(available))}")
        return named
    for strategy in (environment.get("FALLBACK_STRATEGIES") or "").split(","):
        if strategy == "named" and "default" in available:
            return "default"
        if strategy == "single" and len(available) == 1:
            return next(iter(available))
        if strategy == "empty":
            return ""
    raise ValueError("no config was set, no default was provided, and all fallbacks failed")


def _is_config_manager(container: Json) -> bool:
    return program_of(container) == "config-manager"


def _mounts_kubelet_folder(seen: PluginPod) -> bool:
    on_host = {
        volume["name"]: PurePosixPath(text(volume, "hostPath", "path"))
        for volume in items(seen.pod, "spec", "volumes")
        if volume.get("hostPath")
    }
    return any(
        PurePosixPath(mount["mountPath"]) == KUBELET_FOLDER and on_host.get(mount["name"]) == KUBELET_FOLDER
        for mount in items(seen.container, "volumeMounts")
    )


def _devices(machine: Machine, strategy: str) -> dict[str, int]:
    """What the plugin finds, before sharing."""
    gpus = machine.gpus
    if gpus is None:
        return {}
    if gpus.instance_profile is None or strategy == "none":
        return {RESOURCE_PREFIX + "gpu": gpus.count}
    count = gpus.count * MIG_DEVICES_PER_GPU[gpus.instance_profile]
    if strategy == "single":
        return {RESOURCE_PREFIX + "gpu": count}
    return {f"{RESOURCE_PREFIX}mig-{_mig_name(machine.vm_size, gpus.instance_profile)}": count}


def _mig_name(vm_size: str, profile: str) -> str:
    """NVIDIA's name of AKS's profile on the GPU of a size, which only the `mixed` strategy shows."""
    names = _MIG_NAMES.get(vm_size.lower(), _MIG_NAMES_80_GB)
    return names[list(MIG_DEVICES_PER_GPU).index(profile)]


def _shared(devices: Mapping[str, int], sharing: ReplicatedResources | None) -> dict[str, int]:
    if sharing is None:
        return dict(devices)
    replicas = {resource.full_name: resource.replicas for resource in sharing.resources}
    suffix = ".shared" if sharing.rename_by_default else ""
    return {
        (name + suffix if name in replicas else name): count * replicas.get(name, 1) for name, count in devices.items()
    }
