"""The group protocol's packets. All numbers are unsigned and big-endian.

Each packet is a head (version u8, kind u8, group u32, the sender's incarnation u64, view number u64) and a body:

| kind | goes by | body |
|---|---|---|
| HEARTBEAT | multicast, or the channel | none; in a multicast group and view are 0 |
| DATA | multicast, or the channel | number u64, then what the sender broadcast |
| STATUS | multicast | flags u8 (1: wants to leave, 2: asks for others' STATUS), vector, suspects u128 (bit i: the member i) |
| JOIN | multicast | none; view is 0 |
| GONE | the channel | about u64: the view, now over, in which the receiver believes itself to be |
| PREPARE, REFUSE, ACCEPTED | the channel | ballot u64 |
| PROMISE | the channel | ballot u64, the accepted value's or 0 u64, its size u32, the value, suspects u128, vector, messages |
| ACCEPT | the channel | ballot u64, value |
| DECIDE | the channel | value |
| STATE | the channel | elders u16, members, lasts: members and a vector of as many, then the application's state |

vector: u16 count, as many u64: how many messages of each member of the view were received.
members: u16 count, as many (node u32, incarnation u64). messages: u32 count, as many (index u16, number u64, u32 size and bytes).
value: elders u16, members, vector, messages. A packet that is anything else is refused whole.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from machemu.sim.state import state
from masix.groups.view import Member

VERSION: Final = 1
HEAD: Final = struct.Struct(">BBIQQ")
MULTICAST_MAX: Final = 1400
"""Bytes of a multicast at most: what one Ethernet frame takes beside the headers of what carries it."""
MEMBERS_MAX: Final = 128
BALLOT_MAX: Final = 1 << 48
_MEMBER: Final = struct.Struct(">IQ")
_MESSAGE: Final = struct.Struct(">HQI")
_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_SUSPECTS: Final = MEMBERS_MAX // 8


class PacketError(ValueError):
    """The bytes are no packet of this protocol; the message says why."""


class GroupPacketKind(IntEnum):
    """What a packet is."""

    HEARTBEAT = 1
    DATA = 2
    STATUS = 3
    JOIN = 4
    GONE = 5
    PREPARE = 6
    PROMISE = 7
    REFUSE = 8
    ACCEPT = 9
    ACCEPTED = 10
    DECIDE = 11
    STATE = 12


class Head(NamedTuple):
    """A packet's head without its version."""

    kind: GroupPacketKind
    group: int
    incarnation: int
    view: int


Vector = tuple[int, ...]
Message = tuple[int, int, bytes]
"""The sender's index in the view, the message's number, its bytes."""


class Status(NamedTuple):
    """What a member tells the others."""

    leaving: bool
    asks: bool
    received: Vector
    suspects: int


@state
class Promise(NamedTuple):
    """What a member has when it stops in its view: the value it accepted last (ballot 0: none), and all that may be unstable."""

    ballot: int
    accepted_ballot: int
    accepted: bytes
    suspects: int
    received: Vector
    messages: tuple[Message, ...]


class Value(NamedTuple):
    """How a view ends: the next one's members, and what is delivered before it.

    cut: of each old member the number of its last message in the old view. messages: those that some elder may lack.
    """

    elders: int
    members: tuple[Member, ...]
    cut: Vector
    messages: tuple[Message, ...]


class State(NamedTuple):
    """What a member that joins begins with. lasts: of each known origin the number of its last message that `state` covers."""

    elders: int
    members: tuple[Member, ...]
    lasts: dict[Member, int]
    state: bytes


