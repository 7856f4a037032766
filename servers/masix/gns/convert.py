"""Typed data between byte orders: what a message's descriptors say of its bytes decides how they are turned round."""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.message import (
    MOVE_RECEIVE,
    MSG_TYPE_INTEGER_16,
    MSG_TYPE_INTEGER_32,
    MSG_TYPE_INTEGER_64,
    MSG_TYPE_PORT_NAME,
    MSG_TYPE_REAL,
    TypeDescriptor,
)
from machemu.abi.types import ByteOrder
from machemu.user.message import Item, Message, items, with_copies

NUMBERS: Final = frozenset((MSG_TYPE_INTEGER_16, MSG_TYPE_INTEGER_32, MSG_TYPE_INTEGER_64, MSG_TYPE_REAL, MSG_TYPE_PORT_NAME))
"""Types whose items are numbers of their size; a boolean is MSG_TYPE_UNSTRUCTURED of 32 bits."""
WORD: Final = 32
ADDRESS: Final = 4


def convert(message: Message, source: ByteOrder, target: ByteOrder) -> Message:
    """A message as a machine of byte order `target` would have written it. Rights stay as they are.

    Of what no descriptor describes nothing is known, and it stays as it is.
    """
    if source is target:
        return message
    body = bytearray(message.body)
    for item in items(message.body, source):
        _convert_descriptor(body, item, target)
        if item.descriptor.inline:
            end = item.data + item.length
            body[item.data : end] = turned(body[item.data : end], _unit(item.descriptor))
        else:
            body[item.data : item.data + ADDRESS] = turned(body[item.data : item.data + ADDRESS], ADDRESS)
    memory = units(message, source)
    converted = with_copies(message, bytes, lambda item, copy: turned(copy, memory.get(item.offset, 1)))
    return converted._replace(body=bytes(body))


def units(message: Message, order: ByteOrder) -> dict[int, int]:
    """By the offset of its address, of all memory out of line the bytes that are turned round together."""
    return {item.data: _unit(item.descriptor) for item in items(message.body, order) if not item.descriptor.inline}


def _convert_descriptor(body: bytearray, item: Item, order: ByteOrder) -> None:
    kind = item.descriptor
    struct.pack_into(order.prefix + "I", body, item.start, kind.word(order))
    if kind.longform:
        struct.pack_into(order.prefix + "HHI", body, item.start + 4, kind.name, kind.size, kind.number)


def _unit(kind: TypeDescriptor) -> int:
    """The bytes that are turned round together; 1 for what has no byte order, and for items that do not begin at bytes."""
    if kind.size % 8:
        return 1
    if kind.name in NUMBERS or kind.name >= MOVE_RECEIVE or (kind.name == 0 and kind.size == WORD):
        return max(1, kind.size // 8)
    return 1


def turned(data: bytes | bytearray, unit: int) -> bytes:
    """Bytes with each `unit` of them the other way round; what is left at the end stays."""
    if unit == 1:
        return bytes(data)
    result = bytearray(data)
    whole = len(data) // unit * unit
    for n in range(unit):
        result[n:whole:unit] = data[unit - 1 - n : whole : unit]
    return bytes(result)
