"""One node's virtual memory: RAM, the resident pages in it, and what all address maps share (Mach's vm_resident.c, vm_init.c)."""

from __future__ import annotations

from collections.abc import Iterable

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KernReturn
from machemu.abi.types import Frame, VirtAddr
from machemu.machine.memory import OutOfFrames, PhysicalMemory
from machemu.machine.protocols import Mmu
from machemu.sim.state import state
from machemu.vm.entry import VmMapEntry
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject
from machemu.vm.page import PageShortage, VmPage

RESOURCE_SHORTAGE = int(KernReturn.KERN_RESOURCE_SHORTAGE)
PROT_NONE = 0


@state
class Vm:
    """The node's VM.

    memory: RAM and its free frames. page_mask: page_size - 1. min_offset, max_offset: the user addresses of every new map.
    resident: every resident page by its frame. wire_count: how many of them are wired.
    zero_fill_count, faults, cow_faults: vm_statistics' counters since power-on.
    Transient: mmu, the machine's memory management unit.
    """

    __slots__ = (
        "memory", "page_size", "page_mask", "min_offset", "max_offset", "resident", "wire_count",
        "zero_fill_count", "faults", "cow_faults", "mmu",
    )  # fmt: skip
    TRANSIENT = ("mmu",)

    def __init__(self, memory: PhysicalMemory, mmu: Mmu, page_size: int, user_range: tuple[VirtAddr, VirtAddr]) -> None:
        if page_size != memory.frame_size or page_size & (page_size - 1):
            raise InvariantError(f"pages of {page_size} bytes in frames of {memory.frame_size}")
        self.memory = memory
        self.page_size = page_size
        self.page_mask = page_size - 1
        self.min_offset = int(user_range[0])
        self.max_offset = int(user_range[1])
        self.resident: dict[Frame, VmPage] = {}
        self.wire_count = 0
        self.zero_fill_count = 0
        self.faults = 0
        self.cow_faults = 0
        self.mmu = mmu

    def attach(self, mmu: Mmu) -> None:
        """Joins a VM that was loaded to a machine."""
        self.mmu = mmu

    def new_map(self) -> VmMap:
        """An empty address space. Raises KERN_RESOURCE_SHORTAGE where no frame is left for its page tables."""
        try:
            pmap = self.mmu.create()
        except OutOfFrames:
            raise KernError(RESOURCE_SHORTAGE) from None
        return VmMap(self, pmap, self.min_offset, self.max_offset)

    def allocate_page(self, obj: VmObject, offset: int) -> VmPage:
        """A new page of `obj`, contents unspecified: the caller fills it before anything else happens. Raises PageShortage."""
        try:
            frame = self.memory.allocate()
        except OutOfFrames:
            raise PageShortage from None
        page = VmPage(obj, offset, frame)
        obj.pages[offset] = page
        self.resident[frame] = page
        return page

    def free_page(self, page: VmPage) -> None:
        """Takes the page out of its object and of every pmap, and gives its frame back."""
        self.mmu.page_protect(page.frame, PROT_NONE)
        if page.wire_count:
            self.wire_count -= 1
        del page.object.pages[page.offset]
        del self.resident[page.frame]
        self.memory.release(page.frame)

    def rename_page(self, page: VmPage, obj: VmObject, offset: int) -> None:
        """Moves the page to another object, where its place is empty; mappings of it stay."""
        del page.object.pages[page.offset]
        page.object = obj
        page.offset = offset
        obj.pages[offset] = page

    def wire_page(self, page: VmPage) -> None:
        if not page.wire_count:
            self.wire_count += 1
        page.wire_count += 1

    def unwire_page(self, page: VmPage) -> None:
        page.wire_count -= 1
        if not page.wire_count:
            self.wire_count -= 1

    def check_invariants(self) -> None:
        """Each frame has one owner, each resident page is where it says, and the counters agree."""
        self.memory.check_invariants()
        for frame in self.memory.free:
            if frame in self.resident:
                raise InvariantError(f"frame {frame} is free and a resident page")
        wired = 0
        for frame, page in self.resident.items():
            if page.frame != frame or page.object.pages.get(page.offset) is not page:
                raise InvariantError(f"the page in frame {frame} is not in its object")
            if page.wire_count < 0:
                raise InvariantError(f"the page in frame {frame} has a negative wire count")
            wired += page.wire_count > 0
        if wired != self.wire_count:
            raise InvariantError(f"{wired} pages are wired, {self.wire_count} are counted")

    def check_references(self, maps: Iterable[VmMap], copies: Iterable[VmMapCopy]) -> None:
        """Everything holds, given all maps and copies that there are: references and wirings are as many as are counted, and
        no page is lost."""
        self.check_invariants()
        entries: list[VmMapEntry] = []
        for map_ in maps:
            map_.check_invariants()
            entries += map_.entries
        for copy in copies:
            copy.check_invariants()
            entries += copy.entries
        references: dict[int, int] = {}
        objects: dict[int, VmObject] = {}
        found = [entry.object for entry in entries if entry.object is not None]
        for obj in found:
            references[id(obj)] = references.get(id(obj), 0) + 1
            if id(obj) not in objects:
                objects[id(obj)] = obj
                if obj.shadow is not None:
                    found.append(obj.shadow)
        for obj in objects.values():
            obj.check_invariants()
            if obj.ref_count != references[id(obj)]:
                raise InvariantError(f"an object counts {obj.ref_count} references of {references[id(obj)]}")
            if obj.copy is not None and id(obj.copy) not in objects:
                raise InvariantError("an object's copy object is gone")
        if sum(len(obj.pages) for obj in objects.values()) != len(self.resident):
            raise InvariantError("a resident page is of no object that is in use")
        wirings = dict.fromkeys(self.resident, 0)
        for entry in entries:
            if entry.wired and entry.object is not None:
                for offset in range(entry.offset, entry.offset + entry.end - entry.start, self.page_size):
                    wirings[entry.object.pages[offset].frame] += 1
        if any(page.wire_count != wirings[frame] for frame, page in self.resident.items()):
            raise InvariantError("a page's wire count is not its entries'")
