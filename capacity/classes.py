"""What each pool class stands for: the defaults that a pool may override.

Owns the default size and the taints of a class. Bounds and the other defaults are the settings' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stacks.settings import PoolClass


@dataclass(frozen=True, slots=True)
class ClassDefaults:
    """Defaults of one pool class.

    Attributes:
        vm_size: the size where the pool names none.
        taints: `key=value:Effect`, always on the pool, so that only pods that ask for it run there.
    """

    vm_size: str
    taints: tuple[str, ...]


GPU_TAINT = "sku=gpu:NoSchedule"
STORAGE_TAINT = "storage-node=true:NoSchedule"
"""Only what stores data tolerates it, so no job runs beside it."""

CLASSES: Mapping[PoolClass, ClassDefaults] = {
    "cpu": ClassDefaults(vm_size="Standard_D8ds_v5", taints=()),
    "light-gpu": ClassDefaults(vm_size="Standard_NC4as_T4_v3", taints=(GPU_TAINT,)),
    "heavy-gpu": ClassDefaults(vm_size="Standard_NC24ads_A100_v4", taints=(GPU_TAINT,)),
    "storage": ClassDefaults(vm_size="Standard_D16ds_v5", taints=(STORAGE_TAINT,)),
}
