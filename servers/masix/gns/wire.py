"""What network servers say to each other, above their transport: described with construct, big-endian.

A right is (kind, node, number): `number` is what the network server of node `node` calls the port. In a task's message the words
where rights and memory stand mean nothing; what they stand for follows behind, with the offsets of those words.

Who gives a right to a port of a third node keeps one of its own until that node knows of it (`pledge`, `Claim`, `Passed`). When
a receive right has moved, its old home tells those that know the port (`Moved`); their next messages go straight to the new
home, after those before: a word sent behind these (`Flush`) comes back from there (`Flushed`).

The memory of a large message goes before it, in parts (`Lay`); the receiver says how much of it is in place (`Stored`), or that
it cannot hold it (`Refused`), after which the sender forgets it (`Dropped`). The message itself comes when all of it is in place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

import construct as c

from machemu.abi.message import (
    MSGH_BITS_OTHER,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    Carried,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
)
from machemu.abi.types import ByteOrder
from machemu.sim.state import U8, U16, U31, U32, state
from machemu.user.message import WORD_SIZE, Header, Message, items
from masix.net.ip import NODE_MAX, NODE_MIN, NodeNumber

GROUPS: Final = b"\xff"
"""Begins what is none of these messages, but a packet of masix.groups."""
ORDERS: Final = (ByteOrder.BIG, ByteOrder.LITTLE)


class WireError(Exception):
    """What came is no message of this protocol."""


@state
class RightKind(IntEnum):
    """What a right is. RECEIVE: its port is to be made by whoever gets it, which then tells the number (`Homed`)."""

    NULL = 0
    DEAD = 1
    SEND = 2
    SEND_ONCE = 3
    RECEIVE = 4


KINDS: Final = {PORT_RECEIVE: RightKind.RECEIVE, PORT_SEND: RightKind.SEND, PORT_SEND_ONCE: RightKind.SEND_ONCE}
"""What a right is by the type name that its descriptor has in a received message."""
MEMORY: Final = -1
INLINE: Final = -1
WORD_BITS: Final = 32


@state
class NetRight(NamedTuple):
    """A right under way between nodes. pledge: what the giver of a third node's port is to be told when that node knows; or 0.

    limit: of a receive right, how many messages its queue takes.
    """

    kind: RightKind
    node: NodeNumber
    number: U31
    pledge: U31 = 0
    limit: U31 = 0


NULL: Final = NetRight(RightKind.NULL, 0, 0)
DEAD: Final = NetRight(RightKind.DEAD, 0, 0)


@state
class Laid(NamedTuple):
    """What CarriedMemory has as `copy` where the memory went before: the parts' token and place."""

    token: U32
    place: U32


@state
class Deliver(NamedTuple):
    """A task's message for the port `to`. `answer` is its reply right, of a dead one `number` the type name of what it was; the
    rights that `message` carries are NetRights."""

    to: NetRight
    answer: NetRight
    order: ByteOrder
    message: Message


@state
class Resolve(NamedTuple):
    """Who has a service of this name? tag: what the answer is to say. host: the name of the only node that is asked, or empty."""

    tag: U32
    name: bytes
    host: bytes = b""


@state
class Found(NamedTuple):
    tag: U32
    right: NetRight


@state
class Known(NamedTuple):
    """For all: the sender's port `number` is the service of this name; whoever wants it may claim it."""

    number: U31
    name: bytes


@state
class Left(NamedTuple):
    """The sender has the service no more that it said it had under this name."""

    name: bytes


@state
class Clash(NamedTuple):
    """Node `other` has a service of this name, too."""

    name: bytes
    other: NodeNumber


@state
class Claim(NamedTuple):
    """The sender has a right more to the receiver's port: from node `via`, whose `pledge` is redeemed; or as it was made
    known.
    """

    number: U31
    via: U16 = 0
    pledge: U31 = 0


@state
class Passed(NamedTuple):
    """The sender's port is known to be used by whom the receiver gave a right to."""

    pledge: U31


@state
class Moved(NamedTuple):
    """The sender's port `number` has moved: `right` is one to it where it is now."""

    number: U31
    right: NetRight


