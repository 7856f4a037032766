"""The 68040's memory management unit: three-level page tables in RAM for pages of 8 KiB, and who maps which frame.

Descriptors are big-endian words (MC68040 User's Manual, 3.2). Unicorn marks a page as modified only if its first access that
misses the translation cache is a write. So a page that may be written is protected until it is: the first write's fault has
`translate` mark it as modified and not protected.
"""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_NONE, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.tables import PAGE_TABLE, POINTER_TABLE, TablePool
from machemu.machine.mappings import Mappings
from machemu.machine.memory import OutOfFrames, PhysicalMemory
from machemu.sim.state import Natural, state

PAGE_SIZE: Final = 8192
PAGE_SHIFT: Final = 13
ROOT_SHIFT: Final = 25
TABLE_SHIFT: Final = 18
"""Address bits above those that a pointer table's descriptor and a page table's cover."""
TABLE_SPAN: Final = 1 << TABLE_SHIFT
ADDRESSES: Final = 1 << 32

PAGE_RESIDENT: Final = 0x01
TABLE_RESIDENT: Final = 0x02
WRITE_PROTECTED: Final = 0x04
USED: Final = 0x08
MODIFIED: Final = 0x10
WRITABLE: Final = 0x800
"""In a bit that the processor leaves to the system: the page may be written once it is marked as modified."""
OFFSET_MASK: Final = PAGE_SIZE - 1
WRITING: Final = MODIFIED | WRITE_PROTECTED
INDEX_SHIFT: Final = PAGE_SHIFT - 2
INDEX_MASK: Final = PAGE_TABLE - 4
"""Of a page's descriptor in its table, in bytes."""

WORD: Final = struct.Struct(">I")
_get = WORD.unpack_from
_put = WORD.pack_into


@state
class M68kMmu(Mappings):
    """Makes pmaps. roots, tables: where root and pointer tables, and page tables, lie. Transient: view, RAM."""

    __slots__ = ("roots", "tables", "view")
    TRANSIENT = ("view",)
    roots: TablePool
    tables: TablePool
    MODIFIED, REFERENCED, CLEAN = MODIFIED, USED, WRITE_PROTECTED

    def __init__(self, memory: PhysicalMemory) -> None:
        super().__init__(memory)
        self.roots = TablePool(memory, POINTER_TABLE)
        self.tables = TablePool(memory, PAGE_TABLE)

    def attach(self) -> None:
        """Takes hold of RAM's bytes, at power-on and after a load."""
        self.view = self.memory.view
        self.current: M68kPmap | None = None
        self.changed = False

    def create(self) -> M68kPmap:
        return M68kPmap(self, self.roots.allocate())

    def read(self, place: int) -> int:
        return _get(self.view, place)[0]  # type: ignore[no-any-return]

    def write(self, place: int, entry: int) -> None:
        _put(self.view, place, entry)

    def frame_of(self, entry: int) -> int:
        return entry >> PAGE_SHIFT

    def check_invariants(self) -> None:
        self.roots.check_invariants()
        self.tables.check_invariants()
        super().check_invariants()


