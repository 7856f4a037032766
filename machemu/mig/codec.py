"""Codecs of MIG messages, made from tables of types.

A codec turns a kernel message's body (the bytes after the header) and what it carries (abi.message.Carried*, offsets from the
body's start) into a tuple with one Python value an argument, and back. Arguments that travel in the header (the request port,
reply ports) are not among them. The values, by the argument's type:

    an integer                      int, signed or unsigned as the definition says
    a struct, a fixed array         tuple of its integers in order; bytes where it is all characters
    a counted array                 tuple of integers, of tuples where an element is a struct; bytes for characters
    a C string                      bytes without the terminating zero
    a port right                    the port object, None or PORT_DEAD
    a polymorphic right             PolyPort
    out-of-line data                OutOfLine
    an out-of-line array of rights  tuple of port objects

Types are checked as MIG's generated C does: the size, the complex bit and each descriptor. Rights have the names of rights
under way (PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE) on both sides: a sender in the kernel has made or copied them before.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from machemu.abi.errors import InvariantError
from machemu.abi.message import (
    PORT_DEAD,
    PORT_RECEIVE,
    PORT_SEND,
    PORT_SEND_ONCE,
    Carried,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
)
from machemu.abi.types import ByteOrder

POLYMORPHIC: Final = -1
"""A type name that the sender chooses for each message."""

FIXED: Final = 0
"""Inline, of one size."""
COUNTED: Final = 1
"""Inline, with as many elements as the descriptor says."""
OUT_OF_LINE: Final = 2
EITHER: Final = 3
"""A counted array that travels inline or out of line, as its sender likes."""

_FIRST_PORT: Final = 16
_LAST_PORT: Final = 21
_TRANSIT: Final = {16: PORT_RECEIVE, 17: PORT_SEND, 18: PORT_SEND_ONCE, 19: PORT_SEND, 20: PORT_SEND, 21: PORT_SEND_ONCE}


class Type(NamedTuple):
    """How one argument travels."""

    # The type name (MIG's `sent|received`):
    send: int  # what senders write
    receive: int  # what receivers check

    # The descriptor's:
    size: int  # bits in an item
    number: int  # items in a value (FIXED) or in one element of an array

    format: str  # `struct` codes of a value (FIXED) or of an element; empty for rights, `s` for an array of characters
    form: int = FIXED
    longform: bool = False
    # The most elements that the definition allows inline; for a CountInOut's count what it is clamped to. 0: no limit:
    limit: int = 0
    string: bool = False

    @property
    def is_port(self) -> bool:
        return not self.format


class PolyPort(NamedTuple):
    """A right whose disposition the sender chose. With a disposition that names no right, `port` is the bare word."""

    port: Any
    disposition: int


class OutOfLine(NamedTuple):
    """Memory under way: `size` bytes held by `copy` (None for no bytes). Its owner is whoever holds it."""

    copy: object | None
    size: int


Values = tuple[Any, ...]
Packed = tuple[bytes, tuple[Carried, ...]]


class Codec(Protocol):
    """One message's codec in one byte order."""

    def unpack(self, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        """The values, or None for a message of another shape. Nothing is consumed."""

    def pack(self, values: Sequence[Any]) -> Packed:
        """The body and what it carries."""


def make_codec(types: tuple[Type, ...], order: ByteOrder) -> Codec:
    """The fastest codec for a message of these types."""
    return _FixedCodec(types, order) if all(_is_plain(kind) for kind in types) else _GeneralCodec(types, order)


def slot_codes(form: str) -> list[str]:
    """The codes of a format, one for each Python value that `struct` makes of it: 2I8s is I, I, 8s."""
    codes: list[str] = []
    count = ""
    for char in form:
        if char.isdigit():
            count += char
        elif char == "s":
            codes.append(count + "s")
            count = ""
        else:
            codes.extend(char * int(count or 1))
            count = ""
    return codes


def _mask(code: str) -> int | None:
    """What an integer is cut to when it is packed; None for what is no integer."""
    return (1 << 8 * struct.calcsize("=" + code)) - 1 if code in "bBhHiIqQ" else None


def _unsigned(code: str) -> str:
    """The code by which an integer is packed after it is cut."""
    return code.upper() if code in "bhiq" else code


class _Value:
    """Joins the slots that `struct` gives for a value of fixed size to that value, and splits it again."""

    __slots__ = ("codes", "limit", "masks", "one", "packer", "string", "unpacker")

    def __init__(self, kind: Type, order: ByteOrder) -> None:
        self.codes = ["I"] if kind.is_port else slot_codes(kind.format)
        self.masks = [_mask(code) for code in self.codes]
        self.one = len(self.codes) == 1
        self.string = kind.string
        self.limit = kind.limit if kind.form == FIXED else 0
        self.unpacker = struct.Struct(order.prefix + "".join(self.codes))
        self.packer = struct.Struct(order.prefix + "".join(map(_unsigned, self.codes)))

    def join(self, slots: tuple[Any, ...]) -> Any:
        if not self.one:
            return slots
        if self.string:
            return slots[0][:-1].partition(b"\0")[0]  # whatever its last byte says, a string ends there
        if self.limit:
            return min(slots[0], self.limit)
        return slots[0]

    def split(self, value: Any) -> list[Any]:
        slots = (value,) if self.one else value
        if self.string:
            slots = (value[: self.packer.size - 1],)
        if len(slots) != len(self.masks):
            raise InvariantError(f"{len(slots)} values where a message has room for {len(self.masks)}")
        return [slot if mask is None else slot & mask for slot, mask in zip(slots, self.masks, strict=True)]


class _Taker:
    """Finds what stands at an offset among the things that a message carries, which come in the order of its body."""

    __slots__ = ("carried", "index")

    def __init__(self, carried: Sequence[Carried]) -> None:
        self.carried = carried
        self.index = 0

    def take(self, offset: int) -> Carried | None:
        if self.index < len(self.carried) and self.carried[self.index].offset == offset:
            self.index += 1
            return self.carried[self.index - 1]
        return None

    def port(self, offset: int, word: int) -> Any:
        item = self.take(offset)
        if isinstance(item, CarriedPort):
            return item.port
        return PORT_DEAD if word == PORT_DEAD else None


_NOTHING: Final = _Taker(())


def _is_plain(kind: Type) -> bool:
    """Whether a type always has the same descriptor, of one word."""
    return kind.form == FIXED and not kind.longform and kind.receive != POLYMORPHIC


class _Block:
    """Plain items one after the other, from a body's start: a single unpack and a single comparison."""

    __slots__ = ("blank", "descriptors", "masks", "packer", "ports", "simple", "size", "spans", "unpacker", "values")

    def __init__(self, types: tuple[Type, ...], order: ByteOrder) -> None:
        signed = unsigned = order.prefix
        offset = slot = 0
        descriptors: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.ports: list[tuple[int, int, int]] = []
        self.blank: list[Any] = []
        self.values = [_Value(kind, order) for kind in types]
        for index, (kind, value) in enumerate(zip(types, self.values, strict=True)):
            size = value.unpacker.size
            pad = f"{-size % 4}x"
            signed += "I" + "".join(value.codes) + pad
            unsigned += "I" + "".join(map(_unsigned, value.codes)) + pad
            name = _TRANSIT.get(kind.receive, kind.receive)
            descriptors.append(TypeDescriptor(name, kind.size, kind.number).word(order))
            self.blank += [descriptors[-1], *[0] * len(value.codes)]
            self.spans.append((slot + 1, slot + 1 + len(value.codes)))
            if kind.is_port:
                self.ports.append((index, offset + 4, name))
            offset += 4 + size + -size % 4
            slot += 1 + len(value.codes)
        self.unpacker = struct.Struct(signed)
        self.packer = struct.Struct(unsigned)
        self.size = offset
        self.descriptors = tuple(descriptors)
        self.masks = [value.masks[0] or 0 for value in self.values]
        self.simple = all(value.one and value.masks[0] and not value.limit for value in self.values)

    def unpack(self, body: bytes | bytearray, taker: _Taker) -> Values | None:
        """The values; None where a descriptor differs. The body holds `size` bytes at least."""
        slots = self.unpacker.unpack_from(body)
        if self.simple:
            if slots[::2] != self.descriptors:
                return None
            if not self.ports:
                return slots[1::2]
            values = list(slots[1::2])
        else:
            if tuple([slots[start - 1] for start, _ in self.spans]) != self.descriptors:
                return None
            values = [value.join(slots[start:end]) for value, (start, end) in zip(self.values, self.spans, strict=True)]
        for index, offset, _ in self.ports:
            values[index] = taker.port(offset, values[index])
        return tuple(values)

    def pack(self, values: Sequence[Any]) -> tuple[bytes, list[Carried]]:
        slots = self.blank.copy()
        carried: list[Carried] = [CarriedPort(offset, name, values[index]) for index, offset, name in self.ports]
        if carried:
            values = list(values)
            for index, _, _ in self.ports:
                values[index] = 0
        if self.simple:
            slots[1::2] = [value & mask for value, mask in zip(values, self.masks, strict=True)]
        else:
            for value, given, (start, end) in zip(self.values, values, self.spans, strict=True):
                slots[start:end] = value.split(given)
        return self.packer.pack(*slots), carried


class _FixedCodec:
    """For messages of plain items only."""

    __slots__ = ("block", "complex_bit", "count")

    def __init__(self, types: tuple[Type, ...], order: ByteOrder) -> None:
        self.block = _Block(types, order)
        self.complex_bit = bool(self.block.ports)
        self.count = len(types)

    def unpack(self, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        if len(body) != self.block.size or complex_bit != self.complex_bit:
            return None
        return self.block.unpack(body, _Taker(carried) if self.complex_bit else _NOTHING)

    def pack(self, values: Sequence[Any]) -> Packed:
        if len(values) != self.count:
            raise InvariantError(f"{len(values)} values for {self.count} arguments")
        body, carried = self.block.pack(values)
        return body, tuple(carried)


class _Item:
    """What an item that is not plain is checked by, and made with.

    A descriptor's first word has `expected` in the bits of `mask`; the long form's name and size follow it.
    """

    __slots__ = ("expected", "kind", "mask", "name", "order", "value")

    def __init__(self, kind: Type, order: ByteOrder) -> None:
        self.kind = kind
        self.order = order
        self.name = _TRANSIT.get(kind.receive, kind.receive)
        self.value = _Value(kind, order)
        poly = kind.receive == POLYMORPHIC
        number = kind.number if kind.form == FIXED else 0
        inline = kind.form != OUT_OF_LINE
        self.expected = TypeDescriptor(0 if poly else self.name, kind.size, number, inline, kind.longform).word(order)
        all_name, all_number = 0 if poly else 0xFF, 0xFFF if kind.form == FIXED else 0
        fields = TypeDescriptor(all_name, 0xFF, all_number, kind.form != EITHER, False)
        self.mask = fields.word(order) | TypeDescriptor(0, 0, 0, False, True).word(order)
        if kind.form == EITHER:
            self.expected &= self.mask

    def fits(self, name: int, size: int, number: int) -> bool:
        """Whether a long form's name, size and number are those of the definition."""
        kind = self.kind
        if size != kind.size or (kind.form == FIXED and number != kind.number):
            return False
        return kind.receive == POLYMORPHIC or name == self.name

    def data(self, data: bytes) -> tuple[Any, bool]:
        """The value of inline data, and whether it is one."""
        if self.kind.form == FIXED:
            return self.value.join(self.value.unpacker.unpack(data)), True
        if self.kind.format == "s":
            return (data.partition(b"\0")[0] if self.kind.string else data), True
        if len(data) % self.value.unpacker.size:
            return (), False
        elements = tuple(self.value.unpacker.iter_unpack(data))
        return (tuple([slots[0] for slots in elements]) if self.value.one else elements), True

    def encode(self, value: Any) -> tuple[bytes, int]:
        """A value's bytes and the descriptor's number."""
        kind = self.kind
        if kind.form == FIXED:
            return self.value.packer.pack(*self.value.split(value)), kind.number
        if kind.form == OUT_OF_LINE:
            raise InvariantError("out-of-line data is given as OutOfLine")
        if kind.format == "s":
            data = bytes(value) + b"\0" if kind.string else bytes(value)
            return data, len(data)
        elements = [self.value.packer.pack(*self.value.split(element)) for element in value]
        return b"".join(elements), kind.number * len(value)


class _GeneralCodec:
    """For every message: the plain items that come first at once, the others one after the other."""

    __slots__ = ("_long", "_word", "block", "count", "items", "needs_complex", "never_complex", "order")

    def __init__(self, types: tuple[Type, ...], order: ByteOrder) -> None:
        plain = next((index for index, kind in enumerate(types) if not _is_plain(kind)), len(types))
        self.count = len(types)
        self.block = _Block(types[:plain], order)
        self.items = [_Item(kind, order) for kind in types[plain:]]
        self.order = order
        self._word = struct.Struct(order.prefix + "I")
        self._long = struct.Struct(order.prefix + "IHHI")
        always = [t.form == OUT_OF_LINE or (t.is_port and t.receive != POLYMORPHIC and t.form != EITHER) for t in types]
        self.needs_complex = any(always)
        self.never_complex = not any(always) and not any(t.is_port or t.form == EITHER for t in types)

    def unpack(self, body: bytes | bytearray, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        if (self.needs_complex and not complex_bit) or (self.never_complex and complex_bit) or len(body) < self.block.size:
            return None
        taker = _Taker(carried)
        plain = self.block.unpack(body, taker)
        if plain is None:
            return None
        values = list(plain)
        offset = self.block.size
        for item in self.items:
            descriptor = self._descriptor(item, body, offset)
            if descriptor is None:
                return None
            name, number, inline = descriptor
            offset += 12 if item.kind.longform else 4
            size = number * item.kind.size // 8 if inline else 4
            end = offset + size + -size % 4
            if end > len(body):
                return None
            sound = True
            if not inline:
                value, sound = _out_of_line(item.kind, taker.take(offset), number, complex_bit)
            elif item.kind.is_port:
                value, sound = self._rights(item.kind, body, offset, taker, (name, number, complex_bit))
            else:
                value, sound = item.data(bytes(body[offset : offset + size]))
            if not sound:
                return None
            values.append(value)
            offset = end
        return tuple(values) if offset == len(body) else None

    def _descriptor(self, item: _Item, body: bytes | bytearray, offset: int) -> tuple[int, int, bool] | None:
        """Type name, number and whether the data is inline; None where the definition allows no such descriptor."""
        little = self.order is ByteOrder.LITTLE
        if item.kind.longform:
            if offset + 12 > len(body):
                return None
            word, name, size, number = self._long.unpack_from(body, offset)
            if word & item.mask & _LONG_FLAGS[self.order] != item.expected & _LONG_FLAGS[self.order]:
                return None
            return (name, number, bool(word & _INLINE[self.order])) if item.fits(name, size, number) else None
        if offset + 4 > len(body):
            return None
        word = self._word.unpack_from(body, offset)[0]
        if word & item.mask != item.expected:
            return None
        inline = item.kind.form != OUT_OF_LINE
        return (word & 0xFF, word >> 16 & 0xFFF, inline) if little else (word >> 24, word >> 4 & 0xFFF, inline)

    def _rights(
        self, kind: Type, body: bytes | bytearray, offset: int, taker: _Taker, descriptor: tuple[int, int, bool]
    ) -> tuple[Any, bool]:
        name, number, complex_bit = descriptor
        words = struct.unpack_from(f"{self.order.prefix}{number}I", body, offset)
        if not _FIRST_PORT <= name <= _LAST_PORT:
            return (PolyPort(words[0], name), True) if kind.form == FIXED else ((), False)
        ports = tuple([taker.port(offset + 4 * index, word) for index, word in enumerate(words)])
        if kind.form != FIXED:
            return ports, complex_bit
        return PolyPort(ports[0], name) if kind.receive == POLYMORPHIC else ports[0], complex_bit

    def pack(self, values: Sequence[Any]) -> Packed:
        if len(values) != self.count:
            raise InvariantError(f"{len(values)} values for {self.count} arguments")
        plain = self.count - len(self.items)
        start, carried = self.block.pack(values[:plain])
        body = bytearray(start)
        for item, value in zip(self.items, values[plain:], strict=True):
            kind = item.kind
            if kind.is_port:
                self._pack_rights(kind, value, body, carried)
            elif isinstance(value, OutOfLine):
                self._put_descriptor(kind, item.name, value.size * 8 // kind.size, False, body)
                carried.append(CarriedMemory(len(body), value.size, value.copy))
                body += bytes(4)
            else:
                data, number = item.encode(value)
                self._put_descriptor(kind, item.name, number, True, body)
                body += data + bytes(-len(data) % 4)
        return bytes(body), tuple(carried)

    def _put_descriptor(self, kind: Type, name: int, number: int, inline: bool, body: bytearray) -> None:
        descriptor = TypeDescriptor(name, kind.size, number, inline, kind.longform, not inline)
        if kind.longform:
            body += self._long.pack(descriptor.word(self.order), name, kind.size, number)
        else:
            body += self._word.pack(descriptor.word(self.order))

    def _pack_rights(self, kind: Type, value: Any, body: bytearray, carried: list[Carried]) -> None:
        """The rights' dispositions are the definition's, or where neither side's is fixed the value's own."""
        name = kind.receive if kind.receive != POLYMORPHIC else kind.send
        if kind.form == FIXED:
            if isinstance(value, PolyPort):
                value, name = value
            self._put_descriptor(kind, _TRANSIT.get(name, name), 1, True, body)
            if _FIRST_PORT <= name <= _LAST_PORT:
                carried.append(CarriedPort(len(body), _TRANSIT[name], value))
                body += bytes(4)
            else:
                body += self._word.pack(value)
            return
        name = _TRANSIT[name]
        inline = kind.form == COUNTED
        self._put_descriptor(kind, name, len(value), inline, body)
        if inline:
            carried += [CarriedPort(len(body) + 4 * index, name, port) for index, port in enumerate(value)]
            body += bytes(4 * len(value))
        else:
            carried.append(CarriedPorts(len(body), name, tuple(value)))
            body += bytes(4)


_INLINE: Final = {order: TypeDescriptor(0, 0, 0, True).word(order) for order in ByteOrder}
_LONG_FLAGS: Final = {order: TypeDescriptor(0, 0, 0, True, True).word(order) for order in ByteOrder}
"""The bits of a long form's first word that say something; Mach leaves the others as they are."""


def _out_of_line(kind: Type, item: Carried | None, number: int, complex_bit: bool) -> tuple[Any, bool]:
    """The value of out-of-line data, and whether it is one: what is not carried can only be nothing."""
    if kind.is_port:
        return (item.ports, complex_bit) if isinstance(item, CarriedPorts) else ((), number == 0)
    if isinstance(item, CarriedMemory):
        return OutOfLine(item.copy, item.size), complex_bit
    return OutOfLine(None, 0), number == 0
