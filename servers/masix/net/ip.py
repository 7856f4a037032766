"""Ethernet II, IPv4 and UDP: headers, checksums, and the addresses of nodes. All numbers are big-endian.

Nobody asks for addresses: a node's number gives its IPv4 address (10.0.y.z, y.z being the number) and its station address
(02:00:00, the number, and 0 for the first interface).

Sources: IEEE 802.3, RFC 791 (IPv4), RFC 768 (UDP), RFC 1071 (checksums), RFC 1112 (multicast addresses), RFC 2365 (239/8).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Annotated, Final

from machemu.sim.state import Range, Size

NODE_MIN: Final = 1
NODE_MAX: Final = 0xFFFE
"""Numbers that nodes can have: the rest would be 10/8 itself and its broadcast address."""
NodeNumber = Annotated[int, Range(NODE_MIN, NODE_MAX)]
IpAddress = Annotated[bytes, Size(4, 4)]
StationAddress = Annotated[bytes, Size(6, 6)]
GROUP: Final = 0
"""Stands for all network servers where a node's number is expected."""
GROUP_IP: Final = bytes((239, 77, 83, 88))
GROUP_MAC: Final = b"\x01\x00\x5e" + bytes((GROUP_IP[1] & 0x7F,)) + GROUP_IP[2:]
UDP_PORT: Final = 51988
"""The network servers', of the range that IANA leaves to everybody."""

ETHER: Final = struct.Struct(">6s6sH")
IPV4: Final = struct.Struct(">BBHHHBBH4s4s")
UDP: Final = struct.Struct(">HHHH")
ETHERTYPE_IPV4: Final = 0x0800
IPV4_VERSION: Final = 0x45
"""Version 4, five words."""
DONT_FRAGMENT: Final = 0x4000
UDP_PROTOCOL: Final = 17
HOPS: Final = 64

IP_START: Final = ETHER.size
UDP_START: Final = IP_START + IPV4.size
MTU: Final = 1500
"""Bytes of an IPv4 packet at most."""
REMEMBERED: Final = 1024
"""Nodes whose addresses are made once: each packet asks for both of both ends several times."""


@lru_cache(REMEMBERED)
def ip_of(node: int) -> bytes:
    """A node's (or the group's) IPv4 address, 4 bytes. ValueError for a number that no node can have."""
    if node == GROUP:
        return GROUP_IP
    if not NODE_MIN <= node <= NODE_MAX:
        raise ValueError(f"{node} is no node's number")
    return struct.pack(">I", 10 << 24 | node)


@lru_cache(REMEMBERED)
def mac_of(node: int) -> bytes:
    """A node's (or the group's) station address, 6 bytes; a node's is locally administered."""
    return GROUP_MAC if node == GROUP else b"\x02\0\0" + ip_of(node)[2:] + b"\0"


def checksum(data: bytes, start: int = 0) -> int:
    """RFC 1071 over `data`, a last odd byte filled up with 0, on top of the sum `start`; 0 where data and its checksum agree.

    65536 is 1 modulo 65535: the number that all bytes make is their sum.
    """
    if len(data) & 1:
        data += b"\0"
    return -(int.from_bytes(data, "big") + start) % 0xFFFF
