"""The messages of the subsystem bootstrap. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import Message, Routine, Type, table

SUBSYSTEM: Final = "bootstrap"
BASE: Final = 999999

_INT32 = Type(2, 2, 32, 1, "i")
_COPY_SEND = Type(19, 17, 32, 1, "")

BOOTSTRAP_PRIVILEGED_PORTS = Routine(
    "bootstrap_privileged_ports",
    Message(1000000, ()),
    Message(
        1000100,
        (
            ("RetCode", _INT32),
            ("priv_host", _COPY_SEND),
            ("priv_device", _COPY_SEND),
        ),
    ),
)

ROUTINES: Final = table(
    BOOTSTRAP_PRIVILEGED_PORTS,
)
"""The routines by request id."""
