"""A host-side thread: what it does between two traps is Python, and what it is in between is data."""

from __future__ import annotations

import struct
from enum import Enum, auto
from typing import Final

from machemu.abi.errors import InvariantError, KernError
from machemu.abi.message import (
    HEADER_SIZE,
    HEADER_SIZE_FIELD,
    MACH_MSG_MASK,
    MACH_MSG_SUCCESS,
    MACH_RCV_BODY_ERROR,
    MACH_RCV_HEADER_ERROR,
    MACH_RCV_INTERRUPTED,
    MACH_RCV_LARGE,
    MACH_RCV_MSG,
    MACH_RCV_TIMED_OUT,
    MACH_RCV_TIMEOUT,
    MACH_RCV_TOO_LARGE,
    MACH_SEND_INTERRUPTED,
    MACH_SEND_INVALID_NOTIFY,
    MACH_SEND_MSG,
    MACH_SEND_NO_NOTIFY,
    MACH_SEND_NOTIFY,
    MACH_SEND_NOTIFY_IN_PROGRESS,
    MACH_SEND_TIMED_OUT,
    MACH_SEND_TIMEOUT,
    MACH_SEND_WILL_NOTIFY,
    MOVE_SEND_ONCE,
)
from machemu.abi.names import MSG_RETURNS
from machemu.mig.interfaces.mach import TASK_TERMINATE, THREAD_ABORT, THREAD_RESUME
from machemu.mig.runtime import Routine
from machemu.sim.state import U31, U32, PortName, Time, state
from machemu.user import message as messages
from machemu.user.mach import MACH_MSG, VM_ALLOCATE, Mach
from machemu.user.message import Message
from machemu.user.own import AREA_SIZE, WORD_AREA, KernelView, Memory, Outgoing, Own
from machemu.user.server import Server
from machemu.user.task import ServerTask

SEND_CODES: Final = tuple(code for code, name in MSG_RETURNS.items() if name.startswith("MACH_SEND_"))
KERN_MAX: Final = 127
"""No kern_return_t of vm_allocate is more."""
GIVEN_BACK: Final = (
    MACH_SEND_TIMED_OUT,
    MACH_SEND_INTERRUPTED,
    MACH_SEND_NOTIFY_IN_PROGRESS,
    MACH_SEND_INVALID_NOTIFY,
    MACH_SEND_NO_NOTIFY,
)
"""After these the kernel has written the message back."""
AT_ONCE: Final = 448
"""Bytes of a message that are read with its header: in the page that has that, and few enough for Python's small objects."""
NS_PER_MS: Final = 1_000_000
TIMEOUT_MAX: Final = (1 << 32) - 1
"""Milliseconds of one time-out: an alarm of more than 49 days waits again."""


@state
class Phase(Enum):
    """What the last trap was for."""

    START = auto()
    INHERITS = auto()
    """For nothing: it begins with what another server leaves it."""
    INHERITED = auto()
    HELD = auto()
    """For nothing: the first thread resumes it once the server has started."""
    READY = auto()
    """For nothing: its result has been dealt with."""
    RECEIVED = auto()
    GROWN = auto()
    PLACED = auto()
    SENT = auto()


STARTING: Final = (Phase.START, Phase.INHERITS, Phase.INHERITED)


