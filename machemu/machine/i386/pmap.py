"""The i386 memory management unit: two-level page tables in RAM, and who maps which frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386.pci import PciBus
from machemu.machine.mappings import Mappings, Pmap
from machemu.machine.memory import PhysicalMemory
from machemu.sim.state import Natural, state

if TYPE_CHECKING:
    from machemu.machine.i386.shadow import ShadowTables

PAGE_SIZE: Final = 4096
PAGE_SHIFT: Final = 12
PDE_SHIFT: Final = 22
OFFSET_MASK: Final = PAGE_SIZE - 1
ENTRIES: Final = 1024
INDEX_MASK: Final = ENTRIES - 1
KERNEL_BASE: Final = 0xC0000000

PRESENT: Final = 0x01
WRITABLE: Final = 0x02
USER: Final = 0x04
ACCESSED: Final = 0x20
DIRTY: Final = 0x40
STORED: Final = ACCESSED | DIRTY
FRAME_MASK: Final = 0xFFFFF000
TABLE_BITS: Final = PRESENT | WRITABLE | USER


@state
class I386Mmu(Mappings):
    """Makes pmaps. Beside them it keeps what else of the machine is saved.

    Transient: kernel_table, the page-table frame that every directory maps at KERNEL_BASE; reserved, how many of the lowest
    frames are the CPU's own; shadow: what the CPU walks instead of the tables; words: RAM.
    """

    __slots__ = ("kernel_table", "pci", "reserved", "shadow", "words")
    TRANSIENT = ("kernel_table", "reserved", "shadow", "words")
    MODIFIED, REFERENCED = DIRTY, ACCESSED
    pci: PciBus

    def __init__(self, memory: PhysicalMemory) -> None:
        super().__init__(memory)
        self.pci = PciBus()

    def attach(self, kernel_table: Frame, reserved: int, shadow: ShadowTables) -> None:
        """Takes hold of RAM's bytes, at power-on and after a load."""
        shadow.clear()
        self.shadow = shadow
        self.kernel_table = kernel_table
        self.reserved = reserved
        self.words = self.memory.view.cast("I")
        self.current: I386Pmap | None = None
        self.changed = False

    def create(self) -> I386Pmap:
        frame = self.memory.allocate()
        self.memory.zero(frame)
        self.words[frame * ENTRIES + (KERNEL_BASE >> PDE_SHIFT)] = self.kernel_table << PAGE_SHIFT | PRESENT | WRITABLE
        return I386Pmap(self, frame)

    def read(self, place: int) -> int:
        return self.words[place]

    def write(self, place: int, entry: int) -> None:
        self.words[place] = entry

    def frame_of(self, entry: int) -> int:
        return entry >> PAGE_SHIFT

    def entry_changed(self, pmap: Pmap, address: int) -> None:
        assert isinstance(pmap, I386Pmap)
        self.shadow.drop(pmap, address)

    def check_invariants(self) -> None:
        super().check_invariants()
        self.shadow.check_invariants()


