"""`eval "$(make -s env)"` in a fresh shell: plain pulumi and kubectl work on the sandbox."""

from __future__ import annotations

import pytest

from tests.conftest import Stack
from tests.end_to_end.conftest import Shell

pytestmark = pytest.mark.sandbox

EVALUATED = 'eval "$(make -s env)"; '


def test_plain_pulumi_works_on_the_deployed_stack(platform: Stack, shell: Shell) -> None:
    said = shell(EVALUATED + "pulumi stack --show-name; pulumi stack output clusterName").split()
    assert said == ["sandbox", platform.outputs()["clusterName"]]


def test_plain_pulumi_stack_shows_the_resources(platform: Stack, shell: Shell) -> None:
    said = shell(EVALUATED + "pulumi stack")
    assert "Current stack is sandbox" in said
    assert f"Current stack resources ({len(platform.export()['resources'])})" in said


def test_plain_kubectl_works_as_the_deployer(platform: Stack, shell: Shell) -> None:
    whoami = "kubectl auth whoami --output jsonpath={.status.userInfo.username}"
    *nodes, user = shell(f"{EVALUATED} kubectl get nodes --output name; {whoami}").split()
    assert set(nodes) == set(platform.sandbox.admin_kubectl("get", "nodes", "--output", "name").split())
    assert user == platform.sandbox.home.config.object_id, "that is not the deployer, whose rights come from Azure"


def test_the_exports_can_be_evaluated_twice(shell: Shell) -> None:
    once, twice = shell(EVALUATED + "env | sort").splitlines(), shell(EVALUATED * 2 + "env | sort").splitlines()
    assert twice == once
