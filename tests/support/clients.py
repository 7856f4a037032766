"""Clients and servers for tests of what a client of the Masix servers may do. Each keeps what happened to it for the test."""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND_ONCE,
    MSG_TYPE_BYTE,
    CarriedMemory,
    CarriedPort,
    TypeDescriptor,
)
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED
from machemu.mig.runtime import PolyPort
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, living
from machemu.user.server import Server
from masix.interfaces import acs, netname
from tests.support.net import serve_two

MS: Final = 1_000_000
RETRY: Final = 50 * MS
CALL: Final = 500
GIVE: Final = 600
REPLY_ID: Final = 100
SEND_ONCE_DIED: Final = 71
NETNAME_SIZE: Final = 80
WORD: Final = struct.Struct("i")


@state
class Said(NamedTuple):
    """What a step that began at `ms` of virtual time brought.

    value: the code of an answer; for `look` a right's name, 0 for none; for `who` the node that answered, 0 for nobody.
    """

    ms: int
    step: str
    name: str
    value: int


def _ask(mach: Mach, name: bytes, reply: int) -> None:
    mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (name,), reply)


def _found(mach: Mach, message: Message) -> int:
    """The right of a look-up's answer, 0 for none."""
    try:
        (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
    except KernError:
        return 0
    return living(right)


def _call(mach: Mach, right: int, reply: int, disposition: int = MAKE_SEND_ONCE) -> None:
    mach.send(Message(Header(right, COPY_SEND, reply, disposition, CALL), b"", (), False), timeout=100)


def _answer(mach: Mach, header: Header, node: int) -> None:
    """Answers a call with the number of a node, in the id."""
    mach.send(Message(Header(header.remote, header.remote_type, 0, 0, CALL + REPLY_ID + node), b"", (), False))


@state
class Client(Server):
    """What they all have: ports, and nothing done yet."""

    __slots__ = ("node", "port", "reply")

    def __init__(self, node: int) -> None:
        self.node = node
        self.port = self.reply = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, **options: object) -> Client:
        return cls(node, **options)

    def start(self, mach: Mach) -> None:
        self.port, self.reply, _ = serve_two(mach)
        self.begin(mach)

    def begin(self, mach: Mach) -> None: ...

    def receive(self, mach: Mach, message: Message) -> None:
        mach.destroy(message)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        mach.give_back(message)


