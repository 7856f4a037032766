"""The messages of the subsystem succession. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "succession"
BASE: Final = 4800

_MOVE_SEND = Type(17, 17, 32, 1, "")
_MOVE_RECEIVE = Type(16, 16, 32, 1, "")
_MOVE_RECEIVE_ARRAY = Type(16, 16, 32, 1, "", OUT_OF_LINE, longform=True)
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_MOVE_SEND_ONCE_ARRAY = Type(18, 18, 32, 1, "", OUT_OF_LINE, longform=True)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_MOVE_SEND_ONCE = Type(18, 18, 32, 1, "")

SUCCESSION_BEGIN = Routine(
    "succession_begin",
    Message(4800, (("successor", _MOVE_SEND),)),
    None,
)

SUCCESSION_INHERIT = Routine(
    "succession_inherit",
    Message(
        4801,
        (
            ("service", _MOVE_RECEIVE),
            ("receives", _MOVE_RECEIVE_ARRAY),
            ("sends", _MOVE_SEND_ARRAY),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
            ("data", _POINTER),
        ),
    ),
    None,
)

SUCCESSION_FOLLOW = Routine(
    "succession_follow",
    Message(4802, (("predecessor", _MOVE_SEND_ONCE),)),
    None,
)

ROUTINES: Final = table(
    SUCCESSION_BEGIN,
    SUCCESSION_INHERIT,
    SUCCESSION_FOLLOW,
)
"""The routines by request id."""
