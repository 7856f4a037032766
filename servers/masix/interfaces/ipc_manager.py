"""The messages of the subsystem ipc_manager. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "ipc_manager"
BASE: Final = 5620

_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_COPY_SEND = Type(19, 17, 32, 1, "")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_INT32 = Type(2, 2, 32, 1, "i")
_WORDS = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_UINT32 = Type(2, 2, 32, 1, "I")
_MOVE_RECEIVE_ARRAY = Type(16, 16, 32, 1, "", OUT_OF_LINE, longform=True)
_MOVE_SEND_ONCE_ARRAY = Type(18, 18, 32, 1, "", OUT_OF_LINE, longform=True)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_MOVE_SEND = Type(17, 17, 32, 1, "")

IPC_LEAD = Routine(
    "ipc_lead",
    Message(
        5620,
        (
            ("controls", _MOVE_SEND_ARRAY),
            ("there", _COPY_SEND),
            ("made", _COPY_SEND),
            ("lasts", _BOOLEAN),
        ),
    ),
    Message(5720, (("RetCode", _INT32),)),
)

IPC_MOVE = Routine(
    "ipc_move",
    Message(
        5621,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
            ("made", _COPY_SEND),
            ("first", _COPY_SEND),
            ("lasts", _BOOLEAN),
        ),
    ),
    Message(
        5721,
        (
            ("RetCode", _INT32),
            ("dependencies", _WORDS),
        ),
    ),
)

IPC_TAKE = Routine(
    "ipc_take",
    Message(
        5622,
        (
            ("made", _COPY_SEND),
            ("part", _UINT32),
            ("receives", _MOVE_RECEIVE_ARRAY),
            ("sends", _MOVE_SEND_ARRAY),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
            ("requests", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
    Message(5722, (("RetCode", _INT32),)),
)

IPC_FILL = Routine(
    "ipc_fill",
    Message(
        5623,
        (
            ("made", _COPY_SEND),
            ("first", _COPY_SEND),
            ("receives", _UINT32),
            ("words", _POINTER),
            ("kinds", _WORDS),
        ),
    ),
    Message(
        5723,
        (
            ("RetCode", _INT32),
            ("dependencies", _WORDS),
        ),
    ),
)

IPC_PAUSE = Routine(
    "ipc_pause",
    Message(5624, (("tasks", _MOVE_SEND_ARRAY),)),
    Message(
        5724,
        (
            ("RetCode", _INT32),
            ("pause", _MOVE_SEND),
        ),
    ),
)

IPC_COPY = Routine(
    "ipc_copy",
    Message(
        5625,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
            ("made", _COPY_SEND),
        ),
    ),
    Message(5725, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    IPC_LEAD,
    IPC_MOVE,
    IPC_TAKE,
    IPC_FILL,
    IPC_PAUSE,
    IPC_COPY,
)
"""The routines by request id."""
