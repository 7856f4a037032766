"""What `fuzz --oracle` has done on both kernels: programs of random operations, as words of its guest (guest/oracle.c)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from random import Random
from typing import Final

GUEST: Final = Path(__file__).parent / "guest" / "oracle.elf"
MARK: Final = b"\0mar" + (0x6B72616D).to_bytes(4, "little")
"""The first entry of the guest's table of operations; the rest is the fuzzer's."""
MOST: Final = 9000
OPERATIONS: Final = 300
"""Of a program, besides those that show everything."""
SHOWN_EVERY: Final = 30
PAGES: Final = 32
TASKS: Final = 4
PORTS: Final = 10
THREADS: Final = 4


class What(IntEnum):
    """An operation, by its number in the guest."""

    ALLOCATE = 1
    DEALLOCATE = 2
    PROTECT = 3
    INHERIT = 4
    WIRE = 5
    READ = 6
    WRITE = 7
    VM_READ = 8
    VM_WRITE = 9
    VM_COPY = 10
    VM_MAP = 11
    TASK_CREATE = 12
    TASK_TERMINATE = 13
    SEND = 14
    RECEIVE = 15
    PORT = 16
    THREAD = 17
    EVERYTHING = 18
    PROGRAM = 19


WEIGHTS: Final = {
    What.ALLOCATE: 10,
    What.DEALLOCATE: 4,
    What.PROTECT: 7,
    What.INHERIT: 7,
    What.WIRE: 5,
    What.READ: 10,
    What.WRITE: 14,
    What.VM_READ: 4,
    What.VM_WRITE: 5,
    What.VM_COPY: 5,
    What.VM_MAP: 3,
    What.TASK_CREATE: 5,
    What.TASK_TERMINATE: 1,
    What.SEND: 8,
    What.RECEIVE: 6,
    What.PORT: 10,
    What.THREAD: 6,
}
"""How often each is chosen."""
READABLE: Final = (0, 1, 3, 3, 3, 5, 7)
ANY: Final = tuple(range(8))


@dataclass(frozen=True, slots=True)
class Operation:
    """One of a program: the task, port or thread, a page of the window and a number of pages, and anything else."""

    what: What
    x: int = 0
    page: int = 0
    pages: int = 0
    value: int = 0

    def packed(self) -> bytes:
        return struct.pack("<4BI", self.what, self.x, self.page, self.pages, self.value)


def program(seed: int, number: int) -> list[Operation]:
    """The operations of one program of a seed.

    Half of the programs wire memory, and the others have memory that cannot be read: both together stop the real kernel.
    """
    random = Random(f"{seed} {number}")
    wires = random.random() < 0.5
    protections = READABLE if wires else ANY
    kinds = [what for what in WEIGHTS if wires or what is not What.WIRE]
    weights = [WEIGHTS[what] for what in kinds]
    found = [Operation(What.PROGRAM, value=number)]
    for index in range(OPERATIONS):
        found.append(_operation(random, random.choices(kinds, weights)[0], protections))
        if index % SHOWN_EVERY == SHOWN_EVERY - 1:
            found.append(Operation(What.EVERYTHING))
    return found


def _operation(random: Random, what: What, protections: tuple[int, ...]) -> Operation:
    page = random.randrange(PAGES - 1)
    pages = min(random.choice((1, 1, 2, 3, 4, 6)), PAGES - page)
    x, value = random.randrange(TASKS), random.getrandbits(32)
    if what is What.PROTECT:
        value = random.choice(protections) | (random.random() < 0.15) << 3
    elif what is What.INHERIT:
        value = random.choice((0, 0, 1, 1, 2, 3))
    elif what is What.WIRE:
        value = random.choice((0, 0, 1, 3, 3, 7))
    elif what is What.VM_COPY:
        value = _apart(random, page, pages)
    elif what is What.VM_MAP:
        value = random.choice(protections) | random.choice((7, 7, 3, 1)) << 3 | random.randrange(3) << 6
    elif what in (What.SEND, What.RECEIVE, What.PORT):
        x = random.randrange(PORTS)
    elif what is What.THREAD:
        x, page = random.randrange(THREADS), random.randrange(TASKS)
    return Operation(what, x, page, pages, value)


def _apart(random: Random, page: int, pages: int) -> int:
    """A page at which as many do not meet these: a shared page that is copied onto itself hangs the real kernel."""
    places = [place for place in range(PAGES - pages + 1) if place + pages <= page or place >= page + pages]
    return random.choice(places)


def image(programs: Iterator[list[Operation]]) -> bytes:
    """The guest with these programs, one after the other."""
    data = bytearray(GUEST.read_bytes())
    words = b"".join(operation.packed() for each in programs for operation in each)
    start = data.index(MARK) + len(MARK)
    if len(words) > (MOST - 2) * len(MARK):
        raise ValueError("so many operations do not fit the guest")
    data[start : start + len(words)] = words
    return bytes(data)
