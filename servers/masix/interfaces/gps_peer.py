"""The messages of the subsystem gps_peer. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "gps_peer"
BASE: Final = 5550

_UINT32 = Type(2, 2, 32, 1, "I")
_GPS_MEMBER = Type(2, 2, 32, 3, "3I")
_INT32 = Type(2, 2, 32, 1, "i")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_GPS_HOST = Type(12, 12, 8, 1, "s", COUNTED, limit=80, string=True)
_MOVE_SEND = Type(17, 17, 32, 1, "")
_PM_PID = Type(2, 2, 32, 4, "4I")
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_PM_PERSONALITY = Type(12, 12, 8, 1, "s", COUNTED, limit=32, string=True)

GPS_PAGE_GET = Routine(
    "gps_page_get",
    Message(
        5550,
        (
            ("page", _UINT32),
            ("by", _GPS_MEMBER),
            ("seen", _UINT32),
        ),
    ),
    Message(
        5650,
        (
            ("RetCode", _INT32),
            ("owner", _UINT32),
            ("given", _BOOLEAN),
            ("version", _UINT32),
            ("data", _POINTER),
        ),
    ),
)

GPS_MEET = Routine(
    "gps_meet",
    Message(
        5551,
        (
            ("host", _GPS_HOST),
            ("port", _MOVE_SEND),
        ),
    ),
    Message(
        5651,
        (
            ("RetCode", _INT32),
            ("is", _GPS_MEMBER),
            ("in_group", _BOOLEAN),
            ("hosts", _POINTER),
        ),
    ),
)

GPS_PACKETS = Routine(
    "gps_packets",
    Message(5552, (("data", _POINTER),)),
    None,
)

GPS_TAKES = Routine(
    "gps_takes",
    Message(5553, (("pid", _PM_PID),)),
    Message(
        5653,
        (
            ("RetCode", _INT32),
            ("takes", _BOOLEAN),
        ),
    ),
)

PM_RECEIVE = Routine(
    "pm_receive",
    Message(
        5554,
        (
            ("pid", _PM_PID),
            ("epoch", _UINT32),
            ("by", _GPS_MEMBER),
            ("name", _UINT32),
            ("place", _UINT32),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(5654, (("RetCode", _INT32),)),
)

PM_REST = Routine(
    "pm_rest",
    Message(
        5555,
        (
            ("pid", _PM_PID),
            ("epoch", _UINT32),
            ("state", _UINT32),
        ),
    ),
    Message(
        5655,
        (
            ("RetCode", _INT32),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
)

GPS_LEAVE = Routine(
    "gps_leave",
    Message(5556, ()),
    Message(5656, (("RetCode", _INT32),)),
)

GPS_CREATE_FOR = Routine(
    "gps_create_for",
    Message(
        5557,
        (
            ("task", _MOVE_SEND),
            ("kind", _UINT32),
            ("personality", _PM_PERSONALITY),
            ("owner", _UINT32),
        ),
    ),
    Message(
        5657,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
            ("process", _MOVE_SEND),
        ),
    ),
)

ROUTINES: Final = table(
    GPS_PAGE_GET,
    GPS_MEET,
    GPS_PACKETS,
    GPS_TAKES,
    PM_RECEIVE,
    PM_REST,
    GPS_LEAVE,
    GPS_CREATE_FOR,
)
"""The routines by request id."""
