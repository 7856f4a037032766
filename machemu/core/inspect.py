"""Reading a kernel without changing it: what ports stand for, what threads do. For traces, reports and debuggers."""

from __future__ import annotations

from dataclasses import dataclass

from machemu.abi.errors import InvariantError
from machemu.abi.port import PORT_NAME_DEAD, PORT_NULL
from machemu.core.kernel import Kernel
from machemu.core.traps import TRAP_COUNT, TRAPS
from machemu.device.ds_routines import Device, MasterDevice
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.ipc.right import reverse
from machemu.ipc.space import Space
from machemu.kern.host import HostPort, HostPrivPort
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName
from machemu.kern.task import Task
from machemu.kern.thread import TH_RUN, TH_SUSP, TH_WAIT, Thread
from machemu.kern.waits import WAITS
from machemu.trace.events import PortRef


@dataclass(frozen=True, slots=True)
class ThreadReport:
    """One thread: its task's number and name, its own number, what it does in words, its user program counter."""

    task: int
    task_name: str
    thread: int
    doing: str
    pc: int


def describe_object(port: Port, space: Space | None) -> str:
    """What a port stands for, as the task with `space` sees it."""
    match port.kobject:
        case Task() as task:
            return "task-self" if task.space is space else f"task {task.number}"
        case Thread() as thread:
            return f"thread {thread.number}"
        case HostPort():
            return "host"
        case HostPrivPort():
            return "host-priv"
        case Processor() as processor:
            return f"processor {processor.slot_num}"
        case ProcessorSet():
            return "processor-set"
        case ProcessorSetName():
            return "processor-set name"
        case MasterDevice():
            return "device-master"
        case Device() as device:
            return f"device {device.name}"
    return f"port {port.number}" if port.active else "dead port"


def describe_name(space: Space, name: int) -> PortRef:
    """A name with what it stands for in `space`."""
    if name == PORT_NULL:
        return PortRef(name, "")
    if name == PORT_NAME_DEAD:
        return PortRef(name, "dead")
    entry = space.lookup(name)
    if entry is None:
        return PortRef(name, "no such name")
    target = entry.object
    if isinstance(target, PortSet):
        return PortRef(name, "port set")
    if not isinstance(target, Port):
        return PortRef(name, "dead name")
    what = describe_object(target, space)
    return PortRef(name, f"{what} receive" if target.receiver is space else what)


def name_of(space: Space, port: Port) -> int:
    """The name under which a space holds send or receive rights to a port, or MACH_PORT_NULL."""
    entry = reverse(space, port)
    return PORT_NULL if entry is None else entry.name


def describe_threads(kernel: Kernel) -> list[ThreadReport]:
    """Every thread, by task and age."""
    return [
        ThreadReport(task.number, task.name, thread.number, describe_thread(kernel, thread), thread.pcb.pc)
        for task in kernel.kern.tasks.values()
        for thread in task.threads.values()
    ]


def describe_thread(kernel: Kernel, thread: Thread) -> str:
    """What a thread does or waits for."""
    suspended = f", suspended {thread.suspend_count} times" if thread.state & TH_SUSP else ""
    if thread.state & TH_WAIT:
        return _describe_wait(kernel, thread) + suspended
    if thread.state & TH_RUN:
        return "runs" if thread is kernel.kern.sched.current else "is ready to run"
    return "is suspended" + (f" {thread.suspend_count} times" if thread.suspend_count > 1 else "")


def _describe_wait(kernel: Kernel, thread: Thread) -> str:
    until = f" until {thread.wait_timer.time} ns" if thread.wait_timer is not None else ""
    if thread.continuation is None:
        raise InvariantError(f"thread {thread.number} waits for nothing")
    doing = WAITS[thread.continuation].doing
    if "{queue}" in doing:
        doing = doing.format(queue=_queue_owner(kernel, thread))
    event = "a free page" if thread.wait_event is kernel.vm.free_wanted else "a memory manager"
    return doing.format(event=event) + until


def _queue_owner(kernel: Kernel, thread: Thread) -> str:
    """The port or set in whose queue the thread stands, by the thread's own name for it."""
    for name, entry in thread.space.entries():
        target = entry.object
        if isinstance(target, Port | PortSet) and thread.ith_queue in (target.receivers, getattr(target, "senders", None)):
            return f"{'port set' if isinstance(target, PortSet) else 'port'} {name} ({describe_name(thread.space, name).what})"
    return "a port that it has no name for"


def trap_name(number: int) -> str:
    return TRAPS[number].name if 0 <= number < TRAP_COUNT else f"trap {number}"
