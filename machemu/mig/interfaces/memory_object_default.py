"""The messages of the subsystem memory_object_default. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "memory_object_default"
BASE: Final = 2250

_MOVE_RECEIVE = Type(16, 16, 32, 1, "")
_UINT32 = Type(2, 2, 32, 1, "I")
_MAKE_SEND = Type(20, 17, 32, 1, "")
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)

MEMORY_OBJECT_CREATE = Routine(
    "memory_object_create",
    Message(
        2250,
        (
            ("new_memory_object", _MOVE_RECEIVE),
            ("new_object_size", _UINT32),
            ("new_control_port", _MAKE_SEND),
            ("new_name", _MAKE_SEND),
            ("new_page_size", _UINT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_DATA_INITIALIZE = Routine(
    "memory_object_data_initialize",
    Message(
        2251,
        (
            ("memory_control_port", _MAKE_SEND),
            ("offset", _UINT32),
            ("data", _POINTER),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    MEMORY_OBJECT_CREATE,
    MEMORY_OBJECT_DATA_INITIALIZE,
)
"""The routines by request id."""
