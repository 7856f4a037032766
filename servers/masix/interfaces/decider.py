"""The messages of the subsystem decider. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "decider"
BASE: Final = 5680

_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_DECIDER_HOST = Type(12, 12, 8, 1, "s", COUNTED, limit=80, string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_BOOLEAN = Type(0, 0, 32, 1, "i")

DECIDER_BEGIN = Routine(
    "decider_begin",
    Message(
        5680,
        (
            ("tasks", _MOVE_SEND_ARRAY),
            ("controls", _MOVE_SEND_ARRAY),
            ("host", _DECIDER_HOST),
        ),
    ),
    Message(
        5780,
        (
            ("RetCode", _INT32),
            ("reasons", _UINT32),
            ("number", _UINT32),
        ),
    ),
)

DECIDER_DECIDE = Routine(
    "decider_decide",
    Message(
        5681,
        (
            ("number", _UINT32),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(
        5781,
        (
            ("RetCode", _INT32),
            ("goes", _BOOLEAN),
        ),
    ),
)

DECIDER_FINISH = Routine(
    "decider_finish",
    Message(
        5682,
        (
            ("number", _UINT32),
            ("state", _UINT32),
        ),
    ),
    Message(
        5782,
        (
            ("RetCode", _INT32),
            ("has_ended", _BOOLEAN),
            ("is_lost", _BOOLEAN),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
)

ROUTINES: Final = table(
    DECIDER_BEGIN,
    DECIDER_DECIDE,
    DECIDER_FINISH,
)
"""The routines by request id."""
