"""Every routine that the kernel performs, by message id. What is not here answers MIG_BAD_ID, as the real kernel does for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from machemu.abi.device import NET_RCV_MSG_ID
from machemu.abi.names import REPLY
from machemu.core.routines import device as device_routines
from machemu.core.routines import gnumach as gnumach_routines
from machemu.core.routines import mach as mach_routines
from machemu.core.routines import mach4 as mach4_routines
from machemu.core.routines import mach_debug as mach_debug_routines
from machemu.core.routines import mach_host as mach_host_routines
from machemu.core.routines import mach_i386 as mach_i386_routines
from machemu.core.routines import mach_migrate as mach_migrate_routines
from machemu.core.routines import mach_port as mach_port_routines
from machemu.core.routines import mach_port_array as mach_port_array_routines
from machemu.core.routines import memory_object as memory_object_routines
from machemu.core.routines import printers as printer_routines
from machemu.core.routines import vm as vm_routines
from machemu.machine.seams import IoPorts, MachineTask
from machemu.mig.interfaces import (
    device,
    device_reply,
    exc,
    gnumach,
    mach,
    mach4,
    mach_debug,
    mach_host,
    mach_i386,
    mach_migrate,
    mach_port,
    mach_port_array,
    memory_object,
    memory_object_default,
    notify,
)
from machemu.mig.runtime import COUNTED, Message, Routine, Type

Handler = Callable[..., tuple[Any, ...] | None]
"""Takes the kernel, the request and its arguments, and gives the reply's values, or None where the thread waits in it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A routine of an interface, and what performs it."""

    routine: Routine
    handler: Handler