@state
class ServerThread(Own):
    """What it does is its task's server."""

    __slots__ = ("alarm", "arguments", "number", "owed", "phase", "refuses", "wanted")
    arguments: tuple[U32, ...]  # those of the trap that it makes
    number: U31  # that trap's, while its work takes time
    owed: Time  # how long it still does
    phase: Phase
    alarm: Time | None  # while it waits for messages, the server's alarm as it knows it
    refuses: bool  # a message that it has no room for is destroyed
    wanted: U32  # the size of the memory that it asks for

    def __init__(self, task: ServerTask, area: int, name: PortName = 0) -> None:
        super().__init__(task, area, name)
        self.arguments = ()
        self.number = 0
        self.owed = 0
        self.phase = Phase.HELD if task.threads else Phase.INHERITS if "legacy" in task.names else Phase.START
        self.alarm = None
        self.refuses = False
        self.wanted = 0
        task.threads.append(self)

    @property
    def server(self) -> Server:
        return self.task.server

    def check_saved(self) -> None:
        """ValueError where it could not go on."""
        if self.phase in (Phase.PLACED, Phase.SENT) and not self.outbox:
            raise ValueError("it sends nothing")
        if self.size < AREA_SIZE:
            raise ValueError("it has too little memory")
        if self.number and not self._is_about_to(self.number):
            raise ValueError(f"it does not make trap {self.number} so")

    def _is_about_to(self, number: int) -> bool:
        """Whether it makes such a trap, with its arguments, in its phase."""
        if self.phase in (Phase.GROWN, Phase.PLACED):
            return number == VM_ALLOCATE and len(self.arguments) == 4 and self.arguments[1] == self.area
        if number != MACH_MSG or len(self.arguments) != 7:
            return False
        buffer, option, sent, room, source, _, notify = self.arguments
        if self.phase is Phase.SENT:
            allowed, ours = MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_NOTIFY, (self.buffer, 0, 0)
            is_kind = option & MACH_SEND_MSG and HEADER_SIZE <= sent <= self.size - WORD_AREA
        else:
            port = self.task.names.get("legacy", 0) if self.phase is Phase.INHERITED else self.task.port
            allowed, ours = MACH_RCV_MSG | MACH_RCV_LARGE | MACH_RCV_TIMEOUT, (self.buffer, self.size - WORD_AREA, port)
            is_kind = option & MACH_RCV_MSG and self.phase in (Phase.RECEIVED, Phase.INHERITED) and not sent and not notify
        return bool(is_kind) and option & ~allowed == 0 and (buffer, room, source) == ours

    def may_get(self, code: int) -> bool:
        """Whether its last trap can have had this result."""
        if self.phase in (Phase.RECEIVED, Phase.INHERITED):
            return (
                code in (MACH_MSG_SUCCESS, MACH_RCV_TOO_LARGE, MACH_RCV_TIMED_OUT, MACH_RCV_INTERRUPTED)
                or code & ~MACH_MSG_MASK == MACH_RCV_BODY_ERROR
            )
        if self.phase is Phase.SENT:
            return code == MACH_MSG_SUCCESS or code & ~MACH_MSG_MASK in SEND_CODES
        return code == MACH_MSG_SUCCESS or (self.phase in (Phase.PLACED, Phase.GROWN) and 0 < code <= KERN_MAX)

    def has_sent(self, code: int) -> bool:
        """Whether the first message of the outbox has left it, where its last trap had this result."""
        return self.phase is Phase.SENT and (
            code in (MACH_MSG_SUCCESS, MACH_SEND_WILL_NOTIFY) or code & ~MACH_MSG_MASK in GIVEN_BACK
        )

    def attach(self) -> None:
        """After a load: the server makes again what is not saved."""
        self.task.attach()

    def next(self, kernel: KernelView, memory: Memory, result: int | None) -> int:
        """Goes on with the last trap's result; the number of the next trap, whose arguments are in `arguments`.

        MustWait where memory must be waited for; then it is called again with the same result.
        """
        mach = Mach(self, kernel, memory)
        code, phase, task = result or 0, self.phase, self.task
        if phase is Phase.RECEIVED:
            if code == MACH_RCV_TOO_LARGE:
                size = mach.number_at(self.buffer + HEADER_SIZE_FIELD)
                if not self.refuses and size <= self.server.message_max:
                    return self._grow(mach, size)
                self.refuses = not self.refuses
            else:
                self._received(mach, code)
        elif phase is Phase.SENT:
            self._sent(mach, code)
        elif phase is Phase.PLACED:
            if code:
                self._unsent(mach, self.outbox[0].message, code)
            else:
                self.outbox[0].addresses.append(mach.word())
        elif phase is Phase.GROWN:
            self._grown(mach, code)
        elif phase is Phase.INHERITS or (phase is Phase.INHERITED and code == MACH_RCV_INTERRUPTED):
            return self._inherits()
        elif phase in STARTING:
            self._start(mach)
        self.phase = Phase.READY
        if not self.outbox and "successor" in task.names:
            self.server.hand_over(mach)
        if not self.outbox and task.leaves and self.server.has_left():
            mach.request(TASK_TERMINATE, mach.task_self(), ())
        return self._send(mach) if self.outbox else self._receive(kernel)

    def _inherits(self) -> int:
        """The trap that waits for what the server before it leaves."""
        self.phase = Phase.INHERITED
        self.arguments = (self.buffer, MACH_RCV_MSG, 0, self.size - WORD_AREA, self.task.names["legacy"], 0, 0)
        return MACH_MSG

    def _start(self, mach: Mach) -> None:
        if self.phase is Phase.START:
            self.server.start(mach)
        else:
            message, regions = self._taken(mach, True)
            mach.free(regions)
            self.server.succeed(mach, message)
        mach.work(1, 0, 0)
        for other in self.task.threads[1:]:
            other.told(mach, THREAD_RESUME)

    # Sending

    def _send(self, mach: Mach) -> int:
        """The next trap for the first message of the outbox."""
        outgoing = self.outbox[0]
        wanted = messages.memory_wanted(outgoing.message)
        if len(outgoing.addresses) < len(wanted):
            self.phase = Phase.PLACED
            size = wanted[len(outgoing.addresses)]
            if not size:
                outgoing.addresses.append(0)
                return self._send(mach)
            self.arguments = (mach.task_self(), self.area, size, 1)
            mach.set_word(0)
            return VM_ALLOCATE
        if len(self.task.threads) > 1 and outgoing.timeout is None and outgoing.message.header.remote_type != MOVE_SEND_ONCE:
            self._hand_over(mach)
        data, writes = messages.encode(mach.order, outgoing.message, outgoing.addresses)
        if len(data) > self.size - WORD_AREA:
            return self._grow(mach, len(data))
        for address, written in writes:
            if written:
                mach.write(address, written)
        mach.write(self.buffer, data)
        mach.work(0, 1, len(data) + sum(wanted))
        option = (
            MACH_SEND_MSG
            | (MACH_SEND_TIMEOUT if outgoing.timeout is not None else 0)
            | (MACH_SEND_NOTIFY if outgoing.notify else 0)
        )
        self.phase = Phase.SENT
        self.arguments = (self.buffer, option, len(data), 0, 0, outgoing.timeout or 0, outgoing.notify)
        return MACH_MSG

    def _sent(self, mach: Mach, code: int) -> None:
        if code in (MACH_MSG_SUCCESS, MACH_SEND_WILL_NOTIFY):
            outgoing = self.outbox.popleft()
            self._free_sent(mach, outgoing)
            if outgoing.notify:
                self.server.sent(mach, outgoing.message, code)
                mach.work(1, 0, 0)
            return
        message = self.outbox[0].message
        if code & ~MACH_MSG_MASK in GIVEN_BACK:
            message, regions = self._taken(mach)
            mach.free([*regions, *messages.regions(message)])
        self._unsent(mach, message, code)

    def _unsent(self, mach: Mach, message: Message, code: int) -> None:
        self._free_sent(mach, self.outbox.popleft())
        self.server.unsent(mach, message, code)
        mach.work(1, 0, 0)

    @staticmethod
    def _free_sent(mach: Mach, outgoing: Outgoing) -> None:
        """Gives back the memory of which the message was made."""
        if not outgoing.message.carried:
            return
        written = zip(outgoing.addresses, messages.memory_wanted(outgoing.message), strict=False)
        mach.free([*written, *messages.regions(outgoing.message)])

    # Several threads of a task

    def told(self, mach: Mach, routine: Routine) -> bool:
        """Another thread of the task resumes or aborts this one; False where it has ended."""
        try:
            mach.call(routine, self.name)
        except KernError:
            return False
        return True

    def _hand_over(self, mach: Mach) -> None:
        """Before a send that may wait: a thread that waits for messages gets to know the server's alarm, if none does yet."""
        now, deadline = mach.now(), self.task.deadline
        waiting = [other for other in self.task.threads if other is not self and other.phase is Phase.RECEIVED]
        known = [other.alarm for other in waiting if other.alarm is not None and other.alarm > now]
        if deadline is not None and min(known, default=deadline + 1) > deadline:
            any(other.told(mach, THREAD_ABORT) for other in waiting)

    # Receiving

    def _receive(self, kernel: KernelView) -> int:
        option, timeout = MACH_RCV_MSG | (0 if self.refuses else MACH_RCV_LARGE), 0
        self.alarm = deadline = self.task.deadline
        if deadline is not None:
            option |= MACH_RCV_TIMEOUT
            timeout = min(max(0, -(-(deadline - kernel.now()) // NS_PER_MS)), TIMEOUT_MAX)
        self.phase = Phase.RECEIVED
        self.arguments = (self.buffer, option, 0, self.size - WORD_AREA, self.task.port, timeout, 0)
        return MACH_MSG

    def _received(self, mach: Mach, code: int) -> None:
        self.refuses = False
        if code == MACH_MSG_SUCCESS or code & ~MACH_MSG_MASK == MACH_RCV_BODY_ERROR:
            message, regions = self._taken(mach)
            mach.free(regions)
            self.server.receive(mach, message)
            mach.work(1, 1, messages.size_of(message))
        elif code == MACH_RCV_TIMED_OUT:
            # The kernel's time-outs are of ticks, and may end within the last one.
            task = self.task
            if task.deadline is not None and mach.now() >= task.deadline:
                task.deadline = None
                self.server.expired(mach)
                mach.work(1, 0, 0)
        elif code & ~MACH_MSG_MASK == MACH_RCV_HEADER_ERROR:
            return  # its port name space is full: the kernel has destroyed a message whose sender it could not name
        elif code != MACH_RCV_INTERRUPTED:
            raise InvariantError(f"a host-side server cannot receive from {self.task.port}: {code:#x}")

    def _taken(self, mach: Mach, is_read: bool = False) -> tuple[Message, list[tuple[int, int]]]:
        """The message in the buffer. is_read: with its memory, whatever the server has said."""
        data = mach.read(self.buffer, AT_ONCE)
        (size,) = struct.unpack_from(mach.order.prefix + "I", data, HEADER_SIZE_FIELD)
        if size > AT_ONCE:
            data = mach.read(self.buffer, size)
        return messages.decode(mach.order, data, mach.read, not (is_read or self.server.reads_memory))

    def _grow(self, mach: Mach, size: int) -> int:
        """A message of so many bytes needs more room."""
        self.phase = Phase.GROWN
        self.wanted = size + WORD_AREA
        self.arguments = (mach.task_self(), self.area, self.wanted, 1)
        mach.set_word(0)
        return VM_ALLOCATE

    def _grown(self, mach: Mach, code: int) -> None:
        if code:
            if self.outbox:
                self._unsent(mach, self.outbox[0].message, code)
            else:
                self.refuses = True
            return
        old = self.area, self.size
        self.area, self.size = mach.word(), self.wanted
        mach.free([old])
