"""Which frames are a connection's: filters that can be compared, and what the kernel's packet filter makes of them.

A filter says of some words of a frame (16 bits, big-endian, counted from the Ethernet header's first) which bits they have. Of
two it can be decided whether both take the same frame, which nobody can say of two programs of the kernel's filter language.

Sources: Mach's <device/net_status.h> for that language; RFC 791, RFC 768.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_ARGUMENT
from machemu.abi.types import ByteOrder
from machemu.sim.state import U16
from masix.net.ip import ETHERTYPE_IPV4, UDP_PORT, UDP_PROTOCOL

Filter = dict[U16, tuple[U16, U16]]
"""Mask and value of each word that is looked at, in the order in which the kernel looks; a value has no bits outside its mask."""

WORD_MAX: Final = 63
"""The last word that a filter may look at."""
WORD: Final = 0xFFFF
ETHER_TYPE, IP_VERSION, IP_PIECE, IP_PROTOCOL, IP_SOURCE, IP_TARGET, UDP_SOURCE, UDP_TARGET = 6, 7, 10, 11, 13, 15, 17, 18
SOURCE_STATION: Final = (3, 4, 5)
IPV4_WITHOUT_OPTIONS: Final = (0xFF00, 0x4500)
HEADER_WORDS: Final = 7
"""Words of the Ethernet header, which the kernel's language addresses apart from the rest."""
NETF_IN, NETF_JOIN, AND, CAND = 1, 4, 6 << 10, 10 << 10
PUSHLIT, PUSHZERO, PUSHWORD, PUSHHDR = 1, 2, 16, 960
PACKET_WORDS: Final = 2
"""Words that stand before the data in what the kernel's language calls the packet."""
NOTHING: Final = (NETF_IN, PUSHZERO)
"""A program that takes no frame: the kernel knows no call that takes a filter away, but a port's new one replaces the old."""
PRIORITY: Final = 100
"""NET_HI_PRI: whose filter takes a frame first is the only one to get it."""


def protocol_filter(ether_type: int, ip_protocol: int) -> Filter:
    """The frames of a protocol. ip_protocol: 0 for another type than IPv4."""
    filter_: Filter = {ETHER_TYPE: (WORD, ether_type)}
    if ether_type == ETHERTYPE_IPV4:
        filter_ |= {IP_VERSION: IPV4_WITHOUT_OPTIONS, IP_PROTOCOL: (0xFF, ip_protocol)}
    return filter_


def own_filter(port_word: int) -> Filter:
    """The network servers' own frames, which have the same port in both words."""
    return protocol_filter(ETHERTYPE_IPV4, UDP_PROTOCOL) | {port_word: (WORD, UDP_PORT)}


def sent_by(station: bytes) -> Filter:
    """Frames whose source is a station address."""
    return {word: (WORD, value) for word, value in zip(SOURCE_STATION, struct.unpack(">3H", station), strict=True)}


def parse(numbers: Sequence[int]) -> Filter:
    """The filter that a request brings: word, mask and value of each match. Raises KERN_INVALID_ARGUMENT for what is none."""
    if len(numbers) % 3:
        raise KernError(KERN_INVALID_ARGUMENT)
    return join({word: (mask & WORD, value & WORD)} for word, mask, value in zip(*[iter(numbers)] * 3, strict=True))


def join(filters: Iterable[Filter]) -> Filter:
    """What takes the frames that all of them take. Raises KERN_INVALID_ARGUMENT where there are none, or a filter is wrong."""
    joined: Filter = {}
    for filter_ in filters:
        for word, (mask, value) in filter_.items():
            other_mask, other_value = joined.get(word, (0, 0))
            if not 0 <= word <= WORD_MAX or not mask or value & ~mask or (value ^ other_value) & mask & other_mask:
                raise KernError(KERN_INVALID_ARGUMENT)
            joined[word] = mask | other_mask, value | other_value
    return joined


def overlap(one: Filter, other: Filter) -> bool:
    """Whether some frame could be taken by both."""
    return not any((one[word][1] ^ other[word][1]) & one[word][0] & other[word][0] for word in one if word in other)


def takes(filter_: Filter, frame: bytes) -> bool:
    """As the kernel decides: a word behind the frame's end is none, nor is a last odd byte."""
    return all(
        2 * word + 2 <= len(frame) and int.from_bytes(frame[2 * word : 2 * word + 2], "big") & mask == value
        for word, (mask, value) in filter_.items()
    )


def program(filter_: Filter, order: ByteOrder, joins: bool = False) -> tuple[int, ...]:
    """The kernel's program for a filter: its words are in the machine's byte order, and so are a frame's for it. joins: a
    packet that came in several frames is taken whole."""
    words = [NETF_IN | NETF_JOIN if joins else NETF_IN]
    for word, (mask, value) in filter_.items():
        words.append(PUSHHDR + word if word < HEADER_WORDS else PUSHWORD + PACKET_WORDS + word - HEADER_WORDS)
        if mask != WORD:
            words += [AND | PUSHLIT, _seen(mask, order)]
        words += [CAND | PUSHLIT, _seen(value, order)]
    return tuple(words)


def _seen(value: int, order: ByteOrder) -> int:
    """What a machine reads where a frame has a number."""
    return int(struct.unpack(order.prefix + "H", struct.pack(">H", value))[0])