@state
class Flush(NamedTuple):
    """Node `origin` asks when all that it sent to port `port` of node `home` so far is where the port is now, which the receiver
    calls `number`, or knows better."""

    number: U31
    origin: NodeNumber
    home: NodeNumber
    port: U32


@state
class Flushed(NamedTuple):
    """The answer."""

    home: NodeNumber
    port: U32


@state
class Unused(NamedTuple):
    """Nobody on the sender's node uses the port any more, after it was given there so many times."""

    number: U31
    times: U31


@state
class Died(NamedTuple):
    """The sender's port is dead."""

    number: U31


@state
class OnceUnused(NamedTuple):
    """A send-once right of the receiver's was destroyed unused."""

    number: U31


@state
class Homed(NamedTuple):
    """The receive right that the receiver gave away under `token` is that of the sender's port `number`."""

    token: U32
    number: U31


@state
class Taken(NamedTuple):
    """So many messages more of the receiver's have gone into the queue of the sender's port."""

    number: U31
    times: U31


@state
class Lay(NamedTuple):
    """A part of a message's memory, behind those before it. token: the sender's number for the message. total: bytes of all its
    memory. place, size: which memory of the message this is of, and its bytes. unit: the bytes that change places where the byte
    order, ORDERS[order], is not the receiver's."""

    token: U31
    total: U32
    place: U32
    size: U32
    unit: U8
    order: U8
    data: bytes


@state
class Stored(NamedTuple):
    """So many bytes more of a message's memory are in place at the sender."""

    token: U31
    size: U32


@state
class Refused(NamedTuple):
    """The sender cannot hold the memory of a message."""

    token: U31


@state
class Dropped(NamedTuple):
    """The message of this token does not come."""

    token: U31


@state
class Alive(NamedTuple):
    """Nothing: that it is acknowledged tells that the receiver is up."""


@state
class Gathering(NamedTuple):
    """For all: the sender is of the group of this number, in which names are replicated; whoever is in none may join."""

    group: U32


Payload = (
    Deliver
    | Resolve
    | Found
    | Known
    | Left
    | Clash
    | Claim
    | Passed
    | Moved
    | Flush
    | Flushed
    | Unused
    | Died
    | OnceUnused
    | Homed
    | Taken
    | Lay
    | Stored
    | Refused
    | Dropped
    | Alive
    | Gathering
)

