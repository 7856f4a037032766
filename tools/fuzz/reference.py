"""Single instructions on a reference and on our CPUs, with the same registers and memory: what both of them share."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, Protocol

from machemu.abi.types import Frame, Instructions, VirtAddr
from machemu.abi.vm import VM_PROT_DEFAULT, VM_PROT_WRITE
from machemu.machine.memory import PhysicalMemory
from machemu.machine.seams import Cpu, Pcb, Pmap
from tools.fuzz.lists import Facts
from tools.fuzz.values import NUMBERS, PATTERN_WORDS

RAM: Final = 2 << 20
CODE, DATA, STACK = 0x10000, 0x20000, 0x40000
CODE_SIZE, DATA_SIZE, STACK_SIZE = 0x2000, 0x2000, 0x2000
REGIONS: Final = ((CODE, CODE_SIZE), (DATA, DATA_SIZE), (STACK, STACK_SIZE))
"""A case's memory, all of it to be read, written and executed; around each region is nothing."""
BEGIN: Final = CODE + 0x100
"""Where a case's instruction is."""
CODE_MAX: Final = 32
STEPS_MAX: Final = 40
"""How often an instruction is done that is its own successor."""
CHANGES_MAX: Final = 256
"""Words of memory that a result tells of at most."""
BATCH: Final = 4000


class NoReference(Exception):
    """The host has not what a reference needs; the message says what."""


@dataclass(frozen=True)
class Case:
    """code: an instruction and what may belong to it. index: which of the list's. traced: the reference steps over it."""

    index: int
    code: bytes
    registers: tuple[int, ...]
    flags: int
    traced: bool = True


class Fault(NamedTuple):
    """Number of the exception; its error code, or whether it was a store; the address."""

    number: int
    detail: int = 0
    address: int = 0


@dataclass
class Outcome:
    """fault: None where the instruction was done. changes: words of memory by address. media: MMX registers."""

    fault: Fault | None
    registers: tuple[int, ...]
    flags: int
    pc: int
    changes: dict[int, int] = field(default_factory=dict)
    media: bytes = b""


class Difference(NamedTuple):
    """fields: what differs, of lists.FIELDS. refused: ours is no instruction, and the reference's is one."""

    fields: frozenset[str]
    refused: bool


def differing(there: Outcome, here: Outcome, flags: int) -> set[str]:
    """The fields that differ; `flags` are those that are compared. Of a fault that is another the rest says nothing."""
    a, b = there.fault, here.fault
    if (a and a.number) != (b and b.number):
        return {"fault"}
    found = {
        "registers": there.registers != here.registers,
        "flags": bool((there.flags ^ here.flags) & flags),
        "pc": there.pc != here.pc,
        "memory": there.changes != here.changes,
        "media": there.media != here.media,
    }
    if a is not None and b is not None:
        found |= {"address": a.address != b.address, "access": a.detail != b.detail}
    return {name for name, differs in found.items() if differs}


