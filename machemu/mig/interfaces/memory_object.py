"""The messages of the subsystem memory_object. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "memory_object"
BASE: Final = 2200

_MAKE_SEND = Type(20, 17, 32, 1, "")
_UINT32 = Type(2, 2, 32, 1, "I")
_MOVE_RECEIVE = Type(16, 16, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_BOOLEAN = Type(0, 0, 32, 1, "i")

MEMORY_OBJECT_INIT = Routine(
    "memory_object_init",
    Message(
        2200,
        (
            ("memory_control", _MAKE_SEND),
            ("memory_object_name", _MAKE_SEND),
            ("memory_object_page_size", _UINT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_TERMINATE = Routine(
    "memory_object_terminate",
    Message(
        2201,
        (
            ("memory_control", _MOVE_RECEIVE),
            ("memory_object_name", _MOVE_RECEIVE),
        ),
    ),
    None,
)

MEMORY_OBJECT_COPY = Routine(
    "memory_object_copy",
    Message(
        2202,
        (
            ("old_memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("length", _UINT32),
            ("new_memory_object", _MOVE_RECEIVE),
        ),
    ),
    None,
)

MEMORY_OBJECT_DATA_REQUEST = Routine(
    "memory_object_data_request",
    Message(
        2203,
        (
            ("memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("length", _UINT32),
            ("desired_access", _INT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_DATA_UNLOCK = Routine(
    "memory_object_data_unlock",
    Message(
        2204,
        (
            ("memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("length", _UINT32),
            ("desired_access", _INT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_LOCK_COMPLETED = Routine(
    "memory_object_lock_completed",
    Message(
        2206,
        (
            ("memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("length", _UINT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_SUPPLY_COMPLETED = Routine(
    "memory_object_supply_completed",
    Message(
        2207,
        (
            ("memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("length", _UINT32),
            ("result", _INT32),
            ("error_offset", _UINT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_DATA_RETURN = Routine(
    "memory_object_data_return",
    Message(
        2208,
        (
            ("memory_control", _MAKE_SEND),
            ("offset", _UINT32),
            ("data", _POINTER),
            ("dirty", _BOOLEAN),
            ("kernel_copy", _BOOLEAN),
        ),
    ),
    None,
)

MEMORY_OBJECT_CHANGE_COMPLETED = Routine(
    "memory_object_change_completed",
    Message(
        2209,
        (
            ("may_cache", _BOOLEAN),
            ("copy_strategy", _INT32),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    MEMORY_OBJECT_INIT,
    MEMORY_OBJECT_TERMINATE,
    MEMORY_OBJECT_COPY,
    MEMORY_OBJECT_DATA_REQUEST,
    MEMORY_OBJECT_DATA_UNLOCK,
    MEMORY_OBJECT_LOCK_COMPLETED,
    MEMORY_OBJECT_SUPPLY_COMPLETED,
    MEMORY_OBJECT_DATA_RETURN,
    MEMORY_OBJECT_CHANGE_COMPLETED,
)
"""The routines by request id."""
