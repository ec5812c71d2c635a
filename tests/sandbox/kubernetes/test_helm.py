"""What Helm is asked, and what becomes of its answer. Helm is a script here: `tests/end_to_end` has the real one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sandbox.operators.charts import Release
from sandbox.providers.kubernetes.errors import ProviderError
from sandbox.providers.kubernetes.helm import objects_of
from sandbox.providers.kubernetes.manifests import Reference, removal_order
from sandbox.providers.kubernetes.objects import Kind
from sandbox.tools import HELM, KUEUE

Json = dict[str, Any]
RELEASE = Release("queues", "kueue-system", "kueue", KUEUE.version, {"replicas": 2})
HELM_SCRIPT = """#!/bin/sh
echo "$*" > {folder}/arguments
cat > {folder}/values
cat {folder}/rendered
{ends}
"""


@pytest.fixture
def helm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Helm and Kueue as if they had been built; gives the folder of what Helm is asked and answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    for tool in (HELM, KUEUE):
        program = tmp_path / "cache" / "trainyard" / "tools" / tool.build.key / tool.name
        program.parent.mkdir(parents=True)
        program.write_text(HELM_SCRIPT.format(folder=tmp_path, ends="true"))
        program.chmod(0o755)
    (tmp_path / "rendered").write_text("")
    return tmp_path


def rendered(release: Release = RELEASE) -> list[Json]:
    said: list[str] = []
    found = asyncio.run(objects_of(release, "v1.36.3", said.append))
    assert said == [], "nothing is built, so nothing is said"
    return found


def test_helm_renders_the_pinned_chart_with_the_values_for_this_cluster(helm: Path) -> None:
    (helm / "rendered").write_text("---\nkind: Service\nmetadata: {name: a, labels: {of: chart}}\n---\n# empty\n")
    [made] = rendered()
    assert made["metadata"]["labels"] == {"of": "chart", "app.kubernetes.io/managed-by": "Helm"}
    assert made["metadata"]["annotations"]["meta.helm.sh/release-name"] == "queues"
    assert json.loads((helm / "values").read_text()) == {"replicas": 2}
    arguments = (helm / "arguments").read_text().split()
    assert arguments[:2] == ["template", "queues"]
    assert arguments[2].endswith("/charts/kueue")
    assert {"--namespace", "kueue-system", "--kube-version", "v1.36.3"} <= set(arguments)


def test_what_nobody_would_answer_for_is_left_out(helm: Path) -> None:
    text = "kind: {kind}\nmetadata: {{name: a}}\n"
    (helm / "rendered").write_text("---\n".join(text.format(kind=kind) for kind in ("APIService", "ClusterRole")))
    assert [one["kind"] for one in rendered()] == ["ClusterRole"]


def test_templates_that_fail_are_an_error_with_helm_s_words(helm: Path) -> None:
    program = helm / "cache" / "trainyard" / "tools" / HELM.build.key / HELM.name
    program.write_text(HELM_SCRIPT.format(folder=helm, ends="echo 'nil pointer' >&2; exit 1"))
    with pytest.raises(ProviderError, match=r"chart kueue 0\.16\.1: nil pointer"):
        rendered()


def test_a_version_that_is_not_pinned_is_refused_before_anything_is_built(helm: Path) -> None:
    with pytest.raises(ProviderError, match=r"the sandbox has 0\.16\.1 of it"):
        rendered(Release("queues", "kueue-system", "kueue", "0.17.0", {}))
    assert not (helm / "arguments").exists()


def test_objects_go_in_helm_s_order_webhooks_last() -> None:
    kinds = ["ServiceAccount", "MutatingWebhookConfiguration", "CustomResourceDefinition", "Deployment", "Service"]
    references = [Reference(Kind("", "v1", kind), "", "a") for kind in kinds]
    assert [one.kind.kind for one in removal_order(references)] == [
        "Service",
        "Deployment",
        "CustomResourceDefinition",
        "ServiceAccount",
        "MutatingWebhookConfiguration",
    ]
