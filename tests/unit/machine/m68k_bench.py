"""A CPU alone, under a kernel of a few lines, for the tests of the m68k."""

from __future__ import annotations

import struct

from machemu.abi.types import Instructions, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.engine import PC
from machemu.machine.m68k.pcb import M68kPcb
from machemu.machine.m68k.pmap import PAGE_SIZE
from machemu.machine.memory import PhysicalMemory

CODE, NEXT, DATA, LAZY, STACK = 0x8000, 0xA000, 0xC000, 0x20000, 0xDF00
CONSTANT, ARGUMENTS, LEAVE = 1, 2, 3
FREE_RUN = 10_000
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


class Bench:
    """A CPU, one address space with code and data, and the least of a kernel: LAZY's page comes when it is touched."""

    def __init__(self) -> None:
        self.memory = PhysicalMemory(2 << 20, PAGE_SIZE)
        self.cpu = M68kCpu(self.memory)
        self.cpu.attach(self)
        self.log: list[tuple[object, ...]] = []
        self.pmap = self.cpu.mmu.create()
        self.resumes = False
        for address in (CODE, NEXT, DATA):
            self.pmap.enter(VirtAddr(address), self.memory.allocate(), VM_PROT_DEFAULT)

    def close(self) -> None:
        self.cpu.close()
        self.memory.close()

    def system_call(self, number: int) -> int | None:
        if number == CONSTANT:
            return 7
        if number == ARGUMENTS:
            self.log.append(("arguments", self.cpu.arguments(3)))
            return 9
        self.log.append(("trap", number))
        self.cpu.stop()
        return None

    def emulated_call(self, number: int) -> int | None:
        return self.system_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        self.log.append(("fault", address, access))
        if address & ~(PAGE_SIZE - 1) == LAZY:
            frame = self.memory.allocate()
            self.memory.zero(frame)
            self.pmap.enter(VirtAddr(LAZY), frame, VM_PROT_DEFAULT)
            return True
        self.cpu.stop()
        return False

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self.log.append(("exception", exception, code, subcode, self.cpu.pc()))
        if self.resumes:
            if code == ILLEGAL:
                self.cpu.words[PC] += 2
            return True
        self.cpu.stop()
        return False

    def write(self, address: int, data: bytes) -> None:
        place = self.pmap.translate(VirtAddr(address), VM_PROT_WRITE)
        assert place is not None
        self.memory.write(PhysAddr(place), data)

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

    def go(self, pcb: M68kPcb, budget: int = FREE_RUN) -> int:
        """Runs a thread; how many instructions it was."""
        before = self.cpu.executed
        self.cpu.activate(pcb, self.pmap)
        self.cpu.run(Instructions(budget))
        self.cpu.deactivate()
        return self.cpu.executed - before

    def forget_lazy(self) -> None:
        place = self.pmap.translate(VirtAddr(LAZY), VM_PROT_READ)
        self.pmap.remove(VirtAddr(LAZY), VirtAddr(LAZY + PAGE_SIZE))
        if place is not None:
            self.memory.release(place // PAGE_SIZE)  # type: ignore[arg-type]
