"""Why a thread waits, and who could wake it."""

from __future__ import annotations

from collections.abc import Iterator

from machemu.core.kernel import Kernel
from machemu.ipc.port import Port
from machemu.ipc.pset import PortSet
from machemu.ipc.thread import MsgContinuation
from machemu.ipc.waitq import WaitQueue
from machemu.kern.task import Task
from machemu.kern.thread import TH_SUSP, TH_WAIT, Continuation, Thread
from machemu.lab.report import describe_thread
from machemu.lab.views import TYPES
from machemu.sim.units import counted, time_text
from machemu.trace.words import task_text


def explain(kernel: Kernel, thread: Thread) -> Iterator[str]:
    """Lines: what a thread does, and of one that does not run what it waits for and who could make it go on."""
    whose = task_text(thread.task.number, thread.task.name)
    yield f"{whose} thread {thread.number} {describe_thread(kernel, thread)}"
    if thread.state & TH_WAIT:
        yield from _wait(kernel, thread)
    if thread.wait_timer is not None:
        left = thread.wait_timer.time - kernel.kern.clock.now()
        yield f"a timer wakes it at {time_text(thread.wait_timer.time)}, in {time_text(max(0, left))}"
    if thread.state & TH_SUSP:
        for name, port in (("thread", thread.ith_self), ("task", thread.task.itk_self)):
            if port is not None:
                yield f"whoever has its {name} port may resume it: {_holders(kernel, port)}"


def _wait(kernel: Kernel, thread: Thread) -> Iterator[str]:
    match thread.continuation:
        case MsgContinuation.SEND:
            port = _port_of(kernel, thread.ith_queue)
            if port is not None:
                yield f"port {port.number} has {counted(port.msgcount, 'message')} of {port.qlimit}; {_receiver(kernel, port)}"
        case MsgContinuation.RECEIVE:
            for port in _received_from(kernel, thread.ith_queue):
                yield f"to port {port.number} can send: {_holders(kernel, port)}"
        case Continuation.EXCEPTION_REPLY:
            reply = thread.ith_rpc_reply
            if reply is not None:
                yield f"the handler answers to port {reply.number}, to which can send: {_holders(kernel, reply)}"
                yield from _handlers(kernel, thread)
        case MsgContinuation.GSYNC:
            yield "a thread that wakes that word by gsync_wake could"
        case Continuation.FAULT | Continuation.TRAP | Continuation.REDIRECT:
            yield from _memory(kernel, thread)
        case MsgContinuation.COPYIN | MsgContinuation.COPYOUT | MsgContinuation.RETRY:
            yield from _memory(kernel, thread)


def _memory(kernel: Kernel, thread: Thread) -> Iterator[str]:
    """Who has the page that a thread waits for."""
    if thread.wait_event is kernel.vm.free_wanted:
        yield "no frame is free: whoever frees memory could, or a default memory manager that takes pages"
        return
    for task in kernel.kern.tasks.values():
        for entry in () if task.map is None else task.map.entries:
            obj = entry.object
            while obj is not None:
                pager = obj.pager
                if pager is not None and thread.wait_event in (pager.event, *(each.event for each in pager.requests.values())):
                    port = pager.memory_object
                    if isinstance(port, Port):
                        yield f"memory object port {port.number}: its manager could answer; {_receiver(kernel, port)}"
                    return
                obj = obj.shadow


def _handlers(kernel: Kernel, thread: Thread) -> Iterator[str]:
    for whose, right in (("thread", thread.ith_exception), ("task", thread.task.itk_exception)):
        if isinstance(right, Port):
            yield f"its {whose}'s exception port is port {right.number}: {_receiver(kernel, right)}"


def _port_of(kernel: Kernel, queue: WaitQueue | None) -> Port | None:
    return next((port for port in kernel.ipc.ports.values() if queue in (port.senders, port.receivers)), None)


def _received_from(kernel: Kernel, queue: WaitQueue | None) -> list[Port]:
    """The port in whose queue a thread stands, or the members of the set."""
    sets = {id(port.pset): port.pset for port in kernel.ipc.ports.values() if port.pset is not None}
    for each in sets.values():
        if isinstance(each, PortSet) and each.receivers is queue:
            return [port for port in kernel.ipc.ports.values() if port.pset is each]
    port = _port_of(kernel, queue)
    return [] if port is None else [port]


def _receiver(kernel: Kernel, port: Port) -> str:
    """Who takes messages out of a port's queue."""
    for task in kernel.kern.tasks.values():
        if port.receiver is task.space:
            threads = [thread for thread in task.threads.values() if thread.ith_queue is port.receivers]
            waits = f", where {counted(len(threads), 'thread')} of it waits" if threads else ""
            return f"{task_text(task.number, task.name)} has its receive right{waits}"
    return "its receive right is in a message" if port.receiver is None else "the kernel receives from it"


def _holders(kernel: Kernel, port: Port) -> str:
    """Who has rights by which a message can be sent to a port."""
    found = [who for task in kernel.kern.tasks.values() for who in _rights(task, port)]
    counted_rights = port.srights + port.sorights
    held = sum(number for _, number in found)
    texts = [text for text, _ in found]
    if counted_rights > held:
        texts.append(f"the kernel or messages under way ({counted(counted_rights - held, 'right')})")
    return ", ".join(texts) or "nobody"


def _rights(task: Task, port: Port) -> Iterator[tuple[str, int]]:
    for name, entry in task.space.entries():
        if entry.object is port:
            types = [text for bit, text in TYPES.items() if entry.type & bit and text.startswith("send")]
            if types:
                yield f"{task_text(task.number, task.name)} by its {' and '.join(types)} right {name}", 1
