"""What arguments are chosen from: by a routine's and an argument's name, mostly plausible."""

from __future__ import annotations

from typing import Final

from machemu.abi import device
from tools.fuzz.traps_world import DEVICES

EXTREME: Final = (
    0, 1, 2, 3, 7, 0x7FF, 0xFFF, 0x1000, 0x1001, 0x1FFF, 0x2000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0x80000001, 0xBFFFF000,
    0xC0000000, 0xC0001000, 0xFFFFE000, 0xFFFFF000, 0xFFFFFFFE, 0xFFFFFFFF,
)  # fmt: skip
PROTECTIONS: Final = (1, 3, 3, 5, 7, 0)
FLAGS: Final = frozenset(
    (
        "inherit_memory", "anywhere", "set_maximum", "copy", "should_return", "should_flush", "should_iosync", "precious",
        "may_cache", "change_threads", "set_max", "wired", "enable", "wait", "assign_threads", "essential", "wake_one", "unmap",
    )
)  # fmt: skip
ADDRESSES: Final = frozenset(
    ("address", "source_address", "dest_address", "src_addr", "dst_addr", "addr", "basepc", "boundspc", "routine_entry_pt")
)
CHOICES: Final[dict[str, tuple[int, ...]]] = {
    "mask": (0, 0, 0, 0x1FFF, 0xFFFF),
    "new_protection": PROTECTIONS,
    "cur_protection": (1, 3, 7),
    "max_protection": (7, 7, 3),
    "prot": (1, 1, 3),
    "inheritance": (0, 1, 2),
    "new_inheritance": (0, 1, 2),
    "which_port": (1, 3, 4),
    "policy": (1, 2),
    "data": (10, 30, 100),
    "priority": (25, 26, 28, 30, 31),
    "max_priority": (10, 16, 20, 24),
    "copy_strategy": (0, 1, 2, 2, 4),
    "lock_value": (0, 0, 1, 2, 3, 8),
    "should_return": (0, 1, 2),
    "reason": (0, 1, 5),
    "error_value": (5, 10),
    "sync_flags": (0, 1, 2, 4),
    "access": (1, 3, 3, 0),
    "mode": (0, 1, 2, 3, 4, 8, 11),
    "recnum": (0, 0, 1, 2, 5),
    "count": (0, 1, 2),
    "msec": (1, 2, 5),
    "val": (0, 1),
    "val1": (0, 0, 0, 1),
    "val2": (0,),
    "seqno": (0, 0, 1, 7),
    "mscount": (0, 1, 2),
    "qlimit": (0, 1, 5, 16),
    "payload": (0, 0x1234, 0xFFFFFFFF),
    "id": (5, 9, 11),
    "attribute": (1, 2, 4),
    "value": (0, 1, 3),
    "options": (0, 0, 8),
    "first_selector": (0x40, 0x48, 0x50),
    "selector_count": (1, 2, 4),
    "selector": (-1 & 0xFFFFFFFF, 0x4B, 0x53),
    "from": (0x60, 0x300),
    "to": (0x310, 0x3FF),
    "pmin": (0,),
    "pmax": (4 << 20, 1 << 32),
    "palign": (0, 0x1000),
    "bytes_wanted": (0, 64, 100, 512, 1024),
    "sync": (0, 0, 1),
    "vector_start": (-40 & 0xFFFFFFFF, -10 & 0xFFFFFFFF),
    "routine_number": (-40 & 0xFFFFFFFF, -12 & 0xFFFFFFFF),
}
"""By the argument's name."""
OWN_CHOICES: Final[dict[str, tuple[int, ...]]] = {
    "task_info.flavor": (1, 2, 3),
    "thread_info.flavor": (1, 2),
    "host_info.flavor": (1, 2, 3, 4),
    "processor_info.flavor": (1,),
    "processor_set_info.flavor": (1, 2),
    "task_enable_pc_sampling.flavor": (1, 0x100, 0x190),
    "thread_enable_pc_sampling.flavor": (1, 0x100, 0x190),
    "device_get_status.flavor": (device.DEV_GET_SIZE, device.DEV_GET_RECORDS, device.TTY_STATUS, device.NET_STATUS),
    "device_set_status.flavor": (device.TTY_STATUS, device.TTY_FLUSH, device.TTY_STOP, device.TTY_START, device.NET_FLAGS),
    "thread_get_special_port.which_port": (1, 3),
    "thread_set_special_port.which_port": (1, 3),
    "mach_port_allocate.right": (1, 3, 4),
    "mach_port_allocate_name.right": (1, 3, 4),
    "gsync_wait.flags": (4, 4, 4, 5, 6, 0),
    "gsync_wake.flags": (0, 8, 16, 24, 1),
    "gsync_requeue.flags": (0, 8, 1),
    "device_intr_register.flags": (0,),
    "vm_wire_all.flags": (0, 1, 2, 3),
    "mach_port_request_notification.id": (69, 70, 72),
    "task_ras_control.flavor": (0, 1),
}
"""By the routine's and the argument's name."""
DEVICE_OF: Final[dict[str, tuple[str, ...]]] = {
    "device_read": ("hd0", "hd0", "kmsg", "console"),
    "device_read_inband": ("kmsg", "console", "cn0"),
    "device_write": ("hd0", "hd0", "eth0", "console", "mem"),
    "device_write_inband": ("console", "cn0", "mem"),
    "device_set_filter": ("eth0",),
    "device_intr_register": ("irq",),
    "device_intr_ack": ("irq",),
    "device_map": ("time", "mem", "hd0"),
    "device_get_status": ("hd0", "console", "eth0", "kmsg"),
    "device_set_status": ("console", "console", "eth0", "mem"),
    "device_close": DEVICES,
    "trap": ("console", "kmsg", "mem", "cn0"),
}
NAME_KINDS: Final[dict[str, str]] = {
    "mach_port_type.name": "any",
    "mach_port_rename.old_name": "receive",
    "mach_port_destroy.name": "receive",
    "mach_port_deallocate.name": "send",
    "mach_port_set_qlimit.name": "receive",
    "mach_port_set_mscount.name": "receive",
    "mach_port_set_seqno.name": "receive",
    "mach_port_get_receive_status.name": "receive",
    "mach_port_set_protected_payload.name": "receive",
    "mach_port_clear_protected_payload.name": "receive",
    "mach_port_get_srights.name": "receive",
    "mach_port_dnrequest_info.name": "receive",
    "mach_port_get_set_status.name": "set",
    "mach_port_move_member.member": "receive",
    "mach_port_move_member.after": "set",
    "mach_port_kernel_object.name": "send",
    "thread_terminate_release.thread_name": "send",
    "thread_terminate_release.reply_port": "receive",
}
"""Of which kind names are that are plain numbers in a request; they are the target task's."""
FRESH: Final = ("mach_port_rename.new_name", "mach_port_allocate_name.name", "mach_port_insert_right.name")
RIGHT_KINDS: Final[dict[str, str]] = {
    "vm_wire.task": "task",
    "vm_wire_all.task": "task",
    "vm_allocate_contiguous.target_task": "task",
    "thread_terminate_release.task": "task",
    "thread_wire.thread": "self thread",
    "thread_max_priority.processor_set": "pset",
    "processor_assign.new_set": "pset",
    "thread_assign.new_set": "pset",
    "task_assign.new_set": "pset",
    "host_processor_set_priv.set_name": "pset name",
    "i386_io_perm_modify.io_perm": "permission",
    "memory_object_create_proxy.object": "receive",
    "vm_set_default_memory_manager.default_manager": "receive",
    "register_new_task_notification.notification": "receive",
}
"""Of which kind rights in a request are; others are any port's."""
PRIVILEGED: Final = frozenset(
    (
        "host_processors", "host_reboot", "host_set_time", "host_adjust_time", "host_get_boot_info", "host_processor_set_priv",
        "vm_set_default_memory_manager", "register_new_task_notification", "thread_wire", "vm_wire", "vm_wire_all",
        "vm_allocate_contiguous",
    )
)  # fmt: skip
TARGETS: Final[dict[str, str]] = {
    **dict.fromkeys(PRIVILEGED, "privileged"),
    "thread_create": "task",
    "processor_set_default": "host",
    "processor_set_create": "host",
    "processor_set_info": "pset name",
    "processor_set_stack_usage": "pset name",
    "memory_object_create_proxy": "task",
    "device_open": "master",
    "i386_io_perm_create": "master",
    "i386_io_perm_modify": "task",
    "vm_object_sync": "object",
    "mach_vm_object_info": "object",
    "mach_vm_object_pages": "object",
}
PREFIXES: Final = (
    ("thread_", "thread"),
    ("i386_", "thread"),
    ("processor_set_", "pset"),
    ("processor_", "processor"),
    ("host_", "host"),
    ("memory_object_", "control"),
)
"""The kind of a request's target, by how its routine's name begins; a task otherwise."""
HARMFUL: Final = frozenset(
    (
        "task_terminate", "task_suspend", "task_set_emulation_vector", "task_set_emulation", "task_set_special_port",
        "thread_terminate", "thread_suspend", "thread_set_state", "thread_terminate_release", "thread_abort", "vm_write",
        "vm_deallocate", "vm_copy", "vm_wire_all", "thread_set_special_port", "mach_port_destroy", "i386_set_ldt",
    )
)  # fmt: skip
"""What callers do to each other only now and then."""


def target_kind(name: str) -> str:
    """The kind of a routine's target."""
    if name in TARGETS:
        return TARGETS[name]
    if name.startswith("device_"):
        return "device"
    return next((kind for prefix, kind in PREFIXES if name.startswith(prefix)), "task")
