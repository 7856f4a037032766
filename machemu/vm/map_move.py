"""An address map in words, and filled again with what the words say, here or in another kernel.

machemu/abi/migrate.py describes the words. What a region shows is what moves: shadows become part of what is above them. Memory
that several maps show stays one object, also where each is to copy it before it writes, and what the page tables had they have
again. Room is found afterwards where it would have been found before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.map_words import EntryWords, MapWords, ObjectWords
from machemu.abi.migrate import (
    ENTRY_LOST,
    ENTRY_NEEDS_COPY,
    ENTRY_SHARED,
    ENTRY_WIRED,
    MAP_WIRES,
    NONE,
    OBJECT_BEHIND,
    OBJECT_COPIED,
    OBJECT_MANAGED,
)
from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_ALL, VM_PROT_NOTIFY, VM_PROT_READ, VM_PROT_WRITE
from machemu.vm.entry import VmMapEntry
from machemu.vm.fault import enter
from machemu.vm.gaps import VmGaps
from machemu.vm.object import VmObject, deallocate
from machemu.vm.page import PageShortage, VmPage
from machemu.vm.region_pages import existing
from machemu.vm.routines import INHERITANCES

if TYPE_CHECKING:
    from machemu.vm.map import VmMap

WORD: Final = 0xFFFFFFFF
ENTRY_FLAGS: Final = ENTRY_SHARED | ENTRY_WIRED | ENTRY_LOST | ENTRY_NEEDS_COPY
ACCESSES: Final = (VM_PROT_READ, VM_PROT_READ | VM_PROT_WRITE)
"""Of mappings."""


def describe(map_: VmMap, maps: Iterable[VmMap]) -> tuple[list[int], list[VmObject | None]]:
    """The words, and of each object that is told of it itself where a memory manager has it. maps: all of the node."""
    told = _Objects(map_, maps)
    entries = [told.entry(entry) for entry in map_.entries]
    first_free = map_.first_free.start if map_.first_free is not None else NONE
    flags = MAP_WIRES if map_.wiring_required else 0
    gaps = [start for size in map_.gaps.sizes for start in map_.gaps.of_size[size]]
    words = MapWords(map_.vm.page_size, flags, first_free, told.words, entries, gaps, _mapped(map_))
    return words.packed(), told.managed


def _mapped(map_: VmMap) -> list[int]:
    """The pages that the page tables have, and the accesses that they allow."""
    found = []
    for entry in map_.entries:
        if entry.object is not None:
            shift = entry.start - entry.offset
            for offset in existing(entry.object, entry.offset, entry.end - shift, False):
                access = map_.pmap.access(VirtAddr(offset + shift))
                if access:
                    found.append(offset + shift | access)
    return found


class _Objects:
    """The objects of a map, told of one after the other. copies: one of which copies are still to be made is told as such."""

    def __init__(self, map_: VmMap, maps: Iterable[VmMap], copies: bool = True) -> None:
        self.map = map_
        self.copied: set[int] = set()
        self.words: list[ObjectWords] = []
        self.managed: list[VmObject | None] = []
        self.users: Counter[int] = Counter()
        self.others: set[int] = set()
        self.common: dict[int, int] = {}
        self.alone: dict[int, list[tuple[int, list[tuple[int, int]]]]] = {}
        for each in maps:
            shown = [id(entry.object) for entry in each.entries if entry.object is not None and not entry.needs_copy]
            self.users.update(shown)
            if each is not map_:
                self.others.update(shown)
            if copies:
                self.copied.update(id(e.object) for e in each.entries if e.needs_copy and e.object and not _is_asked(e.object))

    def entry(self, entry: VmMapEntry) -> EntryWords:
        size = entry.end - entry.start
        states = {
            ENTRY_SHARED: entry.is_shared,
            ENTRY_WIRED: entry.wired or entry.to_wire,
            ENTRY_LOST: entry.lost,
            ENTRY_NEEDS_COPY: entry.needs_copy,
        }
        flags = sum(bit for bit, holds in states.items() if holds)
        offset, place = entry.offset, NONE
        if entry.object is not None:
            common = id(entry.object) in self.copied or (
                not entry.needs_copy and (entry.object.external or id(entry.object) in self.others)
            )
            if entry.is_shared or common:
                place = self._common(entry.object)
            else:
                offset &= ~self.map.vm.page_mask
                place = self._alone(entry.object, offset, size)
        protections = (entry.protection, entry.max_protection)
        return EntryWords(entry.start, size, offset & WORD, *protections, entry.inheritance, entry.wired_access, flags, place)

    def _common(self, obj: VmObject) -> int:
        """The place of an object that others may show, too."""
        if id(obj) not in self.common:
            self.common[id(obj)] = len(self.words)
            flags = (OBJECT_MANAGED if obj.external else 0) | (OBJECT_BEHIND if _may_be_behind(obj.shadow) else 0)
            flags |= OBJECT_COPIED if id(obj) in self.copied else 0
            self.words.append(ObjectWords(obj.identify(), obj.given_size & WORD, flags, self.users[id(obj)]))
            self.managed.append(obj if obj.external else None)
        return self.common[id(obj)]

    def _alone(self, obj: VmObject, offset: int, size: int) -> int:
        """The place of an object for what a map alone sees of one: pieces of one entry have it in common."""
        parts = self.alone.setdefault(id(obj), [])
        for place, windows in parts:
            if all(offset + size <= start or end <= offset for start, end in windows):
                windows.append((offset, offset + size))
                self.words[place] = self.words[place]._replace(users=len(windows))
                return place
        parts.append((len(self.words), [(offset, offset + size)]))
        mask = self.map.vm.page_mask
        bits = OBJECT_BEHIND if _may_be_behind(obj) else 0
        self.words.append(ObjectWords(0, obj.given_size + mask & ~mask & WORD, bits, 1))
        self.managed.append(None)
        return len(self.words) - 1


def told_alike(map_: VmMap, maps: Iterable[VmMap], entry: VmMapEntry) -> tuple[list[VmMapEntry], bool]:
    """The entries whose object is told of as that of one of them, and whether other maps may show it. maps: all of the node."""
    told = _Objects(map_, maps, copies=False)
    places = [told.entry(each).object for each in map_.entries]
    place = places[map_.entries.index(entry)]
    if place == NONE:
        return [entry], False
    return [each for each, its in zip(map_.entries, places, strict=True) if its == place], told.words[place].number != 0


def _is_asked(obj: VmObject) -> bool:
    """Whether a memory manager is asked for what an object does not have."""
    return obj.external and obj.pager is not None and obj.pager.memory_object is not None


def _may_be_behind(obj: VmObject | None) -> bool:
    """Whether a memory manager may have pages that are seen through an object."""
    while obj is not None:
        if obj.external:
            return True
        obj = obj.shadow
    return False


# And again


def fill(map_: VmMap, words: Sequence[int], rights: Sequence[object]) -> None:
    """Fills an empty map. The rights stay the caller's; each is a memory object's, or None for zero-filled memory.

    KERN_INVALID_ARGUMENT where the map is not empty, or words and rights are not one map's; nothing is done then. Entries
    are wired by wire.complete.
    """
    vm = map_.vm
    try:
        told = MapWords.unpacked(words)
    except ValueError:
        raise KernError(KERN_INVALID_ARGUMENT) from None
    if map_.entries or told.page_size != vm.page_size:
        raise KernError(KERN_INVALID_ARGUMENT)
    starts = [each.start for each in told.entries[1:]] + [map_.max_offset]
    rooms = [start - each.end for each, start in zip(told.entries, starts, strict=False)]
    room = {each.end: size for each, size in zip(told.entries, rooms, strict=True) if size}
    if not (min(rooms, default=0) >= 0 and _is_map(map_, told, room) and _are_objects(map_, told, rights)):
        raise KernError(KERN_INVALID_ARGUMENT)
    objects = [
        VmObject(vm, each.size) if right is None else vm.enter_object(right, each.size)
        for each, right in zip(told.objects, rights, strict=True)
    ]
    for each in told.entries:
        map_.link(len(map_.entries), [_entry(each, None if each.object == NONE else objects[each.object])])
        map_.size += each.size
    for obj in objects:
        deallocate(obj)
    map_.gaps = VmGaps()
    for start in told.gaps:
        map_.gaps.insert(start, room[start])
    map_.first_free = None if told.first_free == NONE else map_.lookup(told.first_free)
    map_.wiring_required = bool(told.flags & MAP_WIRES)
    map_.to_map = told.mapped
    map_.timestamp += 1


def _is_map(map_: VmMap, told: MapWords, room: dict[int, int]) -> bool:
    """Whether entries, which are in order, and gaps are a map's. room: how much there is behind entries, by their ends."""
    mask = map_.vm.page_mask
    sizes = [room.get(start, 0) for start in told.gaps]
    return (
        not told.flags & ~MAP_WIRES
        and told.first_free in (NONE, *[each.start for each in told.entries])
        and all(map_.min_offset <= each.start for each in told.entries[:1])
        and sorted(told.gaps) == sorted(room)
        and sizes == sorted(sizes)
        and all(
            each.size
            and not (each.start | each.size) & mask
            and not (each.protection | each.wired_access) & ~(VM_PROT_ALL | VM_PROT_NOTIFY)
            and not each.max_protection & ~VM_PROT_ALL
            and each.inheritance in INHERITANCES
            and not each.flags & ~ENTRY_FLAGS
            and each.flags & (ENTRY_SHARED | ENTRY_NEEDS_COPY) != ENTRY_SHARED | ENTRY_NEEDS_COPY
            for each in told.entries
        )
        and all(word & mask in ACCESSES for word in told.mapped)
    )


