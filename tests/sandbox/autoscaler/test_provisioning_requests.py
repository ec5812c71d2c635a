"""What of a gang's room is still kept."""

from __future__ import annotations

from capacity.autoscaling.amounts import Amounts
from capacity.autoscaling.scheduling import Shape, Toleration
from sandbox.autoscaler.provisioning_requests import without

GPU = frozenset({Toleration("sku", "Equal", "gpu", "NoSchedule")})
ADDED = GPU | {Toleration("node.kubernetes.io/not-ready", "Exists", "", "NoExecute")}


def shape(gpus: int, tolerations: frozenset[Toleration] = GPU) -> Shape:
    return Shape(Amounts(nvidia=gpus, pods=1), tolerations=tolerations)


def test_pods_that_came_take_their_room_though_the_server_added_tolerations_to_them() -> None:
    assert without({shape(1): 8}, [shape(1, ADDED)] * 3) == {shape(1): 5}
    assert without({shape(1): 8}, [shape(1, ADDED)] * 8) == {}


def test_pods_of_one_kind_do_not_take_the_room_of_another() -> None:
    assert without({shape(1): 2, shape(4): 2}, [shape(1, ADDED)] * 3) == {shape(4): 2}


def test_kinds_that_differ_in_tolerations_alone_share_what_came() -> None:
    assert sum(without({shape(1): 2, shape(1, frozenset()): 2}, [shape(1, ADDED)] * 3).values()) == 1
