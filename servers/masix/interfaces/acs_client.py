"""The messages of the subsystem acs_client. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "acs_client"
BASE: Final = 5050

_INT32 = Type(2, 2, 32, 1, "i")

ACS_SAVE_AND_END = Routine(
    "acs_save_and_end",
    Message(5050, ()),
    Message(5150, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    ACS_SAVE_AND_END,
)
"""The routines by request id."""
