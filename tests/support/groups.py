"""Nodes, the channels and multicasts between them, and what goes wrong there: a run is a function of a schedule and a seed."""

from __future__ import annotations

import heapq
import random
import struct
from collections import deque
from typing import Any, NamedTuple

from machemu.sim.graph import Reader, Writer
from machemu.sim.saved import digest
from machemu.sim.state import state
from masix.groups import Change, Detector, Dictionary, Endpoint, Group, Member, Order, Standing, View
from masix.groups.wire import GroupPacketKind, read_value

GROUP = 7
MS = 1_000_000
MARK = struct.Struct(">IQI")


class Mark(NamedTuple):
    """A message: who broadcast it, and how many it had broadcast before, plus one."""

    node: int
    incarnation: int
    number: int


@state
class Recorder:
    """An application that remembers everything. log: of each view installed, and of each message delivered with its view's
    number.

    before: what the state that it joined with covers, of the last time that it joined; joined: that view's number.
    """

    __slots__ = ("before", "joined", "log", "sequence", "seen", "view", "views")

    def __init__(self) -> None:
        self.before: list[bytes] = []
        self.log: list[tuple[int, bytes]] = []
        self.sequence: list[bytes] = []
        self.seen: dict[bytes, None] = {}
        self.views: list[View] = []
        self.joined: list[int] = []
        self.view = 0

    def deliver(self, origin: Member, payload: bytes) -> None:
        assert MARK.unpack_from(payload)[:2] == origin
        mark = payload[: MARK.size]
        self.log.append((self.view, mark))
        self.sequence.append(mark)
        assert mark not in self.seen, "delivered twice"
        self.seen[mark] = None

    def installed(self, view: View) -> None:
        self.views.append(view)
        self.view = view.number

    def snapshot(self) -> bytes:
        return b"".join(self.sequence)

    def restore(self, snapshot: bytes) -> None:
        self.sequence = [snapshot[place : place + MARK.size] for place in range(0, len(snapshot), MARK.size)]
        self.seen = dict.fromkeys(self.sequence)
        self.before = list(self.sequence)
        self.joined.append(len(self.views))


@state
class Suspicions:
    """What the detector told, in order."""

    __slots__ = ("log",)

    def __init__(self) -> None:
        self.log: list[Change] = []

    def changed(self, change: Change) -> None:
        self.log.append(change)


class Life:
    """One node from a start to a crash, as a Network. What it does after it crashed is not seen by anybody."""

    def __init__(self, world: GroupWorld, member: Member) -> None:
        self.world = world
        self.member = member
        self.crashed = False
        self.tick_at = -1
        self.past: dict[bytes, int] = {}
        self.count = 0
        self.endpoint = Endpoint(member, Suspicions())
        self.endpoint.attach(self)

    @property
    def now(self) -> int:
        return self.world.now

    def send(self, node: int, data: bytes) -> None:
        self.world.channel(self, node, data)

    def multicast(self, data: bytes) -> None:
        self.world.multicast(self, data)

    @property
    def group(self) -> Group:
        return self.endpoint.groups[GROUP]

    @property
    def application(self) -> Any:
        return self.group.application

    @property
    def watcher(self) -> Any:
        return self.endpoint.watcher

    def digest(self) -> str:
        return digest(self.endpoint, memoryview(b""))

    def group_digest(self) -> str:
        """Of the group without the detector, which hears a sign of life in any packet."""
        group = self.group
        detector, group.detector = group.detector, Detector()
        found = digest(group, memoryview(b""))
        group.detector = detector
        return found

    def encoded(self) -> bytes:
        return Writer().encode(self.endpoint)

    def reload(self) -> None:
        """Saved, thrown away and loaded."""
        loaded = Reader(self.encoded()).decode()
        assert isinstance(loaded, Endpoint)
        self.endpoint = loaded
        loaded.attach(self)


