"""Names of generic processes: the thesis's uq-pid, the node and the virtual time of creation. Time that has gone never comes
back, so no name is given twice; what is created in the same instant is told apart by a counter.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from machemu.sim.state import U32, U64, state

PACKED: Final = struct.Struct(">IQI")


@state
class UqPid(NamedTuple):
    """node: where it was created. time: when, in nanoseconds. number: how many were created there in that instant before it.

    Packed: node u32, time u64, number u32, big-endian.
    """

    node: U32
    time: U64
    number: U32

    def packed(self) -> bytes:
        return PACKED.pack(*self)

    def __str__(self) -> str:
        return f"{self.node}.{self.time}.{self.number}"


NOBODY: Final = UqPid(0, 0, 0)
"""No process: nodes are counted from 1."""


def unpacked(data: bytes, at: int = 0) -> UqPid:
    """struct.error where there are too few bytes."""
    return UqPid(*PACKED.unpack_from(data, at))


@state
class Namer:
    """Gives a node's processes their names."""

    __slots__ = ("last", "node")
    node: U32
    last: UqPid  # the last one given, or NOBODY

    def __init__(self, node: int) -> None:
        self.node = node
        self.last = NOBODY

    def name(self, now: int) -> UqPid:
        """A name for a process that is created now, in nanoseconds."""
        again = self.last.time == now and self.last != NOBODY
        self.last = UqPid(self.node, now, self.last.number + 1 if again else 0)
        return self.last
