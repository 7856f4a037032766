"""What a process manager has of a task that is held, or has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from machemu.abi.message import MOVE_SEND, MOVE_SEND_ONCE, PORT_SEND, PORT_SEND_ONCE
from machemu.mig.interfaces.mach_migrate import THREAD_SET_WAIT
from machemu.mig.runtime import OutOfLine, PolyPort
from machemu.sim.state import U8, U32, PortName, Reply, Word, state
from machemu.user.mach import Mach
from machemu.user.message import living
from masix.migration.state import TaskState

REPLIES: Final = (PORT_SEND, PORT_SEND_ONCE)
"""The rights by which waits of threads are answered; NO_REPLY comes before them."""


MOVES: Final = {0: MOVE_SEND_ONCE, PORT_SEND: MOVE_SEND, PORT_SEND_ONCE: MOVE_SEND_ONCE}


@state
class Wait(NamedTuple):
    """A thread's wait, as thread_get_wait tells it."""

    words: tuple[Word, ...]
    data: bytes
    reply: Reply
    disposition: U8  # the reply's


@state
class Held(NamedTuple):
    """What has been taken from a task that is held."""

    name: bytes
    own: PortName  # the receive right of its kernel port
    threads: tuple[PortName, ...]
    replies: dict[U32, PortName]  # where exceptions are answered, by the place of the thread
    waits: tuple[Wait, ...]
    have_gone: bool = False  # these ports; while they go, no receive right has one of these names

    def ports(self) -> list[PortName]:
        return [self.own, *self.threads, *self.replies.values()]


def told_of(told: TaskState, receives: Sequence[PortName], sends: Sequence[Any], onces: Sequence[Any]) -> Held:
    """What a task has that has come. ValueError where there are other rights than were told."""
    threads = len(told.threads)
    answering = iter(receives[1 + threads :])
    replies = {place: next(answering, 0) for place, thread in enumerate(told.threads) if thread.answers}
    kinds = iter(sends), iter(onces)
    waits = []
    for thread in told.threads:
        reply = living(next(kinds[thread.reply - 1], None)) if thread.reply else 0
        waits.append(Wait(thread.wait, thread.data, reply, REPLIES[thread.reply - 1] if reply else 0))
    if not receives or any(next(rest, None) is not None for rest in (answering, *kinds)):
        raise ValueError("there are other rights than were told")
    own, *its = receives[: 1 + threads]
    return Held(b"", own, tuple(its), replies, tuple(waits))


def set_wait(mach: Mach, thread: PortName, wait: Wait) -> None:
    """Consumes the right to the thread."""
    data = OutOfLine(wait.data, len(wait.data))
    reply = PolyPort(wait.reply or None, MOVES[wait.disposition])
    mach.call(THREAD_SET_WAIT, mach.given("host-port"), thread, wait.words, data, reply)
