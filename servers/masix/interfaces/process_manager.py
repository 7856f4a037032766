"""The messages of the subsystem process_manager. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "process_manager"
BASE: Final = 5600

_TASK_NAME = Type(12, 12, 8, 1, "s", COUNTED, limit=1024, string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_REASONS = Type(2, 2, 32, 1, "I", COUNTED, limit=64)
_COPY_SEND = Type(19, 17, 32, 1, "")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_MOVE_RECEIVE_ARRAY = Type(16, 16, 32, 1, "", OUT_OF_LINE, longform=True)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_MOVE_SEND_ONCE_ARRAY = Type(18, 18, 32, 1, "", OUT_OF_LINE, longform=True)

PROCESS_FIND = Routine(
    "process_find",
    Message(5600, (("name", _TASK_NAME),)),
    Message(
        5700,
        (
            ("RetCode", _INT32),
            ("tasks", _MOVE_SEND_ARRAY),
        ),
    ),
)

PROCESS_HOLD = Routine(
    "process_hold",
    Message(5601, (("tasks", _MOVE_SEND_ARRAY),)),
    Message(
        5701,
        (
            ("RetCode", _INT32),
            ("reasons", _REASONS),
            ("controls", _MOVE_SEND_ARRAY),
            ("held", _MOVE_SEND_ARRAY),
        ),
    ),
)

PROCESS_RELEASE = Routine(
    "process_release",
    Message(5602, (("control", _COPY_SEND),)),
    Message(5702, (("RetCode", _INT32),)),
)

PROCESS_PREPARE = Routine(
    "process_prepare",
    Message(
        5603,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
        ),
    ),
    Message(
        5703,
        (
            ("RetCode", _INT32),
            ("made", _MOVE_SEND),
        ),
    ),
)

PROCESS_LEAD = Routine(
    "process_lead",
    Message(
        5604,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
            ("made", _COPY_SEND),
            ("lasts", _BOOLEAN),
        ),
    ),
    Message(5704, (("RetCode", _INT32),)),
)

PROCESS_MOVE = Routine(
    "process_move",
    Message(
        5605,
        (
            ("control", _COPY_SEND),
            ("there", _COPY_SEND),
            ("made", _COPY_SEND),
            ("lasts", _BOOLEAN),
        ),
    ),
    Message(5705, (("RetCode", _INT32),)),
)

PROCESS_GO = Routine(
    "process_go",
    Message(5606, (("made", _MOVE_SEND_ARRAY),)),
    Message(
        5706,
        (
            ("RetCode", _INT32),
            ("tasks", _MOVE_SEND_ARRAY),
        ),
    ),
)

PROCESS_DESTROY = Routine(
    "process_destroy",
    Message(5607, (("task", _COPY_SEND),)),
    Message(5707, (("RetCode", _INT32),)),
)

PROCESS_CREATE = Routine(
    "process_create",
    Message(
        5608,
        (
            ("name", _TASK_NAME),
            ("threads", _UINT32),
            ("source", _COPY_SEND),
        ),
    ),
    Message(
        5708,
        (
            ("RetCode", _INT32),
            ("made", _MOVE_SEND),
        ),
    ),
)

PROCESS_TAKE_PORTS = Routine(
    "process_take_ports",
    Message(
        5609,
        (
            ("made", _COPY_SEND),
            ("ports", _MOVE_RECEIVE_ARRAY),
        ),
    ),
    Message(5709, (("RetCode", _INT32),)),
)

PROCESS_BECOME = Routine(
    "process_become",
    Message(
        5610,
        (
            ("made", _COPY_SEND),
            ("state", _POINTER),
            ("sends", _MOVE_SEND_ARRAY),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
    Message(5710, (("RetCode", _INT32),)),
)

PROCESS_STAY = Routine(
    "process_stay",
    Message(
        5611,
        (
            ("name", _TASK_NAME),
            ("stays", _BOOLEAN),
        ),
    ),
    Message(5711, (("RetCode", _INT32),)),
)

PROCESS_LIST = Routine(
    "process_list",
    Message(5612, ()),
    Message(
        5712,
        (
            ("RetCode", _INT32),
            ("tasks", _POINTER),
        ),
    ),
)

PROCESS_KEEP = Routine(
    "process_keep",
    Message(5613, (("made", _MOVE_SEND_ARRAY),)),
    Message(5713, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    PROCESS_FIND,
    PROCESS_HOLD,
    PROCESS_RELEASE,
    PROCESS_PREPARE,
    PROCESS_LEAD,
    PROCESS_MOVE,
    PROCESS_GO,
    PROCESS_DESTROY,
    PROCESS_CREATE,
    PROCESS_TAKE_PORTS,
    PROCESS_BECOME,
    PROCESS_STAY,
    PROCESS_LIST,
    PROCESS_KEEP,
)
"""The routines by request id."""
