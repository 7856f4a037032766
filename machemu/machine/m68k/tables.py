"""Where a 68040's tables lie: several to a frame, so that an address space of a few pages costs a few hundred bytes."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import InvariantError
from machemu.abi.types import Frame, PhysAddr
from machemu.machine.memory import PhysicalMemory
from machemu.sim.state import state

POINTER_TABLE: Final = 512
"""Bytes of a root or pointer table: 128 descriptors."""
PAGE_TABLE: Final = 128
"""Bytes of a page table for pages of 8 KiB: 32 descriptors."""


@state
class TablePool:
    """The frames that hold tables of `size` bytes.

    free: of each frame with room, the addresses where no table is, the next one last. A frame comes from the node's memory with
    its first table and goes back with its last one.
    """

    __slots__ = ("free", "memory", "size")
    free: dict[Frame, list[PhysAddr]]
    memory: PhysicalMemory
    size: int

    def __init__(self, memory: PhysicalMemory, size: int) -> None:
        self.memory = memory
        self.size = size
        self.free = {}

    def allocate(self) -> PhysAddr:
        """A table of zeros, aligned to its size; the caller owns it. Raises OutOfFrames."""
        if not self.free:
            frame = self.memory.allocate()
            first = frame * self.memory.frame_size
            self.free[frame] = [PhysAddr(first + at) for at in range(self.memory.frame_size - self.size, -1, -self.size)]
        frame, places = next(iter(self.free.items()))
        table = places.pop()
        if not places:
            del self.free[frame]
        self.memory.write(table, bytes(self.size))
        return table

    def release(self, table: PhysAddr) -> None:
        """Takes a table back from its owner."""
        frame = Frame(table // self.memory.frame_size)
        places = self.free.setdefault(frame, [])
        places.append(table)
        if len(places) * self.size == self.memory.frame_size:
            del self.free[frame]
            self.memory.release(frame)

    def check_invariants(self) -> None:
        for frame, places in self.free.items():
            first = frame * self.memory.frame_size
            if len(dict.fromkeys(places)) != len(places) or any(
                not first <= place < first + self.memory.frame_size or place % self.size for place in places
            ):
                raise InvariantError(f"the tables in frame {frame} are not listed right")
