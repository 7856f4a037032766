"""Nodes whose tables of generic processes are pages with probable owners, and the messages between them.

A message over a link that is cut is lost, and so is the answer to one. Who asked is told after a while that nothing comes, as
of a node that has ended: so long the network servers take.
"""

from __future__ import annotations

import heapq
import random
from typing import Any

from machemu.abi.types import ByteOrder
from machemu.mig.runtime import OutOfLine
from machemu.sim.graph import Reader, Writer
from masix.gps.operations import Look, Operation
from masix.gps.paged import PAGES, Answer, Ask, First, PagedTable
from masix.groups import Member
from masix.interfaces import gps_peer
from tests.support.generic_worlds import MS, Actor, Stage

SILENCE = 1500 * MS
"""After which a node is told that no answer comes."""


class PageLife:
    """A node from a start to a crash. callers: who waits for its answers: whose ask, and its serial number and page."""

    def __init__(self, member: Member, table: PagedTable) -> None:
        self.member = member
        self.table = table
        self.crashed = False
        self.tick_at = -1
        self.callers: dict[int, tuple[PageLife, int, int]] = {}
        self.operations: dict[int, Operation] = {}


class PagedWorld(Stage):
    """messages, bytes: sent, as our MIG packs them. searches: whether anybody did not find a page by the hints alone."""

    def __init__(self, seed: int, size: int, first: First = First.SPREAD, pages: int = PAGES) -> None:
        self.begin()
        self.random = random.Random(seed)
        self.size = size
        self.first = first
        self.pages = pages
        self.now = self.sequence = self.messages = self.bytes = self.last_caller = 0
        self.queue: list[tuple[int, int, Any, Any]] = []
        self.delay = (MS // 10, MS)
        self.reload = 0.0
        self.reloads = random.Random(seed + 1)
        self.cut: set[tuple[int, int]] = set()
        self.lives: dict[int, PageLife] = {}
        self.actors: dict[int, Actor] = {}
        self.starts = [0] * size
        self.asked_of: dict[tuple[Member, int], list[int]] = {}
        self.repeated = False
        for node in range(size):
            self.start(node)

    # What goes on

    def at(self, time: int, what: Any, *arguments: Any) -> None:
        self.sequence += 1
        heapq.heappush(self.queue, (time, self.sequence, what, arguments))

    def run(self, duration: int) -> None:
        until = self.now + duration
        while self.queue and self.queue[0][0] <= until:
            self.now, _, what, arguments = heapq.heappop(self.queue)
            what(*arguments)
        self.now = until

    def actor(self, member: Member) -> Actor | None:
        actor = self.actors.get(member.node)
        return actor if actor is not None and actor.member == member else None

    def start(self, node: int) -> None:
        self.starts[node] += 1
        nodes = tuple(range(1, self.size + 1))
        member = Member(node + 1, self.starts[node])
        life = PageLife(
            Member(node, self.starts[node]), PagedTable(member, nodes, self.first, self.starts[node] == 1, self.pages)
        )
        self.lives[node] = life
        self.actors[node] = Actor(self, life.member, lambda operation: self._submit(life, operation))

    def _submit(self, life: PageLife, operation: Operation) -> int | None:
        ticket = life.table.submit(operation, self.now)
        if ticket is not None:
            life.operations[ticket] = operation
            self.at(self.now, self.plan, life)
        return ticket

    def plan(self, life: PageLife) -> None:
        """After each input of a node's."""
        if life.crashed:
            return
        if self.reload and self.reloads.random() < self.reload:
            loaded = Reader(Writer().encode(life.table)).decode()
            assert isinstance(loaded, PagedTable)
            life.table = loaded
        table = life.table
        for ticket, result in table.results.items():
            self.record(life.operations.pop(ticket), result)
        out, table.out = table.out, []
        for message in out:
            if isinstance(message, Ask):
                self._ask(life, message)
            else:
                self._answer(life, message)
        actor = self.actor(life.member)
        if actor is not None and table.results:
            actor.take_results(table.results)
            self.plan(life)
            return
        due = table.deadline()
        if due is not None and (life.tick_at < self.now or due < life.tick_at):
            life.tick_at = max(due, self.now)
            self.at(life.tick_at, self._tick, life, life.tick_at)

    def _tick(self, life: PageLife, due: int) -> None:
        if not life.crashed and life.tick_at == due:
            life.tick_at = -1
            life.table.tick(self.now)
            self.plan(life)

    # Messages

    def _ask(self, life: PageLife, ask: Ask) -> None:
        self._look_for_repeats(life, ask)
        values = ask.page, list(split(life.table.me)), ask.seen
        self._count(gps_peer.GPS_PAGE_GET.request.pack(ByteOrder.LITTLE, values)[0])
        self.at(self.now + self.some_delay(), self._asked, life, ask)

    def _look_for_repeats(self, life: PageLife, ask: Ask) -> None:
        """Where nothing goes wrong a request goes to each node once."""
        key = life.table.me, ask.page
        if ask.seen != (past := self.asked_of.setdefault(key, [ask.seen]))[0]:
            past[:] = [ask.seen]
        self.repeated = self.repeated or ask.node in past[1:]
        past.append(ask.node)

    def _asked(self, life: PageLife, ask: Ask) -> None:
        target = self.lives.get(ask.node - 1)
        if target is None or (life.member.node, target.member.node) in self.cut:
            self.at(self.now + SILENCE, self._failed, life, ask.serial)
            return
        self.last_caller += 1
        target.callers[self.last_caller] = life, ask.serial, ask.page
        target.table.asked(life.table.me, ask.page, ask.seen, self.last_caller)
        self.plan(target)

    def _answer(self, life: PageLife, answer: Answer) -> None:
        asker, serial, page = life.callers.pop(answer.caller)
        data = OutOfLine(answer.data, len(answer.data))
        values = 0, answer.owner or 0, answer.owner is None, answer.version, data
        reply = gps_peer.GPS_PAGE_GET.reply
        assert reply is not None
        self._count(reply.pack(ByteOrder.LITTLE, values)[0] + answer.data)
        self.at(self.now + self.some_delay(), self._answered, life, asker, serial, page, answer)

    def _answered(self, life: PageLife, asker: PageLife, serial: int, page: int, answer: Answer) -> None:
        if (life.member.node, asker.member.node) in self.cut:
            self.at(self.now + SILENCE, self._failed, asker, serial)
        elif not asker.crashed:
            asker.table.answered(serial, page, answer.owner, answer.version, answer.data, self.now)
            self.plan(asker)

    def _failed(self, life: PageLife, serial: int) -> None:
        if not life.crashed:
            life.table.failed(serial, self.now)
            self.plan(life)

    def _count(self, data: bytes) -> None:
        self.messages += 1
        self.bytes += len(data)

    def hand(self, sender: Member, node: int, take: str, *what: object) -> None:
        self.at(self.now + self.some_delay(), self._handed, sender.node, node, take, what)

    def _handed(self, sender: int, node: int, take: str, what: tuple[object, ...]) -> None:
        if (sender, node) not in self.cut and node in self.actors:
            getattr(self.actors[node], take)(*what)

    def some_delay(self) -> int:
        least, most = self.delay
        return least if least == most else least + int(self.random.random() * (most - least))

    # What goes wrong

    def crash(self, node: int) -> None:
        life = self.lives.pop(node, None)
        if life is None:
            return
        life.crashed = True
        del self.actors[node]
        self.ended(life.member)
        for caller, (asker, serial, _) in life.callers.items():
            self.at(self.now + SILENCE + caller % 7, self._failed, asker, serial)
        for other in self.lives.values():
            self.at(self.now + SILENCE, self._lost, other, node)

    def _lost(self, life: PageLife, node: int) -> None:
        if not life.crashed and node not in self.lives:
            life.table.lost(node + 1, self.now)
            self.plan(life)

    def restart(self, node: int) -> None:
        if node not in self.lives:
            self.start(node)

    def partition(self, side: list[int]) -> None:
        nodes = range(self.size)
        self.cut |= {(a, b) for a in nodes for b in nodes if a != b and side[a] != side[b]}

    def heal(self) -> None:
        self.cut.clear()

    def finish(self) -> str:
        """Lets all become calm, and says what is wrong then; "" where all is as it must be."""
        self.delay = (MS // 10, MS)
        self.heal()
        self.run(10_000 * MS)
        self.ends = True
        self.run(1_000_000 * MS)
        if found := self._pages_gone():
            return found
        owners: dict[int, Member] = {}
        for life in self.lives.values():
            table = life.table
            if table.waiting:
                return f"at {life.member} something has no result"
            for number, page in table.owned.items():
                if number in owners:
                    return f"page {number} is at {owners[number]} and {life.member}"
                owners[number] = life.member
                there = {process for process in self.born if table.page_of(process) == number}
                if found := self.model.differs((page.entries or {}).values(), there):
                    return f"at {life.member}, page {number}: {found}"
        return ""

    def _pages_gone(self) -> str:
        """Where nobody has crashed each node still finds each process."""
        if max(self.starts) == 1 and len(self.lives) == self.size:
            before = self.outcomes["Look", "UNREACHABLE"]
            for process in self.born:
                for actor in self.actors.values():
                    actor.ask(Look(process))
            self.run(1_000_000 * MS)
            if self.outcomes["Look", "UNREACHABLE"] > before:
                return "a page is nowhere, and nobody crashed"
        return ""


def split(member: Member) -> tuple[int, int, int]:
    """A member in three words, as in the .defs."""
    return member.node, member.incarnation >> 32, member.incarnation & 0xFFFFFFFF
