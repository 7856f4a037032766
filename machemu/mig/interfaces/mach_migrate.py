"""The messages of the subsystem mach_migrate. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_migrate"
BASE: Final = 4600

_COPY_SEND = Type(19, 17, 32, 1, "")
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_MAKE_SEND = Type(20, 17, 32, 1, "")
_MOVE_RECEIVE = Type(16, 16, 32, 1, "")
_MOVE_RECEIVE_ARRAY = Type(16, 16, 32, 1, "", OUT_OF_LINE, longform=True)
_REDO_WORDS = Type(2, 2, 32, 1, "I", COUNTED, limit=32)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_POLYMORPHIC = Type(POLYMORPHIC, POLYMORPHIC, 32, 1, "")
_SPACE_WORDS = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_MOVE_SEND_ARRAY = Type(17, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_MOVE_SEND_ONCE_ARRAY = Type(18, 18, 32, 1, "", OUT_OF_LINE, longform=True)
_BOOLEAN = Type(0, 0, 32, 1, "i")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_TASK_NAME = Type(12, 12, 8, 1, "s", COUNTED, limit=1024, string=True)
_COPY_SEND_ARRAY = Type(19, 17, 32, 1, "", OUT_OF_LINE, longform=True)

TASK_FREEZE = Routine(
    "task_freeze",
    Message(4600, (("task", _COPY_SEND),)),
    Message(
        4700,
        (
            ("RetCode", _INT32),
            ("reasons", _UINT32),
        ),
    ),
)

TASK_THAW = Routine(
    "task_thaw",
    Message(4601, ()),
    Message(4701, (("RetCode", _INT32),)),
)

TASK_SURRENDER = Routine(
    "task_surrender",
    Message(4602, ()),
    Message(
        4702,
        (
            ("RetCode", _INT32),
            ("control", _MAKE_SEND),
            ("self", _MOVE_RECEIVE),
            ("threads", _MOVE_RECEIVE_ARRAY),
            ("replies", _MOVE_RECEIVE_ARRAY),
        ),
    ),
)

TASK_ADOPT = Routine(
    "task_adopt",
    Message(
        4603,
        (
            ("task", _COPY_SEND),
            ("self", _MOVE_RECEIVE),
            ("threads", _MOVE_RECEIVE_ARRAY),
            ("replies", _MOVE_RECEIVE_ARRAY),
        ),
    ),
    Message(4703, (("RetCode", _INT32),)),
)

THREAD_GET_WAIT = Routine(
    "thread_get_wait",
    Message(4604, ()),
    Message(
        4704,
        (
            ("RetCode", _INT32),
            ("words", _REDO_WORDS),
            ("data", _POINTER),
            ("reply", _POLYMORPHIC),
        ),
    ),
)

THREAD_SET_WAIT = Routine(
    "thread_set_wait",
    Message(
        4605,
        (
            ("thread", _COPY_SEND),
            ("words", _REDO_WORDS),
            ("data", _POINTER),
            ("reply", _POLYMORPHIC),
        ),
    ),
    Message(4705, (("RetCode", _INT32),)),
)

MACH_PORT_EXTRACT_ALL = Routine(
    "mach_port_extract_all",
    Message(4606, ()),
    Message(
        4706,
        (
            ("RetCode", _INT32),
            ("words", _SPACE_WORDS),
            ("receives", _MOVE_RECEIVE_ARRAY),
            ("sends", _MOVE_SEND_ARRAY),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
            ("requests", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
)

MACH_PORT_INSERT_ALL = Routine(
    "mach_port_insert_all",
    Message(
        4607,
        (
            ("task", _COPY_SEND),
            ("words", _SPACE_WORDS),
            ("receives", _MOVE_RECEIVE_ARRAY),
            ("sends", _MOVE_SEND_ARRAY),
            ("onces", _MOVE_SEND_ONCE_ARRAY),
            ("requests", _MOVE_SEND_ONCE_ARRAY),
        ),
    ),
    Message(4707, (("RetCode", _INT32),)),
)

TASK_GET_ACCOUNT = Routine(
    "task_get_account",
    Message(4608, ()),
    Message(
        4708,
        (
            ("RetCode", _INT32),
            ("account", _SPACE_WORDS),
        ),
    ),
)

TASK_SET_ACCOUNT = Routine(
    "task_set_account",
    Message(
        4609,
        (
            ("task", _COPY_SEND),
            ("account", _SPACE_WORDS),
        ),
    ),
    Message(4709, (("RetCode", _INT32),)),
)

THREAD_GET_ACCOUNT = Routine(
    "thread_get_account",
    Message(4610, ()),
    Message(
        4710,
        (
            ("RetCode", _INT32),
            ("account", _SPACE_WORDS),
        ),
    ),
)

THREAD_SET_ACCOUNT = Routine(
    "thread_set_account",
    Message(
        4611,
        (
            ("thread", _COPY_SEND),
            ("account", _SPACE_WORDS),
        ),
    ),
    Message(4711, (("RetCode", _INT32),)),
)

VM_MAP_INFO = Routine(
    "vm_map_info",
    Message(4612, ()),
    Message(
        4712,
        (
            ("RetCode", _INT32),
            ("words", _SPACE_WORDS),
            ("objects", _MOVE_SEND_ARRAY),
        ),
    ),
)

VM_MAP_SET = Routine(
    "vm_map_set",
    Message(
        4613,
        (
            ("task", _COPY_SEND),
            ("words", _SPACE_WORDS),
            ("objects", _MOVE_SEND_ARRAY),
        ),
    ),
    Message(4713, (("RetCode", _INT32),)),
)

VM_REGION_GET_PAGES = Routine(
    "vm_region_get_pages",
    Message(
        4614,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("managed", _BOOLEAN),
        ),
    ),
    Message(
        4714,
        (
            ("RetCode", _INT32),
            ("addresses", _SPACE_WORDS),
            ("data", _POINTER),
        ),
    ),
)

MEMORY_OBJECT_INTERNALIZE = Routine(
    "memory_object_internalize",
    Message(4615, ()),
    Message(4715, (("RetCode", _INT32),)),
)

VM_REGION_SET_MANAGER = Routine(
    "vm_region_set_manager",
    Message(
        4616,
        (
            ("address", _UINT32),
            ("memory_object", _MOVE_SEND),
        ),
    ),
    Message(4716, (("RetCode", _INT32),)),
)

MEMORY_OBJECT_SURRENDER = Routine(
    "memory_object_surrender",
    Message(4617, (("address", _UINT32),)),
    Message(
        4717,
        (
            ("RetCode", _INT32),
            ("words", _SPACE_WORDS),
            ("pages", _POINTER),
            ("memory_object", _MOVE_SEND),
            ("control", _MOVE_RECEIVE),
            ("name", _MOVE_RECEIVE),
        ),
    ),
)

MEMORY_OBJECT_ADOPT = Routine(
    "memory_object_adopt",
    Message(
        4618,
        (
            ("task", _COPY_SEND),
            ("address", _UINT32),
            ("words", _SPACE_WORDS),
            ("pages", _POINTER),
            ("memory_object", _MOVE_SEND),
            ("control", _MOVE_RECEIVE),
            ("name", _MOVE_RECEIVE),
        ),
    ),
    Message(4718, (("RetCode", _INT32),)),
)

THREAD_GET_CONTEXT = Routine(
    "thread_get_context",
    Message(4620, ()),
    Message(
        4720,
        (
            ("RetCode", _INT32),
            ("context", _POINTER),
        ),
    ),
)

THREAD_SET_CONTEXT = Routine(
    "thread_set_context",
    Message(
        4621,
        (
            ("thread", _COPY_SEND),
            ("context", _POINTER),
        ),
    ),
    Message(4721, (("RetCode", _INT32),)),
)

TASK_IDENTIFY = Routine(
    "task_identify",
    Message(4622, ()),
    Message(
        4722,
        (
            ("RetCode", _INT32),
            ("number", _UINT32),
            ("host_side", _BOOLEAN),
            ("name", _TASK_NAME),
        ),
    ),
)

TASK_GET_FAMILY = Routine(
    "task_get_family",
    Message(4623, (("task", _COPY_SEND),)),
    Message(
        4723,
        (
            ("RetCode", _INT32),
            ("family", _COPY_SEND_ARRAY),
        ),
    ),
)

TASK_SET_FORWARDS = Routine(
    "task_set_forwards",
    Message(
        4624,
        (
            ("task", _COPY_SEND),
            ("forwards", _BOOLEAN),
        ),
    ),
    Message(4724, (("RetCode", _INT32),)),
)

TASK_SET_IDENTITY = Routine(
    "task_set_identity",
    Message(
        4625,
        (
            ("task", _COPY_SEND),
            ("name", _TASK_NAME),
        ),
    ),
    Message(4725, (("RetCode", _INT32),)),
)

TASK_GET_PRINTER = Routine(
    "task_get_printer",
    Message(4626, ()),
    Message(
        4726,
        (
            ("RetCode", _INT32),
            ("printer", _MOVE_SEND),
        ),
    ),
)

TASK_SET_PRINTER = Routine(
    "task_set_printer",
    Message(
        4627,
        (
            ("task", _COPY_SEND),
            ("printer", _MOVE_SEND),
        ),
    ),
    Message(4727, (("RetCode", _INT32),)),
)

PRINTER_PRINT = Routine(
    "printer_print",
    Message(4628, (("text", _POINTER),)),
    None,
)

MACH_PORT_GET_SENDERS = Routine(
    "mach_port_get_senders",
    Message(4629, ()),
    Message(
        4729,
        (
            ("RetCode", _INT32),
            ("sends", _MOVE_SEND_ARRAY),
        ),
    ),
)

ROUTINES: Final = table(
    TASK_FREEZE,
    TASK_THAW,
    TASK_SURRENDER,
    TASK_ADOPT,
    THREAD_GET_WAIT,
    THREAD_SET_WAIT,
    MACH_PORT_EXTRACT_ALL,
    MACH_PORT_INSERT_ALL,
    TASK_GET_ACCOUNT,
    TASK_SET_ACCOUNT,
    THREAD_GET_ACCOUNT,
    THREAD_SET_ACCOUNT,
    VM_MAP_INFO,
    VM_MAP_SET,
    VM_REGION_GET_PAGES,
    MEMORY_OBJECT_INTERNALIZE,
    VM_REGION_SET_MANAGER,
    MEMORY_OBJECT_SURRENDER,
    MEMORY_OBJECT_ADOPT,
    THREAD_GET_CONTEXT,
    THREAD_SET_CONTEXT,
    TASK_IDENTIFY,
    TASK_GET_FAMILY,
    TASK_SET_FORWARDS,
    TASK_SET_IDENTITY,
    TASK_GET_PRINTER,
    TASK_SET_PRINTER,
    PRINTER_PRINT,
    MACH_PORT_GET_SENDERS,
)
"""The routines by request id."""
