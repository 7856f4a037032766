"""The messages of the subsystem mach_debug. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import EITHER, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_debug"
BASE: Final = 3000

_PORT_NAME = Type(15, 15, 32, 1, "I")
_INT32 = Type(2, 2, 32, 1, "i")
_UINT32 = Type(2, 2, 32, 1, "I")
_COUNT_512 = Type(2, 2, 32, 1, "I", limit=512)
_HASH_INFO_BUCKET_ARRAY = Type(2, 2, 32, 1, "I", EITHER, longform=True, limit=512)
_COPY_SEND = Type(19, 17, 32, 1, "")
_SYMTAB_NAME = Type(12, 12, 256, 1, "32s", longform=True, string=True)
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_VM_REGION_INFO = Type(2, 2, 32, 11, "2I3i4IiI")
_MOVE_SEND = Type(17, 17, 32, 1, "")
_VM_OBJECT_INFO = Type(2, 2, 32, 14, "10Ii3I")
_COUNT_85 = Type(2, 2, 32, 1, "I", limit=85)
_VM_PAGE_INFO_ARRAY = Type(2, 2, 32, 6, "3I2iI", EITHER, longform=True, limit=85)
_COUNT_26 = Type(2, 2, 32, 1, "I", limit=26)
_CACHE_INFO_ARRAY = Type(2, 2, 32, 19, "i10I32s", EITHER, longform=True, limit=26)

MACH_PORT_GET_SRIGHTS = Routine(
    "mach_port_get_srights",
    Message(3007, (("name", _PORT_NAME),)),
    Message(
        3107,
        (
            ("RetCode", _INT32),
            ("srights", _UINT32),
        ),
    ),
)

HOST_IPC_MAREQUEST_INFO = Routine(
    "host_ipc_marequest_info",
    Message(3009, (("infoCnt", _COUNT_512),)),
    Message(
        3109,
        (
            ("RetCode", _INT32),
            ("max_requests", _UINT32),
            ("info", _HASH_INFO_BUCKET_ARRAY),
        ),
    ),
)

MACH_PORT_DNREQUEST_INFO = Routine(
    "mach_port_dnrequest_info",
    Message(3011, (("name", _PORT_NAME),)),
    Message(
        3111,
        (
            ("RetCode", _INT32),
            ("total", _UINT32),
            ("used", _UINT32),
        ),
    ),
)

HOST_STACK_USAGE = Routine(
    "host_stack_usage",
    Message(3014, ()),
    Message(
        3114,
        (
            ("RetCode", _INT32),
            ("reserved", _UINT32),
            ("total", _UINT32),
            ("space", _UINT32),
            ("resident", _UINT32),
            ("maxusage", _UINT32),
            ("maxstack", _UINT32),
        ),
    ),
)

PROCESSOR_SET_STACK_USAGE = Routine(
    "processor_set_stack_usage",
    Message(3015, ()),
    Message(
        3115,
        (
            ("RetCode", _INT32),
            ("total", _UINT32),
            ("space", _UINT32),
            ("resident", _UINT32),
            ("maxusage", _UINT32),
            ("maxstack", _UINT32),
        ),
    ),
)

HOST_VIRTUAL_PHYSICAL_TABLE_INFO = Routine(
    "host_virtual_physical_table_info",
    Message(3016, (("infoCnt", _COUNT_512),)),
    Message(
        3116,
        (
            ("RetCode", _INT32),
            ("info", _HASH_INFO_BUCKET_ARRAY),
        ),
    ),
)

HOST_LOAD_SYMBOL_TABLE = Routine(
    "host_load_symbol_table",
    Message(
        3017,
        (
            ("task", _COPY_SEND),
            ("name", _SYMTAB_NAME),
            ("symtab", _POINTER),
        ),
    ),
    Message(3117, (("RetCode", _INT32),)),
)

MACH_PORT_KERNEL_OBJECT = Routine(
    "mach_port_kernel_object",
    Message(3018, (("name", _PORT_NAME),)),
    Message(
        3118,
        (
            ("RetCode", _INT32),
            ("object_type", _UINT32),
            ("object_addr", _UINT32),
        ),
    ),
)

MACH_VM_REGION_INFO = Routine(
    "mach_vm_region_info",
    Message(3019, (("address", _UINT32),)),
    Message(
        3119,
        (
            ("RetCode", _INT32),
            ("region", _VM_REGION_INFO),
            ("object", _MOVE_SEND),
        ),
    ),
)

MACH_VM_OBJECT_INFO = Routine(
    "mach_vm_object_info",
    Message(3020, ()),
    Message(
        3120,
        (
            ("RetCode", _INT32),
            ("info", _VM_OBJECT_INFO),
            ("shadow", _MOVE_SEND),
            ("copy", _MOVE_SEND),
        ),
    ),
)

MACH_VM_OBJECT_PAGES = Routine(
    "mach_vm_object_pages",
    Message(3021, (("pagesCnt", _COUNT_85),)),
    Message(
        3121,
        (
            ("RetCode", _INT32),
            ("pages", _VM_PAGE_INFO_ARRAY),
        ),
    ),
)

HOST_SLAB_INFO = Routine(
    "host_slab_info",
    Message(3022, (("infoCnt", _COUNT_26),)),
    Message(
        3122,
        (
            ("RetCode", _INT32),
            ("info", _CACHE_INFO_ARRAY),
        ),
    ),
)

ROUTINES: Final = table(
    MACH_PORT_GET_SRIGHTS,
    HOST_IPC_MAREQUEST_INFO,
    MACH_PORT_DNREQUEST_INFO,
    HOST_STACK_USAGE,
    PROCESSOR_SET_STACK_USAGE,
    HOST_VIRTUAL_PHYSICAL_TABLE_INFO,
    HOST_LOAD_SYMBOL_TABLE,
    MACH_PORT_KERNEL_OBJECT,
    MACH_VM_REGION_INFO,
    MACH_VM_OBJECT_INFO,
    MACH_VM_OBJECT_PAGES,
    HOST_SLAB_INFO,
)
"""The routines by request id."""
