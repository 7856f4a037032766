"""The disk that conformance modules and tests read and write: an image with a DOS partition table."""

from __future__ import annotations

import struct
from typing import Final

SECTOR: Final = 512
SECTORS: Final = 16384
SIGNATURE: Final = b"\x55\xaa"

Entry = tuple[int, int, int]
"""A partition's type, first sector and number of sectors."""

LINUX, FAT, EXTENDED = 0x83, 0x0B, 0x05
TABLES: Final[dict[int, tuple[Entry, ...]]] = {
    0: ((LINUX, 64, 4000), (FAT, 4096, 1001), (EXTENDED, 8192, 4096)),
    8192: ((LINUX, 63, 1000), (EXTENDED, 2048, 2048)),
    8192 + 2048: ((LINUX, 63, 500),),
}
"""The tables, by the sector that they are in."""


def table(*entries: Entry) -> bytes:
    """A sector with a partition table."""
    rows = b"".join(struct.pack("<BBBBBBBBII", 0, 1, 1, 0, kind, 1, 1, 0, first, count) for kind, first, count in entries)
    return bytes(446) + rows.ljust(64, b"\0") + SIGNATURE


def sector(number: int) -> bytes:
    """What a sector holds at first: its number in the first 4 bytes, and a pattern of its own."""
    if number in TABLES:
        return table(*TABLES[number])
    return struct.pack("<I", number) + bytes(number * 7 + at & 0xFF for at in range(SECTOR - 4))


def image() -> bytes:
    """The whole disk, 8 MiB."""
    return b"".join(map(sector, range(SECTORS)))


def cd() -> bytes:
    """The CD for cd.c: 30 blocks of 2048 bytes."""
    return bytes((at * 7 + (at >> 9)) & 0xFF for at in range(30 * 2048))


def floppy() -> bytes:
    """The floppy for floppy.c, 1.44 MB."""
    return b"".join(sector(number + 1) for number in range(2880))
