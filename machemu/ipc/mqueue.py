"""Message queues: sending into them, taking out of them, and the threads that wait at them (Mach's ipc_mqueue.c).

A queue is the `messages` and `receivers` of a port, or of a set for its members. While a thread waits there is no message.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from machemu.abi.errors import InvariantError, MustWait
from machemu.abi.message import (
    HEADER_SIZE,
    MACH_MSG_SUCCESS,
    MACH_RCV_IN_PROGRESS,
    MACH_RCV_NOTIFY,
    MACH_RCV_TOO_LARGE,
    PORT_SEND_ONCE,
    SIZE_MAX,
)
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import marequest
from machemu.ipc import port as ports
from machemu.ipc.thread import MsgContinuation

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.ipc.pset import PortSet
    from machemu.ipc.subsystem import Ipc
    from machemu.ipc.thread import IpcThread

TO_KERNEL, TO_TASKS, TO_OTHERS = 0, 2, 4
"""Places in Ipc.sent."""


def send(ipc: Ipc, sender: IpcThread | None, kmsg: Kmsg, always: bool, hand_off: bool = False) -> bool:
    """Sends a message and consumes it; False, and nothing done, where the destination's queue is full (never with `always`).

    A request to the kernel is served at once and its reply sent; MustWait where it is to be served again later. A message to a
    dead port, or one that carries its own destination's receive right, is destroyed. `hand_off`: the sender is about to wait
    for an answer.
    """
    port: Port = kmsg.remote  # type: ignore[assignment]
    if port.receiver is ipc.kernel_space:
        if ipc.observer is not None:
            ipc.observer.sent(sender, kmsg)
        size = kmsg.size
        serve(ipc, kmsg, hand_off)
        if sender is not None:
            _count(ipc, TO_KERNEL, size)
        return True
    if not port.active:
        kmsg.remote = None
        kmsgs.destroy(ipc, kmsg)
        return True
    if port.kobject is ports.ABANDONED:
        _late_reply(ipc, port, kmsg)
        return True
    if port.msgcount >= port.qlimit and not always and kmsg.remote_type != PORT_SEND_ONCE:
        return False
    if kmsg.circular:
        kmsgs.destroy(ipc, kmsg)
        return True
    if ipc.observer is not None:
        ipc.observer.sent(sender, kmsg)
    if sender is not None:
        _count(ipc, TO_OTHERS if port.receiver is not None and port.receiver.forwards else TO_TASKS, kmsg.size)
    port.msgcount += 1
    _deliver(ipc, port if port.pset is None else port.pset, port, kmsg, hand_off)
    if not kmsg.direct:
        ipc.messages_sent += 1
    return True


def _count(ipc: Ipc, place: int, size: int) -> None:
    """Counts a message of a user's."""
    ipc.sent[place] += 1
    ipc.sent[place + 1] += size


def hand_exception(ipc: Ipc, kmsg: Kmsg) -> bool:
    """exception_raise's short way: a message goes to the thread that waits first, which runs next.

    False, and nothing done, where nobody waits or cannot take it so. Its port's sequence numbers do not count such a message;
    a receiver with too little room does not even get the header.
    """
    port: Port = kmsg.remote  # type: ignore[assignment]
    queue: Port | PortSet = port if port.pset is None else port.pset
    receiver = queue.receivers.first()
    if receiver is None or receiver.ith_wait is not MsgContinuation.RECEIVE:
        return False
    _, option, _, rcv_size, _, _, _ = receiver.ith_args
    if option & MACH_RCV_NOTIFY or kmsg.size > receiver.ith_msize or not ipc.scheduler.hand_off(receiver):
        return False
    queue.receivers.dequeue()
    if ipc.observer is not None:
        ipc.observer.sent(None, kmsg)
    if kmsg.size > rcv_size:
        receiver.ith_state = MACH_RCV_TOO_LARGE
        kmsgs.destroy(ipc, kmsg)
        return True
    receiver.ith_state = MACH_MSG_SUCCESS
    receiver.ith_kmsg = kmsg
    receiver.ith_seqno = 0
    port.msgcount += 1
    return True


def _late_reply(ipc: Ipc, port: Port, kmsg: Kmsg) -> None:
    """A message to an abandoned reply port: nobody sees it."""
    kmsg.remote = None
    ports.release_used(ipc, port, kmsg.remote_type)
    kmsgs.destroy(ipc, kmsg)
    ports.end_abandoned(ipc, port)


def serve(ipc: Ipc, kmsg: Kmsg, hand_off: bool = False) -> None:
    """The kernel performs a request and its reply is sent. Consumes it, unless MustWait says to serve it again. `hand_off`: the
    sender takes the reply at once, where no other is in its way."""
    reply = ipc.kernel.serve(kmsg)
    if reply is not None:
        port: Port = reply.remote  # type: ignore[assignment]
        reply.direct = hand_off and port.pset is None and not port.messages and not port.receivers.threads
        send(ipc, None, reply, True)


