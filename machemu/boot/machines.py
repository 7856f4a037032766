"""The machines that there are, by architecture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.i386.pmap import I386Mmu
from machemu.machine.m68k.cpu import M68kCpu
from machemu.machine.m68k.pmap import M68kMmu
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import Cpu


class CpuClass(Protocol):
    """A class of CPUs: powers one on over fresh memory; with `mmu` goes on over the loaded memory that it belongs to."""

    page_size: int

    def __call__(self, memory: PhysicalMemory, mmu: Any = None) -> Cpu: ...


@dataclass(frozen=True, slots=True)
class Architecture:
    """mmu: the class of its memory management units, by which a loaded machine is told."""

    cpu: CpuClass
    mmu: type


MACHINES: Final = {"i386": Architecture(I386Cpu, I386Mmu), "m68k": Architecture(M68kCpu, M68kMmu)}
