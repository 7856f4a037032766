"""A program that gives another one, on another node, many receive rights in one message, and the time that it takes."""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, CarriedPorts, TypeDescriptor
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, living
from machemu.user.server import Server
from masix.interfaces import acs

GIVEN: Final = 4001
WAITING: Final = 20_000
MS: Final = 1_000_000
WORD_BITS: Final = 32


@state
class Mover(Server):
    """What giver and taker have. times: in ns of virtual time, when rights were given or came."""

    __slots__ = ("port", "rights", "times")

    def __init__(self) -> None:
        self.rights: list[int] = []
        self.times: list[int] = []

    def start(self, mach: Mach) -> None:
        self.port = mach.make_send(mach.allocate_port())
        mach.serve(self.port)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Taker(Mover):
    """The service `taker`."""

    __slots__ = ()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"taker", 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        self.times.append(mach.now())
        for item in message.carried:
            assert isinstance(item, CarriedPorts)
            self.rights += map(living, item.ports)


@state
class Giver(Mover):
    """Gives so many rights at `at_ms`. keeps: it keeps a send right to each. asks: each is asked for both notifications.
    waiting: to every so manieth something waits; 0 to none."""

    __slots__ = ("asks", "at_ms", "count", "keeps", "taker", "waiting")

    def __init__(self, at_ms: int, count: int, keeps: bool = True, asks: bool = False, waiting: int = 0) -> None:
        super().__init__()
        self.at_ms = at_ms
        self.count = count
        self.keeps = keeps
        self.asks = asks
        self.waiting = waiting

    def start(self, mach: Mach) -> None:
        super().start(mach)
        for n in range(self.count):
            name = mach.allocate_port()
            self.rights.append(name)
            if self.keeps or self.waiting:
                mach.make_send(name)
            if self.asks:
                mach.notify(name, MACH_NOTIFY_NO_SENDERS.request.id, self.port, 1)
                mach.notify(name, MACH_NOTIFY_PORT_DESTROYED.request.id, self.port)
            if self.waiting and not n % self.waiting:
                mach.send(Message(Header(name, COPY_SEND, 0, 0, WAITING + n), b"", (), False))
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"taker",), self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.id != acs.ACS_LOOK_UP.request.id + 100:
            return
        try:
            (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
        except KernError:
            mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"taker",), self.port)
            return
        if not self.keeps and self.waiting:
            for name in self.rights:
                mach.deallocate(name)
        self.taker = living(right)
        mach.alarm(self.at_ms * MS)

    def expired(self, mach: Mach) -> None:
        self.times.append(mach.now())
        descriptor = TypeDescriptor(MOVE_RECEIVE, WORD_BITS, self.count, inline=False)
        body = struct.pack(mach.order.prefix + "2I", descriptor.word(mach.order), 0)
        ports = CarriedPorts(4, MOVE_RECEIVE, tuple(self.rights))
        mach.send(Message(Header(self.taker, COPY_SEND, 0, 0, GIVEN), body, (ports,), True))
