"""What is done to tasks: create, terminate, suspend, resume, info, threads (the routines of Mach's kern/task.c)."""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_NO_ACCESS
from machemu.abi.message import PORT_SEND
from machemu.abi.migrate import TASK_IPC_INFO
from machemu.abi.types import signed
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port, space
from machemu.ipc.port import Port, Right
from machemu.kern import thread_control
from machemu.kern.subsystem import Kern
from machemu.kern.task import TASK_EVENTS_INFO_COUNT, TASK_IPC_INFO_COUNT, Task
from machemu.kern.thread import Thread
from machemu.kern.thread_control import cpu_time
from machemu.mig.interfaces import task_notify
from machemu.vm.user import UserMemory

TASK_BASIC_INFO: Final = 1
TASK_BASIC_INFO_COUNT: Final = 10
TASK_EVENTS_INFO: Final = 2
TASK_THREAD_TIMES_INFO: Final = 3
TASK_THREAD_TIMES_INFO_COUNT: Final = 4


def create(kern: Kern, parent: Task | None, inherit_memory: bool, name: str | None = None) -> Task:
    """task_create: without threads; with the parent's registered, exception and bootstrap ports."""
    vm_map = parent.map.fork() if inherit_memory and parent is not None and parent.map is not None else kern.vm.new_map()
    ipc = kern.ipc
    kern.task_serial += 1
    self_port = ipc.make_kernel_port(None)
    if name is None:
        name = f"({parent.name})" if parent is not None else str(kern.task_serial)
    pset = parent.processor_set if parent is not None else kern.psets[0]
    memory, machine = UserMemory(vm_map), kern.cpu.new_task()
    task = Task(kern.task_serial, name, pset, space.create(ipc), vm_map, memory, machine, self_port)
    self_port.kobject = task
    task.itk_sself = port.make_send(ipc, self_port)
    task.creation_time = kern.clock.time_stamp()
    if parent is not None:
        task.priority = parent.priority
        task.phase = parent.phase
        task.eml_dispatch = parent.eml_dispatch
        task.itk_exception = port.copy_send(ipc, parent.itk_exception)
        task.itk_bootstrap = port.copy_send(ipc, parent.itk_bootstrap)
        task.itk_registered = [port.copy_send(ipc, right) for right in parent.itk_registered]
        task.printer = port.copy_send(ipc, parent.printer)
    kern.tasks[task.number] = pset.tasks[task.number] = task
    if isinstance(kern.new_task_notification, Port):
        _notify_new_task(kern, kern.new_task_notification, task, parent)
    return task


def register_notification(kern: Kern, right: Right) -> None:
    """register_new_task_notification: consumes the send right; KERN_NO_ACCESS where somebody was registered before."""
    if kern.new_task_notification is not None:
        raise KernError(KERN_NO_ACCESS)
    kern.new_task_notification = right


def _notify_new_task(kern: Kern, target: Port, task: Task, parent: Task | None) -> None:
    """Tells whoever registered, before anybody else can know the task."""
    ipc = kern.ipc
    right = port.copy_send(ipc, target)
    if not isinstance(right, Port):
        return
    ports = [port.copy_send(ipc, each.itk_sself) if each is not None else None for each in (task, parent)]
    message = task_notify.MACH_NOTIFY_NEW_TASK.request
    body, carried = message.pack(ipc.order, ports)
    kmsgs.kernel_send(ipc, kmsgs.make(ipc, right, PORT_SEND, None, 0, message.id, body, carried))


def terminate(kern: Kern, task: Task, is_loader: bool = False) -> None:
    """task_terminate. Where it is the current thread's own task, that thread ends when it leaves the kernel.

    is_loader: no thread of the machine asks for it, but its loader, between any two instructions.
    """
    current = kern.sched.current
    if not task.active:
        raise KernError(KERN_FAILURE)
    if not is_loader and current is not None and (not current.active or not current.task.active):
        thread_control.terminate(kern, current)
        raise KernError(KERN_FAILURE)
    task.active = False
    if task.itk_self is not None:
        task.itk_self.kobject = None
    for thread in list(task.threads.values()):
        if thread is not current:
            thread_control.force_terminate(kern, thread)
    if current is not None and current.task is task:
        thread_control.disable(current)
        thread_control.shut_ipc(kern, current)
    kern.traps.ending(task)
    _terminate_ipc(kern, task)
    if current is not None and current.task is task:
        thread_control.terminate(kern, current)
    else:
        destroy_map(kern, task)


