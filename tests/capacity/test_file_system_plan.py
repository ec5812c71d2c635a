"""What a file system takes: disks, machines, zones, and what its pods must tolerate."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from capacity.catalogue import Catalogue, load_catalogue
from capacity.file_system_checks import file_system_catalogue_rules
from capacity.file_system_plan import (
    USABLE,
    FileSystemPlan,
    Toleration,
    most_osds,
    nvme_usable_gib,
    plan_file_system,
    plan_lustre,
    tolerations_of,
)
from capacity.network_plan import plan_network
from capacity.node_disks import node_disks, sizes_with_nvme
from capacity.pools import PORTWORX_NODE_TYPE, plan_pools
from stacks.draft import read_draft
from stacks.settings import Stack

POOLS: dict[str, Any] = {
    "cpu": {"class": "cpu", "max": 4, "taints": ["team=vision:NoExecute"]},
    "heavy": {"class": "heavy-gpu", "max": 4, "spot": True},
    "store": {"class": "storage", "min": 3, "max": 3, "zones": ["1", "2", "3"]},
}


def stack(pools: dict[str, Any] | None = None, **file_system: Any) -> Stack:
    """A stack with a file system of rook, some settings changed."""
    wanted = {"backend": "rook", "sizeGib": 4096, **file_system}
    return Stack.model_validate(
        {"location": "westeurope", "pools": {**POOLS, **(pools or {})}, "storage": {"fileSystem": wanted}}
    )


def plan(pools: dict[str, Any] | None = None, **file_system: Any) -> FileSystemPlan:
    """Its plan, which there is."""
    wanted = stack(pools, **file_system)
    made = plan_file_system(wanted.storage.file_system, plan_pools(wanted, load_catalogue()))
    assert made is not None
    return made


def test_what_users_may_fill_fits_on_the_disks_with_room_to_spare():
    made = plan()
    assert made.disks == 15, "three copies of 4096 GiB at 85 % of 1024 GiB each"
    assert made.disks * made.disk_gib / made.replicas * USABLE >= made.size_gib


def test_a_larger_size_never_takes_fewer_disks():
    disks = [plan(sizeGib=size).disks for size in range(1024, 20 * 1024, 1024)]
    assert disks == sorted(disks)


def test_copies_are_kept_apart_by_zone_only_where_there_are_as_many_zones():
    assert plan().failure_domain == "zone"
    assert plan({"store": {**POOLS["store"], "zones": ["1"]}}).failure_domain == "host"
    assert plan({"store": {**POOLS["store"], "zones": ["1", "2"]}}).failure_domain == "host"
    assert plan({"store": {**POOLS["store"], "zones": ["1", "2"]}}, replicas=2).failure_domain == "zone"


def test_one_copy_in_one_zone_is_not_spread_over_zones():
    assert plan({"store": {**POOLS["store"], "zones": ["1"]}}, replicas=1).failure_domain == "host"


def test_ceph_alone_has_monitors_and_each_has_a_disk():
    rook, gluster = plan(), plan(backend="gluster")
    assert (rook.monitors, gluster.monitors) == (3, 0)
    assert rook.managed_gib == 15 * 1024 + 3 * 16
    assert (rook.disks_per_node, gluster.disks_per_node) == (6, 5)


def test_portworx_gives_every_machine_as_many_disks():
    made = plan({"store": {**POOLS["store"], "min": 4, "max": 4}}, backend="portworx")
    assert made.disks % made.nodes == 0
    assert made.disks >= 15


def test_local_disks_take_no_managed_ones_but_the_monitors():
    made = plan({"store": {**POOLS["store"], "vmSize": "Standard_L16s_v3"}}, localNvme={"acceptDataLoss": True})
    assert (made.local_nvme, made.disks, made.managed_gib) == (True, 0, 48)


def test_a_named_pool_holds_the_data():
    more = {"fast": {**POOLS["store"], "max": 5, "min": 5}}
    assert plan(more, pool="fast").nodes == 5


@pytest.mark.parametrize("backend", ["none", "lustre"])
def test_what_keeps_nothing_in_the_cluster_has_no_plan_there(backend: str):
    wanted = stack(backend=backend)
    assert plan_file_system(wanted.storage.file_system, plan_pools(wanted, load_catalogue())) is None


def test_settings_that_were_not_checked_are_an_error_of_the_caller():
    wanted = Stack.model_validate(
        {"location": "x", "pools": {"cpu": POOLS["cpu"]}, "storage": {"fileSystem": {"backend": "rook", "sizeGib": 64}}}
    )
    with pytest.raises(LookupError, match="rook"):
        plan_file_system(wanted.storage.file_system, plan_pools(wanted, load_catalogue()))


def test_a_plugin_tolerates_every_pool_s_taints_and_a_daemon_its_own_pool_s():
    pools = plan_pools(stack(), load_catalogue())
    assert set(tolerations_of(pools.values())) == {
        Toleration("team", "vision", "NoExecute"),
        Toleration("sku", "gpu", "NoSchedule"),
        Toleration("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"),
        Toleration("storage-node", "true", "NoSchedule"),
    }
    assert plan().tolerations == (Toleration("storage-node", "true", "NoSchedule"),)


def test_nodes_are_labelled_for_portworx_where_it_runs():
    labels = {key: pool.labels for key, pool in plan_pools(stack(backend="portworx"), load_catalogue()).items()}
    assert labels["store"][PORTWORX_NODE_TYPE] == "storage"
    assert labels["heavy"][PORTWORX_NODE_TYPE] == "storageless"
    assert PORTWORX_NODE_TYPE not in plan_pools(stack(), load_catalogue())["store"].labels


def test_a_machine_runs_as_many_osds_as_it_has_processors_and_memory_for():
    size = load_catalogue().size("Standard_D16ds_v5")
    assert size is not None
    assert most_osds(size) == 12
    small = load_catalogue().size("Standard_D2ds_v5")
    assert small is not None
    assert most_osds(small) == 0


def test_the_disks_of_a_size_are_known_whatever_its_case_or_unknown():
    disks = node_disks("standard_l16S_v3")
    assert disks is not None
    assert (disks.nvme_disks, disks.nvme_gib, disks.data_disks) == (2, 3576, 32)
    assert node_disks("Standard_Nothing") is None
    assert nvme_usable_gib("Standard_Nothing", 3, 3) is None
    assert "Standard_D16ds_v5" not in sizes_with_nvme()


@pytest.mark.parametrize(
    ("size_gib", "tib", "prefix"),
    [(4096, 4, 27), (16384, 16, 27), (20480, 20, 26), (98304, 96, 24), (400 * 1024, 400, 23), (768 * 1024, 768, 22)],
)
def test_a_managed_lustre_gets_the_subnet_it_needs(size_gib: int, tib: int, prefix: int):
    made = plan_lustre(size_gib)
    assert (made.size_tib, made.subnet_prefix) == (tib, prefix)


def test_a_managed_lustre_s_network_is_apart_from_all_others():
    made = plan_network(stack(backend="lustre", sizeGib=16384))
    assert made.lustre is not None
    assert made.lustre.prefixlen == 23
    assert not any(made.lustre.overlaps(other) for other in (made.vnet, made.pods, made.services))
    assert plan_network(stack()).lustre is None


def test_a_size_that_takes_no_premium_disks_is_refused():
    size = load_catalogue().size("Standard_D16ds_v5")
    assert size is not None
    slow = Catalogue([replace(size, premium_disks=False)], {})
    draft = read_draft(
        {"location": "westeurope", "pools": POOLS, "storage": {"fileSystem": {"backend": "rook", "sizeGib": 1024}}}
    )
    [problem] = file_system_catalogue_rules(draft, slow)
    assert "takes no premium disks" in str(problem)


def test_a_size_of_which_nothing_is_known_is_not_refused():
    size = load_catalogue().size("Standard_D16ds_v5")
    assert size is not None
    unknown = replace(size, name="Standard_New_v9", premium_disks=None, nvme_disk_gib=None)
    pools = {**POOLS, "store": {**POOLS["store"], "vmSize": "Standard_New_v9"}}
    local = {"backend": "rook", "sizeGib": 1024, "localNvme": {"acceptDataLoss": True}}
    draft = read_draft({"location": "westeurope", "pools": pools, "storage": {"fileSystem": local}})
    assert list(file_system_catalogue_rules(draft, Catalogue([unknown], {}))) == []
