"""Page replacement (Mach's vm_pageout.c and the eviction of vm_page.c): which pages go when frames are short, and where to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.abi.vm import VM_PROT_NONE
from machemu.vm.entry import VmMapEntry
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject, terminate
from machemu.vm.page import ACTIVE, EXTERNAL, INACTIVE, VmPage

if TYPE_CHECKING:
    from machemu.vm.subsystem import Vm

MAX_LAUNDRY: Final = 5
"""VM_PAGE_MAX_LAUNDRY: pages that the default memory manager may have in hand before more are sent."""
ACTIVE_SHARE: Final = 3
"""At most one of so many pages that can go is active."""


def balance(vm: Vm) -> None:
    """The pageout daemon's work: makes frames free up to the high mark, or as many as somebody waits for, as far as it need not
    wait for a manager.

    Pages of external managers go first. It is called again when a page that is under way has been freed.
    """
    vm.pageout_wanted = False
    enough = vm.free_high
    if vm.free_wanted.threads:
        enough = max(enough, vm.free_min + vm.frames_wanted)
    while len(vm.memory.free) < enough and vm.laundry_count < MAX_LAUNDRY:
        _refill_inactive(vm)
        page = _choose(vm, (INACTIVE + EXTERNAL, ACTIVE + EXTERNAL)) or _choose(vm, (INACTIVE, ACTIVE))
        if page is None or not _evict(vm, page):
            return


def _refill_inactive(vm: Vm) -> None:
    queues = vm.queues
    limit = (queues.count(ACTIVE) + queues.count(INACTIVE)) // ACTIVE_SHARE
    for _ in range(queues.count(ACTIVE) - limit):
        page = queues.first(ACTIVE + EXTERNAL, ACTIVE)
        if page is None:
            return
        vm.mmu.clear_referenced(page.frame)
        queues.deactivate(page)


def _choose(vm: Vm, kinds: tuple[int, int]) -> VmPage | None:
    """The page to go: the first inactive one that was not used since it is inactive, or else the oldest active one."""
    inactive, active = kinds
    while (page := vm.queues.first(inactive)) is not None:
        if not vm.mmu.is_referenced(page.frame):
            return page
        vm.queues.activate(page)
        vm.reactivations += 1
    return vm.queues.first(active)


def _evict(vm: Vm, page: VmPage) -> bool:
    """Frees a page, or has it cleaned; False where there is no default memory manager to do that."""
    vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    obj = page.object
    if not vm.must_clean(page):
        vm.free_page(page)
        if not obj.ref_count and not obj.pages and obj.pager is not None:
            del vm.cached[obj.pager.number]
            terminate(obj)
        return True
    if obj.pager is None:
        obj.collapse()
    if obj.pager is None:
        if not vm.has_default_manager:
            vm.queues.activate(page)
            return False
        vm.make_internal_pager(obj)
    if obj.pager is None or obj.pager.memory_object is None:
        # Its manager has died with the only copy: the page stays for those who have it mapped.
        vm.queues.remove(page)
        return True
    clean_page(vm, page)
    return True


def clean_page(vm: Vm, page: VmPage) -> None:
    """vm_pageout_page: returns a page to its manager and flushes it. It travels in an object of its own; on its way to the
    default memory manager it is not replaced again."""
    obj = page.object
    if obj.pager is None:
        raise InvariantError("a page without a manager is to be cleaned")
    dirty = page.dirty or vm.mmu.is_modified(page.frame)
    return_pages(vm, [page], dirty, True)


def return_pages(vm: Vm, pages: list[VmPage], dirty: bool, flush: bool) -> None:
    """memory_object_data_return for neighbouring pages of one object: they themselves go with `flush`, or else copies.

    Without `flush` as many frames must be free. The pages that stay are clean and mapped nowhere.
    """
    obj = pages[0].object
    pager = obj.pager
    if pager is None:
        raise InvariantError("pages without a manager are returned")
    start = pages[0].offset
    carrier = VmObject(vm, len(pages) * vm.page_size)
    for index, page in enumerate(pages):
        at = index * vm.page_size
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
        if pager.known_size:
            pager.paged_out[page.offset + pager.paging_offset] = None
        if flush:
            vm.queues.remove(page)
            vm.wake_page(page)
            vm.rename_page(page, carrier, at)
            page.lock = page.unlock_request = VM_PROT_NONE
            page.precious = False
            moved = page
        else:
            moved = vm.take_page(carrier, at)
            vm.copy_page(page, moved)
            page.dirty = False
            vm.mmu.clear_modified(page.frame)
            vm.queues.deactivate(page)
        moved.dirty = True
        if pager.internal:
            moved.laundry = True
            vm.laundry_count += 1
            vm.queues.remove(moved)
        else:
            vm.queues.activate(moved)
    vm.pageouts += len(pages)
    copy = VmMapCopy(vm, 0, carrier.size)
    copy.entries = [VmMapEntry(0, carrier.size, carrier, 0)]
    vm.managers.data_return(pager, start + pager.paging_offset, copy, dirty, not flush)
