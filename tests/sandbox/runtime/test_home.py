"""A sandbox's ports and secrets are chosen once; two sandboxes do not share any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.home import PARTS, Home


def test_what_was_chosen_stays(tmp_path: Path) -> None:
    home = Home(tmp_path / "one")
    assert home.create() == home.create()


def test_two_sandboxes_side_by_side_share_no_port_and_no_secret(tmp_path: Path) -> None:
    one, two = (Home(tmp_path / name).create() for name in ("one", "two"))
    assert not set(one.ports.values()) & set(two.ports.values())
    assert one.client_secret != two.client_secret
    assert one.internal_token != two.internal_token


def test_every_part_has_a_port_that_outgoing_connections_do_not_take(tmp_path: Path) -> None:
    ports = Home(tmp_path).create().ports
    assert set(ports) == set(PARTS)
    assert len(set(ports.values())) == len(PARTS)
    assert all(port < 32768 for port in ports.values()), "Linux gives ports from 32768 on to connections"


def test_the_secrets_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    assert home.config_file.stat().st_mode & 0o077 == 0


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_HOME", str(tmp_path / "elsewhere"))
    assert Home().root == tmp_path / "elsewhere"
    assert Home(tmp_path / "given").root == tmp_path / "given"


def test_delays_come_from_the_environment_when_the_sandbox_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANDBOX_BOOT_DELAY", "0.5")
    home = Home(tmp_path)
    assert home.create().boot_delay == 0.5
    monkeypatch.setenv("SANDBOX_BOOT_DELAY", "9")
    assert home.create().boot_delay == 0.5
    assert json.loads(home.config_file.read_text())["boot_delay"] == 0.5
