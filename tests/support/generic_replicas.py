"""Nodes whose tables of generic processes are replicated: the groups' world with actors."""

from __future__ import annotations

from machemu.sim.state import state
from masix.gps import wire
from masix.gps.operations import Operation, Result
from masix.gps.replicated import ReplicatedTable
from masix.groups import Member, Order
from masix.groups.wire import GroupPacketKind
from tests.support.generic_worlds import MS, Actor, Stage
from tests.support.groups import GroupWorld, Life


@state
class LoggedTable(ReplicatedTable):
    """log: what this replica did, with whose ticket it was, since the log was taken away."""

    __slots__ = ("log",)

    def __init__(self) -> None:
        super().__init__(Member(0, 0))
        self.log: list[tuple[Member, int, Operation, Result]] = []

    def deliver(self, origin: Member, payload: bytes) -> None:
        super().deliver(origin, payload)
        ticket = int.from_bytes(payload[:4])
        self.log.append((origin, ticket, wire.unpack_operation(payload[4:]), self.pasts[origin][ticket]))


class ReplicatedWorld(GroupWorld, Stage):
    """first: the result of each operation at the first replica that did it; at the others it must be the same. messages: sent, a
    multicast to each other node, and no heartbeats.
    """

    def __init__(self, seed: int, size: int, founders: int = 0) -> None:
        self.begin()
        self.actors: dict[int, Actor] = {}
        self.first: dict[tuple[Member, int], Result] = {}
        self.messages = 0
        super().__init__(seed, size, Order.TOTAL, founders, LoggedTable)

    def actor(self, member: Member) -> Actor | None:
        actor = self.actors.get(member.node)
        return actor if actor is not None and actor.member == member else None

    def hand(self, sender: Member, node: int, take: str, *what: object) -> None:
        self.at(self.now + self.some_delay(), self._handed, sender.node, node, take, what)

    def _handed(self, sender: int, node: int, take: str, what: tuple[object, ...]) -> None:
        if (sender, node) not in self.cut and node in self.actors:
            getattr(self.actors[node], take)(*what)

    def channel(self, life: Life, node: int, data: bytes) -> None:
        self.messages += data[1] != GroupPacketKind.HEARTBEAT
        super().channel(life, node, data)

    def multicast(self, life: Life, data: bytes) -> None:
        self.messages += (len(self.lives) - 1) * (data[1] != GroupPacketKind.HEARTBEAT)
        super().multicast(life, data)

    def plan(self, life: Life) -> None:
        self._take(life)
        super().plan(life)

    def _take(self, life: Life) -> None:
        """What was done by this input, before anything else is."""
        table = life.application
        for origin, ticket, operation, result in table.log:
            if (origin, ticket) not in self.first:
                self.first[origin, ticket] = result
                self.record(operation, result)
            assert self.first[origin, ticket] == result
        table.log.clear()
        actor = self.actor(life.member)
        if life.crashed or actor is None:
            return
        for ticket, result in table.results.items():
            assert self.first[life.member, ticket] == result, "what became of an operation is not what a state said"
        while table.results:
            actor.take_results(table.results)

    def start(self, node: int) -> None:
        super().start(node)
        life = self.lives[node]
        self.actors[node] = Actor(self, life.member, lambda operation: self._submit(life, operation))
        life.application.me = life.member
        life.application.join(life.group)

    def _submit(self, life: Life, operation: Operation) -> int | None:
        ticket: int | None = life.application.submit(operation)
        self.at(self.now, self._planned, life)
        return ticket

    def _planned(self, life: Life) -> None:
        if self.lives.get(life.member.node) is life:
            self.plan(life)

    def bury(self, life: Life) -> None:
        super().bury(life)
        if self.actor(life.member) is not None:
            del self.actors[life.member.node]
            self.ended(life.member)

    def finish(self) -> str:
        """Lets all become calm, and says what is wrong then; "" where all is as it must be."""
        if not self.settle():
            return "the group does not settle"
        self.run(10_000 * MS)
        for life in self.lives.values():
            found = self.model.differs(life.application.entries.values())
            if found:
                return f"at {life.member}: {found}"
            if life.application.waiting:
                return f"at {life.member} something has no result"
        return ""