_RIGHT: Final = c.Struct("kind" / c.Int8ub, "node" / c.Int16ub, "number" / c.Int32ub, "more" / c.Int32ub)
"""more: a receive right's limit, another's pledge."""
_BYTES: Final = c.Prefixed(c.Int32ub, c.GreedyBytes)
_RIGHTS: Final = c.Struct(
    "offset" / c.Int32ub, "is_array" / c.Flag, "disposition" / c.Int8ub, "rights" / c.PrefixedArray(c.Int32ub, _RIGHT)
)
_MEMORY: Final = c.Struct("offset" / c.Int32ub, "size" / c.Int32ub, "token" / c.Int32ub, "place" / c.Int32ub, "data" / _BYTES)
"""token: 0 where the bytes are here."""
_DELIVER: Final = c.Struct(
    "to" / _RIGHT,
    "answer" / _RIGHT,
    "order" / c.Int8ub,
    "id" / c.Int32sb,
    "flags" / c.Int32ub,
    "complex" / c.Flag,
    "body" / _BYTES,
    "rights" / c.PrefixedArray(c.Int32ub, _RIGHTS),
    "memory" / c.PrefixedArray(c.Int32ub, _MEMORY),
).compile()
"""Made for each message; what is compiled does not see everything that is missing, `decode` looks."""
_NUMBER: Final = c.Struct("number" / c.Int32ub)
_NODE: Final = c.ExprValidator(c.Int16ub, lambda node, _: NODE_MIN <= node <= NODE_MAX)
_NODE_OR_0: Final = c.ExprValidator(c.Int16ub, lambda node, _: node <= NODE_MAX)
_SHAPES: Final[tuple[tuple[Any, Any], ...]] = (
    (Deliver, _DELIVER),
    (Resolve, c.Struct("tag" / c.Int32ub, "name" / _BYTES, "host" / _BYTES)),
    (Found, c.Struct("tag" / c.Int32ub, "right" / _RIGHT)),
    (Known, c.Struct("number" / c.Int32ub, "name" / _BYTES)),
    (Claim, c.Struct("number" / c.Int32ub, "via" / _NODE_OR_0, "pledge" / c.Int32ub)),
    (Passed, c.Struct("pledge" / c.Int32ub)),
    (Moved, c.Struct("number" / c.Int32ub, "right" / _RIGHT)),
    (Flush, c.Struct("number" / c.Int32ub, "origin" / _NODE, "home" / _NODE, "port" / c.Int32ub)),
    (Flushed, c.Struct("home" / _NODE, "port" / c.Int32ub)),
    (Unused, c.Struct("number" / c.Int32ub, "times" / c.Int32ub)),
    (Died, _NUMBER),
    (OnceUnused, _NUMBER),
    (Homed, c.Struct("token" / c.Int32ub, "number" / c.Int32ub)),
    (Taken, c.Struct("number" / c.Int32ub, "times" / c.Int32ub)),
    (
        Lay,
        c.Struct(
            "token" / c.Int32ub,
            "total" / c.Int32ub,
            "place" / c.Int32ub,
            "size" / c.Int32ub,
            "unit" / c.ExprValidator(c.Int8ub, lambda unit, _: unit > 0),
            "order" / c.ExprValidator(c.Int8ub, lambda order, _: order < len(ORDERS)),
            "data" / _BYTES,
        ),
    ),
    (Stored, c.Struct("token" / c.Int32ub, "size" / c.Int32ub)),
    (Refused, c.Struct("token" / c.Int32ub)),
    (Dropped, c.Struct("token" / c.Int32ub)),
    (Left, c.Struct("name" / _BYTES)),
    (Clash, c.Struct("name" / _BYTES, "other" / _NODE)),
    (Alive, c.Struct()),
    (Gathering, c.Struct("group" / c.Int32ub)),
)
"""By the first byte of a payload: what it becomes, and how it lies in the bytes behind."""
_NUMBERS: Final = {kind: number for number, (kind, _) in enumerate(_SHAPES)}


def encode(payload: Payload) -> bytes:
    number = _NUMBERS[type(payload)]
    fields = _deliver_fields(payload) if isinstance(payload, Deliver) else payload._asdict()
    if isinstance(payload, Found | Moved):
        fields["right"] = _right_fields(payload.right)
    return bytes((number,)) + bytes(_SHAPES[number][1].build(fields))


def decode(data: bytes) -> Payload:
    """Raises WireError."""
    if not data or data[0] >= len(_SHAPES):
        raise WireError("a message of no known kind")
    kind, shape = _SHAPES[data[0]]
    try:
        if kind is Deliver:
            fields = shape.parse(data[1:])
            if shape.build(fields) != data[1:]:
                raise ValueError("its parts do not fill it")
            return _delivered(fields)
        fields = c.Sequence(shape, c.Terminated).parse(data[1:])[0]
        values = {name: fields[name] for name in kind._fields}
        if "right" in values:
            right = values["right"] = _right(values["right"])
            if right.kind is not RightKind.SEND and (kind is Moved or right.kind not in (RightKind.NULL, RightKind.DEAD)):
                raise ValueError("not a send right")
        return kind(**values)  # type: ignore[no-any-return]
    except (c.ConstructError, ValueError, LookupError, TypeError, struct.error) as error:
        raise WireError(f"a broken message: {error}") from None


def question(data: bytes) -> Resolve | None:
    """What is asked, if it is a question for a name."""
    if data[:1] != bytes((_NUMBERS[Resolve],)):
        return None
    try:
        payload = decode(data)
    except WireError:
        return None
    return payload if isinstance(payload, Resolve) else None


def _right(fields: Any) -> NetRight:
    kind = RightKind(fields.kind)
    if kind not in (RightKind.NULL, RightKind.DEAD) and not NODE_MIN <= fields.node <= NODE_MAX:
        raise ValueError(f"{fields.node} is no node")
    pledge, limit = (0, fields.more) if kind is RightKind.RECEIVE else (fields.more, 0)
    return NetRight(kind, fields.node, fields.number, pledge, limit)


