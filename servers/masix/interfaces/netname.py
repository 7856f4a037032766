"""The messages of the subsystem netname. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "netname"
BASE: Final = 1040

_NETNAME_NAME = Type(8, 8, 8, 80, "80s")
_PORT_SEND = Type(POLYMORPHIC, 17, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")

NETNAME_CHECK_IN = Routine(
    "netname_check_in",
    Message(
        1040,
        (
            ("port_name", _NETNAME_NAME),
            ("signature", _PORT_SEND),
            ("port_id", _PORT_SEND),
        ),
    ),
    Message(1140, (("RetCode", _INT32),)),
)

NETNAME_LOOK_UP = Routine(
    "netname_look_up",
    Message(
        1041,
        (
            ("host_name", _NETNAME_NAME),
            ("port_name", _NETNAME_NAME),
        ),
    ),
    Message(
        1141,
        (
            ("RetCode", _INT32),
            ("port_id", _PORT_SEND),
        ),
    ),
)

NETNAME_CHECK_OUT = Routine(
    "netname_check_out",
    Message(
        1042,
        (
            ("port_name", _NETNAME_NAME),
            ("signature", _PORT_SEND),
        ),
    ),
    Message(1142, (("RetCode", _INT32),)),
)

NETNAME_VERSION = Routine(
    "netname_version",
    Message(1043, ()),
    Message(
        1143,
        (
            ("RetCode", _INT32),
            ("version", _NETNAME_NAME),
        ),
    ),
)

ROUTINES: Final = table(
    NETNAME_CHECK_IN,
    NETNAME_LOOK_UP,
    NETNAME_CHECK_OUT,
    NETNAME_VERSION,
)
"""The routines by request id."""
