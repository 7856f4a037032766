"""An exception's message and the answer to it, which is taken or no longer waited for.

Mach's exception_raise, exception_parse_reply and mach_msg_abort_rpc.
"""

from __future__ import annotations

from typing import Final, cast

from machemu.abi.exception import Raised
from machemu.abi.kern_return import MIG_REPLY_MISMATCH
from machemu.abi.message import MACH_MSG_SUCCESS, PORT_SEND, PORT_SEND_ONCE
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import mqueue, port
from machemu.ipc.port import Port, Right
from machemu.kern.subsystem import Kern
from machemu.kern.thread import Continuation, Thread
from machemu.mig.interfaces import exc
from machemu.mig.runtime import RETCODE

EXCEPTION_ID: Final = 2400
REPLY_ID: Final = EXCEPTION_ID + 100


def ask(kern: Kern, thread: Thread, server: Right, what: Raised, last_chance: bool) -> bool:
    """Sends the exception to `server` and waits there; False where that port is null or dead."""
    ipc = kern.ipc
    if not isinstance(server, Port) or not server.active:
        return False
    thread.ith_exc = what
    thread.ith_last = last_chance
    right = port.copy_send(ipc, server)
    if thread.ith_rpc_reply is not None and thread.ith_rpc_reply.messages:
        abort(kern, thread)  # nobody waited for them: another sends to the port, too
    reply_port = thread.ith_rpc_reply
    if reply_port is None:
        reply_port = thread.ith_rpc_reply = ipc.make_kernel_port(None, reply=True)
    sonce = port.make_sonce(ipc, reply_port)
    thread_port = port.copy_send(ipc, thread.ith_sself)
    task_port = port.copy_send(ipc, thread.task.itk_sself)
    body, carried = exc.EXCEPTION_RAISE.request.pack(ipc.order, (thread_port, task_port, *what))
    mqueue.wait_for_kernel_reply(ipc, thread, reply_port)
    kern.block(thread, Continuation.EXCEPTION_REPLY, None)
    kmsg = kmsgs.make(ipc, right, PORT_SEND, sonce, PORT_SEND_ONCE, EXCEPTION_ID, body, carried)
    if not mqueue.hand_exception(ipc, kmsg):
        kmsgs.kernel_send(ipc, kmsg)
    return True


def wait_again(kern: Kern, thread: Thread) -> None:
    """Waits for the answer to what was asked, at a reply port that has moved; where there is none, nobody will answer."""
    reply_port = thread.ith_rpc_reply
    if reply_port is not None:
        kern.block(thread, Continuation.EXCEPTION_REPLY, None)
        mqueue.wait_again_for_kernel_reply(kern.ipc, thread, reply_port)


def put_back(kern: Kern, thread: Thread) -> bool:
    """Whether a thread that waits no more had been given an answer, which is the first in its queue again."""
    kmsg, thread.ith_kmsg = thread.ith_kmsg, None
    if thread.ith_state != MACH_MSG_SUCCESS or kmsg is None:
        return False
    cast("Port", kmsg.remote).messages.appendleft(kmsg)
    return True


def take(kern: Kern, thread: Thread) -> int | None:
    """What the handler answered: its code, MIG_REPLY_MISMATCH for a message that is no reply, None where nothing came.

    At a reply port that has moved it comes by a send right of a server's. Consumes the message.
    """
    ipc = kern.ipc
    reply = mqueue.kernel_reply(ipc, thread)
    if reply is None:
        return None
    code = MIG_REPLY_MISMATCH
    if reply.id == REPLY_ID and reply.local_type == 0 and not reply.flags:
        values = RETCODE.matches(ipc.order, reply.body, reply.carried, reply.complex)
        code = MIG_REPLY_MISMATCH if values is None else values[0]
    port.release_used(ipc, reply.remote, reply.remote_type)
    reply.remote = None
    if code == MIG_REPLY_MISMATCH:
        kmsgs.destroy(ipc, reply)
    else:
        kmsgs.consume(ipc, reply)
    return code


def stop_waiting(kern: Kern, thread: Thread) -> None:
    """A thread that is halted waits no more. A refusal that it had been given is still told to its task's port."""
    if thread.ith_queue is not None:
        thread.ith_queue.remove(thread)
        kern.wake(thread)
    code, what = take(kern, thread), thread.ith_exc
    if (
        code not in (None, 0)
        and not thread.ith_last
        and what
        and ask(kern, thread, thread.task.itk_exception, what, last_chance=True)
    ):
        stop_waiting(kern, thread)


def abort(kern: Kern, thread: Thread) -> None:
    """mach_msg_abort_rpc: a late answer finds a dead port."""
    reply_port, thread.ith_rpc_reply = thread.ith_rpc_reply, None
    if reply_port is not None:
        port.dealloc_kernel(kern.ipc, reply_port)


def leave(kern: Kern, thread: Thread) -> None:
    """The thread ends, and leaves its reply port to those who may still answer."""
    reply_port = thread.ith_rpc_reply
    if reply_port is not None and not reply_port.messages and (reply_port.sorights or reply_port.srights):
        reply_port.kobject = port.ABANDONED
        thread.ith_rpc_reply = None
    abort(kern, thread)
