"""A task that moves: it is frozen, surrenders its kernel ports, is made again elsewhere, where it adopts them, and is thawed.

From the surrender on nobody reaches the task but by the ports that it has got in their place. What is sent to the old ones waits
in them, and is served by the kernel whose task adopts them. Where a move is given up, the task adopts its ports itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Final, cast

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_FAILURE, KERN_INVALID_ARGUMENT, KERN_INVALID_CAPABILITY
from machemu.abi.migrate import REDO_SEND, SEND_WAITS
from machemu.ipc import port
from machemu.ipc.port import Port, Right
from machemu.ipc.thread import MsgContinuation
from machemu.kern import redo, task_control
from machemu.kern.clock import HZ
from machemu.kern.redo import NOTHING, Redo
from machemu.kern.thread import TH_WAIT, Continuation, Thread
from machemu.kern.waits import WAITS
from machemu.vm.object import deallocate

if TYPE_CHECKING:
    from machemu.kern.subsystem import Kern
    from machemu.kern.task import Task

FOR_IT: Final = frozenset((
    MsgContinuation.RECEIVE, MsgContinuation.COPYOUT, MsgContinuation.GSYNC, Continuation.FAULT,
))  # fmt: skip
"""Where another thread does for one that was woken what it has still to do in the kernel, without anybody else seeing it."""


def freeze(kern: Kern, task: Task) -> None:
    """Holds a task's threads, none of which is in a trap; users do not count this hold. KERN_FAILURE where it is frozen."""
    if task.frozen or not task.active:
        raise KernError(KERN_FAILURE)
    task.frozen = True
    task.own_ticks = kern.ticks - task.phase
    for thread in task.threads.values():
        thread.redo = (thread.redo or NOTHING)._replace(place=redo.place(kern, thread))
    for place, thread in enumerate(_ready(kern, task)):
        thread.redo = (thread.redo or NOTHING)._replace(place=place)
    task_control.hold(kern, task)


def _ready(kern: Kern, task: Task) -> list[Thread]:
    """The threads that could run, in the order in which they would."""
    sched = kern.sched
    first = [each for each in (sched.current, sched.handoff) if each is not None]
    queues = [queue for pset in kern.psets for queue in pset.runq.queues]
    return [thread for thread in (*first, *chain.from_iterable(queues)) if thread.task is task and not thread.state & TH_WAIT]


def thaw(kern: Kern, task: Task) -> None:
    """The threads go on, each wait that was told in its place; their usage has not aged meanwhile. KERN_FAILURE where the task is
    not frozen."""
    if not task.frozen:
        raise KernError(KERN_FAILURE)
    task.frozen = False
    task.phase = (kern.ticks - task.own_ticks) % HZ
    seconds = (kern.ticks - task.phase - task.own_ticks) // HZ
    for thread in task.threads.values():
        thread.sched_stamp += seconds
    task.suspend_count -= 1
    threads = sorted(task.threads.values(), key=lambda thread: thread.redo.place if thread.redo is not None else 0)
    for thread in threads:
        if thread.continuation is not Continuation.REDO:
            thread.redo = None
    _send_anew(kern, threads)
    for thread in threads:
        if thread.continuation is Continuation.REDO and not _sends(thread):
            _begin(kern, thread, redo.begin)
        kern.sched.release(thread)


def _sends(thread: Thread) -> bool:
    return thread.redo is not None and thread.redo.kind == REDO_SEND


def _send_anew(kern: Kern, threads: Sequence[Thread]) -> None:
    """Those who have been told of room have not run yet: it is theirs, though others wait."""
    senders = [thread for thread in threads if _sends(thread)]
    waiting = [thread for thread in senders if cast("Redo", thread.redo).words[-1] == SEND_WAITS]
    for thread in senders:
        if thread not in waiting:
            _begin(kern, thread, redo.begin_woken)
    claimed = list(filter(None, map(redo.claimed, senders)))
    for each in claimed:
        each.msgcount += 1
    for thread in waiting:
        _begin(kern, thread, redo.begin)
    for each in claimed:
        each.msgcount -= 1


def _begin(kern: Kern, thread: Thread, begin: Callable[[Kern, Thread], int | None]) -> None:
    """A thread does what it has to do anew, if it need not run itself for that."""
    if redo.for_it(kern, thread, cast("Redo", thread.redo)):
        thread.continuation = None
        result = begin(kern, thread)
        if result is not None:
            thread.retval = result


