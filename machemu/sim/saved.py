"""Saved machines and clusters: files of one part or more, each a state's graph and the memory of its machine.

A file is a header line (magic, what it is, format version), then a zstandard frame with a head and the parts. A part is a graph
of objects, which shares none with other parts, and, where it has a memory, the pages of that that are not zero. The head says how
large each part's memory is, of which classes the graphs are and how each of them looks, and where the state is from: who reads a
file checks that before the rest is unpacked.

What is read takes no more of the host's memory than the described machines have, ALLOWANCE, and RATIO times the file's own size.
Nothing that can be saved is refused for that: a file that packs too well is made as large as it has to be, by a frame of zeros
that readers of zstandard skip.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.sim import files, slots
from machemu.sim.graph import Reader, SavedError, Writer, encode_number, parts_of
from machemu.sim.pages import PAGE, pages_of
from machemu.sim.state import REGISTRY, state

MAGIC: Final = b"machemu saved "
FORMAT: Final = 4
FORMAT_NUMBER: Final = re.compile(rb"[1-9][0-9]{0,8}")
HEADER_MAX: Final = 256
ALLOWANCE: Final = 16 << 20
RATIO: Final = 64
UNPACK_STEP: Final = 1 << 10
"""Bytes that are unpacked at once: what comes out can be 30,000 times as many before it is measured."""
WINDOW_MAX: Final = 8 << 20
"""Bytes that the unpacker may look back."""
MEMORY_MAX: Final = 1 << 40
"""Bytes of a memory at most."""
SKIP_STEP: Final = 1 << 18
"""Bytes of a frame that is skipped that are read at once."""
PACK_STEP: Final = 1 << 16
"""Bytes of a graph that are packed at once."""
NO_RAM: Final = memoryview(b"")
SKIPPED: Final = struct.Struct("<II")
SKIPPED_MAGIC: Final = 0x184D2A50
"""The head of a frame that readers skip (RFC 8878): magic, size."""


class FileKind(Enum):
    """What a file holds; the value is the word for it."""

    MACHINE = "machine"
    CLUSTER = "cluster"


TAKEN_BY: Final = {
    FileKind.MACHINE: "`machemu boot --load FILE`",
    FileKind.CLUSTER: "`machemu cluster CLUSTERFILE --load FILE`",
}


@state
class Head(NamedTuple):
    """memories: bytes of each part's, 0 where it has none. classes: names and digests of those in the graphs. origin: what the
    state is from, plain data, of the caller's making."""

    memories: tuple[int, ...]
    classes: tuple[tuple[str, str], ...]
    origin: object


class Part(NamedTuple):
    """A part to be saved, as plain data but for `pages`, which are as the memory is when they are asked for.

    graph: the encoded state. weight: bytes of the host's memory that its reader may need. classes: as in Head, of this graph.
    size: bytes of its memory, 0 for none.
    """

    graph: bytes
    weight: int
    classes: tuple[tuple[str, str], ...]
    size: int
    pages: Iterable[tuple[int, bytes]]


def class_digest(cls: type) -> str:
    """Tells a class from one with other saved slots, fields or members."""
    parts = [member.name for member in cls] if issubclass(cls, Enum) else list(parts_of(cls))
    return hashlib.sha256(",".join(parts).encode()).hexdigest()[:16]


def is_saved(data: bytes) -> bool:
    """Whether a file that begins so is a saved machine or cluster, of any version."""
    return data.startswith(MAGIC)


def digest(root: object, ram: memoryview) -> str:
    """SHA-256 over the state and all of RAM, in hexadecimal."""
    hasher = hashlib.sha256(Writer().encode(root))
    hasher.update(ram)
    return hasher.hexdigest()


def digest_pages(root: object, ram: memoryview) -> str:
    """SHA-256 over the state and what is not zero in RAM, in hexadecimal."""
    hasher = hashlib.sha256(Writer().encode(root))
    hasher.update(encode_number(len(ram)))
    for number, page in pages_of(ram):
        hasher.update(encode_number(number + 1) + page)
    return hasher.hexdigest()


# Saving


def part(root: object, ram: memoryview = NO_RAM) -> Part:
    """A state with its RAM, which is whole pages, as a part of a file."""
    writer = Writer()
    writer.write(root)
    classes = tuple((writer.names[cls], class_digest(cls)) for cls in writer.classes)
    return Part(b"".join(writer.out), writer.weight(), classes, len(ram), pages_of(ram))


def save(path: Path, kind: FileKind, parts: Sequence[Part], origin: object = None) -> None:
    """Writes a file, whole or not at all. UserError where it cannot be written."""
    classes = tuple(dict.fromkeys(pair for each in parts for pair in each.classes))
    head = Writer()
    head.write(Head(tuple(each.size for each in parts), classes, origin))
    files.write(path, _file(kind, head, parts))


