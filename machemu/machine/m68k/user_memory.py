"""The active thread's memory, as the m68k CPU looks at it where an instruction is not Unicorn's to do."""

from __future__ import annotations

from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.guard import Unreadable
from machemu.machine.m68k.pmap import PAGE_SHIFT, M68kPmap
from machemu.machine.memory import PhysicalMemory
from machemu.machine.runs import Runs
from machemu.machine.seams import UserFault

MASK = 0xFFFFFFFF


class UserMemory(Runs):
    """words: the engine's state. _pmap: the active thread's address space."""

    words: memoryview
    memory: PhysicalMemory
    _pmap: M68kPmap | None

    def instruction_word(self, offset: int) -> int:
        address = self.words[PC] + offset
        if address & 1:
            return int.from_bytes(self.read(address, 2), "big")
        place = self._place(address, VM_PROT_READ)
        view = self.memory.view
        return view[place] << 8 | view[place + 1]

    def read(self, address: int, size: int) -> bytes:
        """The active thread's memory; raises UserFault."""
        return b"".join(self.memory.read(self._place(address + n, VM_PROT_READ), 1) for n in range(size))

    def write(self, address: int, data: bytes) -> None:
        """Writes the active thread's memory, at most two pages of it, or nothing where it raises UserFault."""
        places = [self._place(address + n, VM_PROT_READ | VM_PROT_WRITE) for n in range(len(data))]
        for place, byte in zip(places, data, strict=True):
            self.memory.write(place, bytes((byte,)))

    def _place(self, address: int, access: int) -> PhysAddr:
        assert self._pmap is not None
        address &= MASK
        place = self._pmap.translate(VirtAddr(address), access)
        if place is None:
            raise UserFault(VirtAddr(address), access)
        return place

    def _code_word(self, address: int) -> int:
        """A word that may be translated. Raises Unreadable."""
        pmap = self._pmap
        place = None if pmap is None else pmap.translate(VirtAddr(address & MASK), VM_PROT_READ)
        if place is None or place >> PAGE_SHIFT not in self.memory.code_frames:
            raise Unreadable(address)
        return int.from_bytes(self.memory.view[place : place + 2], "big")
