"""How anonymous memory gets a memory manager of a user's, and is anonymous again."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_NONE
from machemu.vm.map_move import told_alike
from machemu.vm.object import VmObject, deallocate
from machemu.vm.page import INACTIVE, NO_QUEUE, VmPage
from machemu.vm.region_pages import existing

if TYPE_CHECKING:
    from machemu.vm.entry import VmMapEntry
    from machemu.vm.map import VmMap
    from machemu.vm.pager import Pager
    from machemu.vm.subsystem import Vm

Place = tuple[int, VmPage]
"""An offset in an object, and the page that is seen there."""


def internalize(pager: Pager, maps: Iterable[VmMap]) -> None:
    """The object is anonymous again: pages that are not there are zero, or what a shadow has. The manager gets its ports back as
    at the end of the object. maps: all of the node.

    KERN_INVALID_ARGUMENT, and nothing is done, where the manager is the default one, parts of pages are shown, or the object is
    written by several while copies of it are still to be made.
    """
    obj = pager.object
    vm = obj.vm
    entries = [entry for map_ in maps for entry in map_.entries if entry.object is obj]
    offsets = (*(entry.offset for entry in entries), *obj.pages)
    written = sorted((entry.offset, entry.offset + entry.end - entry.start) for entry in entries if not entry.needs_copy)
    is_shared = obj.use_shared_copy or any(below[1] > above[0] for below, above in pairwise(written))
    if pager.internal or any(offset & vm.page_mask for offset in offsets) or (is_shared and len(written) < len(entries)):
        raise KernError(KERN_INVALID_ARGUMENT)
    drop_pager(pager)
    obj.use_shared_copy = is_shared
    for entry in entries:
        entry.is_shared = is_shared
    obj.page_remove(obj.size, max(obj.pages, default=0) + 1)
    for page in obj.pages.values():
        page.dirty, page.precious = True, False
        page.lock = page.unlock_request = VM_PROT_NONE
        queue_again(vm, page)


def drop_pager(pager: Pager) -> None:
    """An object's manager is told that it is over, and the object has none any more. Who waits tries again."""
    vm = pager.object.vm
    if pager.memory_object is not None:
        vm.managers.terminate(pager)
    pager.abort()
    pager.object.pager = None
    del vm.pagers[pager.number]


def queue_again(vm: Vm, page: VmPage) -> None:
    """A page whose object's manager is another one now."""
    if page.queue != NO_QUEUE:
        (vm.queues.deactivate if page.queue & INACTIVE else vm.queues.activate)(page)


def set_manager(map_: VmMap, maps: Iterable[VmMap], address: int, memory_object: object) -> None:
    """Gives the memory that is shown at an address, all that map_move tells of as one object, to a memory object, which is asked
    for whatever is not there from now on. maps: all of the node. The right stays the caller's.

    The pages are precious, and not dirty. Raises KERN_INVALID_ADDRESS where nothing is mapped, KERN_INVALID_ARGUMENT where the
    memory has a manager or the memory object an object, and MustWait or KERN_MEMORY_ERROR for pages that are not resident.
    """
    vm = map_.vm
    entry = map_.lookup(address)
    if entry is None:
        raise KernError(KERN_INVALID_ADDRESS)
    if not vm.managers.is_alive(memory_object) or vm.managers.pager_of(memory_object) is not None:
        raise KernError(KERN_INVALID_ARGUMENT)
    alike, is_common = told_alike(map_, maps, entry)
    obj = entry.object
    if is_common:
        assert obj is not None
        if obj.external:
            raise KernError(KERN_INVALID_ARGUMENT)
        _flatten(obj)
    else:
        obj = _separate(map_, alike)
    vm.make_pager(obj, memory_object)
    for page in obj.pages.values():
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
        vm.mmu.clear_modified(page.frame)
        page.dirty, page.precious = False, True
        queue_again(vm, page)


def _seen(obj: VmObject, start: int, end: int) -> list[Place]:
    """The pages of [start, end). Raises MustWait, KERN_MEMORY_ERROR."""
    offsets = existing(obj, start, end, True)
    pages = [obj.lookup(offset) for offset in offsets]
    for offset in offsets:
        obj.forget_absent(offset)
    return [(offset, page) for offset, page in zip(offsets, pages, strict=True) if page is not None]


def _flatten(obj: VmObject) -> None:
    """All pages that are seen through an object become its own, and it has no pager and no shadow."""
    vm = obj.vm
    behind = [(offset, page) for offset, page in _seen(obj, 0, obj.size) if page.object is not obj]
    vm.check_frames(len(behind))
    for offset, page in behind:
        vm.copy_page(page, vm.take_page(obj, offset))
        vm.mmu.page_protect(page.frame, VM_PROT_NONE)
    shadow, obj.shadow, obj.shadow_offset = obj.shadow, None, 0
    if shadow is not None and shadow.copy is obj:
        shadow.copy = None
    deallocate(shadow)
    if obj.pager is not None:
        drop_pager(obj.pager)


def _separate(map_: VmMap, entries: list[VmMapEntry]) -> VmObject:
    """Entries that show parts of one object, or of none, get what they show of it as an object of their own."""
    vm, old = map_.vm, entries[0].object
    if old is None:
        return map_.shadow_entry(entries[0])
    owned = old.ref_count == len(entries) and old.copy is None
    places: list[tuple[VmMapEntry, list[Place]]] = []
    for entry in entries:
        places.append((entry, _seen(old, entry.offset, entry.offset + entry.end - entry.start)))
    vm.check_frames(sum(not (owned and page.object is old) for _, pages in places for _, page in pages))
    new = VmObject(vm, old.size + vm.page_mask & ~vm.page_mask)
    new.given_size = old.given_size
    for entry, pages in places:
        shift = entry.offset & vm.page_mask
        for offset, page in pages:
            if owned and page.object is old:
                vm.rename_page(page, new, offset - shift)
                continue
            copied = vm.take_page(new, offset - shift)
            vm.copy_page(page, copied)
            if entry.wired:
                vm.unwire_page(page)
                vm.wire_page(copied)
        map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))
        entry.object, entry.offset, entry.needs_copy = new, entry.offset - shift, False
        new.ref_count += 1
    deallocate(new)
    for _ in entries:
        deallocate(old)
    map_.timestamp += 1
    return new
