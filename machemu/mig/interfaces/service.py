"""The messages of the subsystem service. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "service"
BASE: Final = 400

_INT32 = Type(2, 2, 32, 1, "i")
_MOVE_RECEIVE = Type(16, 16, 32, 1, "")

SERVICE_CHECKIN = Routine(
    "service_checkin",
    Message(400, ()),
    Message(
        500,
        (
            ("RetCode", _INT32),
            ("service_granted", _MOVE_RECEIVE),
        ),
    ),
)

SERVICE_WAITING = Routine(
    "service_waiting",
    Message(401, ()),
    Message(501, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    SERVICE_CHECKIN,
    SERVICE_WAITING,
)
"""The routines by request id."""
