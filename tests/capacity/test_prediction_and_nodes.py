"""The prediction and the sandbox's machines are computed apart: one must never promise more than the other has."""

from __future__ import annotations

import pytest

from capacity.catalogue import load_catalogue
from capacity.prediction import allocatable
from sandbox.azure import node_capacity


@pytest.mark.parametrize("max_pods", [10, 110, 250])
@pytest.mark.parametrize("disk_gib", [30, 128, 2048])
def test_no_size_is_predicted_larger_than_its_machines_are(max_pods: int, disk_gib: int):
    for size in load_catalogue().sizes.values():
        promised = allocatable(size, max_pods, disk_gib)
        kept = node_capacity.allocatable(size, disk_gib, max_pods)
        assert promised.cpu_milli <= kept.cpu_milli, size.name
        assert promised.memory_mib * 1024 <= kept.memory_kib, size.name
        assert promised.ephemeral_mib * 1024 <= kept.ephemeral_kib, size.name
