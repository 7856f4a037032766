"""The one codec by which state is written, read back and digested: a graph of objects as bytes.

The encoding is canonical: objects are numbered in the order in which they are first met, tuples and numbers have no identity, so
equal states have equal bytes and equal digests. It names classes of the registry alone and is read with every length checked and
every value charged for the memory that it takes: hostile bytes can fail, and do nothing else.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any, Final

from machemu.abi.errors import InvariantError
from machemu.sim.state import REGISTRY, fields

NONE, TRUE, FALSE, INT, NEGATIVE, STR, BYTES, BYTEARRAY, TUPLE, LIST, DICT, DEQUE, OBJECT, ENUM, REFERENCE, RECORD, FLOAT = range(
    17
)
CONTAINERS: Final = {list: LIST, dict: DICT, deque: DEQUE}
FLOAT_BITS: Final = struct.Struct("<d")

VALUE: Final = 64
COSTS: Final = {tag: VALUE for tag in range(17)} | {
    TUPLE: VALUE + 256, RECORD: VALUE + 256, LIST: VALUE + 256, DICT: VALUE + 256, OBJECT: VALUE + 256, BYTEARRAY: VALUE + 64,
    DEQUE: VALUE + 1024,
}  # fmt: skip
"""Bytes of the host's memory that a value of each kind takes at most, with its place in what holds it; without what it holds, and
without those of a text or of bytes."""
CHARACTER: Final = 4
"""The same for a byte of a text."""
ROOM: Final = 64 << 20
"""Bytes of the host's memory that a graph may take where nothing else is said."""
NUMBER_MAX: Final = 1 << 17
"""Bits of a number at most."""


class StateError(InvariantError):
    """Something is no state that could be saved. The message says what.

    chain: from the root to it, each inside the one before. owner, slot: the state object that has it, or that is not whole.
    """

    def __init__(self, text: str, chain: Sequence[object], owner: object, slot: str) -> None:
        super().__init__(text)
        self.chain = chain
        self.owner = owner
        self.slot = slot


class SavedError(ValueError):
    """The bytes are no graph; the message says why."""


def parts_of(cls: type) -> tuple[str, ...]:
    """What is written of an instance: a named tuple's fields, or a state class's slots."""
    return cls._fields if issubclass(cls, tuple) else fields(cls)  # type: ignore[attr-defined]


