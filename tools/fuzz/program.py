"""What is run: a program is a few steps, each some code with the machine state that it begins in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

CODE, CODE_SIZE = 0x10000, 0x4000
DATA, DATA_SIZE = 0x20000, 0x4000
CONSTANT, CONSTANT_SIZE = 0x30000, 0x2000
STACK, STACK_SIZE = 0x40000, 0x4000
"""A guest's memory: code that it may write, data, data that it may not write, its stack. Around each of them is nothing."""
STACK_TOP: Final = STACK + STACK_SIZE - 0x800
NOWHERE: Final = 0x70000000
"""An address with nothing around it."""


class Origin(Enum):
    """Where a program comes from."""

    LISTED = "listed"
    """Encodings from the list, one a step."""
    RANDOM = "random"
    MUTATED = "mutated"
    """Pieces of the guest programs in this tree, changed."""


class Extra(Enum):
    """What a step may set besides registers; each has numbers of its own."""

    FLOAT = "floating point"
    """The words of the machine's float state."""
    DEBUG = "debug registers"
    """dr0 to dr7."""
    SEGMENTS = "segments"
    """cs, ss, ds, es, fs, gs."""
    LOCAL_TABLE = "local table"
    """A selector, then pairs of words from its descriptor on."""
    GLOBAL_TABLE = "global table"
    """Pairs of words for the thread's own slots."""
    PORTS = "I/O ports"
    """The first and the last port that the task may use."""
    VECTOR = "emulation vector"
    """The first trap number, then the handlers' addresses."""


@dataclass(frozen=True)
class Step:
    """Code at `address`, begun with `registers` (eax, ecx, edx, ebx, esp, ebp, esi, edi; d0 to a7) and `flags` (eflags, sr).

    instructions: how many it may run in all. resume: after the first exception the program counter moves by the first of these
    many bytes, and so on; the step ends when none is left. listed: the number of its encoding in the list, or None.
    """

    address: int
    code: bytes
    registers: tuple[int, ...]
    flags: int = 0
    instructions: int = 2000
    resume: tuple[int, ...] = ()
    extras: tuple[tuple[Extra, tuple[int, ...]], ...] = ()
    listed: int | None = None


@dataclass(frozen=True)
class Program:
    """number: which of its seed's. handled: exceptions go to a port, else the first one ends the task.

    cuts: chooses where the second run is cut. saved: the second run is saved and loaded at one of the cuts.
    """

    architecture: str
    seed: int
    number: int
    kind: Origin
    steps: tuple[Step, ...]
    handled: bool = True
    cuts: int = 0
    saved: bool = False