HANDLERS: Final[tuple[tuple[Routine, Handler], ...]] = (
    (mach.TASK_CREATE, mach_routines.task_create),
    (mach.TASK_TERMINATE, mach_routines.task_terminate),
    (mach.TASK_GET_EMULATION_VECTOR, mach_routines.task_get_emulation_vector),
    (mach.TASK_SET_EMULATION_VECTOR, mach_routines.task_set_emulation_vector),
    (mach.TASK_THREADS, mach_routines.task_threads),
    (mach.TASK_INFO, mach_routines.task_info),
    (mach.THREAD_TERMINATE, mach_routines.thread_terminate),
    (mach.THREAD_GET_STATE, mach_routines.thread_get_state),
    (mach.THREAD_SET_STATE, mach_routines.thread_set_state),
    (mach.THREAD_INFO, mach_routines.thread_info),
    (mach.VM_ALLOCATE, mach_routines.vm_allocate),
    (mach.VM_DEALLOCATE, mach_routines.vm_deallocate),
    (mach.VM_PROTECT, mach_routines.vm_protect),
    (mach.VM_INHERIT, mach_routines.vm_inherit),
    (mach.VM_READ, mach_routines.vm_read),
    (mach.VM_WRITE, mach_routines.vm_write),
    (mach.VM_COPY, mach_routines.vm_copy),
    (mach.VM_REGION, mach_routines.vm_region),
    (mach.VM_STATISTICS, mach_routines.vm_statistics),
    (mach.MACH_PORTS_REGISTER, mach_routines.mach_ports_register),
    (mach.MACH_PORTS_LOOKUP, mach_routines.mach_ports_lookup),
    (mach.TASK_SUSPEND, mach_routines.task_suspend),
    (mach.TASK_RESUME, mach_routines.task_resume),
    (mach.TASK_GET_SPECIAL_PORT, mach_routines.task_get_special_port),
    (mach.TASK_SET_SPECIAL_PORT, mach_routines.task_set_special_port),
    (mach.THREAD_CREATE, mach_routines.thread_create),
    (mach.THREAD_SUSPEND, mach_routines.thread_suspend),
    (mach.THREAD_RESUME, mach_routines.thread_resume),
    (mach.THREAD_ABORT, mach_routines.thread_abort),
    (mach.THREAD_GET_SPECIAL_PORT, mach_routines.thread_get_special_port),
    (mach.THREAD_SET_SPECIAL_PORT, mach_routines.thread_set_special_port),
    (mach.TASK_SET_EMULATION, mach_routines.task_set_emulation),
    (mach.TASK_RAS_CONTROL, mach_routines.task_ras_control),
    (mach.VM_MAP, mach_routines.vm_map),
    (mach.VM_MACHINE_ATTRIBUTE, mach_routines.vm_machine_attribute),
    (mach.MEMORY_OBJECT_DATA_UNAVAILABLE, memory_object_routines.memory_object_data_unavailable),
    (mach.MEMORY_OBJECT_GET_ATTRIBUTES, memory_object_routines.memory_object_get_attributes),
    (mach.VM_SET_DEFAULT_MEMORY_MANAGER, memory_object_routines.vm_set_default_memory_manager),
    (mach.MEMORY_OBJECT_LOCK_REQUEST, memory_object_routines.memory_object_lock_request),
    (mach.MEMORY_OBJECT_DATA_ERROR, memory_object_routines.memory_object_data_error),
    (mach.MEMORY_OBJECT_DESTROY, memory_object_routines.memory_object_destroy),
    (mach.MEMORY_OBJECT_DATA_SUPPLY, memory_object_routines.memory_object_data_supply),
    (mach.MEMORY_OBJECT_READY, memory_object_routines.memory_object_ready),
    (mach.MEMORY_OBJECT_CHANGE_ATTRIBUTES, memory_object_routines.memory_object_change_attributes),
    (mach_port.MACH_PORT_NAMES, mach_port_routines.mach_port_names),
    (mach_port.MACH_PORT_TYPE, mach_port_routines.mach_port_type),
    (mach_port.MACH_PORT_RENAME, mach_port_routines.mach_port_rename),
    (mach_port.MACH_PORT_ALLOCATE_NAME, mach_port_routines.mach_port_allocate_name),
    (mach_port.MACH_PORT_ALLOCATE, mach_port_routines.mach_port_allocate),
    (mach_port.MACH_PORT_DESTROY, mach_port_routines.mach_port_destroy),
    (mach_port.MACH_PORT_DEALLOCATE, mach_port_routines.mach_port_deallocate),
    (mach_port.MACH_PORT_GET_REFS, mach_port_routines.mach_port_get_refs),
    (mach_port.MACH_PORT_MOD_REFS, mach_port_routines.mach_port_mod_refs),
    (mach_port.MACH_PORT_SET_QLIMIT, mach_port_routines.mach_port_set_qlimit),
    (mach_port.MACH_PORT_SET_MSCOUNT, mach_port_routines.mach_port_set_mscount),
    (mach_port.MACH_PORT_GET_SET_STATUS, mach_port_routines.mach_port_get_set_status),
    (mach_port.MACH_PORT_MOVE_MEMBER, mach_port_routines.mach_port_move_member),
    (mach_port.MACH_PORT_REQUEST_NOTIFICATION, mach_port_routines.mach_port_request_notification),
    (mach_port.MACH_PORT_INSERT_RIGHT, mach_port_routines.mach_port_insert_right),
    (mach_port.MACH_PORT_EXTRACT_RIGHT, mach_port_routines.mach_port_extract_right),
    (mach_port.MACH_PORT_GET_RECEIVE_STATUS, mach_port_routines.mach_port_get_receive_status),
    (mach_port.MACH_PORT_SET_SEQNO, mach_port_routines.mach_port_set_seqno),
    (mach_port.MACH_PORT_SET_PROTECTED_PAYLOAD, mach_port_routines.mach_port_set_protected_payload),
    (mach_port.MACH_PORT_CLEAR_PROTECTED_PAYLOAD, mach_port_routines.mach_port_clear_protected_payload),
    (mach_host.HOST_PROCESSORS, mach_host_routines.host_processors),
    (mach_host.PROCESSOR_START, mach_host_routines.processor_start),
    (mach_host.PROCESSOR_EXIT, mach_host_routines.processor_exit),
    (mach_host.PROCESSOR_SET_DEFAULT, mach_host_routines.processor_set_default),
    (mach_host.PROCESSOR_SET_CREATE, mach_host_routines.no_sets),
    (mach_host.PROCESSOR_SET_DESTROY, mach_host_routines.no_sets),
    (mach_host.PROCESSOR_ASSIGN, mach_host_routines.no_sets),
    (mach_host.PROCESSOR_GET_ASSIGNMENT, mach_host_routines.processor_get_assignment),
    (mach_host.THREAD_ASSIGN, mach_host_routines.no_sets),
    (mach_host.THREAD_ASSIGN_DEFAULT, mach_host_routines.no_sets),
    (mach_host.THREAD_GET_ASSIGNMENT, mach_host_routines.thread_get_assignment),
    (mach_host.TASK_ASSIGN, mach_host_routines.no_sets),
    (mach_host.TASK_ASSIGN_DEFAULT, mach_host_routines.no_sets),
    (mach_host.TASK_GET_ASSIGNMENT, mach_host_routines.task_get_assignment),
    (mach_host.HOST_KERNEL_VERSION, mach_host_routines.host_kernel_version),
    (mach_host.THREAD_PRIORITY, mach_host_routines.thread_priority),
    (mach_host.THREAD_MAX_PRIORITY, mach_host_routines.thread_max_priority),
    (mach_host.TASK_PRIORITY, mach_host_routines.task_priority),
    (mach_host.PROCESSOR_SET_MAX_PRIORITY, mach_host_routines.processor_set_max_priority),
    (mach_host.THREAD_POLICY, mach_host_routines.thread_policy),
    (mach_host.PROCESSOR_SET_POLICY_ENABLE, mach_host_routines.processor_set_policy_enable),
    (mach_host.PROCESSOR_SET_POLICY_DISABLE, mach_host_routines.processor_set_policy_disable),
    (mach_host.PROCESSOR_SET_TASKS, mach_host_routines.processor_set_tasks),
    (mach_host.PROCESSOR_SET_THREADS, mach_host_routines.processor_set_threads),
    (mach_host.HOST_PROCESSOR_SETS, mach_host_routines.host_processor_sets),
    (mach_host.HOST_PROCESSOR_SET_PRIV, mach_host_routines.host_processor_set_priv),
    (mach_host.THREAD_DEPRESS_ABORT, mach_host_routines.thread_depress_abort),
    (mach_host.HOST_SET_TIME, mach_host_routines.host_set_time),
    (mach_host.HOST_ADJUST_TIME, mach_host_routines.host_adjust_time),
    (mach_host.HOST_GET_TIME, mach_host_routines.host_get_time),
    (mach_host.HOST_REBOOT, mach_host_routines.host_reboot),
    (mach_host.VM_WIRE, mach_host_routines.vm_wire),
    (mach_host.THREAD_WIRE, mach_host_routines.thread_wire),
    (mach_host.HOST_INFO, mach_host_routines.host_info),
    (mach_host.PROCESSOR_INFO, mach_host_routines.processor_info),
    (mach_host.PROCESSOR_SET_INFO, mach_host_routines.processor_set_info),
    (mach_host.PROCESSOR_CONTROL, mach_host_routines.processor_control),
    (mach_host.HOST_GET_BOOT_INFO, mach_host_routines.host_get_boot_info),
    (device.DEVICE_OPEN, device_routines.device_open),
    (device.DEVICE_CLOSE, device_routines.device_close),
    (device.DEVICE_WRITE, device_routines.device_write),
    (device.DEVICE_WRITE_INBAND, device_routines.device_write_inband),
    (device.DEVICE_READ, device_routines.device_read),
    (device.DEVICE_READ_INBAND, device_routines.device_read_inband),
    (device.DEVICE_MAP, device_routines.device_map),
    (device.DEVICE_SET_STATUS, device_routines.device_set_status),
    (device.DEVICE_GET_STATUS, device_routines.device_get_status),
    (device.DEVICE_SET_FILTER, device_routines.device_set_filter),
    (device.DEVICE_INTR_REGISTER, device_routines.device_intr_register),
    (device.DEVICE_INTR_ACK, device_routines.device_intr_ack),
    (mach_i386.I386_SET_LDT, mach_i386_routines.i386_set_ldt),
    (mach_i386.I386_GET_LDT, mach_i386_routines.i386_get_ldt),
    (mach_i386.I386_IO_PERM_CREATE, mach_i386_routines.i386_io_perm_create),
    (mach_i386.I386_IO_PERM_MODIFY, mach_i386_routines.i386_io_perm_modify),
    (mach_i386.I386_SET_GDT, mach_i386_routines.i386_set_gdt),
    (mach_i386.I386_GET_GDT, mach_i386_routines.i386_get_gdt),
    (mach4.TASK_ENABLE_PC_SAMPLING, mach4_routines.task_enable_pc_sampling),
    (mach4.TASK_DISABLE_PC_SAMPLING, mach4_routines.task_disable_pc_sampling),
    (mach4.TASK_GET_SAMPLED_PCS, mach4_routines.task_get_sampled_pcs),
    (mach4.THREAD_ENABLE_PC_SAMPLING, mach4_routines.thread_enable_pc_sampling),
    (mach4.THREAD_DISABLE_PC_SAMPLING, mach4_routines.thread_disable_pc_sampling),
    (mach4.THREAD_GET_SAMPLED_PCS, mach4_routines.thread_get_sampled_pcs),
    (mach_debug.MACH_PORT_GET_SRIGHTS, mach_debug_routines.mach_port_get_srights),
    (mach_debug.HOST_IPC_MAREQUEST_INFO, mach_debug_routines.host_ipc_marequest_info),
    (mach_debug.MACH_PORT_DNREQUEST_INFO, mach_debug_routines.mach_port_dnrequest_info),
    (mach_debug.HOST_STACK_USAGE, mach_debug_routines.host_stack_usage),
    (mach_debug.PROCESSOR_SET_STACK_USAGE, mach_debug_routines.processor_set_stack_usage),
    (mach_debug.HOST_VIRTUAL_PHYSICAL_TABLE_INFO, mach_debug_routines.host_virtual_physical_table_info),
    (mach_debug.MACH_PORT_KERNEL_OBJECT, mach_debug_routines.mach_port_kernel_object),
    (mach_debug.HOST_SLAB_INFO, mach_debug_routines.host_slab_info),
    (gnumach.THREAD_TERMINATE_RELEASE, gnumach_routines.thread_terminate_release),
    (gnumach.TASK_SET_NAME, gnumach_routines.task_set_name),
    (gnumach.REGISTER_NEW_TASK_NOTIFICATION, gnumach_routines.register_new_task_notification),
    (gnumach.GSYNC_WAIT, gnumach_routines.gsync_wait),
    (gnumach.GSYNC_WAKE, gnumach_routines.gsync_wake),
    (gnumach.GSYNC_REQUEUE, gnumach_routines.gsync_requeue),
    (gnumach.VM_WIRE_ALL, gnumach_routines.vm_wire_all),
    (gnumach.VM_ALLOCATE_CONTIGUOUS, gnumach_routines.vm_allocate_contiguous),
    (gnumach.TASK_SET_ESSENTIAL, gnumach_routines.task_set_essential),
    (gnumach.VM_CACHE_STATISTICS, vm_routines.vm_cache_statistics),
    (gnumach.VM_OBJECT_SYNC, vm_routines.vm_object_sync),
    (gnumach.VM_MSYNC, vm_routines.vm_msync),
    (mach4.MEMORY_OBJECT_CREATE_PROXY, vm_routines.memory_object_create_proxy),
    (mach4.VM_REGION_CREATE_PROXY, vm_routines.vm_region_create_proxy),
    (mach_debug.MACH_VM_REGION_INFO, vm_routines.mach_vm_region_info),
    (mach_debug.MACH_VM_OBJECT_INFO, vm_routines.mach_vm_object_info),
    (mach_debug.MACH_VM_OBJECT_PAGES, vm_routines.mach_vm_object_pages),
    (mach_migrate.TASK_FREEZE, mach_migrate_routines.task_freeze),
    (mach_migrate.TASK_THAW, mach_migrate_routines.task_thaw),
    (mach_migrate.TASK_SURRENDER, mach_migrate_routines.task_surrender),
    (mach_migrate.TASK_ADOPT, mach_migrate_routines.task_adopt),
    (mach_migrate.THREAD_GET_WAIT, mach_migrate_routines.thread_get_wait),
    (mach_migrate.THREAD_SET_WAIT, mach_migrate_routines.thread_set_wait),
    (mach_migrate.MACH_PORT_EXTRACT_ALL, mach_migrate_routines.mach_port_extract_all),
    (mach_migrate.MACH_PORT_INSERT_ALL, mach_migrate_routines.mach_port_insert_all),
    (mach_migrate.TASK_GET_ACCOUNT, mach_migrate_routines.task_get_account),
    (mach_migrate.TASK_SET_ACCOUNT, mach_migrate_routines.task_set_account),
    (mach_migrate.THREAD_GET_ACCOUNT, mach_migrate_routines.thread_get_account),
    (mach_migrate.THREAD_SET_ACCOUNT, mach_migrate_routines.thread_set_account),
    (mach_migrate.VM_MAP_INFO, mach_migrate_routines.vm_map_info),
    (mach_migrate.VM_MAP_SET, mach_migrate_routines.vm_map_set),
    (mach_migrate.VM_REGION_GET_PAGES, mach_migrate_routines.vm_region_get_pages),
    (mach_migrate.MEMORY_OBJECT_INTERNALIZE, mach_migrate_routines.memory_object_internalize),
    (mach_migrate.VM_REGION_SET_MANAGER, mach_migrate_routines.vm_region_set_manager),
    (mach_migrate.MEMORY_OBJECT_SURRENDER, mach_migrate_routines.memory_object_surrender),
    (mach_migrate.MEMORY_OBJECT_ADOPT, mach_migrate_routines.memory_object_adopt),
    (mach_port_array.MACH_PORT_ALLOCATE_ARRAY, mach_port_array_routines.mach_port_allocate_array),
    (mach_port_array.MACH_PORT_MOVE_MEMBER_ARRAY, mach_port_array_routines.mach_port_move_member_array),
    (mach_port_array.MACH_PORT_GET_RECEIVE_STATUS_ARRAY, mach_port_array_routines.mach_port_get_receive_status_array),
    (mach_port_array.MACH_PORT_REQUEST_NOTIFICATION_ARRAY, mach_port_array_routines.mach_port_request_notification_array),
    (mach_port_array.MACH_PORT_GET_RECEIVER_ARRAY, mach_port_array_routines.mach_port_get_receiver_array),
    (mach_port_array.MACH_PORT_MAKE_SEND_ONCE_ARRAY, mach_port_array_routines.mach_port_make_send_once_array),
    (mach_port_array.MACH_PORT_FORGET_SEND_ONCE_ARRAY, mach_port_array_routines.mach_port_forget_send_once_array),
    (mach_port_array.MACH_PORT_COUNT_LAST_AS_SENT, mach_port_array_routines.mach_port_count_last_as_sent),
    (mach_migrate.THREAD_GET_CONTEXT, mach_migrate_routines.thread_get_context),
    (mach_migrate.THREAD_SET_CONTEXT, mach_migrate_routines.thread_set_context),
    (mach_migrate.TASK_IDENTIFY, mach_migrate_routines.task_identify),
    (mach_migrate.TASK_GET_FAMILY, mach_migrate_routines.task_get_family),
    (mach_migrate.TASK_SET_FORWARDS, mach_migrate_routines.task_set_forwards),
    (mach_migrate.TASK_SET_IDENTITY, mach_migrate_routines.task_set_identity),
    (mach_migrate.TASK_GET_PRINTER, printer_routines.task_get_printer),
    (mach_migrate.TASK_SET_PRINTER, printer_routines.task_set_printer),
    (mach_migrate.PRINTER_PRINT, printer_routines.printer_print),
    (mach_migrate.MACH_PORT_GET_SENDERS, mach_migrate_routines.mach_port_get_senders),
    *((routine, memory_object_routines.not_a_manager) for routine in memory_object.ROUTINES.values()),
)

