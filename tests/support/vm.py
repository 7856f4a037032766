"""Steps of the VM that several tests make."""

from __future__ import annotations

from machemu.vm import routines
from machemu.vm.map import VmMap


def vm_copy(map_: VmMap, source: int, size: int, target: int) -> None:
    """vm_copy of memory that is all there: a read and a write."""
    copy = routines.vm_read(map_, source, size)
    try:
        routines.vm_write(map_, target, copy, size)
    finally:
        if copy is not None:
            copy.discard()
