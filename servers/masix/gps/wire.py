"""The bytes of operations and results, as the group of the replicated table carries them.

All numbers are unsigned and big-endian. An operation is its kind u8 (its place in KINDS, from 1 on) and its fields in order: a
uq-pid as masix.gps.names packs it, a member as node u32 and incarnation u64, a kind or a number of ports u8, other numbers u32,
and a personality as its length u8 and its bytes. A result is an outcome u8, a uq-pid, and the value u32.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, get_type_hints

from machemu.sim.state import U8, U32
from masix.gps.entry import PERSONALITY_MAX, Kind
from masix.gps.names import PACKED, UqPid, unpacked
from masix.gps.operations import (
    Abort,
    Bury,
    Commit,
    Create,
    Disown,
    Exit,
    Look,
    Move,
    Operation,
    Outcome,
    Reap,
    Result,
    Wait,
)
from masix.groups import Member

KINDS: Final[tuple[type[Any], ...]] = (Create, Move, Commit, Abort, Exit, Bury, Wait, Reap, Disown, Look)
RESULT: Final = struct.Struct(">B16sI")
MEMBER: Final = struct.Struct(">IQ")


class _Bytes:
    """What is still to be read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("an operation is cut")
        return self.data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))


def _personality(data: _Bytes) -> bytes:
    name = data.take(data.number(1))
    if len(name) > PERSONALITY_MAX:
        raise ValueError("a personality's name is too long")
    return name


_FIELDS: Final[dict[object, tuple[Callable[[Any], bytes], Callable[[_Bytes], Any]]]] = {
    UqPid: (UqPid.packed, lambda data: unpacked(data.take(PACKED.size))),
    Member: (lambda member: MEMBER.pack(*member), lambda data: Member(*MEMBER.unpack(data.take(MEMBER.size)))),
    Kind: (lambda kind: bytes([kind]), lambda data: Kind(data.number(1))),
    bytes: (lambda name: bytes([len(name)]) + name, _personality),
    U8: (lambda number: bytes([number]), lambda data: data.number(1)),
    U32: (lambda number: int(number).to_bytes(4), lambda data: data.number(4)),
}
"""How a field of each type is written and read."""
_SHAPES: Final = {kind: tuple(get_type_hints(kind, include_extras=True).values()) for kind in KINDS}


def pack_operation(operation: Operation) -> bytes:
    kind = type(operation)
    fields = (_FIELDS[shape][0](value) for shape, value in zip(_SHAPES[kind], operation, strict=True))
    return b"".join((bytes([KINDS.index(kind) + 1]), *fields))


def unpack_operation(data: bytes) -> Operation:
    """ValueError for bytes that are none."""
    rest = _Bytes(data)
    number = rest.number(1)
    if not 0 < number <= len(KINDS):
        raise ValueError(f"{number} is no operation")
    kind = KINDS[number - 1]
    operation: Operation = kind(*(_FIELDS[shape][1](rest) for shape in _SHAPES[kind]))
    if rest.at != len(data):
        raise ValueError("there is something behind an operation")
    return operation


def pack_result(result: Result) -> bytes:
    return RESULT.pack(result.outcome, result.process.packed(), result.value)


def unpack_results(data: bytes) -> Iterator[Result]:
    """ValueError or struct.error for bytes that are none."""
    for outcome, process, value in RESULT.iter_unpack(data):
        yield Result(Outcome(outcome), unpacked(process), value)
