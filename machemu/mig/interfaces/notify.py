"""The messages of the subsystem notify. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "notify"
BASE: Final = 64

_PORT_NAME = Type(15, 15, 32, 1, "I")
_PORT_RECEIVE = Type(POLYMORPHIC, 16, 32, 1, "")
_UINT32 = Type(2, 2, 32, 1, "I")

MACH_NOTIFY_PORT_DELETED = Routine(
    "mach_notify_port_deleted",
    Message(65, (("name", _PORT_NAME),)),
    None,
)

MACH_NOTIFY_MSG_ACCEPTED = Routine(
    "mach_notify_msg_accepted",
    Message(66, (("name", _PORT_NAME),)),
    None,
)

MACH_NOTIFY_PORT_DESTROYED = Routine(
    "mach_notify_port_destroyed",
    Message(69, (("rights", _PORT_RECEIVE),)),
    None,
)

MACH_NOTIFY_NO_SENDERS = Routine(
    "mach_notify_no_senders",
    Message(70, (("mscount", _UINT32),)),
    None,
)

MACH_NOTIFY_SEND_ONCE = Routine(
    "mach_notify_send_once",
    Message(71, ()),
    None,
)

MACH_NOTIFY_DEAD_NAME = Routine(
    "mach_notify_dead_name",
    Message(72, (("name", _PORT_NAME),)),
    None,
)

ROUTINES: Final = table(
    MACH_NOTIFY_PORT_DELETED,
    MACH_NOTIFY_MSG_ACCEPTED,
    MACH_NOTIFY_PORT_DESTROYED,
    MACH_NOTIFY_NO_SENDERS,
    MACH_NOTIFY_SEND_ONCE,
    MACH_NOTIFY_DEAD_NAME,
)
"""The routines by request id."""