def _right_fields(right: NetRight) -> dict[str, int]:
    more = right.limit if right.kind is RightKind.RECEIVE else right.pledge
    return {"kind": right.kind, "node": right.node, "number": right.number, "more": more}


def _deliver_fields(payload: Deliver) -> dict[str, Any]:
    rights, memory = [], []
    for item in payload.message.carried:
        if isinstance(item, CarriedMemory):
            laid = item.copy if isinstance(item.copy, Laid) else Laid(0, 0)
            data = b"" if isinstance(item.copy, Laid) else item.copy
            memory.append({"offset": item.offset, "size": item.size, **laid._asdict(), "data": data})
        else:
            several = item.ports if isinstance(item, CarriedPorts) else (item.port,)
            rights.append(
                {
                    "offset": item.offset,
                    "is_array": isinstance(item, CarriedPorts),
                    "disposition": item.disposition,
                    "rights": [_right_fields(right) for right in several if isinstance(right, NetRight)],
                }
            )
    return {
        "to": _right_fields(payload.to),
        "answer": _right_fields(payload.answer),
        "order": ORDERS.index(payload.order),
        "id": payload.message.header.id,
        "flags": payload.message.header.flags,
        "complex": payload.message.complex,
        "body": payload.message.body,
        "rights": rights,
        "memory": memory,
    }


def _delivered(fields: Any) -> Deliver:
    carried: list[Carried] = []
    for item in fields.memory:
        if len(item.data) != (0 if item.token else item.size):
            raise ValueError("memory of another size")
        carried.append(CarriedMemory(item.offset, item.size, Laid(item.token, item.place) if item.token else item.data))
    for item in fields.rights:
        several = tuple(map(_right, item.rights))
        if item.is_array:
            carried.append(CarriedPorts(item.offset, item.disposition, several))
        elif len(several) == 1:
            carried.append(CarriedPort(item.offset, item.disposition, several[0]))
        else:
            raise ValueError("a word stands for one right")
    carried.sort(key=lambda item: item.offset)
    to, answer, order = _right(fields.to), _right(fields.answer), ORDERS[fields.order]
    if to.kind not in (RightKind.SEND, RightKind.SEND_ONCE) or answer.kind is RightKind.RECEIVE or len(fields.body) % WORD_SIZE:
        raise ValueError("no message")
    if [_shape(item) for item in carried] != (list(_wanted(fields.body, order)) if fields.complex else []):
        raise ValueError("what it carries is not what its descriptors say")
    header = Header(0, 0, 0, 0, fields.id, flags=fields.flags & MSGH_BITS_OTHER)
    return Deliver(to, answer, order, Message(header, fields.body, tuple(carried), fields.complex))


def _shape(item: Carried) -> tuple[int, int, int]:
    """Where something carried stands; its type's name, or MEMORY; how many rights or bytes are out of line, or INLINE."""
    if isinstance(item, CarriedMemory):
        return item.offset, MEMORY, item.size
    for right in item.ports if isinstance(item, CarriedPorts) else (item.port,):
        if not isinstance(right, NetRight) or right.kind not in (RightKind.NULL, RightKind.DEAD, KINDS.get(item.disposition)):
            raise ValueError("a right of another kind")
    return item.offset, item.disposition, len(item.ports) if isinstance(item, CarriedPorts) else INLINE


def _wanted(body: bytes, order: ByteOrder) -> Iterator[tuple[int, int, int]]:
    """The shapes of what a body's descriptors say that it carries."""
    end = 0
    for item in items(body, order):
        kind = item.descriptor
        end = item.data + (item.length + 3 & ~3 if kind.inline else WORD_SIZE)
        if item.is_right and kind.size != WORD_BITS:
            raise ValueError("a right that is no word")
        if not kind.inline:
            yield item.data, *((kind.name, kind.number) if item.is_right else (MEMORY, item.length))
        elif item.is_right:
            yield from ((item.data + WORD_SIZE * n, kind.name, INLINE) for n in range(kind.number))
    if end != len(body):
        raise ValueError("its body has no end")
