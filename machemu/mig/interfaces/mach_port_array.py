"""The messages of the subsystem mach_port_array. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_port_array"
BASE: Final = 4650

_UINT32 = Type(2, 2, 32, 1, "I")
_INT32 = Type(2, 2, 32, 1, "i")
_PORT_NAMES = Type(15, 15, 32, 1, "I", COUNTED, limit=1024)
_PORT_NAME = Type(15, 15, 32, 1, "I")
_PORT_STATUSES = Type(2, 2, 32, 9, "6I3i", COUNTED, longform=True, limit=1024)
_PORT_COUNTS = Type(2, 2, 32, 1, "I", COUNTED, limit=1024)
_MAKE_SEND_ONCE_ARRAY = Type(21, 18, 32, 1, "", COUNTED, limit=1024)
_MOVE_SEND_ONCE_ARRAY = Type(18, 18, 32, 1, "", COUNTED, limit=1024)

MACH_PORT_ALLOCATE_ARRAY = Routine(
    "mach_port_allocate_array",
    Message(4650, (("count", _UINT32),)),
    Message(
        4750,
        (
            ("RetCode", _INT32),
            ("names", _PORT_NAMES),
        ),
    ),
)

MACH_PORT_MOVE_MEMBER_ARRAY = Routine(
    "mach_port_move_member_array",
    Message(
        4651,
        (
            ("members", _PORT_NAMES),
            ("after", _PORT_NAME),
        ),
    ),
    Message(4751, (("RetCode", _INT32),)),
)

MACH_PORT_GET_RECEIVE_STATUS_ARRAY = Routine(
    "mach_port_get_receive_status_array",
    Message(4652, (("names", _PORT_NAMES),)),
    Message(
        4752,
        (
            ("RetCode", _INT32),
            ("statuses", _PORT_STATUSES),
        ),
    ),
)

MACH_PORT_REQUEST_NOTIFICATION_ARRAY = Routine(
    "mach_port_request_notification_array",
    Message(
        4653,
        (
            ("names", _PORT_NAMES),
            ("id", _INT32),
            ("syncs", _PORT_COUNTS),
            ("notify", _MAKE_SEND_ONCE_ARRAY),
        ),
    ),
    Message(
        4753,
        (
            ("RetCode", _INT32),
            ("previous", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
)

MACH_PORT_GET_RECEIVER_ARRAY = Routine(
    "mach_port_get_receiver_array",
    Message(4654, (("names", _PORT_NAMES),)),
    Message(
        4754,
        (
            ("RetCode", _INT32),
            ("receivers", _PORT_NAMES),
        ),
    ),
)

MACH_PORT_MAKE_SEND_ONCE_ARRAY = Routine(
    "mach_port_make_send_once_array",
    Message(4655, (("names", _PORT_NAMES),)),
    Message(
        4755,
        (
            ("RetCode", _INT32),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
)

MACH_PORT_FORGET_SEND_ONCE_ARRAY = Routine(
    "mach_port_forget_send_once_array",
    Message(4656, (("onces", _PORT_NAMES),)),
    Message(4756, (("RetCode", _INT32),)),
)

MACH_PORT_COUNT_LAST_AS_SENT = Routine(
    "mach_port_count_last_as_sent",
    Message(4657, (("name", _PORT_NAME),)),
    Message(4757, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    MACH_PORT_ALLOCATE_ARRAY,
    MACH_PORT_MOVE_MEMBER_ARRAY,
    MACH_PORT_GET_RECEIVE_STATUS_ARRAY,
    MACH_PORT_REQUEST_NOTIFICATION_ARRAY,
    MACH_PORT_GET_RECEIVER_ARRAY,
    MACH_PORT_MAKE_SEND_ONCE_ARRAY,
    MACH_PORT_FORGET_SEND_ONCE_ARRAY,
    MACH_PORT_COUNT_LAST_AS_SENT,
)
"""The routines by request id."""
