"""The messages of the subsystem mach. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "mach"
BASE: Final = 2000

_BOOLEAN = Type(0, 0, 32, 1, "i")
_INT32 = Type(2, 2, 32, 1, "i")
_COPY_SEND = Type(19, 17, 32, 1, "")
_EMULATION_VECTOR = Type(2, 2, 32, 1, "I", OUT_OF_LINE, longform=True)
_COPY_SEND_ARRAY = Type(19, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_COUNT_1024 = Type(2, 2, 32, 1, "I", limit=1024)
_TASK_INFO = Type(2, 2, 32, 1, "i", COUNTED, limit=1024)
_THREAD_STATE = Type(2, 2, 32, 1, "I", COUNTED, limit=1024)
_UINT32 = Type(2, 2, 32, 1, "I")
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)
_MOVE_SEND = Type(17, 17, 32, 1, "")
_VM_STATISTICS_DATA = Type(2, 2, 32, 13, "13i")
_MAKE_SEND = Type(20, 17, 32, 1, "")
_MAKE_SEND_ONCE_OR_POLYMORPHIC = Type(21, POLYMORPHIC, 32, 1, "")

TASK_CREATE = Routine(
    "task_create",
    Message(2007, (("inherit_memory", _BOOLEAN),)),
    Message(
        2107,
        (
            ("RetCode", _INT32),
            ("child_task", _COPY_SEND),
        ),
    ),
)

TASK_TERMINATE = Routine(
    "task_terminate",
    Message(2008, ()),
    Message(2108, (("RetCode", _INT32),)),
)

TASK_GET_EMULATION_VECTOR = Routine(
    "task_get_emulation_vector",
    Message(2009, ()),
    Message(
        2109,
        (
            ("RetCode", _INT32),
            ("vector_start", _INT32),
            ("emulation_vector", _EMULATION_VECTOR),
        ),
    ),
)

TASK_SET_EMULATION_VECTOR = Routine(
    "task_set_emulation_vector",
    Message(
        2010,
        (
            ("vector_start", _INT32),
            ("emulation_vector", _EMULATION_VECTOR),
        ),
    ),
    Message(2110, (("RetCode", _INT32),)),
)

TASK_THREADS = Routine(
    "task_threads",
    Message(2011, ()),
    Message(
        2111,
        (
            ("RetCode", _INT32),
            ("thread_list", _COPY_SEND_ARRAY),
        ),
    ),
)

TASK_INFO = Routine(
    "task_info",
    Message(
        2012,
        (
            ("flavor", _INT32),
            ("task_info_outCnt", _COUNT_1024),
        ),
    ),
    Message(
        2112,
        (
            ("RetCode", _INT32),
            ("task_info_out", _TASK_INFO),
        ),
    ),
)

THREAD_TERMINATE = Routine(
    "thread_terminate",
    Message(2016, ()),
    Message(2116, (("RetCode", _INT32),)),
)

THREAD_GET_STATE = Routine(
    "thread_get_state",
    Message(
        2017,
        (
            ("flavor", _INT32),
            ("old_stateCnt", _COUNT_1024),
        ),
    ),
    Message(
        2117,
        (
            ("RetCode", _INT32),
            ("old_state", _THREAD_STATE),
        ),
    ),
)

THREAD_SET_STATE = Routine(
    "thread_set_state",
    Message(
        2018,
        (
            ("flavor", _INT32),
            ("new_state", _THREAD_STATE),
        ),
    ),
    Message(2118, (("RetCode", _INT32),)),
)

THREAD_INFO = Routine(
    "thread_info",
    Message(
        2019,
        (
            ("flavor", _INT32),
            ("thread_info_outCnt", _COUNT_1024),
        ),
    ),
    Message(
        2119,
        (
            ("RetCode", _INT32),
            ("thread_info_out", _TASK_INFO),
        ),
    ),
)

VM_ALLOCATE = Routine(
    "vm_allocate",
    Message(
        2021,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("anywhere", _BOOLEAN),
        ),
    ),
    Message(
        2121,
        (
            ("RetCode", _INT32),
            ("address", _UINT32),
        ),
    ),
)

VM_DEALLOCATE = Routine(
    "vm_deallocate",
    Message(
        2023,
        (
            ("address", _UINT32),
            ("size", _UINT32),
        ),
    ),
    Message(2123, (("RetCode", _INT32),)),
)

VM_PROTECT = Routine(
    "vm_protect",
    Message(
        2024,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("set_maximum", _BOOLEAN),
            ("new_protection", _INT32),
        ),
    ),
    Message(2124, (("RetCode", _INT32),)),
)

VM_INHERIT = Routine(
    "vm_inherit",
    Message(
        2025,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("new_inheritance", _INT32),
        ),
    ),
    Message(2125, (("RetCode", _INT32),)),
)

VM_READ = Routine(
    "vm_read",
    Message(
        2026,
        (
            ("address", _UINT32),
            ("size", _UINT32),
        ),
    ),
    Message(
        2126,
        (
            ("RetCode", _INT32),
            ("data", _POINTER),
        ),
    ),
)

VM_WRITE = Routine(
    "vm_write",
    Message(
        2027,
        (
            ("address", _UINT32),
            ("data", _POINTER),
        ),
    ),
    Message(2127, (("RetCode", _INT32),)),
)

VM_COPY = Routine(
    "vm_copy",
    Message(
        2028,
        (
            ("source_address", _UINT32),
            ("size", _UINT32),
            ("dest_address", _UINT32),
        ),
    ),
    Message(2128, (("RetCode", _INT32),)),
)

VM_REGION = Routine(
    "vm_region",
    Message(2029, (("address", _UINT32),)),
    Message(
        2129,
        (
            ("RetCode", _INT32),
            ("address", _UINT32),
            ("size", _UINT32),
            ("protection", _INT32),
            ("max_protection", _INT32),
            ("inheritance", _INT32),
            ("is_shared", _BOOLEAN),
            ("object_name", _MOVE_SEND),
            ("offset", _UINT32),
        ),
    ),
)

VM_STATISTICS = Routine(
    "vm_statistics",
    Message(2030, ()),
    Message(
        2130,
        (
            ("RetCode", _INT32),
            ("vm_stats", _VM_STATISTICS_DATA),
        ),
    ),
)

MACH_PORTS_REGISTER = Routine(
    "mach_ports_register",
    Message(2033, (("init_port_set", _COPY_SEND_ARRAY),)),
    Message(2133, (("RetCode", _INT32),)),
)

MACH_PORTS_LOOKUP = Routine(
    "mach_ports_lookup",
    Message(2034, ()),
    Message(
        2134,
        (
            ("RetCode", _INT32),
            ("init_port_set", _COPY_SEND_ARRAY),
        ),
    ),
)

MEMORY_OBJECT_DATA_UNAVAILABLE = Routine(
    "memory_object_data_unavailable",
    Message(
        2039,
        (
            ("offset", _UINT32),
            ("size", _UINT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_GET_ATTRIBUTES = Routine(
    "memory_object_get_attributes",
    Message(2040, ()),
    Message(
        2140,
        (
            ("RetCode", _INT32),
            ("object_ready", _BOOLEAN),
            ("may_cache", _BOOLEAN),
            ("copy_strategy", _INT32),
        ),
    ),
)

VM_SET_DEFAULT_MEMORY_MANAGER = Routine(
    "vm_set_default_memory_manager",
    Message(2041, (("default_manager", _MAKE_SEND),)),
    Message(
        2141,
        (
            ("RetCode", _INT32),
            ("default_manager", _MAKE_SEND),
        ),
    ),
)

MEMORY_OBJECT_LOCK_REQUEST = Routine(
    "memory_object_lock_request",
    Message(
        2044,
        (
            ("offset", _UINT32),
            ("size", _UINT32),
            ("should_return", _INT32),
            ("should_flush", _BOOLEAN),
            ("lock_value", _INT32),
            ("reply_to", _MAKE_SEND_ONCE_OR_POLYMORPHIC),
        ),
    ),
    None,
)

TASK_SUSPEND = Routine(
    "task_suspend",
    Message(2056, ()),
    Message(2156, (("RetCode", _INT32),)),
)

TASK_RESUME = Routine(
    "task_resume",
    Message(2057, ()),
    Message(2157, (("RetCode", _INT32),)),
)

TASK_GET_SPECIAL_PORT = Routine(
    "task_get_special_port",
    Message(2058, (("which_port", _INT32),)),
    Message(
        2158,
        (
            ("RetCode", _INT32),
            ("special_port", _COPY_SEND),
        ),
    ),
)

TASK_SET_SPECIAL_PORT = Routine(
    "task_set_special_port",
    Message(
        2059,
        (
            ("which_port", _INT32),
            ("special_port", _COPY_SEND),
        ),
    ),
    Message(2159, (("RetCode", _INT32),)),
)

THREAD_CREATE = Routine(
    "thread_create",
    Message(2061, ()),
    Message(
        2161,
        (
            ("RetCode", _INT32),
            ("child_thread", _COPY_SEND),
        ),
    ),
)

THREAD_SUSPEND = Routine(
    "thread_suspend",
    Message(2062, ()),
    Message(2162, (("RetCode", _INT32),)),
)

THREAD_RESUME = Routine(
    "thread_resume",
    Message(2063, ()),
    Message(2163, (("RetCode", _INT32),)),
)

THREAD_ABORT = Routine(
    "thread_abort",
    Message(2064, ()),
    Message(2164, (("RetCode", _INT32),)),
)

THREAD_GET_SPECIAL_PORT = Routine(
    "thread_get_special_port",
    Message(2067, (("which_port", _INT32),)),
    Message(
        2167,
        (
            ("RetCode", _INT32),
            ("special_port", _COPY_SEND),
        ),
    ),
)

THREAD_SET_SPECIAL_PORT = Routine(
    "thread_set_special_port",
    Message(
        2068,
        (
            ("which_port", _INT32),
            ("special_port", _COPY_SEND),
        ),
    ),
    Message(2168, (("RetCode", _INT32),)),
)

TASK_SET_EMULATION = Routine(
    "task_set_emulation",
    Message(
        2070,
        (
            ("routine_entry_pt", _UINT32),
            ("routine_number", _INT32),
        ),
    ),
    Message(2170, (("RetCode", _INT32),)),
)

TASK_RAS_CONTROL = Routine(
    "task_ras_control",
    Message(
        2071,
        (
            ("basepc", _UINT32),
            ("boundspc", _UINT32),
            ("flavor", _INT32),
        ),
    ),
    Message(2171, (("RetCode", _INT32),)),
)

VM_MAP = Routine(
    "vm_map",
    Message(
        2089,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("mask", _UINT32),
            ("anywhere", _BOOLEAN),
            ("memory_object", _COPY_SEND),
            ("offset", _UINT32),
            ("copy", _BOOLEAN),
            ("cur_protection", _INT32),
            ("max_protection", _INT32),
            ("inheritance", _INT32),
        ),
    ),
    Message(
        2189,
        (
            ("RetCode", _INT32),
            ("address", _UINT32),
        ),
    ),
)

MEMORY_OBJECT_DATA_ERROR = Routine(
    "memory_object_data_error",
    Message(
        2090,
        (
            ("offset", _UINT32),
            ("size", _UINT32),
            ("error_value", _INT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_DESTROY = Routine(
    "memory_object_destroy",
    Message(2092, (("reason", _INT32),)),
    None,
)

MEMORY_OBJECT_DATA_SUPPLY = Routine(
    "memory_object_data_supply",
    Message(
        2093,
        (
            ("offset", _UINT32),
            ("data", _POINTER),
            ("lock_value", _INT32),
            ("precious", _BOOLEAN),
            ("reply_to", _MAKE_SEND_ONCE_OR_POLYMORPHIC),
        ),
    ),
    None,
)

MEMORY_OBJECT_READY = Routine(
    "memory_object_ready",
    Message(
        2094,
        (
            ("may_cache", _BOOLEAN),
            ("copy_strategy", _INT32),
        ),
    ),
    None,
)

MEMORY_OBJECT_CHANGE_ATTRIBUTES = Routine(
    "memory_object_change_attributes",
    Message(
        2095,
        (
            ("may_cache", _BOOLEAN),
            ("copy_strategy", _INT32),
            ("reply_to", _MAKE_SEND_ONCE_OR_POLYMORPHIC),
        ),
    ),
    None,
)

VM_MACHINE_ATTRIBUTE = Routine(
    "vm_machine_attribute",
    Message(
        2099,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("attribute", _INT32),
            ("value", _INT32),
        ),
    ),
    Message(
        2199,
        (
            ("RetCode", _INT32),
            ("value", _INT32),
        ),
    ),
)

ROUTINES: Final = table(
    TASK_CREATE,
    TASK_TERMINATE,
    TASK_GET_EMULATION_VECTOR,
    TASK_SET_EMULATION_VECTOR,
    TASK_THREADS,
    TASK_INFO,
    THREAD_TERMINATE,
    THREAD_GET_STATE,
    THREAD_SET_STATE,
    THREAD_INFO,
    VM_ALLOCATE,
    VM_DEALLOCATE,
    VM_PROTECT,
    VM_INHERIT,
    VM_READ,
    VM_WRITE,
    VM_COPY,
    VM_REGION,
    VM_STATISTICS,
    MACH_PORTS_REGISTER,
    MACH_PORTS_LOOKUP,
    MEMORY_OBJECT_DATA_UNAVAILABLE,
    MEMORY_OBJECT_GET_ATTRIBUTES,
    VM_SET_DEFAULT_MEMORY_MANAGER,
    MEMORY_OBJECT_LOCK_REQUEST,
    TASK_SUSPEND,
    TASK_RESUME,
    TASK_GET_SPECIAL_PORT,
    TASK_SET_SPECIAL_PORT,
    THREAD_CREATE,
    THREAD_SUSPEND,
    THREAD_RESUME,
    THREAD_ABORT,
    THREAD_GET_SPECIAL_PORT,
    THREAD_SET_SPECIAL_PORT,
    TASK_SET_EMULATION,
    TASK_RAS_CONTROL,
    VM_MAP,
    MEMORY_OBJECT_DATA_ERROR,
    MEMORY_OBJECT_DESTROY,
    MEMORY_OBJECT_DATA_SUPPLY,
    MEMORY_OBJECT_READY,
    MEMORY_OBJECT_CHANGE_ATTRIBUTES,
    VM_MACHINE_ATTRIBUTE,
)
"""The routines by request id."""
