"""The storage benchmark on a real API server: its Job is taken under strict validation, and no figure is made up."""

from __future__ import annotations

import pytest

from tests.conftest import Stack
from tests.end_to_end.conftest import Shell

pytestmark = pytest.mark.sandbox

COMMAND = (
    'eval "$(make -s env)"; .venv/bin/python -m storage_bench {verb} --claim code --pods 1 --pool serve '
    "--backend files-standard-smb --image registry.example/fio@sha256:" + "0" * 64
)


def test_the_job_passes_the_api_servers_strict_validation(platform: Stack, shell: Shell) -> None:
    assert "the cluster would take the Job" in shell(f"{COMMAND.format(verb='run')} --dry-run")
    create = "kubectl create --dry-run=server --validate=strict --filename -"
    misspelt = shell(f"{COMMAND.format(verb='job')} | sed s/backoffLimit/backofLimit/ | {create} 2>&1 || true")
    assert 'unknown field "spec.backofLimit"' in misspelt


def test_pods_that_run_no_container_give_no_figures(platform: Stack, shell: Shell) -> None:
    said = shell(f"{COMMAND.format(verb='run')} --again 2>&1 || true")
    assert "no result, and none is written" in said
    assert "simulated nodes (kwok)" in said
    left = shell('eval "$(make -s env)"; kubectl get jobs,pods -l trainyard/job=storage-bench --output name')
    assert not left.split(), "pods that stay keep the claim, and so the stack, from being destroyed"
