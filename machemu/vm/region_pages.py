"""The pages that a region of an address map shows, read without regard to its protection and without leaving a trace."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from machemu.abi.types import PhysAddr
from machemu.vm.entry import VmMapEntry
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject, copy_delayed, deallocate
from machemu.vm.routines import pages_of

if TYPE_CHECKING:
    from machemu.vm.map import VmMap


class Shown(NamedTuple):
    """Pages of an entry, by their offsets in its object."""

    entry: VmMapEntry
    object: VmObject
    offsets: list[int]


def get_pages(map_: VmMap, address: int, size: int, managed: bool) -> tuple[list[int], VmMapCopy | None]:
    """The addresses of the pages in [address, address + size) that exist, and a copy of them, None for none.

    Pages that were never touched do not exist; those that are with the default memory manager do. managed: so do those that only
    another memory manager may have.

    Raises MustWait, KERN_MEMORY_ERROR where pages are not resident that must be copied at once.
    """
    start, end = map_.clamp(*pages_of(map_, address, size))
    shown: list[Shown] = []
    for entry in islice(map_.entries, map_.index_from(start), None):
        if entry.start >= end:
            break
        if entry.object is not None:
            shift = entry.offset - entry.start
            window = max(start, entry.start) + shift, min(end, entry.end) + shift
            shown.append(Shown(entry, entry.object, existing(entry.object, *window, managed)))
    addresses = [each.entry.start - each.entry.offset + offset for each in shown for offset in each.offsets]
    if not addresses:
        return [], None
    if any(each.offsets and (each.entry.wired or each.object.permanent) for each in shown):
        return addresses, VmMapCopy.from_bytes(map_.vm, _read(shown))
    return addresses, _share(map_, shown)


def existing(obj: VmObject, start: int, end: int, managed: bool) -> list[int]:
    """The offsets in [start, end) of pages that exist, in order."""
    step = obj.vm.page_size
    found: set[int] = set()
    level: VmObject | None = obj
    base = 0
    while level is not None:
        found.update(page.offset - base for page in level.pages_in(start + base, end + base))
        pager = level.pager
        if pager is not None and (pager.internal or managed):
            found.update(offset - base for offset in pager.may_have_in(start + base, end + base))
        base += level.shadow_offset
        level = level.shadow
    return sorted(offset for offset in found if not (offset - start) % step)


def _read(shown: list[Shown]) -> bytes:
    """The pages' bytes."""
    parts: list[bytes | memoryview] = []
    for _, obj, offsets in shown:
        vm = obj.vm
        for offset in offsets:
            page = obj.lookup(offset, 0)
            at = PhysAddr(page.frame * vm.page_size) if page is not None else None
            parts.append(bytes(vm.page_size) if at is None else vm.memory.view[at : at + vm.page_size])
    data = b"".join(parts)
    for _, obj, offsets in shown:
        for offset in offsets:
            obj.forget_absent(offset)
    return data


def _share(map_: VmMap, shown: list[Shown]) -> VmMapCopy:
    """A copy that shows the pages' own objects, or copy objects of these; the entries stay as they are."""
    step = map_.vm.page_size
    copy = VmMapCopy(map_.vm, 0, step * sum(len(each.offsets) for each in shown))
    at = 0
    for entry, obj, offsets in shown:
        if not offsets:
            continue
        if entry.needs_copy:
            obj.ref_count += 1
            source = obj
        else:
            source = copy_delayed(obj)
        part: VmMapEntry | None = None
        for offset in offsets:
            if part is not None and part.offset + part.end - part.start == offset:
                part.end += step
            else:
                source.ref_count += 1
                part = VmMapEntry(at, at + step, source, offset, True)
                copy.entries.append(part)
            at += step
        deallocate(source)
    return copy