def _are_objects(map_: VmMap, told: MapWords, rights: Sequence[object]) -> bool:
    """Whether each object is shown, and its right, if it has one, is a memory object's. KERN_INVALID_ARGUMENT where that is
    something else."""
    shown: list[list[EntryWords]] = [[] for _ in told.objects]
    for each in told.entries:
        if each.object < len(shown):
            shown[each.object].append(each)
        elif each.object != NONE or each.flags & (ENTRY_SHARED | ENTRY_NEEDS_COPY):
            return False
    given = [right for right in rights if right is not None]
    if not all(map(map_.vm.managers.is_alive, given)):
        return False
    for right in given:
        map_.vm.managers.pager_of(right)
    return (
        len(rights) == len(shown)
        and all(shown)
        and len(set(map(id, given))) == len(given)
        and all(right is not None or _is_anonymous(map_, each) for each, right in zip(shown, rights, strict=True))
    )


def _is_anonymous(map_: VmMap, entries: list[EntryWords]) -> bool:
    """Whether entries may show one object of anonymous memory."""
    if any(each.offset & map_.vm.page_mask for each in entries) or len({each.flags & ENTRY_SHARED for each in entries}) > 1:
        return False
    windows = sorted(each.window for each in entries if not each.flags & ENTRY_NEEDS_COPY)
    return bool(entries[0].flags & ENTRY_SHARED) or all(below[1] <= above[0] for below, above in pairwise(windows))


