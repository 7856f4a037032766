"""Port rights, types and notifications (<mach/port.h>, <mach/notify.h>)."""

from enum import IntEnum, IntFlag
from typing import Final

PORT_NULL: Final = 0
PORT_NAME_DEAD: Final = 0xFFFFFFFF

QLIMIT_DEFAULT: Final = 5
QLIMIT_MAX: Final = 16
UREFS_MAX: Final = 65535
"""The count that user references never reach: 65534 is the most that a right can have."""


class Right(IntEnum):
    """mach_port_right_t."""

    SEND = 0
    RECEIVE = 1
    SEND_ONCE = 2
    PORT_SET = 3
    DEAD_NAME = 4


class PortType(IntFlag):
    """mach_port_type_t: bit 16 + right, and the requests pending on a name."""

    NONE = 0
    SEND = 0x00010000
    RECEIVE = 0x00020000
    SEND_ONCE = 0x00040000
    PORT_SET = 0x00080000
    DEAD_NAME = 0x00100000
    MAREQUEST = 0x40000000
    DNREQUEST = 0x80000000


class Notify(IntEnum):
    """The notifications' message ids."""

    PORT_DELETED = 65
    MSG_ACCEPTED = 66
    PORT_DESTROYED = 69
    NO_SENDERS = 70
    SEND_ONCE = 71
    DEAD_NAME = 72
