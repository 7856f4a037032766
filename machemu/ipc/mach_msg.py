"""The trap mach_msg (Mach's mach_msg.c): send, receive, or both; and how threads that blocked in it go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from machemu.abi.errors import InvariantError, KernError, MustWait
from machemu.abi.message import (
    COPY_SEND,
    HEADER_SIZE_FIELD,
    MACH_MSG_SUCCESS,
    MACH_RCV_IN_PROGRESS,
    MACH_RCV_IN_SET,
    MACH_RCV_INTERRUPTED,
    MACH_RCV_INVALID_DATA,
    MACH_RCV_INVALID_NAME,
    MACH_RCV_INVALID_NOTIFY,
    MACH_RCV_LARGE,
    MACH_RCV_MSG,
    MACH_RCV_NOTIFY,
    MACH_RCV_TIMED_OUT,
    MACH_RCV_TIMEOUT,
    MACH_RCV_TOO_LARGE,
    MACH_SEND_CANCEL,
    MACH_SEND_IN_PROGRESS,
    MACH_SEND_INTERRUPTED,
    MACH_SEND_INVALID_DEST,
    MACH_SEND_INVALID_NOTIFY,
    MACH_SEND_MSG,
    MACH_SEND_NOTIFY,
    MACH_SEND_TIMED_OUT,
    MACH_SEND_TIMEOUT,
    MACH_SEND_WILL_NOTIFY,
    MAKE_SEND_ONCE,
    MOVE_SEND_ONCE,
    MSGH_BITS_COMPLEX,
    SIZE_MAX,
)
from machemu.abi.port import TYPE_PORT_SET, TYPE_RECEIVE
from machemu.abi.types import Nanoseconds, VirtAddr
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import kmsg_copyin, kmsg_copyout, marequest, mqueue
from machemu.ipc.thread import MsgArgs, MsgContinuation, Put
from machemu.sim.state import PortName

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.pset import PortSet
    from machemu.ipc.subsystem import Ipc
    from machemu.ipc.thread import IpcThread


NS_PER_MS: Final = 1_000_000
REQUEST_BITS: Final = COPY_SEND | MAKE_SEND_ONCE << 8
REPLY_BITS: Final = MOVE_SEND_ONCE
HAND_OFF_SIZE_MAX: Final = 4080
"""The largest message that the real kernel's short way, and so its hand-off, takes."""


def mach_msg_trap(
    ipc: Ipc,
    thread: IpcThread,
    msg: int,
    option: int,
    send_size: int,
    rcv_size: int,
    rcv_name: PortName,
    timeout: int,
    notify: PortName,
) -> int | None:
    """Mach's mach_msg_trap: a mach_msg_return_t, or None where the thread blocks. `timeout` is in milliseconds."""
    args = (msg, option, send_size, rcv_size, rcv_name, timeout, notify)
    if option & MACH_SEND_MSG:
        return _sent(ipc, thread, args, _send(ipc, thread, args))
    if option & MACH_RCV_MSG:
        return _receive(ipc, thread, args)
    return MACH_MSG_SUCCESS


def continue_wait(ipc: Ipc, thread: IpcThread) -> int | None:
    """Goes on where a thread blocked, once it has been woken; as `mach_msg_trap`, it may block again."""
    wait, thread.ith_wait = thread.ith_wait, None
    args = thread.ith_args
    if wait is MsgContinuation.RECEIVE:
        return _received(ipc, thread, args)
    if wait is MsgContinuation.GSYNC:
        reply = ipc.kernel.finish(thread)
        if reply is not None:
            mqueue.send(ipc, None, reply, True)
        return _receive(ipc, thread, args) if args.option & MACH_RCV_MSG else MACH_MSG_SUCCESS
    if wait is MsgContinuation.COPYOUT:
        put, thread.ith_put = cast("Put", thread.ith_put), None
        return put.otherwise if thread.ith_state == MACH_RCV_INTERRUPTED else _put(ipc, thread, *put)
    kmsg, thread.ith_kmsg = cast("Kmsg", thread.ith_kmsg), None
    if wait is MsgContinuation.RETRY or wait is MsgContinuation.COPYIN:
        if thread.ith_state == MACH_SEND_INTERRUPTED:
            kmsgs.destroy(ipc, kmsg)
            return MACH_SEND_INTERRUPTED
        code = _send_body(ipc, thread, args, kmsg, False) if wait is MsgContinuation.COPYIN else _serve(ipc, thread, args, kmsg)
        return _sent(ipc, thread, args, code)
    if wait is not MsgContinuation.SEND:
        raise InvariantError("a thread goes on with mach_msg that was not in it")
    if thread.ith_state == MACH_SEND_INTERRUPTED:
        return _give_back(ipc, thread, args, kmsg, MACH_SEND_INTERRUPTED)
    return _sent(ipc, thread, args, _try_send(ipc, thread, args, kmsg, thread.ith_state == MACH_SEND_TIMED_OUT, False))


