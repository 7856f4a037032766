"""What is on the wire: Ethernet II, IPv4, UDP and the header of the network servers' protocol. All numbers are big-endian.

Nobody asks for addresses: a node's number gives its IPv4 address (10.0.y.z, y.z being the number) and its station address
(02:00:00, the number, and 0 for the first interface). formats.py describes the same bytes; here they are made and read by
`struct`, for speed.

Sources: IEEE 802.3, RFC 791 (IPv4), RFC 768 (UDP), RFC 1071 (checksums), RFC 1112 (multicast addresses), RFC 2365 (239/8).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from machemu.sim.state import Range, state

NODE_MIN: Final = 1
NODE_MAX: Final = 0xFFFE
"""Numbers that nodes can have: the rest would be 10/8 itself and its broadcast address."""
NodeNumber = Annotated[int, Range(NODE_MIN, NODE_MAX)]
GROUP: Final = 0
"""Stands for all network servers where a node's number is expected."""
GROUP_IP: Final = bytes((239, 77, 83, 88))
GROUP_MAC: Final = b"\x01\x00\x5e" + bytes((GROUP_IP[1] & 0x7F,)) + GROUP_IP[2:]
UDP_PORT: Final = 51988
"""Of the range that IANA leaves to everybody."""

ETHER: Final = struct.Struct(">6s6sH")
IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
UDP: Final = struct.Struct(">HHHH")
HEADER: Final = struct.Struct(">2sBBQQ")
ETHERTYPE_IPV4: Final = 0x0800
IPV4_VERSION: Final = 0x45
"""Version 4, five words."""
DONT_FRAGMENT: Final = 0x4000
UDP_PROTOCOL: Final = 17
HOPS: Final = 64
GROUP_HOPS: Final = 1
MAGIC: Final = b"MX"

IP_START: Final = ETHER.size
ADDRESSES_START: Final = IP_START + 12
UDP_START: Final = IP_START + IPV4.size
HEADER_START: Final = UDP_START + UDP.size
SEALED_START: Final = HEADER_START + HEADER.size
MTU: Final = 1500
"""Bytes of an IPv4 packet at most."""
TAG: Final = 16
"""Bytes by which sealing makes a text longer."""
PLAIN_MAX: Final = MTU - (SEALED_START - IP_START) - TAG
"""Bytes that one packet can carry sealed."""


@state
class Kind(IntEnum):
    """What a packet is for. HELLO, WELCOME, REFUSED and UNKNOWN have the same form in all versions."""

    HELLO = 1
    WELCOME = 2
    REFUSED = 3
    FINISH = 4
    UNKNOWN = 5
    DATA = 6
    GROUP = 7


KINDS: Final = {int(kind): kind for kind in Kind}


class PacketError(ValueError):
    """A frame that is not a packet for us; the message says why."""


class Packet(NamedTuple):
    """source: a node. target: a node or GROUP. session: the session's identifier; outside sessions the sender's incarnation.

    sequence: never twice under one key. bound: what the seal covers beside the text, i.e. both addresses and the header.
    """

    source: int
    target: int
    version: int
    kind: Kind
    session: int
    sequence: int
    bound: bytes
    sealed: bytes


def ip_of(node: int) -> bytes:
    """A node's (or the group's) IPv4 address, 4 bytes. ValueError for a number that no node can have."""
    if node == GROUP:
        return GROUP_IP
    if not NODE_MIN <= node <= NODE_MAX:
        raise ValueError(f"{node} is no node's number")
    return struct.pack(">I", 10 << 24 | node)


def mac_of(node: int) -> bytes:
    """A node's (or the group's) station address, 6 bytes; a node's is locally administered."""
    return GROUP_MAC if node == GROUP else b"\x02\0\0" + ip_of(node)[2:] + b"\0"


def node_of(ip: bytes) -> int:
    """The inverse of `ip_of`. PacketError for an address that is not ours."""
    if ip == GROUP_IP:
        return GROUP
    node = int.from_bytes(ip[1:], "big")
    if ip[0] != 10 or not NODE_MIN <= node <= NODE_MAX:
        raise PacketError("an address is none of a node")
    return node


def checksum(data: bytes, start: int = 0) -> int:
    """RFC 1071 over `data`, a last odd byte filled up with 0, on top of the sum `start`; 0 where data and its checksum agree.

    65536 is 1 modulo 65535: the number that all bytes make is their sum.
    """
    if len(data) & 1:
        data += b"\0"
    return -(int.from_bytes(data, "big") + start) % 0xFFFF


def header_bytes(version: int, kind: Kind, session: int, sequence: int) -> bytes:
    """The protocol's header."""
    return HEADER.pack(MAGIC, version, kind, session, sequence)


def bound_bytes(source: int, target: int, header: bytes) -> bytes:
    """What a packet's seal covers beside its text."""
    return ip_of(source) + ip_of(target) + header


def encode(source: int, target: int, identification: int, payload: bytes) -> bytes:
    """A frame with header and sealed text as UDP payload. identification: the IPv4 packet's, 16 bits."""
    addresses = ip_of(source) + ip_of(target)
    length = UDP.size + len(payload)
    if IPV4.size + length > MTU:
        raise ValueError(f"{len(payload)} bytes do not fit into a packet")
    start = UDP_PROTOCOL + length + int.from_bytes(addresses, "big")
    total = checksum(UDP.pack(UDP_PORT, UDP_PORT, length, 0) + payload, start) or 0xFFFF
    hops = HOPS if target else GROUP_HOPS
    plain = (IPV4_VERSION, 0, IPV4.size + length, identification, DONT_FRAGMENT, hops, UDP_PROTOCOL)
    head = IPV4.pack(*plain, 0, addresses[:4], addresses[4:])
    return b"".join(
        (
            ETHER.pack(mac_of(target), mac_of(source), ETHERTYPE_IPV4),
            IPV4.pack(*plain, checksum(head), addresses[:4], addresses[4:]),
            UDP.pack(UDP_PORT, UDP_PORT, length, total),
            payload,
        )
    )


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
    if magic != MAGIC or kind not in KINDS or (kind == Kind.GROUP) != (target == GROUP):
        raise PacketError("it is not of this protocol")
    bound = frame[ADDRESSES_START:UDP_START] + frame[HEADER_START:SEALED_START]
    return Packet(source, target, version, KINDS[kind], session, sequence, bound, frame[SEALED_START:end])
