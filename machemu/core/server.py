"""Messages to the kernel itself: a routine is performed at once, in the sender (Mach's ipc_kobject_server)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MIG_BAD_ID, MIG_NO_REPLY
from machemu.abi.message import PORT_SEND
from machemu.core.routines.notify import told
from machemu.core.routines.table import Row
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.ipc.kmsg import Kmsg
from machemu.ipc.port import Port, Right
from machemu.ipc.thread import IpcThread
from machemu.mig.interfaces import notify
from machemu.mig.runtime import RETCODE, Routine

if TYPE_CHECKING:
    from machemu.core.kernel import Kernel

REPLY_ID: Final = 100
WORD: Final = 0xFFFFFFFF


def serve(kernel: Kernel, request: Kmsg) -> Kmsg | None:
    """Performs a request and consumes it; the reply, addressed by the request's reply right, or None where there is none.

    A reply that nobody can get is destroyed with all it carries, as in the real kernel. Raises MustWait and consumes nothing
    where memory is wanted that has to be waited for.
    """
    row = kernel.routines.get(request.id)
    code: int = MIG_BAD_ID
    notified = request.id in notify.ROUTINES
    results: tuple[object, ...] | None = ()
    if notified:
        code = told(kernel, request)
    elif row is not None:
        code, results = _perform(kernel, row, request)
    _release(kernel, request.remote, request.remote_type)
    request.remote = None
    reply_port, reply_type = request.local, request.local_type
    request.local = None
    if code not in (0, MIG_NO_REPLY) or notified:
        kmsgs.destroy(kernel.ipc, request)
    else:
        kmsgs.consume(kernel.ipc, request)
    if code == MIG_NO_REPLY:
        if notified and isinstance(reply_port, Port):
            _release(kernel, reply_port, reply_type)
        return None
    if results is None:
        if isinstance(reply_port, Port):
            kernel.kern.current.ith_kmsg = _reply(kernel, request.id, reply_port, reply_type, None, (0,))
        return None
    routine = row.routine if row is not None and code == 0 else None
    reply = _reply(kernel, request.id, reply_port, reply_type, routine, (code, *results))
    if isinstance(reply_port, Port):
        return reply
    kmsgs.destroy(kernel.ipc, reply)
    return None


def finish(kernel: Kernel, thread: IpcThread) -> Kmsg | None:
    """The reply of a routine without results in which the thread has waited."""
    reply, thread.ith_kmsg = thread.ith_kmsg, None
    if reply is not None:
        reply.body, _ = RETCODE.pack(kernel.ipc.order, (thread.ith_state,))
    return reply


def _perform(kernel: Kernel, row: Row, request: Kmsg) -> tuple[int, tuple[object, ...] | None]:
    """The routine's code and results; None for those where the current thread waits in it."""
    try:
        values = row.routine.request.unpack(kernel.ipc.order, request.body, request.carried, request.complex)
        return 0, row.handler(kernel, request, *values)
    except KernError as error:
        return error.code, ()


def _reply(
    kernel: Kernel, request_id: int, port: Right, disposition: int, routine: Routine | None, values: tuple[object, ...]
) -> Kmsg:
    message = RETCODE if routine is None or routine.reply is None else routine.reply
    body, carried = message.pack(kernel.ipc.order, values)
    return kmsgs.make(kernel.ipc, port, disposition, None, 0, request_id + REPLY_ID & WORD, body, carried)


def _release(kernel: Kernel, right: Right, disposition: int) -> None:
    """Gives up a right that was used: of a send-once right nobody is told."""
    if disposition == PORT_SEND:
        ports.release_send(kernel.ipc, right)
    else:
        ports.release_sonce(kernel.ipc, right)
