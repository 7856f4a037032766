"""A CPU alone, under a kernel of a few lines, for the tests of the m68k."""

from __future__ import annotations

import struct

from machemu.abi.types import PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.pcb import M68kPcb
from machemu.machine.m68k.pmap import PAGE_SIZE
from tests.support.cpu_bench import CpuBench

CODE, NEXT, DATA, STACK = 0x8000, 0xA000, 0xC000, 0xDF00
READ_WRITE = VM_PROT_READ | VM_PROT_WRITE
A0 = 8
ILLEGAL = 0x10
X, N, Z, V, C = 16, 8, 4, 2, 1


def code(text: str) -> bytes:
    """Hexadecimal code, in words as the assembler shows them."""
    return bytes.fromhex(text)


def trap(number: int) -> bytes:
    """move.l #-number,-(sp); trap #0"""
    return b"\x2f\x3c" + struct.pack(">i", -number) + code("4e40")


class Bench(CpuBench[M68kCpu]):
    """resumes: a thread goes on after an exception, behind an illegal instruction."""

    def __init__(self) -> None:
        super().__init__(M68kCpu, PAGE_SIZE, (CODE, NEXT, DATA))
        self.resumes = False

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self.log.append(("exception", exception, code, subcode, self.cpu.pc()))
        if self.resumes:
            if code == ILLEGAL:
                self.cpu.words[PC] += 2
            return True
        self.cpu.stop()
        return False

    def read(self, address: int, size: int) -> bytes:
        place = self.pmap.translate(VirtAddr(address), VM_PROT_READ)
        assert place is not None
        return self.memory.read(PhysAddr(place), size)

    def start(self, code: bytes, at: int = CODE) -> M68kPcb:
        """Code that ends in a loop, and a fresh thread there."""
        self.log.clear()
        self.write(at, code + b"\x60\xfe")
        pcb = self.cpu.new_pcb(self.cpu.new_task())
        pcb.set_entry(VirtAddr(at), VirtAddr(STACK))
        return pcb
