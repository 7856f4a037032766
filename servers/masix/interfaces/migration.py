"""The messages of the subsystem migration. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "migration"
BASE: Final = 5660

_TASK_NAME = Type(12, 12, 8, 1, "s", COUNTED, limit=1024, string=True)
_HOST_NAME = Type(12, 12, 8, 1, "s", COUNTED, limit=80, string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_REPORT = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_BOOLEAN = Type(0, 0, 32, 1, "i")
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)

MIGRATION_MOVE = Routine(
    "migration_move",
    Message(
        5660,
        (
            ("task", _TASK_NAME),
            ("host", _HOST_NAME),
        ),
    ),
    Message(
        5760,
        (
            ("RetCode", _INT32),
            ("outcome", _UINT32),
            ("report", _REPORT),
        ),
    ),
)

MIGRATION_STAY = Routine(
    "migration_stay",
    Message(
        5661,
        (
            ("task", _TASK_NAME),
            ("stays", _BOOLEAN),
        ),
    ),
    Message(5761, (("RetCode", _INT32),)),
)

MIGRATION_BLOCK = Routine(
    "migration_block",
    Message(5662, (("blocks", _BOOLEAN),)),
    Message(5762, (("RetCode", _INT32),)),
)

MIGRATION_OFFER = Routine(
    "migration_offer",
    Message(
        5663,
        (
            ("cpu_type", _INT32),
            ("page_size", _UINT32),
        ),
    ),
    Message(
        5763,
        (
            ("RetCode", _INT32),
            ("outcome", _UINT32),
            ("managers", _MOVE_SEND_ARRAY),
        ),
    ),
)

ROUTINES: Final = table(
    MIGRATION_MOVE,
    MIGRATION_STAY,
    MIGRATION_BLOCK,
    MIGRATION_OFFER,
)
"""The routines by request id."""
