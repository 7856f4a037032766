"""Files of boot modules, packed by gzip or not, as a boot loader reads them."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.sim import files

FILE_MAX: Final = 1 << 30
"""Bytes of a file at most."""
UNPACKED_MAX: Final = 128 << 20
"""Bytes that a packed file holds at most. No more than that is ever unpacked."""
MEMBERS_MAX: Final = 1 << 16
"""Pieces that a packed file consists of at most: bgzip makes one of each 64 KiB."""
PIECE: Final = 4096
"""How many bytes are unpacked at once: what is behind a member's end is copied."""
MAGIC: Final = b"\x1f\x8b\x08"
GZIP: Final = 16 + zlib.MAX_WBITS


def read(path: Path, what: str) -> bytes:
    """A file's bytes, unpacked. what: what it has to be. UserError for whatever cannot be read, or is damaged."""
    return unpack(str(path), files.read(path, FILE_MAX, what))


def unpack(name: str, data: bytes) -> bytes:
    """What a gzip file holds; other bytes as they are. What follows its last member is ignored, as gzip does.

    UserError, with the file's name, where it is cut short or damaged, or holds more than UNPACKED_MAX bytes or MEMBERS_MAX
    members.
    """
    if not data.startswith(MAGIC):
        return data
    parts: list[bytes] = []
    place, left = 0, UNPACKED_MAX
    while data.startswith(MAGIC, place):
        if len(parts) == MEMBERS_MAX:
            raise UserError(f"{name}: is packed by gzip in more than {MEMBERS_MAX} pieces, which is the most")
        part, place = _member(name, data, place, left)
        left -= len(part)
        parts.append(part)
    return b"".join(parts)


def _member(name: str, data: bytes, place: int, limit: int) -> tuple[bytes, int]:
    """What the member at a place holds, `limit` bytes at most, and where it ends."""
    member = zlib.decompressobj(GZIP)
    part = bytearray()
    while not member.eof:
        piece = data[place : place + PIECE]
        try:
            part += member.decompress(piece, limit + 1 - len(part))
        except zlib.error as error:
            raise UserError(f"{name}: is packed by gzip and damaged: {str(error).rpartition(': ')[2]}") from None
        if len(part) > limit:
            raise UserError(f"{name}: is packed by gzip and holds more than {UNPACKED_MAX} bytes, which is the most")
        if not piece and not member.eof:
            raise UserError(f"{name}: is packed by gzip and cut short")
        place += len(piece) - len(member.unused_data) - len(member.unconsumed_tail)
    return bytes(part), place
