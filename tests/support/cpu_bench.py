"""A CPU alone, under a kernel of a few lines, for the tests of the processors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from machemu.abi.types import Instructions, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import Cpu, Pcb

LAZY = 0x20000
CONSTANT, ARGUMENTS, LEAVE = 1, 2, 3
FREE_RUN = 10_000
CYCLES_BEFORE = 0xFFFF_FFF0
"""What the time-stamp counter begins with."""

C = TypeVar("C", bound=Cpu)


class CpuBench(Generic[C]):
    """A CPU, one address space with `pages`, and the least of a kernel: LAZY's page comes when it is touched."""

    def __init__(self, cpu: Callable[[PhysicalMemory], C], page_size: int, pages: Sequence[int]) -> None:
        self.memory = PhysicalMemory(2 << 20, page_size)
        self.cpu = cpu(self.memory)
        self.cpu.attach(self)
        self.log: list[tuple[object, ...]] = []
        self.pmap = self.cpu.mmu.create()
        for address in pages:
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
        if address & ~(self.cpu.page_size - 1) == LAZY:
            frame = self.memory.allocate()
            self.memory.zero(frame)
            self.pmap.enter(VirtAddr(LAZY), frame, VM_PROT_DEFAULT)
            return True
        self.cpu.stop()
        return False

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self.log.append(("exception", exception, code, subcode))
        self.cpu.stop()
        return False

    def cycles(self) -> int:
        return CYCLES_BEFORE + self.cpu.executed

    def print(self, data: bytes) -> None:
        self.log.append(("print", data))

    def write(self, address: int, data: bytes) -> None:
        place = self.pmap.translate(VirtAddr(address), VM_PROT_WRITE)
        assert place is not None
        self.memory.write(PhysAddr(place), data)

    def go(self, pcb: Pcb, budget: int = FREE_RUN) -> int:
        """Runs a thread; how many instructions it was."""
        before = self.cpu.executed
        self.cpu.activate(pcb, self.pmap)
        self.cpu.run(Instructions(budget))
        self.cpu.deactivate()
        return self.cpu.executed - before

    def forget_lazy(self) -> None:
        place = self.pmap.translate(VirtAddr(LAZY), VM_PROT_READ)
        self.pmap.remove(VirtAddr(LAZY), VirtAddr(LAZY + self.cpu.page_size))
        if place is not None:
            self.memory.release(place // self.cpu.page_size)  # type: ignore[arg-type]
