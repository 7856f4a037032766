"""Page faults (Mach's vm_fault.c): from an address to a mapped page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KernReturn
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_NONE, VM_PROT_NOTIFY, VM_PROT_WRITE
from machemu.machine.memory import OutOfFrames
from machemu.vm.object import VmObject
from machemu.vm.page import PageShortage, VmPage

if TYPE_CHECKING:
    from machemu.vm.map import VmMap

__all__ = ["PageShortage", "fault_page", "vm_fault"]

INVALID_ADDRESS = int(KernReturn.KERN_INVALID_ADDRESS)
PROTECTION_FAILURE = int(KernReturn.KERN_PROTECTION_FAILURE)
WRITE_PROTECTION_FAILURE = int(KernReturn.KERN_WRITE_PROTECTION_FAILURE)


def vm_fault(map_: VmMap, address: int, access: int) -> None:
    """Makes the page that holds `address` accessible for `access` (of VM_PROT_*), or raises KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE, KERN_WRITE_PROTECTION_FAILURE; PageShortage where the caller must wait for a free frame."""
    entry = map_.lookup(address)
    if entry is None:
        raise KernError(INVALID_ADDRESS)
    protection = entry.protection
    if access & ~protection:
        if protection & VM_PROT_NOTIFY and access & VM_PROT_WRITE:
            raise KernError(WRITE_PROTECTION_FAILURE)
        raise KernError(PROTECTION_FAILURE)
    protection &= ~VM_PROT_NOTIFY
    if entry.wired:
        access = protection
    obj = entry.object
    if obj is None or (entry.needs_copy and access & VM_PROT_WRITE):
        obj = map_.shadow_entry(entry)
    page, writable = fault_page(obj, (address & ~map_.vm.page_mask) - entry.start + entry.offset, access & VM_PROT_WRITE)
    if entry.needs_copy or not writable:
        protection &= ~VM_PROT_WRITE
    try:
        map_.pmap.enter(VirtAddr(address & ~map_.vm.page_mask), page.frame, protection, entry.wired)
    except OutOfFrames:
        raise PageShortage from None


def fault_page(first: VmObject, offset: int, write: int) -> tuple[VmPage, bool]:
    """The page that is seen at `offset` of `first`, and whether it may be written as it is. With `write` the page is one of
    `first` itself, and its copy object has what was there before. Raises PageShortage."""
    vm = first.vm
    vm.faults += 1
    page = first.lookup(offset)
    writable = True
    if page is None:
        page = vm.allocate_page(first, offset)
        vm.memory.zero(page.frame)
        vm.zero_fill_count += 1
        first.collapse()
    elif page.object is not first:
        if write:
            page = _copy_up(first, offset, page)
        else:
            writable = False
    copy = first.copy
    if copy is not None:
        if not write:
            writable = False
        elif offset not in copy.pages:
            pushed = vm.allocate_page(copy, offset)
            vm.memory.copy(page.frame, pushed.frame)
            # Whoever sees through the copy object has the old page mapped; nobody can say who that is.
            vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    return page, writable


def _copy_up(first: VmObject, offset: int, page: VmPage) -> VmPage:
    """A copy in `first` of a page of one of its shadows."""
    vm = first.vm
    copied = vm.allocate_page(first, offset)
    vm.memory.copy(page.frame, copied.frame)
    if first.ref_count > 1:
        # Other users of `first` have the old page mapped, and must not miss the write that follows.
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    vm.cow_faults += 1
    first.collapse()
    return copied
