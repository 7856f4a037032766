"""Unicorn without machemu's kernel: the same loops on the same engine, with the least that a hook could do."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Final
from unittest.mock import patch

from machemu.machine import accel, counting
from machemu.machine.memory import PhysicalMemory

CODE: Final = 0x8000
DATA: Final = 0xA000
RAM: Final = 4 << 20
WARM_UP: Final = 1000
LOOP_INSTRUCTIONS: Final = 4


def trap_seconds(machine: ModuleType, code: bytes, count: int) -> float:
    """How long an engine takes for `count` instructions of a loop with traps. machine: bare_i386 or bare_m68k."""
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    with accel.left_out():
        cpu = machine.BareCpu(memory)
    address = cpu.prepare(code)
    began = time.process_time()
    cpu.engine.start(address, count)
    elapsed = time.process_time() - began
    cpu.close()
    memory.close()
    return elapsed


def start_us(machine: ModuleType, count: int) -> float:
    """Microseconds of an engine's start for one instruction of the machine's WALK."""
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    with accel.left_out():
        cpu = machine.BareCpu(memory)
    address = cpu.prepare(machine.WALK)
    began = time.process_time()
    for _ in range(count):
        cpu.engine.start(address, 1)
    elapsed = time.process_time() - began
    cpu.close()
    memory.close()
    return elapsed / count * 1e6


def mips(machine: ModuleType, count: int) -> float:
    """Millions of instructions a second of the machine's LOOP, where nothing counts them."""
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    with patch.object(counting, "begin"), accel.left_out():
        cpu = machine.BareCpu(memory)
    address = cpu.prepare(machine.LOOP + machine.END)
    cpu.engine.flush_translations()
    cpu.bare = False
    cpu.set_rounds(count // LOOP_INSTRUCTIONS)
    began = time.process_time()
    cpu.engine.go(address)
    elapsed = time.process_time() - began
    cpu.close()
    memory.close()
    return count / elapsed / 1e6


def trap_us(machine: ModuleType, count: int) -> float:
    """Microseconds of one round of the machine's TRAP_LOOP."""
    return trap_seconds(machine, machine.TRAP_LOOP, count * machine.TRAP_INSTRUCTIONS) / count * 1e6
