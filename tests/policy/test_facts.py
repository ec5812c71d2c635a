"""Facts: what Azure's answers mean, what is kept, what a snapshot says, and what is no answer."""

# ruff: noqa: ARG002  Azure here answers by path alone

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from arm.sign_in import cloud
from policy.facts.azure import AbsentError, Json, UnreadableError, ask, question
from policy.facts.cache import CachedFacts, folder_for
from policy.facts.facts import Facts, Permissions
from policy.facts.snapshot import SnapshotFacts, take
from policy.facts.sources import RULES, facts
from tests.policy.world import T4, Answers


class Azure:
    """Prepared documents by path."""

    subscription = "s"

    def __init__(self, documents: Mapping[str, Any]) -> None:
        self._documents = documents

    def get(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> Json:
        for end, document in self._documents.items():
            if path.lower().endswith(end.lower()):
                return document
        raise AbsentError(path)

    def list(self, path: str, api_version: str, query: Mapping[str, str] | None = None) -> list[Json]:
        return self.get(path, api_version, query)["value"]


def sku(**more: Any) -> Json:
    return {
        "resourceType": "virtualMachines",
        "name": T4,
        "family": "Standard NCASv3_T4 Family",
        "locationInfo": [{"location": "westeurope", "zones": ["3", "1", "2"]}],
        "capabilities": [{"name": "vCPUs", "value": "4"}, {"name": "Colour", "value": "blue"}],
        "restrictions": [],
        **more,
    }


def size_of(**more: Any) -> Json:
    return ask(Azure({"/skus": {"value": [sku(**more)]}}), question("sizes", "westeurope"))[T4.lower()]


def test_a_size_has_its_zones_and_only_what_is_needed_of_its_capabilities() -> None:
    assert size_of() == {
        "name": T4,
        "family": "Standard NCASv3_T4 Family",
        "zones": ["1", "2", "3"],
        "closed": None,
        "can": {"vCPUs": "4"},
    }


def test_zones_and_regions_can_be_closed_to_a_subscription() -> None:
    zone = {"type": "Zone", "reasonCode": "NotAvailableForSubscription", "restrictionInfo": {"zones": ["1"]}}
    region = {"type": "Location", "reasonCode": "QuotaId", "restrictionInfo": {"locations": ["WestEurope"]}}
    elsewhere = {"type": "Location", "reasonCode": "QuotaId", "restrictionInfo": {"locations": ["eastus"]}}
    assert size_of(restrictions=[zone])["zones"] == ["2", "3"]
    assert size_of(restrictions=[region])["closed"] == "QuotaId"
    assert size_of(restrictions=[elsewhere])["closed"] is None


def test_a_scale_sets_pool_is_in_its_tag_else_in_its_name() -> None:
    base = {"sku": {"name": T4, "capacity": 2}, "properties": {"virtualMachineProfile": {"priority": "Spot"}}}
    documents = {
        "/virtualMachineScaleSets": {
            "value": [
                {**base, "name": "aks-light-12345678-vmss"},
                {**base, "name": "other", "tags": {"aks-managed-poolName": "heavy"}},
            ]
        }
    }
    rows = ask(Azure(documents), question("scale-sets", "nodes"))
    assert [(row["pool"], row["count"], row["spot"]) for row in rows] == [("light", 2, True), ("heavy", 2, True)]


@pytest.mark.parametrize("kind", ["usages", "sizes", "aks-sizes"])
def test_an_empty_answer_is_none(kind: str) -> None:
    empty = Azure({end: {"value": []} for end in ("/usages", "/skus", "/vmSkus")})
    with pytest.raises(UnreadableError, match="is empty, which a missing right looks like"):
        ask(empty, question(kind, "westeurope"))


def test_what_is_not_there_is_an_answer_for_clusters_machines_and_features() -> None:
    nothing = Azure({})
    assert ask(nothing, question("cluster", "rg", "aks")) is None
    assert ask(nothing, question("scale-sets", "rg")) == []
    assert ask(nothing, question("feature", "Microsoft.Compute", "EncryptionAtHost")) == "NotRegistered"


def test_a_kept_answer_serves_for_its_time_and_to_nobody_else(tmp_path: Path) -> None:
    now = [1000.0]
    behind = Answers({"providers": {"a": "Registered"}})
    cached = CachedFacts(behind, tmp_path, 600, clock=lambda: now[0])
    assert cached.read("providers") == cached.read("providers")
    assert behind.asked == ["providers"]
    now[0] += 40
    assert cached.recent().read("providers")
    assert behind.asked == ["providers"] * 2, "40 s are too old for a failure"
    now[0] += 601
    cached.read("providers")
    assert behind.asked == ["providers"] * 3
    environment = {"HOME": str(tmp_path), "AZURE_CLIENT_ID": "one"}
    assert folder_for(environment, "s") != folder_for({**environment, "AZURE_CLIENT_ID": "other"}, "s")
    assert folder_for(environment, "s") != folder_for(environment, "t")


def test_a_cache_that_is_broken_or_cannot_be_written_is_asked_past(tmp_path: Path) -> None:
    behind = Answers({"providers": {"a": "Registered"}})
    file = tmp_path / "file"
    file.write_text("")
    assert CachedFacts(behind, file / "folder", 600).read("providers")
    cached = CachedFacts(behind, tmp_path, 600)
    cached.read("providers")
    for kept in tmp_path.glob("*.json"):
        kept.write_text("{")
    assert cached.read("providers") == {"a": "Registered"}


def test_what_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError):
        CachedFacts(Answers({}), tmp_path, 600).read("providers")
    assert list(tmp_path.iterdir()) == []


