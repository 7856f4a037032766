"""`Deliver` in bytes, which codec.py describes: here they are made and read by `struct`, for speed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

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
from masix.gns.wire import ORDERS, Deliver, Laid, NetRight, RightKind
from masix.net.ip import NODE_MAX, NODE_MIN

KINDS: Final = {PORT_RECEIVE: RightKind.RECEIVE, PORT_SEND: RightKind.SEND, PORT_SEND_ONCE: RightKind.SEND_ONCE}
"""What a right is by the type name that its descriptor has in a received message."""
RIGHT_KINDS: Final = tuple(RightKind)
MEMORY: Final = -1
INLINE: Final = -1
WORD_BITS: Final = 32
LIMIT_MAX: Final = 0xFFFF
NOT_LAID: Final = Laid(0, 0)

HEAD: Final = struct.Struct(">BHIIBHIIBiIBI")
RIGHT: Final = struct.Struct(">BHII")
RIGHTS_HEAD: Final = struct.Struct(">IBBI")
MEMORY_HEAD: Final = struct.Struct(">5I")
COUNT: Final = struct.Struct(">I")


def words_of(right: NetRight) -> tuple[int, int, int, int]:
    """Its kind, node and number, and a receive right's hops and limit or another's pledge."""
    more = right.hops << 16 | min(right.limit, LIMIT_MAX) if right.kind is RightKind.RECEIVE else right.pledge
    return right.kind, right.node, right.number, more


def right_of(number_of_kind: int, node: int, number: int, more: int) -> NetRight:
    """What `words_of` gives as words. LookupError or ValueError for others."""
    kind = RIGHT_KINDS[number_of_kind]
    if kind not in (RightKind.NULL, RightKind.DEAD) and not NODE_MIN <= node <= NODE_MAX:
        raise ValueError(f"{node} is no node")
    if kind is RightKind.RECEIVE:
        return NetRight(kind, node, number, limit=more & LIMIT_MAX, hops=more >> 16)
    return NetRight(kind, node, number, more)


def encode(payload: Deliver) -> bytes:
    message = payload.message
    rights, memory = [], []
    for item in message.carried:
        if isinstance(item, CarriedMemory):
            laid, data = (item.copy, b"") if isinstance(item.copy, Laid) else (NOT_LAID, item.copy)
            assert isinstance(data, bytes)
            memory.append(MEMORY_HEAD.pack(item.offset, item.size, *laid, len(data)) + data)
        else:
            is_array = isinstance(item, CarriedPorts)
            several = item.ports if isinstance(item, CarriedPorts) else (item.port,)
            packed = [RIGHT.pack(*words_of(right)) for right in several if isinstance(right, NetRight)]
            rights.append(RIGHTS_HEAD.pack(item.offset, is_array, item.disposition, len(packed)) + b"".join(packed))
    header, body = message.header, message.body
    what = (ORDERS.index(payload.order), header.id, header.flags, message.complex, len(body))
    head = HEAD.pack(*words_of(payload.to), *words_of(payload.answer), *what)
    return b"".join((head, body, COUNT.pack(len(rights)), *rights, COUNT.pack(len(memory)), *memory))


def decode(data: bytes) -> Deliver:
    """ValueError, LookupError or struct.error for bytes that are no message, or one that contradicts itself."""
    head = HEAD.unpack_from(data)
    order, (msgh_id, flags, is_complex, size) = ORDERS[head[8]], head[9:]
    to, answer, body = right_of(*head[:4]), right_of(*head[4:8]), data[HEAD.size : HEAD.size + size]
    if to.kind not in (RightKind.SEND, RightKind.SEND_ONCE) or answer.kind is RightKind.RECEIVE or size % WORD_SIZE:
        raise ValueError("no message")
    carried = _carried(data, HEAD.size + size)
    if is_complex > 1 or [_shape(item) for item in carried] != (list(_wanted(body, order)) if is_complex else []):
        raise ValueError("what it carries is not what its descriptors say")
    header = Header(0, 0, 0, 0, msgh_id, flags=flags & MSGH_BITS_OTHER)
    return Deliver(to, answer, order, Message(header, body, carried, bool(is_complex)))


def _carried(data: bytes, place: int) -> tuple[Carried, ...]:
    """What a message carries, from here to the end. struct.error where what is before is not whole."""
    carried: list[Carried] = []
    (count,) = COUNT.unpack_from(data, place)
    place += COUNT.size
    for _ in range(count):
        offset, is_array, disposition, number = RIGHTS_HEAD.unpack_from(data, place)
        start = place + RIGHTS_HEAD.size
        place = start + RIGHT.size * number
        several = tuple(right_of(*words) for words in RIGHT.iter_unpack(data[start:place]))
        if is_array == 1:
            carried.append(CarriedPorts(offset, disposition, several))
        elif is_array or len(several) != 1:
            raise ValueError("a word stands for one right")
        else:
            carried.append(CarriedPort(offset, disposition, several[0]))
    (count,) = COUNT.unpack_from(data, place)
    place += COUNT.size
    for _ in range(count):
        offset, size, token, where, length = MEMORY_HEAD.unpack_from(data, place)
        start = place + MEMORY_HEAD.size
        place = start + length
        if length != (0 if token else size):
            raise ValueError("memory of another size")
        carried.append(CarriedMemory(offset, size, Laid(token, where) if token else data[start:place]))
    if place != len(data):
        raise ValueError("its parts do not fill it")
    carried.sort(key=lambda item: item.offset)
    return tuple(carried)


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
