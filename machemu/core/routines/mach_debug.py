"""Subsystem mach_debug (3000): what the kernel tells of its own tables. Addresses in the kernel are made-up, stable numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_INVALID_RIGHT
from machemu.abi.port import TYPE_RECEIVE, TYPE_SEND
from machemu.core.routines.targets import host_target, pset_name_target, space_target, words_out_of_line
from machemu.device.ds_routines import Device
from machemu.device.io_perm import IoPerm
from machemu.ipc import right
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port
from machemu.kern.host import HostPort, HostPrivPort
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.mig.runtime import OutOfLine
from machemu.sim.state import PortName
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel


IKOT_NONE, IKOT_THREAD, IKOT_TASK, IKOT_HOST, IKOT_HOST_PRIV, IKOT_PROCESSOR, IKOT_PSET, IKOT_PSET_NAME = range(8)
IKOT_DEVICE: Final = 10
OBJECT_TYPES: Final = {
    Thread: IKOT_THREAD,
    Task: IKOT_TASK,
    HostPort: IKOT_HOST,
    HostPrivPort: IKOT_HOST_PRIV,
    Processor: IKOT_PROCESSOR,
    ProcessorSet: IKOT_PSET,
    ProcessorSetName: IKOT_PSET_NAME,
    Device: IKOT_DEVICE,
    IoPerm: IKOT_DEVICE,
}
KERNEL_ADDRESS: Final = 0xC1000000
OBJECT_SIZE: Final = 64
NO_LIMIT: Final = 0xFFFFFFFF
MAREQUEST_BUCKETS: Final = 16
BUCKETS_INLINE: Final = 512
CACHES_INLINE: Final = 26
CACHE_FLAGS: Final = 6
CACHE_NAME: Final = 32

Bucket = tuple[int, ...]
CacheInfo = tuple[int | bytes, ...]


def mach_port_get_srights(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[int]:
    return (right.lookup_receive(space_target(request), name).srights,)


def mach_port_dnrequest_info(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[int, int]:
    """The size of the port's table of dead-name requests, and how many there are."""
    table = right.lookup_receive(space_target(request), name).dnrequests
    return len(table), sum(slot is not None for slot in table)


def mach_port_kernel_object(kernel: Kernel, request: Kmsg, name: PortName) -> tuple[int, int]:
    entry = right.lookup(space_target(request), name)
    port = entry.object
    if not entry.type & (TYPE_SEND | TYPE_RECEIVE) or not isinstance(port, Port) or not port.active:
        raise KernError(KERN_INVALID_RIGHT)
    kind = OBJECT_TYPES.get(type(port.kobject), IKOT_NONE)
    return kind, KERNEL_ADDRESS + OBJECT_SIZE * port.number if kind != IKOT_NONE else 0


def _buckets(kernel: Kernel, counts: list[int], room: int) -> tuple[int, ...] | OutOfLine:
    """A table of counts: in the reply where the caller has the room, otherwise out of line."""
    return tuple(counts) if len(counts) <= min(room, BUCKETS_INLINE) else words_out_of_line(kernel, counts)


def host_ipc_marequest_info(kernel: Kernel, request: Kmsg, room: int) -> tuple[int, object]:
    """How many msg-accepted requests there may be, and how many there are in each bucket."""
    host_target(kernel, request)
    counts = [0] * MAREQUEST_BUCKETS
    for task in kernel.kern.tasks.values():
        for name, entry in task.space.entries():
            counts[name % MAREQUEST_BUCKETS] += bool(entry.marequest)
    return NO_LIMIT, _buckets(kernel, counts, room)


def host_virtual_physical_table_info(kernel: Kernel, request: Kmsg, room: int) -> tuple[object]:
    """The pages in memory by bucket, of which there are as many as frames, up to a power of two."""
    host_target(kernel, request)
    memory = kernel.memory
    counts = [0] * (1 << (memory.frame_count - 1).bit_length())
    for frame in kernel.vm.resident:
        counts[frame] = 1
    return (_buckets(kernel, counts, room),)


def host_stack_usage(kernel: Kernel, request: Kmsg) -> tuple[int, int, int, int, int, int]:
    """reserved, total, space, resident, maxusage, maxstack: one kernel stack, since blocked threads have none."""
    host_target(kernel, request)
    return 0, 1, kernel.vm.page_size, kernel.vm.page_size, 0, 0


def processor_set_stack_usage(kernel: Kernel, request: Kmsg) -> tuple[int, int, int, int, int]:
    """total, space, resident, maxusage, maxstack: the current thread's kernel stack."""
    pset_name_target(request)
    return 1, kernel.vm.page_size, kernel.vm.page_size, 0, 0


def host_slab_info(kernel: Kernel, request: Kmsg, room: int) -> tuple[object]:
    """The kernel's objects as caches of the real kernel's names and sizes."""
    host_target(kernel, request)
    rows = [_cache(kernel, *row) for row in _caches(kernel)]
    if len(rows) <= min(room, CACHES_INLINE):
        return (tuple(rows),)
    words = (word for row in rows for word in row)
    data = b"".join(word if isinstance(word, bytes) else kernel.ipc.word.pack(word) for word in words)
    return (OutOfLine(VmMapCopy.from_bytes(kernel.vm, data), len(data)),)


def _caches(kernel: Kernel) -> list[tuple[str, int, int]]:
    """Name, size and number of each kind of object."""
    kern, ipc, vm = kernel.kern, kernel.ipc, kernel.vm
    maps = [task.map for task in kern.tasks.values() if task.map is not None]
    entries = sum(len(task.space.table) for task in kern.tasks.values())
    objects = {id(entry.object): None for each in maps for entry in each.entries if entry.object is not None}
    return [
        ("vm_object", 80, len(objects)),
        ("vm_map", 72, len(maps)),
        ("vm_map_entry", 88, sum(len(each.entries) for each in maps)),
        ("pmap", 24, len(maps)),
        ("vm_page", 56, len(vm.resident)),
        ("ipc_space", 48, len(kern.tasks)),
        ("ipc_entry", 16, entries),
        ("ipc_port", 80, len(ipc.ports)),
        ("ipc_pset", 24, ipc.set_count),
        ("task", 192, len(kern.tasks)),
        ("thread", 328, kern.thread_count),
        ("pcb", 248, kern.thread_count),
    ]


def _cache(kernel: Kernel, name: str, size: int, count: int) -> CacheInfo:
    """cache_info_t."""
    slab = kernel.vm.page_size
    per_slab = (slab - OBJECT_SIZE // 2) // size
    slabs = -(-count // per_slab)
    padded = name.encode().ljust(CACHE_NAME, b"\0")
    return CACHE_FLAGS, 0, size, 8, size, slab, per_slab, count, slabs * per_slab, slabs, 0, padded
