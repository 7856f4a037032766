"""Unicorn without machemu's kernel: the same loops on the same engine, with the least that a hook could do."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Final

from machemu.machine.memory import PhysicalMemory

CODE: Final = 0x8000
DATA: Final = 0xA000
RAM: Final = 4 << 20
WARM_UP: Final = 1000


def seconds(machine: ModuleType, code: bytes, count: int) -> float:
    """How long Unicorn alone takes for `count` instructions of a loop, run with `count=`. machine: bare_i386 or bare_m68k."""
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    cpu = machine.BareCpu(memory)
    address = cpu.prepare(code)
    began = time.perf_counter()
    cpu.engine.start(address, count)
    elapsed = time.perf_counter() - began
    cpu.close()
    memory.close()
    return elapsed


def mips(machine: ModuleType, count: int) -> float:
    """Millions of instructions a second of the machine's LOOP."""
    return count / seconds(machine, machine.LOOP, count) / 1e6


def trap_us(machine: ModuleType, count: int) -> float:
    """Microseconds of one round of the machine's TRAP_LOOP."""
    return seconds(machine, machine.TRAP_LOOP, count * machine.TRAP_INSTRUCTIONS) / count * 1e6
