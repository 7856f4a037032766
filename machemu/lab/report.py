"""What a machine is doing, in words: for runs that came to a standstill or to their time's end."""

from __future__ import annotations

from typing import NamedTuple

from machemu.abi.errors import InvariantError
from machemu.core.kernel import Kernel
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.ipc.space import Space
from machemu.kern.host import Halt
from machemu.kern.thread import TH_RUN, TH_SUSP, TH_WAIT, Thread
from machemu.kern.waits import WAITS
from machemu.sim.state import PortName
from machemu.sim.units import counted, time_text


class ThreadReport(NamedTuple):
    """One thread: its task's number and name, its own number, what it does in words, its user program counter."""

    task: int
    task_name: str
    thread: int
    doing: str
    pc: int


def standstill(kernel: Kernel) -> str:
    """One line a thread: what it waits for or where it runs."""
    reports = describe_threads(kernel)
    if not reports:
        return "no thread is left"
    return "\n".join(line(report) for report in reports)


def line(report: ThreadReport) -> str:
    return f"  task {report.task} ({report.task_name}) thread {report.thread}: {report.doing}, pc {report.pc:#010x}"


def halt(kernel: Kernel) -> str:
    """How a machine that has ended did so."""
    how = {
        Halt.HALT: "the machine is halted",
        Halt.REBOOT: "the machine restarts, which ends the run",
        Halt.PANIC: "the kernel died",
    }
    assert kernel.halted is not None
    return f"{how[kernel.halted]}: {kernel.halt_reason}"


def place(kernel: Kernel) -> str:
    """Where a machine is that cannot go on."""
    thread = kernel.kern.sched.current
    who = "" if thread is None else f", in task {thread.task.number} ({thread.task.name}) thread {thread.number}"
    return f"ended by a fault at {time_text(kernel.kern.clock.now())}, after {counted(kernel.trap_count, 'trap')}{who}"


def end_of_time(kernel: Kernel) -> str:
    return f"stopped at {time_text(kernel.kern.clock.now())} after {counted(kernel.trap_count, 'trap')}\n{standstill(kernel)}"


def describe_threads(kernel: Kernel) -> list[ThreadReport]:
    """Every thread, by task and age."""
    return [
        ThreadReport(task.number, task.name, thread.number, describe_thread(kernel, thread), thread.pcb.pc)
        for task in kernel.kern.tasks.values()
        for thread in task.threads.values()
    ]


def describe_thread(kernel: Kernel, thread: Thread) -> str:
    """What a thread does or waits for."""
    if not thread.active:
        return "ends"
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
            return f"{'port set' if isinstance(target, PortSet) else 'port'} {name} ({name_text(thread.space, name)})"
    return "a port that it has no name for"


def name_text(space: Space, name: PortName) -> str:
    """What a name in a task's space stands for."""
    from machemu.core.inspect import refer_name  # not before it is needed: it takes time to load, as the next
    from machemu.trace.ports import kind_text

    return kind_text(refer_name(space, name))


def port_text(port: Port) -> str:
    """What a port stands for."""
    from machemu.core.inspect import refer  # as above
    from machemu.trace.ports import kind_text

    return kind_text(refer(port, None))
