"""Captured frames as a pcapng file (draft-ietf-opsawg-pcapng): an interface a segment, times of a nanosecond, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from machemu.abi.errors import UserError
from machemu.device.ethernet import FRAME_MAX

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
BYTE_ORDER: Final = 0x1A2B3C4D
ETHERNET: Final = 1
IF_NAME, IF_TSRESOL = 2, 9
NANOSECONDS: Final = 9


class Capture:
    """Writes a file as frames come. Use as a context manager. UserError where the file cannot be written."""

    def __init__(self, path: Path, segments: Sequence[str]) -> None:
        try:
            self.file = path.open("wb")
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror}") from None
        self._block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1))
        for name in segments:
            options = _option(IF_NAME, name.encode()) + _option(IF_TSRESOL, bytes((NANOSECONDS,))) + _option(0, b"")
            self._block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, FRAME_MAX) + options)

    def __enter__(self) -> Capture:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.file.close()

    def frame(self, segment: int, time: int, frame: bytes) -> None:
        """A frame whose last bit was on a segment's wire at `time`, in nanoseconds."""
        size = len(frame)
        head = struct.pack("<IIIII", segment, time >> 32, time & 0xFFFFFFFF, size, size)
        self._block(PACKET, head + frame + bytes(-size % 4))

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self.file.write(struct.pack("<I", kind) + size + body + size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
