"""Saved machines: the one codec by which state is written, read back and digested.

A file is a header line (magic, format version, schema digest), then a zstandard frame with the state's object graph and the pages
that are not zero of each RAM. The graph's encoding is canonical: objects are numbered in the order in which they are first met,
tuples and numbers have no identity, so equal states have equal bytes and equal digests. It names classes of the registry alone
and is read with every length checked: a hostile file can fail, and do nothing else.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import zstandard

from machemu.abi.errors import InvariantError, UserError
from machemu.sim.state import REGISTRY, fields

MAGIC: Final = b"machemu saved machine"
FORMAT: Final = 2
HEADER_MAX: Final = 256
GRAPH_MAX: Final = 1 << 28
OBJECTS_MAX: Final = 1 << 23
"""Bytes and objects of a graph at most, so that a small hostile file cannot fill the host's memory."""
UNPACK_STEP: Final = 1 << 10
"""Bytes that are unpacked at once: what comes out can be 30,000 times as many before it is measured."""
PAGE: Final = 4096
ZEROS_STEP: Final = 1 << 18
"""Bytes that are looked at once for being zero."""

NONE, TRUE, FALSE, INT, NEGATIVE, STR, BYTES, BYTEARRAY, TUPLE, LIST, DICT, DEQUE, OBJECT, ENUM, REFERENCE, RECORD, FLOAT = range(
    17
)
CONTAINERS: Final = {list: LIST, dict: DICT, deque: DEQUE}
FLOAT_BITS: Final = struct.Struct("<d")


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


