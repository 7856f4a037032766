"""Programs that depend on another node's, and keep the times at which they hear of its end."""

from __future__ import annotations

import struct

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_SEND, CarriedPort, TypeDescriptor
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_SEND_ONCE
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.kit import Answer, HostServer, answered, notified
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.notifications import DeadName
from machemu.user.server import Server
from masix.interfaces import acs
from tests.support.clusters import MS

HOLD = 800
FIRST = 1000
BEAT_NS = 20 * MS


@state
class Dependent(Server):
    """Has a service of its name, and from `start_ms` on a right to the other's. It gives the other a right to a port of its own
    and a reply right, which the other keeps, and then sends it numbered messages until `quiet_ms`.

    died, unused, spent: when the other's port was dead, nobody had the right that was given, the reply right was used up; ns,
    0 before. heard: the numbers that came, of which it sent `count`.
    """

    __slots__ = (
        "answers", "count", "died", "found", "given", "heard", "name", "other", "port", "quiet", "spent", "start_ms", "unused",
    )  # fmt: skip

    def __init__(self, name: str, other: str, start_ms: int = 100, quiet_ms: int = 0) -> None:
        self.name = name.encode()
        self.other = other.encode()
        self.start_ms = start_ms
        self.quiet = quiet_ms * MS
        self.port = self.given = self.found = self.answers = 0
        self.died = self.unused = self.spent = self.count = 0
        self.heard: list[int] = []

    def start(self, mach: Mach) -> None:
        self.port, self.given, self.answers = mach.make_send(mach.allocate_port()), mach.allocate_port(), mach.allocate_port()
        both = mach.allocate_port_set()
        for port in (self.port, self.given, self.answers):
            mach.move_member(port, both)
        mach.serve(both)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (self.name, 0, mach.copy_send(self.port)))
        mach.alarm(self.start_ms * MS)

    def expired(self, mach: Mach) -> None:
        if not self.found:
            mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (self.other,), self.answers)
            return
        if not self.died and mach.now() < self.quiet:
            mach.send(Message(Header(self.found, COPY_SEND, 0, 0, FIRST + self.count), b"", (), False))
            self.count += 1
            mach.alarm(mach.now() + BEAT_NS)

    def _depend(self, mach: Mach, right: int) -> None:
        self.found = right
        mach.notify(right, MACH_NOTIFY_DEAD_NAME.request.id, self.answers)
        mach.notify(self.given, MACH_NOTIFY_NO_SENDERS.request.id, self.answers, 1)
        body = struct.pack(mach.order.prefix + "II", TypeDescriptor(MAKE_SEND, 32, 1).word(mach.order), 0)
        header = Header(right, COPY_SEND, self.answers, MAKE_SEND_ONCE, HOLD)
        mach.send(Message(header, body, (CarriedPort(4, MAKE_SEND, self.given),), True))
        mach.alarm(mach.now() + BEAT_NS)

    def receive(self, mach: Mach, message: Message) -> None:
        number = message.header.id
        if number == acs.ACS_LOOK_UP.request.id + 100:
            try:
                (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
            except KernError:  # three multicasts were lost
                mach.alarm(mach.now())
                return
            assert isinstance(right, int)
            self._depend(mach, right)
        elif number == MACH_NOTIFY_DEAD_NAME.request.id:
            self.died = mach.now()
        elif number == MACH_NOTIFY_NO_SENDERS.request.id:
            self.unused = mach.now()
        elif number == MACH_NOTIFY_SEND_ONCE.request.id:
            self.spent = mach.now()
        elif number >= FIRST:
            self.heard.append(number - FIRST)

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Creditor(HostServer):
    """Has a service called `creditor`, keeps the right to an answer, and the time at which that was a dead name; 0 before."""

    __slots__ = ("died",)

    def __init__(self) -> None:
        super().__init__()
        self.died = 0

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"creditor", 0, PolyPort(self.service, COPY_SEND)))

    def other(self, mach: Mach, message: Message) -> None:
        if message.header.id == HOLD:
            mach.notify(message.header.remote, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        self.died = mach.now()
        for _ in range(2):
            mach.deallocate(notice.name)


@state
class Debtor(HostServer):
    """Asks the creditor at 100 ms, and ends when the alarm comes after that, at `ends_ms`."""

    __slots__ = ("ends_ms", "has_asked")

    def __init__(self, ends_ms: int) -> None:
        super().__init__()
        self.ends_ms = ends_ms
        self.has_asked = False

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(100 * MS)

    def expired(self, mach: Mach) -> None:
        if self.has_asked:
            mach.leave(True)
        else:
            self.has_asked = True
            self.ask(mach, self._found, mach.given("name-server"), (b"creditor",))

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer) -> None:
        (creditor,) = answer.results
        mach.send(Message(Header(creditor, MOVE_SEND, self.service, MAKE_SEND_ONCE, HOLD), b"", (), False))
        mach.alarm(self.ends_ms * MS)
