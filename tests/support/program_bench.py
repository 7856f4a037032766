"""Programs of bytes on a CPU alone, whole or in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_READ, VM_PROT_WRITE
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k.cpu import M68kCpu
from tests.support.cpu_bench import LAZY, CpuBench

CODE, STACK, SIZE = 0x10000, 0x15F00, 0x6000
"""Code and data lie in SIZE bytes from CODE on."""
EDGE = 0x12000
"""Where two pages meet, on both processors."""
PAGES = {"i386": 0x1000, "m68k": 0x2000}
ALIAS = {arch: LAZY + page for arch, page in PAGES.items()}
"""Where CODE's first page is once more, right behind the page that comes late."""


class State(NamedTuple):
    """What a run came to: instructions, what the kernel saw, the registers, and memory from CODE on."""

    executed: int
    log: list[tuple[object, ...]]
    registers: dict[str, int]
    memory: bytes


class Bench(CpuBench[Any]):
    """A CPU with pages for code and data. names: those of its pcb's registers. traced: exceptions end no run."""

    names: Sequence[str]

    def __init__(self, arch: str, cpu: Callable[..., Any]) -> None:
        self.page = PAGES[arch]
        self.traced = False
        super().__init__(cpu, self.page, range(CODE, CODE + SIZE, self.page))
        first = self.pmap.translate(VirtAddr(CODE), VM_PROT_WRITE)
        assert first is not None
        self.pmap.enter(VirtAddr(ALIAS[arch]), Frame(first // self.page), VM_PROT_DEFAULT)

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        if not self.traced:
            return super().exception(exception, code, subcode)
        self.log.append(("exception", exception, code, subcode))
        return True

    def fill(self, address: int, data: bytes) -> None:
        """Writes any number of pages."""
        while data:
            size = self.page - address % self.page
            self.write(address, data[:size])
            address, data = address + size, data[size:]

    def contents(self) -> bytes:
        places = [self.pmap.translate(VirtAddr(address), VM_PROT_READ) for address in range(CODE, CODE + SIZE, self.page)]
        return b"".join(self.memory.read(PhysAddr(place or 0), self.page) for place in places)

    def run(
        self, code: bytes, total: int, sizes: Iterator[int], at: int = CODE, presets: Mapping[str, int] = {}, fresh: bool = False
    ) -> State:
        """Runs `total` instructions, or until an exception, in pieces of `sizes`. fresh: each piece from fresh translations."""
        self.log.clear()
        self.forget_lazy()
        self.fill(CODE, bytes(SIZE))
        self.fill(at, code)
        pcb = self.cpu.new_pcb(self.cpu.new_task())
        pcb.set_entry(VirtAddr(at), VirtAddr(STACK))
        self.set_registers(pcb, presets)
        done = 0
        while done < total and (self.traced or not self.is_over()):
            if fresh:
                self.cpu.engine.flush_translations()
            done += self.go(pcb, min(next(sizes), total - done))
        return State(done, list(self.log), self.registers(pcb), self.contents())

    def is_over(self) -> bool:
        return any(entry[0] != "fault" or int(str(entry[1])) & -self.page != LAZY for entry in self.log)

    def registers(self, pcb: Any) -> dict[str, int]:
        return dict(zip(self.names, pcb.registers, strict=True))

    def set_registers(self, pcb: Any, presets: Mapping[str, int]) -> None:
        for name, value in presets.items():
            pcb.registers[self.names.index(name)] = value


class I386Bench(Bench):
    names = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags")


class M68kBench(Bench):
    names = (*(f"d{n}" for n in range(8)), *(f"a{n}" for n in range(8)))

    def registers(self, pcb: Any) -> dict[str, int]:
        return {**super().registers(pcb), "pc": pcb.pc_, "sr": pcb.sr}

    def set_registers(self, pcb: Any, presets: Mapping[str, int]) -> None:
        pcb.sr = presets.get("sr", 0)
        super().set_registers(pcb, {name: value for name, value in presets.items() if name != "sr"})


def make_benches() -> dict[str, Bench]:
    """One for each architecture, by its name."""
    return {"i386": I386Bench("i386", I386Cpu), "m68k": M68kBench("m68k", M68kCpu)}
