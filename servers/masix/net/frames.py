"""User datagrams in Ethernet frames: made, and read with every check that the standards ask for. All numbers are big-endian.

images/lib/udp.c does the same in an application. Sources: RFC 768 (UDP), RFC 791 (IPv4), RFC 1071 (checksums), RFC 1122
(what a host checks), RFC 6864 (what is never cut needs no identification).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from machemu.sim.state import state
from masix.net.ip import (
    DONT_FRAGMENT,
    ETHER,
    ETHERTYPE_IPV4,
    HOPS,
    IP_START,
    IPV4,
    IPV4_VERSION,
    MTU,
    UDP,
    UDP_PROTOCOL,
    UDP_START,
    checksum,
)

DATA_START: Final = UDP_START + UDP.size
DATA_MAX: Final = MTU - IPV4.size - UDP.size
PACKET_MAX: Final = 0xFFFF - 4
"""Bytes of an IPv4 packet at most that goes in several frames, so that an interface can tell of it (net_rcv_msg)."""
PIECE: Final = 0x3FFF
"""The bits of a fragment: more of them follow, or it is not the first."""


@state
class Lost(IntEnum):
    """Why a datagram is lost here. The numbers are places in udp_counts_t; those sent and received have the first two."""

    SHORT = 2
    LENGTH = 3
    CHECKSUM = 4
    FRAGMENT = 5
    FOREIGN = 6
    FULL = 7
    UNREACHABLE = 8


class LostError(ValueError):
    """A frame that is no good datagram for us."""

    def __init__(self, why: Lost) -> None:
        super().__init__(why.name)
        self.why = why


class Datagram(NamedTuple):
    """source: an IPv4 address, 4 bytes."""

    source: bytes
    source_port: int
    target_port: int
    data: bytes


def make(
    stations: bytes,
    source: bytes,
    target: bytes,
    source_port: int,
    target_port: int,
    data: bytes,
    identification: int = 0,
    hops: int = HOPS,
) -> bytes:
    """A frame. stations: the target's and the source's address, 12 bytes. data: more than DATA_MAX bytes are for an interface to
    cut. identification: the IPv4 packet's, 16 bits."""
    length = UDP.size + len(data)
    start = UDP_PROTOCOL + length + int.from_bytes(source + target, "big")
    total = checksum(UDP.pack(source_port, target_port, length, 0) + data, start) or 0xFFFF
    pieces = 0 if len(data) > DATA_MAX else DONT_FRAGMENT
    plain = (IPV4_VERSION, 0, IPV4.size + length, identification, pieces, hops, UDP_PROTOCOL)
    header = IPV4.pack(*plain, checksum(IPV4.pack(*plain, 0, source, target)), source, target)
    kind = ETHERTYPE_IPV4.to_bytes(2, "big")
    return b"".join((stations, kind, header, UDP.pack(source_port, target_port, length, total), data))


def is_station(address: bytes) -> bool:
    """Whether an IPv4 address can be one station's."""
    return address[0] not in (0, 127) and address[0] < 224


def read(frame: bytes, own: bytes) -> Datagram:
    """The datagram for the address `own` in a frame; what fills a short frame up is left out. Raises LostError."""
    if len(frame) < DATA_START:
        raise LostError(Lost.SHORT)
    version, _, total, _, piece, _, protocol, _, source, target = IPV4.unpack_from(frame, IP_START)
    if ETHER.unpack_from(frame)[2] != ETHERTYPE_IPV4 or version != IPV4_VERSION or protocol != UDP_PROTOCOL:
        raise LostError(Lost.FOREIGN)
    end = IP_START + total
    if not DATA_START <= end <= len(frame):
        raise LostError(Lost.LENGTH)
    if checksum(frame[IP_START:UDP_START]):
        raise LostError(Lost.CHECKSUM)
    if target != own or source == own or not is_station(source):
        raise LostError(Lost.FOREIGN)
    if piece & PIECE:
        raise LostError(Lost.FRAGMENT)
    source_port, target_port, length, given = UDP.unpack_from(frame, UDP_START)
    end = UDP_START + length
    if not DATA_START <= end <= IP_START + total:
        raise LostError(Lost.LENGTH)
    if given and checksum(frame[UDP_START:end], UDP_PROTOCOL + length + int.from_bytes(source + target, "big")):
        raise LostError(Lost.CHECKSUM)
    return Datagram(source, source_port, target_port, frame[DATA_START:end])