ROUTINES: Final = {routine.request.id: Row(routine, handler) for routine, handler in HANDLERS}
WITHOUT_PORTS: Final = {msgh_id: row for msgh_id, row in ROUTINES.items() if msgh_id not in mach_i386.ROUTINES}


def routines_on(machine: MachineTask) -> dict[int, Row]:
    """The routines of a machine that gives each task `machine`: without I/O ports there is no subsystem mach_i386."""
    return _routines_of(type(machine))


@cache
def _routines_of(cls: type) -> dict[int, Row]:
    """Kept, since each restored snapshot asks, and a protocol is slow to be asked."""
    return ROUTINES if issubclass(cls, IoPorts) else WITHOUT_PORTS


MESSAGES: Final[dict[int, tuple[str, Message]]] = {}
"""Every message whose form is known, requests and replies, by id: what a trace calls it, and its layout."""
for _interface in (
    mach, mach_port, memory_object, memory_object_default, device, device_reply, exc, notify,
    gnumach, mach4, mach_debug, mach_host, mach_i386, mach_migrate, mach_port_array,
):  # fmt: skip
    for _id, _routine in _interface.ROUTINES.items():
        MESSAGES.setdefault(_id, (_routine.name, _routine.request))
        if _routine.reply is not None:
            MESSAGES.setdefault(_routine.reply.id, (_routine.name + REPLY, _routine.reply))

NET_RCV_MSG: Final = Message(NET_RCV_MSG_ID, (("header", Type(9, 9, 8, 64, "64s")), ("packet", Type(9, 9, 8, 1, "s", COUNTED))))
"""What an Ethernet interface sends to whoever's filter takes a frame (<device/net_status.h>): no interface defines it."""
MESSAGES[NET_RCV_MSG_ID] = ("net_rcv_msg", NET_RCV_MSG)


def routine_names() -> set[str]:
    """Those whose messages are known."""
    return {name.removesuffix(REPLY) for name, _ in MESSAGES.values()}


def message_ids(routine: str) -> tuple[int, ...]:
    """The ids of a routine's request and reply; () for one that is not known."""
    return tuple(each for each, (name, _) in MESSAGES.items() if name.removesuffix(REPLY) == routine)
