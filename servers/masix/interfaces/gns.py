"""The messages of the subsystem gns. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "gns"
BASE: Final = 5200

_GNS_NAME = Type(12, 12, 8, 80, "80s", string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_MOVE_SEND = Type(17, 17, 32, 1, "")

GNS_RESOLVE = Routine(
    "gns_resolve",
    Message(5200, (("name", _GNS_NAME),)),
    Message(
        5300,
        (
            ("RetCode", _INT32),
            ("service", _MOVE_SEND),
        ),
    ),
)

GNS_RESOLVE_AT = Routine(
    "gns_resolve_at",
    Message(
        5201,
        (
            ("host", _GNS_NAME),
            ("name", _GNS_NAME),
        ),
    ),
    Message(
        5301,
        (
            ("RetCode", _INT32),
            ("service", _MOVE_SEND),
        ),
    ),
)

ROUTINES: Final = table(
    GNS_RESOLVE,
    GNS_RESOLVE_AT,
)
"""The routines by request id."""
