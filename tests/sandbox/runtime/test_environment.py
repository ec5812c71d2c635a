"""`make env` gives a shell exactly what it needs, however odd the folder's name."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sandbox import environment
from sandbox.home import REPOSITORY, Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "it's a $(touch pwned) `home` \"\\")
    home.create()
    return home


def evaluated(lines: str, variables: dict[str, str], folder: Path, times: int = 1) -> dict[str, str]:
    """What a POSIX shell's environment is after evaluating the lines."""
    script = 'eval "$LINES_TO_EVALUATE"\n' * times + "env -0"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**variables, "LINES_TO_EVALUATE": lines},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)


def test_the_shell_gets_every_variable_as_it_is(home: Home, tmp_path: Path) -> None:
    shell = evaluated(environment.shell_lines(home), dict(os.environ), tmp_path)
    expected = environment.exports(home)
    assert {name: shell[name] for name in expected} == expected
    assert not (tmp_path / "pwned").exists()


def test_all_that_users_were_promised_is_there(home: Home) -> None:
    promised = {"PATH", "KUBECONFIG", "ARM_ENDPOINT", "AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_CLIENT_ID"}
    promised |= {"AZURE_CLIENT_SECRET", "AZURE_SUBSCRIPTION_ID", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"}
    promised |= {"PULUMI_HOME", "PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_DEBUG_PROVIDERS"}
    assert promised <= set(environment.exports(home))


def test_the_sandbox_comes_first_on_path_then_the_virtualenv_and_never_twice(home: Home) -> None:
    once = environment.exports(home, {"PATH": "/usr/bin:/bin"})["PATH"]
    assert once.split(os.pathsep) == [str(home.bin), str(REPOSITORY / ".venv" / "bin"), "/usr/bin", "/bin"]
    assert environment.exports(home, {"PATH": once})["PATH"] == once


def test_a_proxy_does_not_stand_between_loopback_and_us(home: Home) -> None:
    assert environment.exports(home, {})["NO_PROXY"] == "127.0.0.1,localhost"
    assert environment.exports(home, {"NO_PROXY": "corp.example,localhost"})["NO_PROXY"] == (
        "corp.example,localhost,127.0.0.1"
    )


def test_what_would_lead_elsewhere_is_unset(home: Home, tmp_path: Path) -> None:
    variables = {"PATH": os.environ["PATH"], "PULUMI_STACK": "prod", "PULUMI_ACCESS_TOKEN": "pul-x"}
    shell = evaluated(environment.shell_lines(home, variables), variables, tmp_path)
    assert "PULUMI_STACK" not in shell
    assert "PULUMI_ACCESS_TOKEN" not in shell
    assert "unset" not in environment.shell_lines(home, {"PATH": os.environ["PATH"]})


def test_the_real_kubernetes_provider_is_used_where_it_is_on_path(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "kubernetes:" in environment.exports(home)["PULUMI_DEBUG_PROVIDERS"]
    provider = tmp_path / "plugins" / "pulumi-resource-kubernetes"
    provider.parent.mkdir()
    provider.write_text("#!/bin/sh\n")
    provider.chmod(0o755)
    monkeypatch.setenv("PATH", f"{provider.parent}{os.pathsep}{os.environ['PATH']}")
    assert environment.real_kubernetes_provider(home) == provider
    assert "kubernetes:" not in environment.exports(home)["PULUMI_DEBUG_PROVIDERS"]
    assert "azure-native:" in environment.exports(home)["PULUMI_DEBUG_PROVIDERS"]
