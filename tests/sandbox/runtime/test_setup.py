"""The Python side: whichever index the user has serves, and the lock names none."""

from __future__ import annotations

from sandbox.lock import check, without_addresses
from sandbox.setup import index_settings

PIP = """global.index-url='https://mirror.example/simple'
global.extra-index-url='https://one.example/simple\\nhttps://two.example/simple'
:env:.find-links='/opt/wheels'
global.timeout='60'
"""


def test_uv_is_told_of_pips_indexes() -> None:
    assert index_settings({}, PIP) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_FIND_LINKS": "/opt/wheels",
    }


def test_what_uv_is_told_already_wins() -> None:
    assert index_settings({"UV_DEFAULT_INDEX": "https://mine.example/simple"}, PIP) == {}
    assert index_settings({"UV_CONFIG_FILE": "/etc/uv.toml"}, PIP) == {}


def test_no_pip_settings_mean_none_for_uv() -> None:
    assert index_settings({}, "") == {}


def test_a_lock_loses_its_addresses_and_upload_times() -> None:
    lock = (
        'source = { registry = "https://mirror.example/root/simple/" }\n'
        'sdist = { url = "https://mirror.example/x/idna-3.10.tar.gz", hash = "sha256:00", size = 1, '
        'upload-time = "2024-09-15T18:07:39.745Z" }\n'
    )
    assert without_addresses(lock) == (
        'source = { registry = "https://index.invalid/simple" }\n'
        'sdist = { url = "https://index.invalid/idna-3.10.tar.gz", hash = "sha256:00", size = 1 }\n'
    )


def test_the_committed_lock_fits_the_project() -> None:
    assert check() == []
