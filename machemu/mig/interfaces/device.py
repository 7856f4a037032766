"""The messages of the subsystem device. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "device"
BASE: Final = 2800

_UINT32 = Type(2, 2, 32, 1, "I")
_DEV_NAME = Type(12, 12, 1024, 1, "128s", longform=True, string=True)
_INT32 = Type(2, 2, 32, 1, "i")
_PORT_SEND = Type(POLYMORPHIC, 17, 32, 1, "")
_IO_BUF_PTR = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_IO_BUF_PTR_INBAND = Type(8, 8, 8, 1, "s", COUNTED, limit=128)
_COPY_SEND = Type(19, 17, 32, 1, "")
_DEV_STATUS = Type(2, 2, 32, 1, "i", COUNTED, limit=1024)
_COUNT_1024 = Type(2, 2, 32, 1, "I", limit=1024)
_FILTER_ARRAY = Type(1, 1, 16, 1, "h", COUNTED, limit=128)

DEVICE_OPEN = Routine(
    "device_open",
    Message(
        2800,
        (
            ("mode", _UINT32),
            ("name", _DEV_NAME),
        ),
    ),
    Message(
        2900,
        (
            ("RetCode", _INT32),
            ("device", _PORT_SEND),
        ),
    ),
)

DEVICE_CLOSE = Routine(
    "device_close",
    Message(2801, ()),
    Message(2901, (("RetCode", _INT32),)),
)

DEVICE_WRITE = Routine(
    "device_write",
    Message(
        2802,
        (
            ("mode", _UINT32),
            ("recnum", _UINT32),
            ("data", _IO_BUF_PTR),
        ),
    ),
    Message(
        2902,
        (
            ("RetCode", _INT32),
            ("bytes_written", _INT32),
        ),
    ),
)

DEVICE_WRITE_INBAND = Routine(
    "device_write_inband",
    Message(
        2803,
        (
            ("mode", _UINT32),
            ("recnum", _UINT32),
            ("data", _IO_BUF_PTR_INBAND),
        ),
    ),
    Message(
        2903,
        (
            ("RetCode", _INT32),
            ("bytes_written", _INT32),
        ),
    ),
)

DEVICE_READ = Routine(
    "device_read",
    Message(
        2804,
        (
            ("mode", _UINT32),
            ("recnum", _UINT32),
            ("bytes_wanted", _INT32),
        ),
    ),
    Message(
        2904,
        (
            ("RetCode", _INT32),
            ("data", _IO_BUF_PTR),
        ),
    ),
)

DEVICE_READ_INBAND = Routine(
    "device_read_inband",
    Message(
        2805,
        (
            ("mode", _UINT32),
            ("recnum", _UINT32),
            ("bytes_wanted", _INT32),
        ),
    ),
    Message(
        2905,
        (
            ("RetCode", _INT32),
            ("data", _IO_BUF_PTR_INBAND),
        ),
    ),
)

DEVICE_MAP = Routine(
    "device_map",
    Message(
        2809,
        (
            ("prot", _INT32),
            ("offset", _UINT32),
            ("size", _UINT32),
            ("unmap", _INT32),
        ),
    ),
    Message(
        2909,
        (
            ("RetCode", _INT32),
            ("pager", _COPY_SEND),
        ),
    ),
)

DEVICE_SET_STATUS = Routine(
    "device_set_status",
    Message(
        2810,
        (
            ("flavor", _UINT32),
            ("status", _DEV_STATUS),
        ),
    ),
    Message(2910, (("RetCode", _INT32),)),
)

DEVICE_GET_STATUS = Routine(
    "device_get_status",
    Message(
        2811,
        (
            ("flavor", _UINT32),
            ("statusCnt", _COUNT_1024),
        ),
    ),
    Message(
        2911,
        (
            ("RetCode", _INT32),
            ("status", _DEV_STATUS),
        ),
    ),
)

DEVICE_SET_FILTER = Routine(
    "device_set_filter",
    Message(
        2812,
        (
            ("receive_port", _PORT_SEND),
            ("priority", _INT32),
            ("filter", _FILTER_ARRAY),
        ),
    ),
    Message(2912, (("RetCode", _INT32),)),
)

DEVICE_INTR_REGISTER = Routine(
    "device_intr_register",
    Message(
        2813,
        (
            ("id", _INT32),
            ("flags", _INT32),
            ("receive_port", _PORT_SEND),
        ),
    ),
    Message(2913, (("RetCode", _INT32),)),
)

DEVICE_INTR_ACK = Routine(
    "device_intr_ack",
    Message(2814, (("receive_port", _PORT_SEND),)),
    Message(2914, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    DEVICE_OPEN,
    DEVICE_CLOSE,
    DEVICE_WRITE,
    DEVICE_WRITE_INBAND,
    DEVICE_READ,
    DEVICE_READ_INBAND,
    DEVICE_MAP,
    DEVICE_SET_STATUS,
    DEVICE_GET_STATUS,
    DEVICE_SET_FILTER,
    DEVICE_INTR_REGISTER,
    DEVICE_INTR_ACK,
)
"""The routines by request id."""