def image(random: Random, order: str, filler: bytes) -> bytes:
    """The regions' contents: code that stops whatever runs into it, then extreme words among words by chance."""
    count = (DATA_SIZE + STACK_SIZE) // 4
    words = [random.choice(PATTERN_WORDS) if random.random() < 0.5 else random.getrandbits(32) for _ in range(count)]
    return filler * (CODE_SIZE // len(filler)) + struct.pack(f"{order}{count}I", *words)


def number(random: Random) -> int:
    return random.choice(NUMBERS) if random.random() < 0.7 else random.getrandbits(32)


def place(random: Random, first: int, size: int) -> int:
    """An address in a region, mostly far from its ends."""
    if random.random() < 0.05:
        return first + random.choice((-4, -1, 0, size - 4, size - 2, size - 1, size, size + 6, size + 12))
    return first + 0x400 + 4 * random.randrange((size - 0x800) // 4) + random.choice((0, 0, 0, 1, 2))


class Here(Protocol):
    """Our CPU, alone."""

    alone: Alone

    def __init__(self, memory: bytes) -> None: ...

    def cut(self, each: Case) -> Case:
        """The case as the reference gets it."""

    def run(self, each: Case) -> Outcome: ...

    def close(self) -> None: ...


class Reference(Protocol):
    """What stands for an architecture: the modules reference_i386 and reference_m68k."""

    ORDER: str
    FILLER: bytes
    COUNT: int
    Here: type[Here]

    def check(self) -> None:
        """Raises NoReference where the host's is not the one that the list of differences is made for."""

    def build(self, folder: Path) -> Path: ...

    def has(self, feature: str) -> bool:
        """Whether the reference has what a row of the list is about."""

    def is_compared(self, index: int) -> bool:
        """Whether the reference can run an encoding of the list."""

    def case(self, random: Random, index: int) -> Case: ...

    def reference(self, program: Path, memory: bytes, cases: Sequence[Case]) -> list[Outcome]: ...

    def facts(self, index: int) -> Facts: ...

    def difference(self, each: Case, there: Outcome, here: Outcome) -> Difference | None: ...


class Alone:
    """A CPU without a kernel: what it asks of one ends the case. `events` has what that was."""

    def __init__(self, cpu: type[Cpu], memory: bytes) -> None:
        page = cpu.page_size
        self.memory = PhysicalMemory(RAM, page)
        self.cpu = cpu(self.memory)  # type: ignore[call-arg]
        self.cpu.attach(self)
        self.pmap: Pmap = self.cpu.mmu.create()
        self.image = memory
        self.order = "<" if cpu.architecture == "i386" else ">"
        self.events: list[tuple[str, tuple[int, ...]]] = []
        self.frames: list[tuple[int, Frame]] = []
        for first, size in REGIONS:
            for address in range(first, first + size, page):
                frame = self.memory.allocate()
                self.pmap.enter(VirtAddr(address), frame, VM_PROT_DEFAULT)
                self.frames.append((address, frame))

    def close(self) -> None:
        self.cpu.close()
        self.memory.close()

    # machine.seams.Supervisor

    def system_call(self, number: int) -> int | None:
        self._event("trap", number)
        return None

    def emulated_call(self, number: int) -> int | None:
        return self.system_call(number)

    def fault(self, address: VirtAddr, access: int) -> bool:
        self._event("fault", address, bool(access & VM_PROT_WRITE))
        return False

    def exception(self, exception: int, code: int, subcode: int) -> bool:
        self._event("exception", exception, code, subcode)
        return False

    def cycles(self) -> int:
        return self.cpu.executed

    def print(self, data: bytes) -> None: ...

    def _event(self, kind: str, *numbers: int) -> None:
        self.events.append((kind, numbers))
        self.cpu.stop()

    def run(self, code: bytes, pcb: Pcb) -> tuple[int, dict[int, int]]:
        """How many instructions were done of a thread's, and what became of memory."""
        before = self._fill(code)
        self.events.clear()
        began = self.cpu.executed
        for _ in range(STEPS_MAX):
            self.cpu.activate(pcb, self.pmap)
            self.cpu.run(Instructions(1))
            self.cpu.deactivate()
            if self.events or pcb.pc != BEGIN:
                break
        return self.cpu.executed - began, dict(self._changes(before))

    def _fill(self, code: bytes) -> bytes:
        at = BEGIN - CODE
        before = self.image[:at] + code + self.image[at + len(code) :]
        page = self.cpu.page_size
        for n, (_, frame) in enumerate(self.frames):
            self.memory.view[frame * page : (frame + 1) * page] = before[n * page : (n + 1) * page]
        self.memory.stale = True
        return before

    def _changes(self, before: bytes) -> Iterator[tuple[int, int]]:
        page = self.cpu.page_size
        for n, (address, frame) in enumerate(self.frames):
            new, old = self.memory.view[frame * page : (frame + 1) * page], before[n * page : (n + 1) * page]
            if new != old:
                words = zip(struct.iter_unpack(f"{self.order}I", new), struct.iter_unpack(f"{self.order}I", old), strict=True)
                yield from ((address + 4 * at, one) for at, ((one,), (other,)) in enumerate(words) if one != other)
