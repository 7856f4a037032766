"""A real program, images/src/pack.c, beside the same instructions on an engine that counts nothing and has no kernel."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest.mock import patch

from elftools.elf.elffile import ELFFile

from machemu.abi.types import Frame, PhysAddr, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT
from machemu.boot.bootstrap import boot_modules
from machemu.boot.node import Node
from machemu.kern.thread import Thread
from machemu.machine import accel, counting
from machemu.machine.memory import PhysicalMemory
from machemu.machine.profile import DEFAULT_PROFILES, load_profile
from tools.bench.loops import IMAGES, line

NAME: Final = "pack"
RESULT: Final = "packed"
"""The variable that has what was worked out."""
AFTER_GO_NS: Final = 1_000_000
SMOKE_NS: Final = 10_000_000
"""How much of the run is made where it is only to be shown that it can be."""


def ratio(machine: ModuleType, architecture: str, divisor: int = 1) -> float:
    """The machine's speed by that of the bare engine. divisor: above 1 it is only shown that it can be measured.

    AssertionError where both do not give the same.
    """
    with started(architecture) as (node, thread):
        bare = Bare(machine, node, thread)
        began = time.process_time()
        if divisor > 1:
            node.kernel.run(deadline=node.kernel.kern.clock.now() + SMOKE_NS)
            bare.close()
            return 0
        node.kernel.run()
        here = time.process_time() - began
        there = bare.seconds()
        place, size = variable(IMAGES / architecture / f"{NAME}.elf", RESULT)
        assert bare.read(place, size) == thread.memory.read(VirtAddr(place), size), "the bare engine has packed something else"
        bare.close()
    return there / here


@contextmanager
def started(architecture: str) -> Iterator[tuple[Node, Thread]]:
    """A machine that has begun to pack, and its thread. Its kernel runs until that is done."""

    def sink(data: bytes) -> None:
        if b"GO" in data or b"DONE" in data:
            kernel.stop()

    with Node(load_profile(DEFAULT_PROFILES[architecture])) as node:
        kernel = node.kernel
        kernel.console.sinks.append(sink)
        boot_modules(kernel, [f"{IMAGES / architecture / NAME}.elf {line(NAME, 0)}"], {})
        kernel.run()
        kernel.run(deadline=kernel.kern.clock.now() + AFTER_GO_NS)
        thread = kernel.kern.current
        assert thread.continuation is None and thread.retval is None, "the program is still in the kernel"
        yield node, thread


def variable(program: Path, name: str) -> tuple[int, int]:
    """The place and the size of a variable of a program's."""
    with program.open("rb") as file:
        symbols: Any = ELFFile(file).get_section_by_name(".symtab")
        symbol = symbols.get_symbol_by_name(name)[0]
        return symbol["st_value"], symbol["st_size"]


class Bare:
    """An engine with a copy of a thread's memory and registers, all of it there for Unicorn to find.

    machine: bare_i386 or bare_m68k.
    """

    def __init__(self, machine: ModuleType, node: Node, thread: Thread) -> None:
        self.memory = PhysicalMemory(len(node.kernel.memory.view), machine.PAGE_SIZE)
        with patch.object(counting, "begin"), accel.left_out():
            cpu = self.cpu = machine.BareCpu(self.memory)
        cpu._system_call = lambda _: cpu.engine.stop()
        self.pmap = cpu.mmu.create()
        assert thread.task.map is not None
        mmu: Any = node.cpu.mmu
        for frame, users in mmu.mappers.items():
            for owner, address in users:
                if owner is thread.task.map.pmap:
                    self._copy(address, node.kernel.memory, frame)
        pcb = cpu.new_pcb(cpu.new_task())
        for flavor, _ in machine.states():
            pcb.set_state(flavor, thread.pcb.get_state(flavor))
        cpu.activate(pcb, self.pmap)
        self._start = cpu.first_place()

    def _copy(self, address: int, memory: PhysicalMemory, source: Frame) -> None:
        """Gives it a page of the machine's."""
        frame, size = self.memory.allocate(), memory.frame_size
        self.memory.write(PhysAddr(frame * size), memory.read(PhysAddr(source * size), size))
        self.pmap.enter(VirtAddr(address), frame, VM_PROT_DEFAULT)
        if source in memory.code_frames:
            self.cpu._allow_fetch(frame * size)
        self.cpu.show(self.pmap, VirtAddr(address))

    def seconds(self) -> float:
        """How long it takes to the program's next trap, by the processor's time."""
        began = time.process_time()
        self.cpu.engine.go(self._start)
        return time.process_time() - began

    def read(self, address: int, size: int) -> bytes:
        """What the program has at an address now."""
        page = self.memory.frame_size
        first = address & -page
        places = [self.pmap.translate(VirtAddr(at), VM_PROT_DEFAULT) for at in range(first, address + size, page)]
        return b"".join(self.memory.read(place, page) for place in places)[address - first :][:size]

    def close(self) -> None:
        self.cpu.close()
        self.memory.close()
