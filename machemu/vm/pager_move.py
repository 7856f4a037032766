"""A memory object that moves with all tasks that show it: what its kernel knows of it as words, its pages, and its ports.

Its manager sees nothing of it: it is not asked anew, and what it was asked for it may answer. machemu/abi/migrate.py describes
the words.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_INVALID_CAPABILITY
from machemu.abi.migrate import PAGE_DIRTY, PAGE_PRECIOUS, PAGER_CACHES, PAGER_READY, PAGER_TEMPORARY
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_NONE
from machemu.vm.entry import VmMapEntry
from machemu.vm.manage import drop_pager, queue_again
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.memory_object import places, put_page
from machemu.vm.object import VmObject, deallocate
from machemu.vm.pager import COPY_DELAY, Answer, Request

if TYPE_CHECKING:
    from machemu.vm.map import VmMap
    from machemu.vm.pager import Pager

ANSWERS: Final = tuple(Answer)
"""By the word that tells of a request."""
WORD: Final = 0xFFFFFFFF


class PageWords(NamedTuple):
    offset: int
    flags: int
    lock: int
    unlock_request: int


class PagerWords(NamedTuple):
    paging_offset: int
    flags: int
    copy_strategy: int
    known_size: int
    last_alloc: int
    pages: int
    requests: int


class Rights(NamedTuple):
    """A send right to the memory object, and the receive rights of its control and name ports."""

    memory_object: object
    control: object
    name: object


def surrender(map_: VmMap, frozen: Iterable[VmMap], address: int) -> tuple[list[int], VmMapCopy | None, Rights]:
    """Takes the manager, the ports and the pages from the object that is shown at an address. frozen: the maps that do not
    change.

    Raises KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT where a living manager of a user's has no such object, KERN_FAILURE where
    others than frozen tasks show it, or there are copies of it that need it, and PageShortage for copies of wired pages.
    """
    obj = _object_at(map_, address)
    vm, pager = map_.vm, obj.pager
    if pager is None or pager.internal or pager.memory_object is None:
        raise KernError(KERN_INVALID_ARGUMENT)
    entries = [entry for each in frozen for entry in each.entries if entry.object is obj]
    if len(entries) != obj.ref_count or obj.copy is not None or obj.shadow is not None or any(e.needs_copy for e in entries):
        raise KernError(KERN_FAILURE)
    vm.check_frames(sum(page.wire_count > 0 for page in obj.pages.values()))
    rights = Rights(*vm.managers.surrender(pager))
    words, copy = _words(pager), _take_pages(obj)
    pager.may_cache = False
    pager.paged_out.clear()
    pager.abort()
    return words, copy, rights


def _object_at(map_: VmMap, address: int) -> VmObject:
    entry = map_.lookup(address)
    if entry is None or entry.object is None:
        raise KernError(KERN_INVALID_ADDRESS)
    return entry.object


def _words(pager: Pager) -> list[int]:
    obj = pager.object
    is_modified = obj.vm.mmu.is_modified
    states = {PAGER_READY: pager.ready, PAGER_CACHES: pager.may_cache, PAGER_TEMPORARY: pager.temporary}
    flags = sum(bit for bit, holds in states.items() if holds)
    head = PagerWords(
        pager.paging_offset, flags, pager.copy_strategy, pager.known_size, obj.last_alloc, len(obj.pages), len(pager.requests)
    )
    words = [*head]
    for page in obj.pages.values():
        bits = (PAGE_DIRTY if page.dirty or is_modified(page.frame) else 0) | (PAGE_PRECIOUS if page.precious else 0)
        words += PageWords(page.offset & WORD, bits, page.lock, page.unlock_request)
    for offset, request in pager.requests.items():
        words += (offset & WORD, ANSWERS.index(request.answer))
    return [*words, *pager.paged_out]


def _take_pages(obj: VmObject) -> VmMapCopy | None:
    """An object's pages in their order; wired ones, which stay, as copies."""
    vm = obj.vm
    if not obj.pages:
        return None
    carrier = VmObject(vm, len(obj.pages) * vm.page_size)
    for index, page in enumerate(list(obj.pages.values())):
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
        if page.wire_count:
            vm.copy_page(page, vm.take_page(carrier, index * vm.page_size))
        else:
            vm.rename_page(page, carrier, index * vm.page_size)
            page.dirty, page.precious = True, False
            page.lock = page.unlock_request = VM_PROT_NONE
    copy = VmMapCopy(vm, 0, carrier.size)
    copy.entries = [VmMapEntry(0, carrier.size, carrier, 0)]
    return copy


# And again


class Told(NamedTuple):
    """The words, taken apart."""

    pager: PagerWords
    pages: list[PageWords]
    requests: list[tuple[int, int]]
    paged_out: list[int]


