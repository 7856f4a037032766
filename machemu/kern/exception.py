"""Exceptions become messages: the thread's port first, then its task's, then the task ends (Mach's kern/exception.c)."""

from __future__ import annotations

from typing import Final

from machemu.abi.kern_return import MigReturn
from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE, PortDead
from machemu.ipc import kmsg as kernel_message
from machemu.ipc import mqueue, port
from machemu.ipc.port import Port
from machemu.kern import exception_reply, task_control
from machemu.kern.subsystem import Kern
from machemu.kern.thread import Continuation, Thread
from machemu.mig.interfaces import exc

EXCEPTION_ID: Final = 2400
REPLY_ID: Final = EXCEPTION_ID + 100
REPLY_MISMATCH: Final = int(MigReturn.MIG_REPLY_MISMATCH)


def raise_exception(kern: Kern, thread: Thread, what: tuple[int, int, int]) -> None:
    """The current thread took exception, code and subcode `what`; afterwards it waits for a reply or its task has ended."""
    if not _try(kern, thread, thread.ith_exception, what, last_chance=False):
        _try_task(kern, thread, what)


def _try_task(kern: Kern, thread: Thread, what: tuple[int, int, int]) -> None:
    if not _try(kern, thread, thread.task.itk_exception, what, last_chance=True):
        task_control.terminate(kern, thread.task)


def _try(kern: Kern, thread: Thread, server: Port | PortDead | None, what: tuple[int, int, int], last_chance: bool) -> bool:
    """Sends the exception to `server` and waits there; False where that port is null or dead."""
    ipc = kern.ipc
    if not isinstance(server, Port) or not server.active:
        return False
    thread.ith_exc = None if last_chance else what
    right = port.copy_send(ipc, server)
    reply_port = thread.ith_rpc_reply
    if reply_port is None:
        reply_port = thread.ith_rpc_reply = ipc.make_kernel_port(None, reply=True)
    sonce = port.make_sonce(ipc, reply_port)
    thread_port = port.copy_send(ipc, thread.ith_sself)
    task_port = port.copy_send(ipc, thread.task.itk_sself)
    body, carried = exc.EXCEPTION_RAISE.request.pack(ipc.order, (thread_port, task_port, *what))
    mqueue.wait_for_kernel_reply(ipc, thread, reply_port)
    kern.block(thread, Continuation.EXCEPTION_REPLY, None)
    kernel_message.kernel_send(
        ipc, kernel_message.make(ipc, right, PORT_SEND, sonce, PORT_SEND_ONCE, EXCEPTION_ID, body, carried)
    )
    return True


def continue_reply(kern: Kern, thread: Thread) -> None:
    """The thread waited for the handler's answer and was woken: it goes on, or the next handler is tried."""
    if exception_reply.take(kern, thread) in (None, 0):
        return
    if thread.ith_exc is not None:
        _try_task(kern, thread, thread.ith_exc)
    else:
        task_control.terminate(kern, thread.task)