def _sent(ipc: Ipc, thread: IpcThread, args: Args, code: int | None) -> int | None:
    """What follows a send that ended with `code`, or None where the thread waits."""
    if code != MACH_MSG_SUCCESS:
        return code
    if thread.ith_wait is not None:
        thread.ith_args = MsgArgs(*args)
        return None
    _, option, _, _, _, _, _ = args
    return _receive(ipc, thread, args) if option & MACH_RCV_MSG else MACH_MSG_SUCCESS


def send_again(ipc: Ipc, thread: IpcThread, args: MsgArgs, data: bytes, late: bool) -> int | None:
    """A send that was given up while it waited: the message, whose names are the thread's, and what follows.

    late: there is no time left to wait for room. A message whose port has died meanwhile is sent to the dead port.
    """
    if late:
        args = args._replace(option=args.option | MACH_SEND_TIMEOUT, timeout=0)
    try:
        kmsg = _copyin_again(ipc, thread, data)
    except KernError as error:
        return error.code
    return _sent(ipc, thread, args, _send_body(ipc, thread, args, kmsg, False))


def send_woken(ipc: Ipc, thread: IpcThread, args: MsgArgs, data: bytes, late: bool) -> int | None:
    """As `send_again`, of one that was woken and had not run since: it is woken again, and sends when it runs, which the caller
    sees to. None then, too, or where it waits for memory of the message."""
    try:
        kmsg = _copyin_again(ipc, thread, data)
    except KernError as error:
        return error.code
    code = _take_body(ipc, thread, args, kmsg)
    if code != MACH_MSG_SUCCESS:
        return code
    thread.ith_wait, thread.ith_args, thread.ith_kmsg = MsgContinuation.SEND, args, kmsg
    thread.ith_state = MACH_SEND_TIMED_OUT if late else MACH_MSG_SUCCESS
    return None


def _copyin_again(ipc: Ipc, thread: IpcThread, data: bytes) -> Kmsg:
    """Raises KernError."""
    try:
        return kmsg_copyin.copyin(ipc, thread.space, data, 0)
    except KernError as error:
        if error.code != MACH_SEND_INVALID_DEST:
            raise
        return kmsg_copyin.copyin_to_dead(ipc, thread.space, data)


def receive_again(ipc: Ipc, thread: IpcThread, args: MsgArgs) -> int | None:
    """A receive that was given up while it waited."""
    return _receive(ipc, thread, args)


def put_again(ipc: Ipc, thread: IpcThread, put: Put) -> int | None:
    """A last step that was given up while it waited for the memory."""
    return _put(ipc, thread, *put)


def timed_out(ipc: Ipc, thread: IpcThread) -> None:
    """The time-out of a thread blocked in mach_msg has passed: it is woken, and tries once more or fails."""
    _end_wait(ipc, thread, MACH_SEND_TIMED_OUT, MACH_RCV_TIMED_OUT)


def interrupted(ipc: Ipc, thread: IpcThread) -> None:
    """The wait of a thread blocked in mach_msg is broken off: it is woken, and `continue_wait` gives back what it was sending."""
    _end_wait(ipc, thread, MACH_SEND_INTERRUPTED, MACH_RCV_INTERRUPTED)


def _end_wait(ipc: Ipc, thread: IpcThread, send_code: int, rcv_code: int) -> None:
    if thread.ith_queue is not None:
        thread.ith_queue.remove(thread)
    elif thread.ith_wait not in (MsgContinuation.COPYIN, MsgContinuation.RETRY, MsgContinuation.COPYOUT):
        raise InvariantError("a thread's wait in mach_msg ends, but it stands in no queue")
    receives = thread.ith_wait in (MsgContinuation.RECEIVE, MsgContinuation.COPYOUT)
    thread.ith_state = rcv_code if receives else send_code
    ipc.scheduler.wake(thread)


