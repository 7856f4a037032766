"""A task's messages between their bytes and what a program works with: names for rights, and bytes for memory.

`carried` holds abi.message.Carried* in the order of the body, as the codecs of machemu.mig want them: a CarriedPort's `port` is a
name, a CarriedMemory's `copy` the bytes, a CarriedPorts' `ports` names. The null and the dead name are None and PORT_DEAD.
"""

from __future__ import annotations

import struct
from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from machemu.abi.message import (
    HEADER_SIZE,
    LONGFORM_SIZE,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MSGH_BITS_COMPLEX,
    MSGH_BITS_OTHER,
    PORT_DEAD,
    Carried,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
    decode_type_word,
    msgh_bits,
)
from machemu.abi.types import ByteOrder
from machemu.sim.state import U8, U32, PortName, Reply, Word, state

T = TypeVar("T")
WORD_SIZE: Final = 4
SIZE_MAX: Final = 0xFFFFFFFF
"""The kernel computes the bytes of an item in 32 bits: 4 GiB are none."""
FIRST_RIGHT, LAST_RIGHT = MOVE_RECEIVE, MAKE_SEND_ONCE
NULL_NAME, DEAD_NAME = 0, 0xFFFFFFFF
UNNAMED: Final = (NULL_NAME, DEAD_NAME)
"""As what no right, or a dead one, comes: neither is to be given up."""


@state
class Header(NamedTuple):
    """A message's header. Rights are names, or 0."""

    remote: PortName  # in a received message where an answer goes
    remote_type: U8  # its disposition, or 0
    local: PortName  # in a received message the port that it came to
    local_type: U8  # its disposition, or 0
    id: Word
    seqno: U32 = 0
    flags: U32 = 0  # MSGH_BITS_OTHER of msgh_bits


@state
class Caller(NamedTuple):
    """Who waits for the answer to a request. reply: his reply right, which `mach.answer` consumes, or 0. disposition: that
    right's. id: the request's."""

    reply: Reply
    disposition: U8
    id: Word


NO_CALLER: Final = Caller(0, 0, 0)
"""Nobody waits."""


@state
class Message(NamedTuple):
    """body: what comes after the header, its descriptors in place; complex: whether it carries rights or memory."""

    header: Header
    body: bytes
    carried: tuple[Carried, ...]
    complex: bool

    @property
    def caller(self) -> Caller:
        """Of a received request: for a server that answers later."""
        return Caller(self.header.remote, self.header.remote_type, self.header.id)

    def check_saved(self) -> None:
        """ValueError where it could not be encoded: each right and piece of memory has its word in the body."""
        last = -WORD_SIZE
        for item in self.carried:
            if not last < item.offset <= len(self.body) - WORD_SIZE:
                raise ValueError(f"it carries something at {item.offset} of {len(self.body)} bytes")
            if isinstance(item, CarriedMemory) and not isinstance(item.copy, bytes | Region | Elsewhere):
                raise ValueError("it carries memory that is nowhere")
            last = item.offset


@state
class Region(NamedTuple):
    """Memory of the task's own: what a CarriedMemory has as `copy` where its bytes were not read, or are in place already. One
    that is sent leaves the task, whatever becomes of the message."""

    address: U32
    size: U32


class Elsewhere(ABC):  # noqa: B024 -- a name for what servers register
    """What a CarriedMemory has as `copy` in a message that its server keeps while the memory is somewhere else. Never sent."""


class Item(NamedTuple):
    """An item of a body. start: where its descriptor is; data: where its bytes are, or the address of those out of line."""

    start: int
    data: int
    descriptor: TypeDescriptor
    length: int

    @property
    def is_right(self) -> bool:
        return FIRST_RIGHT <= self.descriptor.name <= LAST_RIGHT


def items(body: bytes | bytearray, order: ByteOrder) -> Iterator[Item]:
    """The items of a body. Of a simple message the kernel checks none: they end where one cannot be."""
    offset = 0
    while offset + WORD_SIZE <= len(body):
        start = offset
        descriptor = decode_type_word(struct.unpack_from(order.prefix + "I", body, offset)[0], order)
        offset += 4
        if descriptor.longform:
            if start + LONGFORM_SIZE > len(body):
                return
            name, size, number = struct.unpack_from(order.prefix + "HHI", body, start + 4)
            descriptor = descriptor._replace(name=name, size=size, number=number)
            offset = start + LONGFORM_SIZE
        length = (descriptor.number * descriptor.size + 7 >> 3) & SIZE_MAX
        item = Item(start, offset, descriptor, length)
        offset += (length + 3 & ~3) if descriptor.inline else WORD_SIZE
        if offset > len(body):
            return
        yield item


def right_of(name: PortName) -> object | None:
    return None if name == NULL_NAME else PORT_DEAD if name == DEAD_NAME else name


def name_of(right: object | None) -> PortName:
    return NULL_NAME if right is None else DEAD_NAME if right is PORT_DEAD else int(right)  # type: ignore[call-overload]


