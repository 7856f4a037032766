"""The kernel calls on address spaces (Mach's vm_user.c), each with the map in place of the task's port.

Numbers are 32-bit and unsigned as they come from a guest. What fails raises KernError with the code that the guest gets.
"""

from __future__ import annotations

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
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
from machemu.vm.map import NO_SPACE, WORD, VmMap
from machemu.vm.map_copy import VmMapCopy

INVALID_ADDRESS = int(KernReturn.KERN_INVALID_ADDRESS)
INVALID_ARGUMENT = int(KernReturn.KERN_INVALID_ARGUMENT)
NO_ACCESS = int(KernReturn.KERN_NO_ACCESS)

INHERITANCES = (VM_INHERIT_SHARE, VM_INHERIT_COPY, VM_INHERIT_NONE)
WIRE_LIMIT = 8 << 20
"""Bytes that a task can have wired without the privileged host port."""


def _pages(map_: VmMap, start: int, size: int) -> tuple[int, int]:
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
        map_.delete(*map_.clamp(*_pages(map_, start, size)))


def vm_protect(map_: VmMap, start: int, size: int, set_maximum: bool, protection: int) -> None:
    """Sets the current protection, or with `set_maximum` the highest that is allowed from now on."""
    if protection & ~(VM_PROT_ALL | VM_PROT_NOTIFY):
        raise KernError(INVALID_ARGUMENT)
    map_.protect(*_pages(map_, start, size), protection, set_maximum)


def vm_inherit(map_: VmMap, start: int, size: int, inheritance: int) -> None:
    """Sets what a child task gets of the pages."""
    if inheritance not in INHERITANCES:
        raise KernError(INVALID_ARGUMENT)
    map_.inherit(*_pages(map_, start, size), inheritance)


def vm_read(map_: VmMap, address: int, size: int) -> VmMapCopy | None:
    """A copy of the bytes for the caller, None for no bytes. Raises PageShortage where wired memory cannot be copied."""
    return map_copy.copyin(map_, address, size, False)


def vm_write(map_: VmMap, address: int, copy: VmMapCopy | None, size: int) -> None:
    """Writes a copy of `size` bytes over whole pages. Consumes the copy unless it fails. Raises PageShortage."""
    if copy is not None and size:
        map_copy.overwrite(map_, address, copy)


def vm_copy(map_: VmMap, source: int, size: int, target: int) -> None:
    """Copies whole pages within one map. Raises PageShortage."""
    copy = map_copy.copyin(map_, source, size, False)
    if copy is None:
        return
    try:
        map_copy.overwrite(map_, target, copy)
    finally:
        copy.discard()


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
    """Maps zero-filled memory (a null or dead memory object) at an address without bits of `mask`, and gives the address.

    `memory_object` stays the caller's; a port that is no memory object's is KERN_INVALID_ARGUMENT. `offset` and `copy` say
    nothing about zero-filled memory.
    """
    if (cur_protection | max_protection) & ~VM_PROT_ALL or inheritance not in INHERITANCES or size == 0:
        raise KernError(INVALID_ARGUMENT)
    page_mask = map_.vm.page_mask
    if memory_object is not None and memory_object is not PORT_DEAD:
        raise KernError(INVALID_ARGUMENT)
    size = (size + page_mask) & ~page_mask & WORD
    return map_.enter(address & ~page_mask, size, mask, anywhere, cur_protection, max_protection, inheritance)


def vm_region(map_: VmMap, address: int) -> tuple[int, int, int, int, int, bool, None, int]:
    """The region that holds `address`, or the next: its address, size, protection, maximum protection, inheritance, whether it
    is shared, its object's name port (none of zero-filled memory), and the offset in its object."""
    index = map_.index_from(address)
    if index == len(map_.entries):
        raise KernError(NO_SPACE)
    entry = map_.entries[index]
    return (
        entry.start, entry.end - entry.start, entry.protection, entry.max_protection, entry.inheritance,
        entry.is_shared, None, entry.offset,
    )  # fmt: skip


def vm_statistics(map_: VmMap) -> tuple[int, ...]:
    """vm_statistics_data_t: page size; pages free, active, inactive, wired, zero-filled and reactivated; page-ins, page-outs,
    faults, copies on write, object cache look-ups and hits. Nothing is paged or cached without a pager: those are 0."""
    vm = map_.vm
    active = len(vm.resident) - vm.wire_count
    free = len(vm.memory.free)
    return (vm.page_size, free, active, 0, vm.wire_count, vm.zero_fill_count, 0, 0, 0, vm.faults, vm.cow_faults, 0, 0)


def vm_wire(map_: VmMap, start: int, size: int, access: int, privileged: bool) -> None:
    """Holds the pages in memory for `access`, or with VM_PROT_NONE no longer. `privileged`: asked for by the privileged host
    port. Raises PageShortage where the frames do not suffice; nothing is wired then."""
    if access & ~VM_PROT_ALL:
        raise KernError(INVALID_ARGUMENT)
    if not privileged and access != VM_PROT_NONE and (map_.size_wired + size) & WORD > WIRE_LIMIT:
        raise KernError(NO_ACCESS)
    wire.pageable(map_, *_pages(map_, start, size), access)


def vm_machine_attribute(map_: VmMap, address: int, size: int, attribute: int, value: int) -> int:
    """No machine here has attributes: KERN_INVALID_ADDRESS, after KERN_INVALID_ARGUMENT for what is outside the map."""
    if address < map_.min_offset or (address + size) & WORD > map_.max_offset:
        raise KernError(INVALID_ARGUMENT)
    raise KernError(INVALID_ADDRESS)
