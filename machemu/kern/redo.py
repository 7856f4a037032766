"""The wait of a frozen task's thread as data: what the thread does anew when it goes on, here or in another kernel.

A `detach_` function ends a wait (a row of kern/waits.py) without telling the thread, and `begin` begins it again. A user sees
nothing of it: a message that was on its way out is sent once more, and a receiver stands in its queue again where it stood.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from machemu.abi.errors import MustWait
from machemu.abi.exception import Raised
from machemu.abi.message import MACH_MSG_SUCCESS, MACH_SEND_MSG, MACH_SEND_TIMED_OUT
from machemu.abi.migrate import (
    FOREVER,
    REDO_EXCEPTION,
    REDO_FAULT,
    REDO_GSYNC,
    REDO_NOTHING,
    REDO_PUT,
    REDO_RECEIVE,
    REDO_REDIRECT,
    REDO_SEND,
    REDO_SWITCH,
    REDO_TRAP,
    REDO_YIELD,
    SEND_LATE,
    SEND_ROOM,
    SEND_WAITS,
)
from machemu.ipc import kmsg_copyout, mach_msg, mqueue, port
from machemu.ipc.thread import MsgArgs, MsgContinuation, Put
from machemu.kern import exception_rpc, gsync
from machemu.kern.thread import TH_WAIT, Continuation
from machemu.sim.state import U32, Natural, Word, state
from machemu.vm.fault import wait_again

if TYPE_CHECKING:
    from machemu.ipc.kmsg import Kmsg
    from machemu.ipc.port import Port
    from machemu.kern.subsystem import Kern
    from machemu.kern.thread import Thread
    from machemu.sim.events import Event

NS_PER_MS: Final = 1_000_000


@state
class Redo(NamedTuple):
    """What a thread does anew. abi/migrate.py says what words and data are for each kind.

    A right that belongs to it stays where the wait had it: a routine's reply in ith_kmsg, the port where an exception is answered
    in ith_rpc_reply.
    """

    kind: Natural
    words: tuple[Word, ...] = ()
    data: bytes = b""
    limit: U32 = FOREVER  # milliseconds of its time-out that are left
    place: Natural = 0  # among those at its queue or ready to run, the first to come 0


NOTHING: Final = Redo(REDO_NOTHING)
MEMORY_TRAPS: Final = (64, 65, 68)
"""vm_map, vm_allocate and task_create: they wait for memory, and know whose they are."""
YIELDS: Final = (Continuation.SWTCH, Continuation.SWTCH_PRI, Continuation.THREAD_SWITCH)
"""By the word of REDO_YIELD."""


def time_left(kern: Kern, timer: Event | None) -> int:
    """Milliseconds until an event, at least one and fewer than FOREVER, which is for none."""
    return FOREVER if timer is None else min(max(1, -(-(timer.time - kern.clock.now()) // NS_PER_MS)), FOREVER - 1)


def place(kern: Kern, thread: Thread) -> int:
    """How many stand in a thread's queue that came before it; 0 where it is in none."""
    if thread.wait_event is not None:
        return thread.wait_event.threads.index(thread)
    if thread.gsync_key is not None:
        return kern.gsync.waiters[thread.gsync_key].index(thread)
    queue = thread.ith_queue
    return len(queue.threads) - 1 - queue.threads.index(thread) if queue is not None else 0


def _leave_queue(kern: Kern, thread: Thread) -> int:
    """Ends a wait in a queue of IPC's; the time-out that was left."""
    limit = time_left(kern, thread.wait_timer)
    if thread.ith_queue is not None:
        thread.ith_queue.remove(thread)
    thread.ith_wait = None
    kern.wake(thread)
    return limit


def detach_receive(kern: Kern, thread: Thread) -> Redo:
    return Redo(REDO_RECEIVE, (*thread.ith_args,), b"", _leave_queue(kern, thread))