@state
class I386Pmap:
    """One address space: a page directory and its tables, which it owns."""

    __slots__ = ("count", "directory", "mmu", "tables", "used")
    mmu: I386Mmu
    directory: Frame
    tables: dict[int, Frame]  # page tables by index in the directory
    used: dict[int, Natural]  # how many entries of each are present, so that empty ones go back
    count: Natural  # mapped pages

    def __init__(self, mmu: I386Mmu, directory: Frame) -> None:
        self.mmu = mmu
        self.directory = directory
        self.tables = {}
        self.used = {}
        self.count = 0

    def entry(self, address: int) -> int:
        """The index, in RAM's words, of the entry of a page whose table is there."""
        return self.tables[address >> PDE_SHIFT] * ENTRIES + (address >> PAGE_SHIFT & INDEX_MASK)

    def enter(self, address: VirtAddr, frame: Frame, protection: int, wired: bool = False) -> None:
        mmu = self.mmu
        slot = address >> PDE_SHIFT
        if slot not in self.tables:
            table = mmu.memory.allocate()
            mmu.memory.zero(table)
            self.tables[slot] = table
            self.used[slot] = 0
            mmu.words[self.directory * ENTRIES + slot] = table << PAGE_SHIFT | TABLE_BITS
        index = self.entry(address)
        old = mmu.words[index]
        bits = PRESENT | USER | (WRITABLE if protection & VM_PROT_WRITE else 0)
        if old & PRESENT:
            if old >> PAGE_SHIFT == frame:
                self._set(address, index, old & ~WRITABLE | bits)
                mmu.changed = mmu.changed or mmu.current is self
                return
            self._drop(address, index, old)
        mmu.words[index] = frame << PAGE_SHIFT | bits
        mmu.mappers.setdefault(frame, {})[self, address] = None
        self.used[slot] += 1
        self.count += 1

    def remove(self, start: VirtAddr, end: VirtAddr) -> None:
        for address, index in self._present(start, end):
            self._drop(address, index, self.mmu.words[index])
        for slot in [slot for slot, used in self.used.items() if used == 0]:
            self.mmu.words[self.directory * ENTRIES + slot] = 0
            self.mmu.memory.release(self.tables.pop(slot))
            del self.used[slot]

    def protect(self, start: VirtAddr, end: VirtAddr, protection: int) -> None:
        if not protection & VM_PROT_READ:
            self.remove(start, end)
        elif not protection & VM_PROT_WRITE:
            for address, index in self._present(start, end):
                self._set(address, index, self.mmu.words[index] & ~WRITABLE)
                self.mmu.changed = self.mmu.changed or self.mmu.current is self

    def access(self, address: VirtAddr) -> int:
        entry = self.mmu.words[self.entry(address)] if address >> PDE_SHIFT in self.tables else 0
        return (VM_PROT_READ | (VM_PROT_WRITE if entry & WRITABLE else 0)) if entry & PRESENT else VM_PROT_NONE

    def translate(self, address: VirtAddr, access: int) -> PhysAddr | None:
        table = self.tables.get(address >> PDE_SHIFT)
        if table is None:
            return None
        words = self.mmu.words
        index = table * ENTRIES + (address >> PAGE_SHIFT & INDEX_MASK)
        entry = words[index]
        if not entry & PRESENT:
            return None
        if access & VM_PROT_WRITE:
            if not entry & WRITABLE:
                return None
            if entry & STORED != STORED:
                words[index] = entry | STORED
        elif not entry & ACCESSED:
            words[index] = entry | ACCESSED
        return entry - (entry & OFFSET_MASK) + (address & OFFSET_MASK)  # type: ignore[return-value]

    def use_table(self, address: int) -> None:
        """The CPU goes by way of a page table that is there."""
        self.mmu.words[self.directory * ENTRIES + (address >> PDE_SHIFT)] |= ACCESSED

    def resident_count(self) -> int:
        return self.count

    def destroy(self) -> None:
        self.remove(VirtAddr(0), VirtAddr(KERNEL_BASE))
        if self.mmu.current is self:
            self.mmu.current = None
        self.mmu.memory.release(self.directory)
        self.mmu.shadow.forget(self)

    def check_invariants(self) -> None:
        """Every entry that the CPU would follow is one that is listed, and no table or kernel frame is in a user's reach."""
        mmu = self.mmu
        kernel_slot = KERNEL_BASE >> PDE_SHIFT
        own = {self.directory: None} | {frame: None for frame in self.tables.values()}
        for slot, entry in enumerate(mmu.words[self.directory * ENTRIES : (self.directory + 1) * ENTRIES]):
            table = self.tables.get(slot)
            expected = 0 if table is None else table << PAGE_SHIFT | TABLE_BITS
            if slot == kernel_slot:
                expected = mmu.kernel_table << PAGE_SHIFT | PRESENT | WRITABLE
            if entry & ~(ACCESSED | DIRTY) != expected:
                raise InvariantError(f"a page directory's entry {slot} is {entry:#x}")
        found = 0
        used = dict.fromkeys(self.tables, 0)
        for address, index in self._present(0, KERNEL_BASE):
            found += 1
            used[address >> PDE_SHIFT] += 1
            frame = Frame(mmu.words[index] >> PAGE_SHIFT)
            if (self, address) not in mmu.mappers.get(frame, ()) or frame in own or frame < mmu.reserved:
                raise InvariantError(f"a page table maps frame {frame} at {address:#x}, which is not listed")
        if used != self.used or found != self.count or any(not mmu.reserved <= frame < mmu.memory.frame_count for frame in own):
            raise InvariantError("a page table's mappings are not counted right, or it lies where none can be")

    def _present(self, start: int, end: int) -> list[tuple[int, int]]:
        """(address, entry index) of each mapped page in a range; costs by the tables there are, not by the range."""
        words = self.mmu.words
        found = []
        for slot in sorted(self.tables):
            first, last = slot << PDE_SHIFT, (slot + 1) << PDE_SHIFT
            if last <= start or first >= end:
                continue
            base = self.tables[slot] * ENTRIES
            for address in range(max(first, start), min(last, end), PAGE_SIZE):
                index = base + (address >> PAGE_SHIFT & ENTRIES - 1)
                if words[index] & PRESENT:
                    found.append((address, index))
        return found

    def _set(self, address: int, index: int, entry: int) -> None:
        """Changes an entry that the CPU may have used."""
        self.mmu.words[index] = entry
        self.mmu.shadow.drop(self, address)

    def _drop(self, address: int, index: int, entry: int) -> None:
        """Takes one mapping away."""
        self._set(address, index, 0)
        self.used[address >> PDE_SHIFT] -= 1
        self.count -= 1
        self.mmu.unmapped(self, address, Frame(entry >> PAGE_SHIFT), entry)
