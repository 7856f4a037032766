"""An entry of the table of generic processes, and its bytes. All numbers are unsigned and big-endian.

| what | bytes |
|---|---|
| first | uq-pid, parent, kind u8, parent's kind u8, state u8, epoch u32, at, to, status u32, ports u8, owner u32, |
| then | children u16, name u8 |
| personality | as many bytes as `name` says |
| children | as many uq-pids |

A uq-pid is 16 bytes (masix.gps.names); at and to are members: node u32, incarnation u64.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from machemu.sim.state import U8, U32, state
from masix.gps.names import NOBODY, PACKED, UqPid, unpacked
from masix.groups import Member

NOWHERE: Final = Member(0, 0)
PERSONALITY_MAX: Final = 31
CHILDREN_MAX: Final = 1024
"""Children of one process: its entry has to go in one message."""
_FIXED: Final = struct.Struct(">16s16sBBBIIQIQIBIHB")


@state
class Kind(IntEnum):
    """NOMAD: may move, known on all nodes. SEDENTARY: stays, known on its node alone."""

    NOMAD = 0
    SEDENTARY = 1


@state
class State(IntEnum):
    """What a process is; one that is gone has no entry. tools/decisions/0040 has the state machine."""

    RUNNING = 0
    """At `at`."""
    MOVING = 1
    """Frozen at `at`, from where it moves to `to`; where it goes on is not decided."""
    ZOMBIE = 2
    """It has ended, and its parent has not asked for its status."""


@state
class Entry(NamedTuple):
    """A process. parent: NOBODY for none, or when that is gone (an orphan). children: those of its own kind, as they were
    created. at: which node in which incarnation has it; to: where it moves to, else NOWHERE. epoch: how often a move of it was
    begun. status: of a zombie. ports: how many ports of its own the instances of its personality make for it in advance. owner:
    whose it is, by a number that a privileged server gave, 0 for nobody's; its children are, too.
    """

    process: UqPid
    kind: Kind
    personality: bytes
    parent: UqPid
    parent_kind: Kind
    at: Member
    ports: U8
    state: State = State.RUNNING
    epoch: U32 = 0
    to: Member = NOWHERE
    status: U32 = 0
    children: tuple[UqPid, ...] = ()
    owner: U32 = 0

    @property
    def linked(self) -> bool:
        """Its parent is in the same table, and has it among its children."""
        return self.parent != NOBODY and self.parent_kind is self.kind

    def packed(self) -> bytes:
        fixed = _FIXED.pack(
            self.process.packed(), self.parent.packed(), self.kind, self.parent_kind, self.state, self.epoch, *self.at, *self.to,
            self.status, self.ports, self.owner, len(self.children), len(self.personality),
        )  # fmt: skip
        return b"".join((fixed, self.personality, *(child.packed() for child in self.children)))


def unpack(data: bytes, at: int = 0) -> tuple[Entry, int]:
    """An entry of the bytes from `at` on, and where it ends. ValueError where these are none."""
    try:
        process, parent, *rest, ports, owner, count, size = _FIXED.unpack_from(data, at)
        kind, parent_kind, condition, epoch, node, incarnation, to_node, to_incarnation, status = rest
        place = at + _FIXED.size + size
        children = tuple([unpacked(data, place + PACKED.size * number) for number in range(count)])
        entry = Entry(
            unpacked(process), Kind(kind), bytes(data[place - size : place]), unpacked(parent), Kind(parent_kind),
            Member(node, incarnation), ports, State(condition), epoch, Member(to_node, to_incarnation), status, children, owner,
        )  # fmt: skip
    except struct.error:
        raise ValueError("an entry is cut") from None
    return entry, place + PACKED.size * count
