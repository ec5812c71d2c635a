"""The provider's own configuration: what it may say, and when a change to it replaces every object.

Pure. Takes the engine's maps; a value that is unknown in the first preview never reaches `Settings`, as the engine
then does not configure the provider at all.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sandbox.providers.kubernetes.objects import UNKNOWN, Json, as_list, as_map, is_map, pluck, text

_PREFIX = "kubernetes:config:"
_CONNECTION = ("kubeconfig", "context", "cluster")
KEYS = frozenset(
    {
        *_CONNECTION,
        "alwaysRender",
        "clusterIdentifier",
        "deleteUnreachable",
        "enableConfigMapMutable",
        "enablePatchForce",
        "enableSecretMutable",
        "enableServerSideApply",
        "helmReleaseSettings",
        "kubeClientSettings",
        "namespace",
        "rejectUnknownResources",
        "renderYamlToDirectory",
        "skipUpdateUnreachable",
        "strictMode",
        "suppressDeprecationWarnings",
        "suppressHelmHookWarnings",
        "upsertExistingObjects",
        "version",
        "pluginDownloadURL",
    }
)
"""Everything that pulumi-kubernetes 4.34 knows, and what the engine adds."""


class SettingsError(ValueError):
    """A configuration that cannot be used."""


@dataclass(frozen=True)
class Settings:
    """One provider resource's configuration.

    Attributes:
        kubeconfig: a path or the contents; empty: the file that `KUBECONFIG` names.
        context, cluster: override what the kubeconfig chooses.
        namespace: for namespaced objects that name none; empty: the kubeconfig's.
        delete_unreachable: drop objects of a cluster that is gone from the state.
        skip_update_unreachable: leave objects of an unreachable cluster as they are.
        mutable_config_maps, mutable_secrets: update rather than replace when data change.
        patch_force: take over fields that others own.
        upsert: creating an object that exists updates it; else it is an error.
        qps, burst: bound on requests a second, and how many may come at once.
        timeout: seconds that one request may take.
    """

    kubeconfig: str = ""
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    mutable_config_maps: bool = False
    mutable_secrets: bool = False
    patch_force: bool = False
    upsert: bool = False
    qps: float = 50.0
    burst: int = 120
    timeout: float = 30.0

    @staticmethod
    def read(variables: Mapping[str, str]) -> Settings:
        """Read the engine's configuration variables, `kubernetes:config:<key>`.

        Raises:
            SettingsError: `kubeClientSettings` is no JSON object with numbers.
        """
        given = {key.removeprefix(_PREFIX): value for key, value in variables.items()}

        def switched_on(key: str, environment: str) -> bool:
            return given.get(key, os.environ.get(environment, "")) == "true"

        client = _client_settings(given.get("kubeClientSettings"))
        return Settings(
            kubeconfig=given.get("kubeconfig", ""),
            context=given.get("context", ""),
            cluster=given.get("cluster", ""),
            namespace=given.get("namespace", ""),
            delete_unreachable=switched_on("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
            skip_update_unreachable=switched_on("skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
            mutable_config_maps=switched_on("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
            mutable_secrets=switched_on("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
            patch_force=switched_on("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
            upsert=switched_on("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
            qps=client.get("qps", 50.0),
            burst=int(client.get("burst", 120)),
            timeout=client.get("timeout", 30.0),
        )


def _client_settings(written: str | None) -> dict[str, float]:
    if not written:
        return {}
    try:
        return {key: float(value) for key, value in as_map(json.loads(written)).items()}
    except (ValueError, TypeError) as error:
        raise SettingsError(
            f"the provider's kubeClientSettings {written!r} cannot be read: {error}; "
            "give an object with numbers qps, burst and timeout"
        ) from error


def check(news: Json) -> list[tuple[str, str]]:
    """What is wrong with a provider's configuration: pairs of key and reason."""
    failures = [(key, _unknown_key(key)) for key in sorted(news) if key not in KEYS]
    if text(news.get("renderYamlToDirectory")):
        failures.append(
            ("renderYamlToDirectory", "the sandbox's Kubernetes provider renders no YAML files: leave this out")
        )
    if news.get("enableServerSideApply") in (False, "false"):
        failures.append(
            (
                "enableServerSideApply",
                "the sandbox's Kubernetes provider knows server-side apply only: leave this out, as it is the default",
            )
        )
    return failures


