"""The messages of the subsystem task_notify. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "task_notify"
BASE: Final = 4400

_MOVE_SEND = Type(17, 17, 32, 1, "")

MACH_NOTIFY_NEW_TASK = Routine(
    "mach_notify_new_task",
    Message(
        4400,
        (
            ("task", _MOVE_SEND),
            ("parent", _MOVE_SEND),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    MACH_NOTIFY_NEW_TASK,
)
"""The routines by request id."""
