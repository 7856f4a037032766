"""The page tables that Unicorn walks: of three levels, with no-execute (PAE), in memory that is not the machine's.

They are a cache of the pmaps' tables in RAM: an entry is made when the CPU first needs it, and goes when the pmap's is changed.
So the pmap's bits of use are always true, and nothing of this is saved.

Unicorn takes the slow path for each store to a page that it may execute. So a page may be executed only once the CPU has fetched
from its frame: decision 0032. The formats are those of the Intel SDM, volume 3, 4.4.2.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from typing import TYPE_CHECKING, Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import PhysAddr, VirtAddr
from machemu.machine.i386 import layout
from machemu.machine.i386.pmap import (
    ACCESSED,
    DIRTY,
    FRAME_MASK,
    KERNEL_BASE,
    PAGE_SHIFT,
    PAGE_SIZE,
    PDE_SHIFT,
    PRESENT,
    USER,
    WRITABLE,
)

if TYPE_CHECKING:
    from machemu.machine.i386.pmap import I386Pmap

BASE: Final = 0x80000000
"""Its physical address, behind all RAM that a machine can have."""
SIZE: Final = 16 << 20
"""Bytes; all tables are made anew once they are used up."""
ENTRIES: Final = PAGE_SIZE // 8
EMPTY: Final = array("Q", bytes(PAGE_SIZE))
TABLE_SHIFT: Final = 21
DIRECTORY_SHIFT: Final = 30
"""Address bits above those that a page table and a directory cover."""
NO_EXECUTE: Final = 1 << 63
USED: Final = PRESENT | ACCESSED | DIRTY
"""What the CPU would add is there already."""
ANY: Final = USED | WRITABLE | USER
"""Of directories' entries, which restrict nothing."""


class Tables:
    """Those of one pmap, by the indices of their first words."""

    __slots__ = ("directories", "pages", "root")
    root: int
    directories: dict[int, int]  # by address >> DIRECTORY_SHIFT
    pages: dict[int, int]  # page tables, by address >> TABLE_SHIFT

    def __init__(self, root: int) -> None:
        self.root = root
        self.directories = {}
        self.pages = {}


class ShadowTables:
    """Of one CPU. memory: where they lie, at BASE. of: those of each pmap."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._words = memoryview(self.memory).cast("Q")
        self.of: dict[I386Pmap, Tables] = {}
        self.clear()

    def clear(self) -> None:
        """Forgets all pmaps. The CPU must be given a root again."""
        self.of.clear()
        self._free: list[int] = []
        self._unused = 0  # the first of those that no table has had since then
        self._kernel = self._allocate()
        table = self._allocate()
        self._words[self._kernel] = BASE + 8 * table | ANY
        for index, (entry,) in enumerate(struct.iter_unpack("<I", layout.page_table()[: 4 * ENTRIES])):
            if entry:
                executable = entry >> PAGE_SHIFT == layout.TABLES
                self._words[table + index] = entry | USED | (0 if executable else NO_EXECUTE)
        self.empty_root = self._address(self._new_root())

    def close(self) -> None:
        """Once the engine is closed."""
        self._words.release()
        self.memory.close()

    def root(self, pmap: I386Pmap) -> PhysAddr:
        """What CR3 is for a pmap."""
        tables = self.of.get(pmap)
        if tables is None:
            if not self._has_room(1):
                self.clear()
            tables = self.of[pmap] = Tables(self._new_root())
            pmap.use_table(KERNEL_BASE)
        return self._address(tables.root)

    def fill(self, pmap: I386Pmap, address: VirtAddr, access: int) -> PhysAddr | None:
        """Makes the entry that an access needs: where it leads. None where the pmap refuses the access.

        A page that is not modified is protected, so that its first store comes here as well.
        """
        place = pmap.translate(address, access)
        if place is None:
            return None
        pmap.use_table(address)
        entry = pmap.mmu.words[pmap.entry(address)]
        shadow = entry & (FRAME_MASK | WRITABLE) if entry & DIRTY else entry & FRAME_MASK
        if entry >> PAGE_SHIFT not in pmap.mmu.memory.code_frames:
            shadow |= NO_EXECUTE
        tables = self.of.get(pmap)
        table = None if tables is None else tables.pages.get(address >> TABLE_SHIFT)
        if table is None:
            table = self._add_table(pmap, address)
        self._words[table + (address >> PAGE_SHIFT & ENTRIES - 1)] = shadow | USED | USER
        return place

    def _add_table(self, pmap: I386Pmap, address: VirtAddr) -> int:
        if not self._has_room(3):
            self.clear()
            pmap.mmu.changed = True
        self.root(pmap)
        tables = self.of[pmap]
        slot = address >> DIRECTORY_SHIFT
        directory = tables.directories.get(slot)
        if directory is None:
            directory = tables.directories[slot] = self._allocate()
            self._words[tables.root + slot] = self._address(directory) | PRESENT
        table = tables.pages[address >> TABLE_SHIFT] = self._allocate()
        self._words[directory + (address >> TABLE_SHIFT & ENTRIES - 1)] = self._address(table) | ANY
        return table

    def drop(self, pmap: I386Pmap, address: int) -> None:
        """The pmap's entry of a page has changed."""
        tables = self.of.get(pmap)
        table = None if tables is None else tables.pages.get(address >> TABLE_SHIFT)
        if table is not None:
            self._words[table + (address >> PAGE_SHIFT & ENTRIES - 1)] = 0

    def forget(self, pmap: I386Pmap) -> None:
        """The pmap goes."""
        tables = self.of.pop(pmap, None)
        if tables is not None:
            self._free += [tables.root, *tables.directories.values(), *tables.pages.values()]

    def check_invariants(self) -> None:
        """An entry lets the CPU do what the pmap's does, without telling."""
        for pmap, tables in self.of.items():
            for slot, table in tables.pages.items():
                for index, entry in enumerate(self._words[table : table + ENTRIES]):
                    if entry and not self._agrees(pmap, slot << TABLE_SHIFT | index << PAGE_SHIFT, entry):
                        raise InvariantError(f"the CPU has an entry {entry:#x} that its address space has not")

    def _agrees(self, pmap: I386Pmap, address: int, entry: int) -> bool:
        own = pmap.mmu.words[pmap.entry(address)] if address >> PDE_SHIFT in pmap.tables else 0
        needed = PRESENT | ACCESSED | (WRITABLE | DIRTY if entry & WRITABLE else 0)
        executable = not entry & NO_EXECUTE
        return (
            own & needed == needed
            and (own ^ entry) & FRAME_MASK == 0
            and (not executable or own >> PAGE_SHIFT in pmap.mmu.memory.code_frames)
        )

    def _new_root(self) -> int:
        root = self._allocate()
        self._words[root + (KERNEL_BASE >> DIRECTORY_SHIFT)] = self._address(self._kernel) | PRESENT
        return root

    def _has_room(self, tables: int) -> bool:
        return len(self._free) + (len(self._words) - self._unused) // ENTRIES >= tables

    def _allocate(self) -> int:
        if self._free:
            table = self._free.pop()
        else:
            table, self._unused = self._unused, self._unused + ENTRIES
        self._words[table : table + ENTRIES] = EMPTY
        return table

    def _address(self, table: int) -> PhysAddr:
        return PhysAddr(BASE + 8 * table)