@state
class M68kPmap:
    """One address space: a root table, pointer tables and page tables, which it owns."""

    __slots__ = ("count", "mmu", "pointers", "root", "tables", "used")
    mmu: M68kMmu
    root: PhysAddr
    pointers: dict[int, PhysAddr]  # pointer tables by index in the root
    tables: dict[int, PhysAddr]  # page tables by address >> TABLE_SHIFT
    used: dict[int, Natural]  # how many descriptors of each page table are resident, so that empty ones go back
    count: Natural  # mapped pages

    def __init__(self, mmu: M68kMmu, root: PhysAddr) -> None:
        self.mmu = mmu
        self.root = root
        self.pointers = {}
        self.tables = {}
        self.used = {}
        self.count = 0

    def entry(self, address: int) -> int:
        """Where in RAM the descriptor of a page lies whose table is there."""
        return self.tables[address >> TABLE_SHIFT] + (address >> INDEX_SHIFT & INDEX_MASK)

    def enter(self, address: VirtAddr, frame: Frame, protection: int, wired: bool = False) -> None:
        mmu = self.mmu
        slot = address >> TABLE_SHIFT
        if slot not in self.tables:
            self._add_table(slot)
        place = self.tables[slot] + (address >> INDEX_SHIFT & INDEX_MASK)
        old = _get(mmu.view, place)[0]
        bits = PAGE_RESIDENT | (WRITABLE | WRITE_PROTECTED if protection & VM_PROT_WRITE else WRITE_PROTECTED)
        if old & PAGE_RESIDENT:
            if old >> PAGE_SHIFT == frame:
                if old & MODIFIED and bits & WRITABLE:
                    bits &= ~WRITE_PROTECTED
                _put(mmu.view, place, old & ~(WRITABLE | WRITE_PROTECTED) | bits)
                mmu.changed = mmu.changed or mmu.current is self
                return
            self._drop(address, place, old)
        _put(mmu.view, place, frame << PAGE_SHIFT | bits)
        mmu.mappers.setdefault(frame, {})[self, address] = None
        self.used[slot] += 1
        self.count += 1

    def _add_table(self, slot: int) -> None:
        """Makes a page table, and the pointer table that it needs. Raises OutOfFrames, and leaves nothing then."""
        mmu = self.mmu
        index = slot >> ROOT_SHIFT - TABLE_SHIFT
        table = mmu.tables.allocate()
        if index not in self.pointers:
            try:
                pointer = mmu.roots.allocate()
            except OutOfFrames:
                mmu.tables.release(table)
                raise
            self.pointers[index] = pointer
            _put(mmu.view, self.root + 4 * index, pointer | TABLE_RESIDENT)
        self.tables[slot] = table
        self.used[slot] = 0
        _put(mmu.view, self._pointer_entry(slot), table | TABLE_RESIDENT)

    def _pointer_entry(self, slot: int) -> int:
        return self.pointers[slot >> ROOT_SHIFT - TABLE_SHIFT] + (4 * slot & POINTER_TABLE - 4)

    def remove(self, start: VirtAddr, end: VirtAddr) -> None:
        for address, place in self._resident(start, end):
            self._drop(address, place, _get(self.mmu.view, place)[0])
        for slot in self._tables_in(start, end):
            if not self.used[slot]:
                self._remove_table(slot)

    def _remove_table(self, slot: int) -> None:
        """Gives an empty page table back, and its pointer table where that has no other."""
        mmu = self.mmu
        del self.used[slot]
        _put(mmu.view, self._pointer_entry(slot), 0)
        mmu.tables.release(self.tables.pop(slot))
        index = slot >> ROOT_SHIFT - TABLE_SHIFT
        pointer = self.pointers[index]
        if not any(mmu.view[pointer : pointer + POINTER_TABLE]):
            _put(mmu.view, self.root + 4 * index, 0)
            mmu.roots.release(self.pointers.pop(index))

    def protect(self, start: VirtAddr, end: VirtAddr, protection: int) -> None:
        if not protection & VM_PROT_READ:
            self.remove(start, end)
        elif not protection & VM_PROT_WRITE:
            view = self.mmu.view
            for _, place in self._resident(start, end):
                _put(view, place, _get(view, place)[0] & ~WRITABLE | WRITE_PROTECTED)
                self.mmu.changed = self.mmu.changed or self.mmu.current is self

    def access(self, address: VirtAddr) -> int:
        table = self.tables.get(address >> TABLE_SHIFT)
        entry = _get(self.mmu.view, table + (address >> INDEX_SHIFT & INDEX_MASK))[0] if table is not None else 0
        return (VM_PROT_READ | (VM_PROT_WRITE if entry & WRITABLE else 0)) if entry & PAGE_RESIDENT else VM_PROT_NONE

    def translate(self, address: VirtAddr, access: int) -> PhysAddr | None:
        table = self.tables.get(address >> TABLE_SHIFT)
        if table is None:
            return None
        place = table + (address >> INDEX_SHIFT & INDEX_MASK)
        view = self.mmu.view
        entry = _get(view, place)[0]
        if not entry & PAGE_RESIDENT:
            return None
        if access & VM_PROT_WRITE:
            if not entry & WRITABLE:
                return None
            if entry & WRITING != MODIFIED:
                _put(view, place, entry & ~WRITE_PROTECTED | USED | MODIFIED)
        elif not entry & USED:
            _put(view, place, entry | USED)
        return entry - (entry & OFFSET_MASK) + (address & OFFSET_MASK)  # type: ignore[no-any-return]

    def resident_count(self) -> int:
        return self.count

    def destroy(self) -> None:
        self.remove(VirtAddr(0), VirtAddr(ADDRESSES))
        if self.mmu.current is self:
            self.mmu.current = None
        self.mmu.roots.release(self.root)

    def check_invariants(self) -> None:
        """Every descriptor that the CPU would follow is one that is listed, and no table is in a user's reach."""
        view = self.mmu.view
        for table, size in (*((t, PAGE_TABLE) for t in self.tables.values()), *((t, POINTER_TABLE) for t in self._roots())):
            if table % size or not 0 <= table < len(view) or table >> PAGE_SHIFT in self.mmu.mappers:
                raise InvariantError(f"a table lies at {table:#x}, where none can be")
        expected = [0] * (ADDRESSES >> ROOT_SHIFT)
        for index, pointer in self.pointers.items():
            expected[index] = pointer | TABLE_RESIDENT
            slots = range(index << ROOT_SHIFT - TABLE_SHIFT, (index + 1) << ROOT_SHIFT - TABLE_SHIFT)
            wanted = [self.tables[slot] | TABLE_RESIDENT if slot in self.tables else 0 for slot in slots]
            self._check_table(pointer, wanted)
        self._check_table(self.root, expected)
        found = 0
        for address, place in self._resident(0, ADDRESSES):
            found += 1
            frame = Frame(_get(view, place)[0] >> PAGE_SHIFT)
            if (self, address) not in self.mmu.mappers.get(frame, ()):
                raise InvariantError(f"a page table maps frame {frame} at {address:#x}, which is not listed")
        if found != self.count or sum(self.used.values()) != found or list(self.used) != list(self.tables):
            raise InvariantError("a page table's mappings are not counted right")

    def _roots(self) -> list[PhysAddr]:
        return [self.root, *self.pointers.values()]

    def _check_table(self, table: PhysAddr, wanted: list[int]) -> None:
        for index, value in enumerate(wanted):
            entry = _get(self.mmu.view, table + 4 * index)[0]
            if entry & ~USED != value:
                raise InvariantError(f"the descriptor at {table + 4 * index:#x} is {entry:#x}")

    def _resident(self, start: int, end: int) -> list[tuple[int, int]]:
        """(address, place of the descriptor) of each mapped page in a range; costs by the tables there are, not by the range."""
        view = self.mmu.view
        found = []
        for slot in self._tables_in(start, end):
            first = slot << TABLE_SHIFT
            for address in range(max(first, start), min(first + TABLE_SPAN, end), PAGE_SIZE):
                place = self.entry(address)
                if _get(view, place)[0] & PAGE_RESIDENT:
                    found.append((address, place))
        return found

    def _tables_in(self, start: int, end: int) -> list[int]:
        """The page tables that there are in a range, in order."""
        slots = range(start >> TABLE_SHIFT, (end - 1 >> TABLE_SHIFT) + 1)
        if len(slots) < len(self.tables):
            return [slot for slot in slots if slot in self.tables]
        return sorted(slot for slot in self.tables if slot in slots)

    def _drop(self, address: int, place: int, entry: int) -> None:
        """Takes one mapping away."""
        _put(self.mmu.view, place, 0)
        self.used[address >> TABLE_SHIFT] -= 1
        self.count -= 1
        self.mmu.unmapped(self, address, Frame(entry >> PAGE_SHIFT), entry)
