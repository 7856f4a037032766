"""The answer to an exception message: taken, or no longer waited for (Mach's exception_parse_reply and mach_msg_abort_rpc)."""

from __future__ import annotations

from typing import Final

from machemu.abi.kern_return import MigReturn
from machemu.abi.message import PORT_SEND_ONCE
from machemu.ipc import kmsg as kernel_message
from machemu.ipc import mqueue, port
from machemu.kern.subsystem import Kern
from machemu.kern.thread import Continuation, Thread
from machemu.mig.runtime import RETCODE

REPLY_ID: Final = 2500
REPLY_MISMATCH: Final = int(MigReturn.MIG_REPLY_MISMATCH)


def take(kern: Kern, thread: Thread) -> int | None:
    """What the handler answered: its code, MIG_REPLY_MISMATCH for a message that is no reply, None where nothing came.

    Consumes the message.
    """
    ipc = kern.ipc
    reply = mqueue.kernel_reply(ipc, thread)
    if reply is None:
        return None
    code = REPLY_MISMATCH
    if reply.id == REPLY_ID and reply.remote_type == PORT_SEND_ONCE and reply.local_type == 0:
        values = RETCODE.matches(ipc.order, reply.body, reply.carried, reply.complex)
        code = REPLY_MISMATCH if values is None else values[0]
    port.release_sonce(ipc, reply.remote)
    reply.remote = None
    if code == REPLY_MISMATCH:
        kernel_message.destroy(ipc, reply)
    else:
        kernel_message.consume(ipc, reply)
    return code


def abort(kern: Kern, thread: Thread) -> None:
    """mach_msg_abort_rpc: a wait for a handler's answer is over, and a late answer finds a dead port."""
    if thread.continuation is Continuation.EXCEPTION_REPLY:
        if thread.ith_queue is not None:
            thread.ith_queue.remove(thread)
            kern.wake(thread)
        take(kern, thread)
    reply_port, thread.ith_rpc_reply = thread.ith_rpc_reply, None
    if reply_port is not None:
        port.dealloc_kernel(kern.ipc, reply_port)