@state
class Steps(Client):
    """Does the steps of a script, such as `10 reg svc; 100 look svc`: the milliseconds, the step and the name; `netlook` has the
    host's name behind; `reg` and `essential` ask as a privileged server where it is one. Each step's answer is in `said`."""

    __slots__ = ("asked", "found", "registrations", "said", "steps")

    def __init__(self, node: int, script: str) -> None:
        super().__init__(node)
        self.steps = [step.split() for step in script.split(";")]
        self.asked: list[tuple[int, str, str]] = []
        self.found: dict[str, int] = {}
        self.registrations: dict[str, int] = {}
        self.said: list[Said] = []

    def begin(self, mach: Mach) -> None:
        mach.alarm(int(self.steps[0][0]) * MS)

    def expired(self, mach: Mach) -> None:
        _, step, name, *host = self.steps.pop(0)
        names = mach.given("name-server")
        self.asked.append((mach.now() // MS, step, name))
        padded = name.encode().ljust(NETNAME_SIZE, b"\0")
        if step in ("reg", "essential"):
            essential = step == "essential"
            where = mach.given("privilege") or names
            mach.request(acs.ACS_REGISTER, where, (name.encode(), essential, mach.copy_send(self.port)), self.reply)
        elif step == "unreg":
            right = self.registrations.get(name) or self.found.get(name, self.port)
            mach.request(acs.ACS_UNREGISTER, names, (name.encode(), mach.copy_send(right)), self.reply)
        elif step == "look":
            _ask(mach, name.encode(), self.reply)
        elif step == "netlook":
            wanted = (host[0].encode().ljust(NETNAME_SIZE, b"\0"), padded)
            mach.request(netname.NETNAME_LOOK_UP, names, wanted, self.reply)
        elif step == "checkout":
            mach.request(netname.NETNAME_CHECK_OUT, names, (padded, PolyPort(0, COPY_SEND)), self.reply)
        elif self.found.get(name):
            _call(mach, self.found[name], self.reply)
        else:
            self._note(0)
        if self.steps:
            mach.alarm(int(self.steps[0][0]) * MS)

    def _note(self, value: int) -> None:
        self.said.append(Said(*self.asked.pop(0), value))

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self._note(0)

    def receive(self, mach: Mach, message: Message) -> None:
        header = message.header
        if header.id == CALL:
            _answer(mach, header, self.node)
            return
        if header.local != self.reply or not self.asked:
            mach.destroy(message)
            return
        _, step, name = self.asked[0]
        if step == "who":
            self._note(max(0, header.id - CALL - REPLY_ID))
        elif step in ("look", "netlook"):
            item = message.carried[0] if message.carried else None
            self.found[name] = living(item.port) if isinstance(item, CarriedPort) else 0
            self._note(self.found[name])
        else:
            if step == "reg" and message.carried and isinstance(item := message.carried[0], CarriedPort):
                self.registrations[name] = living(item.port)
            self._note(struct.unpack_from(f"{mach.order.prefix}i", message.body, 4)[0])


@state
class Link(Client):
    """A service that hands each call on to the next one, with its reply right; the last one answers, after `delay` ms."""

    __slots__ = ("delay", "name", "next", "right", "waiting")

    def __init__(self, node: int, name: str, next: str = "", delay: int = 0) -> None:
        super().__init__(node)
        self.name, self.next, self.delay = name.encode(), next.encode(), delay
        self.right = 0
        self.waiting: list[Header] = []

    def begin(self, mach: Mach) -> None:
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (self.name, 0, mach.copy_send(self.port)))
        if self.next:
            _ask(mach, self.next, self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.id == CALL:
            self.waiting.append(message.header)
            if not self.next and self.delay:
                mach.alarm(mach.now() + self.delay * MS)
                return
        elif not self.right:
            self.right = _found(mach, message)
            if not self.right:
                mach.alarm(mach.now() + RETRY)
        self._work(mach)

    def expired(self, mach: Mach) -> None:
        if self.next and not self.right:
            _ask(mach, self.next, self.reply)
        self._work(mach)

    def _work(self, mach: Mach) -> None:
        if self.next and not self.right:
            return
        for header in self.waiting:
            if self.next:
                _call(mach, self.right, header.remote, MOVE_SEND_ONCE)
            else:
                _answer(mach, header, self.node)
        self.waiting = []


@state
class Caller(Client):
    """Calls a service so often, each time after `every` ms: `answers` came, and of `lost` calls the reply right was dropped."""

    __slots__ = ("answers", "begun", "calls", "every", "lost", "name", "right")

    def __init__(self, node: int, name: str, calls: int, every: int = 1) -> None:
        super().__init__(node)
        self.name, self.calls, self.every = name.encode(), calls, every
        self.begun = self.answers = self.lost = self.right = 0

    def begin(self, mach: Mach) -> None:
        mach.alarm(20 * MS)

    def expired(self, mach: Mach) -> None:
        if not self.right:
            _ask(mach, self.name, self.reply)
        elif self.begun < self.calls:
            self.begun += 1
            _call(mach, self.right, self.reply)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        self.lost += 1
        mach.alarm(mach.now() + self.every * MS)

    def receive(self, mach: Mach, message: Message) -> None:
        if not self.right:
            self.right = _found(mach, message)
        elif message.header.id == SEND_ONCE_DIED:
            self.lost += 1
        else:
            self.answers += 1
        mach.alarm(mach.now() + (self.every * MS if self.right else RETRY))


def pattern(size: int) -> bytes:
    """Bytes in which a lost or exchanged piece shows."""
    piece = bytes(n * 7 + (n >> 8) & 0xFF for n in range(1 << 16))
    return (piece * (size // len(piece) + 1))[:size]


@state
class Sink(Client):
    """A service: of each message the size and the digest of its memory."""

    __slots__ = ("name", "received")

    def __init__(self, node: int, name: str = "sink") -> None:
        super().__init__(node)
        self.name = name.encode()
        self.received: list[tuple[int, str]] = []

    def begin(self, mach: Mach) -> None:
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (self.name, 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        for item in message.carried:
            if isinstance(item, CarriedMemory) and isinstance(item.copy, bytes):
                self.received.append((item.size, hashlib.sha256(item.copy).hexdigest()))
        if message.header.remote:
            _answer(mach, message.header, self.node)


@state
class Flood(Client):
    """Sends each of these services 40 messages of 60,000 bytes; one that no queue takes for half a second is left out."""

    __slots__ = ("names",)

    def __init__(self, node: int, names: str) -> None:
        super().__init__(node)
        self.names = names.split()

    def begin(self, mach: Mach) -> None:
        mach.alarm(RETRY)

    def expired(self, mach: Mach) -> None:
        for name in self.names:
            _ask(mach, name.encode(), self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        right = _found(mach, message)
        for _ in range(40 if right else 0):
            mach.send(Message(Header(right, COPY_SEND, 0, 0, GIVE), bytes(60_000), (), False), timeout=500)


@state
class Source(Client):
    """Sends `sink` one message with so much memory: 1 in `ended` if it was answered, SEND_ONCE_DIED if it was destroyed."""

    __slots__ = ("ended", "right", "size")

    def __init__(self, node: int, size: int) -> None:
        super().__init__(node)
        self.size = size
        self.ended = self.right = 0

    def begin(self, mach: Mach) -> None:
        mach.alarm(RETRY)

    def expired(self, mach: Mach) -> None:
        _ask(mach, b"sink", self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if self.right:
            self.ended = SEND_ONCE_DIED if message.header.id == SEND_ONCE_DIED else 1
            return
        self.right = _found(mach, message)
        if not self.right:
            mach.alarm(mach.now() + RETRY)
            return
        word = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
        body = struct.pack(f"{mach.order.prefix}IHHII", word, MSG_TYPE_BYTE, 8, self.size, 0)
        memory = CarriedMemory(12, self.size, pattern(self.size))
        mach.send(Message(Header(self.right, COPY_SEND, self.reply, MAKE_SEND_ONCE, CALL), body, (memory,), True))


@state
class Taker(Client):
    """A service called `taker`: takes a receive right, and destroys it a second later."""

    __slots__ = ("taken",)

    def begin(self, mach: Mach) -> None:
        self.taken = 0
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"taker", 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        for item in message.carried:
            if isinstance(item, CarriedPort) and item.disposition == MOVE_RECEIVE:
                self.taken = living(item.port)
                mach.alarm(mach.now() + 1000 * MS)

    def expired(self, mach: Mach) -> None:
        mach.destroy_receive(self.taken)


@state
class Giver(Client):
    """Makes a port, asks for a notification about it, and gives `taker` the receive right; after half a second it gives up its
    own send right where `drops`. notified: of each notification the virtual time in ms and the id."""

    __slots__ = ("drops", "given", "kind", "note", "notified", "right")

    def __init__(self, node: int, kind: str, drops: int = 1) -> None:
        super().__init__(node)
        self.kind, self.drops = kind, drops
        self.given = self.note = self.right = 0
        self.notified: list[tuple[int, int]] = []

    def start(self, mach: Mach) -> None:
        self.note = mach.allocate_port()
        self.port, self.reply, both = serve_two(mach)
        mach.move_member(self.note, both)
        mach.alarm(RETRY)

    def expired(self, mach: Mach) -> None:
        if self.right:
            mach.deallocate(self.given)
        else:
            _ask(mach, b"taker", self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local == self.note:
            self.notified.append((mach.now() // MS, message.header.id))
            mach.destroy(message)
        elif not self.right:
            self.right = _found(mach, message)
            self._give(mach)

    def _give(self, mach: Mach) -> None:
        if not self.right:
            mach.alarm(mach.now() + RETRY)
            return
        self.given = mach.make_send(mach.allocate_port())
        asked = MACH_NOTIFY_NO_SENDERS if self.kind == "no-senders" else MACH_NOTIFY_PORT_DESTROYED
        mach.notify(self.given, asked.request.id, self.note)
        body = struct.pack(f"{mach.order.prefix}II", TypeDescriptor(MOVE_RECEIVE, 32, 1).word(mach.order), 0)
        right = CarriedPort(4, MOVE_RECEIVE, self.given)
        mach.send(Message(Header(self.right, COPY_SEND, 0, 0, GIVE), body, (right,), True))
        if self.drops:
            mach.alarm(500 * MS)
