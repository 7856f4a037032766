"""The messages of the subsystem gps. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, Message, Routine, Type, table

SUBSYSTEM: Final = "gps"
BASE: Final = 5800

_MOVE_SEND = Type(17, 17, 32, 1, "")
_UINT32 = Type(2, 2, 32, 1, "I")
_PM_PERSONALITY = Type(12, 12, 8, 1, "s", COUNTED, limit=32, string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_PM_PID = Type(2, 2, 32, 4, "4I")
_PM_HOST = Type(12, 12, 8, 1, "s", COUNTED, limit=80, string=True)

GPS_CREATE = Routine(
    "gps_create",
    Message(
        5800,
        (
            ("task", _MOVE_SEND),
            ("kind", _UINT32),
            ("personality", _PM_PERSONALITY),
        ),
    ),
    Message(
        5900,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
            ("process", _MOVE_SEND),
        ),
    ),
)

PM_FORK = Routine(
    "pm_fork",
    Message(5801, (("task", _MOVE_SEND),)),
    Message(
        5901,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
            ("child", _MOVE_SEND),
        ),
    ),
)

PM_SPAWN = Routine(
    "pm_spawn",
    Message(
        5802,
        (
            ("task", _MOVE_SEND),
            ("kind", _UINT32),
            ("personality", _PM_PERSONALITY),
        ),
    ),
    Message(
        5902,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
            ("child", _MOVE_SEND),
        ),
    ),
)

PM_EXIT = Routine(
    "pm_exit",
    Message(5803, (("status", _UINT32),)),
    Message(5903, (("RetCode", _INT32),)),
)

PM_WAIT = Routine(
    "pm_wait",
    Message(5804, ()),
    Message(
        5904,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
            ("status", _UINT32),
        ),
    ),
)

PM_GETPID = Routine(
    "pm_getpid",
    Message(5805, ()),
    Message(
        5905,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
        ),
    ),
)

PM_GETPPID = Routine(
    "pm_getppid",
    Message(5806, ()),
    Message(
        5906,
        (
            ("RetCode", _INT32),
            ("pid", _PM_PID),
        ),
    ),
)

PM_MIGRATE = Routine(
    "pm_migrate",
    Message(5807, (("host", _PM_HOST),)),
    Message(5907, (("RetCode", _INT32),)),
)

PM_GETEPOCH = Routine(
    "pm_getepoch",
    Message(5808, ()),
    Message(
        5908,
        (
            ("RetCode", _INT32),
            ("epoch", _UINT32),
        ),
    ),
)

ROUTINES: Final = table(
    GPS_CREATE,
    PM_FORK,
    PM_SPAWN,
    PM_EXIT,
    PM_WAIT,
    PM_GETPID,
    PM_GETPPID,
    PM_MIGRATE,
    PM_GETEPOCH,
)
"""The routines by request id."""