def _file(kind: FileKind, head: Writer, parts: Sequence[Part]) -> Iterator[bytes]:
    import zstandard  # not before it is needed: it takes time to load

    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    size = 0
    for plain in chain(_plain(head, parts), (None,)):
        packed = packer.flush() if plain is None else packer.compress(plain)
        if not size:
            packed = MAGIC + f"{kind.value} {FORMAT}\n".encode() + packed
        size += len(packed)
        yield packed
    missing = -(-(head.weight() + sum(each.weight for each in parts) - ALLOWANCE) // RATIO) - size
    if missing > 0:
        yield SKIPPED.pack(SKIPPED_MAGIC, missing) + bytes(missing)


def _plain(head: Writer, parts: Sequence[Part]) -> Iterator[bytes]:
    yield b"".join(head.out)
    for each in parts:
        for start in range(0, len(each.graph), PACK_STEP):
            yield each.graph[start : start + PACK_STEP]
        if each.size:
            for number, page in each.pages:
                yield encode_number(number + 1) + page
            yield encode_number(0)


# Loading


class SavedFile:
    """A file that is being read: first `head`, then `parts`. Use as a context manager.

    UserError where it is no such file; in its context SavedError becomes one, too, which says that the file is damaged.
    """

    def __init__(self, path: Path, kind: FileKind) -> None:
        import zstandard  # not before it is needed: it takes time to load

        self.path = path
        self.damages = (SavedError, slots.SlotError, zstandard.ZstdError)
        self.file, self.size = _open(path)
        try:
            with self._refusing():
                header = self.file.readline(HEADER_MAX)
            _check_header(path, header, kind)
            self.unpacker = zstandard.ZstdDecompressor(max_window_size=WINDOW_MAX).decompressobj()
            self.reader = Reader(b"", self._more, ALLOWANCE + RATIO * self.size)
            with self._refusing():
                self.head = self._head()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> SavedFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.file.close()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except self.damages as error:
            raise UserError(f"{self.path}: is damaged: {error}") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None

    def _more(self) -> bytes:
        """The next unpacked bytes, b"" at the end of the frame."""
        while not self.unpacker.eof:
            packed = self.file.read(UNPACK_STEP)
            if not packed:
                raise SavedError("it ends early")
            if plain := self.unpacker.decompress(packed):
                return plain
        return b""

    def _head(self) -> Head:
        head = self.reader.graph()
        if not isinstance(head, Head) or not is_head(head):
            raise SavedError("it has no head")
        return head

    def parts(self) -> Iterator[tuple[object, mmap.mmap | None]]:
        """Each part's state and its memory, as large as the head says and the caller's; None for none. To be read to the end.

        Slots named TRANSIENT are unset until their owners attach them. UserError where a graph is of classes that are not the
        same here.
        """
        for name, digest_then in self.head.classes:
            cls = REGISTRY.get(name)
            if cls is None or class_digest(cls) != digest_then:
                raise UserError(
                    f"{self.path}: was saved by another version of {name.partition('.')[0]}, whose {name} is not the same: "
                    "boot anew, or load it with that version"
                )
        with self._refusing():
            for size in self.head.memories:
                root = self.reader.graph()
                slots.check([*self.reader.objects, *self.reader.records])
                self.reader.objects, self.reader.records = [], []
                yield root, self._ram(size) if size else None
            if not self.reader.at_end() or not self._skips(self.unpacker.unused_data):
                raise SavedError("something follows its end")

    def _ram(self, size: int) -> mmap.mmap:
        # Private, so that looking at memory that nobody has written takes none of the host's.
        ram = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        last = 0
        while number := self.reader.number():
            if not last < number <= size // PAGE:
                raise SavedError("its pages are out of order, or lie outside its memory")
            ram[(number - 1) * PAGE : number * PAGE] = self.reader.take(PAGE)
            last = number
        return ram

    def _skips(self, data: bytes) -> bool:
        """Whether what follows the frame is nothing, or one frame that is skipped."""
        data += self.file.read(SKIPPED.size)
        if not data:
            return True
        if len(data) < SKIPPED.size:
            return False
        magic, size = SKIPPED.unpack_from(data)
        left = size + SKIPPED.size - len(data)
        while left > 0 and (more := self.file.read(min(left, SKIP_STEP))):
            left -= len(more)
        return magic == SKIPPED_MAGIC and left == 0 and not self.file.read(1)


def _open(path: Path) -> tuple[BinaryIO, int]:
    """A file, or what a pipe holds, and its bytes."""
    if files.is_fifo(path):
        data = files.read(path, files.PIPE_MAX, "a saved machine or cluster")
        return io.BytesIO(data), len(data)
    file = os.fdopen(files.open_input(path, "a saved machine or cluster"), "rb")
    return file, os.fstat(file.fileno()).st_size


def _check_header(path: Path, line: bytes, kind: FileKind) -> None:
    """UserError, which says what the file is, where it is not one of this kind and version."""
    words = line.removesuffix(b"\n").split(b" ")
    kinds = {each.value.encode(): each for each in FileKind}
    found = kinds.get(words[2]) if is_saved(line) and line.endswith(b"\n") and len(words) in (4, 5) else None
    if found is None:
        raise UserError(f"{path}: is no saved {kind.value}")
    if not FORMAT_NUMBER.fullmatch(words[3]):
        raise UserError(f"{path}: is damaged: its header names no format")
    if words[3:] != [b"%d" % FORMAT]:
        raise UserError(
            f"{path}: was saved by another version of machemu, in format {words[3].decode()}, and this one reads format "
            f"{FORMAT}: boot anew, or load it with that version"
        )
    if found is not kind:
        raise UserError(f"{path}: is a saved {found.value}, which {TAKEN_BY[found]} takes; a saved {kind.value} is wanted here")


def is_head(head: Head) -> bool:
    """Whether a head has what it must."""
    return (
        type(head.memories) is tuple
        and all(type(size) is int and 0 <= size <= MEMORY_MAX and size % PAGE == 0 for size in head.memories)
        and type(head.classes) is tuple
        and all(type(pair) is tuple and list(map(type, pair)) == [str, str] for pair in head.classes)
    )
