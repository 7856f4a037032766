"""Memory under way between address spaces (Mach's vm_map_copy_t)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.kern_return import KERN_INVALID_ADDRESS, KERN_INVALID_ARGUMENT, KERN_PROTECTION_FAILURE
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_INHERIT_COPY, VM_PROT_ALL, VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.sim.state import Natural, state
from machemu.vm import wire
from machemu.vm.entry import VmMapEntry
from machemu.vm.fault import fault_page
from machemu.vm.object import VmObject, deallocate
from machemu.vm.page import PageShortage

if TYPE_CHECKING:
    from machemu.vm.map import VmMap
    from machemu.vm.subsystem import Vm

WORD = 0xFFFFFFFF


@state
class VmMapCopy:
    """`size` bytes of memory, owned by whoever holds the copy until it is copied out, written over something or discarded."""

    __slots__ = ("vm", "offset", "size", "entries", "data", "stamp")
    vm: Vm
    offset: Natural  # where the bytes begin in the first page; as the entries' addresses it is the source's address
    size: Natural
    entries: list[VmMapEntry]  # the memory, without a hole; none once it was given away
    data: bytes | None  # the bytes instead, of a copy that the kernel made
    stamp: Natural | None  # the timestamp of the map that it is written to page by page, at the last wait; None before

    def __init__(self, vm: Vm, offset: int, size: int) -> None:
        self.vm = vm
        self.offset = offset
        self.size = size
        self.entries = []
        self.data = None
        self.stamp = None

    @classmethod
    def from_bytes(cls, vm: Vm, data: bytes) -> VmMapCopy:
        """A copy that the kernel made of bytes of its own; no frame is taken before it is copied out."""
        copy = cls(vm, 0, len(data))
        copy.data = bytes(data)
        return copy

    def to_bytes(self) -> bytes:
        """The bytes, for a consumer in the kernel, who has checked `size` before; the copy stays as it is. Raises MustWait,
        KERN_MEMORY_ERROR."""
        if self.data is not None:
            return self.data
        vm = self.vm
        step = vm.page_size
        zeros = bytes(step)
        parts: list[bytes] = []
        for entry in self.entries:
            for offset in range(entry.offset, entry.offset + entry.end - entry.start, step):
                page = entry.object.lookup(offset) if entry.object is not None else None
                parts.append(zeros if page is None else vm.memory.read(PhysAddr(page.frame * step), step))
        skip = self.offset & vm.page_mask
        return b"".join(parts)[skip : skip + self.size]

    def discard(self) -> None:
        """Gives the memory back; of a copy that was given away nothing is left to do."""
        doomed, self.entries, self.data = self.entries, [], None
        for entry in doomed:
            deallocate(entry.object)

    def into_entries(self) -> None:
        """Makes pages of bytes. Raises PageShortage."""
        if self.data is None:
            return
        vm = self.vm
        step = vm.page_size
        obj = VmObject(vm, (self.size + vm.page_mask) & ~vm.page_mask)
        try:
            for at in range(0, self.size, step):
                page = vm.allocate_page(obj, at)
                vm.memory.write(PhysAddr(page.frame * step), self.data[at : at + step].ljust(step, b"\0"))
                page.dirty = True
        except PageShortage:
            deallocate(obj)
            raise
        self.entries = [VmMapEntry(0, obj.size, obj, 0)]
        self.data = None

    def consume(self, size: int) -> None:
        """Drops the first `size` bytes, whole pages of the first entry."""
        entry = self.entries[0]
        entry.start += size
        entry.offset += size
        self.offset += size
        self.size -= size
        if entry.start == entry.end:
            del self.entries[0]
            deallocate(entry.object)

    def check_invariants(self) -> None:
        if self.data is not None and (self.entries or len(self.data) != self.size):
            raise InvariantError("a copy of bytes has entries, or another size")
        for entry, following in zip(self.entries, self.entries[1:], strict=False):
            if entry.end != following.start:
                raise InvariantError("a map copy has a hole")
        for entry in self.entries:
            if entry.is_shared or entry.wired:
                raise InvariantError("a map copy shares or wires memory")


def copyin(map_: VmMap, address: int, size: int, destroy: bool) -> VmMapCopy | None:
    """vm_map_copyin: takes [address, address + size) as a copy, None for no bytes; with `destroy` its pages leave the map.

    Raises KERN_INVALID_ADDRESS, KERN_PROTECTION_FAILURE, KERN_MEMORY_ERROR, MustWait; then nothing is taken or destroyed.
    """
    if size == 0:
        return None
    mask = map_.vm.page_mask
    end = (address + size + mask) & ~mask & WORD
    if (address + size) & WORD <= address or end == 0:
        raise KernError(KERN_INVALID_ADDRESS)
    map_.timestamp += 1
    at = address & ~mask
    index = map_.index_from(at)
    for entry in islice(map_.entries, index, None):
        if entry.start >= end:
            break
        map_.prepare_copy(entry, at, end)
    copy = VmMapCopy(map_.vm, address, size)
    moved: list[VmMapEntry] = []
    try:
        while at < end:
            if index == len(map_.entries) or map_.entries[index].start > at:
                raise KernError(KERN_INVALID_ADDRESS)
            index = map_.clip_start(index, at)
            entry = map_.entries[index]
            if not entry.protection & VM_PROT_READ:
                raise KernError(KERN_PROTECTION_FAILURE)
            map_.clip_end(index, end)
            obj = entry.object
            if destroy and (obj is None or not (obj.use_shared_copy or obj.permanent)):
                if obj is not None:
                    obj.ref_count += 1
                copy.entries.append(entry.duplicate(obj, entry.offset))
                moved.append(entry)
            else:
                copy.entries.append(map_.copy_entry(entry))
            at = entry.end
            index += 1
    except (KernError, MustWait):
        copy.discard()
        raise
    for entry in moved:
        wire.unwire_entry(map_, entry)
        deallocate(entry.object)
        entry.object = None
    if destroy:
        map_.delete(address & ~mask, end)
    return copy


def copyout(map_: VmMap, copy: VmMapCopy) -> int:
    """vm_map_copyout: maps the copy anywhere, and gives its first byte's address, 0 for none. Consumes the copy unless it fails.

    Raises KERN_NO_SPACE, PageShortage.
    """
    if copy.size == 0:
        return 0
    mask = map_.vm.page_mask
    copy_start = copy.offset & ~mask
    size = ((copy.offset + copy.size + mask) & ~mask) - copy_start
    start, index = map_.find_space(size, 0)
    copy.into_entries()
    shift = start - copy_start
    for entry in copy.entries:
        entry.start += shift
        entry.end += shift
        entry.protection = VM_PROT_DEFAULT
        entry.max_protection = VM_PROT_ALL
        entry.inheritance = VM_INHERIT_COPY
    map_.timestamp += 1
    below = map_.entries[index - 1] if index else None
    map_.link(index, copy.entries)
    if map_.first_free is below:
        map_.first_free = copy.entries[-1]
    map_.size += size
    copy.entries = []
    return start + (copy.offset & mask)


def overwrite(map_: VmMap, address: int, copy: VmMapCopy) -> None:
    """vm_map_copy_overwrite: puts the copy's pages over those mapped at `address`, whose attributes stay.

    Consumes the copy page by page: what a failure or MustWait leaves of it still has to go where it would have gone. Raises
    KERN_INVALID_ARGUMENT for parts of pages, KERN_INVALID_ADDRESS for a hole, KERN_PROTECTION_FAILURE, KERN_MEMORY_ERROR.
    """
    if (copy.offset | copy.size | address) & map_.vm.page_mask:
        raise KernError(KERN_INVALID_ARGUMENT)
    if copy.size == 0:
        return
    index = map_.index_from(address)
    if index == len(map_.entries) or map_.entries[index].start > address:
        raise KernError(KERN_INVALID_ADDRESS)
    if copy.stamp != map_.timestamp:
        index = map_.clip_start(index, address)
        map_.timestamp += 1
    _check_writable(map_, index, address, address + copy.size)
    copy.into_entries()
    while copy.entries:
        entry = map_.entries[index]
        size = min(copy.entries[0].end - copy.entries[0].start, entry.end - address)
        if _writes_through(entry):
            _write_pages(map_, entry, address, size, copy)
            map_.clip_end(index, address + size)
        else:
            map_.clip_end(index, address + size)
            _replace(map_, entry, copy)
        address += size
        index += 1


def _writes_through(entry: VmMapEntry) -> bool:
    """Whether others must see what is written to an entry, so that it keeps its object."""
    return entry.is_shared or (entry.object is not None and entry.object.permanent and not entry.needs_copy)


def _check_writable(map_: VmMap, index: int, at: int, end: int) -> None:
    """Raises KernError unless [at, end) is mapped without a hole, from the entry at `index` on, and may be written."""
    while at < end:
        if index == len(map_.entries) or map_.entries[index].start > at:
            raise KernError(KERN_INVALID_ADDRESS)
        entry = map_.entries[index]
        if not entry.protection & VM_PROT_WRITE:
            raise KernError(KERN_PROTECTION_FAILURE)
        at = entry.end
        index += 1


def _replace(map_: VmMap, entry: VmMapEntry, copy: VmMapCopy) -> None:
    """Gives the entry the copy's next memory instead of what it shows."""
    source = copy.entries[0]
    wire.unwire_entry(map_, entry)
    map_.pmap.remove(VirtAddr(entry.start), VirtAddr(entry.end))
    old = entry.object
    entry.object = source.object
    entry.offset = source.offset
    entry.needs_copy = source.needs_copy
    if source.object is not None:
        source.object.ref_count += 1
    deallocate(old)
    copy.consume(entry.end - entry.start)


def _write_pages(map_: VmMap, entry: VmMapEntry, address: int, size: int, copy: VmMapCopy) -> None:
    """Copies `size` bytes, page by page, into an entry that is written through, from `address` on (Mach's vm_fault_copy).

    As in the real kernel the map is looked at again after a wait, and the source's page as well, where the map has changed.
    """
    vm = map_.vm
    target = entry.object
    if target is None:
        raise InvariantError("an entry that is written through shows no object")
    for at in range(address, address + size, vm.page_size):
        source, offset = copy.entries[0].object, copy.entries[0].offset
        if source is not None and copy.stamp not in (None, map_.timestamp):
            source.forget_absent(offset)
        copy.stamp = map_.timestamp
        page = source.lookup(offset) if source is not None else None
        written, _ = fault_page(target, at - entry.start + entry.offset, VM_PROT_WRITE)
        if source is not None:
            source.forget_absent(offset)
        copy.stamp = None
        # The entry may show a page that was just copied up from a shadow.
        map_.pmap.remove(VirtAddr(at), VirtAddr(at + vm.page_size))
        if page is None:
            vm.memory.zero(written.frame)
        else:
            vm.memory.copy(page.frame, written.frame)
        written.dirty = True
        copy.consume(vm.page_size)
