"""The messages of the subsystem acs_client. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "acs_client"
BASE: Final = 5050

_INT32 = Type(2, 2, 32, 1, "i")
_ACS_NAME = Type(12, 12, 8, 80, "80s", string=True)
_MOVE_SEND = Type(17, 17, 32, 1, "")

ACS_SAVE_AND_END = Routine(
    "acs_save_and_end",
    Message(5050, ()),
    Message(5150, (("RetCode", _INT32),)),
)

ACS_NAME_ENTERED = Routine(
    "acs_name_entered",
    Message(
        5051,
        (
            ("name", _ACS_NAME),
            ("service", _MOVE_SEND),
        ),
    ),
    None,
)

ACS_NAME_LEFT = Routine(
    "acs_name_left",
    Message(5052, (("name", _ACS_NAME),)),
    None,
)

ROUTINES: Final = table(
    ACS_SAVE_AND_END,
    ACS_NAME_ENTERED,
    ACS_NAME_LEFT,
)
"""The routines by request id."""
