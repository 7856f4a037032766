"""The messages of the subsystem acs. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "acs"
BASE: Final = 5000

_ACS_NAME = Type(12, 12, 8, 80, "80s", string=True)
_BOOLEAN = Type(0, 0, 32, 1, "i")
_COPY_SEND = Type(19, 17, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")
_MOVE_SEND = Type(17, 17, 32, 1, "")

ACS_REGISTER = Routine(
    "acs_register",
    Message(
        5000,
        (
            ("name", _ACS_NAME),
            ("essential", _BOOLEAN),
            ("service", _COPY_SEND),
        ),
    ),
    Message(
        5100,
        (
            ("RetCode", _INT32),
            ("registration", _MOVE_SEND),
        ),
    ),
)

ACS_LOOK_UP = Routine(
    "acs_look_up",
    Message(5001, (("name", _ACS_NAME),)),
    Message(
        5101,
        (
            ("RetCode", _INT32),
            ("service", _MOVE_SEND),
        ),
    ),
)

ACS_UNREGISTER = Routine(
    "acs_unregister",
    Message(
        5002,
        (
            ("name", _ACS_NAME),
            ("registration", _COPY_SEND),
        ),
    ),
    Message(5102, (("RetCode", _INT32),)),
)

ACS_LOOK_UP_HERE = Routine(
    "acs_look_up_here",
    Message(5003, (("name", _ACS_NAME),)),
    Message(
        5103,
        (
            ("RetCode", _INT32),
            ("service", _MOVE_SEND),
        ),
    ),
)

ACS_WATCH = Routine(
    "acs_watch",
    Message(5004, (("watcher", _COPY_SEND),)),
    None,
)

ACS_REPLACE = Routine(
    "acs_replace",
    Message(
        5005,
        (
            ("name", _ACS_NAME),
            ("registration", _COPY_SEND),
            ("service", _COPY_SEND),
        ),
    ),
    Message(5105, (("RetCode", _INT32),)),
)

ACS_IS_CLIENT = Routine(
    "acs_is_client",
    Message(5006, (("client", _COPY_SEND),)),
    Message(5106, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    ACS_REGISTER,
    ACS_LOOK_UP,
    ACS_UNREGISTER,
    ACS_LOOK_UP_HERE,
    ACS_WATCH,
    ACS_REPLACE,
    ACS_IS_CLIENT,
)
"""The routines by request id."""