class Channel:
    """From one node to another: what is under way in order, and what waits for the link. `free`: when the next one may arrive."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Life, bytes]] = deque()
        self.free = 0
        self.session = 0


class GroupWorld:
    """All nodes under one clock.

    delay: least and most nanoseconds of a packet. loss, copies: the parts of multicasts that are lost, or come twice. reload: how
    often a node is saved and loaded. trap: a kind of packet, and how many go before a sender dies of it. frames, bytes: sent.
    pasts: by message, all that its sender had delivered when it broadcast it.
    """

    def __init__(self, seed: int, size: int, order: Order, founders: int = 0, make: Any = Recorder) -> None:
        self.random = random.Random(seed)
        self.size = size
        self.order = order
        self.make = make
        self.now = 0
        self.sequence = 0
        self.queue: list[tuple[int, int, Any, Any]] = []
        self.delay = (MS // 10, MS)
        self.loss = 0.0
        self.copies = 0.0
        self.cut: set[tuple[int, int]] = set()
        self.channels = {(a, b): Channel() for a in range(size) for b in range(size) if a != b}
        self.lives: dict[int, Life] = {}
        self.dead: list[Life] = []
        self.starts = [0] * size
        self.trap: list[int] | None = None
        self.frames: dict[GroupPacketKind, int] = dict.fromkeys(GroupPacketKind, 0)
        self.bytes = 0
        self.reload = 0.0
        self.reloads = random.Random(seed + 1)
        self.converged = False
        self.pasts: dict[bytes, list[bytes]] = {}
        self.founders = tuple(Member(node, 1) for node in range(founders or size))
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

    def start(self, node: int) -> None:
        self.starts[node] += 1
        life = self.lives[node] = Life(self, Member(node, self.starts[node]))
        life.endpoint.open(GROUP, self.order, self.make(), self.founders)
        if isinstance(life.application, Dictionary):
            life.application.join(life.group)
        self.plan(life)

    def plan(self, life: Life) -> None:
        """After each input of a node's: it may have died of it, and its next tick may have come nearer."""
        if life.crashed:
            self.bury(life)
            return
        if self.reload and self.reloads.random() < self.reload:
            life.reload()
        due = max(self.now, life.endpoint.deadline())
        if life.tick_at < self.now or due < life.tick_at or life.tick_at == -1:
            life.tick_at = due
            self.at(due, self.tick, life, due)

    def tick(self, life: Life, due: int) -> None:
        if not life.crashed and life.tick_at == due:
            life.tick_at = -1
            life.endpoint.tick()
            self.plan(life)

    # The network

    def channel(self, life: Life, node: int, data: bytes) -> None:
        if life.crashed or not node < self.size or self.trapped(life, data):
            return
        self.count(data)
        channel = self.channels[life.member.node, node]
        channel.free = max(channel.free, self.now + self.some_delay())
        self.at(channel.free, self.arrive, channel, channel.session, life, node, data)

    def arrive(self, channel: Channel, session: int, life: Life, node: int, data: bytes) -> None:
        if session != channel.session:
            return
        if (life.member.node, node) in self.cut or channel.waiting:
            channel.waiting.append((life, data))
        else:
            self.give(life, node, data)

    def give(self, life: Life, node: int, data: bytes) -> None:
        target = self.lives.get(node)
        if target is not None and not target.crashed:
            target.endpoint.receive(life.member.node, data)
            self.plan(target)

    def multicast(self, life: Life, data: bytes) -> None:
        if life.crashed or self.trapped(life, data):
            return
        self.count(data)
        for node in self.lives:
            if node != life.member.node and (not self.loss or self.random.random() >= self.loss):
                self.at(self.now + self.some_delay(), self.arrive_multicast, life, node, data)
                if self.copies and self.random.random() < self.copies:
                    self.at(self.now + 3 * self.some_delay(), self.arrive_multicast, life, node, data)

    def arrive_multicast(self, life: Life, node: int, data: bytes) -> None:
        if (life.member.node, node) not in self.cut:
            self.give(life, node, data)

    def some_delay(self) -> int:
        least, most = self.delay
        return least if least == most else least + int(self.random.random() * (most - least))

    def count(self, data: bytes) -> None:
        self.frames[GroupPacketKind(data[1])] += 1
        self.bytes += len(data)

    def trapped(self, life: Life, data: bytes) -> bool:
        """Whether a node that was about to send a packet of the trap's kind dies there instead."""
        if self.trap is None or data[1] != self.trap[0]:
            return False
        self.trap[1] -= 1
        if self.trap[1] >= 0 or not self.may_crash(life.member.node):
            return False
        self.trap = None
        life.crashed = True
        return True

    # What goes wrong

    def crash(self, node: int) -> None:
        life = self.lives.get(node)
        if life is not None and not life.crashed and self.may_crash(node):
            life.crashed = True
            self.bury(life)

    def bury(self, life: Life) -> None:
        """Of what it had under way a part is lost, in each channel the last of it; no channel reaches its next life."""
        if self.lives.get(life.member.node) is not life:
            return
        del self.lives[life.member.node]
        self.dead.append(life)
        lost = {node: self.random.random() < 0.5 for node in range(self.size)}
        for node in range(self.size):
            if node == life.member.node:
                continue
            outward, inward = self.channels[life.member.node, node], self.channels[node, life.member.node]
            if lost[node]:
                outward.session += 1
            outward.waiting.clear()
            inward.session += 1
            inward.waiting.clear()

    def may_crash(self, node: int) -> bool:
        """A crash leaves of each view that is or comes a majority alive; else the group is over, as it must be."""
        views: list[tuple[Member, ...]] = []
        for life in self.lives.values():
            group = life.group
            if group.standing is Standing.MEMBER:
                views.append(group.view.members)
                views += [read_value(group.agreement.accepted).members] if group.agreement.accepted_ballot else []
                if group.agreement.proposal is not None:
                    views.append(read_value(group.agreement.proposal).members)
        alive = {life.member for life in self.lives.values() if life.member.node != node and not life.crashed}
        return all(2 * len(alive.intersection(view)) > len(view) for view in views if view)

    def restart(self, node: int) -> None:
        if node not in self.lives:
            self.start(node)

    def partition(self, side: list[int]) -> None:
        """Cuts all links between nodes of different sides."""
        self.cut |= {(a, b) for a, b in self.channels if side[a] != side[b]}

    def unplug(self, one: int, other: int) -> None:
        if one != other:
            self.cut |= {(one, other), (other, one)}

    def lose(self, one: int, other: int) -> None:
        """The channel between two nodes breaks: what was in it is lost, and both are told."""
        if one == other:
            return
        for pair in ((one, other), (other, one)):
            self.channels[pair].session += 1
            self.channels[pair].waiting.clear()
            life = self.lives.get(pair[0])
            if life is not None:
                life.endpoint.lost(pair[1])
                self.plan(life)

    def heal(self) -> None:
        """All links work again, and the channels carry what waited."""
        self.cut.clear()
        for (_, target), channel in self.channels.items():
            waiting, channel.waiting = channel.waiting, deque()
            for life, data in waiting:
                channel.free = max(channel.free, self.now + self.some_delay())
                self.at(channel.free, self.arrive, channel, channel.session, life, target, data)

    def broadcast(self, node: int, size: int = 0) -> None:
        life = self.lives.get(node)
        if life is None or life.crashed:
            return
        mark = MARK.pack(*life.member, life.count + 1)
        known = len(life.application.sequence)
        past = list(life.application.sequence[:known])
        if life.group.broadcast(mark + bytes(size)) is not None:
            life.count += 1
            self.pasts[mark] = past
        self.plan(life)

    def leave(self, node: int) -> None:
        life = self.lives.get(node)
        if life is not None and self.may_crash(node):
            life.group.leave()
            self.plan(life)

    # The end

    def staying(self) -> list[Life]:
        return [life for life in self.lives.values() if not life.group.leaving]

    def calm(self) -> None:
        """Nothing goes wrong any more."""
        self.trap = None
        self.loss = self.copies = 0.0
        self.delay = (MS // 10, MS)
        self.heal()

    def settle(self, most: int = 30_000 * MS) -> bool:
        """Runs until all living nodes that want to are in one view and have delivered all; False if they never are.

        A node that crashed as it was let in may be half of a view; the group waits, and after a while all nodes start again.
        """
        self.calm()
        until = self.now + most
        while self.now < until:
            self.run(100 * MS)
            if self.settled():
                return True
            if self.now + most // 2 > until:
                for node in range(self.size):
                    self.restart(node)
        return False

    def settled(self) -> bool:
        lives = self.staying()
        views = {life.group.view for life in lives}
        members = {life.member for life in lives}
        return (
            len(views) <= 1
            and all(set(view.members) == members for view in views)
            and all(not life.group.blocked and life.group.settled == life.group.issued for life in lives)
            and len({progress(life.application) for life in lives}) <= 1
            and all(life.group.standing is Standing.LEFT for life in self.lives.values() if life.group.leaving)
        )

    def everyone(self) -> list[Life]:
        """All lives, those that ended too."""
        return [*self.dead, *self.lives.values()]


def progress(application: Any) -> object:
    """The same at two members of a view once they have delivered the same."""
    return application.digest() if hasattr(application, "digest") else len(application.seen)


def apply(world: GroupWorld, steps: list[tuple[int, str, tuple[Any, ...]]]) -> None:
    """Runs a schedule: each step some nanoseconds after the one before it."""
    for wait, what, arguments in steps:
        world.run(wait)
        if what == "delay":
            world.delay = (MS // 10, arguments[0] * MS)
        elif what == "loss":
            world.loss, world.copies = arguments
        elif what == "trap":
            world.trap = list(arguments)
        else:
            getattr(world, what)(*arguments)
