"""The messages of the subsystem device_reply. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "device_reply"
BASE: Final = 2900

_INT32 = Type(2, 2, 32, 1, "i")
_MAKE_SEND = Type(20, 17, 32, 1, "")
_IO_BUF_PTR = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_IO_BUF_PTR_INBAND = Type(8, 8, 8, 1, "s", COUNTED, limit=128)

DEVICE_OPEN_REPLY = Routine(
    "device_open_reply",
    Message(
        2900,
        (
            ("return_code", _INT32),
            ("device_port", _MAKE_SEND),
        ),
    ),
    None,
)

DEVICE_WRITE_REPLY = Routine(
    "device_write_reply",
    Message(
        2902,
        (
            ("return_code", _INT32),
            ("bytes_written", _INT32),
        ),
    ),
    None,
)

DEVICE_WRITE_REPLY_INBAND = Routine(
    "device_write_reply_inband",
    Message(
        2903,
        (
            ("return_code", _INT32),
            ("bytes_written", _INT32),
        ),
    ),
    None,
)

DEVICE_READ_REPLY = Routine(
    "device_read_reply",
    Message(
        2904,
        (
            ("return_code", _INT32),
            ("data", _IO_BUF_PTR),
        ),
    ),
    None,
)

DEVICE_READ_REPLY_INBAND = Routine(
    "device_read_reply_inband",
    Message(
        2905,
        (
            ("return_code", _INT32),
            ("data", _IO_BUF_PTR_INBAND),
        ),
    ),
    None,
)

ROUTINES: Final = table(
    DEVICE_OPEN_REPLY,
    DEVICE_WRITE_REPLY,
    DEVICE_WRITE_REPLY_INBAND,
    DEVICE_READ_REPLY,
    DEVICE_READ_REPLY_INBAND,
)
"""The routines by request id."""
