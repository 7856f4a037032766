"""Address maps (Mach's vm_map.c): which memory a task sees where, and how a child's map comes from its parent's."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_NO_SPACE, KERN_PROTECTION_FAILURE
from machemu.abi.types import VirtAddr, signed
from machemu.abi.vm import VM_INHERIT_COPY, VM_INHERIT_NONE, VM_INHERIT_SHARE, VM_PROT_NOTIFY, VM_PROT_WRITE
from machemu.machine.seams import Pmap
from machemu.sim.state import U32, Natural, state
from machemu.vm import wire
from machemu.vm.entry import VmMapEntry
from machemu.vm.gaps import VmGaps
from machemu.vm.object import (
    VmObject,
    copy_slowly,
    copy_strategically,
    copy_temporary,
    deallocate,
    deallocate_window,
    prepare_copy,
    shadow,
)

if TYPE_CHECKING:
    from machemu.vm.subsystem import Vm


WORD = 0xFFFFFFFF
"""vm_offset_t and vm_size_t are 32 bits wide, and wrap."""


@state
class VmMap:
    """One address space, [min_offset, max_offset)."""

    __slots__ = (
        "vm", "pmap", "min_offset", "max_offset", "entries", "starts", "gaps", "first_free", "size", "size_wired", "timestamp",
        "wiring_required", "to_map",
    )  # fmt: skip
    vm: Vm
    # The page tables; owned. Every frame mapped there is a page that the entry shows, with no more than its protection.
    pmap: Pmap
    min_offset: Natural
    max_offset: Natural
    wiring_required: bool  # entries that come are wired
    to_map: list[U32]  # pages that map_move.map_pages maps, and how
    timestamp: Natural  # counts what was done to the map, so that whoever waits knows whether it is still the same

    # Its entries:
    entries: list[VmMapEntry]  # by address, disjoint
    starts: list[Natural]  # their starts, for bisection
    size: Natural  # bytes in all entries
    size_wired: Natural  # bytes in wired ones

    # Where there is room:
    gaps: VmGaps
    first_free: VmMapEntry | None  # the entry whose end is tried first when space is wanted anywhere, None before the first one

    def __init__(self, vm: Vm, pmap: Pmap, min_offset: int, max_offset: int) -> None:
        self.vm = vm
        self.pmap = pmap
        self.min_offset = min_offset
        self.max_offset = max_offset
        self.entries = []
        self.starts = []
        self.gaps = VmGaps()
        self.first_free = None
        self.size = 0
        self.size_wired = 0
        self.timestamp = 0
        self.wiring_required = False
        self.to_map = []

    # Finding

    def lookup(self, address: int) -> VmMapEntry | None:
        """The entry that holds the address."""
        index = bisect_right(self.starts, address) - 1
        if index < 0:
            return None
        entry = self.entries[index]
        return entry if address < entry.end else None

    def index_from(self, address: int) -> int:
        """The index of the first entry that ends beyond `address`: the one that holds it, or the next."""
        index = bisect_right(self.starts, address)
        return index - 1 if index and address < self.entries[index - 1].end else index

    def find_space(self, size: int, mask: int) -> tuple[int, int]:
        """Free space of `size` bytes whose address has no bit of `mask`: its address, and the index where an entry for it goes.

        High bits of `mask`, set without a break up to the top, bound the end of the space instead. Raises KERN_NO_SPACE, of
        which the console tells.
        """
        limit = self.max_offset
        if (mask + 1) & mask & WORD:
            low = (mask ^ (mask + 1)) >> 1
            high = mask - low
            limit = high & -high
            if (high + limit) & WORD:
                self.vm.managers.print(f"invalid mask {_signed(mask)}x")
                raise KernError(KERN_NO_SPACE)
            mask = low
        start = self._lowest_space(size, mask, limit)
        if start is None:
            self.vm.managers.no_room(self)
            raise KernError(KERN_NO_SPACE)
        if start + size > limit:
            self.vm.managers.print(f"{_signed(start + size)}x does not respect {_signed(limit)}x")
            raise KernError(KERN_NO_SPACE)
        return start, bisect_right(self.starts, start)

    def _lowest_space(self, size: int, mask: int, limit: int) -> int | None:
        """The address for `find_space` with a mask of low bits; the space that best fits may go beyond `limit`."""
        if not self.entries:
            start = (self.min_offset + mask) & ~mask & WORD
            return None if start < self.min_offset or start + size > min(limit, WORD) else start
        if self.first_free is not None:
            after = self.first_free.end
            start = (after + mask) & ~mask & WORD
            if start >= after and start + size <= min(limit, after + self.gaps.at.get(after, 0)):
                return start
        if size + mask > WORD:
            largest = _signed(size + mask)
            self.vm.managers.print(f"max_size {largest}d got smaller than size {_signed(size)}d with mask {_signed(mask)}d")
            return None
        gap = self.gaps.best(size + mask)
        return None if gap is None else (gap + mask) & ~mask

    def clamp(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) cut to the map; an inverted range becomes an empty one."""
        start = max(start, self.min_offset)
        end = min(end, self.max_offset)
        return min(start, end), end

    # Entries and their gaps

    def _gap_behind(self, index: int) -> int:
        following = self.starts[index + 1] if index + 1 < len(self.starts) else self.max_offset
        return following - self.entries[index].end

    def link(self, index: int, new: list[VmMapEntry]) -> None:
        """Puts adjacent entries in at `index`; their space is free."""
        if index:
            self.gaps.remove(self.entries[index - 1].end)
        self.entries[index:index] = new
        self.starts[index:index] = [entry.start for entry in new]
        if index:
            self.gaps.insert(self.entries[index - 1].end, self._gap_behind(index - 1))
        last = index + len(new) - 1
        self.gaps.insert(self.entries[last].end, self._gap_behind(last))

    def clip_start(self, index: int, address: int) -> int:
        """Makes an entry begin at `address` if it holds it; the index of the entry from there on."""
        entry = self.entries[index]
        if not entry.start < address < entry.end:
            return index
        if index:
            self.gaps.renew(self.entries[index - 1].end)
        rest = entry.split(address)
        self.entries.insert(index + 1, rest)
        self.starts.insert(index + 1, address)
        if self.first_free is entry:
            self.first_free = rest
        return index + 1

    def clip_end(self, index: int, address: int) -> None:
        """Makes the entry end at `address` if it holds more."""
        entry = self.entries[index]
        if not entry.start < address < entry.end:
            return
        self.gaps.renew(entry.end)
        self.entries.insert(index + 1, entry.split(address))
        self.starts.insert(index + 1, address)

    def clip_range(self, start: int, end: int) -> tuple[int, int]:
        """Clips at both ends; the indices of the first entry in [start, end) and of the first beyond."""
        index = self.index_from(start)
        if index == len(self.entries):
            return index, index
        first = self.clip_start(index, start)
        if start >= end:
            return first, first
        last = self.index_from(end - 1)
        if last < len(self.entries) and self.starts[last] < end:
            self.clip_end(last, end)
            last += 1
        return first, last

    # Operations

    def enter(
        self,
        address: int,
        size: int,
        mask: int,
        anywhere: bool,
        protection: int,
        max_protection: int,
        inheritance: int,
        obj: VmObject | None = None,
        offset: int = 0,
        needs_copy: bool = False,
    ) -> int:
        """vm_map_enter: maps zero-filled memory, or an object from `offset` on, at `address` or anywhere, at an address without a
        bit of `mask`, and gives it.

        `size` and `address` are whole pages. Consumes the reference to the object unless it fails. Neighbours stay entries of
        their own, however alike, as GNU Mach 1.8 leaves them.
        """
        if size == 0:
            raise KernError(KERN_INVALID_ARGUMENT)
        self.timestamp += 1
        if anywhere:
            start, index = self.find_space(size, mask)
        else:
            start = address
            if start & mask:
                raise KernError(KERN_NO_SPACE)
            end = (start + size) & WORD
            if start < self.min_offset or end > self.max_offset or start >= end:
                raise KernError(KERN_INVALID_ADDRESS)
            index = self.index_from(start)
            if index < len(self.entries) and self.starts[index] < end:
                raise KernError(KERN_NO_SPACE)
        self.size += size
        below = self.entries[index - 1] if index else None
        entry = VmMapEntry(start, start + size, obj, offset, needs_copy, protection, max_protection, inheritance)
        self.link(index, [entry])
        if self.first_free is below and (self.min_offset if below is None else below.end) >= start:
            self.first_free = entry
        if self.wiring_required:
            # Where this fails the entry's reference goes with it, and this one is the caller's.
            if obj is not None:
                obj.ref_count += 1
            wire.wire_new(self, entry)
            deallocate(obj)
        return start

    def delete(self, start: int, end: int) -> None:
        """vm_map_delete: unmaps [start, end), holes and all."""
        self.timestamp += 1
        first, last = self.clip_range(start, end)
        before = self.entries[first - 1] if first else None
        if (self.min_offset if self.first_free is None else self.first_free.start) >= start:
            self.first_free = before
        if first == last:
            return
        doomed = self.entries[first:last]
        for entry in doomed:
            self.gaps.remove(entry.end)
            self.size -= entry.end - entry.start
            wire.unwire_entry(self, entry)
        del self.entries[first:last]
        del self.starts[first:last]
        if before is not None:
            self.gaps.remove(before.end)
            self.gaps.insert(before.end, self._gap_behind(first - 1))
        self.pmap.remove(VirtAddr(start), VirtAddr(end))
        for entry in doomed:
            _unmap_shared(entry)
            deallocate_window(entry.object, entry.offset, entry.offset + entry.end - entry.start)

    def protect(self, start: int, end: int, protection: int, set_maximum: bool) -> None:
        """vm_map_protect; holes are passed over. Raises KERN_PROTECTION_FAILURE, PageShortage where wiring wants pages."""
        self.timestamp += 1
        start, end = self.clamp(start, end)
        index = self.index_from(start)
        if index < len(self.entries):
            index = self.clip_start(index, start)
        beyond = index
        while beyond < len(self.entries) and self.starts[beyond] < end:
            if protection & ~(VM_PROT_NOTIFY | self.entries[beyond].max_protection):
                raise KernError(KERN_PROTECTION_FAILURE)
            beyond += 1
        if index == beyond:
            return
        self.clip_end(beyond - 1, end)
        changed = self.entries[index:beyond]
        for entry in changed:
            old = entry.protection
            if set_maximum:
                entry.max_protection = protection
                entry.protection = protection & old
            else:
                entry.protection = protection
            if entry.protection and entry.wired_access:
                entry.wired_access = entry.protection
            if entry.protection != old:
                self.pmap.protect(VirtAddr(entry.start), VirtAddr(entry.end), entry.protection & ~VM_PROT_NOTIFY)
        wire.update(self, changed)

    def inherit(self, start: int, end: int, inheritance: int) -> None:
        """vm_map_inherit; holes are passed over."""
        self.timestamp += 1
        start, end = self.clamp(start, end)
        first, last = self.clip_range(start, end)
        for entry in self.entries[first:last]:
            entry.inheritance = inheritance

    def write_protect(self, entry: VmMapEntry) -> None:
        """Takes the right to write from the entry's mappings: they fault before the next write."""
        self.pmap.protect(VirtAddr(entry.start), VirtAddr(entry.end), entry.protection & ~(VM_PROT_WRITE | VM_PROT_NOTIFY))

    def shadow_entry(self, entry: VmMapEntry) -> VmObject:
        """Gives the entry an object of its own over what it shows; what was wired is so again. Raises PageShortage where that
        wants frames, and has done nothing."""
        size, wired = entry.end - entry.start, entry.wired
        if wired:
            self.vm.check_frames(size // self.vm.page_size)
        self.timestamp += 1
        wire.unwire_entry(self, entry)
        entry.object = VmObject(self.vm, size) if entry.object is None else shadow(entry.object, entry.offset, size)
        entry.offset = 0
        entry.needs_copy = False
        if wired:
            wire.wire_entry(self, entry)
        return entry.object

    def copy_entry(self, entry: VmMapEntry) -> VmMapEntry:
        """A copy-on-write duplicate of the entry, for another map or a copy; of a wired one all pages are copied at once.
        Raises MustWait, KERN_MEMORY_ERROR; what `prepare_copy` has let pass raises PageShortage alone."""
        size = entry.end - entry.start
        if entry.wired:
            new = entry.duplicate(copy_slowly(entry.object, entry.offset, size), 0)
            new.needs_copy = False
            return new
        if entry.object is not None and entry.object.permanent:
            obj, offset, needs_copy = copy_strategically(entry.object, entry.offset, size)
            new = entry.duplicate(obj, offset)
            new.needs_copy = needs_copy
            return new
        obj, source_needs_copy, copy_needs_copy = copy_temporary(entry.object)
        if source_needs_copy and not entry.needs_copy:
            self.write_protect(entry)
            entry.needs_copy = True
        new = entry.duplicate(obj, entry.offset)
        new.needs_copy = copy_needs_copy
        return new

    # Forking and ending

    def fork(self) -> VmMap:
        """vm_map_fork: a child's map, as each entry's inheritance says. Raises KERN_RESOURCE_SHORTAGE, MustWait.

        Memory that its manager cannot give is not in it.
        """
        self.timestamp += 1
        inherited = [entry for entry in self.entries if entry.inheritance != VM_INHERIT_NONE and self._can_be_inherited(entry)]
        child = self.vm.new_map()
        try:
            for entry in inherited:
                new = self._share_entry(entry) if entry.inheritance == VM_INHERIT_SHARE else self.copy_entry(entry)
                child.link(len(child.entries), [new])
                child.size += new.end - new.start
        except MustWait:
            child.destroy()
            raise
        return child

    def _can_be_inherited(self, entry: VmMapEntry) -> bool:
        """Whether a child can have its part of an entry. Raises MustWait."""
        if entry.inheritance == VM_INHERIT_COPY:
            try:
                self.prepare_copy(entry, entry.start, entry.end)
            except KernError:
                return False
        return True

    def prepare_copy(self, entry: VmMapEntry, start: int, end: int) -> None:
        """Raises MustWait or KERN_MEMORY_ERROR where `copy_entry` of the part in [start, end) would, other than for frames."""
        if entry.object is None:
            return
        start, end = max(start, entry.start), min(end, entry.end)
        offset = entry.offset + start - entry.start
        if entry.wired:
            for at in range(offset, offset + end - start, self.vm.page_size):
                entry.object.lookup(at)
        else:
            prepare_copy(entry.object, offset, end - start)

    def _share_entry(self, entry: VmMapEntry) -> VmMapEntry:
        """An entry for another map that shows the same memory for writing. Raises PageShortage.

        The common object may show nothing else: where others see or copied it, both entries get one of their own over it.
        """
        obj = entry.object
        if obj is None:
            obj = self.shadow_entry(entry)
        elif entry.needs_copy or obj.shadowed or not (obj.permanent or entry.is_shared or obj.size <= entry.end - entry.start):
            writable = not entry.needs_copy and entry.protection & VM_PROT_WRITE
            obj = self.shadow_entry(entry)
            if writable:
                self.write_protect(entry)
        obj.use_shared_copy = True
        obj.ref_count += 1
        entry.is_shared = True
        new = entry.duplicate(obj, entry.offset)
        new.is_shared = True
        return new

    def destroy(self) -> None:
        """Gives back all memory and the page tables; the map holds nothing from now on and is not used again."""
        for entry in self.entries:
            wire.unwire_entry(self, entry)
        self.pmap.remove(VirtAddr(self.min_offset), VirtAddr(self.max_offset))
        self.pmap.destroy()
        doomed, self.entries, self.starts = self.entries, [], []
        self.gaps = VmGaps()
        self.first_free = None
        self.size = 0
        for entry in doomed:
            _unmap_shared(entry)
            deallocate(entry.object)

    def check_invariants(self) -> None:
        self.gaps.check_invariants()
        end = self.min_offset
        size = wired = 0
        gaps = {}
        for index, entry in enumerate(self.entries):
            if (
                self.starts[index] != entry.start
                or not end <= entry.start < entry.end
                or (entry.start | entry.end) & self.vm.page_mask
            ):
                raise InvariantError(f"entry {entry.start:#x}-{entry.end:#x} is out of place")
            end = entry.end
            size += end - entry.start
            wired += end - entry.start if entry.wired else 0
            if self._gap_behind(index):
                gaps[end] = self._gap_behind(index)
            obj = entry.object
            if obj is None:
                if entry.needs_copy or entry.is_shared or entry.wired:
                    raise InvariantError(f"entry {entry.start:#x} shows no object but needs one")
            elif entry.offset + entry.end - entry.start > obj.size or (
                entry.is_shared != obj.use_shared_copy and not obj.external
            ):
                raise InvariantError(f"entry {entry.start:#x} shows more than its object, or shares it wrongly")
            elif entry.wired and not self._all_wired(entry):
                raise InvariantError(f"entry {entry.start:#x} is wired, its pages are not")
        if end > self.max_offset or len(self.starts) != len(self.entries):
            raise InvariantError("entries lie outside their map")
        if (size, wired) != (self.size, self.size_wired) or gaps != self.gaps.at:
            raise InvariantError(
                f"the map's sizes are {self.size:#x}, {self.size_wired:#x} wired, not {size:#x}, {wired:#x}, or its gaps"
            )
        if self.first_free is not None and self.first_free not in self.entries:
            raise InvariantError("the map's free space hint is no entry of it")

    def _all_wired(self, entry: VmMapEntry) -> bool:
        pages = entry.object.pages if entry.object is not None else {}
        span = range(entry.offset, entry.offset + entry.end - entry.start, self.vm.page_size)
        return all(offset in pages and pages[offset].wire_count > 0 for offset in span)


def _signed(value: int) -> str:
    """As the kernel's %z prints it, which knows no length modifiers: hexadecimal with a sign."""
    return f"{signed(value):x}"


def _unmap_shared(entry: VmMapEntry) -> None:
    """As a shared entry goes, its object's pages are taken from every map: from those that show them no less than from those that
    only have them mapped still."""
    if entry.is_shared and entry.object is not None:
        entry.object.pmap_remove(entry.offset, entry.offset + entry.end - entry.start)