def schema() -> str:
    """A digest of every registered class and its saved slots, and every enum and its members."""
    lines = []
    for name in sorted(REGISTRY):
        cls = REGISTRY[name]
        parts = [member.name for member in cls] if issubclass(cls, Enum) else list(parts_of(cls))
        lines.append(f"{name}:{','.join(parts)}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def parts_of(cls: type) -> tuple[str, ...]:
    """What is written of an instance: a named tuple's fields, or a state class's slots."""
    return cls._fields if issubclass(cls, tuple) else fields(cls)  # type: ignore[attr-defined]


def _number(value: int) -> bytes:
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
        return b"".join(self.out)

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
            out.append(bytes((INT,)) + _number(value) if value >= 0 else bytes((NEGATIVE,)) + _number(-value))
        elif value is None:
            out.append(bytes((NONE,)))
        elif kind is bool:
            out.append(bytes((TRUE if value else FALSE,)))
        elif kind is str:
            data = value.encode("utf-8", "surrogateescape")
            out.append(bytes((STR,)) + _number(len(data)) + data)
        elif kind is bytes:
            out.append(bytes((BYTES,)) + _number(len(value)) + value)
        elif kind is tuple:
            out.append(bytes((TUPLE,)) + _number(len(value)))
            return value  # type: ignore[no-any-return]
        elif kind is float:
            out.append(bytes((FLOAT,)) + FLOAT_BITS.pack(value))
        elif isinstance(value, tuple):
            out.append(bytes((RECORD,)) + self._class(kind))
            return value  # a named tuple
        elif isinstance(value, Enum):
            out.append(bytes((ENUM,)) + self._class(kind) + _number(list(type(value)).index(value)))
        else:
            return self._shared(kind, value)
        return None

    def _shared(self, kind: type, value: Any) -> Iterable[Any] | None:
        """Writes something with an identity: once whole, later by its number."""
        number = self.numbers.get(id(value))
        if number is not None:
            self.out.append(bytes((REFERENCE,)) + _number(number))
            return None
        self.numbers[id(value)] = len(self.numbers)
        if kind is bytearray:
            self.out.append(bytes((BYTEARRAY,)) + _number(len(value)) + bytes(value))
            return None
        if kind in CONTAINERS:
            self.out.append(bytes((CONTAINERS[kind],)) + _number(len(value)))
            return [part for item in value.items() for part in item] if kind is dict else value
        self.out.append(bytes((OBJECT,)) + self._class(kind))
        if kind not in self.parts:
            self.parts[kind] = parts_of(kind)
        return [getattr(value, name) for name in self.parts[kind]]

    def _class(self, kind: type) -> bytes:
        """A class by number, with its name where it is first met."""
        number = self.classes.get(kind)
        if number is not None:
            return _number(number)
        if kind not in self.names:
            raise InvariantError(f"{kind.__module__}.{kind.__qualname__} is no state: it cannot be saved")
        number = self.classes[kind] = len(self.classes)
        name = self.names[kind].encode()
        return _number(number) + _number(len(name)) + name


class Reader:
    """Decodes one graph."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
        self.objects: list[Any] = []
        self.classes: list[type] = []

    def number(self) -> int:
        value = shift = 0
        while True:
            if self.place >= len(self.data):
                raise SavedError("it ends early")
            byte = self.data[self.place]
            self.place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 1 << 20:
                raise SavedError("a number is too long")

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.place:
            raise SavedError("it ends early")
        self.place += size
        return self.data[self.place - size : self.place]

    def count(self) -> int:
        """A number of values to come, each of a byte at least."""
        count = self.number()
        if count > len(self.data) - self.place:
            raise SavedError("it ends early")
        return count

    def cls(self) -> type:
        number = self.number()
        if number == len(self.classes):
            name = self.take(self.number()).decode("utf-8", "replace")
            if name not in REGISTRY:
                raise SavedError(f"it holds a '{name}', which is no state class")
            self.classes.append(REGISTRY[name])
        if number >= len(self.classes):
            raise SavedError("a class is out of order")
        return self.classes[number]

    def decode(self) -> Any:
        """The root. Containers are filled when all that they hold has been read, innermost first."""
        frames = [Frame(None, None, 1)]
        while True:
            frame = frames[-1]
            if len(frame.values) == frame.count:
                frames.pop()
                if frame.kind is None:
                    if self.place != len(self.data):
                        raise SavedError("something follows its end")
                    return frame.values[0]
                frames[-1].values.append(self._finish(frame))
                continue
            value = self._value(frames)
            if value is not PENDING:
                frame.values.append(value)

    def _value(self, frames: list[Frame]) -> Any:
        tag = self.take(1)[0]
        if tag == INT:
            return self.number()
        if tag == NONE:
            return None
        if tag in (TRUE, FALSE):
            return tag == TRUE
        if tag == NEGATIVE:
            return -self.number()
        if tag == STR:
            return self.take(self.number()).decode("utf-8", "surrogateescape")
        if tag == BYTES:
            return self.take(self.number())
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
            self.objects.append(bytearray(self.take(self.number())))
            return self.objects[-1]
        self._open(tag, frames)
        return PENDING

    def _open(self, tag: int, frames: list[Frame]) -> None:
        if len(self.objects) >= OBJECTS_MAX:
            raise SavedError("it holds more objects than a machine has")
        if tag == TUPLE:
            frames.append(Frame(tuple, None, self.count()))
        elif tag == RECORD:
            record = self.cls()
            if not issubclass(record, tuple):
                raise SavedError(f"{record.__qualname__} is no named tuple")
            frames.append(Frame(record, None, len(parts_of(record))))
        elif tag in (LIST, DEQUE, DICT):
            shell: Any = {LIST: list, DEQUE: deque, DICT: dict}[tag]()
            self.objects.append(shell)
            frames.append(Frame(type(shell), shell, self.count() * (2 if tag == DICT else 1)))
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
            return kind(*values)
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


@dataclass(frozen=True, slots=True)
class Ram:
    """A memory of `size` bytes: its pages that are not zero, by number."""

    size: int
    pages: dict[int, bytes]

    def fill(self, memory: memoryview) -> None:
        """Writes the pages into a memory that is all zeros."""
        for number, page in self.pages.items():
            memory[number * PAGE : (number + 1) * PAGE] = page


def pages_of(ram: memoryview) -> Iterator[tuple[int, bytes]]:
    """The pages that are not zero, with their numbers."""
    zero = bytes(ZEROS_STEP)
    for start in range(0, len(ram), ZEROS_STEP):
        step = bytes(ram[start : start + ZEROS_STEP])
        if step == zero[: len(step)]:
            continue
        for at in range(0, len(step), PAGE):
            page = step[at : at + PAGE]
            if page != zero[: len(page)]:
                yield (start + at) // PAGE, page


def digest(root: object, ram: memoryview) -> str:
    """SHA-256 over the state and all of RAM, in hexadecimal."""
    hasher = hashlib.sha256(Writer().encode(root))
    hasher.update(ram)
    return hasher.hexdigest()


def digest_all(root: object, rams: Sequence[memoryview]) -> str:
    """SHA-256 over the state and what is not zero in the memories of any number of machines."""
    hasher = hashlib.sha256(Writer().encode(root))
    for ram in rams:
        hasher.update(_number(len(ram)))
        for number, page in pages_of(ram):
            hasher.update(_number(number + 1) + page)
        hasher.update(_number(0))
    return hasher.hexdigest()


def save(path: Path, root: object, *rams: memoryview) -> None:
    """Writes a file, whole or not at all. rams: whole pages."""
    writer = Writer()
    graph = writer.encode(root)
    if len(graph) > GRAPH_MAX or len(writer.numbers) >= OBJECTS_MAX:
        raise InvariantError(f"a state of {len(graph)} bytes and {len(writer.numbers)} objects is more than `load` takes")
    parts = [_number(len(graph)), graph, _number(len(rams))]
    for ram in rams:
        pages = list(pages_of(ram))
        parts += [_number(len(ram) // PAGE), _number(len(pages))]
        for number, page in pages:
            parts += [_number(number), page]
    data = MAGIC + f" {FORMAT} {schema()}\n".encode() + zstandard.ZstdCompressor(write_checksum=True).compress(b"".join(parts))
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None


def load(path: Path, ram_max: int) -> tuple[object, list[Ram]]:
    """The root and the RAMs that a file holds, none larger than `ram_max` bytes.

    Slots named TRANSIENT are unset until their owners attach them.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    header, newline, packed = data.partition(b"\n")
    words = header[:HEADER_MAX].split(b" ")
    if not newline or b" ".join(words[:3]) != MAGIC or len(words) != 5:
        raise UserError(f"{path}: is no saved machine")
    if words[3] != str(FORMAT).encode() or words[4] != schema().encode():
        raise UserError(f"{path}: was saved by another version of machemu: boot the machine anew, or load it with that version")
    try:
        plain = _decompress(packed, GRAPH_MAX + 2 * ram_max)
        return _parse(plain, ram_max)
    except (SavedError, zstandard.ZstdError) as error:
        raise UserError(f"{path}: is damaged: {error}") from None


def _decompress(packed: bytes, limit: int) -> bytes:
    out = bytearray()
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    for start in range(0, len(packed), UNPACK_STEP):
        if unpacker.eof:
            raise SavedError("something follows its end")
        out += unpacker.decompress(packed[start : start + UNPACK_STEP])
        if len(out) > limit:
            raise SavedError("it is larger than a machine can be")
    if not unpacker.eof:
        raise SavedError("it ends early")
    if unpacker.unused_data:
        raise SavedError("something follows its end")
    return bytes(out)


def _parse(plain: bytes, ram_max: int) -> tuple[object, list[Ram]]:
    reader = Reader(plain)
    graph = reader.take(reader.number())
    rams = [_parse_ram(reader, ram_max) for _ in range(reader.count())]
    if reader.place != len(plain):
        raise SavedError("something follows its end")
    return Reader(graph).decode(), rams


def _parse_ram(reader: Reader, ram_max: int) -> Ram:
    frames, count = reader.number(), reader.number()
    if frames * PAGE > ram_max or count > frames:
        raise SavedError("its memory is larger than a machine's can be")
    pages: dict[int, bytes] = {}
    for _ in range(count):
        number = reader.number()
        if number >= frames:
            raise SavedError("a page lies outside its memory")
        pages[number] = reader.take(PAGE)
    return Ram(frames * PAGE, pages)