class Reader:
    """Takes a body apart, front to back; PacketError where it ends early or goes on."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        start = self.place
        self.place += size
        if self.place > len(self.data):
            raise PacketError("it ends early")
        return self.data[start : self.place]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.place)

    def end(self) -> None:
        if self.place != len(self.data):
            raise PacketError("something follows its end")

    def u16(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def sized(self) -> bytes:
        return self.take(self.u32())

    def suspects(self) -> int:
        return int.from_bytes(self.take(_SUSPECTS), "big")

    def vector(self) -> Vector:
        count = self.u16()
        return struct.unpack(f">{count}Q", self.take(8 * count))

    def members(self) -> tuple[Member, ...]:
        count = self.u16()
        members = tuple(Member(*pair) for pair in _MEMBER.iter_unpack(self.take(_MEMBER.size * count)))
        if len({member.node for member in members}) != count:
            raise PacketError("a node is a member twice")
        return members

    def messages(self) -> tuple[Message, ...]:
        found = []
        for _ in range(self.u32()):
            index, number, size = _MESSAGE.unpack(self.take(_MESSAGE.size))
            found.append((index, number, self.take(size)))
        return tuple(found)


def packet(kind: GroupPacketKind, group: int, incarnation: int, view: int, body: bytes = b"") -> bytes:
    return HEAD.pack(VERSION, kind, group, incarnation, view) + body


def head(data: bytes) -> Head:
    """The head of a packet; its body begins at HEAD.size."""
    if len(data) < HEAD.size:
        raise PacketError("it is shorter than a head")
    version, kind, group, incarnation, view = HEAD.unpack_from(data)
    if version != VERSION:
        raise PacketError(f"its version is {version}, not {VERSION}")
    try:
        return Head(GroupPacketKind(kind), group, incarnation, view)
    except ValueError:
        raise PacketError(f"its kind is {kind}") from None


def number(value: int) -> bytes:
    return _U64.pack(value)


def one_number(body: bytes) -> int:
    """The body that is one number."""
    reader = Reader(body)
    found = reader.u64()
    reader.end()
    return found


def ballot(body: bytes) -> int:
    """The body that is one ballot."""
    return _ballot(one_number(body))


def _ballot(found: int) -> int:
    if not 0 < found < BALLOT_MAX:
        raise PacketError(f"its ballot is {found}")
    return found


def data(body: bytes) -> tuple[int, bytes]:
    """DATA: number, message."""
    reader = Reader(body)
    return reader.u64(), reader.rest()


def _vector(vector: Vector) -> bytes:
    return struct.pack(f">H{len(vector)}Q", len(vector), *vector)


def _members(members: tuple[Member, ...]) -> bytes:
    return _U16.pack(len(members)) + b"".join(_MEMBER.pack(*member) for member in members)


def _messages(messages: tuple[Message, ...]) -> bytes:
    parts = [_U32.pack(len(messages))]
    for index, sequence, body in messages:
        parts += [_MESSAGE.pack(index, sequence, len(body)), body]
    return b"".join(parts)


def write_status(status: Status) -> bytes:
    return bytes((status.leaving | status.asks << 1,)) + _vector(status.received) + status.suspects.to_bytes(_SUSPECTS, "big")


def read_status(body: bytes) -> Status:
    reader = Reader(body)
    flags = reader.take(1)[0]
    if flags > 3:
        raise PacketError("it has unknown flags")
    status = Status(bool(flags & 1), bool(flags & 2), reader.vector(), reader.suspects())
    reader.end()
    return status


def write_promise(promise: Promise) -> bytes:
    parts = [_U64.pack(promise.ballot), _U64.pack(promise.accepted_ballot), _U32.pack(len(promise.accepted)), promise.accepted]
    parts += [promise.suspects.to_bytes(_SUSPECTS, "big"), _vector(promise.received), _messages(promise.messages)]
    return b"".join(parts)


def read_promise(body: bytes) -> Promise:
    reader = Reader(body)
    promised, accepted, value = _ballot(reader.u64()), reader.u64(), reader.sized()
    promise = Promise(promised, accepted, value, reader.suspects(), reader.vector(), reader.messages())
    reader.end()
    if accepted:
        read_value(value)
    return promise


def read_accept(body: bytes) -> tuple[int, bytes]:
    """ACCEPT: ballot, value as bytes."""
    reader = Reader(body)
    return _ballot(reader.u64()), reader.rest()


def write_value(value: Value) -> bytes:
    return _U16.pack(value.elders) + _members(value.members) + _vector(value.cut) + _messages(value.messages)


def read_value(body: bytes) -> Value:
    reader = Reader(body)
    value = Value(reader.u16(), reader.members(), reader.vector(), reader.messages())
    reader.end()
    if not value.elders <= len(value.members) <= MEMBERS_MAX:
        raise PacketError("its members are too many or too few")
    return value


def write_state(given: State) -> bytes:
    lasts = _members(tuple(given.lasts)) + _vector(tuple(given.lasts.values()))
    return _U16.pack(given.elders) + _members(given.members) + lasts + given.state


def read_state(body: bytes) -> State:
    reader = Reader(body)
    elders, members, origins, lasts = reader.u16(), reader.members(), reader.members(), reader.vector()
    if not elders <= len(members) <= MEMBERS_MAX or len(origins) != len(lasts):
        raise PacketError("its members are too many or too few")
    return State(elders, members, dict(zip(origins, lasts, strict=True)), reader.rest())
