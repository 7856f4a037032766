"""What memory managers tell the kernel of their objects (the routines of Mach's memory_object.c). Offsets and sizes are bytes of
the memory object; numbers are unsigned as they come from a guest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT, KERN_MEMORY_PRESENT
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_NONE
from machemu.vm import pageout
from machemu.vm.entry import VmMapEntry
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject
from machemu.vm.page import VmPage
from machemu.vm.pager import COPY_CALL, COPY_DELAY, COPY_NONE, COPY_TEMPORARY, LARGE_MAP, SMALL_MAP, Answer, Pager

if TYPE_CHECKING:
    from machemu.vm.subsystem import Vm

SUCCESS: Final = 0
RETURN_NONE, RETURN_DIRTY, RETURN_ALL = range(3)
PROT_NO_CHANGE: Final = 0x8
"""VM_PROT_NO_CHANGE: the lock stays as it is."""
DATA_WRITE_MAX: Final = 32
"""Pages that one memory_object_data_return holds at most."""
WORD: Final = 0xFFFFFFFF


def data_supply(pager: Pager, offset: int, copy: VmMapCopy, lock_value: int, precious: bool) -> tuple[int, int]:
    """Puts the copy's pages into the object: KERN_SUCCESS, or KERN_MEMORY_PRESENT and the offset of the page that was there
    already; those before it have been taken. The caller discards what is left of the copy.

    Raises KERN_INVALID_ARGUMENT, MustWait; nothing is taken then.
    """
    obj = pager.object
    vm = obj.vm
    if lock_value & ~VM_PROT_ALL or copy.size & vm.page_mask:
        raise KernError(KERN_INVALID_ARGUMENT)
    privileged, vm.privileged = vm.privileged, vm.privileged or pager.internal
    try:
        copy.into_entries()
        sources = [place for entry in copy.entries for place in places(vm, entry)]
        sources = sources[: copy.size // vm.page_size]
        vm.check_frames(sum(not owned for _, owned in sources))
    finally:
        vm.privileged = privileged
    at = (offset - pager.paging_offset) & WORD
    for source, owned in sources:
        if at in obj.pages or not (at not in pager.requests or pager.requests[at].answer is Answer.WAITED_FOR):
            return KERN_MEMORY_PRESENT, (at + pager.paging_offset) & WORD
        put_page(obj, at, source, owned, lock_value, precious)
        if pager.answer(at, None):
            vm.queues.activate(obj.pages[at])
        else:
            vm.queues.deactivate(obj.pages[at])
        at = (at + vm.page_size) & WORD
    return SUCCESS, 0


def places(vm: Vm, entry: VmMapEntry) -> list[tuple[VmPage | None, bool]]:
    """The pages that a copy's entry shows, None for zeros, and whether nobody else sees them, so that they can be taken."""
    found: list[tuple[VmPage | None, bool]] = []
    obj = entry.object
    for at in range(entry.offset, entry.offset + entry.end - entry.start, vm.page_size):
        page = obj.lookup(at) if obj is not None else None
        owned = page is not None and page.object is obj and obj.ref_count == 1 and obj.copy is None and not page.wire_count
        found.append((page, owned))
    return found


def put_page(obj: VmObject, at: int, source: VmPage | None, owned: bool, lock_value: int, precious: bool) -> None:
    """A page that its manager has, with the source's content or zeros; one that is owned itself. Frames have been checked."""
    vm = obj.vm
    if source is not None and owned:
        page = source
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
        if page.laundry:
            page.laundry = False
            vm.laundry_count -= 1
        vm.rename_page(page, obj, at)
    else:
        page = vm.take_page(obj, at)
        if source is None:
            vm.memory.zero(page.frame)
        else:
            vm.copy_page(source, page)
    vm.mmu.clear_modified(page.frame)
    page.dirty = False
    page.precious = precious
    page.lock = lock_value
    page.unlock_request = VM_PROT_NONE


def data_unavailable(pager: Pager, offset: int, size: int) -> None:
    """The manager has no data for [offset, offset + size): what is asked for there is zero, or the shadow's.

    As in the real kernel more than 8192 bytes from offset 0 on say something else: that nothing exists but what is returned from
    now on, in the first 128 pages; what was asked for stays so.
    """
    if not offset and size > LARGE_MAP and not size & pager.object.vm.page_mask:
        if not pager.known_size:
            pager.known_size = SMALL_MAP * pager.object.vm.page_size
        return
    _answer(pager, offset, size, Answer.UNAVAILABLE)


def data_error(pager: Pager, offset: int, size: int) -> None:
    """The manager cannot give the data: who asked gets KERN_MEMORY_ERROR."""
    _answer(pager, offset, size, Answer.ERROR)


