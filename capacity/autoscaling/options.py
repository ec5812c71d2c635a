"""What the autoscaler was told: its flags, and the options of single groups.

The defaults are those of the program's flags (`sandbox/nodes/data/cluster_autoscaler_flags.csv` keeps all of them);
a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

GROUP_OPTIONS = "k8s.io_cluster-autoscaler_node-template_autoscaling-options_"
"""Beginning of the scale-set tags with options of one group (CA `cloudprovider/azure/azure_template.go`)."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Options:
    """The flags that decisions rest on, by the flag's own name; durations in seconds."""

    scan_interval: float = 10
    expander: str = "least-waste"
    max_nodes_per_scaleup: int = 1000
    max_nodes_total: int = 0
    max_node_provision_time: float = 900
    new_pod_scale_up_delay: float = 0
    bypassed_scheduler_names: str = ""
    initial_node_group_backoff_duration: float = 300
    max_node_group_backoff_duration: float = 1800
    node_group_backoff_reset_timeout: float = 10800
    ok_total_unready_count: int = 3
    max_total_unready_percentage: float = 45
    scale_down_enabled: bool = True
    scale_down_unneeded_time: float = 600
    scale_down_unready_time: float = 1200
    scale_down_utilization_threshold: float = 0.5
    scale_down_gpu_utilization_threshold: float = 0.5
    scale_down_delay_after_add: float = 600
    scale_down_delay_after_delete: float = 0
    scale_down_delay_after_failure: float = 180
    max_scale_down_parallelism: int = 10
    max_drain_parallelism: int = 1
    max_graceful_termination_sec: int = 600
    node_delete_delay_after_taint: float = 5
    ignore_daemonsets_utilization: bool = False
    enforce_node_group_min_size: bool = False
    skip_nodes_with_system_pods: bool = True
    skip_nodes_with_local_storage: bool = True
    skip_nodes_with_custom_controller_pods: bool = True
    expendable_pods_priority_cutoff: int = -10

    @property
    def delay_after_delete(self) -> float:
        """After a deletion: the scan interval where the flag is 0 (CA `config/flags/flags.go`)."""
        return self.scale_down_delay_after_delete or self.scan_interval

    @property
    def expanders(self) -> tuple[str, ...]:
        """The chain of expanders, first one first."""
        return tuple(self.expander.split(","))

    @classmethod
    def from_flags(cls, flags: Mapping[str, str]) -> Options:
        """From flags without their dashes, as `scan-interval`; those that decide nothing here are passed over.

        Raises:
            ValueError: a value that the program would not take; names the flag.
        """
        values: dict[str, object] = {}
        for field in fields(cls):
            flag = field.name.replace("_", "-")
            if flag in flags:
                try:
                    values[field.name] = _parsed(flags[flag], field.default)
                except ValueError as error:
                    raise ValueError(f"--{flag}={flags[flag]}: {error}") from None
        return cls(**values)  # pyright: ignore[reportArgumentType]  (each value has its default's type)

    def for_group(self, tags: Mapping[str, str]) -> Options:
        """These with the options of one group, which are tags on its scale set.

        Raises:
            ValueError: a tag's value cannot be read; names the tag.
        """
        named = {tag.removeprefix(GROUP_OPTIONS): text for tag, text in tags.items() if tag.startswith(GROUP_OPTIONS)}
        return self.for_options(named)

    def for_options(self, named: Mapping[str, str]) -> Options:
        """The same, from the options' names without the tags' prefix; those that decide nothing here are passed over.

        Raises:
            ValueError: a value cannot be read; names the option.
        """
        own: dict[str, float] = {}
        for name, text in named.items():
            if name in _OF_GROUPS:
                option, parse = _OF_GROUPS[name]
                try:
                    own[option] = parse(text)
                except ValueError as error:
                    raise ValueError(f"{GROUP_OPTIONS}{name}={text}: {error}") from None
        return replace(self, **own)


def seconds(text: str) -> float:
    """Seconds of a duration as Go writes it, `1h30m`.

    Raises:
        ValueError: it is none.
    """
    parts = _DURATION.findall(text)
    if text in ("0", "0s"):
        return 0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("no duration, as 90s, 10m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _parsed(text: str, default: object) -> object:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ValueError("neither true nor false")
        return text.lower() == "true"
    if isinstance(default, str):
        return text
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        return seconds(text)


_OF_GROUPS: Mapping[str, tuple[str, Callable[[str], float]]] = {
    "scaledownutilizationthreshold": ("scale_down_utilization_threshold", float),
    "scaledowngpuutilizationthreshold": ("scale_down_gpu_utilization_threshold", float),
    "scaledownunneededtime": ("scale_down_unneeded_time", seconds),
    "scaledownunreadytime": ("scale_down_unready_time", seconds),
}