def detach_send(kern: Kern, thread: Thread) -> Redo:
    """Whatever of the message has been taken comes back under names of the sender's, and its memory back into the sender's.

    Room for which it has been woken is another task's then; the senders of its own task leave, too.
    """
    how = SEND_WAITS
    kmsg, thread.ith_kmsg = cast("Kmsg", thread.ith_kmsg), None
    if thread.ith_wait is not MsgContinuation.SEND or not thread.state & TH_WAIT:
        how = SEND_LATE if thread.ith_state == MACH_SEND_TIMED_OUT else SEND_ROOM
    limit = _leave_queue(kern, thread)
    target = cast("Port", kmsg.remote)
    following = cast("Thread | None", target.senders.first())
    if following is not None and following.task is not thread.task:
        mqueue.offer_room(kern.ipc, target)
    if kmsg.kept is not None:
        kmsg.kept.discard()
    data, _ = kmsg_copyout.copyout_pseudo(kern.ipc, thread.space, thread.memory, kmsg)
    return Redo(REDO_SEND, (*thread.ith_args, how), data, limit)


def detach_put(kern: Kern, thread: Thread) -> Redo:
    put, thread.ith_put = cast("Put", thread.ith_put), None
    thread.ith_wait = None
    kern.wake(thread)
    return Redo(REDO_PUT, (put.address, put.result, put.otherwise), put.data)


def detach_gsync(kern: Kern, thread: Thread) -> Redo:
    limit = time_left(kern, thread.wait_timer)
    address, shared = gsync.leave(kern, thread)
    return Redo(REDO_GSYNC, (address, int(shared), *thread.ith_args), b"", limit)


def detach_yield(kern: Kern, thread: Thread) -> Redo:
    """Of one that waits in thread_switch, too."""
    if not thread.state & TH_WAIT:
        return Redo(REDO_YIELD, (YIELDS.index(thread.continuation),))
    limit = time_left(kern, thread.wait_timer)
    kern.wake(thread)
    return Redo(REDO_SWITCH, (), b"", limit)


def detach_exception(kern: Kern, thread: Thread) -> Redo:
    """Where it was answered, and has not taken the answer yet, that waits for it again."""
    assert thread.ith_exc is not None
    if thread.ith_queue is not None:
        thread.ith_queue.remove(thread)
        kern.wake(thread)
    elif not exception_rpc.put_back(kern, thread):
        return NOTHING
    return Redo(REDO_EXCEPTION, (*thread.ith_exc, int(thread.ith_last)))


def detach_fault(kern: Kern, thread: Thread) -> Redo:
    """A program on the host starts its step again."""
    kern.wake(thread)
    access, thread.fault = thread.fault, None
    return NOTHING if access is None else Redo(REDO_FAULT, access)


def detach_trap(kern: Kern, thread: Thread) -> Redo:
    """A right that the trap had taken by its name it takes again."""
    number, arguments = _detach_trap(kern, thread)
    return Redo(REDO_TRAP, (number, *(arguments or ())))


def detach_redirect(kern: Kern, thread: Thread) -> Redo:
    number, _ = _detach_trap(kern, thread)
    return Redo(REDO_REDIRECT, (number,))


def _detach_trap(kern: Kern, thread: Thread) -> tuple[Word, tuple[Word, ...] | None]:
    kern.wake(thread)
    taken, thread.trap_right = thread.trap_right, None
    port.release_send(kern.ipc, taken)
    retry, thread.trap_retry = thread.trap_retry, None
    assert retry is not None
    return retry


def detach_redo(kern: Kern, thread: Thread) -> Redo:
    """It has not begun anew since it was detached last."""
    redo, thread.redo = thread.redo, None
    assert redo is not None
    return redo


# And again


def begin(kern: Kern, thread: Thread) -> int | None:
    """Does what a thread has to do anew: the trap's result, or None where the thread waits, or goes on as its state says."""
    redo, thread.redo = cast("Redo", thread.redo), None
    return _BEGIN[redo.kind](kern, thread, redo)


def for_it(kern: Kern, thread: Thread, redo: Redo) -> bool:
    """Whether another thread may `begin` for it. Routines of the kernel's, and most traps, only the current thread performs."""
    if redo.kind == REDO_SEND:
        _, _, name, *_ = kern.ipc.header.unpack_from(redo.data)
        entry = thread.space.table.get(name)
        receiver = getattr(entry.object, "receiver", None) if entry is not None else None
        return receiver is not kern.ipc.kernel_space
    if redo.kind == REDO_TRAP:
        number, *arguments = redo.words
        return number in MEMORY_TRAPS and bool(arguments)
    return redo.kind != REDO_REDIRECT