def serve_queued(ipc: Ipc, port: Port) -> None:
    """The kernel performs the first request in the queue of a port that has become its own. MustWait leaves it there."""
    kmsg = port.messages.popleft()
    taken(ipc, kmsg)
    try:
        serve(ipc, kmsg)
    except MustWait:
        port.msgcount += 1
        port.messages.appendleft(kmsg)
        raise


def wake_senders(ipc: Ipc, port: Port) -> None:
    """All who wait for room in a port's queue try again."""
    while (sender := port.senders.dequeue()) is not None:
        sender.ith_state = MACH_MSG_SUCCESS
        ipc.scheduler.wake(sender)


def _deliver(ipc: Ipc, queue: Port | PortSet, port: Port, kmsg: Kmsg, hand_off: bool) -> None:
    """Gives a message to the first waiting receiver that has room for it, or queues it. Others are told its size on the way."""
    receivers = queue.receivers
    size = HEADER_SIZE + len(kmsg.body)
    while receivers.threads:
        receiver = receivers.threads.popleft()
        receiver.ith_queue = None
        if size <= receiver.ith_msize:
            receiver.ith_state = MACH_MSG_SUCCESS
            receiver.ith_kmsg = kmsg
            receiver.ith_seqno = port.next_seqno()
            if hand_off and ipc.scheduler.hand_off(receiver):
                kmsg.direct = True
            else:
                ipc.scheduler.wake(receiver)
            return
        receiver.ith_state = MACH_RCV_TOO_LARGE
        receiver.ith_msize = size
        ipc.scheduler.wake(receiver)
    queue.messages.append(kmsg)


def taken(ipc: Ipc, kmsg: Kmsg) -> None:
    """A receiver has taken a message out of its port's queue: the sender's msg-accepted notification, and the next sender."""
    if kmsg.marequest is not None:
        marequest.destroy(ipc, kmsg)
    port: Port = kmsg.remote  # type: ignore[assignment]
    if port.active:
        port.msgcount -= 1
        if port.senders.threads:
            offer_room(ipc, port)


def offer_room(ipc: Ipc, port: Port) -> None:
    """Where there is room in a port's queue one that waits for it tries again."""
    if port.senders.threads and port.msgcount < port.qlimit:
        sender = port.senders.threads.popleft()
        sender.ith_queue = None
        sender.ith_state = MACH_MSG_SUCCESS
        ipc.scheduler.wake(sender)


def move(ipc: Ipc, dest: Port | PortSet, source: Port | PortSet, port: Port) -> None:
    """ipc_mqueue_move: a port's messages go to another queue, in order, to whoever waits there first."""
    kept: deque[Kmsg] = deque()
    moved = [kmsg for kmsg in source.messages if kmsg.remote is port]
    if not moved:
        return
    kept.extend(kmsg for kmsg in source.messages if kmsg.remote is not port)
    source.messages = kept
    for kmsg in moved:
        _deliver(ipc, dest, port, kmsg, False)


def changed(ipc: Ipc, queue: Port | PortSet, code: int) -> None:
    """ipc_mqueue_changed: every thread that receives here gets `code`."""
    while (thread := queue.receivers.dequeue()) is not None:
        thread.ith_state = code
        ipc.scheduler.wake(thread)


def wait_for_kernel_reply(ipc: Ipc, thread: IpcThread, port: Port) -> None:
    """Puts a thread that the kernel blocks into the queue of a reply port of the kernel's own. The caller blocks it."""
    if port.messages:
        raise InvariantError("a reply nobody waited for lies at a reply port of the kernel")
    thread.ith_state = MACH_RCV_IN_PROGRESS
    thread.ith_msize = SIZE_MAX
    port.receivers.enqueue(thread)


def wait_again_for_kernel_reply(ipc: Ipc, thread: IpcThread, port: Port) -> None:
    """As `wait_for_kernel_reply`, at a port where the reply may have come meanwhile. The caller has blocked the thread."""
    messages, port.messages = port.messages, deque()
    wait_for_kernel_reply(ipc, thread, port)
    for kmsg in messages:
        _deliver(ipc, port, port, kmsg, False)


def kernel_reply(ipc: Ipc, thread: IpcThread) -> Kmsg | None:
    """What came for a thread that waited in `wait_for_kernel_reply`; the caller owns it. None where the wait ended otherwise."""
    kmsg, thread.ith_kmsg = thread.ith_kmsg, None
    if thread.ith_state != MACH_MSG_SUCCESS or kmsg is None:
        return None
    taken(ipc, kmsg)
    return kmsg
