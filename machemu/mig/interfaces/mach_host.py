"""The messages of the subsystem mach_host. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import COUNTED, OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_host"
BASE: Final = 2600

_INT32 = Type(2, 2, 32, 1, "i")
_COPY_SEND_ARRAY = Type(19, 17, 32, 1, "", OUT_OF_LINE, longform=True)
_COPY_SEND = Type(19, 17, 32, 1, "")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_KERNEL_VERSION = Type(12, 12, 4096, 1, "512s", longform=True, string=True)
_TIME_VALUE = Type(2, 2, 32, 2, "2i")
_UINT32 = Type(2, 2, 32, 1, "I")
_COUNT_1024 = Type(2, 2, 32, 1, "I", limit=1024)
_HOST_INFO = Type(2, 2, 32, 1, "i", COUNTED, limit=1024)
_KERNEL_BOOT_INFO = Type(12, 12, 32768, 1, "4096s", longform=True, string=True)

HOST_PROCESSORS = Routine(
    "host_processors",
    Message(2600, ()),
    Message(
        2700,
        (
            ("RetCode", _INT32),
            ("processor_list", _COPY_SEND_ARRAY),
        ),
    ),
)

PROCESSOR_START = Routine(
    "processor_start",
    Message(2603, ()),
    Message(2703, (("RetCode", _INT32),)),
)

PROCESSOR_EXIT = Routine(
    "processor_exit",
    Message(2604, ()),
    Message(2704, (("RetCode", _INT32),)),
)

PROCESSOR_SET_DEFAULT = Routine(
    "processor_set_default",
    Message(2606, ()),
    Message(
        2706,
        (
            ("RetCode", _INT32),
            ("default_set", _COPY_SEND),
        ),
    ),
)

PROCESSOR_SET_CREATE = Routine(
    "processor_set_create",
    Message(2608, ()),
    Message(
        2708,
        (
            ("RetCode", _INT32),
            ("new_set", _COPY_SEND),
            ("new_name", _COPY_SEND),
        ),
    ),
)

PROCESSOR_SET_DESTROY = Routine(
    "processor_set_destroy",
    Message(2609, ()),
    Message(2709, (("RetCode", _INT32),)),
)

PROCESSOR_ASSIGN = Routine(
    "processor_assign",
    Message(
        2611,
        (
            ("new_set", _COPY_SEND),
            ("wait", _BOOLEAN),
        ),
    ),
    Message(2711, (("RetCode", _INT32),)),
)

PROCESSOR_GET_ASSIGNMENT = Routine(
    "processor_get_assignment",
    Message(2612, ()),
    Message(
        2712,
        (
            ("RetCode", _INT32),
            ("assigned_set", _COPY_SEND),
        ),
    ),
)

THREAD_ASSIGN = Routine(
    "thread_assign",
    Message(2613, (("new_set", _COPY_SEND),)),
    Message(2713, (("RetCode", _INT32),)),
)

THREAD_ASSIGN_DEFAULT = Routine(
    "thread_assign_default",
    Message(2614, ()),
    Message(2714, (("RetCode", _INT32),)),
)

THREAD_GET_ASSIGNMENT = Routine(
    "thread_get_assignment",
    Message(2615, ()),
    Message(
        2715,
        (
            ("RetCode", _INT32),
            ("assigned_set", _COPY_SEND),
        ),
    ),
)

TASK_ASSIGN = Routine(
    "task_assign",
    Message(
        2616,
        (
            ("new_set", _COPY_SEND),
            ("assign_threads", _BOOLEAN),
        ),
    ),
    Message(2716, (("RetCode", _INT32),)),
)

TASK_ASSIGN_DEFAULT = Routine(
    "task_assign_default",
    Message(2617, (("assign_threads", _BOOLEAN),)),
    Message(2717, (("RetCode", _INT32),)),
)

TASK_GET_ASSIGNMENT = Routine(
    "task_get_assignment",
    Message(2618, ()),
    Message(
        2718,
        (
            ("RetCode", _INT32),
            ("assigned_set", _COPY_SEND),
        ),
    ),
)

HOST_KERNEL_VERSION = Routine(
    "host_kernel_version",
    Message(2619, ()),
    Message(
        2719,
        (
            ("RetCode", _INT32),
            ("kernel_version", _KERNEL_VERSION),
        ),
    ),
)

THREAD_PRIORITY = Routine(
    "thread_priority",
    Message(
        2620,
        (
            ("priority", _INT32),
            ("set_max", _BOOLEAN),
        ),
    ),
    Message(2720, (("RetCode", _INT32),)),
)

THREAD_MAX_PRIORITY = Routine(
    "thread_max_priority",
    Message(
        2621,
        (
            ("processor_set", _COPY_SEND),
            ("max_priority", _INT32),
        ),
    ),
    Message(2721, (("RetCode", _INT32),)),
)

TASK_PRIORITY = Routine(
    "task_priority",
    Message(
        2622,
        (
            ("priority", _INT32),
            ("change_threads", _BOOLEAN),
        ),
    ),
    Message(2722, (("RetCode", _INT32),)),
)

PROCESSOR_SET_MAX_PRIORITY = Routine(
    "processor_set_max_priority",
    Message(
        2623,
        (
            ("max_priority", _INT32),
            ("change_threads", _BOOLEAN),
        ),
    ),
    Message(2723, (("RetCode", _INT32),)),
)

THREAD_POLICY = Routine(
    "thread_policy",
    Message(
        2624,
        (
            ("policy", _INT32),
            ("data", _INT32),
        ),
    ),
    Message(2724, (("RetCode", _INT32),)),
)

PROCESSOR_SET_POLICY_ENABLE = Routine(
    "processor_set_policy_enable",
    Message(2625, (("policy", _INT32),)),
    Message(2725, (("RetCode", _INT32),)),
)

PROCESSOR_SET_POLICY_DISABLE = Routine(
    "processor_set_policy_disable",
    Message(
        2626,
        (
            ("policy", _INT32),
            ("change_threads", _BOOLEAN),
        ),
    ),
    Message(2726, (("RetCode", _INT32),)),
)

PROCESSOR_SET_TASKS = Routine(
    "processor_set_tasks",
    Message(2627, ()),
    Message(
        2727,
        (
            ("RetCode", _INT32),
            ("task_list", _COPY_SEND_ARRAY),
        ),
    ),
)

PROCESSOR_SET_THREADS = Routine(
    "processor_set_threads",
    Message(2628, ()),
    Message(
        2728,
        (
            ("RetCode", _INT32),
            ("thread_list", _COPY_SEND_ARRAY),
        ),
    ),
)

HOST_PROCESSOR_SETS = Routine(
    "host_processor_sets",
    Message(2629, ()),
    Message(
        2729,
        (
            ("RetCode", _INT32),
            ("processor_sets", _COPY_SEND_ARRAY),
        ),
    ),
)

HOST_PROCESSOR_SET_PRIV = Routine(
    "host_processor_set_priv",
    Message(2630, (("set_name", _COPY_SEND),)),
    Message(
        2730,
        (
            ("RetCode", _INT32),
            ("set", _COPY_SEND),
        ),
    ),
)

THREAD_DEPRESS_ABORT = Routine(
    "thread_depress_abort",
    Message(2631, ()),
    Message(2731, (("RetCode", _INT32),)),
)

HOST_SET_TIME = Routine(
    "host_set_time",
    Message(2632, (("new_time", _TIME_VALUE),)),
    Message(2732, (("RetCode", _INT32),)),
)

HOST_ADJUST_TIME = Routine(
    "host_adjust_time",
    Message(2633, (("new_adjustment", _TIME_VALUE),)),
    Message(
        2733,
        (
            ("RetCode", _INT32),
            ("old_adjustment", _TIME_VALUE),
        ),
    ),
)

HOST_GET_TIME = Routine(
    "host_get_time",
    Message(2634, ()),
    Message(
        2734,
        (
            ("RetCode", _INT32),
            ("current_time", _TIME_VALUE),
        ),
    ),
)

HOST_REBOOT = Routine(
    "host_reboot",
    Message(2635, (("options", _INT32),)),
    Message(2735, (("RetCode", _INT32),)),
)

VM_WIRE = Routine(
    "vm_wire",
    Message(
        2636,
        (
            ("task", _COPY_SEND),
            ("address", _UINT32),
            ("size", _UINT32),
            ("access", _INT32),
        ),
    ),
    Message(2736, (("RetCode", _INT32),)),
)

THREAD_WIRE = Routine(
    "thread_wire",
    Message(
        2637,
        (
            ("thread", _COPY_SEND),
            ("wired", _BOOLEAN),
        ),
    ),
    Message(2737, (("RetCode", _INT32),)),
)

HOST_INFO = Routine(
    "host_info",
    Message(
        2638,
        (
            ("flavor", _INT32),
            ("host_info_outCnt", _COUNT_1024),
        ),
    ),
    Message(
        2738,
        (
            ("RetCode", _INT32),
            ("host_info_out", _HOST_INFO),
        ),
    ),
)

PROCESSOR_INFO = Routine(
    "processor_info",
    Message(
        2639,
        (
            ("flavor", _INT32),
            ("processor_info_outCnt", _COUNT_1024),
        ),
    ),
    Message(
        2739,
        (
            ("RetCode", _INT32),
            ("host", _COPY_SEND),
            ("processor_info_out", _HOST_INFO),
        ),
    ),
)

PROCESSOR_SET_INFO = Routine(
    "processor_set_info",
    Message(
        2640,
        (
            ("flavor", _INT32),
            ("info_outCnt", _COUNT_1024),
        ),
    ),
    Message(
        2740,
        (
            ("RetCode", _INT32),
            ("host", _COPY_SEND),
            ("info_out", _HOST_INFO),
        ),
    ),
)

PROCESSOR_CONTROL = Routine(
    "processor_control",
    Message(2641, (("processor_cmd", _HOST_INFO),)),
    Message(2741, (("RetCode", _INT32),)),
)

HOST_GET_BOOT_INFO = Routine(
    "host_get_boot_info",
    Message(2642, ()),
    Message(
        2742,
        (
            ("RetCode", _INT32),
            ("boot_info", _KERNEL_BOOT_INFO),
        ),
    ),
)

ROUTINES: Final = table(
    HOST_PROCESSORS,
    PROCESSOR_START,
    PROCESSOR_EXIT,
    PROCESSOR_SET_DEFAULT,
    PROCESSOR_SET_CREATE,
    PROCESSOR_SET_DESTROY,
    PROCESSOR_ASSIGN,
    PROCESSOR_GET_ASSIGNMENT,
    THREAD_ASSIGN,
    THREAD_ASSIGN_DEFAULT,
    THREAD_GET_ASSIGNMENT,
    TASK_ASSIGN,
    TASK_ASSIGN_DEFAULT,
    TASK_GET_ASSIGNMENT,
    HOST_KERNEL_VERSION,
    THREAD_PRIORITY,
    THREAD_MAX_PRIORITY,
    TASK_PRIORITY,
    PROCESSOR_SET_MAX_PRIORITY,
    THREAD_POLICY,
    PROCESSOR_SET_POLICY_ENABLE,
    PROCESSOR_SET_POLICY_DISABLE,
    PROCESSOR_SET_TASKS,
    PROCESSOR_SET_THREADS,
    HOST_PROCESSOR_SETS,
    HOST_PROCESSOR_SET_PRIV,
    THREAD_DEPRESS_ABORT,
    HOST_SET_TIME,
    HOST_ADJUST_TIME,
    HOST_GET_TIME,
    HOST_REBOOT,
    VM_WIRE,
    THREAD_WIRE,
    HOST_INFO,
    PROCESSOR_INFO,
    PROCESSOR_SET_INFO,
    PROCESSOR_CONTROL,
    HOST_GET_BOOT_INFO,
)
"""The routines by request id."""
