"""What a device plugin finds and offers."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.nodes.device_plugin import PluginPod, choose_config, judge_amd, judge_nvidia
from sandbox.nodes.machines import Machine
from sandbox.nodes.plugin_config import read_plugin_config
from tests.sandbox.nodes.builders import machine
from tests.sandbox.nodes.manifests import device_plugin

Json = dict[str, Any]
CONFIG = {"CONFIG_FILE": "/config/config.yaml"}
GPUS: Json = {"vendor": "nvidia", "count": 4, "driver": "Install", "instanceProfile": None}


def seen(
    config: str | None = "version: v1",
    *,
    gpus: Json | None = None,
    environment: dict[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    on: Machine | None = None,
) -> PluginPod:
    spec = device_plugin()[1]["spec"]["template"]["spec"]
    return PluginPod(
        pod={"spec": spec},
        container=spec["containers"][0],
        environment=CONFIG if environment is None else environment,
        arguments=arguments,
        config_maps={"plugin": None if config is None else {"config.yaml": config}},
        node_labels={},
        machine=on or machine(gpu=gpus or GPUS),
    )


def sliced(replicas: int, **more: Any) -> str:
    extra = "".join(f", {key}: {value}" for key, value in more.items())
    resource = f"{{name: nvidia.com/gpu, replicas: {replicas}}}"
    return f"version: v1\nsharing: {{timeSlicing: {{resources: [{resource}]{extra}}}}}"


def test_whole_gpus_are_offered_as_they_are() -> None:
    assert judge_nvidia(seen()).devices == {"nvidia.com/gpu": 4}


def test_time_slicing_multiplies() -> None:
    assert judge_nvidia(seen(sliced(3))).devices == {"nvidia.com/gpu": 12}


def test_renaming_takes_the_usual_name_away() -> None:
    assert judge_nvidia(seen(sliced(3, renameByDefault="true"))).devices == {"nvidia.com/gpu.shared": 12}


@pytest.mark.parametrize(("profile", "instances"), [("MIG1g", 28), ("MIG2g", 12), ("MIG3g", 8), ("MIG7g", 4)])
def test_mig_single_counts_instances_as_gpus(profile: str, instances: int) -> None:
    gpus = {**GPUS, "instanceProfile": profile}
    verdict = judge_nvidia(seen("version: v1\nflags: {migStrategy: single}", gpus=gpus))
    assert verdict.devices == {"nvidia.com/gpu": instances}


def test_mig_mixed_leaves_no_plain_gpus() -> None:
    gpus = {**GPUS, "instanceProfile": "MIG1g"}
    verdict = judge_nvidia(seen(gpus=gpus, environment={"MIG_STRATEGY": "mixed"}))
    assert verdict.devices == {"nvidia.com/mig-1g.10gb": 28}


def test_the_environment_goes_before_the_file_and_the_command_line_before_both() -> None:
    gpus = {**GPUS, "instanceProfile": "MIG1g"}
    file = "version: v1\nflags: {migStrategy: none}"
    single = {**CONFIG, "MIG_STRATEGY": "single"}
    assert judge_nvidia(seen(file, gpus=gpus, environment=single)).devices == {"nvidia.com/gpu": 28}
    plain = judge_nvidia(seen(file, gpus=gpus, environment=single, arguments=("--mig-strategy=none",)))
    assert plain.devices == {"nvidia.com/gpu": 4}


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (sliced(1), "replicas"),
        ("version: v2", "version"),
        ("version: v1\nsharing: {timeslicing: {}}", "sharing.timeslicing"),
        ("version: v1\nflags: {migStrategy: double}", "flags.migStrategy"),
        ("version: v1\nflags: {failOnInitError: maybe}", "flags.failOnInitError"),
        ("version: v1\nsharing: {timeSlicing: {resources: []}}", "resources"),
        ("- a list", "the file"),
        ("version: [", "unmarshal error"),
    ],
)
def test_a_bad_configuration_ends_the_plugin_and_names_the_key(config: str, named: str) -> None:
    verdict = judge_nvidia(seen(config))
    assert not verdict.runs
    assert verdict.waiting_reason == "CrashLoopBackOff"
    assert named in str(verdict.problem)


def test_json_is_read_as_well() -> None:
    assert read_plugin_config('{"version": "v1", "flags": {"migStrategy": "none"}}').flags.mig_strategy == "none"


def test_a_missing_config_map_keeps_the_pod_from_starting() -> None:
    verdict = judge_nvidia(seen(None))
    assert verdict.waiting_reason == "ContainerCreating"
    assert 'configmap "plugin" not found' in str(verdict.problem)


def test_an_unknown_option_ends_the_plugin() -> None:
    assert "-mig-stratgy" in str(judge_nvidia(seen(arguments=("--mig-stratgy=single",))).problem)


def test_without_the_kubelets_folder_the_plugin_ends() -> None:
    lacking = seen()
    del lacking.container["volumeMounts"][0]
    assert "/var/lib/kubelet/device-plugins" in str(judge_nvidia(lacking).problem)


@pytest.mark.parametrize("gpus", [{**GPUS, "driver": "None"}, {**GPUS, "vendor": "amd"}])
def test_without_a_driver_or_nvidia_gpus_the_plugin_ends_or_waits_as_told(gpus: Json) -> None:
    assert not judge_nvidia(seen(gpus=gpus)).runs
    waiting = judge_nvidia(seen(gpus=gpus, environment={**CONFIG, "FAIL_ON_INIT_ERROR": "false"}))
    assert waiting.runs
    assert not waiting.devices


def test_amds_plugin_offers_amds_gpus_only() -> None:
    assert judge_amd(seen(gpus={**GPUS, "vendor": "amd", "driver": "None"})).devices == {"amd.com/gpu": 4}
    assert judge_amd(seen()).devices == {}


def with_config_manager(label: str | None) -> PluginPod:
    environment = [
        {"name": "CONFIG_FILE_SRCDIR", "value": "/available"},
        {"name": "CONFIG_FILE_DST", "value": "/config/config.yaml"},
        {"name": "DEFAULT_CONFIG", "value": "whole"},
    ]
    manager = {
        "name": "config-manager",
        "image": "nvcr.io/nvidia/k8s-device-plugin:v0.20.0",
        "command": ["config-manager"],
        "env": environment,
        "volumeMounts": [{"name": "available", "mountPath": "/available"}, {"name": "config", "mountPath": "/config"}],
    }
    pod = seen()
    spec = pod.pod["spec"]
    spec["containers"].append(manager)
    volumes: list[Json] = [spec["volumes"][0], {"name": "config", "emptyDir": {}}]
    spec["volumes"] = [*volumes, {"name": "available", "configMap": {"name": "available"}}]
    return PluginPod(
        pod=pod.pod,
        container=pod.container,
        environment=CONFIG,
        arguments=(),
        config_maps={"available": {"whole": "version: v1", "shared": sliced(2)}},
        node_labels={"nvidia.com/device-plugin.config": label} if label else {},
        machine=machine(gpu=GPUS),
    )


def test_the_nodes_label_chooses_the_configuration() -> None:
    assert judge_nvidia(with_config_manager("shared")).devices == {"nvidia.com/gpu": 8}
    assert judge_nvidia(with_config_manager(None)).devices == {"nvidia.com/gpu": 4}
    assert "specified config other does not exist" in str(judge_nvidia(with_config_manager("other")).problem)


@pytest.mark.parametrize(
    ("available", "strategies", "chosen"),
    [({"default", "x"}, "named,single", "default"), ({"x"}, "named,single", "x"), ({"x", "y"}, "empty", "")],
)
def test_without_label_and_default_the_fallbacks_choose(available: set[str], strategies: str, chosen: str) -> None:
    assert choose_config(available, {}, {"FALLBACK_STRATEGIES": strategies}) == chosen


def test_without_any_choice_the_config_manager_ends() -> None:
    with pytest.raises(ValueError, match="all fallbacks failed"):
        choose_config({"x", "y"}, {}, {})