def _entry(told: EntryWords, obj: VmObject | None) -> VmMapEntry:
    """Takes a reference of its own."""
    needs_copy = bool(told.flags & ENTRY_NEEDS_COPY)
    entry = VmMapEntry(told.start, told.end, obj, told.offset, needs_copy, told.protection, told.max_protection, told.inheritance)
    entry.wired_access = told.wired_access
    entry.to_wire = bool(told.flags & ENTRY_WIRED)
    entry.lost = bool(told.flags & ENTRY_LOST)
    if obj is not None:
        obj.ref_count += 1
        obj.size = max(obj.size, told.window[1])
        entry.is_shared = bool(told.flags & ENTRY_SHARED)
        obj.use_shared_copy |= entry.is_shared
        obj.shadowed |= needs_copy
    return entry


def map_pages(map_: VmMap) -> None:
    """Maps the pages of a map that was filled that are to be mapped, as far as they are there."""
    words, map_.to_map = map_.to_map, []
    mask = map_.vm.page_mask
    for word in words:
        address = word & ~mask
        entry = map_.lookup(address)
        if entry is None or entry.object is None or not entry.protection:
            continue
        page = _page_at(entry.object, address - entry.start + entry.offset)
        if page is None or page.lock & VM_PROT_READ:
            continue
        access = word & mask & (entry.protection | VM_PROT_READ)
        if entry.needs_copy or page.object is not entry.object or page.object.copy is not None:
            access &= ~VM_PROT_WRITE
        try:
            enter(map_, address, page, access, entry.wired)
        except PageShortage:
            return


def _page_at(obj: VmObject, offset: int) -> VmPage | None:
    """The page that is seen there, where it is in memory."""
    level: VmObject | None = obj
    while level is not None:
        if offset in level.pages:
            return level.pages[offset]
        offset += level.shadow_offset
        level = level.shadow
    return None
