"""The messages of the subsystem udp. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, Message, Routine, Type, table

SUBSYSTEM: Final = "udp"
BASE: Final = 5400

_BOOLEAN = Type(0, 0, 32, 1, "i")
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_COPY_SEND = Type(19, 17, 32, 1, "")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_UDP_STATION = Type(8, 8, 8, 6, "6s")
_UDP_DATA = Type(8, 8, 8, 1, "s", COUNTED, limit=1472)
_UDP_COUNTS = Type(2, 2, 32, 9, "9i")

UDP_OPEN = Routine(
    "udp_open",
    Message(
        5400,
        (
            ("library", _BOOLEAN),
            ("port", _INT32),
            ("remote", _UINT32),
            ("remote_port", _INT32),
            ("receiver", _COPY_SEND),
            ("privilege", _COPY_SEND),
            ("client", _COPY_SEND),
        ),
    ),
    Message(
        5500,
        (
            ("RetCode", _INT32),
            ("socket", _MOVE_SEND),
            ("link", _MOVE_SEND),
            ("direct", _BOOLEAN),
            ("address", _UINT32),
            ("station", _UDP_STATION),
            ("bound", _INT32),
        ),
    ),
)

UDP_CLOSE = Routine(
    "udp_close",
    Message(5401, ()),
    Message(5501, (("RetCode", _INT32),)),
)

UDP_RESOLVE = Routine(
    "udp_resolve",
    Message(5402, (("address", _UINT32),)),
    Message(
        5502,
        (
            ("RetCode", _INT32),
            ("station", _UDP_STATION),
        ),
    ),
)

UDP_SEND = Routine(
    "udp_send",
    Message(
        5403,
        (
            ("address", _UINT32),
            ("port", _INT32),
            ("data", _UDP_DATA),
        ),
    ),
    None,
)

UDP_COUNTS = Routine(
    "udp_counts",
    Message(5404, ()),
    Message(
        5504,
        (
            ("RetCode", _INT32),
            ("counts", _UDP_COUNTS),
        ),
    ),
)

ROUTINES: Final = table(
    UDP_OPEN,
    UDP_CLOSE,
    UDP_RESOLVE,
    UDP_SEND,
    UDP_COUNTS,
)
"""The routines by request id."""
