"""Wiring: memory that stays where it is (Mach's vm_map_pageable, vm_fault_wire, vm_fault_unwire)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_NO_SPACE
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_NONE, VM_PROT_NOTIFY, VM_PROT_WRITE
from machemu.vm.fault import enter, fault_page
from machemu.vm.page import PageShortage

if TYPE_CHECKING:
    from machemu.vm.entry import VmMapEntry
    from machemu.vm.map import VmMap


def pageable(map_: VmMap, start: int, end: int, access: int) -> None:
    """Wires all of [start, end) for `access`, or with VM_PROT_NONE makes it pageable again.

    Raises KERN_NO_SPACE for a hole or an entry that forbids the access, MustWait where frames or a memory manager are wanted;
    what was wired before then is so still, and nothing else.
    """
    map_.timestamp += 1
    start, end = map_.clamp(start, end)
    if map_.lookup(start) is None:
        raise KernError(KERN_NO_SPACE)
    entries = _clip(map_, start, end, access)
    before = [(entry, entry.wired_access) for entry in entries]
    for entry in entries:
        entry.wired_access = access
    try:
        update(map_, entries)
    except MustWait:
        for entry, was in before:
            entry.wired_access = was
            if not was:
                unwire_entry(map_, entry)
        raise


def _clip(map_: VmMap, start: int, end: int, access: int) -> list[VmMapEntry]:
    """The entries of [start, end), clipped there; an entry holds `start`. As in the real kernel what lies behind a hole or an
    entry that forbids the access, which is KERN_NO_SPACE, is not clipped."""
    first = beyond = map_.clip_start(map_.index_from(start), start)
    at = start
    while beyond < len(map_.entries) and map_.starts[beyond] < end:
        entry = map_.entries[beyond]
        if entry.start != at:
            break
        map_.clip_end(beyond, end)
        if access & ~entry.protection:
            raise KernError(KERN_NO_SPACE)
        at = entry.end
        beyond += 1
    if at < end:
        raise KernError(KERN_NO_SPACE)
    return map_.entries[first:beyond]


VM_WIRE_CURRENT, VM_WIRE_FUTURE = 1, 2


def pageable_all(map_: VmMap, flags: int) -> None:
    """vm_map_pageable_all: wires what there is, what will be, both, or with 0 nothing any more.

    Raises KERN_INVALID_ARGUMENT for other flags, MustWait where frames or a memory manager are wanted. As in the real kernel it
    is KERN_NO_SPACE where nothing lies at the map's first address, but what will be is none of that.
    """
    if flags & ~(VM_WIRE_CURRENT | VM_WIRE_FUTURE):
        raise KernError(KERN_INVALID_ARGUMENT)
    if not flags:
        map_.wiring_required = False
    if flags != VM_WIRE_FUTURE:
        if map_.lookup(map_.min_offset) is None:
            raise KernError(KERN_NO_SPACE)
        _set_all(map_, VM_PROT_DEFAULT if flags else VM_PROT_NONE)
    if flags & VM_WIRE_FUTURE:
        map_.wiring_required = True


def _set_all(map_: VmMap, access: int) -> None:
    before = [(entry, entry.wired_access) for entry in map_.entries]
    for entry in map_.entries:
        entry.wired_access = access
    try:
        update(map_, map_.entries)
    except MustWait:
        for entry, was in before:
            entry.wired_access = was
            if not was:
                unwire_entry(map_, entry)
        raise


def wire_new(map_: VmMap, entry: VmMapEntry) -> None:
    """An entry came into a map of which all that comes is to be wired. Raises MustWait, and the entry is gone again."""
    entry.wired_access = entry.protection
    try:
        update(map_, [entry])
    except MustWait:
        map_.delete(entry.start, entry.end)
        raise


def update(map_: VmMap, entries: list[VmMapEntry]) -> None:
    """Wires and unwires entries as their wired_access and protection say. Raises MustWait.

    Where a manager has an error its entry's pages are not wired, and as in the real kernel nobody is told.
    """
    for entry in entries:
        if not entry.wired_access or not entry.protection:
            unwire_entry(map_, entry)
        elif not entry.wired_count:
            try:
                wire_entry(map_, entry)
            except KernError:
                entry.lost = True


def complete(map_: VmMap) -> None:
    """Wires the entries of a map that was filled that are to be wired. Raises MustWait; as many are wired then as could be."""
    for entry in map_.entries:
        if entry.to_wire and not entry.wired and entry.wired_access and entry.protection:
            try:
                wire_entry(map_, entry, False)
            except KernError:
                entry.lost = True
            map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))  # what was mapped is told apart
        entry.to_wire = False


def wire_entry(map_: VmMap, entry: VmMapEntry, copies: bool = True) -> None:
    """Brings all pages of an unwired entry into its object, maps and wires them. Raises MustWait or KERN_MEMORY_ERROR and wires
    none.

    As in the real kernel an entry that may not be written keeps the object that it is to have a copy of. So does, without
    `copies`, one that could not be written when it was wired.

    Pages that are only to be read are copied up as well, so that no later write moves a wired page elsewhere.
    """
    vm = map_.vm
    obj = entry.object
    if obj is None or (copies and entry.needs_copy and entry.protection & VM_PROT_WRITE):
        obj = map_.shadow_entry(entry)
    span = range(entry.offset, entry.offset + entry.end - entry.start, vm.page_size)
    vm.check_frames(sum(offset not in obj.pages for offset in span))
    access = entry.protection & ~VM_PROT_NOTIFY | (0 if obj.external else VM_PROT_WRITE)
    pages = [fault_page(obj, offset, access)[0] for offset in span]
    shift = entry.start - entry.offset
    allowed = entry.protection & ~(VM_PROT_NOTIFY | (VM_PROT_WRITE if entry.needs_copy else 0))
    try:
        for page in pages:
            enter(map_, page.offset + shift, page, allowed, True)
    except PageShortage:
        map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))
        raise
    for page in pages:
        vm.wire_page(page)
    entry.wired = True
    map_.size_wired += entry.end - entry.start


def unwire_entry(map_: VmMap, entry: VmMapEntry) -> None:
    """Makes the entry's pages pageable as far as nobody else wired them. They stay mapped."""
    obj = entry.object
    entry.lost = False
    if not entry.wired or obj is None:
        return
    entry.wired = False
    map_.size_wired -= entry.end - entry.start
    for offset in range(entry.offset, entry.offset + entry.end - entry.start, map_.vm.page_size):
        map_.vm.unwire_page(obj.pages[offset])
