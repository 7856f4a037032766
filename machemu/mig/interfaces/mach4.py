"""The messages of the subsystem mach4. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, POLYMORPHIC, Message, Routine, Type, table

SUBSYSTEM: Final = "mach4"
BASE: Final = 4000

_UINT32 = Type(2, 2, 32, 1, "I")
_INT32 = Type(2, 2, 32, 1, "i")
_SAMPLED_PC_ARRAY = Type(2, 2, 32, 3, "3I", COUNTED, limit=512)
_PORT_SEND_ARRAY = Type(POLYMORPHIC, 17, 32, 1, "", COUNTED, limit=1024)
_VM_OFFSET_ARRAY = Type(2, 2, 32, 1, "I", COUNTED, limit=1024)
_COPY_SEND = Type(19, 17, 32, 1, "")

TASK_ENABLE_PC_SAMPLING = Routine(
    "task_enable_pc_sampling",
    Message(4000, (("flavor", _UINT32),)),
    Message(
        4100,
        (
            ("RetCode", _INT32),
            ("tick", _INT32),
        ),
    ),
)

TASK_DISABLE_PC_SAMPLING = Routine(
    "task_disable_pc_sampling",
    Message(4001, ()),
    Message(
        4101,
        (
            ("RetCode", _INT32),
            ("samplecnt", _INT32),
        ),
    ),
)

TASK_GET_SAMPLED_PCS = Routine(
    "task_get_sampled_pcs",
    Message(4002, (("seqno", _UINT32),)),
    Message(
        4102,
        (
            ("RetCode", _INT32),
            ("seqno", _UINT32),
            ("sampled_pcs", _SAMPLED_PC_ARRAY),
        ),
    ),
)

THREAD_ENABLE_PC_SAMPLING = Routine(
    "thread_enable_pc_sampling",
    Message(4003, (("flavor", _UINT32),)),
    Message(
        4103,
        (
            ("RetCode", _INT32),
            ("tick", _INT32),
        ),
    ),
)

THREAD_DISABLE_PC_SAMPLING = Routine(
    "thread_disable_pc_sampling",
    Message(4004, ()),
    Message(
        4104,
        (
            ("RetCode", _INT32),
            ("samplecnt", _INT32),
        ),
    ),
)

THREAD_GET_SAMPLED_PCS = Routine(
    "thread_get_sampled_pcs",
    Message(4005, (("seqno", _UINT32),)),
    Message(
        4105,
        (
            ("RetCode", _INT32),
            ("seqno", _UINT32),
            ("sampled_pcs", _SAMPLED_PC_ARRAY),
        ),
    ),
)

MEMORY_OBJECT_CREATE_PROXY = Routine(
    "memory_object_create_proxy",
    Message(
        4010,
        (
            ("max_protection", _INT32),
            ("object", _PORT_SEND_ARRAY),
            ("offset", _VM_OFFSET_ARRAY),
            ("start", _VM_OFFSET_ARRAY),
            ("len", _VM_OFFSET_ARRAY),
        ),
    ),
    Message(
        4110,
        (
            ("RetCode", _INT32),
            ("proxy", _COPY_SEND),
        ),
    ),
)

VM_REGION_CREATE_PROXY = Routine(
    "vm_region_create_proxy",
    Message(
        4011,
        (
            ("address", _UINT32),
            ("max_protection", _INT32),
            ("len", _UINT32),
        ),
    ),
    Message(
        4111,
        (
            ("RetCode", _INT32),
            ("proxy", _COPY_SEND),
        ),
    ),
)

ROUTINES: Final = table(
    TASK_ENABLE_PC_SAMPLING,
    TASK_DISABLE_PC_SAMPLING,
    TASK_GET_SAMPLED_PCS,
    THREAD_ENABLE_PC_SAMPLING,
    THREAD_DISABLE_PC_SAMPLING,
    THREAD_GET_SAMPLED_PCS,
    MEMORY_OBJECT_CREATE_PROXY,
    VM_REGION_CREATE_PROXY,
)
"""The routines by request id."""
