"""Every way in which a thread waits in the kernel, a row each: what it does when it runs again, how the wait is broken off, what
its time-out does, and what it waits for in words.

A thread that waits is data (`continuation` and saved arguments); a row is all that anybody needs to know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from machemu.abi.kern_return import KERN_ABORTED, KERN_INTERRUPTED, KERN_SUCCESS, KERN_TIMEDOUT
from machemu.ipc import mach_msg, port
from machemu.ipc.thread import MsgContinuation
from machemu.kern import exception, exception_rpc, gsync, redo
from machemu.kern.redo import Redo
from machemu.kern.subsystem import Kern
from machemu.kern.thread import TH_WAIT, Continuation, Thread
from machemu.vm.object import deallocate


class Wait(NamedTuple):
    """A row. In its functions the thread is no longer at its continuation when it resumes, and still is when it is aborted.

    resume: the thread runs again: the trap's result, or None where it blocks again or returns as its state says.
    abort: thread_halt brings it to a clean point: the interrupted trap's result, or None where it was in no trap.
    detach: its task is frozen: the wait ends, and what it gives is begun anew later (kern/redo.py).
    timed_out: the time that it was to wait at most has passed; None where it waits without a limit.
    doing: in words; {queue} stands for the port or set in whose queue it is, {event} for what it waits for in virtual memory.
    """

    resume: Callable[[Kern, Thread], int | None]
    abort: Callable[[Kern, Thread], int | None]
    detach: Callable[[Kern, Thread], Redo]
    timed_out: Callable[[Kern, Thread], None] | None
    doing: str


def resume_message(kern: Kern, thread: Thread) -> int | None:
    return mach_msg.continue_wait(kern.ipc, thread)


def abort_message(kern: Kern, thread: Thread) -> int:
    """What it was sending comes back, and what it had been given is received: each wait of mach_msg may lead to the next."""
    result = None
    while result is None:
        if thread.gsync_key is not None:
            gsync.end_wait(kern, thread, KERN_INTERRUPTED)
        elif thread.state & TH_WAIT:
            mach_msg.interrupted(kern.ipc, thread)
        thread.continuation = None
        held, thread.held = thread.held, None
        result = mach_msg.continue_wait(kern.ipc, thread)
        deallocate(held)
    return result


def message_timed_out(kern: Kern, thread: Thread) -> None:
    mach_msg.timed_out(kern.ipc, thread)


def gsync_timed_out(kern: Kern, thread: Thread) -> None:
    gsync.end_wait(kern, thread, KERN_TIMEDOUT)


def resume_swtch(kern: Kern, thread: Thread) -> int:
    return int(kern.sched.count > 0)


def resume_swtch_pri(kern: Kern, thread: Thread) -> int:
    kern.depress_abort(thread)
    return int(kern.sched.count > 0)


def resume_thread_switch(kern: Kern, thread: Thread) -> int:
    kern.depress_abort(thread)
    return KERN_SUCCESS


def abort_switch(kern: Kern, thread: Thread) -> int:
    kern.wake(thread)
    kern.depress_abort(thread)
    return KERN_SUCCESS


def switch_timed_out(kern: Kern, thread: Thread) -> None:
    kern.wake(thread)


def resume_exception(kern: Kern, thread: Thread) -> None:
    exception.continue_reply(kern, thread)


def abort_exception(kern: Kern, thread: Thread) -> None:
    exception_rpc.stop_waiting(kern, thread)


def resume_fault(kern: Kern, thread: Thread) -> None:
    """The access is made again."""
    thread.fault = None


def abort_fault(kern: Kern, thread: Thread) -> None:
    kern.wake(thread)
    thread.fault = None


def resume_trap(kern: Kern, thread: Thread) -> int | None:
    return kern.traps.retry_trap(thread)


def resume_redirect(kern: Kern, thread: Thread) -> int | None:
    return kern.traps.retry_redirect(thread)


def abort_trap(kern: Kern, thread: Thread) -> int:
    kern.wake(thread)
    thread.trap_retry = None
    right, thread.trap_right = thread.trap_right, None
    port.release_send(kern.ipc, right)
    return KERN_ABORTED


def abort_redo(kern: Kern, thread: Thread) -> int | None:
    """As if it had begun anew before."""
    todo = thread.redo
    assert todo is not None
    if not redo.for_it(kern, thread, todo):
        thread.redo = None
        return KERN_ABORTED
    thread.continuation = None
    result = redo.begin(kern, thread)
    return result if thread.continuation is None else WAITS[thread.continuation].abort(kern, thread)


def _message(detach: Callable[[Kern, Thread], Redo], doing: str) -> Wait:
    return Wait(resume_message, abort_message, detach, message_timed_out, doing)


WAITS: Final[dict[Continuation | MsgContinuation, Wait]] = {
    MsgContinuation.SEND: _message(redo.detach_send, "sends to {queue}, whose queue is full"),
    MsgContinuation.RECEIVE: _message(redo.detach_receive, "receives on {queue}"),
    MsgContinuation.COPYIN: _message(redo.detach_send, "waits for {event}"),
    MsgContinuation.RETRY: _message(redo.detach_send, "waits for {event}"),
    MsgContinuation.COPYOUT: _message(redo.detach_put, "waits for {event}"),
    MsgContinuation.GSYNC: Wait(resume_message, abort_message, redo.detach_gsync, gsync_timed_out, "waits for a word of memory"),
    Continuation.SWTCH: Wait(resume_swtch, abort_switch, redo.detach_yield, None, "waits in thread_switch"),
    Continuation.SWTCH_PRI: Wait(resume_swtch_pri, abort_switch, redo.detach_yield, None, "waits in thread_switch"),
    Continuation.THREAD_SWITCH: Wait(
        resume_thread_switch, abort_switch, redo.detach_yield, switch_timed_out, "waits in thread_switch"
    ),
    Continuation.EXCEPTION_REPLY: Wait(
        resume_exception, abort_exception, redo.detach_exception, None, "waits for an exception handler's reply"
    ),
    Continuation.FAULT: Wait(resume_fault, abort_fault, redo.detach_fault, None, "waits for {event}"),
    Continuation.TRAP: Wait(resume_trap, abort_trap, redo.detach_trap, None, "waits for {event}"),
    Continuation.REDIRECT: Wait(resume_redirect, abort_trap, redo.detach_redirect, None, "waits for {event}"),
    Continuation.REDO: Wait(redo.begin, abort_redo, redo.detach_redo, None, "is to go on when its task is thawed"),
}