Args = tuple[int, int, int, int, int, int, int]
"""MsgArgs' fields. They become a MsgArgs when the thread waits, as making one costs a tenth of a short trap."""


def _block(ipc: Ipc, thread: IpcThread, continuation: MsgContinuation, args: Args, limited: int) -> None:
    thread.ith_wait = continuation
    thread.ith_args = MsgArgs(*args)
    ipc.scheduler.block(thread, continuation, Nanoseconds(thread.ith_args.timeout * NS_PER_MS) if limited else None)


def _wait(ipc: Ipc, thread: IpcThread, continuation: MsgContinuation, args: Args, wait: MustWait) -> None:
    """The thread waits for memory and then tries again, however often."""
    thread.ith_wait = continuation
    thread.ith_args = MsgArgs(*args)
    thread.ith_state = MACH_MSG_SUCCESS
    ipc.scheduler.wait(thread, continuation, wait)


# Sending


def _send(ipc: Ipc, thread: IpcThread, args: Args) -> int | None:
    msg, option, send_size, _, rcv_name, _, notify = args
    space = thread.space
    try:
        data = kmsg_copyin.get(ipc, thread.memory, msg, send_size)
        if not option & MACH_SEND_CANCEL:
            notify = 0
        elif not notify:
            return MACH_SEND_INVALID_NOTIFY
        kmsg = kmsg_copyin.copyin(ipc, space, data, notify)
    except KernError as error:
        return error.code
    hand_off = False
    if option == MACH_SEND_MSG | MACH_RCV_MSG and send_size <= HAND_OFF_SIZE_MAX:
        bits, _, _, reply_name, _, _ = ipc.header.unpack_from(data)
        hand_off = reply_name == rcv_name if bits & ~MSGH_BITS_COMPLEX == REQUEST_BITS else bits == REPLY_BITS and not reply_name
    return _send_body(ipc, thread, args, kmsg, hand_off)


def _send_body(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg, hand_off: bool) -> int | None:
    """Takes what the message's body stands for and sends it."""
    if kmsg.complex:
        code = _take_body(ipc, thread, args, kmsg)
        if code != MACH_MSG_SUCCESS:
            return code
    return _try_send(ipc, thread, args, kmsg, False, hand_off)


def _take_body(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg) -> int | None:
    """None where the thread waits for memory of the message, which is consumed on failure."""
    try:
        kmsg_copyin.copyin_body(ipc, thread.space, thread.memory, kmsg)
    except KernError as error:
        return error.code
    except MustWait as wait:
        thread.ith_kmsg = kmsg
        _wait(ipc, thread, MsgContinuation.COPYIN, args, wait)
        return None
    return MACH_MSG_SUCCESS


def _serve(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg) -> int | None:
    """Tries again to have the kernel perform a request."""
    try:
        mqueue.serve(ipc, kmsg)
    except MustWait as wait:
        thread.ith_kmsg = kmsg
        _wait(ipc, thread, MsgContinuation.RETRY, args, wait)
        return None
    return MACH_MSG_SUCCESS


def _try_send(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg, late: bool, hand_off: bool) -> int | None:
    """Sends a message or waits for room; consumes it. `late`: there is no time left to wait."""
    try:
        if mqueue.send(ipc, thread, kmsg, False, hand_off):
            return MACH_MSG_SUCCESS
    except MustWait as wait:
        thread.ith_kmsg = kmsg
        _wait(ipc, thread, MsgContinuation.RETRY, args, wait)
        return None
    _, option, _, _, _, timeout, notify = args
    limited = option & (MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY)
    if not late and (not limited or (option & MACH_SEND_TIMEOUT and timeout)):
        port = cast("Port", kmsg.remote)
        thread.ith_state = MACH_SEND_IN_PROGRESS
        thread.ith_kmsg = kmsg
        port.senders.enqueue(thread)
        _block(ipc, thread, MsgContinuation.SEND, args, limited)
        return None
    if not option & MACH_SEND_NOTIFY:
        return _give_back(ipc, thread, args, kmsg, MACH_SEND_TIMED_OUT)
    if not notify:
        return _give_back(ipc, thread, args, kmsg, MACH_SEND_INVALID_NOTIFY)
    try:
        kmsg.marequest = marequest.create(thread.space, cast("Port", kmsg.remote), notify)
    except KernError as error:
        return _give_back(ipc, thread, args, kmsg, error.code)
    mqueue.send(ipc, thread, kmsg, True)
    return MACH_SEND_WILL_NOTIFY


