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
MAGIC: Final = b"\x1f\x8b\x08"
GZIP: Final = 16 + zlib.MAX_WBITS


def read(path: Path, what: str) -> bytes:
    """A file's bytes, unpacked. what: what it has to be. UserError for whatever cannot be read, or is damaged."""
    return unpack(str(path), files.read(path, FILE_MAX, what))


def unpack(name: str, data: bytes) -> bytes:
    """What a gzip file holds; other bytes as they are. What follows its last member is ignored, as gzip does.

    UserError, with the file's name, where it is cut short or damaged, or holds more than UNPACKED_MAX bytes.
    """
    if not data.startswith(MAGIC):
        return data
    parts = []
    left = UNPACKED_MAX
    while data.startswith(MAGIC):
        member = zlib.decompressobj(GZIP)
        try:
            part = member.decompress(data, left + 1)
        except zlib.error as error:
            raise UserError(f"{name}: is packed by gzip and damaged: {str(error).rpartition(': ')[2]}") from None
        left -= len(part)
        if left < 0:
            raise UserError(f"{name}: is packed by gzip and holds more than {UNPACKED_MAX} bytes, which is the most")
        if not member.eof:
            raise UserError(f"{name}: is packed by gzip and cut short")
        parts.append(part)
        data = member.unused_data
    return b"".join(parts)
