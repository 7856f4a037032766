"""Why a task should stay on its node: what it has of the machine's or of the kernel's that no other node has."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from machemu.abi.message import CarriedMemory
from machemu.abi.migrate import (
    STAY_CACHED,
    STAY_COPY,
    STAY_DEFAULT_PAGER,
    STAY_DEVICE,
    STAY_ESSENTIAL,
    STAY_GONE,
    STAY_HOST_SIDE,
    STAY_IO_PERM,
    STAY_PROXY,
    STAY_SHARED,
    STAY_V86,
)
from machemu.abi.port import TYPE_RECEIVE
from machemu.core.proxies import Proxy
from machemu.device.dev_pager import DevicePager
from machemu.device.io_perm import IoPerm
from machemu.ipc.port import Port
from machemu.kern import family
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.machine.seams import DescriptorTables, IoPorts
from machemu.vm.map_copy import VmMapCopy

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel
    from machemu.vm.object import VmObject


def reasons(kernel: Kernel, task: Task) -> int:
    """STAY_ bits."""
    threads = task.threads.values()
    manager = kernel.vm.default_manager
    applies = {
        STAY_IO_PERM: isinstance(task.machine, IoPorts) and (task.machine.uses_io() or _has_right_to(task, IoPerm)),
        STAY_DEVICE: any(map(_shows_device, _shown(task))),
        STAY_V86: any(isinstance(thread.pcb, DescriptorTables) and thread.pcb.in_v86 for thread in threads),
        STAY_ESSENTIAL: task.essential,
        STAY_DEFAULT_PAGER: isinstance(manager, Port) and manager.receiver is task.space,
        STAY_HOST_SIDE: family.is_host_side(kernel.kern, task),
        STAY_COPY: _needs_its_family(kernel, task),
        STAY_SHARED: family.shares_with_host(kernel.kern, task),
        STAY_PROXY: _has_right_to(task, Proxy),
        STAY_GONE: any(map(_waits_for_what_is_gone, threads)),
        STAY_CACHED: any(_manages(task, obj) for obj in kernel.vm.cached.values()),
    }
    return sum(bit for bit, holds in applies.items() if holds)


def _has_right_to(task: Task, kind: type) -> bool:
    """Whether one of a task's rights is to a port that stands for something of this kind in the kernel."""
    return any(isinstance(each.object, Port) and isinstance(each.object.kobject, kind) for each in task.space.table.values())


def _manages(task: Task, obj: VmObject) -> bool:
    memory_object = obj.pager.memory_object if obj.pager is not None else None
    return isinstance(memory_object, Port) and memory_object.receiver is task.space


def _needs_its_family(kernel: Kernel, task: Task) -> bool:
    """Whether a copy that a task shows, or that waits for it in a message, may need pages of a memory manager of its family."""
    behind = [obj.shadow for obj in _shown(task) if obj.shadow is not None]
    behind += [obj for obj in _shown(task, copies=True) if obj.external]
    behind += _under_way(task)
    managers = set()
    for obj in behind:
        level: VmObject | None = obj
        while level is not None:
            if level.external and level.pager is not None and isinstance(level.pager.memory_object, Port):
                managers.add(level.pager.memory_object.receiver)
            level = level.shadow
    return bool(managers) and any(each.space in managers for each in family.of(kernel.kern, task))


def _shown(task: Task, copies: bool = False) -> Iterator[VmObject]:
    """The objects that a task's map shows; copies: those of which a copy is still to be made."""
    for entry in task.map.entries if task.map is not None else ():
        if entry.object is not None and (entry.needs_copy or not copies):
            yield entry.object


def _waits_for_what_is_gone(thread: Thread) -> bool:
    """Whether a thread would not wait again for the page for which it waits."""
    map_ = thread.task.map
    if thread.fault is None or thread.held is None or map_ is None:
        return False
    address, access = thread.fault
    entry = map_.lookup(address)
    return entry is None or entry.object is not thread.held or bool(access & ~entry.protection)


def _under_way(task: Task) -> Iterator[VmObject]:
    """The objects of memory in messages that wait for a task."""
    for _, right in task.space.entries():
        if right.type & TYPE_RECEIVE:
            for item in chain.from_iterable(kmsg.carried for kmsg in right.port().messages):
                if isinstance(item, CarriedMemory) and isinstance(item.copy, VmMapCopy):
                    yield from (entry.object for entry in item.copy.entries if entry.object is not None)


def _shows_device(obj: VmObject | None) -> bool:
    """Whether a device has the memory that an object shows, itself or through its shadows."""
    while obj is not None:
        memory_object = obj.pager.memory_object if obj.pager is not None else None
        if isinstance(memory_object, Port) and isinstance(memory_object.kobject, DevicePager):
            return True
        obj = obj.shadow
    return False
