"""What an instruction of a traced thread costs, without the kernel's delivery of its exception."""

from __future__ import annotations

import time
from types import ModuleType

from machemu.abi.types import Instructions, VirtAddr
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


def us(machine: ModuleType, count: int) -> float:
    """Microseconds of processor time for an instruction of the machine's WALK in a traced thread, by the engine that machines
    have where nobody chooses; its first round, in which all is translated, included. machine: bare_i386 or bare_m68k.

    `against` measures older checkouts by this, too: it uses only what they have.
    """
    memory = PhysicalMemory(RAM, machine.PAGE_SIZE)
    cpu = machine.BareCpu(memory)
    cpu.prepare(machine.WALK)
    cpu.bare = False
    cpu.attach(GoesOn())
    pcb = cpu.new_pcb(cpu.new_task())
    for flavor, words in machine.states(traced=True):
        pcb.set_state(flavor, words)
    cpu.activate(pcb, cpu.space)
    began = time.process_time()
    cpu.run(Instructions(count))
    elapsed = time.process_time() - began
    cpu.close()
    memory.close()
    return elapsed / count * 1e6
