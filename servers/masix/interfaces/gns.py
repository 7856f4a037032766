"""The messages of the subsystem gns. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "gns"
BASE: Final = 5200

_GNS_NAME = Type(12, 12, 8, 80, "80s", string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_GNS_NODES = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)

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

GNS_HOMES = Routine(
    "gns_homes",
    Message(5202, (("rights", _MOVE_SEND_ARRAY),)),
    Message(
        5302,
        (
            ("RetCode", _INT32),
            ("nodes", _GNS_NODES),
        ),
    ),
)

GNS_PAUSE = Routine(
    "gns_pause",
    Message(
        5203,
        (
            ("tasks", _MOVE_SEND_ARRAY),
            ("host_priv", _MOVE_SEND),
        ),
    ),
    Message(
        5303,
        (
            ("RetCode", _INT32),
            ("pause", _MOVE_SEND),
        ),
    ),
)

ROUTINES: Final = table(
    GNS_RESOLVE,
    GNS_RESOLVE_AT,
    GNS_HOMES,
    GNS_PAUSE,
)
"""The routines by request id."""
