"""One node's virtual memory: RAM, the resident pages in it, and what all address maps share (Mach's vm_resident.c, vm_init.c)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import KERN_RESOURCE_SHORTAGE
from machemu.abi.types import Frame, VirtAddr
from machemu.machine.memory import OutOfFrames, PhysicalMemory
from machemu.machine.seams import Mmu
from machemu.sim.state import Natural, state
from machemu.vm import pageout
from machemu.vm.entry import VmMapEntry
from machemu.vm.event import WaitEvent
from machemu.vm.map import VmMap
from machemu.vm.map_copy import VmMapCopy
from machemu.vm.object import VmObject
from machemu.vm.page import NO_QUEUE, PageQueues, PageShortage, VmPage
from machemu.vm.pager import Pager
from machemu.vm.seams import MemoryManagers


@state
class Vm:
    """The node's virtual memory."""

    __slots__ = (
        "memory", "page_size", "page_mask", "min_offset", "max_offset", "resident", "wire_count", "queues",
        "free_min", "free_low", "free_high", "free_wanted", "frames_wanted", "manager_wanted", "pageout_wanted", "laundry_count",
        "default_manager", "pagers", "pager_serial", "cached", "object_serial",
        "zero_fill_count", "faults", "cow_faults", "pageins", "pageouts", "reactivations", "lookups", "hits",
        "mmu", "managers", "privileged",
    )  # fmt: skip
    TRANSIENT = ("mmu", "managers", "privileged")
    # The machine's; fixed:
    page_size: Natural
    page_mask: Natural  # page_size - 1
    min_offset: Natural  # the user addresses of every new map, as is the next
    max_offset: Natural

    # Its frames and pages:
    memory: PhysicalMemory  # RAM and its free frames
    resident: dict[Frame, VmPage]  # every resident page
    wire_count: Natural  # how many of them are wired
    queues: PageQueues  # those that may be replaced

    # Replacement (vm/pageout.py):
    free_min: Natural  # how many frames are kept for those who help to free others
    free_low: Natural  # at how few replacement begins
    free_high: Natural  # at how many it ends
    free_wanted: WaitEvent  # who waits for frames
    frames_wanted: Natural  # the fewest that one of them waits for
    pageout_wanted: bool  # replacement is to begin
    laundry_count: Natural  # pages that the default memory manager has in hand

    # Memory managers:
    default_manager: object | None  # a send right to it; it may have died
    manager_wanted: WaitEvent  # who waits for a default memory manager
    pagers: dict[int, Pager]  # those of all objects that have one, by number
    pager_serial: Natural  # the last number
    object_serial: Natural  # the last number of an object
    cached: dict[int, VmObject]  # objects without references that their managers let stay

    # vm_statistics' counters since power-on:
    zero_fill_count: Natural
    faults: Natural
    cow_faults: Natural
    pageins: Natural
    pageouts: Natural
    reactivations: Natural
    lookups: Natural
    hits: Natural

    # Transient:
    managers: MemoryManagers  # the layers above
    mmu: Mmu  # the machine's
    privileged: bool  # the frames that are kept may be taken now

    def __init__(self, memory: PhysicalMemory, mmu: Mmu, page_size: int, user_range: tuple[VirtAddr, VirtAddr]) -> None:
        if page_size != memory.frame_size or page_size & (page_size - 1):
            raise InvariantError(f"pages of {page_size} bytes in frames of {memory.frame_size}")
        self.memory = memory
        self.page_size = page_size
        self.page_mask = page_size - 1
        self.min_offset = int(user_range[0])
        self.max_offset = int(user_range[1])
        self.resident = {}
        self.wire_count = 0
        self.queues = PageQueues()
        self.free_min = memory.frame_count * 5 // 100
        self.free_low = memory.frame_count * 6 // 100
        self.free_high = memory.frame_count * 10 // 100
        self.free_wanted = WaitEvent()
        self.frames_wanted = 0
        self.manager_wanted = WaitEvent()
        self.pageout_wanted = False
        self.laundry_count = 0
        self.default_manager = None
        self.pagers = {}
        self.pager_serial = 0
        self.object_serial = 0
        self.cached = {}
        self.zero_fill_count = 0
        self.faults = 0
        self.cow_faults = 0
        self.pageins = 0
        self.pageouts = 0
        self.reactivations = 0
        self.lookups = 0
        self.hits = 0
        self.attach(mmu)

    def attach(self, mmu: Mmu) -> None:
        """Joins a VM to a machine; also one that was loaded."""
        self.mmu = mmu
        self.privileged = False

    def new_map(self) -> VmMap:
        """An empty address space. Raises KERN_RESOURCE_SHORTAGE where no frame is left for its page tables."""
        try:
            pmap = self.mmu.create()
        except OutOfFrames:
            raise KernError(KERN_RESOURCE_SHORTAGE) from None
        return VmMap(self, pmap, self.min_offset, self.max_offset)

    # Pages

    def allocate_page(self, obj: VmObject, offset: int) -> VmPage:
        """A new page of `obj`, contents unspecified: the caller fills it before anything else happens. Raises PageShortage."""
        free = len(self.memory.free)
        if free <= self.free_low:
            self.check_frames(1)
        return self.take_page(obj, offset)

    def check_frames(self, count: int) -> None:
        """Raises PageShortage where so many frames cannot be taken now."""
        free = len(self.memory.free)
        if free - count < self.free_low and not self.pageout_wanted:
            self.pageout_wanted = True
            self.managers.pageout()
        if free - count < (0 if self.privileged else self.free_min):
            raise self.shortage(count)

    def shortage(self, count: int) -> PageShortage:
        """What makes a thread wait for so many frames."""
        wanted = max(count, 1)
        self.frames_wanted = min(self.frames_wanted, wanted) if self.frames_wanted else wanted
        return PageShortage(self.free_wanted)

    def take_page(self, obj: VmObject, offset: int) -> VmPage:
        """As `allocate_page`, also out of the frames that are kept."""
        try:
            frame = self.memory.allocate()
        except OutOfFrames:
            raise self.shortage(1) from None
        page = VmPage(obj, offset, frame)
        obj.pages[offset] = page
        obj.last_alloc = offset
        self.resident[frame] = page
        self.queues.activate(page)
        return page

    def free_page(self, page: VmPage) -> None:
        """Takes the page out of its object and of every pmap, and gives its frame back."""
        frame = page.frame
        self.mmu.forget(frame)
        self.queues.remove(page)
        if page.wire_count:
            self.wire_count -= 1
        if page.laundry:
            self.laundry_count -= 1
            self.pageout_wanted = True
        if page.event is not None:
            self.wake_page(page)
        del page.object.pages[page.offset]
        del self.resident[frame]
        self.memory.release(frame)

    def rename_page(self, page: VmPage, obj: VmObject, offset: int) -> None:
        """Moves the page to another object, where its place is empty; mappings of it stay."""
        del page.object.pages[page.offset]
        page.object = obj
        page.offset = offset
        obj.pages[offset] = page
        obj.last_alloc = offset
        if page.queue != NO_QUEUE:
            self.queues.activate(page)

    def copy_page(self, source: VmPage, target: VmPage) -> None:
        """Copies the contents; nobody else has them yet."""
        self.memory.copy(source.frame, target.frame)
        target.dirty = True

    def wake_page(self, page: VmPage) -> None:
        """PAGE_WAKEUP: who waits for the page tries again."""
        if page.event is not None and page.event.threads:
            page.event.wake(self.managers.wake)

    def must_clean(self, page: VmPage) -> bool:
        """Whether the page cannot be thrown away."""
        return page.dirty or page.precious or self.mmu.is_modified(page.frame)

    def clean_page(self, page: VmPage) -> None:
        """Returns the page to its manager and takes it out of memory."""
        pageout.clean_page(self, page)

    def wire_page(self, page: VmPage) -> None:
        if not page.wire_count:
            self.wire_count += 1
            self.queues.remove(page)
        page.wire_count += 1

    def unwire_page(self, page: VmPage) -> None:
        page.wire_count -= 1
        if not page.wire_count:
            self.wire_count -= 1
            self.queues.activate(page)
            self.wake_page(page)

    def pageout(self) -> None:
        """Replaces pages until enough frames are free, and wakes who waits for one."""
        if self.pageout_wanted:
            pageout.balance(self)
        if self.free_wanted.threads and len(self.memory.free) - self.frames_wanted >= self.free_min:
            self.frames_wanted = 0
            self.free_wanted.wake(self.managers.wake)

    # Memory objects

    def enter_object(self, memory_object: object, size: int, offset: int = 0) -> VmObject:
        """vm_object_enter: the object of a memory object's port, of which `size` bytes are seen from `offset` on, made and its
        manager told where there was none; with a reference for the caller. Raises KERN_INVALID_ARGUMENT for a port that stands
        for something else."""
        pager = self.managers.pager_of(memory_object)
        self.lookups += 1
        if pager is None:
            obj = VmObject(self, size)
            self.make_pager(obj, memory_object)
        else:
            self.hits += 1
            obj = pager.object
            self.reference(obj)
        obj.size = max(obj.size, offset + size)
        return obj

    def reference(self, obj: VmObject) -> None:
        """A reference for the caller, also to an object that is only cached."""
        if not obj.ref_count and obj.pager is not None:
            del self.cached[obj.pager.number]
        obj.ref_count += 1

    @property
    def has_default_manager(self) -> bool:
        """Whether there is a default memory manager that lives. As in the real kernel a dead one is none."""
        return self.managers.is_alive(self.default_manager)

    def make_internal_pager(self, obj: VmObject) -> None:
        """vm_object_pager_create: the default memory manager gets an object of anonymous memory."""
        memory_object = self.managers.memory_object_port()
        self.managers.create(self._new_pager(obj, memory_object, True))
        self.managers.release_send(memory_object)

    def make_pager(self, obj: VmObject, memory_object: object) -> None:
        """Gives an object, which is there already, to the memory object of a port."""
        self.managers.init(self._new_pager(obj, memory_object, False))

    def adopt_pager(self, obj: VmObject, rights: tuple[object, object, object]) -> Pager:
        """As `make_pager`, with the control and name ports that the memory object has already; its manager is told nothing."""
        pager = self._number_pager(obj, False)
        self.managers.adopt(pager, *rights)
        return pager

    def _new_pager(self, obj: VmObject, memory_object: object, internal: bool) -> Pager:
        pager = self._number_pager(obj, internal)
        self.managers.begin(pager, memory_object)
        return pager

    def _number_pager(self, obj: VmObject, internal: bool) -> Pager:
        self.pager_serial += 1
        pager = self.pagers[self.pager_serial] = obj.pager = Pager(self.pager_serial, obj, internal)
        return pager

    def check_invariants(self) -> None:
        """Each frame has one owner, each resident page is where it says, and the counters agree."""
        self.memory.check_invariants()
        for frame in self.memory.free:
            if frame in self.resident:
                raise InvariantError(f"frame {frame} is free and a resident page")
        self.queues.check_invariants()
        wired = laundry = 0
        for frame, page in self.resident.items():
            laundry += page.laundry
            if page.frame != frame or page.object.pages.get(page.offset) is not page:
                raise InvariantError(f"the page in frame {frame} is not in its object")
            if page.wire_count < 0:
                raise InvariantError(f"the page in frame {frame} has a negative wire count")
            wired += page.wire_count > 0
        if (wired, laundry) != (self.wire_count, self.laundry_count):
            raise InvariantError(
                f"{wired} pages are wired and {laundry} under way, {self.wire_count} and {self.laundry_count} are counted"
            )
        if self.pager_serial < max(self.pagers, default=0):
            raise InvariantError("a pager has a number that is still to be given")
        for number, pager in self.pagers.items():
            if pager.number != number or pager.object.pager is not pager:
                raise InvariantError(f"pager {number} is not its object's")
        for number, obj in self.cached.items():
            if obj.ref_count or obj.pager is not self.pagers.get(number):
                raise InvariantError(f"the cached object of pager {number} is in use, or another's")

    def check_references(
        self,
        maps: Iterable[VmMap],
        copies: Iterable[VmMapCopy],
        held: Iterable[VmObject] = (),
        wired: Sequence[VmPage] = (),
    ) -> None:
        """Everything holds, given all maps and copies that there are, the objects that threads and devices hold, and the pages
        that devices have wired: references and wirings are as many as are counted, and no page is lost."""
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
        found = [*(entry.object for entry in entries if entry.object is not None), *held]
        for cached in self.cached.values():
            objects[id(cached)] = cached
            references[id(cached)] = 0
            if cached.shadow is not None:
                found.append(cached.shadow)
        for obj in found:
            references[id(obj)] = references.get(id(obj), 0) + 1
            if id(obj) not in objects:
                objects[id(obj)] = obj
                if obj.shadow is not None:
                    found.append(obj.shadow)
        for obj in objects.values():
            obj.check_invariants()
            if obj.ref_count != references[id(obj)] or (not obj.ref_count and obj.pager is None):
                raise InvariantError(f"an object counts {obj.ref_count} references of {references[id(obj)]}")
            if obj.number > self.object_serial:
                raise InvariantError("an object has a number that is still to be given")
            if obj.copy is not None and id(obj.copy) not in objects:
                raise InvariantError("an object's copy object is gone")
        if any(id(pager.object) not in objects for pager in self.pagers.values()):
            raise InvariantError("a pager's object is not in use")
        if sum(len(obj.pages) for obj in objects.values()) != len(self.resident):
            raise InvariantError("a resident page is of no object that is in use")
        wirings = dict.fromkeys(self.resident, 0)
        for page in wired:
            wirings[page.frame] += 1
        for entry in entries:
            if entry.wired and entry.object is not None:
                for offset in range(entry.offset, entry.offset + entry.end - entry.start, self.page_size):
                    wirings[entry.object.pages[offset].frame] += 1
        if any(page.wire_count != wirings[frame] for frame, page in self.resident.items()):
            raise InvariantError("a page's wire count is not its entries'")
