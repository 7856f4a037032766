"""A packet of the network servers' protocol: a frame, the protocol's header in it, and a sealed text. All numbers are big-endian.

formats.py describes the same bytes; here they are made and read by `struct`, for speed.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from machemu.sim.state import state
from masix.net.frames import PACKET_MAX, make
from masix.net.ip import (
    ETHER,
    ETHERTYPE_IPV4,
    GROUP,
    GROUP_IP,
    HOPS,
    IP_START,
    IPV4,
    IPV4_VERSION,
    MTU,
    NODE_MAX,
    NODE_MIN,
    REMEMBERED,
    UDP,
    UDP_PORT,
    UDP_PROTOCOL,
    UDP_START,
    checksum,
    ip_of,
    mac_of,
)

HEADER: Final = struct.Struct(">2sBBQQ")
GROUP_HOPS: Final = 1
MAGIC: Final = b"MX"

ADDRESSES_START: Final = IP_START + 12
HEADER_START: Final = UDP_START + UDP.size
SEALED_START: Final = HEADER_START + HEADER.size
TAG: Final = 16
"""Bytes by which sealing makes a text longer."""
PLAIN_MAX: Final = MTU - (SEALED_START - IP_START) - TAG
"""Bytes that one packet can carry sealed in a frame."""
BULK_MAX: Final = PACKET_MAX - (SEALED_START - IP_START) - TAG
"""Bytes that one packet can carry sealed in several frames."""


@state
class PacketKind(IntEnum):
    """What a packet is for. HELLO, WELCOME, REFUSED and UNKNOWN have the same form in all versions."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    FINISH = 4
    UNKNOWN = 5
    DATA = 6
    GROUP = 7


KINDS: Final = {int(kind): kind for kind in PacketKind}


class PacketError(ValueError):
    """A frame that is not a packet for us; the message says why."""


class Packet(NamedTuple):
    """A packet as it came."""

    source: int  # a node
    target: int  # a node or GROUP
    version: int
    kind: PacketKind
    session: int  # the session's identifier; outside sessions the sender's incarnation
    sequence: int  # never twice under one key
    bound: bytes  # what the seal covers beside the text, i.e. both addresses and the header
    sealed: bytes


@lru_cache(REMEMBERED)
def node_of(ip: bytes) -> int:
    """The inverse of `ip_of`. PacketError for an address that is not ours."""
    if ip == GROUP_IP:
        return GROUP
    node = int.from_bytes(ip[1:], "big")
    if ip[0] != 10 or not NODE_MIN <= node <= NODE_MAX:
        raise PacketError("an address is none of a node")
    return node


def header_bytes(version: int, kind: PacketKind, session: int, sequence: int) -> bytes:
    """The protocol's header."""
    return HEADER.pack(MAGIC, version, kind, session, sequence)


def bound_bytes(source: int, target: int, header: bytes) -> bytes:
    """What a packet's seal covers beside its text."""
    return ip_of(source) + ip_of(target) + header


def encode(source: int, target: int, identification: int, payload: bytes) -> bytes:
    """A frame with header and sealed text as UDP payload. identification: the IPv4 packet's, 16 bits."""
    if UDP_START - IP_START + UDP.size + len(payload) > PACKET_MAX:
        raise ValueError(f"{len(payload)} bytes do not fit into a packet")
    stations, hops = mac_of(target) + mac_of(source), HOPS if target else GROUP_HOPS
    return make(stations, ip_of(source), ip_of(target), UDP_PORT, UDP_PORT, payload, identification, hops)


def decode(frame: bytes, own: int) -> Packet:
    """The packet that a frame carries to node `own` or to the group; what fills a short frame up is left out.

    PacketError for everything else: other protocols, other nodes' frames, wrong lengths and checksums.
    """
    if len(frame) < SEALED_START + TAG:
        raise PacketError("it is too short")
    target_mac, source_mac, ethertype = ETHER.unpack_from(frame)
    if ethertype != ETHERTYPE_IPV4:
        raise PacketError("it is not IPv4")
    first, _, total, _, fragment, _, protocol, _, source_ip, target_ip = IPV4.unpack_from(frame, IP_START)
    if first != IPV4_VERSION or protocol != UDP_PROTOCOL or fragment & 0xBFFF:
        raise PacketError("it is not a whole UDP datagram without options")
    end = IP_START + total
    if end > len(frame) or end < SEALED_START + TAG:
        raise PacketError("its IPv4 length is wrong")
    if checksum(frame[IP_START:UDP_START]):
        raise PacketError("its IPv4 checksum is wrong")
    source, target = node_of(source_ip), node_of(target_ip)
    if source in (GROUP, own) or target not in (GROUP, own) or source_mac != mac_of(source) or target_mac != mac_of(target):
        raise PacketError("it is not from a node to this one")
    source_port, target_port, length, given = UDP.unpack_from(frame, UDP_START)
    if (source_port, target_port, length) != (UDP_PORT, UDP_PORT, end - UDP_START):
        raise PacketError("its UDP header is not ours")
    if not given or checksum(frame[UDP_START:end], UDP_PROTOCOL + length + int.from_bytes(source_ip + target_ip, "big")):
        raise PacketError("its UDP checksum is wrong")
    magic, version, kind, session, sequence = HEADER.unpack_from(frame, HEADER_START)
    if magic != MAGIC or kind not in KINDS or (kind == PacketKind.GROUP) != (target == GROUP):
        raise PacketError("it is not of this protocol")
    bound = frame[ADDRESSES_START:UDP_START] + frame[HEADER_START:SEALED_START]
    return Packet(source, target, version, KINDS[kind], session, sequence, bound, frame[SEALED_START:end])
