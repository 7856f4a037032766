"""Memory whose frames lie side by side, for those who let devices at it (GNU Mach's vm_allocate_contiguous)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_RESOURCE_SHORTAGE
from machemu.abi.types import Frame
from machemu.abi.vm import VM_INHERIT_COPY, VM_PROT_DEFAULT
from machemu.machine.memory import OutOfFrames
from machemu.vm import object as objects
from machemu.vm import wire
from machemu.vm.object import VmObject
from machemu.vm.page import PageShortage, VmPage

if TYPE_CHECKING:
    from machemu.vm.map import VmMap


def allocate_contiguous(map_: VmMap, size: int, lowest: int, limit: int, alignment: int) -> tuple[int, int]:
    """Zero-filled wired memory below physical address `limit`: its user address and its physical one.

    As in the real kernel nothing but the limit can be asked for: KERN_INVALID_ARGUMENT for a lowest address, or an alignment that
    does not divide a page. KERN_RESOURCE_SHORTAGE where there is no such memory.
    """
    vm = map_.vm
    size = size + vm.page_mask & ~vm.page_mask & 0xFFFFFFFF
    if lowest or (alignment and vm.page_size % alignment) or not size:
        raise KernError(KERN_INVALID_ARGUMENT)
    count = size // vm.page_size
    try:
        first = vm.memory.allocate_contiguous(count, limit // vm.page_size)
    except OutOfFrames:
        raise KernError(KERN_RESOURCE_SHORTAGE) from None
    obj = VmObject(vm, size)
    for index in range(count):
        frame = Frame(first + index)
        page = VmPage(obj, index * vm.page_size, frame)
        obj.pages[page.offset] = vm.resident[frame] = page
        vm.memory.zero(frame)
    try:
        address = map_.enter(0, size, 0, True, VM_PROT_DEFAULT, VM_PROT_DEFAULT, VM_INHERIT_COPY, obj)
    except KernError:
        objects.deallocate(obj)
        raise
    except PageShortage:
        objects.deallocate(obj)
        raise KernError(KERN_RESOURCE_SHORTAGE) from None
    try:
        wire.pageable(map_, address, address + size, VM_PROT_DEFAULT)
    except PageShortage:
        map_.delete(address, address + size)
        raise KernError(KERN_RESOURCE_SHORTAGE) from None
    return address, first * vm.page_size
