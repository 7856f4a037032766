"""The machines that there are, by architecture. A machine's modules are loaded when it is first asked for: they take time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import Cpu


class CpuClass(Protocol):
    """A class of CPUs: powers one on over fresh memory; with `mmu` goes on over the loaded memory that it belongs to."""

    page_size: int

    def __call__(self, memory: PhysicalMemory, mmu: Any = None) -> Cpu: ...


class Classes(NamedTuple):
    """mmu: of its memory management units, by which a loaded machine is told."""

    cpu: CpuClass
    mmu: type


class Architecture(NamedTuple):
    load: Callable[[], Classes]

    @property
    def cpu(self) -> CpuClass:
        return self.load().cpu

    @property
    def mmu(self) -> type:
        return self.load().mmu


def _i386() -> Classes:
    from machemu.machine.i386.cpu import I386Cpu
    from machemu.machine.i386.pmap import I386Mmu

    return Classes(I386Cpu, I386Mmu)


def _m68k() -> Classes:
    from machemu.machine.m68k.cpu import M68kCpu
    from machemu.machine.m68k.pmap import M68kMmu

    return Classes(M68kCpu, M68kMmu)


MACHINES: Final = {"i386": Architecture(_i386), "m68k": Architecture(_m68k)}


def load_all() -> None:
    """Before a file is read: it may hold any machine's state, whose classes register themselves when they are loaded."""
    for machine in MACHINES.values():
        machine.load()
