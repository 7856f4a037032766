"""The m68k without machemu's kernel."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from unicorn import m68k_const as m68k

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_WRITE
from machemu.machine.engine import ERR_FETCH_PROT, Registers
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.pcb import SR_T1
from machemu.machine.m68k.pmap import PAGE_SIZE, M68kPmap
from tools.bench.bare import CODE, DATA, WARM_UP

LOOP: Final = bytes.fromhex("2010 2080 5381 66f8")
"""move.l (a0), d0; move.l d0, (a0); subq.l #1, d1; bne: four instructions, two of them in memory."""
END: Final = bytes.fromhex("4afc")
"""illegal, at which an engine without a kernel stops."""
WALK: Final = bytes.fromhex("5281") * 1000 + b"\x60\x00" + struct.pack(">h", -2002)
"""addq.l #1, d1, so many times that no two steps in a row are alike; bra."""
TRAP_LOOP: Final = b"\x48\x78" + struct.pack(">h", -27) + bytes.fromhex("4e40 588f 5381 66f4")
"""pea -27; trap #0; addq.l #4, sp; subq.l #1, d1; bne."""
TRAP_INSTRUCTIONS: Final = 5
STACK: Final = DATA + PAGE_SIZE


def states(traced: bool = False) -> list[tuple[int, Sequence[int]]]:
    """A thread's states, by flavor, at the begin of LOOP."""
    status = SR_T1 * traced
    frame = [status << 16 | CODE >> 16, (CODE & 0xFFFF) << 16]
    return [(1, [0, 0xFFFFFFFF, 0, 0, 0, 0, 0, 0, DATA, 0, 0, 0, 0, 0, 0, STACK]), (3, frame)]


class BareCpu(M68kCpu):
    """A CPU whose hook reads nine registers in one call, puts the program counter behind the trap in another, and does nothing
    else once `bare` is set."""

    bare = False

    def _interrupt(self, engine: object, vector: int, data: object) -> None:
        if not self.bare:
            super()._interrupt(engine, vector, data)
            return
        self.read_nine()
        self.pc_values[0] = self.nine_values[8] + 2
        self.write_pc()

    def show(self, pmap: M68kPmap, address: VirtAddr) -> None:
        """Has Unicorn find a page."""
        pmap.translate(address, VM_PROT_WRITE)

    def first_place(self) -> int:
        """Where the engine is to be started, to go on as the thread that is active."""
        self._refresh()
        return self.pc()

    def set_rounds(self, rounds: int) -> None:
        self.words[1] = rounds

    def prepare(self, code: bytes) -> int:
        """Maps and loads a loop, and makes the hook bare; where to go on."""
        nine = Registers(self.engine, *(m68k.UC_M68K_REG_D0 + n for n in range(8)), m68k.UC_M68K_REG_PC)
        pc = Registers(self.engine, m68k.UC_M68K_REG_PC)
        self.read_nine, self.nine_values = nine.read, nine.values
        self.write_pc, self.pc_values = pc.write, pc.values
        pmap = self.space = self.mmu.create()
        for address in (CODE, DATA):
            pmap.enter(VirtAddr(address), self.memory.allocate(), VM_PROT_DEFAULT)
        place = pmap.translate(VirtAddr(CODE), 1) or 0
        self.memory.view[place : place + len(code)] = code
        pmap.translate(VirtAddr(DATA), VM_PROT_WRITE)
        pcb = self.new_pcb(self.new_task())
        for flavor, words in states():
            pcb.set_state(flavor, words)
        self.activate(pcb, pmap)
        self._refresh()
        self.bare = True
        while self.engine.start(self.pc(), WARM_UP) == ERR_FETCH_PROT:
            self._allow_fetch(self._refused_fetch())
        return self.pc()
