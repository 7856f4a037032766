"""IPv4 packets that are longer than a frame: an interface cuts and joins them for who asks for it (RFC 791, section 3.2).

Packets with options are neither cut nor joined.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

from machemu.sim.state import Range, Size, state

ETHERNET: Final = struct.Struct(">6s6sH")
HEADER: Final = struct.Struct(">BBHHHBBH4s4s")
START: Final = ETHERNET.size + HEADER.size
IPV4: Final = 0x0800
VERSION: Final = 0x45
DONT_FRAGMENT, MORE, OFFSET = 0x4000, 0x2000, 0x1FFF
UNIT: Final = 8
"""Bytes that an offset counts."""
MTU: Final = 1500
CHUNK: Final = (MTU - HEADER.size) // UNIT * UNIT
"""Data bytes of each fragment but the last."""
DATA_MAX: Final = 0xFFFF - HEADER.size - 4
"""Data bytes of a packet at most: with its header, and that of net_rcv_msg, its length has 16 bits."""
PACKETS_MAX: Final = 16
"""Packets of which some fragments are missing that an interface keeps; the oldest goes first."""


def cut(frame: bytes) -> list[bytes] | None:
    """The frames in which a packet goes; None where it is none that may be cut."""
    if len(frame) < START or frame[12] << 8 | frame[13] != IPV4:
        return None
    version, service, length, number, place, hops, protocol, _, source, target = HEADER.unpack_from(frame, ETHERNET.size)
    data = memoryview(frame)[START:]
    if version != VERSION or place or length != HEADER.size + len(data) or len(data) > DATA_MAX:
        return None
    fields = service, number, hops, protocol, source, target
    return [
        frame[: ETHERNET.size] + _header(fields, (MORE if at + CHUNK < len(data) else 0) | at // UNIT, len(piece)) + piece
        for at in range(0, len(data), CHUNK)
        for piece in (data[at : at + CHUNK],)
    ]


def _header(fields: tuple[int, int, int, int, bytes, bytes], place: int, size: int) -> bytes:
    service, number, hops, protocol, source, target = fields
    plain = VERSION, service, HEADER.size + size, number, place, hops, protocol
    total = -int.from_bytes(HEADER.pack(*plain, 0, source, target), "big") % 0xFFFF
    return HEADER.pack(*plain, total, source, target)


def is_fragment(frame: bytes) -> bool:
    """Whether a frame has a fragment of a packet."""
    return (
        len(frame) >= START
        and frame[12] << 8 | frame[13] == IPV4
        and frame[14] == VERSION
        and (frame[20] << 8 | frame[21]) & (MORE | OFFSET) != 0
    )


@state
class Packet:
    """A packet of which some fragments have come."""

    __slots__ = ("came", "pieces", "total")
    pieces: dict[Annotated[int, Range(0, OFFSET)], Annotated[bytes, Size(0, MTU)]]  # their data, by offset
    came: int  # the bytes of them
    total: int  # those of all, 0 while the last fragment has not come

    def __init__(self) -> None:
        self.pieces = {}
        self.came = 0
        self.total = 0

    def check_saved(self) -> None:
        """ValueError where it counts wrongly."""
        if self.came != sum(map(len, self.pieces.values())):
            raise ValueError("the bytes of a packet's fragments are counted wrongly")

    def data(self) -> bytes:
        """All of it; nothing where fragments overlap or leave a gap."""
        at = 0
        for place in sorted(self.pieces):
            if place * UNIT != at:
                return b""
            at += len(self.pieces[place])
        return b"".join(self.pieces[place] for place in sorted(self.pieces))


@state
class Joiner:
    """Joins fragments as they come in."""

    __slots__ = ("packets",)
    packets: dict[bytes, Packet]  # those not complete, the oldest first, by protocol, number and addresses

    def __init__(self) -> None:
        self.packets = {}

    def add(self, frame: bytes) -> bytes | None:
        """Takes a fragment, whose checksum must be right; the packet's frame where it is complete now."""
        head = frame[ETHERNET.size : START]
        _, service, length, number, place, hops, protocol, _, source, target = HEADER.unpack(head)
        end = ETHERNET.size + length
        offset, data = place & OFFSET, frame[START:end]
        if not START < end <= len(frame) or int.from_bytes(head, "big") % 0xFFFF or offset * UNIT + len(data) > DATA_MAX:
            return None
        if place & MORE and len(data) % UNIT:
            return None
        key = frame[23:24] + head[4:6] + source + target
        packet = self.packets.get(key)
        if packet is None:
            if len(self.packets) >= PACKETS_MAX:
                del self.packets[next(iter(self.packets))]
            packet = self.packets[key] = Packet()
        if offset not in packet.pieces:
            packet.pieces[offset] = data
            packet.came += len(data)
        if not place & MORE:
            packet.total = offset * UNIT + len(data)
        if not packet.total or packet.came < packet.total:
            return None
        del self.packets[key]
        whole = packet.data()
        fields = service, number, hops, protocol, source, target
        return frame[: ETHERNET.size] + _header(fields, 0, len(whole)) + whole if len(whole) == packet.total else None
