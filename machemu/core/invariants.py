"""The whole kernel recounted: every right, message, reference and frame has one owner. For tests, and to find our own faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple, cast

from machemu.abi.errors import InvariantError
from machemu.abi.message import PORT_SEND, CarriedMemory
from machemu.core.kernel import Kernel, runnable
from machemu.core.proxies import Proxy
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Right
from machemu.kern.subsystem import Timer
from machemu.kern.thread import Thread
from machemu.vm.map_copy import VmMapCopy


class Usage(NamedTuple):
    """What is alive in a node; the same before and after something that leaves nothing behind."""

    tasks: int
    threads: int
    ports: int
    sets: int
    messages: int
    events: int
    free_frames: int


def usage(kernel: Kernel) -> Usage:
    """Counts what is alive, but for the memory that devices share with tasks: that is the machine's for good, with its ports."""
    kern, ipc = kernel.kern, kernel.ipc
    shared = [memory.object for memory in kernel.devices.memories()]
    return Usage(
        len(kern.tasks),
        kern.thread_count,
        len(ipc.ports) - sum(2 + (obj.name is not None) for obj in shared),
        ipc.set_count,
        ipc.message_count,
        len(kern.events),
        len(kernel.memory.free) + sum(len(obj.pages) for obj in shared),
    )


def check(kernel: Kernel) -> None:
    """InvariantError where anything in the kernel is not as it must be between two traps."""
    kern = kernel.kern
    tasks = list(kern.tasks.values())
    threads = [thread for task in tasks for thread in task.threads.values()]
    kern.check_invariants()
    machine = kernel.cpu.new_task()
    pcb = kernel.cpu.new_pcb(machine)
    if any(type(task.machine) is not type(machine) for task in tasks) or any(type(t.pcb) is not type(pcb) for t in threads):
        raise InvariantError("a task or thread is another machine's")
    _check_sizes(kernel)
    kern.events.check_invariants()
    _check_awaited(kernel, threads)
    kernel.devices.check_invariants()
    kernel.memory.check_invariants()
    kernel.mmu.check_invariants()
    for task in tasks:
        if task.map is not None:
            task.map.pmap.check_invariants()
    if any(driver not in kernel.devices.drivers for driver in (kernel.console, kernel.kmsg)):
        raise InvariantError("a device of the kernel's own is missing")
    for thread in threads:
        for queue in (thread.ith_queue, thread.wait_event):
            if queue is not None and thread not in queue.threads:
                raise InvariantError("a thread waits where nobody knows of it")
    kernel.ipc.check_invariants([task.space for task in tasks], threads, _held(kernel, threads))
    kernel.vm.check_invariants()
    held = [thread.held for thread in threads if thread.held is not None]
    devices = list(kernel.devices.memories())
    wired = [page for memory in devices for page in memory.own_pages()]
    maps = [task.map for task in tasks if task.map is not None]
    kernel.vm.check_references(maps, list(_copies(kernel, threads)), [*held, *(memory.object for memory in devices)], wired)
    current = kern.sched.current
    if kern.sched.handoff is not None and current is not None and runnable(current) and not kern.sched.yielding:
        raise InvariantError("a thread was handed the CPU and never got it")


def _check_awaited(kernel: Kernel, threads: list[Thread]) -> None:
    """Each event that is to come has somebody who waits for it, and the other way round."""
    events = kernel.kern.events.events
    to_come = set(map(id, events))
    awaited = [*kernel.devices.awaited()]
    for thread in threads:
        for kind, timer in ((Timer.WAIT, thread.wait_timer), (Timer.DEPRESS, thread.depress_timer)):
            if timer is not None:
                awaited.append((kind, (thread,)))
                if id(timer) not in to_come:
                    raise InvariantError(f"thread {thread.number} has a timer that is not to come")
    coming = [(event.kind, event.args) for event in events]
    if Counter(map(_identity, awaited)) != Counter(map(_identity, coming)):
        raise InvariantError("other events are to come than somebody waits for")


def _identity(event: tuple[Enum, tuple[object, ...]]) -> tuple[object, ...]:
    return event[0], *map(id, event[1])


def _check_sizes(kernel: Kernel) -> None:
    """Pages, addresses and the order of bytes are the processor's."""
    cpu, vm, ipc = kernel.cpu, kernel.vm, kernel.ipc
    size = cpu.page_size
    own = (ipc.prefix, ipc.page_size, vm.page_size, vm.page_mask, kernel.memory.frame_size, vm.min_offset, vm.max_offset)
    if own != (cpu.order.prefix, size, size, size - 1, size, *cpu.user_range):
        raise InvariantError("the kernel's pages, addresses or words are another machine's")


def _held(kernel: Kernel, threads: list[Thread]) -> Iterator[tuple[Right, int]]:
    """The rights that the kernel's own objects hold."""
    for task in kernel.kern.tasks.values():
        for right in (task.itk_sself, task.itk_exception, task.itk_bootstrap, *task.itk_registered, task.printer):
            yield right, PORT_SEND
    yield kernel.kern.new_task_notification, PORT_SEND
    for thread in threads:
        yield thread.ith_sself, PORT_SEND
        yield thread.ith_exception, PORT_SEND
        yield thread.trap_right, PORT_SEND
    for pager in kernel.vm.pagers.values():
        yield cast("Right", pager.memory_object), PORT_SEND
    yield cast("Right", kernel.vm.default_manager), PORT_SEND
    for port in kernel.ipc.ports.values():
        if isinstance(port.kobject, Proxy):
            yield cast("Right", port.kobject.object), PORT_SEND
    yield from kernel.devices.held()


def _messages(kernel: Kernel, threads: list[Thread]) -> Iterator[Kmsg]:
    for port in kernel.ipc.ports.values():
        yield from port.messages
        if port.pset is not None:
            yield from (kmsg for kmsg in port.pset.messages if kmsg.remote is port)
    for thread in threads:
        if thread.ith_kmsg is not None:
            yield thread.ith_kmsg


def _copies(kernel: Kernel, threads: list[Thread]) -> Iterator[VmMapCopy]:
    """Memory under way in messages."""
    for kmsg in _messages(kernel, threads):
        if isinstance(kmsg.kept, VmMapCopy):
            yield kmsg.kept
        for item in kmsg.carried:
            if isinstance(item, CarriedMemory) and isinstance(item.copy, VmMapCopy):
                yield item.copy
