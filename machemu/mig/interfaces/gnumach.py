"""The messages of the subsystem gnumach. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "gnumach"
BASE: Final = 4200

_INT32 = Type(2, 2, 32, 1, "i")
_VM_CACHE_STATISTICS_DATA = Type(2, 2, 32, 11, "11i")
_COPY_SEND = Type(19, 17, 32, 1, "")
_PORT_NAME = Type(15, 15, 32, 1, "I")
_UINT32 = Type(2, 2, 32, 1, "I")
_KERNEL_DEBUG_NAME = Type(12, 12, 8, 1, "s", COUNTED, limit=64, string=True)
_PORT_SEND = Type(POLYMORPHIC, 17, 32, 1, "")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_UINT64 = Type(11, 11, 64, 1, "Q")

VM_CACHE_STATISTICS = Routine(
    "vm_cache_statistics",
    Message(4200, ()),
    Message(
        4300,
        (
            ("RetCode", _INT32),
            ("vm_cache_stats", _VM_CACHE_STATISTICS_DATA),
        ),
    ),
)

THREAD_TERMINATE_RELEASE = Routine(
    "thread_terminate_release",
    Message(
        4201,
        (
            ("task", _COPY_SEND),
            ("thread_name", _PORT_NAME),
            ("reply_port", _PORT_NAME),
            ("address", _UINT32),
            ("size", _UINT32),
        ),
    ),
    None,
)

TASK_SET_NAME = Routine(
    "task_set_name",
    Message(4202, (("name", _KERNEL_DEBUG_NAME),)),
    None,
)

REGISTER_NEW_TASK_NOTIFICATION = Routine(
    "register_new_task_notification",
    Message(4203, (("notification", _PORT_SEND),)),
    Message(4303, (("RetCode", _INT32),)),
)

GSYNC_WAIT = Routine(
    "gsync_wait",
    Message(
        4204,
        (
            ("addr", _UINT32),
            ("val1", _UINT32),
            ("val2", _UINT32),
            ("msec", _UINT32),
            ("flags", _INT32),
        ),
    ),
    Message(4304, (("RetCode", _INT32),)),
)

GSYNC_WAKE = Routine(
    "gsync_wake",
    Message(
        4205,
        (
            ("addr", _UINT32),
            ("val", _UINT32),
            ("flags", _INT32),
        ),
    ),
    None,
)

GSYNC_REQUEUE = Routine(
    "gsync_requeue",
    Message(
        4206,
        (
            ("src_addr", _UINT32),
            ("dst_addr", _UINT32),
            ("wake_one", _BOOLEAN),
            ("flags", _INT32),
        ),
    ),
    None,
)

VM_WIRE_ALL = Routine(
    "vm_wire_all",
    Message(
        4207,
        (
            ("task", _COPY_SEND),
            ("flags", _INT32),
        ),
    ),
    Message(4307, (("RetCode", _INT32),)),
)

VM_OBJECT_SYNC = Routine(
    "vm_object_sync",
    Message(
        4208,
        (
            ("offset", _UINT32),
            ("size", _UINT32),
            ("should_flush", _BOOLEAN),
            ("should_return", _BOOLEAN),
            ("should_iosync", _BOOLEAN),
        ),
    ),
    Message(4308, (("RetCode", _INT32),)),
)

VM_MSYNC = Routine(
    "vm_msync",
    Message(
        4209,
        (
            ("address", _UINT32),
            ("size", _UINT32),
            ("sync_flags", _INT32),
        ),
    ),
    Message(4309, (("RetCode", _INT32),)),
)

VM_ALLOCATE_CONTIGUOUS = Routine(
    "vm_allocate_contiguous",
    Message(
        4210,
        (
            ("target_task", _COPY_SEND),
            ("size", _UINT32),
            ("pmin", _UINT64),
            ("pmax", _UINT64),
            ("palign", _UINT64),
        ),
    ),
    Message(
        4310,
        (
            ("RetCode", _INT32),
            ("vaddr", _UINT32),
            ("paddr", _UINT64),
        ),
    ),
)

TASK_SET_ESSENTIAL = Routine(
    "task_set_essential",
    Message(4211, (("essential", _BOOLEAN),)),
    None,
)

ROUTINES: Final = table(
    VM_CACHE_STATISTICS,
    THREAD_TERMINATE_RELEASE,
    TASK_SET_NAME,
    REGISTER_NEW_TASK_NOTIFICATION,
    GSYNC_WAIT,
    GSYNC_WAKE,
    GSYNC_REQUEUE,
    VM_WIRE_ALL,
    VM_OBJECT_SYNC,
    VM_MSYNC,
    VM_ALLOCATE_CONTIGUOUS,
    TASK_SET_ESSENTIAL,
)
"""The routines by request id."""