def adopt(map_: VmMap, address: int, words: Sequence[int], copy: VmMapCopy | None, rights: Rights) -> None:
    """The object that is shown at an address of a frozen task gets the manager, the ports and the pages that one had elsewhere;
    a manager that it has is told that it is over. Consumes the pages as far as they are wanted, and on success the rights.

    Raises KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT where words and pages are not one object's or the memory object has an
    object, KERN_INVALID_CAPABILITY where ports are missing, and PageShortage; nothing is done then.
    """
    obj = _object_at(map_, address)
    vm = obj.vm
    told = _unpack(words, (copy.size if copy is not None else 0) // vm.page_size)
    if not all(map(vm.managers.is_alive, rights)) or len(set(map(id, rights))) < len(rights):
        raise KernError(KERN_INVALID_CAPABILITY)
    if vm.managers.pager_of(rights.memory_object) is not None or (obj.pager is not None and obj.pager.internal) or obj.shadow:
        raise KernError(KERN_INVALID_ARGUMENT)
    if copy is not None:
        copy.into_entries()
    sources = [place for entry in (copy.entries if copy is not None else ()) for place in places(vm, entry)]
    vm.check_frames(sum(not owned for _, owned in sources))
    if obj.pager is not None:
        drop_pager(obj.pager)
    pager = vm.adopt_pager(obj, rights)
    head = told.pager
    pager.paging_offset, pager.copy_strategy, pager.known_size = head.paging_offset, head.copy_strategy, head.known_size
    pager.ready, pager.may_cache, pager.temporary = (
        bool(head.flags & bit) for bit in (PAGER_READY, PAGER_CACHES, PAGER_TEMPORARY)
    )
    pager.paged_out = dict.fromkeys(told.paged_out)
    for each, (source, owned) in zip(told.pages, sources, strict=True):
        if each.offset not in obj.pages:
            put_page(obj, each.offset, source, owned, each.lock, bool(each.flags & PAGE_PRECIOUS))
        page = obj.pages[each.offset]
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
        page.lock, page.unlock_request = each.lock, each.unlock_request
        page.dirty, page.precious = bool(each.flags & PAGE_DIRTY), bool(each.flags & PAGE_PRECIOUS)
    for page in obj.pages.values():
        queue_again(vm, page)
    for offset, answer in told.requests:
        request = pager.requests[offset] = Request()
        request.answer = ANSWERS[answer]
    obj.last_alloc = head.last_alloc


def come_home(frozen: Iterable[VmMap], map_: VmMap, address: int, words: Sequence[int], memory_object: object) -> None:
    """As `adopt`, of a memory object of this kernel's own, a device's, which does not answer another kernel: whatever shows the
    object at an address shows the device's memory from now on. frozen: the maps that may show it. The rights stay the caller's.

    Raises KERN_INVALID_ADDRESS, and KERN_INVALID_ARGUMENT where another kernel has got anything of it; nothing is done then.
    """
    obj = _object_at(map_, address)
    vm, head = map_.vm, _unpack(words, 0).pager
    if head.flags & PAGER_READY or head.requests or (obj.pager is not None and obj.pager.internal) or obj.shadow:
        raise KernError(KERN_INVALID_ARGUMENT)
    for entry in [entry for each in frozen for entry in each.entries if entry.object is obj]:
        size = entry.end - entry.start
        own, offset, _ = vm.managers.part_of(memory_object, entry.offset + head.paging_offset & WORD, size, False)
        entry.object, entry.offset = vm.enter_object(own, size, offset), offset
        deallocate(obj)


def _unpack(words: Sequence[int], pages: int) -> Told:
    rest = deque(words)
    if len(rest) < len(PagerWords._fields):
        raise KernError(KERN_INVALID_ARGUMENT)
    head = PagerWords(*[rest.popleft() for _ in PagerWords._fields])
    if head.pages != pages or head.pages * len(PageWords._fields) + 2 * head.requests > len(rest):
        raise KernError(KERN_INVALID_ARGUMENT)
    told = Told(
        head,
        [PageWords(*[rest.popleft() for _ in PageWords._fields]) for _ in range(pages)],
        [(rest.popleft(), rest.popleft()) for _ in range(head.requests)],
        list(rest),
    )
    offsets = {each.offset for each in told.pages}
    asked = {offset for offset, _ in told.requests}
    good = (
        not head.flags & ~(PAGER_READY | PAGER_CACHES | PAGER_TEMPORARY)
        and head.copy_strategy <= COPY_DELAY
        and (len(offsets), len(asked)) == (len(told.pages), len(told.requests))
        and all(answer < len(ANSWERS) for _, answer in told.requests)
        and all(
            not each.flags & ~(PAGE_DIRTY | PAGE_PRECIOUS) and not (each.lock | each.unlock_request) & ~VM_PROT_ALL
            for each in told.pages
        )
    )
    if not good:
        raise KernError(KERN_INVALID_ARGUMENT)
    return told
