"""The protocol's formats, described: the reference for what packets.py and chunks.py make by hand, and the codec of the rest.

A frame is Ethernet II, IPv4, UDP, HEADER, and a text sealed by AES-256-GCM: the nonce is the sequence number in 12 bytes, and the
seal also covers both IPv4 addresses and the header. All numbers are big-endian. One that is longer than a frame goes as fragments
of IPv4, which interfaces make and join.
"""

from __future__ import annotations

from typing import Any, Final

from construct import (
    Byte,
    Bytes,
    Const,
    ConstructError,
    Enum,
    FlagsEnum,
    GreedyBytes,
    Int16ub,
    Int32ub,
    Int64ub,
    Prefixed,
    PrefixedArray,
    Struct,
    Switch,
    this,
)

from masix.net.ip import UDP_PORT, UDP_PROTOCOL
from masix.transport.packets import MAGIC, PacketError, PacketKind

ETHERNET: Final = Struct("target" / Bytes(6), "source" / Bytes(6), "type" / Const(0x0800, Int16ub))
IPV4: Final = Struct(
    "version_and_words" / Const(0x45, Byte),
    "service" / Const(0, Byte),
    "total_length" / Int16ub,
    "identification" / Int16ub,
    "flags_and_offset" / FlagsEnum(Int16ub, dont_fragment=0x4000),
    "hops" / Byte,
    "protocol" / Const(UDP_PROTOCOL, Byte),
    "checksum" / Int16ub,
    "source" / Bytes(4),
    "target" / Bytes(4),
)
UDP: Final = Struct(
    "source_port" / Const(UDP_PORT, Int16ub), "target_port" / Const(UDP_PORT, Int16ub), "length" / Int16ub, "checksum" / Int16ub
)
HEADER: Final = Struct(
    "magic" / Const(MAGIC),
    "version" / Byte,
    "kind" / Enum(Byte, PacketKind),
    "session" / Int64ub,
    "sequence" / Int64ub,
)
FRAME: Final = Struct(
    "ethernet" / ETHERNET, "ipv4" / IPV4, "udp" / UDP, "header" / HEADER, "sealed" / Bytes(this.udp.length - 28)
)

HELLO: Final = Struct("nonce" / Bytes(16), "lowest" / Byte, "highest" / Byte, "age" / Int64ub)
"""I want to know who you are, and to speak one of these versions; I live since `age` ns. Later versions may add to it."""
WELCOME: Final = Struct(
    "nonce" / Bytes(16), "public" / Bytes(32), "version" / Byte, "held" / Int64ub, "age" / Int64ub, "floor" / Int64ub
)
"""nonce: the hello's. public: the welcomer's X25519 key for this hello alone. version: the chosen one.

held: the session that it has with the other, or 0. age: as in HELLO.
floor: the sequence number of the welcomer's first multicast after the other's start.
"""
REFUSED: Final = Struct("nonce" / Bytes(16), "lowest" / Byte, "highest" / Byte)
"""We have no version in common: these are mine."""
FINISH: Final = Struct(
    "nonce" / Bytes(16),
    "public" / Bytes(32),
    "version" / Byte,
    "incarnation" / Int64ub,
    "session" / Int64ub,
    "proof" / Bytes(16),
    "floor" / Int64ub,
)
"""nonce: the hello's. public: the sender's key, for this welcome alone. incarnation: the welcomer's. floor: as in WELCOME.

proof: shows that the sender has the session's keys.
"""
UNKNOWN: Final = Struct("session" / Int64ub)
"""I have no such session."""

FRAGMENT: Final = Struct("number" / Int64ub, "back" / Int32ub, "stream" / Int32ub, "data" / Prefixed(Int16ub, GreedyBytes))
"""number: its place among all fragments of the session, from 1. back: how far back the one before it in its stream is, or 0."""
ACKNOWLEDGEMENT: Final = Struct(
    "all_up_to" / Int64ub,
    "latest" / Int64ub,
    "delay" / Int32ub,
    "ranges" / PrefixedArray(Byte, Struct("gap" / Int16ub, "length" / Int16ub)),
)
"""Fragments 1 to all_up_to have come, and further ones by ranges: `gap` missing (1 at least), then `length` there.

latest: the highest sequence number of a packet that came; delay: microseconds since it came.
"""
CHUNK_KINDS: Final = {"ACKNOWLEDGEMENT": 1, "FRAGMENT": 2, "LAST": 3, "FULL": 4, "ROOM": 5, "PROBE": 6}
"""LAST: a fragment that ends a message. Fragments without data: FULL, ROOM: that stream can take no more, or again; PROBE."""
CHUNK: Final = Struct(
    "kind" / Enum(Byte, **CHUNK_KINDS), "body" / Switch(this.kind, {"ACKNOWLEDGEMENT": ACKNOWLEDGEMENT}, default=FRAGMENT)
)
"""The text of a DATA packet is a row of these."""


def parse(form: Any, text: bytes) -> Any:
    """What `text` says in `form`. PacketError where it cannot be read."""
    try:
        return form.parse(text)
    except ConstructError as error:
        raise PacketError(f"its text cannot be read: {error}") from None
