"""Unicorn without machemu's kernel: the same loops on the same engine, with the least that a hook could do."""

from __future__ import annotations

import struct
import time
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT
from machemu.machine.engine import ERR_FETCH_PROT, Registers
from machemu.machine.i386 import layout
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.engine import REGISTER
from machemu.machine.i386.pmap import PAGE_SIZE
from machemu.machine.memory import PhysicalMemory

CODE: Final = 0x8000
DATA: Final = 0x9000
RAM: Final = 4 << 20
WARM_UP: Final = 1000
LOOP: Final = b"\x8b\x06\x89\x06\x49\x75\xf9"
"""mov eax, [esi]; mov [esi], eax; dec ecx; jnz: four instructions, two of them in memory."""
TRAP_LOOP: Final = b"\xb8" + struct.pack("<i", -27) + b"\x9a\0\0\0\0\x07\0" + b"\x49\x75\xf1"
"""mov eax, -27; lcall $7, $0; dec ecx; jnz."""
TRAP_INSTRUCTIONS: Final = 6
"""What Unicorn counts for a round of it: its four and the entry stub's two."""


class BareCpu(I386Cpu):
    """A CPU whose hook reads nine registers in one call, writes one, and does nothing else once `bare` is set."""

    bare = False

    def _interrupt(self, engine: object, number: int, data: object) -> None:
        if not self.bare:
            super()._interrupt(engine, number, data)
            return
        self.read_nine()
        self.write_eax()

    def prepare(self, code: bytes) -> None:
        """Maps and loads a loop, and makes the hook bare."""
        names = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP")
        self.nine = Registers(self.engine, *(REGISTER[name] for name in names))
        self.eax = Registers(self.engine, REGISTER["EAX"])
        self.read_nine, self.write_eax = self.nine.read, self.eax.write
        pmap = self.mmu.create()
        for address in (CODE, DATA):
            pmap.enter(VirtAddr(address), self.memory.allocate(), VM_PROT_DEFAULT)
        place = pmap.translate(VirtAddr(CODE), 1) or 0
        self.memory.view[place : place + len(code)] = code
        pcb = self.new_pcb(self.new_task())
        pcb.set_entry(VirtAddr(CODE), VirtAddr(DATA + PAGE_SIZE))
        pcb.registers[1], pcb.registers[6] = 0xFFFFFFFF, DATA
        self.activate(pcb, pmap)
        self.bare = True
        address = layout.USER_ENTRY
        while self.engine.start(address, WARM_UP) == ERR_FETCH_PROT:
            self._allow_fetch()
            address = self.engine.read(REGISTER["EIP"])


def seconds(code: bytes, count: int) -> float:
    """How long Unicorn alone takes for `count` instructions of a loop, run with `count=`."""
    memory = PhysicalMemory(RAM, PAGE_SIZE)
    cpu = BareCpu(memory)
    cpu.prepare(code)
    address = cpu.engine.read(REGISTER["EIP"])
    began = time.perf_counter()
    cpu.engine.start(address, count)
    elapsed = time.perf_counter() - began
    cpu.close()
    memory.close()
    return elapsed


def mips(count: int) -> float:
    """Millions of instructions a second of LOOP."""
    return count / seconds(LOOP, count) / 1e6


def trap_us(count: int) -> float:
    """Microseconds of one round of TRAP_LOOP."""
    return seconds(TRAP_LOOP, count * TRAP_INSTRUCTIONS) / count * 1e6
