"""An Ethernet interface, which is a device like any other: how it is opened, and the messages in which frames come."""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.device import D_READ, D_WRITE
from machemu.abi.message import decode_type_word
from machemu.abi.types import ByteOrder
from masix.net.ip import ETHER

INTERFACE: Final = b"eth0"
READ_WRITE: Final = D_READ | D_WRITE
RECEIVED_HEADER: Final = 4
RECEIVED_LENGTH: Final = 72
RECEIVED_DATA: Final = 76
"""Where in the body of what an interface sends the frame's header is, the length of its data with its own four bytes before, and
the data (struct net_rcv_msg)."""
LONG: Final = 8
"""Where more data comes than a short descriptor counts, length and data are so much further on."""


def frame_of(body: bytes, order: ByteOrder) -> bytes:
    """The frame in what an interface sends."""
    (word,) = struct.unpack_from(order.prefix + "I", body, RECEIVED_LENGTH - 4)
    start = RECEIVED_LENGTH + LONG * decode_type_word(word, order).longform
    (length,) = struct.unpack_from(order.prefix + "H", body, start)
    header = body[RECEIVED_HEADER : RECEIVED_HEADER + ETHER.size]
    return header + body[start + RECEIVED_DATA - RECEIVED_LENGTH : start + length]
