"""What an instruction of a traced thread costs, without the kernel's delivery of its exception."""

from __future__ import annotations

import time
from types import ModuleType

from machemu.abi.types import Instructions, VirtAddr
from machemu.machine import accel
from machemu.machine.memory import PhysicalMemory
from tools.bench.bare import RAM


class GoesOn:
    """A kernel under which threads go on after exceptions, and end for anything else."""

    def system_call(self, number: int) -> int | None:
        raise NotImplementedError

    emulated_call = system_call

    def fault(self, address: VirtAddr, access: int) -> bool:
        raise NotImplementedError

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        return True


def starts(machine: ModuleType, count: int) -> float:
    """What an instruction of the machine's WALK costs in a traced thread, in starts of the engine for one instruction; its first
    round, in which all is translated, included. machine: bare_i386 or bare_m68k."""
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    with accel.left_out():
        cpu = machine.BareCpu(memory)
    address = cpu.prepare(machine.WALK)
    began = time.process_time()
    for _ in range(count):
        cpu.engine.start(address, 1)
    start = time.process_time() - began
    cpu.bare = False
    cpu.attach(GoesOn())
    pcb = cpu.new_pcb(cpu.new_task())
    for flavor, words in machine.states(traced=True):
        pcb.set_state(flavor, words)
    cpu.activate(pcb, cpu.space)
    began = time.process_time()
    cpu.run(Instructions(count))
    traced = time.process_time() - began
    cpu.close()
    memory.close()
    return traced / start
