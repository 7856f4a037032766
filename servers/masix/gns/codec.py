"""The bytes of what network servers say to each other: described with construct, big-endian."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

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
from machemu.user.message import WORD_SIZE, Header, Message, items
from masix.gns.wire import (
    ORDERS,
    Alive,
    Begun,
    Claim,
    Clash,
    Deliver,
    Died,
    Dropped,
    Flush,
    Flushed,
    Found,
    Gathering,
    Homed,
    Introduced,
    Known,
    Laid,
    Lay,
    Left,
    Moved,
    NetRight,
    OnceUnused,
    Passed,
    Payload,
    Refused,
    Resolve,
    RightKind,
    Stored,
    Taken,
    Unclaimed,
    Unused,
)
from masix.net.ip import NODE_MAX, NODE_MIN

KINDS: Final = {PORT_RECEIVE: RightKind.RECEIVE, PORT_SEND: RightKind.SEND, PORT_SEND_ONCE: RightKind.SEND_ONCE}
"""What a right is by the type name that its descriptor has in a received message."""
MEMORY: Final = -1
INLINE: Final = -1
WORD_BITS: Final = 32


class WireError(Exception):
    """What came is no message of this protocol."""


_RIGHT: Final = c.Struct("kind" / c.Int8ub, "node" / c.Int16ub, "number" / c.Int32ub, "more" / c.Int32ub)
"""more: a receive right's hops and limit, of two bytes each; another's pledge."""
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
_KNOWN: Final = c.Struct("number" / c.Int32ub, "name" / _BYTES)
_NODE: Final = c.ExprValidator(c.Int16ub, lambda node, _: NODE_MIN <= node <= NODE_MAX)
_NODE_OR_0: Final = c.ExprValidator(c.Int16ub, lambda node, _: node <= NODE_MAX)
_SHAPES: Final[tuple[tuple[Any, Any], ...]] = (
    (Deliver, _DELIVER),
    (Resolve, c.Struct("tag" / c.Int32ub, "name" / _BYTES, "host" / _BYTES)),
    (Found, c.Struct("tag" / c.Int32ub, "right" / _RIGHT)),
    (Known, _KNOWN),
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
    (Introduced, c.Struct("services" / c.PrefixedArray(c.Int8ub, _KNOWN))),
    (Begun, c.Struct("age" / c.Int32ub)),
    (Unclaimed, c.Struct("home" / _NODE, "pledge" / c.Int32ub)),
)
"""By the first byte of a payload: what it becomes, and how it lies in the bytes behind."""
_NUMBERS: Final = {kind: number for number, (kind, _) in enumerate(_SHAPES)}


def encode(payload: Payload) -> bytes:
    number = _NUMBERS[type(payload)]
    fields = _deliver_fields(payload) if isinstance(payload, Deliver) else payload._asdict()
    if isinstance(payload, Found | Moved):
        fields["right"] = _right_fields(payload.right)
    elif isinstance(payload, Introduced):
        fields["services"] = [service._asdict() for service in payload.services]
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
        elif kind is Introduced:
            values["services"] = tuple(Known(service.number, service.name) for service in values["services"])
        return kind(**values)  # type: ignore[no-any-return]
    except (c.ConstructError, ValueError, LookupError, TypeError, struct.error) as error:
        raise WireError(f"a broken message: {error}") from None


def unverified(data: bytes) -> Resolve | Begun | None:
    """What a multicast says, if that is worth something before its sender's incarnation is verified."""
    try:
        payload = decode(data)
    except WireError:
        return None
    return payload if isinstance(payload, Resolve | Begun) else None


def _right(fields: Any) -> NetRight:
    kind = RightKind(fields.kind)
    if kind not in (RightKind.NULL, RightKind.DEAD) and not NODE_MIN <= fields.node <= NODE_MAX:
        raise ValueError(f"{fields.node} is no node")
    if kind is RightKind.RECEIVE:
        return NetRight(kind, fields.node, fields.number, limit=fields.more & 0xFFFF, hops=fields.more >> 16)
    return NetRight(kind, fields.node, fields.number, fields.more)


def _right_fields(right: NetRight) -> dict[str, int]:
    more = right.hops << 16 | min(right.limit, 0xFFFF) if right.kind is RightKind.RECEIVE else right.pledge
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
