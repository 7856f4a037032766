"""The messages of the subsystem udp_client. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, Message, Routine, Type, table

SUBSYSTEM: Final = "udp_client"
BASE: Final = 5450

_UINT32 = Type(2, 2, 32, 1, "I")
_INT32 = Type(2, 2, 32, 1, "i")
_UDP_DATA = Type(8, 8, 8, 1, "s", COUNTED, limit=1472)

UDP_DATAGRAM = Routine(
    "udp_datagram",
    Message(
        5450,
        (
            ("address", _UINT32),
            ("port", _INT32),
            ("data", _UDP_DATA),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    UDP_DATAGRAM,
)
"""The routines by request id."""