def _answer(pager: Pager, offset: int, size: int, answer: Answer) -> None:
    mask = pager.object.vm.page_mask
    if size & mask:
        raise KernError(KERN_INVALID_ARGUMENT)
    start = (offset - pager.paging_offset) & WORD
    for at in list(pager.requests):
        if (at - start) & WORD < size and not (at - start) & mask:
            pager.answer(at, answer)


def lock_request(pager: Pager, offset: int, size: int, should_return: int, should_flush: bool, lock_value: int) -> None:
    """Locks, returns and flushes the pages in [offset, offset + size) that are there, in that order.

    Raises KERN_INVALID_ARGUMENT; MustWait for a wired page that would change, or for frames: what was done then stays done, and
    doing it again changes nothing.
    """
    obj = pager.object
    vm = obj.vm
    if lock_value & ~VM_PROT_ALL and lock_value != PROT_NO_CHANGE:
        raise KernError(KERN_INVALID_ARGUMENT)
    start = (offset - pager.paging_offset) & WORD
    size = (size + vm.page_mask) & ~vm.page_mask & WORD
    cluster = _Cluster(pager, should_flush)
    for at in _present(obj, start, size):
        page = obj.pages[at]
        if page.wire_count and _would_change(page, should_return, should_flush, lock_value):
            cluster.send()
            raise page.wait()
        if should_flush:
            _set_lock(page, VM_PROT_ALL)
        elif lock_value != PROT_NO_CHANGE:
            _set_lock(page, lock_value)
        dirty = page.dirty or vm.mmu.is_modified(page.frame)
        if not page.wire_count and ((dirty and should_return != RETURN_NONE) or (page.precious and should_return == RETURN_ALL)):
            cluster.add(page, dirty)
        else:
            cluster.send()
            if should_flush:
                vm.free_page(page)
    cluster.send()


def _present(obj: VmObject, start: int, size: int) -> list[int]:
    """The offsets of the pages that are there, in order."""
    step = obj.vm.page_size
    if size // step < len(obj.pages):
        return [at for at in range(start, start + size, step) if at in obj.pages]
    return sorted(at for at in obj.pages if 0 <= at - start < size and not (at - start) % step)


def _would_change(page: VmPage, should_return: int, should_flush: bool, lock_value: int) -> bool:
    """Whether a wired page stands in the way of a lock request."""
    if should_flush or lock_value not in (page.lock, PROT_NO_CHANGE):
        return True
    dirty = page.dirty or page.object.vm.mmu.is_modified(page.frame)
    return should_return != RETURN_NONE and (dirty or (page.precious and should_return == RETURN_ALL))


def _set_lock(page: VmPage, lock_value: int) -> None:
    vm = page.object.vm
    if lock_value & ~page.lock:
        vm.mmu.page_protect(page.frame, VM_PROT_ALL & ~lock_value)
    page.lock = lock_value
    page.unlock_request = VM_PROT_NONE
    vm.wake_page(page)


class _Cluster:
    """Neighbouring pages that go back to the manager in one message."""

    def __init__(self, pager: Pager, flush: bool) -> None:
        self.vm = pager.object.vm
        self.flush = flush
        self.pages: list[VmPage] = []
        self.dirty = False

    def add(self, page: VmPage, dirty: bool) -> None:
        if self.pages and (
            len(self.pages) == DATA_WRITE_MAX or page.offset != self.pages[-1].offset + self.vm.page_size or dirty != self.dirty
        ):
            self.send()
        self.dirty = dirty
        self.pages.append(page)

    def send(self) -> None:
        if not self.pages:
            return
        if not self.flush:
            self.vm.check_frames(len(self.pages))
        pages, self.pages = self.pages, []
        pageout.return_pages(self.vm, pages, self.dirty, self.flush)


def set_attributes(pager: Pager, may_cache: bool, copy_strategy: int) -> None:
    """memory_object_ready and the common part of memory_object_change_attributes."""
    if copy_strategy not in (COPY_NONE, COPY_CALL, COPY_DELAY, COPY_TEMPORARY):
        raise KernError(KERN_INVALID_ARGUMENT)
    pager.may_cache = may_cache
    if copy_strategy == COPY_TEMPORARY:
        pager.temporary = True
    else:
        pager.copy_strategy = copy_strategy
    pager.become_ready()


def get_attributes(pager: Pager) -> tuple[int, int, int]:
    """Whether the object is ready, whether it may be cached, and its copy strategy."""
    return int(pager.ready), int(pager.may_cache), pager.copy_strategy


def destroy(pager: Pager) -> None:
    """memory_object_destroy: the manager gives the object up. It gets its ports back, and is not asked again."""
    pager.may_cache = False
    pager.object.vm.managers.terminate(pager)
