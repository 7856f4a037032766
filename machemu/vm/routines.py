"""The kernel calls on address spaces (Mach's vm_user.c), each with the map in place of the task's port.

Numbers are 32-bit and unsigned as they come from a guest. What fails raises KernError with the code that the guest gets.
"""

from __future__ import annotations

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_NO_ACCESS, KERN_NO_SPACE
from machemu.abi.message import PORT_DEAD
from machemu.abi.vm import (
    VM_INHERIT_COPY,
    VM_INHERIT_NONE,
    VM_INHERIT_SHARE,
    VM_PROT_ALL,
    VM_PROT_DEFAULT,
    VM_PROT_NONE,
    VM_PROT_NOTIFY,
)
from machemu.vm import map_copy, wire
from machemu.vm.map import WORD, VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject, copy_strategically, deallocate, prepare_copy
from machemu.vm.page import ACTIVE, INACTIVE

INHERITANCES = (VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE)
WIRE_LIMIT = 8 << 20
"""Bytes that a task can have wired without the privileged host port."""


def pages_of(map_: VmMap, start: int, size: int) -> tuple[int, int]:
    """The pages that hold [start, start + size); the end wraps as Mach's does, to an empty range."""
    mask = map_.vm.page_mask
    return start & ~mask, (start + size + mask) & ~mask & WORD


def vm_allocate(map_: VmMap, address: int, size: int, anywhere: bool) -> int:
    """Zero-filled memory at the page of `address`, or anywhere; its address, 0 for no bytes."""
    if size == 0:
        return 0
    mask = map_.vm.page_mask
    start = map_.min_offset if anywhere else address & ~mask
    size = (size + mask) & ~mask & WORD
    return map_.enter(start, size, 0, anywhere, VM_PROT_DEFAULT, VM_PROT_ALL, VM_INHERIT_COPY)


def vm_deallocate(map_: VmMap, start: int, size: int) -> None:
    """Unmaps the pages that hold [start, start + size); holes are no error."""
    if size:
        map_.delete(*map_.clamp(*pages_of(map_, start, size)))


def vm_protect(map_: VmMap, start: int, size: int, set_maximum: bool, protection: int) -> None:
    """Sets the current protection, or with `set_maximum` the highest that is allowed from now on."""
    if protection & ~(VM_PROT_ALL | VM_PROT_NOTIFY):
        raise KernError(KERN_INVALID_ARGUMENT)
    map_.protect(*pages_of(map_, start, size), protection, set_maximum)


def vm_inherit(map_: VmMap, start: int, size: int, inheritance: int) -> None:
    """Sets what a child task gets of the pages."""
    if inheritance not in INHERITANCES:
        raise KernError(KERN_INVALID_ARGUMENT)
    map_.inherit(*pages_of(map_, start, size), inheritance)


def vm_read(map_: VmMap, address: int, size: int) -> VmMapCopy | None:
    """A copy of the bytes for the caller, None for no bytes. Raises MustWait where memory must be copied at once."""
    return map_copy.copyin(map_, address, size, False)


def vm_write(map_: VmMap, address: int, copy: VmMapCopy | None, size: int) -> None:
    """Writes a copy of `size` bytes over whole pages. Consumes the copy as it goes: after MustWait the rest is still to be
    written, by the same call."""
    if copy is not None and size:
        map_copy.overwrite(map_, address + size - copy.size & WORD, copy)


def vm_map(
    map_: VmMap,
    address: int,
    size: int,
    mask: int,
    anywhere: bool,
    memory_object: object | None,
    offset: int,
    copy: bool,
    cur_protection: int,
    max_protection: int,
    inheritance: int,
) -> int:
    """Maps a memory object from `offset` on, or zero-filled memory for a null or dead one, at an address without bits of `mask`,
    and gives the address.

    `memory_object` stays the caller's; a port that stands for something else is KERN_INVALID_ARGUMENT, and a proxy is the part
    of a memory object that it stands for, with no more access than it gives. With `copy` it is a copy
    that is mapped; MustWait where that takes the manager. `offset` and `copy` say nothing about zero-filled memory.
    """
    if (cur_protection | max_protection) & ~VM_PROT_ALL or inheritance not in INHERITANCES or size == 0:
        raise KernError(KERN_INVALID_ARGUMENT)
    page_mask = map_.vm.page_mask
    size = (size + page_mask) & ~page_mask & WORD
    obj: VmObject | None = None
    needs_copy = False
    if memory_object is None or memory_object is PORT_DEAD:
        offset = 0
    else:
        memory_object, offset, access = map_.vm.managers.part_of(memory_object, offset, size, copy)
        cur_protection &= access
        max_protection &= access
        obj = map_.vm.enter_object(memory_object, size, offset)
        if copy:
            try:
                prepare_copy(obj, offset, size)
                original, (obj, offset, needs_copy) = obj, copy_strategically(obj, offset, size)
            except MustWait as wait:
                wait.held = obj
                raise
            except KernError:
                deallocate(obj)
                raise
            deallocate(original)
    try:
        return map_.enter(
            address & ~page_mask, size, mask, anywhere, cur_protection, max_protection, inheritance, obj, offset, needs_copy
        )
    except (KernError, MustWait):
        deallocate(obj)
        raise


def vm_region(map_: VmMap, address: int) -> tuple[int, int, int, int, int, bool, object | None, int]:
    """The region that holds `address`, or the next: its address, size, protection, maximum protection, inheritance, whether it
    is shared, its object's name port (None of memory that nobody touched; a send right is to be made), and the offset in its
    object."""
    index = map_.index_from(address)
    if index == len(map_.entries):
        raise KernError(KERN_NO_SPACE)
    entry = map_.entries[index]
    return (
        entry.start, entry.end - entry.start, entry.protection, entry.max_protection, entry.inheritance,
        entry.is_shared, None if entry.object is None else entry.object.name_port(), entry.offset,
    )  # fmt: skip


def vm_statistics(map_: VmMap) -> tuple[int, ...]:
    """vm_statistics_data_t: page size; pages free, active, inactive, wired, zero-filled and reactivated; page-ins, page-outs,
    faults, copies on write, object cache look-ups and hits."""
    vm = map_.vm
    return (
        vm.page_size, len(vm.memory.free), vm.queues.count(ACTIVE), vm.queues.count(INACTIVE), vm.wire_count,
        vm.zero_fill_count, vm.reactivations, vm.pageins, vm.pageouts, vm.faults, vm.cow_faults, vm.lookups, vm.hits,
    )  # fmt: skip


def vm_wire(map_: VmMap, start: int, size: int, access: int, privileged: bool) -> None:
    """Holds the pages in memory for `access`, or with VM_PROT_NONE no longer. `privileged`: asked for by the privileged host
    port. Raises MustWait where frames or memory managers are wanted; nothing is wired then."""
    if access & ~VM_PROT_ALL:
        raise KernError(KERN_INVALID_ARGUMENT)
    if not privileged and access != VM_PROT_NONE and (map_.size_wired + size) & WORD > WIRE_LIMIT:
        raise KernError(KERN_NO_ACCESS)
    wire.pageable(map_, *pages_of(map_, start, size), access)


def vm_machine_attribute(map_: VmMap, address: int, size: int, attribute: int, value: int) -> int:
    """No machine here has attributes: KERN_INVALID_ADDRESS, after KERN_INVALID_ARGUMENT for what is outside the map."""
    if address < map_.min_offset or (address + size) & WORD > map_.max_offset:
        raise KernError(KERN_INVALID_ARGUMENT)
    raise KernError(KERN_INVALID_ADDRESS)