def _terminate_ipc(kern: Kern, task: Task) -> None:
    """ipc_task_terminate: the task's naked rights, its name space, its kernel port."""
    ipc = kern.ipc
    for right in (task.itk_sself, task.itk_exception, task.itk_bootstrap, *task.itk_registered, task.printer):
        if right is not None:
            port.release_send(ipc, right)
    task.itk_sself = task.itk_exception = task.itk_bootstrap = task.printer = None
    task.itk_registered = [None] * len(task.itk_registered)
    space.destroy(ipc, task.space)
    if task.itk_self is not None:
        port.dealloc_kernel(ipc, task.itk_self)
        task.itk_self = None


def destroy_map(kern: Kern, task: Task) -> None:
    """The task is over and no thread of it is left: its memory goes."""
    vm_map, task.map = task.map, None
    if vm_map is not None:
        vm_map.destroy()
    del kern.tasks[task.number]
    del task.processor_set.tasks[task.number]


def hold(kern: Kern, task: Task) -> None:
    """task_hold: the task's threads do not run until as many `release`."""
    task.suspend_count += 1
    for thread in task.threads.values():
        kern.sched.hold(thread)


def release(kern: Kern, task: Task) -> None:
    task.suspend_count -= 1
    for thread in task.threads.values():
        kern.sched.release(thread)


def suspend(kern: Kern, task: Task) -> None:
    task.user_stop_count += 1
    if task.user_stop_count == 1:
        hold(kern, task)


def resume(kern: Kern, task: Task) -> None:
    if task.user_stop_count == 0:
        raise KernError(KERN_FAILURE)
    task.user_stop_count -= 1
    if task.user_stop_count == 0:
        release(kern, task)


def threads(task: Task) -> list[Thread]:
    if not task.active:
        raise KernError(KERN_FAILURE)
    return list(task.threads.values())


def info(kern: Kern, task: Task, flavor: int, room: int) -> tuple[int, ...]:
    """task_info: the flavor's words, cut to `room` where Mach lets older callers ask for fewer."""
    if flavor == TASK_BASIC_INFO:
        if room < TASK_BASIC_INFO_COUNT - 2:
            raise KernError(KERN_INVALID_ARGUMENT)
        size, resident = (task.map.size, task.map.pmap.resident_count()) if task.map is not None else (0, 0)
        words = (
            task.user_stop_count,
            task.priority,
            size,
            resident * kern.vm.page_size,
            *cpu_time(task.user_time),
            *cpu_time(task.system_time),
            *kern.clock.read_time_stamp(task.creation_time),
        )
        return words[:room]
    if flavor == TASK_EVENTS_INFO:
        if room < TASK_EVENTS_INFO_COUNT:
            raise KernError(KERN_INVALID_ARGUMENT)
        kern.charge_events()
        return tuple([signed(count) for count in task.events[:TASK_EVENTS_INFO_COUNT]])
    if flavor == TASK_IPC_INFO:
        if room < TASK_IPC_INFO_COUNT:
            raise KernError(KERN_INVALID_ARGUMENT)
        kern.charge_events()
        return tuple([signed(count) for count in task.events[TASK_EVENTS_INFO_COUNT:]])
    if flavor == TASK_THREAD_TIMES_INFO:
        if room < TASK_THREAD_TIMES_INFO_COUNT:
            raise KernError(KERN_INVALID_ARGUMENT)
        live = task.threads.values()
        return (*cpu_time(sum(thread.user_time for thread in live)), *cpu_time(sum(thread.system_time for thread in live)))
    raise KernError(KERN_INVALID_ARGUMENT)