def _give_back(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg, code: int) -> int | None:
    """A message that was copied in is not sent: the sender gets it back where it lay. Consumes it."""
    msg, _, _, _, _, _, _ = args
    data, lost = kmsg_copyout.copyout_pseudo(ipc, thread.space, thread.memory, kmsg)
    return _put(ipc, thread, msg, data, code | lost, code | lost)


def _put(ipc: Ipc, thread: IpcThread, address: int, data: bytes, code: int, otherwise: int) -> int | None:
    """The trap's last step: writes to the user's memory. The trap's result is `code`, or `otherwise` where nothing can be
    written; None where the thread waits for the memory."""
    try:
        thread.memory.write(VirtAddr(address), data)
    except KernError:
        return otherwise
    except MustWait as wait:
        thread.ith_put = Put(address, data, code, otherwise)
        _wait(ipc, thread, MsgContinuation.COPYOUT, thread.ith_args, wait)
        return None
    return code


# Receiving


def _receive(ipc: Ipc, thread: IpcThread, args: Args) -> int | None:
    _, option, _, rcv_size, rcv_name, timeout, _ = args
    entry = thread.space.table.get(rcv_name)
    if entry is None:
        return MACH_RCV_INVALID_NAME
    if entry.type & TYPE_RECEIVE:
        if entry.port().pset is not None:
            return MACH_RCV_IN_SET
    elif not entry.type & TYPE_PORT_SET:
        return MACH_RCV_INVALID_NAME
    queue = cast("Port | PortSet", entry.object)
    max_size = rcv_size if option & MACH_RCV_LARGE else SIZE_MAX
    if queue.messages:
        kmsg = queue.messages[0]
        if kmsg.size > max_size:
            return _too_large(ipc, thread, args, kmsg.size)
        queue.messages.popleft()
        kmsg.seqno = cast("Port", kmsg.remote).next_seqno()
        return _take(ipc, thread, args, kmsg)
    limited = option & MACH_RCV_TIMEOUT
    if limited and not timeout:
        return MACH_RCV_TIMED_OUT
    thread.ith_state = MACH_RCV_IN_PROGRESS
    thread.ith_msize = max_size
    queue.receivers.enqueue(thread)
    _block(ipc, thread, MsgContinuation.RECEIVE, args, limited)
    return None


def _received(ipc: Ipc, thread: IpcThread, args: MsgArgs) -> int | None:
    """The wait for a message is over."""
    if thread.ith_state == MACH_RCV_TOO_LARGE and args.option & MACH_RCV_LARGE:
        return _too_large(ipc, thread, args, thread.ith_msize)
    if thread.ith_state != MACH_MSG_SUCCESS:
        return thread.ith_state
    kmsg, thread.ith_kmsg = cast("Kmsg", thread.ith_kmsg), None
    kmsg.seqno = thread.ith_seqno
    return _take(ipc, thread, args, kmsg)


def _too_large(ipc: Ipc, thread: IpcThread, args: Args, size: int) -> int | None:
    """With MACH_RCV_LARGE the message stays where it is, and the receiver is told its size."""
    msg, _, _, _, _, _, _ = args
    return _put(ipc, thread, msg + HEADER_SIZE_FIELD & SIZE_MAX, ipc.word.pack(size), MACH_RCV_TOO_LARGE, MACH_RCV_TOO_LARGE)


def _take(ipc: Ipc, thread: IpcThread, args: Args, kmsg: Kmsg) -> int | None:
    """Gives a message out of the queue to its receiver. Consumes it."""
    msg, option, _, rcv_size, _, _, notify = args
    mqueue.taken(ipc, kmsg)
    if not kmsg.direct:
        ipc.messages_received += 1
    space = thread.space
    code = 0
    if kmsg.size > rcv_size:
        code = MACH_RCV_TOO_LARGE
    elif not option & MACH_RCV_NOTIFY:
        notify = 0
    elif not notify:
        code = MACH_RCV_INVALID_NOTIFY
    if not code:
        if ipc.observer is not None:
            ipc.observer.received(thread, kmsg)
        try:
            data, code = kmsg_copyout.copyout(ipc, space, thread.memory, kmsg, notify)
        except KernError as error:
            code = error.code
        else:
            return _put(ipc, thread, msg, data, code, code or MACH_RCV_INVALID_DATA)
    return _put(ipc, thread, msg, kmsg_copyout.copyout_dest(ipc, space, kmsg), code, code)
