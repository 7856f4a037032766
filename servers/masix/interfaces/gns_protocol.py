"""The messages of the subsystem gns_protocol. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, Message, Routine, Type, table

SUBSYSTEM: Final = "gns_protocol"
BASE: Final = 5250

_PROTOCOL_NAME = Type(12, 12, 8, 32, "32s", string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_COPY_SEND = Type(19, 17, 32, 1, "")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_FRAME_FILTER = Type(1, 1, 16, 1, "h", COUNTED, limit=48)
_FRAME = Type(8, 8, 8, 1, "s", COUNTED, limit=1514)

GNS_PROTOCOL_REGISTER = Routine(
    "gns_protocol_register",
    Message(
        5250,
        (
            ("name", _PROTOCOL_NAME),
            ("ether_type", _INT32),
            ("ip_protocol", _INT32),
            ("environment", _COPY_SEND),
            ("privilege", _COPY_SEND),
        ),
    ),
    Message(
        5350,
        (
            ("RetCode", _INT32),
            ("protocol", _MOVE_SEND),
        ),
    ),
)

GNS_PROTOCOL_UNREGISTER = Routine(
    "gns_protocol_unregister",
    Message(5251, ()),
    Message(5351, (("RetCode", _INT32),)),
)

GNS_CONNECTION_OPEN = Routine(
    "gns_connection_open",
    Message(
        5252,
        (
            ("receives", _FRAME_FILTER),
            ("sends", _FRAME_FILTER),
            ("receiver", _COPY_SEND),
            ("privilege", _COPY_SEND),
        ),
    ),
    Message(
        5352,
        (
            ("RetCode", _INT32),
            ("connection", _MOVE_SEND),
            ("device", _MOVE_SEND),
        ),
    ),
)

GNS_CONNECTION_CLOSE = Routine(
    "gns_connection_close",
    Message(5253, ()),
    Message(5353, (("RetCode", _INT32),)),
)

GNS_CONNECTION_WRITE = Routine(
    "gns_connection_write",
    Message(5254, (("frame", _FRAME),)),
    None,
)

ROUTINES: Final = table(
    GNS_PROTOCOL_REGISTER,
    GNS_PROTOCOL_UNREGISTER,
    GNS_CONNECTION_OPEN,
    GNS_CONNECTION_CLOSE,
    GNS_CONNECTION_WRITE,
)
"""The routines by request id."""
