"""The i386 without machemu's kernel."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from machemu.abi.types import VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ
from machemu.machine.engine import Registers, check
from machemu.machine.i386 import layout
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.engine import REGISTER
from machemu.machine.i386.pmap import PAGE_SIZE, I386Pmap
from tools.bench.bare import CODE, DATA, WARM_UP

LOOP: Final = b"\x8b\x06\x89\x06\x49\x75\xf9"
"""mov eax, [esi]; mov [esi], eax; dec ecx; jnz: four instructions, two of them in memory."""
END: Final = b"\xcc"
"""int3, at which an engine without a kernel stops."""
TRAP_LOOP: Final = b"\xb8" + struct.pack("<i", -27) + b"\x9a\0\0\0\0\x07\0" + b"\x49\x75\xf1"
"""mov eax, -27; lcall $7, $0; dec ecx; jnz."""
WALK: Final = b"\x41" * 1000 + b"\xe9" + struct.pack("<i", -1005)
"""inc ecx, so many times that no two steps in a row are alike; jmp."""
TRACE_FLAG: Final = 0x100
TRAP_INSTRUCTIONS: Final = 6
"""What Unicorn counts for a round of it: its four and the entry stub's two."""


STACK: Final = DATA + PAGE_SIZE


def states(traced: bool = False) -> list[tuple[int, Sequence[int]]]:
    """A thread's states, by flavor, at the begin of LOOP."""
    words = [0] * 17
    words[5], words[10], words[12], words[14], words[15] = DATA, 0xFFFFFFFF, CODE, TRACE_FLAG * traced, STACK
    return [(1, words)]


class BareCpu(I386Cpu):
    """A CPU whose hook reads nine registers in one call, writes one, and does nothing else once `bare` is set."""

    bare = False

    def _interrupt(self, engine: object, number: int, data: object) -> None:
        if not self.bare:
            super()._interrupt(engine, number, data)
            return
        self.read_nine()
        self.write_eax()

    def show(self, pmap: I386Pmap, address: VirtAddr) -> None:
        """Has Unicorn find a page."""
        self.shadow.fill(pmap, address, VM_PROT_DEFAULT)

    def first_place(self) -> int:
        """Where the engine is to be started, to go on as the thread that is active."""
        return layout.USER_ENTRY

    def set_rounds(self, rounds: int) -> None:
        self.engine.write(REGISTER["ECX"], rounds)

    def prepare(self, code: bytes) -> int:
        """Maps and loads a loop, and makes the hook bare; where to go on."""
        names = ("EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "EIP")
        self.nine = Registers(self.engine, *(REGISTER[name] for name in names))
        self.eax = Registers(self.engine, REGISTER["EAX"])
        self.read_nine, self.write_eax = self.nine.read, self.eax.write
        pmap = self.space = self.mmu.create()
        for address in (CODE, DATA):
            pmap.enter(VirtAddr(address), self.memory.allocate(), VM_PROT_DEFAULT)
        place = pmap.translate(VirtAddr(CODE), 1) or 0
        self.memory.view[place : place + len(code)] = code
        pcb = self.new_pcb(self.new_task())
        pcb.set_entry(VirtAddr(CODE), VirtAddr(STACK))
        pcb.registers[1], pcb.registers[6] = 0xFFFFFFFF, DATA
        self.activate(pcb, pmap)
        self._allow_fetch(place)
        for address, access in ((CODE, VM_PROT_READ), (DATA, VM_PROT_DEFAULT)):
            self.shadow.fill(pmap, VirtAddr(address), access)
        self.bare = True
        check(self.engine.start(layout.USER_ENTRY, WARM_UP), "warm-up")
        return self.engine.read(REGISTER["EIP"])
