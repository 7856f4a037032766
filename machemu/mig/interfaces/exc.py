"""The messages of the subsystem exc. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "exc"
BASE: Final = 2400

_COPY_SEND = Type(19, 17, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")

EXCEPTION_RAISE = Routine(
    "exception_raise",
    Message(
        2400,
        (
            ("thread", _COPY_SEND),
            ("task", _COPY_SEND),
            ("exception", _INT32),
            ("code", _INT32),
            ("subcode", _INT32),
        ),
    ),
    Message(2500, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    EXCEPTION_RAISE,
)
"""The routines by request id."""
