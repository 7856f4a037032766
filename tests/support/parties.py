"""Programs on three nodes that pass the rights to one port round, in any order, and what who asked for no-senders is told."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from machemu.abi.message import COPY_SEND, MOVE_RECEIVE, MOVE_SEND, PORT_DEAD, PORT_RECEIVE, CarriedPort
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns.ports import Way
from tests.support.actors import GIVEN, Actor, do, found, look_up, register
from tests.support.guests import Arch
from tests.support.net import SLICE_NS, Net, item, net

NODES: Final = 3
SENDS_MAX: Final = 5
NO_SENDERS: Final = MACH_NOTIFY_NO_SENDERS.request.id


@state
class Party(Actor):
    """sends: the names of its send rights, once for each reference. receive: that of the receive right, 0 for none. told: how
    often it was told that there are no senders. under_way: send rights that were given to it and have not come."""

    __slots__ = ("others", "receive_right", "sends", "told", "under_way")

    def __init__(self) -> None:
        super().__init__()
        self.others: list[int] = []
        self.sends: list[int] = []
        self.receive_right = 0
        self.told = 0
        self.under_way = 0

    def receive(self, mach: Mach, message: Message) -> None:
        if message.header.id == NO_SENDERS:
            self.told += 1
        if message.header.id != GIVEN:
            super().receive(mach, message)
            return
        (right,) = message.carried
        assert isinstance(right, CarriedPort) and isinstance(right.port, int) and right.port is not PORT_DEAD
        if right.disposition == PORT_RECEIVE:
            self.receive_right = right.port
        else:
            self.under_way -= 1
            self.sends.append(right.port)


class Game:
    """Rights to one port among three parties: none makes new send rights, and so there are none for ever once there are none.

    pairs: what one network server has said to another one, and that has not heard yet. log: what has been done.
    """

    def __init__(self, made: Net, parties: list[Party], arch: Arch, rng: random.Random) -> None:
        self.made = made
        self.parties = parties
        self.arch = arch
        self.rng = rng
        self.asker = parties[0]
        self.pairs: dict[tuple[int, int], deque[bytes]] = {}
        self.log: list[str] = []

    def senders(self) -> int:
        return sum(len(party.sends) + party.under_way for party in self.parties)

    def run(self, number: int) -> None:
        """A node goes on; what it says lies between the nodes."""
        self.made.machines[number].run(SLICE_NS)
        out = self.made.links[number].out
        while out:
            to, data = out.popleft()
            assert to is not None
            self.pairs.setdefault((number, to - 1), deque()).append(data)
        for party in self.parties:
            assert not party.told or not self.senders(), ("told though there are senders", self.log)

    def hear(self, here: int, there: int) -> None:
        self.made.links[there].inbox.append((here + 1, self.pairs[here, there].popleft()))
        self.made.wake(there)

    def act(self, number: int, step: Callable[[Party, Mach], None]) -> None:
        """A party does something, whose messages have left it then."""
        party = self.parties[number]
        party.todo.append(step)  # type: ignore[arg-type]
        while party.todo:
            self.run(number)
        self.run(number)

    def settle(self) -> None:
        """All is heard, until nothing is said any more."""
        for _ in range(60):
            for number in range(NODES):
                self.run(number)
            for here, there in self.pairs:
                while self.pairs[here, there]:
                    self.hear(here, there)

    def give(self, number: int, to: int, kind: int) -> None:
        party = self.parties[number]
        right = party.receive_right if kind == MOVE_RECEIVE else party.sends[-1]

        def step(actor: Party, mach: Mach) -> None:
            body = item(self.arch, kind, 1) + bytes(4)
            mach.send(Message(Header(actor.others[to], COPY_SEND, 0, 0, GIVEN), body, (CarriedPort(4, kind, right),), True))

        if kind == MOVE_RECEIVE:
            party.receive_right = 0
        else:
            self.parties[to].under_way += 1
        if kind == MOVE_SEND:
            party.sends.pop()
        self.act(number, step)

    def begin(self) -> None:
        def make(actor: Party, mach: Mach) -> None:
            actor.receive_right = mach.make_send(mach.allocate_port())
            actor.sends.append(actor.receive_right)
            mach.notify(actor.receive_right, NO_SENDERS, actor.port, 1)

        self.act(0, make)

    def ask(self, number: int) -> None:
        """Who has the receive right is to be told instead."""
        self.asker = party = self.parties[number]
        right = party.receive_right
        self.act(number, lambda actor, mach: mach.notify(right, NO_SENDERS, actor.port, 1))

    def drop(self, number: int) -> None:
        right = self.parties[number].sends.pop()
        self.act(number, lambda actor, mach: mach.deallocate(right))

    def step(self) -> None:
        """One of all that can happen now."""
        can: list[tuple[str, Callable[[], None]]] = []
        for number, party in enumerate(self.parties):
            to = self.rng.choice([other for other in range(NODES) if other != number])
            if party.receive_right:
                can.append((f"{number} moves the receive right to {to}", partial(self.give, number, to, MOVE_RECEIVE)))
                if self.senders():
                    can.append((f"{number} asks", partial(self.ask, number)))
            if party.sends:
                if self.senders() < SENDS_MAX:
                    can.append((f"{number} copies to {to}", partial(self.give, number, to, COPY_SEND)))
                can.append((f"{number} moves to {to}", partial(self.give, number, to, MOVE_SEND)))
                can.append((f"{number} drops", partial(self.drop, number)))
            can.append((f"{number} runs", partial(self.run, number)))
        for (here, there), waiting in self.pairs.items():
            if waiting:
                can += [(f"{there} hears {here}", partial(self.hear, here, there))] * 2
        what, how = self.rng.choice(can)
        self.log.append(what)
        how()

    def play(self, steps: int) -> None:
        self.begin()
        for _ in range(steps):
            self.step()
        self.play_out()

    def play_out(self) -> None:
        """All is heard, and all send rights go: then the asker is told, and nobody else."""
        self.settle()
        for number, party in enumerate(self.parties):
            while party.sends:
                self.drop(number)
        self.settle()
        told = [party.told for party in self.parties]
        assert told == [int(party is self.asker) for party in self.parties], ("told", told, self.log)
        for number, party in enumerate(self.parties):
            if party.receive_right:
                right = party.receive_right
                self.act(number, lambda actor, mach, right=right: mach.destroy_receive(right))  # type: ignore[misc]
            party.receive_right = party.told = 0
        self.settle()


@contextmanager
def met(arch: Arch, way: Way = Way.RECOVERY) -> Iterator[tuple[Net, list[Party]]]:
    """Three parties, each of which can send to each."""
    parties = [Party() for _ in range(NODES)]
    with net((arch,) * NODES, *([party] for party in parties), way=way) as made:
        for number, party in enumerate(parties):
            do(made, party, register(b"party %d" % number), slices=5)
        for party in parties:
            for number in range(NODES):
                do(made, party, look_up(b"party %d" % number), slices=15)
                party.others.append(found(party))
        yield made, parties