def test_a_question_is_asked_once_a_run_though_it_fails() -> None:
    behind = Answers({})
    facts = Facts(behind)
    for _ in range(2):
        with pytest.raises(UnreadableError, match="quota in westeurope could not be read"):
            facts.usages("westeurope")
    assert behind.asked == ["usages/westeurope"]


def test_a_snapshot_answers_what_it_has_and_says_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "snapshot.json"
    clusters = [{"group": "RG", "name": "aks", "nodeGroup": "rg-nodes"}]
    known = Answers({question("providers"): {"a": "Registered"}, question("clusters"): clusters})
    content, missing = take(known, [question("providers"), question("clusters"), question("permissions")])
    file.write_text(json.dumps(content))
    assert missing == ["what this sign-in may do could not be read: refused"]
    snapshot = SnapshotFacts(file)
    assert snapshot.read(question("providers")) == {"a": "Registered"}
    assert snapshot.age(datetime.now(UTC)).total_seconds() < 60
    assert snapshot.read(question("cluster", "rg", "new")) is None, "all clusters were listed, and it was not there"
    assert snapshot.read(question("scale-sets", "new-nodes")) == []
    for asked in (question("cluster", "rg", "aks"), question("scale-sets", "rg-nodes"), question("permissions")):
        with pytest.raises(UnreadableError, match="make azure-snapshot"):
            snapshot.read(asked)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"takenAt": "yesterday", "answers": {}}'])
def test_a_file_that_is_no_snapshot_is_no_answer(tmp_path: Path, text: str) -> None:
    file = tmp_path / "snapshot.json"
    file.write_text(text)
    with pytest.raises(UnreadableError, match="make azure-snapshot"):
        _ = SnapshotFacts(file).taken_at


@pytest.mark.parametrize("folder", ["infra", "."])
def test_a_snapshot_is_found_from_the_program_s_folder_in_which_the_engine_runs_the_pack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "infra").mkdir()
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: theirs\nmain: infra\nruntime: python\n")
    file = tmp_path / "stacks" / "azure-snapshot.json"
    file.write_text(json.dumps({"takenAt": "2026-11-28T00:00:00+00:00", "answers": {"feature/a/b": "Registered"}}))
    [rule] = [rule for rule in RULES if rule.name == "azure-facts"]
    monkeypatch.chdir(tmp_path / folder)
    assert facts({**rule.defaults, "source": "snapshot"}, {}, {}).feature("a", "b") == "Registered"
    file.unlink()
    with pytest.raises(UnreadableError, match=f"{tmp_path}/stacks/azure-snapshot.json cannot be read"):
        facts({**rule.defaults, "source": "snapshot"}, {}, {}).feature("a", "b")


def test_an_answer_that_makes_no_sense_is_none() -> None:
    damaged = Azure({"/usages": {"value": [{"name": "cores"}]}})

    class Live:
        described = "Azure, read now"

        def read(self, asked: str) -> Any:
            return ask(damaged, asked)

    with pytest.raises(UnreadableError, match=r"quota in westeurope: the answer makes no sense \(Azure, read now"):
        Facts(Live()).usages("westeurope")


def test_rights_are_granted_and_withheld_with_wildcards() -> None:
    contributor = Permissions(((("*",), ("Microsoft.Authorization/*/Write",)),))
    assert contributor.allows("Microsoft.Compute/disks/write")
    assert not contributor.allows("Microsoft.Authorization/roleAssignments/write")
    both = Permissions((*contributor.granted, (("Microsoft.Authorization/roleAssignments/*",), ())))
    assert both.allows("Microsoft.Authorization/roleAssignments/write")


def test_sovereign_and_other_clouds_are_found() -> None:
    assert cloud({}).endpoint == "https://management.azure.com"
    assert cloud({"ARM_ENVIRONMENT": "usgovernment"}).authority == "login.microsoftonline.us"
    other = cloud({"ARM_ENDPOINT": "https://arm.example/", "ARM_ENVIRONMENT": "public"})
    assert (other.endpoint, other.scope, other.authority) == (
        "https://arm.example",
        "https://arm.example/.default",
        None,
    )
    with pytest.raises(ValueError, match="ARM_ENVIRONMENT=mars"):
        cloud({"ARM_ENVIRONMENT": "mars"})