def detach(kern: Kern, thread: Thread) -> None:
    """A thread that is held leaves its wait, and has it to begin anew.

    One that was woken and has not run since does first what it was woken for, where it cannot be told.
    """
    place = thread.redo.place if thread.redo is not None else 0
    while (continuation := thread.continuation) is not None:
        row = WAITS[continuation]
        if thread.state & TH_WAIT or not (continuation in FOR_IT or _sends_to_dead(thread)):
            todo = row.detach(kern, thread)
            kern.release_held(thread)
            thread.redo, thread.continuation = todo._replace(place=place), Continuation.REDO
            return
        thread.continuation = None
        held, thread.held = thread.held, None
        result = row.resume(kern, thread)
        deallocate(held)
        if result is not None:
            thread.retval = result


def _sends_to_dead(thread: Thread) -> bool:
    """Whether what a thread has still to do is to send a message to a port that has died, which destroys the message."""
    kmsg = thread.ith_kmsg
    return thread.continuation is MsgContinuation.SEND and kmsg is not None and not cast("Port", kmsg.remote).active


# Kernel ports


def surrender(kern: Kern, task: Task) -> tuple[Port, list[Port], list[Port | None]]:
    """Gives away the receive rights of a frozen task's port, of its threads' ports in the order of task_threads, and of the ports
    where their exceptions are answered; all get new ones.

    KERN_FAILURE where the task is not frozen, or has ended.
    """
    if not task.frozen:
        raise KernError(KERN_FAILURE)
    for thread in list(task.threads.values()):
        if thread.continuation is Continuation.EXCEPTION_REPLY:
            detach(kern, thread)
    if not task.active or task.itk_self is None:
        raise KernError(KERN_FAILURE)
    old, task.itk_self = task.itk_self, kern.ipc.make_kernel_port(task)
    old.kobject = None
    selfs: list[Port] = []
    replies: list[Port | None] = []
    for thread in task.threads.values():
        its, thread.ith_self = thread.ith_self, kern.ipc.make_kernel_port(thread)
        assert its is not None
        its.kobject = None
        selfs.append(its)
        replies.append(thread.ith_rpc_reply)
        thread.ith_rpc_reply = None
    return old, selfs, replies


def adopt(kern: Kern, task: Task, own: Right, selfs: Sequence[Right], replies: Sequence[Right]) -> None:
    """A frozen task takes the receive rights that `surrender` gave, in the place of its kernel ports, which die.

    Consumes them on success. KERN_FAILURE where the task is not frozen, KERN_INVALID_ARGUMENT where there are not as many as it
    has threads, KERN_INVALID_CAPABILITY where one is none.
    """
    threads = list(task.threads.values())
    if not task.frozen or not task.active:
        raise KernError(KERN_FAILURE)
    if not len(selfs) == len(replies) == len(threads):
        raise KernError(KERN_INVALID_ARGUMENT)
    wanted = [own, *selfs, *(reply for reply in replies if reply is not None)]
    taken = [each for each in wanted if isinstance(each, Port) and each.active]
    if len({each.number for each in taken}) != len(wanted):
        raise KernError(KERN_INVALID_CAPABILITY)
    replaced = [*kernel_ports(task), *(thread.ith_rpc_reply for thread in threads)]
    for each, stands_for in zip(taken, (task, *threads), strict=False):
        each.receiver, each.destination, each.kobject = kern.ipc.kernel_space, None, stands_for
    task.itk_self = taken[0]
    for thread, its, reply in zip(threads, taken[1:], replies, strict=False):
        thread.ith_self = its
        thread.ith_rpc_reply = reply if isinstance(reply, Port) else None
        if thread.ith_rpc_reply is not None:
            thread.ith_rpc_reply.receiver, thread.ith_rpc_reply.destination = kern.ipc.reply_space, None
    for old in replaced:
        if old is not None:
            port.dealloc_kernel(kern.ipc, old)


def kernel_ports(task: Task) -> list[Port]:
    """The task's port and those of its threads, as far as it has not ended."""
    found = [task.itk_self, *(thread.ith_self for thread in task.threads.values())]
    return [each for each in found if each is not None]
