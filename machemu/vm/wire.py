"""Wiring: memory that stays where it is (Mach's vm_map_pageable, vm_fault_wire, vm_fault_unwire)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_NOTIFY, VM_PROT_WRITE
from machemu.vm.fault import enter, fault_page
from machemu.vm.page import PageShortage

if TYPE_CHECKING:
    from machemu.vm.entry import VmMapEntry
    from machemu.vm.map import VmMap

NO_SPACE = int(KernReturn.KERN_NO_SPACE)


def pageable(map_: VmMap, start: int, end: int, access: int) -> None:
    """Wires all of [start, end) for `access`, or with VM_PROT_NONE makes it pageable again.

    Raises KERN_NO_SPACE for a hole or an entry that forbids the access, MustWait where frames or a memory manager are wanted,
    KERN_MEMORY_ERROR; what was wired before then is so still, and nothing else.
    """
    map_.timestamp += 1
    start, end = map_.clamp(start, end)
    if map_.lookup(start) is None:
        raise KernError(NO_SPACE)
    first, last = map_.clip_range(start, end)
    entries = map_.entries[first:last]
    at = start
    for entry in entries:
        if entry.start != at or access & ~entry.protection:
            raise KernError(NO_SPACE)
        at = entry.end
    if at < end:
        raise KernError(NO_SPACE)
    before = [(entry, entry.wired_access) for entry in entries]
    for entry in entries:
        entry.wired_access = access
    try:
        update(map_, entries)
    except (MustWait, KernError):
        for entry, was in before:
            entry.wired_access = was
            if not was:
                unwire_entry(map_, entry)
        raise


def update(map_: VmMap, entries: list[VmMapEntry]) -> None:
    """Wires and unwires entries as their wired_access and protection say. Raises MustWait, KERN_MEMORY_ERROR."""
    for entry in entries:
        if not entry.wired_access or not entry.protection:
            unwire_entry(map_, entry)
        elif not entry.wired:
            wire_entry(map_, entry)


def wire_entry(map_: VmMap, entry: VmMapEntry) -> None:
    """Brings all pages of an unwired entry into its own object, maps and wires them. Raises MustWait or KERN_MEMORY_ERROR and
    wires none.

    Pages that are only to be read are copied up as well, so that no later write moves a wired page elsewhere.
    """
    vm = map_.vm
    obj = entry.object
    if obj is None or entry.needs_copy:
        obj = map_.shadow_entry(entry)
    span = range(entry.offset, entry.offset + entry.end - entry.start, vm.page_size)
    vm.check_frames(sum(offset not in obj.pages for offset in span))
    access = entry.protection & ~VM_PROT_NOTIFY | (0 if obj.external else VM_PROT_WRITE)
    pages = [fault_page(obj, offset, access)[0] for offset in span]
    shift = entry.start - entry.offset
    try:
        for page in pages:
            enter(map_, page.offset + shift, page, entry.protection & ~VM_PROT_NOTIFY, True)
    except PageShortage:
        map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))
        raise
    for page in pages:
        vm.wire_page(page)
    entry.wired = True
    map_.size_wired += entry.end - entry.start


def unwire_entry(map_: VmMap, entry: VmMapEntry) -> None:
    """Makes the entry's pages pageable as far as nobody else wired them. They are mapped again when they are next touched."""
    obj = entry.object
    if not entry.wired or obj is None:
        return
    entry.wired = False
    map_.size_wired -= entry.end - entry.start
    map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))
    for offset in range(entry.offset, entry.offset + entry.end - entry.start, map_.vm.page_size):
        map_.vm.unwire_page(obj.pages[offset])
