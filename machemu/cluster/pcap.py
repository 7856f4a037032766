"""Captured frames as a pcapng file (draft-ietf-opsawg-pcapng): an interface a segment, times of a nanosecond, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from machemu.device.ethernet import FRAME_MAX
from machemu.sim.output import Output

SECTION, INTERFACE, PACKET = 0x0A0D0D0A, 1, 6
BYTE_ORDER: Final = 0x1A2B3C4D
ETHERNET: Final = 1
IF_NAME, IF_TSRESOL = 2, 9
NANOSECONDS: Final = 9
TIME_MAX: Final = (1 << 64) - 1


class Capture:
    """Writes frames as they come to a file, which stays the caller's."""

    def __init__(self, file: Output, segments: Sequence[str]) -> None:
        self.file = file
        self._block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1))
        for name in segments:
            options = _option(IF_NAME, name.encode()) + _option(IF_TSRESOL, bytes((NANOSECONDS,))) + _option(0, b"")
            self._block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, FRAME_MAX) + options)

    def frame(self, segment: int, time: int, frame: bytes) -> None:
        """A frame whose last bit was on a segment's wire at `time`, in nanoseconds. The file's times end after 584 years."""
        time = min(time, TIME_MAX)
        size = len(frame)
        head = struct.pack("<IIIII", segment, time >> 32, time & 0xFFFFFFFF, size, size)
        self._block(PACKET, head + frame + bytes(-size % 4))

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self.file.write(struct.pack("<I", kind) + size + body + size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
