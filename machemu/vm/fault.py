"""Page faults (Mach's vm_fault.c): from an address to a mapped page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from machemu.abi.errors import KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE, KERN_WRITE_PROTECTION_FAILURE
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_NONE, VM_PROT_NOTIFY, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.memory import OutOfFrames
from machemu.vm.object import VmObject
from machemu.vm.page import NO_QUEUE, PageShortage, VmPage

if TYPE_CHECKING:
    from machemu.vm.map import VmMap

__all__ = ["PageShortage", "fault_page", "vm_fault"]


def vm_fault(map_: VmMap, address: int, access: int) -> None:
    """Makes the page that holds `address` accessible for `access` (of VM_PROT_*), or raises KERN_INVALID_ADDRESS,
    KERN_PROTECTION_FAILURE, KERN_WRITE_PROTECTION_FAILURE, KERN_MEMORY_ERROR; MustWait where the caller must wait for a memory
    manager or a free frame."""
    entry = map_.lookup(address)
    if entry is None:
        raise KernError(KERN_INVALID_ADDRESS)
    protection = entry.protection
    if access & ~protection:
        if protection & VM_PROT_NOTIFY and access & VM_PROT_WRITE:
            raise KernError(KERN_WRITE_PROTECTION_FAILURE)
        raise KernError(KERN_PROTECTION_FAILURE)
    protection &= ~VM_PROT_NOTIFY
    if entry.wired_access:
        access = protection
    elif access & VM_PROT_WRITE:
        access |= VM_PROT_READ
    obj = entry.object
    if obj is None or (entry.needs_copy and access & VM_PROT_WRITE):
        obj = map_.shadow_entry(entry)
    vm = map_.vm
    try:
        page, writable = fault_page(obj, (address & ~vm.page_mask) - entry.start + entry.offset, access)
    except PageShortage:
        raise
    except MustWait as wait:
        obj.ref_count += 1
        wait.held = obj
        raise
    if entry.needs_copy or not writable:
        protection &= ~VM_PROT_WRITE
    enter(map_, address & ~vm.page_mask, page, protection, entry.wired)
    if page.queue == NO_QUEUE:
        vm.queues.activate(page)


def wait_again(map_: VmMap, address: int, access: int) -> None:
    """Raises MustWait, as `vm_fault` did, where an access waits for what a memory manager has been asked for; asks for nothing
    itself, and takes no answer."""
    entry = map_.lookup(address)
    if entry is None or access & ~entry.protection:
        return
    first = level = entry.object
    offset = (address & ~map_.vm.page_mask) - entry.start + entry.offset
    wanted = access | VM_PROT_READ if access & VM_PROT_WRITE else access
    try:
        while level is not None:
            page, pager = level.pages.get(offset), level.pager
            if page is not None:
                if wanted & page.lock and not wanted & ~page.unlock_request:
                    raise page.wait()
                return
            if pager is not None:
                pager.await_answer(offset)
            offset += level.shadow_offset
            level, wanted = level.shadow, VM_PROT_READ
    except MustWait as wait:
        assert first is not None
        first.ref_count += 1
        wait.held = first
        raise


def enter(map_: VmMap, address: int, page: VmPage, protection: int, wired: bool) -> None:
    """Maps a page as far as its manager allows. Raises PageShortage where no page table fits."""
    try:
        map_.pmap.enter(VirtAddr(address), page.frame, protection & ~page.lock, wired)
    except OutOfFrames:
        raise map_.vm.shortage(1) from None


def fault_page(first: VmObject, offset: int, access: int) -> tuple[VmPage, bool]:
    """The page that is seen at `offset` of `first`, and whether it may be written as it is. With VM_PROT_WRITE in `access` the
    page is one of `first` itself, and its copy object has what was there before. Raises MustWait, KERN_MEMORY_ERROR."""
    vm = first.vm
    write = access & VM_PROT_WRITE
    page = first.lookup(offset, access)
    vm.faults += 1
    writable = True
    if page is None:
        page = vm.allocate_page(first, offset)
        vm.memory.zero(page.frame)
        vm.zero_fill_count += 1
        # The real kernel does it for a copied page alone, which whoever has the shadow's name could tell.
        if first.shadow is not None and first.shadow.name is None:
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
        elif offset not in copy.pages and offset < copy.size and not (copy.pager is not None and copy.pager.has(offset)):
            vm.copy_page(page, vm.allocate_page(copy, offset))
            # Whoever sees through the copy object has the old page mapped; nobody can say who that is.
            vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    if first.pager is not None or first.shadow is not None:
        first.forget_absent(offset)
    return page, writable


def _copy_up(first: VmObject, offset: int, page: VmPage) -> VmPage:
    """A copy in `first` of a page of one of its shadows."""
    vm = first.vm
    copied = vm.allocate_page(first, offset)
    vm.copy_page(page, copied)
    # It is what the shadow has until somebody writes to it.
    copied.dirty = False
    if first.ref_count > 1:
        # Other users of `first` have the old page mapped, and must not miss the write that follows.
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    vm.cow_faults += 1
    first.collapse()
    return copied