def _limit(kern: Kern, thread: Thread, redo: Redo) -> None:
    """The thread, which has blocked, waits as long as was left."""
    kern.limit_wait(thread, None if redo.limit == FOREVER else redo.limit)


def begin_woken(kern: Kern, thread: Thread) -> int | None:
    """As `begin`, of a sender for whom there is room, or whose time has passed: it is again as if it had just been woken."""
    redo, thread.redo = cast("Redo", thread.redo), None
    *words, how = redo.words
    code = mach_msg.send_woken(kern.ipc, thread, MsgArgs(*words), redo.data, how == SEND_LATE)
    if thread.ith_wait is MsgContinuation.SEND:
        thread.continuation = MsgContinuation.SEND
    return code


def claimed(thread: Thread) -> Port | None:
    """The port in whose queue there is room for a sender that has been told, and has not run since."""
    if thread.ith_wait is not MsgContinuation.SEND or thread.state & TH_WAIT or thread.ith_state != MACH_MSG_SUCCESS:
        return None
    target = cast("Port", cast("Kmsg", thread.ith_kmsg).remote)
    return target if target.active else None


def _send(kern: Kern, thread: Thread, redo: Redo) -> int | None:
    *words, how = redo.words
    args = MsgArgs(*words)
    code = mach_msg.send_again(kern.ipc, thread, args, redo.data, how == SEND_LATE)
    if thread.ith_wait is MsgContinuation.SEND:
        _limit(kern, thread, redo)
    return code


def _receive(kern: Kern, thread: Thread, redo: Redo) -> int | None:
    args = MsgArgs(*redo.words)
    code = mach_msg.receive_again(kern.ipc, thread, args._replace(option=args.option & ~MACH_SEND_MSG))
    if thread.ith_wait is MsgContinuation.RECEIVE:
        _limit(kern, thread, redo)
    return code


def _put(kern: Kern, thread: Thread, redo: Redo) -> int | None:
    address, result, otherwise = redo.words
    return mach_msg.put_again(kern.ipc, thread, Put(address, redo.data, result, otherwise))


def _gsync(kern: Kern, thread: Thread, redo: Redo) -> None:
    address, shared, *args = redo.words
    thread.ith_args = MsgArgs(*args)
    gsync.join(kern, thread, address, bool(shared))
    _limit(kern, thread, redo)


def _switch(kern: Kern, thread: Thread, redo: Redo) -> None:
    kern.block(thread, Continuation.THREAD_SWITCH, None)
    _limit(kern, thread, redo)


def _exception(kern: Kern, thread: Thread, redo: Redo) -> None:
    number, code, subcode, last = redo.words
    thread.ith_exc, thread.ith_last = Raised(number, code, subcode), bool(last)
    exception_rpc.wait_again(kern, thread)


def _yield(kern: Kern, thread: Thread, redo: Redo) -> None:
    thread.continuation = YIELDS[redo.words[0]]


def _fault(kern: Kern, thread: Thread, redo: Redo) -> None:
    """Waits for the page again; where it need not, the thread makes its access when it runs."""
    address, access = redo.words
    assert thread.task.map is not None
    try:
        wait_again(thread.task.map, address, access)
    except MustWait as wait:
        thread.fault = address, access
        kern.wait(thread, Continuation.FAULT, wait)


def _trap(kern: Kern, thread: Thread, redo: Redo) -> int | None:
    number, *arguments = redo.words
    thread.trap_retry = (number, tuple(arguments) or None)
    return kern.traps.retry_trap(thread)


def _redirect(kern: Kern, thread: Thread, redo: Redo) -> int | None:
    thread.trap_retry = (redo.words[0], None)
    return kern.traps.retry_redirect(thread)


_BEGIN: Final[dict[int, Callable[[Kern, Thread, Redo], int | None]]] = {
    REDO_NOTHING: lambda kern, thread, redo: None,
    REDO_PUT: _put,
    REDO_SEND: _send,
    REDO_RECEIVE: _receive,
    REDO_GSYNC: _gsync,
    REDO_SWITCH: _switch,
    REDO_EXCEPTION: _exception,
    REDO_TRAP: _trap,
    REDO_REDIRECT: _redirect,
    REDO_YIELD: _yield,
    REDO_FAULT: _fault,
}
