"""Captured frames as a pcapng file (draft-ietf-opsawg-pcapng): an interface a segment, times of a nanosecond, little-endian."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from machemu.device.ethernet import FRAME_MAX
from machemu.sim.output import Output
from machemu.sim.units import time_text
from machemu.trace.events import Befell, ClusterEvent, FrameLost, FrameSent
from machemu.trace.words import fault_text

SECTION, INTERFACE, STATISTICS, PACKET = 0x0A0D0D0A, 1, 5, 6
BYTE_ORDER: Final = 0x1A2B3C4D
ETHERNET: Final = 1
COMMENT, IF_NAME, IF_TSRESOL = 1, 2, 9
NANOSECONDS: Final = 9
TIME_MAX: Final = (1 << 64) - 1
OPTION_MAX: Final = (1 << 16) - 1


class Capture:
    """Writes frames as they come to a file, which stays the caller's.

    A frame's comments say who lost it, and what befell the cluster since the frame before. held: the last frame, whose comments
    are still to come: segment, time, frame. comments: of it. faults: for the next one.
    """

    def __init__(self, file: Output, segments: Sequence[str]) -> None:
        self.file = file
        self.numbers = {name: number for number, name in enumerate(segments)}
        self.held: FrameSent | None = None
        self.comments: list[str] = []
        self.faults: list[Befell] = []
        self._block(SECTION, struct.pack("<IHHq", BYTE_ORDER, 1, 0, -1))
        for name in segments:
            options = _option(IF_NAME, name.encode()) + _option(IF_TSRESOL, bytes((NANOSECONDS,))) + _option(0, b"")
            self._block(INTERFACE, struct.pack("<HHI", ETHERNET, 0, FRAME_MAX) + options)

    def happened(self, event: ClusterEvent) -> None:
        """What a cluster's witness tells. A frame has the time, in nanoseconds, at which its last bit was on its segment's wire;
        the file's times end after 584 years."""
        if isinstance(event, FrameSent):
            self._write_held()
            self.held = event
            self.comments = [_fault_text(fault) for fault in self.faults]
            self.faults = []
        elif isinstance(event, FrameLost):
            is_held = self.held is not None and (event.segment, event.number) == (self.held.segment, self.held.number)
            which = "" if is_held else f"frame {event.number} of {event.segment} is "
            self.comments.append(f"{which}lost to {event.node} {event.interface}: {event.reason}")
        elif isinstance(event, Befell):
            self.faults.append(event)

    def finish(self) -> None:
        """The run is over. What befell the cluster after its last frame is said of the interfaces' statistics."""
        self._write_held()
        for fault in self.faults:
            number = self.numbers.get(fault.segment, 0)
            options = _comment(_fault_text(fault)) + _option(0, b"")
            self._block(STATISTICS, struct.pack("<III", number, *_time(fault.time)) + options)
        self.faults = []

    def _write_held(self) -> None:
        if self.held is not None:
            frame, size = self.held.frame, len(self.held.frame)
            head = struct.pack("<IIIII", self.numbers[self.held.segment], *_time(self.held.end), size, size)
            options = b"".join(map(_comment, self.comments))
            end = options + _option(0, b"") if options else b""
            self._block(PACKET, head + frame + bytes(-size % 4) + end)
            self.held = None

    def _block(self, kind: int, body: bytes) -> None:
        size = struct.pack("<I", len(body) + 12)
        self.file.write(struct.pack("<I", kind) + size + body + size)


def _time(time: int) -> tuple[int, int]:
    """A time's upper and lower half."""
    time = min(time, TIME_MAX)
    return time >> 32, time & 0xFFFFFFFF


def _fault_text(fault: Befell) -> str:
    return f"{fault_text(fault, fault.node or fault.segment)}, at {time_text(fault.time)}"


def _comment(text: str) -> bytes:
    return _option(COMMENT, text.encode(errors="backslashreplace")[:OPTION_MAX])


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
