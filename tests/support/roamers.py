"""Programs that do to the Masix servers at random whatever a client may."""

from __future__ import annotations

import struct
from typing import Final

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MSG_TYPE_BYTE,
    CarriedMemory,
    CarriedPort,
    TypeDescriptor,
)
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.mach import Mach, rights
from machemu.user.message import Header, Message, living
from masix.interfaces import acs
from tests.support.clients import CALL, GIVE, MS, REPLY_ID, SEND_ONCE_DIED, Client, pattern
from tests.support.net import serve_two

PORT_BITS: Final = 32
NAMES: Final = ("red", "green", "blue", "grey")
WHAT: Final = (
    "register", "unregister", "find", "find", "find", "call", "call", "call", "memory", "give", "give", "once", "split", "circle",
    "pass", "pass", "drop", "move",
)  # fmt: skip
BAG_MAX: Final = 64
BYTES: Final = pattern(1 << 19)


@state
class Roamer(Client):
    """Does the steps of a script, such as `call3 find1`, one each `every` milliseconds: what, and a number that chooses whom.

    answered, lost: how its `asked` calls ended. wrong: messages whose memory was not what was sent.
    """

    __slots__ = (
        "answered", "asked", "bag", "every", "found", "lost", "mine", "names", "ports", "registrations", "script", "wrong",
    )  # fmt: skip

    def __init__(self, node: int, script: str, every: int) -> None:
        super().__init__(node)
        self.script = script.split()
        self.every = every
        self.ports = 0
        self.asked = self.answered = self.lost = self.wrong = 0
        self.bag: list[tuple[int, int]] = []
        self.found: list[int] = []
        self.mine: list[int] = []
        self.names: list[bytes] = []
        self.registrations: dict[bytes, int] = {}

    def start(self, mach: Mach) -> None:
        self.port, self.reply, self.ports = serve_two(mach)
        self.mine.append(self.port)
        mach.alarm(mach.now() + self.every * MS)

    def expired(self, mach: Mach) -> None:
        if self.script:
            step = self.script.pop(0)
            what, number = step[:-2], int(step[-2:])
            getattr(self, f"_{what}")(mach, number)
            mach.alarm(mach.now() + self.every * MS)

    # Names

    def _register(self, mach: Mach, number: int) -> None:
        name = NAMES[number % len(NAMES)].encode()
        self.names.append(name)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (name, 0, PolyPort(self.port, COPY_SEND)), self.reply)

    def _unregister(self, mach: Mach, number: int) -> None:
        for name in [*self.registrations][:1]:
            right = self.registrations.pop(name)
            mach.request(acs.ACS_UNREGISTER, mach.given("name-server"), (name, PolyPort(right, COPY_SEND)), self.reply)
            self.bag.append((right, MOVE_SEND))

    def _find(self, mach: Mach, number: int) -> None:
        name = NAMES[number % len(NAMES)].encode()
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (name,), self.reply)

    # Messages

    def _to(self, number: int) -> int:
        return self.found[number % len(self.found)] if self.found else self.port

    def _call(self, mach: Mach, number: int, body: bytes = b"", carried: tuple[CarriedMemory[object], ...] = ()) -> None:
        self.asked += 1
        header = Header(self._to(number), COPY_SEND, self.reply, MAKE_SEND_ONCE, CALL)
        mach.send(Message(header, body, carried, bool(carried)), timeout=20)

    def _memory(self, mach: Mach, number: int) -> None:
        """A call with up to 400 KB of memory."""
        size = 1 + number * number * 41
        word = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
        body = struct.pack(f"{mach.order.prefix}IHHII", word, MSG_TYPE_BYTE, 8, size, 0)
        self._call(mach, number, body, (CarriedMemory(len(body) - 4, size, BYTES[:size]),))

    def _carry(self, mach: Mach, to: int, name: int, kind: int) -> None:
        """Gives a right to whoever receives."""
        body = struct.pack(f"{mach.order.prefix}I", TypeDescriptor(kind, PORT_BITS, 1).word(mach.order)) + bytes(4)
        mach.send(Message(Header(to, COPY_SEND, 0, 0, GIVE), body, (CarriedPort(4, kind, name),), True), timeout=20)

    def _give(self, mach: Mach, number: int) -> None:
        self._carry(mach, self._to(number), self.port, MAKE_SEND)

    def _once(self, mach: Mach, number: int) -> None:
        self._carry(mach, self._to(number), self.port, MAKE_SEND_ONCE)

    def _split(self, mach: Mach, number: int) -> None:
        """A receive right, a send right to which stays."""
        name = mach.make_send(mach.allocate_port())
        self.found.append(name)
        self._carry(mach, self._to(number), name, MOVE_RECEIVE)

    def _circle(self, mach: Mach, number: int) -> None:
        """Two ports, each in a message that waits at the other."""
        one, two = (mach.make_send(mach.allocate_port()) for _ in range(2))
        self._carry(mach, one, two, MOVE_RECEIVE)
        self._carry(mach, two, one, MOVE_RECEIVE)
        self.bag += [(one, MOVE_SEND), (two, MOVE_SEND)]

    def _pass(self, mach: Mach, number: int) -> None:
        if self.bag:
            self._carry(mach, self._to(number), *self.bag.pop(0))

    def _drop(self, mach: Mach, number: int) -> None:
        if self.bag:
            mach.give_up([self.bag.pop(number % len(self.bag))])

    def _move(self, mach: Mach, number: int) -> None:
        """The port of a service goes to another node; a new one takes its place here."""
        old = self.port
        if old in self.mine and self.found:
            self.mine.remove(old)
            self.port = mach.make_send(mach.allocate_port())
            self._receive_from(mach, self.port)
            self.found.append(old)
            self._carry(mach, self._to(number), old, MOVE_RECEIVE)

    def _receive_from(self, mach: Mach, port: int) -> None:
        mach.move_member(port, self.ports)
        self.mine.append(port)

    # What comes

    def receive(self, mach: Mach, message: Message) -> None:
        header = message.header
        if header.id == CALL:
            self._served(mach, message)
        elif header.local != self.reply:
            self._given(mach, message)
        elif header.id == CALL + REPLY_ID:
            self.answered += 1
            mach.destroy(message)
        elif header.id == SEND_ONCE_DIED:
            self.lost += 1
        elif header.id == acs.ACS_REGISTER.request.id + REPLY_ID:
            name = self.names.pop(0)
            if held := rights(message):
                self.registrations[name] = held[0][0]
        elif header.id == acs.ACS_LOOK_UP.request.id + REPLY_ID:
            self.found += [living(name) for name, _ in rights(message)]
        else:
            mach.destroy(message)

    def _served(self, mach: Mach, message: Message) -> None:
        for item in message.carried:
            if isinstance(item, CarriedMemory) and item.copy != BYTES[: item.size]:
                self.wrong += 1
        header = message.header
        if header.remote:
            mach.send(Message(Header(header.remote, header.remote_type, 0, 0, CALL + REPLY_ID), b"", (), False), timeout=20)

    def _given(self, mach: Mach, message: Message) -> None:
        for name, kind in rights(message):
            if kind == MOVE_RECEIVE:
                self._receive_from(mach, name)
            elif len(self.bag) < BAG_MAX:
                self.bag.append((name, kind))
            else:
                mach.give_up([(name, kind)])

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        if message.header.id == CALL and message.header.local_type == MAKE_SEND_ONCE:
            self.lost += 1  # no right was made, whose end would be told
        mach.give_back(message)