def _unknown_key(key: str) -> str:
    near = difflib.get_close_matches(key, KEYS, 1)
    return f"{key!r} is no setting of the Kubernetes provider" + (f"; did you mean {near[0]!r}?" if near else "")


@dataclass(frozen=True)
class ConfigurationDiff:
    """What a changed configuration means: which keys differ, and which of them replace the provider."""

    changed: list[str]
    replaces: list[str]


def diff(olds: Json, news: Json) -> ConfigurationDiff:
    """Compare two configurations.

    With an unchanged `clusterIdentifier` nothing replaces; a changed one always does. Without it the provider is
    replaced when the kubeconfig's active cluster changes, or is not known yet.

    Raises:
        SettingsError: a kubeconfig cannot be read.
    """
    changed = [key for key in sorted({*olds, *news}) if olds.get(key) != news.get(key)]
    if not changed:
        return ConfigurationDiff([], [])
    identifiers = olds.get("clusterIdentifier"), news.get("clusterIdentifier")
    pinned = identifiers[0] == identifiers[1] and identifiers[1] is not None
    replaces = ["clusterIdentifier"] if None not in identifiers and not pinned else []
    for key in _CONNECTION:
        if news.get(key) is UNKNOWN:
            return ConfigurationDiff([key], [] if pinned else [*replaces, key])
    before, after = (_active_cluster(values) for values in (olds, news))
    if before is not None and after is not None and before != after:
        replaces += [key for key in _CONNECTION if key in changed]
    return ConfigurationDiff(changed, [] if pinned else replaces)


def kubeconfig_text(value: object) -> str:
    """The contents of a kubeconfig that is given as a path, as text, or as an object; empty where none is given.

    Raises:
        SettingsError: it is of none of these forms.
    """
    if value is None or value == "":
        return ""
    if is_map(value):
        return json.dumps(value)
    if not isinstance(value, str):
        raise SettingsError(f"the provider's kubeconfig is a {type(value).__name__}: give a path, text or an object")
    if "\n" not in value and not value.lstrip().startswith("{"):
        path = Path(value).expanduser()
        if path.exists():
            return path.read_text()
    return value


def parse_kubeconfig(value: object) -> Json:
    """The kubeconfig as an object, empty where none is given.

    Raises:
        SettingsError: it is no kubeconfig.
    """
    contents = kubeconfig_text(value)
    try:
        parsed: Any = yaml.safe_load(contents) if contents else {}
    except yaml.YAMLError as error:
        raise SettingsError(f"failed to parse kubeconfig: {error}") from error
    if not is_map(parsed):
        raise SettingsError(f"failed to parse kubeconfig: {contents[:60]!r} is neither a file nor a kubeconfig")
    return as_map(parsed)


def _active_cluster(values: Json) -> Json | None:
    config = parse_kubeconfig(values.get("kubeconfig"))
    context = text(values.get("context")) or text(config.get("current-context"))
    chosen = _entry(config, "contexts", context, "context")
    name = text(values.get("cluster")) or text(pluck(chosen, "cluster"))
    return _entry(config, "clusters", name, "cluster")


def _entry(config: Json, section: str, name: str, item: str) -> Json | None:
    for entry in map(as_map, as_list(config.get(section))):
        if entry.get("name") == name:
            return as_map(entry.get(item))
    return None


def with_choice(settings: Settings) -> str:
    """The kubeconfig's contents with the settings' context, cluster and namespace chosen in it.

    Raises:
        SettingsError: there is none, or it is no kubeconfig.
    """
    source = settings.kubeconfig or os.environ.get("KUBECONFIG", "")
    if not source:
        raise SettingsError("no kubeconfig is configured: set the provider's kubeconfig")
    config = parse_kubeconfig(source)
    if not config:
        raise SettingsError(f"failed to parse kubeconfig data in `kubernetes:config:kubeconfig`: {source[:60]!r}")
    if settings.context:
        config["current-context"] = settings.context
    for entry in map(as_map, as_list(config.get("contexts"))):
        if entry.get("name") == config.get("current-context"):
            chosen = as_map(entry.get("context"))
            overrides = {"cluster": settings.cluster, "namespace": settings.namespace}
            entry["context"] = {**chosen, **{key: value for key, value in overrides.items() if value}}
    return yaml.safe_dump(config)
