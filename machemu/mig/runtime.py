"""The messages of an interface as tables, and the codecs made from them: what the generated modules in `interfaces/` consist of.

A codec turns a kernel message's body (the bytes after the header) and what it carries (abi.message.Carried*, offsets from the
body's start) into a tuple with one Python value an argument, and back. Arguments that travel in the header (the request port,
reply ports) are not among them. The values, by the argument's type:

    an integer                      int, signed or unsigned as the definition says
    a struct, an array of a fixed size   tuple of its integers in order; bytes where it is all characters
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

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.kern_return import MigReturn
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
    decode_type_word,
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

_BAD_ARGUMENTS: Final = int(MigReturn.MIG_BAD_ARGUMENTS)
_TYPE_ERROR: Final = int(MigReturn.MIG_TYPE_ERROR)
_FIRST_PORT: Final = 16
_LAST_PORT: Final = 21
_TRANSIT: Final = {16: PORT_RECEIVE, 17: PORT_SEND, 18: PORT_SEND_ONCE, 19: PORT_SEND, 20: PORT_SEND, 21: PORT_SEND_ONCE}


class Type(NamedTuple):
    """How one argument travels.

    send, receive: the type name that senders write and that receivers check (MIG's `sent|received`).
    size, number: of the descriptor: bits in an item, and items in a value (FIXED) or in one element of an array.
    format: `struct` codes of a value (FIXED) or of an element; empty for rights, `s` for an array of characters.
    limit: the most elements that the definition allows inline; for a CountInOut's count what it is clamped to. 0: no limit.
    """

    send: int
    receive: int
    size: int
    number: int
    format: str
    form: int = FIXED
    longform: bool = False
    limit: int = 0
    string: bool = False

    @property
    def is_port(self) -> bool:
        return not self.format


class PolyPort(NamedTuple):
    """A right whose disposition the sender chose. With a disposition that names no right, `port` is the bare word."""

    port: object | None
    disposition: int


class OutOfLine(NamedTuple):
    """Memory under way: `size` bytes held by `copy` (None for no bytes). Its owner is whoever holds it."""

    copy: object | None
    size: int


Values = tuple[Any, ...]
Packed = tuple[bytes, tuple[Carried, ...]]


class _Codec(Protocol):
    def unpack(self, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values | None: ...

    def pack(self, values: Sequence[Any]) -> Packed: ...


class Message:
    """A message's id, its arguments' names, and its codec in either byte order."""

    __slots__ = ("_codecs", "id", "names", "types")

    def __init__(self, msgh_id: int, items: tuple[tuple[str, Type], ...]) -> None:
        self.id = msgh_id
        self.names = tuple(item[0] for item in items)
        self.types = tuple(item[1] for item in items)
        self._codecs: dict[ByteOrder, _Codec] = {}

    def unpack(self, order: ByteOrder, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values:
        """The arguments of a request. Nothing is consumed: the caller owns what `carried` holds, also after a failure.

        KernError(MIG_BAD_ARGUMENTS) where size, complex bit or a descriptor is not what the definition says.
        """
        values = self._codec(order).unpack(body, carried, complex_bit)
        if values is None:
            raise KernError(_BAD_ARGUMENTS)
        return values

    def pack(self, order: ByteOrder, values: Sequence[Any]) -> Packed:
        """The body and what it carries; the message is complex exactly where that is not empty. The message owns the rights."""
        return self._codec(order).pack(values)

    def matches(self, order: ByteOrder, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        """As `unpack`, with None for a message of another shape."""
        return self._codec(order).unpack(body, carried, complex_bit)

    def _codec(self, order: ByteOrder) -> _Codec:
        codec = self._codecs.get(order)
        if codec is None:
            plain = all(t.form == FIXED and not t.longform and t.receive != POLYMORPHIC for t in self.types)
            codec = self._codecs[order] = _FixedCodec(self.types, order) if plain else _GeneralCodec(self.types, order)
        return codec


class Routine:
    """One routine of a subsystem. `reply` is None for a simpleroutine; otherwise its first value is RetCode."""

    __slots__ = ("name", "reply", "request")

    def __init__(self, name: str, request: Message, reply: Message | None) -> None:
        self.name = name
        self.request = request
        self.reply = reply

    def unpack_reply(self, order: ByteOrder, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values:
        """What the routine answered, without RetCode; nothing is consumed.

        KernError(RetCode) where that is not 0, KernError(MIG_TYPE_ERROR) for what is no reply to it.
        """
        if self.reply is None:
            raise InvariantError(f"{self.name} has no reply")
        values = self.reply.matches(order, body, carried, complex_bit)
        if values is None:
            values = None if complex_bit else RETCODE.matches(order, body, (), False)
            if values is None or values[0] == 0:
                raise KernError(_TYPE_ERROR)
        if values[0] != 0:
            raise KernError(values[0])
        return values[1:]


_RETCODE_TYPE: Final = Type(2, 2, 32, 1, "i")
RETCODE: Final = Message(0, (("RetCode", _RETCODE_TYPE),))
"""The reply of a routine without results, and of every routine that fails."""


def table(*routines: Routine) -> dict[int, Routine]:
    """A subsystem's routines by request id."""
    return {routine.request.id: routine for routine in routines}


def _mask(code: str) -> int:
    return (1 << 8 * struct.calcsize("=" + code)) - 1


def _slots(form: str) -> list[str]:
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


class _Value:
    """Joins the slots that `struct` gives for a value of fixed size to that value, and splits it again."""

    __slots__ = ("codes", "limit", "masks", "one", "string")

    def __init__(self, kind: Type) -> None:
        self.codes = ["I"] if kind.is_port else _slots(kind.format)
        self.masks = [None if code.endswith("s") else _mask(code) for code in self.codes]
        self.one = len(self.codes) == 1
        self.string = kind.string
        self.limit = kind.limit

    def join(self, slots: tuple[Any, ...]) -> Any:
        if not self.one:
            return slots
        if self.string:
            return slots[0].partition(b"\0")[0]
        if self.limit:
            return min(slots[0], self.limit)
        return slots[0]

    def split(self, value: Any) -> list[Any]:
        slots = (value,) if self.one else value
        if self.string:
            slots = (value[: struct.calcsize(self.codes[0]) - 1],)
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

    def port(self, offset: int, word: int) -> object | None:
        item = self.take(offset)
        if isinstance(item, CarriedPort):
            return item.port
        return PORT_DEAD if word == PORT_DEAD else None


class _FixedCodec:
    """For messages whose items all have one place and one descriptor word: a single unpack and a single comparison."""

    __slots__ = ("blank", "complex_bit", "descriptors", "ports", "simple", "spans", "structure", "unsigned", "values")

    def __init__(self, types: tuple[Type, ...], order: ByteOrder) -> None:
        signed = order.value
        unsigned = order.value
        offset = slot = 0
        descriptors: list[int] = []
        self.spans: list[tuple[int, int]] = []
        self.ports: list[tuple[int, int, int]] = []
        self.blank: list[Any] = []
        self.values = [_Value(kind) for kind in types]
        for index, (kind, value) in enumerate(zip(types, self.values, strict=True)):
            form = "I" if kind.is_port else kind.format
            size = struct.calcsize("=" + form)
            pad = f"{-size % 4}x"
            signed += "I" + form + pad
            unsigned += "I" + "".join(code.upper() if code[-1] != "s" else code for code in value.codes) + pad
            name = _TRANSIT.get(kind.receive, kind.receive)
            descriptors.append(TypeDescriptor(name, kind.size, kind.number).word(order))
            self.blank += [descriptors[-1], *[0] * len(value.codes)]
            self.spans.append((slot + 1, slot + 1 + len(value.codes)))
            if kind.is_port:
                self.ports.append((index, offset + 4, name))
            offset += 4 + size + -size % 4
            slot += 1 + len(value.codes)
        self.structure = struct.Struct(signed)
        self.unsigned = struct.Struct(unsigned)
        self.descriptors = tuple(descriptors)
        self.complex_bit = bool(self.ports)
        self.simple = all(value.one and not value.string and not value.limit for value in self.values)

    def unpack(self, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        if len(body) != self.structure.size or complex_bit != self.complex_bit:
            return None
        slots = self.structure.unpack(body)
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
        taker = _Taker(carried)
        for index, offset, _ in self.ports:
            values[index] = taker.port(offset, values[index])
        return tuple(values)

    def pack(self, values: Sequence[Any]) -> Packed:
        if len(values) != len(self.values):
            raise InvariantError(f"{len(values)} values for {len(self.values)} arguments")
        slots = self.blank.copy()
        carried = tuple([CarriedPort(offset, name, values[index]) for index, offset, name in self.ports])
        if carried:
            values = list(values)
            for index, _, _ in self.ports:
                values[index] = 0
        for value, given, (start, end) in zip(self.values, values, self.spans, strict=True):
            slots[start:end] = value.split(given)
        return self.unsigned.pack(*slots), carried


class _GeneralCodec:
    """For every message: item after item, each checked by its own descriptor."""

    __slots__ = ("_long", "_word", "needs_complex", "never_complex", "order", "types")

    def __init__(self, types: tuple[Type, ...], order: ByteOrder) -> None:
        self.types = types
        self.order = order
        self._word = struct.Struct(order.value + "I")
        self._long = struct.Struct(order.value + "IHHI")
        always = [t.form == OUT_OF_LINE or (t.is_port and t.receive != POLYMORPHIC and t.form != EITHER) for t in types]
        self.needs_complex = any(always)
        self.never_complex = not any(always) and not any(t.is_port or t.form == EITHER for t in types)

    def unpack(self, body: bytes, carried: Sequence[Carried], complex_bit: bool) -> Values | None:
        if (self.needs_complex and not complex_bit) or (self.never_complex and complex_bit):
            return None
        values: list[Any] = []
        taker = _Taker(carried)
        offset = 0
        for kind in self.types:
            descriptor = self._descriptor(kind, body, offset)
            if descriptor is None or not _fits(kind, descriptor, complex_bit):
                return None
            offset += 12 if kind.longform else 4
            size = descriptor.number * descriptor.size // 8 if descriptor.inline else 4
            end = offset + size + -size % 4
            if end > len(body):
                return None
            if not descriptor.inline:
                value, sound = self._out_of_line(kind, taker.take(offset), descriptor)
            elif kind.is_port:
                value, sound = self._rights(kind, body, offset, taker, descriptor), True
            else:
                value, sound = self._data(kind, body[offset : offset + size])
            if not sound:
                return None
            values.append(value)
            offset = end
        return tuple(values) if offset == len(body) else None

    def _descriptor(self, kind: Type, body: bytes, offset: int) -> TypeDescriptor | None:
        if offset + (12 if kind.longform else 4) > len(body):
            return None
        if not kind.longform:
            return decode_type_word(self._word.unpack_from(body, offset)[0], self.order)
        word, name, size, number = self._long.unpack_from(body, offset)
        head = decode_type_word(word, self.order)
        return TypeDescriptor(name, size, number, head.inline, head.longform, head.deallocate)

    def _out_of_line(self, kind: Type, item: Carried | None, descriptor: TypeDescriptor) -> tuple[Any, bool]:
        if kind.is_port:
            return (item.ports, True) if isinstance(item, CarriedPorts) else ((), descriptor.number == 0)
        if isinstance(item, CarriedMemory):
            return OutOfLine(item.copy, item.size), True
        return OutOfLine(None, 0), descriptor.number == 0

    def _rights(self, kind: Type, body: bytes, offset: int, taker: _Taker, descriptor: TypeDescriptor) -> Any:
        words = struct.unpack_from(f"{self.order.value}{descriptor.number}I", body, offset)
        if not _FIRST_PORT <= descriptor.name <= _LAST_PORT:
            return PolyPort(words[0], descriptor.name)
        ports = tuple([taker.port(offset + 4 * index, word) for index, word in enumerate(words)])
        if kind.form != FIXED:
            return ports
        return PolyPort(ports[0], descriptor.name) if kind.receive == POLYMORPHIC else ports[0]

    def _data(self, kind: Type, data: bytes) -> tuple[Any, bool]:
        if kind.form == FIXED:
            return _Value(kind).join(struct.unpack(self.order.value + kind.format, data)), True
        if kind.format == "s":
            return (data.partition(b"\0")[0] if kind.string else data), True
        element = struct.Struct(self.order.value + kind.format)
        if len(data) % element.size:
            return (), False
        elements = tuple(element.iter_unpack(data))
        return (elements if len(_slots(kind.format)) > 1 else tuple([slots[0] for slots in elements])), True

    def pack(self, values: Sequence[Any]) -> Packed:
        if len(values) != len(self.types):
            raise InvariantError(f"{len(values)} values for {len(self.types)} arguments")
        body = bytearray()
        carried: list[Carried] = []
        for kind, value in zip(self.types, values, strict=True):
            if kind.is_port:
                self._pack_rights(kind, value, body, carried)
            elif isinstance(value, OutOfLine):
                self._put_descriptor(kind, kind.receive, value.size * 8 // kind.size, False, body)
                carried.append(CarriedMemory(len(body), value.size, value.copy))
                body += bytes(4)
            else:
                data, number = self._encode(kind, value)
                self._put_descriptor(kind, kind.receive, number, True, body)
                body += data + bytes(-len(data) % 4)
        return bytes(body), tuple(carried)

    def _put_descriptor(self, kind: Type, name: int, number: int, inline: bool, body: bytearray) -> None:
        descriptor = TypeDescriptor(name, kind.size, number, inline, kind.longform, not inline)
        if kind.longform:
            body += self._long.pack(descriptor.word(self.order), name, kind.size, number)
        else:
            body += self._word.pack(descriptor.word(self.order))

    def _encode(self, kind: Type, value: Any) -> tuple[bytes, int]:
        """A value's bytes and the descriptor's number."""
        if kind.form == FIXED:
            codec = _Value(kind)
            form = "".join(code.upper() if code[-1] != "s" else code for code in codec.codes)
            return struct.pack(self.order.value + form, *codec.split(value)), kind.number
        if kind.form == OUT_OF_LINE:
            raise InvariantError("out-of-line data is given as OutOfLine")
        if kind.format == "s":
            data = bytes(value) + b"\0" if kind.string else bytes(value)
            return data, len(data)
        element = _Value(kind._replace(limit=0))
        slots = [slot for item in value for slot in element.split(item)]
        form = "".join(code.upper() if code[-1] != "s" else code for code in element.codes) * len(value)
        return struct.pack(self.order.value + form, *slots), kind.number * len(value)

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


def _fits(kind: Type, descriptor: TypeDescriptor, complex_bit: bool) -> bool:
    """Whether a received descriptor is one that the definition allows."""
    if descriptor.longform != kind.longform or descriptor.size != kind.size:
        return False
    if kind.form != EITHER and descriptor.inline != (kind.form != OUT_OF_LINE):
        return False
    if not descriptor.inline and not complex_bit:
        return False
    if kind.form == FIXED and descriptor.number != kind.number:
        return False
    if kind.receive == POLYMORPHIC:
        return complex_bit or not _FIRST_PORT <= descriptor.name <= _LAST_PORT
    return descriptor.name == _TRANSIT.get(kind.receive, kind.receive)