def encode_number(value: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Writer:
    """Encodes one graph. Nested values are written in place, objects too where they are first met, without recursion."""

    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.numbers: dict[int, int] = {}
        self.classes: dict[type, int] = {}
        self.names: dict[type, str] = {cls: name for name, cls in REGISTRY.items()}
        self.parts: dict[type, tuple[str, ...]] = {}

    def encode(self, root: object) -> bytes:
        self.write(root)
        return b"".join(self.out)

    def weight(self) -> int:
        """Bytes of the host's memory that a reader of what was written may need, at most."""
        return sum(COSTS[piece[0]] + len(piece) * (CHARACTER if piece[0] == STR else 1) for piece in self.out)

    def write(self, root: object) -> None:
        """Encodes a graph into `out`, a piece for each value."""
        stack: list[Iterator[Any]] = [iter((root,))]
        owners: list[object] = []
        while stack:
            for value in stack[-1]:
                try:
                    inner = self._value(value)
                except (InvariantError, AttributeError) as error:
                    raise self._error(error, [*owners, value]) from None
                if inner is not None:
                    owners.append(value)
                    stack.append(iter(inner))
                    break
            else:
                stack.pop()
                if owners:
                    owners.pop()

    def _error(self, error: Exception, chain: list[object]) -> StateError:
        """What is wrong with the last of a chain of values, each inside the one before, and where that is."""
        if isinstance(error, AttributeError):
            kind = type(chain[-1]).__qualname__
            return StateError(
                f"{kind} is saved before it is whole: {error.name} has no value", chain, chain[-1], error.name or ""
            )
        for outer, inner in reversed(list(pairwise(chain))):
            for name in self.parts.get(type(outer), ()):
                if getattr(outer, name) is inner:
                    return StateError(f"{type(outer).__qualname__}.{name}: {error}", chain, outer, name)
        return StateError(str(error), chain, chain[-1], "")

    def _value(self, value: Any) -> Iterable[Any] | None:
        """Writes a value's head; gives what comes inside it."""
        out = self.out
        kind = type(value)
        if kind is int:
            out.append(bytes((INT,)) + encode_number(value) if value >= 0 else bytes((NEGATIVE,)) + encode_number(-value))
        elif value is None:
            out.append(bytes((NONE,)))
        elif kind is bool:
            out.append(bytes((TRUE if value else FALSE,)))
        elif kind is str:
            data = value.encode("utf-8", "surrogateescape")
            out.append(bytes((STR,)) + encode_number(len(data)) + data)
        elif kind is bytes:
            out.append(bytes((BYTES,)) + encode_number(len(value)) + value)
        elif kind is tuple:
            out.append(bytes((TUPLE,)) + encode_number(len(value)))
            return value  # type: ignore[no-any-return]
        elif kind is float:
            out.append(bytes((FLOAT,)) + FLOAT_BITS.pack(value))
        elif isinstance(value, tuple):
            out.append(bytes((RECORD,)) + self._class(kind))
            return value  # a named tuple
        elif isinstance(value, Enum):
            out.append(bytes((ENUM,)) + self._class(kind) + encode_number(list(type(value)).index(value)))
        else:
            return self._shared(kind, value)
        return None

    def _shared(self, kind: type, value: Any) -> Iterable[Any] | None:
        """Writes something with an identity: once whole, later by its number."""
        number = self.numbers.get(id(value))
        if number is not None:
            self.out.append(bytes((REFERENCE,)) + encode_number(number))
            return None
        self.numbers[id(value)] = len(self.numbers)
        if kind is bytearray:
            self.out.append(bytes((BYTEARRAY,)) + encode_number(len(value)) + bytes(value))
            return None
        if kind in CONTAINERS:
            self.out.append(bytes((CONTAINERS[kind],)) + encode_number(len(value)))
            return [part for item in value.items() for part in item] if kind is dict else value
        self.out.append(bytes((OBJECT,)) + self._class(kind))
        if kind not in self.parts:
            self.parts[kind] = parts_of(kind)
        return [getattr(value, name) for name in self.parts[kind]]

    def _class(self, kind: type) -> bytes:
        """A class by number, with its name where it is first met."""
        number = self.classes.get(kind)
        if number is not None:
            return encode_number(number)
        if kind not in self.names:
            raise InvariantError(f"{kind.__module__}.{kind.__qualname__} is no state: it cannot be saved")
        number = self.classes[kind] = len(self.classes)
        name = self.names[kind].encode()
        return encode_number(number) + encode_number(len(name)) + name


class Reader:
    """Decodes graphs, one after another. more: gives the bytes that follow `data`, b"" at the end.

    room: bytes of the host's memory that what is read may still take. Everything is charged before it is made.
    """

    def __init__(self, data: bytes, more: Callable[[], bytes] = bytes, room: int = ROOM) -> None:
        self.data = data
        self.more = more
        self.room = room
        self.place = 0
        self.objects: list[Any] = []
        self.records: list[Any] = []
        self.classes: list[type] = []

    def charge(self, size: int) -> None:
        """Something of so many bytes is about to be made."""
        self.room -= size
        if self.room < 0:
            raise SavedError("it would take more of the host's memory than it may")

    def at_end(self) -> bool:
        """Whether nothing follows."""
        return self.place == len(self.data) and not self._refill(1)

    def _refill(self, size: int) -> bool:
        """Whether so many bytes, which are not there yet, come."""
        pieces = [self.data[self.place :]]
        size -= len(pieces[0])
        while size > 0 and (piece := self.more()):
            pieces.append(piece)
            size -= len(piece)
        self.data, self.place = b"".join(pieces), 0
        return size <= 0

    def number(self) -> int:
        value = shift = 0
        while True:
            if self.place >= len(self.data) and not self._refill(1):
                raise SavedError("it ends early")
            byte = self.data[self.place]
            self.place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > NUMBER_MAX:
                raise SavedError("a number is too long")

    def whole(self) -> int:
        """A number that is a value."""
        value = self.number()
        if value >> 62:
            self.charge(value.bit_length() // 7)
        return value

    def take(self, size: int) -> bytes:
        """So many bytes; who takes many has charged for them."""
        if size > len(self.data) - self.place and not self._refill(size):
            raise SavedError("it ends early")
        self.place += size
        return self.data[self.place - size : self.place]

    def string(self, cost: int = 1) -> bytes:
        """Bytes that a number of them precedes, each of which costs so much."""
        size = self.number()
        self.charge(cost * size)
        return self.take(size)

    def cls(self) -> type:
        number = self.number()
        if number == len(self.classes):
            name = self.string(CHARACTER).decode("utf-8", "replace")
            if name not in REGISTRY:
                raise SavedError(f"it holds a '{name}', which is no state class")
            self.classes.append(REGISTRY[name])
        if number >= len(self.classes):
            raise SavedError("a class is out of order")
        return self.classes[number]

    def decode(self) -> Any:
        """The root of the one graph that the bytes are."""
        root = self.graph()
        if not self.at_end():
            raise SavedError("something follows its end")
        return root

    def graph(self) -> Any:
        """The root of the next graph. Containers are filled when all that they hold has been read, innermost first."""
        self.objects, self.records, self.classes = [], [], []
        frames = [Frame(None, None, 1)]
        while True:
            frame = frames[-1]
            if len(frame.values) == frame.count:
                frames.pop()
                if frame.kind is None:
                    return frame.values[0]
                frames[-1].values.append(self._finish(frame))
                continue
            value = self._value(frames)
            if value is not PENDING:
                frame.values.append(value)

    def _value(self, frames: list[Frame]) -> Any:
        tag = self.take(1)[0]
        self.charge(COSTS.get(tag, 0))
        if tag == INT:
            return self.whole()
        if tag == NONE:
            return None
        if tag in (TRUE, FALSE):
            return tag == TRUE
        if tag == NEGATIVE:
            return -self.whole()
        if tag == STR:
            return self.string(CHARACTER).decode("utf-8", "surrogateescape")
        if tag == BYTES:
            return self.string()
        if tag == FLOAT:
            return FLOAT_BITS.unpack(self.take(FLOAT_BITS.size))[0]
        if tag == REFERENCE:
            number = self.number()
            if number >= len(self.objects):
                raise SavedError("a reference leads nowhere")
            return self.objects[number]
        if tag == ENUM:
            cls = self.cls()
            members = list(cls) if issubclass(cls, Enum) else []
            index = self.number()
            if index >= len(members):
                raise SavedError(f"{cls.__qualname__} has no such member")
            return members[index]
        if tag == BYTEARRAY:
            self.objects.append(bytearray(self.string()))
            return self.objects[-1]
        self._open(tag, frames)
        return PENDING

    def _open(self, tag: int, frames: list[Frame]) -> None:
        if tag == TUPLE:
            frames.append(Frame(tuple, None, self.number()))
        elif tag == RECORD:
            record = self.cls()
            if not issubclass(record, tuple):
                raise SavedError(f"{record.__qualname__} is no named tuple")
            frames.append(Frame(record, None, len(parts_of(record))))
        elif tag in (LIST, DEQUE, DICT):
            shell: Any = {LIST: list, DEQUE: deque, DICT: dict}[tag]()
            self.objects.append(shell)
            frames.append(Frame(type(shell), shell, self.number() * (2 if tag == DICT else 1)))
        elif tag == OBJECT:
            cls = self.cls()
            if issubclass(cls, Enum | tuple):
                raise SavedError(f"{cls.__qualname__} is no class of objects")
            shell = cls.__new__(cls)
            self.objects.append(shell)
            frames.append(Frame(cls, shell, len(parts_of(cls))))
        else:
            raise SavedError(f"it holds a value of unknown kind {tag}")

    def _finish(self, frame: Frame) -> Any:
        kind, shell, values = frame.kind, frame.shell, frame.values
        if kind is tuple:
            return tuple(values)
        if kind is list or kind is deque:
            shell.extend(values)
        elif kind is dict:
            try:
                shell.update(zip(values[::2], values[1::2], strict=True))
            except (TypeError, AttributeError, RecursionError) as error:
                raise SavedError(f"a key cannot be: {error}") from None
        elif issubclass(kind, tuple):
            self.records.append(kind(*values))
            return self.records[-1]
        else:
            for name, value in zip(parts_of(kind), values, strict=True):
                object.__setattr__(shell, name, value)
        return shell


class Frame:
    """A container under way: its class, the object to fill (None for tuples), the values so far, how many there will be."""

    __slots__ = ("count", "kind", "shell", "values")

    def __init__(self, kind: Any, shell: Any, count: int) -> None:
        self.kind = kind
        self.shell = shell
        self.count = count
        self.values: list[Any] = []


PENDING: Final = object()
