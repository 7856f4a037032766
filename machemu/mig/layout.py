"""The messages of a routine: which items they hold, at which offsets, under which descriptors, and how large they get."""

from __future__ import annotations

from dataclasses import dataclass

from machemu.abi.message import HEADER_SIZE, TypeDescriptor
from machemu.abi.types import ByteOrder
from machemu.mig.model import Argument, Field, Form, Routine, Type

REPLY_OFFSET = 100
"""A reply's id less its request's."""

RETCODE_TYPE = Type("kern_return_t", 2, 2, 32, 1, (Field("i"),))
COUNT_TYPE = Type("mach_msg_type_number_t", 2, 2, 32, 1, (Field("I"),))


@dataclass(frozen=True, slots=True)
class Item:
    """One descriptor and what follows it.

    argument: what it belongs to; None for RetCode. is_count: it is a CountInOut's count, at most `limit`.
    """

    name: str
    type: Type
    argument: Argument | None = None
    is_count: bool = False
    limit: int = 0

    @property
    def descriptor_bytes(self) -> int:
        return 12 if self.type.longform else 4

    @property
    def min_bytes(self) -> int:
        """Bytes after the descriptor at least."""
        if self.type.form is Form.FIXED:
            return padded(self.type.element_bytes)
        return 4 if self.type.form is Form.OUT_OF_LINE else 0

    @property
    def max_bytes(self) -> int:
        """Bytes after the descriptor at most."""
        if self.type.form in (Form.COUNTED, Form.EITHER):
            return max(padded(self.type.element_bytes * self.type.limit), 4)
        return self.min_bytes

    def descriptor(self, received: bool) -> TypeDescriptor:
        """The descriptor of the largest value; the name is POLYMORPHIC where the sender chooses it."""
        kind = self.type
        number = kind.number * max(kind.limit, 1)
        if kind.form is Form.OUT_OF_LINE and not kind.out_of_line_fixed:
            number = 0
        name = kind.receive if received else kind.send
        return TypeDescriptor(name, kind.size, number, kind.form is not Form.OUT_OF_LINE, kind.longform)


@dataclass(frozen=True, slots=True)
class Layout:
    """A message. Offsets count from the header's start and hold while everything before is of a fixed size or at its largest."""

    id: int
    items: tuple[Item, ...]

    @property
    def is_fixed(self) -> bool:
        return all(item.min_bytes == item.max_bytes for item in self.items)

    @property
    def min_size(self) -> int:
        return HEADER_SIZE + sum(item.descriptor_bytes + item.min_bytes for item in self.items)

    @property
    def max_size(self) -> int:
        return HEADER_SIZE + sum(item.descriptor_bytes + item.max_bytes for item in self.items)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each item's descriptor lies."""
        offsets: list[int] = []
        offset = HEADER_SIZE
        for item in self.items:
            offsets.append(offset)
            offset += item.descriptor_bytes + item.max_bytes
        return tuple(offsets)

    def words(self, order: ByteOrder, received: bool) -> tuple[tuple[int, ...], ...]:
        """Each item's descriptor as it lies in memory: one word, or the long form's word, name, size and number."""
        result: list[tuple[int, ...]] = []
        for item in self.items:
            descriptor = item.descriptor(received)
            first = descriptor._replace(name=descriptor.name & 0xFF).word(order)
            long = (descriptor.name, descriptor.size, descriptor.number)
            result.append((first, *long) if descriptor.longform else (first,))
        return tuple(result)


def padded(size: int) -> int:
    """The size of data that fills whole words."""
    return (size + 3) & ~3


def request(routine: Routine) -> Layout:
    items: list[Item] = []
    for argument in routine.arguments:
        if argument is routine.request_port:
            continue
        if argument.in_request:
            items.append(Item(argument.name, argument.type, argument))
        elif argument.counts_in:
            items.append(Item(argument.name + "Cnt", COUNT_TYPE, argument, is_count=True, limit=argument.type.limit))
    return Layout(routine.id, tuple(items))


def reply(routine: Routine) -> Layout | None:
    """None for a simpleroutine."""
    if routine.simple:
        return None
    items = [Item("RetCode", RETCODE_TYPE)]
    items += [Item(argument.name, argument.type, argument) for argument in routine.arguments if argument.in_reply]
    return Layout(routine.id + REPLY_OFFSET, tuple(items))
