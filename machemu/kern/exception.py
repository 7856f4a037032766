"""Exceptions become messages: the thread's port first, then its task's, then the task ends (Mach's kern/exception.c)."""

from __future__ import annotations

from machemu.abi.exception import Raised
from machemu.kern import exception_rpc, task_control
from machemu.kern.subsystem import Kern
from machemu.kern.thread import Thread


def raise_exception(kern: Kern, thread: Thread, what: Raised) -> None:
    """The current thread took exception, code and subcode `what`; afterwards it waits for a reply or its task has ended."""
    if not exception_rpc.ask(kern, thread, thread.ith_exception, what, last_chance=False):
        _try_task(kern, thread, what)


def _try_task(kern: Kern, thread: Thread, what: Raised) -> None:
    if not exception_rpc.ask(kern, thread, thread.task.itk_exception, what, last_chance=True):
        _end(kern, thread, what)


def continue_reply(kern: Kern, thread: Thread) -> None:
    """The thread waited for the handler's answer and was woken: it goes on, or the next handler is tried."""
    code = exception_rpc.take(kern, thread)
    if code is not None:
        answered(kern, thread, code)


def answered(kern: Kern, thread: Thread, code: int) -> None:
    """Goes on with a handler's answer."""
    if code == 0:
        return
    assert thread.ith_exc is not None
    if thread.ith_last:
        _end(kern, thread, thread.ith_exc)
    else:
        _try_task(kern, thread, thread.ith_exc)


def _end(kern: Kern, thread: Thread, what: Raised) -> None:
    """Nobody handles it: that is told, and the task ends."""
    kern.traps.unhandled(thread, what)
    task_control.terminate(kern, thread.task)
