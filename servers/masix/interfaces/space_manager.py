"""The messages of the subsystem space_manager. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "space_manager"
BASE: Final = 5640

_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_COPY_SEND = Type(19, 17, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_WORDS = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_MOVE_SEND = Type(17, 17, 32, 1, "")
_MOVE_RECEIVE = Type(16, 16, 32, 1, "")

SPACE_COPY = Routine(
    "space_copy",
    Message(
        5640,
        (
            ("controls", _MOVE_SEND_ARRAY),
            ("there", _COPY_SEND),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(
        5740,
        (
            ("RetCode", _INT32),
            ("pages", _UINT32),
        ),
    ),
)

SPACE_MAP = Routine(
    "space_map",
    Message(
        5641,
        (
            ("first", _COPY_SEND),
            ("made", _COPY_SEND),
            ("words", _WORDS),
            ("ids", _WORDS),
            ("managers", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(5741, (("RetCode", _INT32),)),
)

SPACE_SUPPLY = Routine(
    "space_supply",
    Message(
        5642,
        (
            ("first", _COPY_SEND),
            ("id", _UINT32),
            ("offsets", _WORDS),
            ("data", _POINTER),
        ),
    ),
    Message(5742, (("RetCode", _INT32),)),
)

SPACE_ADOPT = Routine(
    "space_adopt",
    Message(
        5643,
        (
            ("first", _COPY_SEND),
            ("made", _COPY_SEND),
            ("address", _UINT32),
            ("id", _UINT32),
            ("words", _WORDS),
            ("pages", _POINTER),
            ("memory_object", _MOVE_SEND),
            ("control", _MOVE_RECEIVE),
            ("name", _MOVE_RECEIVE),
        ),
    ),
    Message(5743, (("RetCode", _INT32),)),
)

SPACE_END = Routine(
    "space_end",
    Message(5644, (("first", _COPY_SEND),)),
    Message(5744, (("RetCode", _INT32),)),
)

SPACE_GIVE = Routine(
    "space_give",
    Message(
        5645,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
            ("made", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(5745, (("RetCode", _INT32),)),
)

SPACE_KEEP = Routine(
    "space_keep",
    Message(5646, (("control", _COPY_SEND),)),
    Message(5746, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    SPACE_COPY,
    SPACE_MAP,
    SPACE_SUPPLY,
    SPACE_ADOPT,
    SPACE_END,
    SPACE_GIVE,
    SPACE_KEEP,
)
"""The routines by request id."""
