"""Programs that pass rights to each other at random."""

from __future__ import annotations

from hypothesis import strategies as st

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE, CarriedPort
from machemu.sim.state import state
from machemu.user.mach import Mach, rights
from machemu.user.message import Header, Message
from masix.interfaces import acs
from tests.support.guests import I386, M68K
from tests.support.net import Program, item

NODES = (I386, M68K, I386)
STEP_ID = 4000
TOLD = 1 << 12
LIVES = 64


@state
class Juggler(Program):
    """Registers as `node N`, finds the others, and does its steps, one each time that a message comes or it has nothing else.

    A step is (target, what): a message to another juggler with a new send, send-once or receive right (split: with a send right
    kept), or with one from the bag, where the rights that came are kept; or a right of the bag is given up, or used; or one tells
    its port something, with a count. heard: what was told, by the teller and the name that it has for the right.
    """

    __slots__ = ("arch", "bag", "count", "heard", "life", "listening", "number", "others", "script", "wanted")

    def __init__(self, number: int, script: list[tuple[int, str]]) -> None:
        super().__init__()
        self.number = number
        self.arch = NODES[number]
        self.script = script
        self.others: list[int] = []
        self.wanted = [n for n in range(len(NODES)) if n != number]
        self.bag: list[tuple[int, int]] = []
        self.heard: dict[int, list[int]] = {}
        self.count = 0
        self.life = 0
        self.listening: list[int] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        service = mach.copy_send(self.port)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (b"node %d" % self.number, 0, service), self.reply)

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.local != self.reply:
            self.bag += rights(message)
            if message.header.id >= TOLD:
                self.heard.setdefault(message.header.id // TOLD, []).append(message.header.id % TOLD)
            return
        if message.header.id == acs.ACS_REGISTER.request.id + 100:
            mach.destroy(message)
        elif message.carried:
            self.others.append(message.carried[0].port)  # type: ignore[union-attr]
            self.wanted.pop(0)
        if self.wanted:
            mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (b"node %d" % self.wanted[0],), self.reply)
        else:
            mach.alarm(mach.now())

    def expired(self, mach: Mach) -> None:
        if self.script:
            self._do(mach, *self.script.pop(0))
            mach.alarm(mach.now() + 1_000_000)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        mach.give_up((name, kind) for name, kind in rights(message)[1:] if kind in (MOVE_SEND, MOVE_SEND_ONCE, MOVE_RECEIVE))

    def _do(self, mach: Mach, target: int, what: str) -> None:
        to = self.others[target % len(self.others)]
        if what in ("drop", "use", "pass", "tell") and not self.bag:
            what = "send"
        if what == "tell":
            self.count += 1
            names = [name for name, kind in self.bag if kind == MOVE_SEND]
            for name in names[target : target + 1]:
                teller = len(NODES) * (LIVES * name + self.life) + self.number + 1
                mach.send(Message(Header(name, COPY_SEND, 0, 0, teller * TOLD + self.count), b"", (), False), timeout=1)
        elif what == "drop":
            mach.give_up([self.bag.pop(0)])
        elif what == "use":
            name, kind = self.bag.pop()
            if kind == MOVE_RECEIVE:
                mach.move_member(name, self.other)
                self.listening.append(name)
            else:
                mach.send(Message(Header(name, kind, self.port, MAKE_SEND_ONCE, STEP_ID), b"", (), False))
        else:
            name, kind = self._right(mach, what)
            body = item(self.arch, kind, 1) + bytes(4)
            mach.send(Message(Header(to, COPY_SEND, 0, 0, STEP_ID), body, (CarriedPort(4, kind, name),), True))

    def _right(self, mach: Mach, what: str) -> tuple[int, int]:
        if what == "pass":
            return self.bag.pop(0)
        if what == "once":
            return self.port, MAKE_SEND_ONCE
        if what == "split":
            name = mach.make_send(mach.allocate_port())
            self.bag.append((name, MOVE_SEND))
            return name, MOVE_RECEIVE
        if what == "receive":
            return mach.allocate_port(), MOVE_RECEIVE
        return self.port, MAKE_SEND


WHAT = ("send", "once", "receive", "split", "pass", "drop", "use", "tell")
STEPS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(WHAT)), max_size=14)
