"""The active thread's memory and code, as the i386 CPU looks at them."""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_READ
from machemu.machine.i386.engine import REGISTER, I386Engine
from machemu.machine.i386.pcb import I386Pcb
from machemu.machine.i386.pmap import PAGE_SHIFT, I386Pmap
from machemu.machine.i386.screen import LONGEST
from machemu.machine.i386.tables import DescriptorTables
from machemu.machine.memory import PhysicalMemory
from machemu.machine.runs import Runs
from machemu.machine.seams import UserFault

ARGUMENTS: Final = tuple(struct.Struct(f"<{count}I") for count in range(12))


class UserMemory(Runs):
    """Of one CPU."""

    engine: I386Engine
    tables: DescriptorTables
    memory: PhysicalMemory
    words: memoryview  # its 32-bit words
    _stack: int  # the end of the CPU's own stack among them, where a trap leaves what it returns to

    # The active thread's:
    _pcb: I386Pcb | None
    _pmap: I386Pmap | None

    def pc(self) -> VirtAddr:
        return VirtAddr(self.engine.read(REGISTER["EIP"]) & 0xFFFFFFFF)

    def arguments(self, count: int) -> tuple[int, ...]:
        pmap = self._pmap
        assert pmap is not None
        first = self.words[self._stack - 2] + 4
        last = first + 4 * count - 4
        if first & 3 == 0 and first >> PAGE_SHIFT == last >> PAGE_SHIFT:
            place = pmap.translate(VirtAddr(first), VM_PROT_READ)
            if place is not None:
                return ARGUMENTS[count].unpack_from(self.memory.view, place)
        return self._slow_arguments(first, count)

    def _slow_arguments(self, first: int, count: int) -> tuple[int, ...]:
        """Word by word from the last one on, as Mach's entry code copies them: that decides which address a fault names."""
        found = []
        for address in range(first + 4 * count - 4, first - 1, -4):
            data = bytearray()
            for byte in range(address, address + 4):
                data += self.memory.view[(place := self._user_byte(byte)) : place + 1]
            found.append(int.from_bytes(data, "little"))
        return tuple(reversed(found))

    def _user_byte(self, address: int) -> int:
        assert self._pmap is not None
        address &= 0xFFFFFFFF
        place = self._pmap.translate(VirtAddr(address), VM_PROT_READ)
        if place is None:
            raise UserFault(VirtAddr(address), VM_PROT_READ)
        return place

    def _segment(self, register: int) -> tuple[int, bool]:
        """The base of the segment in CS or SS, and whether it is one of 32 bits."""
        assert self._pcb is not None
        return self.tables.segment(self._pcb, self.engine.read(register))

    def _linear_pc(self) -> int:
        base, _ = self._segment(REGISTER["CS"])
        return base + self.pc() & 0xFFFFFFFF

    def _code(self) -> bytes:
        """The instruction's bytes, and what follows them, as far as they can be read."""
        assert self._pmap is not None
        first = self._linear_pc()
        found = bytearray()
        for address in range(first, first + LONGEST):
            place = self._pmap.translate(VirtAddr(address & 0xFFFFFFFF), VM_PROT_READ)
            if place is None:
                break
            found.append(self.memory.view[place])
        return bytes(found)

    def _code_place(self, address: int) -> int:
        """Where in RAM the byte of code at a virtual address is that Unicorn may fetch now, or -1."""
        if self._pmap is None:
            return -1
        place = self._pmap.translate(VirtAddr(address & 0xFFFFFFFF), VM_PROT_READ)
        return place if place is not None and place >> PAGE_SHIFT in self.memory.code_frames else -1
