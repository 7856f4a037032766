"""Distinct types for the numbers that must not be mixed up."""

from enum import Enum
from typing import NewType

VirtAddr = NewType("VirtAddr", int)
"""A byte address in a task's address space."""
PhysAddr = NewType("PhysAddr", int)
"""A byte address in a node's RAM."""
Frame = NewType("Frame", int)
"""A physical page's number: physical address divided by the machine's page size."""
Nanoseconds = NewType("Nanoseconds", int)
"""Virtual time, or a span of it."""
Instructions = NewType("Instructions", int)
"""A number of user-mode instructions that a CPU has begun."""


class ByteOrder(Enum):
    """A machine's byte order. prefix: what `struct` takes for it; quicker to ask for than the value, which is the same."""

    LITTLE = "<"
    BIG = ">"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix


def signed(value: int) -> int:
    """What 32 bits hold of a value, as a signed integer."""
    return (value + (1 << 31) & 0xFFFFFFFF) - (1 << 31)
