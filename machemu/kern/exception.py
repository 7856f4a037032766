"""Exceptions become messages: the thread's port first, then its task's, then the task ends (Mach's kern/exception.c)."""

from __future__ import annotations

from machemu.kern import exception_rpc, task_control
from machemu.kern.subsystem import Kern
from machemu.kern.thread import Thread


def raise_exception(kern: Kern, thread: Thread, what: tuple[int, int, int]) -> None:
    """The current thread took exception, code and subcode `what`; afterwards it waits for a reply or its task has ended."""
    if not exception_rpc.ask(kern, thread, thread.ith_exception, what, last_chance=False):
        _try_task(kern, thread, what)


def _try_task(kern: Kern, thread: Thread, what: tuple[int, int, int]) -> None:
    if not exception_rpc.ask(kern, thread, thread.task.itk_exception, what, last_chance=True):
        task_control.terminate(kern, thread.task)


def continue_reply(kern: Kern, thread: Thread) -> None:
    """The thread waited for the handler's answer and was woken: it goes on, or the next handler is tried."""
    if exception_rpc.take(kern, thread) in (None, 0):
        return
    if thread.ith_exc is not None:
        _try_task(kern, thread, thread.ith_exc)
    else:
        task_control.terminate(kern, thread.task)
