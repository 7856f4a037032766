"""The messages of the subsystem mach_port. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_port"
BASE: Final = 3200

_INT32 = Type(2, 2, 32, 1, "i")
_MACH_PORT_NAME_ARRAY = Type(15, 15, 32, 1, "I", OUT_OF_LINE, longform=True)
_MACH_PORT_TYPE_ARRAY = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_PORT_NAME = Type(15, 15, 32, 1, "I")
_UINT32 = Type(2, 2, 32, 1, "I")
_PORT_SEND_ONCE = Type(POLYMORPHIC, 18, 32, 1, "")
_POLYMORPHIC = Type(POLYMORPHIC, POLYMORPHIC, 32, 1, "")
_MACH_PORT_STATUS = Type(2, 2, 32, 9, "6I3i")

MACH_PORT_NAMES = Routine(
    "mach_port_names",
    Message(3200, ()),
    Message(
        3300,
        (
            ("RetCode", _INT32),
            ("names", _MACH_PORT_NAME_ARRAY),
            ("types", _MACH_PORT_TYPE_ARRAY),
        ),
    ),
)

MACH_PORT_TYPE = Routine(
    "mach_port_type",
    Message(3201, (("name", _PORT_NAME),)),
    Message(
        3301,
        (
            ("RetCode", _INT32),
            ("ptype", _UINT32),
        ),
    ),
)

MACH_PORT_RENAME = Routine(
    "mach_port_rename",
    Message(
        3202,
        (
            ("old_name", _PORT_NAME),
            ("new_name", _PORT_NAME),
        ),
    ),
    Message(3302, (("RetCode", _INT32),)),
)

MACH_PORT_ALLOCATE_NAME = Routine(
    "mach_port_allocate_name",
    Message(
        3203,
        (
            ("right", _UINT32),
            ("name", _PORT_NAME),
        ),
    ),
    Message(3303, (("RetCode", _INT32),)),
)

MACH_PORT_ALLOCATE = Routine(
    "mach_port_allocate",
    Message(3204, (("right", _UINT32),)),
    Message(
        3304,
        (
            ("RetCode", _INT32),
            ("name", _PORT_NAME),
        ),
    ),
)

MACH_PORT_DESTROY = Routine(
    "mach_port_destroy",
    Message(3205, (("name", _PORT_NAME),)),
    Message(3305, (("RetCode", _INT32),)),
)

MACH_PORT_DEALLOCATE = Routine(
    "mach_port_deallocate",
    Message(3206, (("name", _PORT_NAME),)),
    Message(3306, (("RetCode", _INT32),)),
)

MACH_PORT_GET_REFS = Routine(
    "mach_port_get_refs",
    Message(
        3207,
        (
            ("name", _PORT_NAME),
            ("right", _UINT32),
        ),
    ),
    Message(
        3307,
        (
            ("RetCode", _INT32),
            ("refs", _UINT32),
        ),
    ),
)

MACH_PORT_MOD_REFS = Routine(
    "mach_port_mod_refs",
    Message(
        3208,
        (
            ("name", _PORT_NAME),
            ("right", _UINT32),
            ("delta", _INT32),
        ),
    ),
    Message(3308, (("RetCode", _INT32),)),
)

MACH_PORT_SET_QLIMIT = Routine(
    "mach_port_set_qlimit",
    Message(
        3210,
        (
            ("name", _PORT_NAME),
            ("qlimit", _UINT32),
        ),
    ),
    Message(3310, (("RetCode", _INT32),)),
)

MACH_PORT_SET_MSCOUNT = Routine(
    "mach_port_set_mscount",
    Message(
        3211,
        (
            ("name", _PORT_NAME),
            ("mscount", _UINT32),
        ),
    ),
    Message(3311, (("RetCode", _INT32),)),
)

MACH_PORT_GET_SET_STATUS = Routine(
    "mach_port_get_set_status",
    Message(3212, (("name", _PORT_NAME),)),
    Message(
        3312,
        (
            ("RetCode", _INT32),
            ("members", _MACH_PORT_NAME_ARRAY),
        ),
    ),
)

MACH_PORT_MOVE_MEMBER = Routine(
    "mach_port_move_member",
    Message(
        3213,
        (
            ("member", _PORT_NAME),
            ("after", _PORT_NAME),
        ),
    ),
    Message(3313, (("RetCode", _INT32),)),
)

MACH_PORT_REQUEST_NOTIFICATION = Routine(
    "mach_port_request_notification",
    Message(
        3214,
        (
            ("name", _PORT_NAME),
            ("id", _INT32),
            ("sync", _UINT32),
            ("notify", _PORT_SEND_ONCE),
        ),
    ),
    Message(
        3314,
        (
            ("RetCode", _INT32),
            ("previous", _PORT_SEND_ONCE),
        ),
    ),
)

MACH_PORT_INSERT_RIGHT = Routine(
    "mach_port_insert_right",
    Message(
        3215,
        (
            ("name", _PORT_NAME),
            ("poly", _POLYMORPHIC),
        ),
    ),
    Message(3315, (("RetCode", _INT32),)),
)

MACH_PORT_EXTRACT_RIGHT = Routine(
    "mach_port_extract_right",
    Message(
        3216,
        (
            ("name", _PORT_NAME),
            ("msgt_name", _UINT32),
        ),
    ),
    Message(
        3316,
        (
            ("RetCode", _INT32),
            ("poly", _POLYMORPHIC),
        ),
    ),
)

MACH_PORT_GET_RECEIVE_STATUS = Routine(
    "mach_port_get_receive_status",
    Message(3217, (("name", _PORT_NAME),)),
    Message(
        3317,
        (
            ("RetCode", _INT32),
            ("status", _MACH_PORT_STATUS),
        ),
    ),
)

MACH_PORT_SET_SEQNO = Routine(
    "mach_port_set_seqno",
    Message(
        3218,
        (
            ("name", _PORT_NAME),
            ("seqno", _UINT32),
        ),
    ),
    Message(3318, (("RetCode", _INT32),)),
)

MACH_PORT_SET_PROTECTED_PAYLOAD = Routine(
    "mach_port_set_protected_payload",
    Message(
        3221,
        (
            ("name", _PORT_NAME),
            ("payload", _UINT32),
        ),
    ),
    Message(3321, (("RetCode", _INT32),)),
)

MACH_PORT_CLEAR_PROTECTED_PAYLOAD = Routine(
    "mach_port_clear_protected_payload",
    Message(3222, (("name", _PORT_NAME),)),
    Message(3322, (("RetCode", _INT32),)),
)

ROUTINES: Final = table(
    MACH_PORT_NAMES,
    MACH_PORT_TYPE,
    MACH_PORT_RENAME,
    MACH_PORT_ALLOCATE_NAME,
    MACH_PORT_ALLOCATE,
    MACH_PORT_DESTROY,
    MACH_PORT_DEALLOCATE,
    MACH_PORT_GET_REFS,
    MACH_PORT_MOD_REFS,
    MACH_PORT_SET_QLIMIT,
    MACH_PORT_SET_MSCOUNT,
    MACH_PORT_GET_SET_STATUS,
    MACH_PORT_MOVE_MEMBER,
    MACH_PORT_REQUEST_NOTIFICATION,
    MACH_PORT_INSERT_RIGHT,
    MACH_PORT_EXTRACT_RIGHT,
    MACH_PORT_GET_RECEIVE_STATUS,
    MACH_PORT_SET_SEQNO,
    MACH_PORT_SET_PROTECTED_PAYLOAD,
    MACH_PORT_CLEAR_PROTECTED_PAYLOAD,
)
"""The routines by request id."""
