"""A CPU alone, under a kernel of a few lines, for the tests of the i386."""

from __future__ import annotations

import struct

from machemu.abi.exception import EXC_ARITHMETIC
from machemu.abi.types import VirtAddr
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.pcb import (
    EAX,
    ECX,
    EDX,
    I386Pcb,
)
from machemu.machine.i386.pmap import PAGE_SIZE
from tests.support.cpu_bench import LEAVE, CpuBench

CODE, DATA, STACK = 0x8000, 0x9000, 0x9F00


def trap(number: int) -> bytes:
    return b"\xb8" + struct.pack("<i", -number) + b"\x9a\0\0\0\0\x07\0"


class Bench(CpuBench[I386Cpu]):
    def __init__(self) -> None:
        super().__init__(I386Cpu, PAGE_SIZE, (CODE, DATA))

    def start(self, code: bytes) -> I386Pcb:
        """Code at CODE, and a fresh thread there."""
        self.log.clear()
        self.write(CODE, code + b"\xeb\xfe")
        pcb = self.cpu.new_pcb(self.cpu.new_task())
        pcb.set_entry(VirtAddr(CODE), VirtAddr(STACK))
        return pcb


DIVIDES = (EXC_ARITHMETIC, 1)
LEAST, MINUS_ONE = 0x80000000, 0xFFFFFFFF


def exceptions(bench: Bench) -> list[tuple[object, object]]:
    """Exception and code of each that was raised."""
    return [(what[1], what[2]) for what in bench.log if what[0] == "exception"]


def divides(bench: Bench) -> bool:
    """Whether the least number divided by -1 is the guest's exception."""
    pcb = bench.start(b"\xf7\xf9" + trap(LEAVE))
    pcb.registers[EAX], pcb.registers[EDX], pcb.registers[ECX] = 0, LEAST, MINUS_ONE
    bench.go(pcb)
    return exceptions(bench) == [DIVIDES]
