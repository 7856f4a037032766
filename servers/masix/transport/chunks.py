"""The chunks of a DATA packet's text, by `struct`; formats.py describes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from machemu.sim.state import state
from masix.transport.packets import PLAIN_MAX, PacketError

FRAGMENT: Final = struct.Struct(">BQIIH")
ACKNOWLEDGEMENT: Final = struct.Struct(">BQQIB")
RANGE: Final = struct.Struct(">HH")
RANGES_MAX: Final = 10
ACKNOWLEDGEMENT_MAX: Final = ACKNOWLEDGEMENT.size + RANGES_MAX * RANGE.size
FRAGMENT_MAX: Final = (PLAIN_MAX - FRAGMENT.size - ACKNOWLEDGEMENT_MAX) & ~15
"""Data bytes of a fragment at most: an acknowledgement has room beside it."""
NUMBERS_MAX: Final = 4096
"""Fragments that may be under way at once, so that a receiver needs to remember no more."""


@state
class ChunkKind(IntEnum):
    """FRAGMENT: of a message; LAST: its last. FULL, ROOM: a stream can take no more, or again. PROBE: asks for an answer."""

    ACKNOWLEDGEMENT = 1
    FRAGMENT = 2
    LAST = 3
    FULL = 4
    ROOM = 5
    PROBE = 6


FRAGMENT_KINDS: Final = {int(kind): kind for kind in ChunkKind if kind is not ChunkKind.ACKNOWLEDGEMENT}


class FragmentChunk(NamedTuple):
    kind: ChunkKind
    number: int
    back: int
    stream: int
    data: bytes


class AcknowledgementChunk(NamedTuple):
    """ranges: (first, last) of fragments beyond `all_up_to` that came."""

    all_up_to: int
    latest: int
    delay: int
    ranges: tuple[tuple[int, int], ...]


def acknowledgement_bytes(chunk: AcknowledgementChunk) -> bytes:
    """The chunk with the first RANGES_MAX ranges."""
    ranges = chunk.ranges[:RANGES_MAX]
    parts = [ACKNOWLEDGEMENT.pack(ChunkKind.ACKNOWLEDGEMENT, chunk.all_up_to, chunk.latest, chunk.delay, len(ranges))]
    before = chunk.all_up_to
    for first, last in ranges:
        parts.append(RANGE.pack(first - before - 1, last - first + 1))
        before = last
    return b"".join(parts)


def chunks_of(text: bytes) -> Iterator[FragmentChunk | AcknowledgementChunk]:
    """The chunks of a text. PacketError where it cannot be read."""
    place = 0
    try:
        while place < len(text):
            kind = FRAGMENT_KINDS.get(text[place])
            if kind is not None:
                _, number, back, stream, size = FRAGMENT.unpack_from(text, place)
                place += FRAGMENT.size + size
                if place > len(text) or not number or back >= number:
                    raise PacketError("a fragment is impossible")
                yield FragmentChunk(kind, number, back, stream, text[place - size : place])
            elif text[place] == ChunkKind.ACKNOWLEDGEMENT:
                _, all_up_to, latest, delay, count = ACKNOWLEDGEMENT.unpack_from(text, place)
                place += ACKNOWLEDGEMENT.size
                ranges = []
                before = all_up_to
                for _ in range(count):
                    gap, length = RANGE.unpack_from(text, place)
                    place += RANGE.size
                    if not gap or not length:
                        raise PacketError("a range is empty")
                    ranges.append((before + gap + 1, before + gap + length))
                    before += gap + length
                yield AcknowledgementChunk(all_up_to, latest, delay, tuple(ranges))
            else:
                raise PacketError("a chunk is of no known kind")
    except struct.error:
        raise PacketError("a chunk ends early") from None
