"""The fields of a thread that IPC owns (Mach's ipc_thread.h); kern's Thread extends it."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from machemu.sim.state import U32, Word, state

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.seams import TaskMemory
    from machemu.ipc.space import Space
    from machemu.ipc.waitq import WaitQueue


@state
class MsgContinuation(Enum):
    """Where mach_msg goes on when a blocked thread runs again; the arguments lie in the thread's ith_ fields."""

    SEND = auto()
    RECEIVE = auto()
    COPYIN = auto()
    """Waits for memory that the message in ith_kmsg carries; the items before it have been taken."""
    RETRY = auto()
    """Waits for memory that the kernel needs to answer the request in ith_kmsg."""
    GSYNC = auto()
    """It sent to the kernel, and waits in gsync_wait, the one routine that waits."""
    COPYOUT = auto()
    """Waits for the memory that ith_put is to be written to."""


@state
class MsgArgs(NamedTuple):
    """mach_msg's arguments."""

    msg: Word  # where the message is, or is wanted
    option: Word
    send_size: Word
    rcv_size: Word
    rcv_name: Word  # a port name, as `notify`
    timeout: Word  # milliseconds
    notify: Word


NO_ARGS: Final = MsgArgs(0, 0, 0, 0, 0, 0, 0)


@state
class Put(NamedTuple):
    """Bytes to be written to a thread's memory. result: the trap's then; otherwise: the trap's where that cannot be."""

    address: U32
    data: bytes
    result: Word
    otherwise: Word


@state
class IpcThread:
    """A thread as IPC sees it."""

    __slots__ = (
        "space", "memory", "ith_queue", "ith_wait", "ith_state", "ith_kmsg", "ith_seqno", "ith_msize", "ith_args", "ith_put",
    )  # fmt: skip
    # Its task's; fixed for the thread's life:
    space: Space
    memory: TaskMemory

    # How it waits, set by whoever blocks or wakes it:
    ith_queue: WaitQueue | None  # the queue of blocked senders or receivers that it stands in; it stands in one at most
    ith_wait: MsgContinuation | None  # which wait of mach_msg it is in, or has been woken from without having run yet
    ith_state: Word  # mach_msg_return_t of the wait; in GSYNC what the routine answers

    # What mach_msg goes on with; the thread owns it:
    # The message that it sends (blocked in SEND, COPYIN, RETRY) or was given (woken in RECEIVE), or in GSYNC the routine's reply,
    # if one is wanted.
    ith_kmsg: Kmsg | None
    ith_seqno: U32  # the sequence number of the message that it was given
    ith_msize: U32  # bytes of the largest message that it takes; after MACH_RCV_TOO_LARGE the size of the one that came
    ith_args: MsgArgs  # the trap's arguments, zeros before the first
    ith_put: Put | None  # what is still to be written

    def __init__(self, space: Space, memory: TaskMemory) -> None:
        self.space = space
        self.memory = memory
        self.ith_queue = None
        self.ith_wait = None
        self.ith_state = 0
        self.ith_kmsg = None
        self.ith_seqno = 0
        self.ith_msize = 0
        self.ith_args = NO_ARGS
        self.ith_put = None
