"""Port rights, types and notifications (<mach/port.h>, <mach/notify.h>)."""

from typing import Final, NamedTuple

PORT_NULL: Final = 0
PORT_NAME_DEAD: Final = 0xFFFFFFFF

QLIMIT_DEFAULT: Final = 5
QLIMIT_MAX: Final = 16
UREFS_MAX: Final = 65535
"""The count that user references never reach: 65534 is the most that a right can have."""

# mach_port_right_t.

RIGHT_SEND: Final = 0
RIGHT_RECEIVE: Final = 1
RIGHT_SEND_ONCE: Final = 2
RIGHT_PORT_SET: Final = 3
RIGHT_DEAD_NAME: Final = 4

# mach_port_type_t: bit 16 + right, and the requests pending on a name.

TYPE_NONE: Final = 0
TYPE_SEND: Final = 0x00010000
TYPE_RECEIVE: Final = 0x00020000
TYPE_SEND_ONCE: Final = 0x00040000
TYPE_PORT_SET: Final = 0x00080000
TYPE_DEAD_NAME: Final = 0x00100000
TYPE_MAREQUEST: Final = 0x40000000
TYPE_DNREQUEST: Final = 0x80000000


class PortStatus(NamedTuple):
    """mach_port_status_t of a receive right, in its order."""

    pset: int  # the name of the port set that it is in, or 0
    seqno: int  # the next message's sequence number
    mscount: int  # send rights made
    qlimit: int  # messages that the queue takes
    msgcount: int  # those in it
    sorights: int  # send-once rights
    srights: int  # whether there are send rights
    pdrequest: int  # whether its destruction, and as the next the lack of senders, is to be told
    nsrequest: int


# The notifications' message ids.

NOTIFY_PORT_DELETED: Final = 65
NOTIFY_MSG_ACCEPTED: Final = 66
NOTIFY_PORT_DESTROYED: Final = 69
NOTIFY_NO_SENDERS: Final = 70
NOTIFY_SEND_ONCE: Final = 71
NOTIFY_DEAD_NAME: Final = 72
