"""The messages of the subsystem name_server. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "name_server"
BASE: Final = 4850

_MOVE_RECEIVE = Type(16, 16, 32, 1, "")

NAME_SERVER_CLIENT = Routine(
    "name_server_client",
    Message(4850, (("client", _MOVE_RECEIVE),)),
    None,
)

NAME_SERVER_BEGIN = Routine(
    "name_server_begin",
    Message(
        4851,
        (
            ("service", _MOVE_RECEIVE),
            ("privileged", _MOVE_RECEIVE),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    NAME_SERVER_CLIENT,
    NAME_SERVER_BEGIN,
)
"""The routines by request id."""
