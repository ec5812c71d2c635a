"""Which source the facts of a run come from, as the configuration says, and whether a snapshot is old.

The rule `azure-facts` carries the settings, as a pack's configuration has none but those of its rules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from policy.facts.cache import CachedFacts, Reader, folder_for
from policy.facts.facts import Facts
from policy.facts.live import LiveFacts
from policy.facts.snapshot import SnapshotFacts
from policy.model import Finding, Rule, Setting, Settings
from policy.stack import StackView

RULE_NAME = "azure-facts"
_PACK = Path(__file__).resolve().parents[2]
_CLOCKS_APART_HOURS = 1
"""A snapshot's machine may be ahead of this one."""


def facts(settings: Settings, environment: Mapping[str, str], config: Mapping[str, str]) -> Facts:
    """The facts of one run.

    Args:
        settings: of the rule `azure-facts`.
        environment: where sign-in and subscription are looked up.
        config: the stack's own configuration; azure-native's subscription and cloud are looked up there, too.
    """
    if settings["source"] == "snapshot":
        return Facts(SnapshotFacts(_snapshot_file(settings)))
    live, folder = live_facts(environment, config, float(settings["timeoutSeconds"]))
    cached = CachedFacts(live, folder, float(settings["cacheSeconds"]))
    return Facts(cached, again=cached.recent)


def live_facts(environment: Mapping[str, str], config: Mapping[str, str], timeout: float) -> tuple[Reader, Path]:
    """What asks Azure now, and where its answers may be kept."""
    variables = dict(environment)
    if config.get("azure-native:environment"):
        variables.setdefault("ARM_ENVIRONMENT", config["azure-native:environment"])
    subscription = (
        config.get("azure-native:subscriptionId")
        or variables.get("ARM_SUBSCRIPTION_ID")
        or variables.get("AZURE_SUBSCRIPTION_ID")
    )
    return LiveFacts(variables, subscription, timeout=timeout), folder_for(variables, subscription or "")


def _snapshot_file(settings: Settings) -> Path:
    """Where the snapshot lies.

    The engine runs a pack in the program's own folder, which `main` may put below that of Pulumi.yaml.
    """
    named, here = Path(settings["snapshot"]), Path.cwd()
    project = next((one for one in (here, *here.parents) if (one / "Pulumi.yaml").exists()), here)
    return next((found for folder in (here, project, _PACK) if (found := folder / named).exists()), project / named)


def _old_snapshot(_stack: StackView, settings: Settings) -> Iterator[Finding]:
    if settings["source"] != "snapshot":
        return
    snapshot = SnapshotFacts(_snapshot_file(settings))
    hours = snapshot.age(datetime.now(UTC)).total_seconds() / 3600
    limit = float(settings["oldAfterHours"])
    if hours > limit:
        yield Finding(
            f"{settings['snapshot']} was taken {hours:.0f} hours ago, more than {limit:g}: quota and offers may have "
            "changed. Run `make azure-snapshot`."
        )
    elif hours < -_CLOCKS_APART_HOURS:
        yield Finding(
            f"{settings['snapshot']} says that it was taken {-hours:.0f} hours from now: how old it is, is not known. "
            "Run `make azure-snapshot`."
        )


def _setting(name: str, default: Any, description: str, **schema: Any) -> Setting:
    return Setting(name, {**schema, "default": default, "description": description})


RULES = (
    Rule(
        name=RULE_NAME,
        title="What is judged by Azure's own figures is judged by recent ones.",
        why="Quota, offers and machines change by the hour; an old file says what was.",
        fix="Run `make azure-snapshot`, or set `source` to `live`.",
        severity="medium",
        level="advisory",
        check=_old_snapshot,
        settings=(
            _setting("source", "live", "Where facts come from.", type="string", enum=["live", "snapshot"]),
            _setting(
                "snapshot",
                "stacks/azure-snapshot.json",
                "The file of `make azure-snapshot`: in the program's folder, its project's, or the pack's.",
                type="string",
                minLength=1,
            ),
            _setting("oldAfterHours", 24, "Hours after which a snapshot is warned about.", type="number", minimum=0),
            _setting("cacheSeconds", 600, "How long an answer of Azure's serves.", type="number", minimum=0),
            _setting("timeoutSeconds", 20, "How long one request may take.", type="number", exclusiveMinimum=0),
        ),
    ),
)