def living(right: object | None) -> PortName:
    """The name of a right that a message brought; 0 for none and for a dead one (PORT_DEAD is a number, too)."""
    return 0 if right is None or right is PORT_DEAD else name_of(right)


def decode(
    order: ByteOrder, data: bytes, read: Callable[[int, int], bytes], unread: bool = False
) -> tuple[Message, list[tuple[int, int]]]:
    """A message as mach_msg wrote it, and the (address, size) of the memory that came with it, which is the task's now.

    read: the task's memory; what it raises comes out, and nothing is lost. unread: memory is left where it is, as Regions, and
    not among what is returned.
    """
    words = struct.unpack_from(order.prefix + "6I", data)
    bits, size, remote, local, seqno, msgh_id = words
    header = Header(remote, bits & 0xFF, local, bits >> 8 & 0xFF, _signed(msgh_id), seqno, bits & MSGH_BITS_OTHER)
    body = data[HEADER_SIZE:size]
    if not bits & MSGH_BITS_COMPLEX:
        return Message(header, body, (), False), []
    carried: list[Carried] = []
    regions: list[tuple[int, int]] = []
    for item in items(body, order):
        kind = item.descriptor
        if kind.inline:
            if item.is_right:
                names = struct.unpack_from(f"{order.prefix}{kind.number}I", body, item.data)
                carried += [CarriedPort(item.data + 4 * n, kind.name, right_of(name)) for n, name in enumerate(names)]
            continue
        address = struct.unpack_from(order.prefix + "I", body, item.data)[0]
        if unread and item.length and not item.is_right:
            carried.append(CarriedMemory(item.data, item.length, Region(address, item.length)))
            continue
        if item.length:
            regions.append((address, item.length))
        memory = read(address, item.length) if item.length else b""
        if item.is_right:
            names = struct.unpack(f"{order.prefix}{kind.number}I", memory)
            carried.append(CarriedPorts(item.data, kind.name, tuple(map(right_of, names))))
        else:
            carried.append(CarriedMemory(item.data, item.length, memory))
    return Message(header, body, tuple(carried), True), regions


def _signed(word: int) -> int:
    return word - (1 << 32) if word & 1 << 31 else word


def memory_wanted(message: Message) -> list[int]:
    """The sizes in bytes of the memory that a message is to be sent with and that is still to be written, in order."""
    return [size for item in message.carried if (size := _written_size(item)) is not None]


def _written_size(item: Carried) -> int | None:
    """The bytes to be written for an item; None where it has none, or has them in place."""
    if isinstance(item, CarriedPort):
        return None
    if isinstance(item, CarriedPorts):
        return WORD_SIZE * len(item.ports)
    if isinstance(item.copy, Region):
        return None
    assert isinstance(item.copy, bytes)
    return len(item.copy)


def regions(message: Message) -> list[Region]:
    """The Regions that a message carries."""
    return [item.copy for item in message.carried if isinstance(item, CarriedMemory) and isinstance(item.copy, Region)]


def with_copies(message: Message, kind: type[T], copy: Callable[[CarriedMemory[Any], T], object]) -> Message:
    """A message with another copy of each memory whose copy is of this kind."""
    carried = [
        item._replace(copy=copy(item, item.copy)) if isinstance(item, CarriedMemory) and isinstance(item.copy, kind) else item
        for item in message.carried
    ]
    return message._replace(carried=tuple(carried))


def size_of(message: Message) -> int:
    """The bytes of a message, with header and with the memory that is read or written for it."""
    return HEADER_SIZE + len(message.body) + (sum(memory_wanted(message)) if message.carried else 0)


def encode(order: ByteOrder, message: Message, addresses: Sequence[int]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The bytes of a message to be sent, and what is to be written where before. addresses: one for each of `memory_wanted`."""
    body = bytearray(message.body)
    writes: list[tuple[int, bytes]] = []
    places = iter(addresses)
    for item in message.carried:
        if isinstance(item, CarriedPort):
            word = name_of(item.port)
        elif isinstance(item, CarriedMemory) and isinstance(item.copy, Region):
            word = item.copy.address
        else:
            word = next(places)
            writes.append((word, _out_of_line(item, order)))
        struct.pack_into(order.prefix + "I", body, item.offset, word)
    header = message.header
    bits = msgh_bits(header.remote_type, header.local_type, header.flags | (MSGH_BITS_COMPLEX if message.complex else 0))
    size = HEADER_SIZE + len(body)
    words = (bits, size, header.remote, header.local, 0, header.id & 0xFFFFFFFF)
    return struct.pack(order.prefix + "6I", *words) + body, writes


def _out_of_line(item: Carried, order: ByteOrder) -> bytes:
    if isinstance(item, CarriedPorts):
        return struct.pack(f"{order.prefix}{len(item.ports)}I", *map(name_of, item.ports))
    assert isinstance(item, CarriedMemory)
    assert isinstance(item.copy, bytes)
    return item.copy
