"""Servers that hand over all that they have: every right of their task, under the same name there, and their state.

So what others keep of them holds (names in notifications that wait, in questions, in tables), and their successor goes on in the
middle of everything. Requests for notifications about rights do not go along; `inherited` makes them anew.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, NamedTuple

from machemu.abi.message import CarriedMemory
from machemu.abi.port import (
    RIGHT_DEAD_NAME,
    RIGHT_SEND,
    TYPE_DEAD_NAME,
    TYPE_RECEIVE,
    TYPE_SEND,
    TYPE_SEND_ONCE,
)
from machemu.mig.interfaces.mach_port import (
    MACH_PORT_GET_REFS,
    MACH_PORT_GET_SET_STATUS,
    MACH_PORT_NAMES,
    MACH_PORT_RENAME,
)
from machemu.sim.graph import Reader, Writer
from machemu.sim.state import U31, PortName, Time, fields, state
from machemu.user.kit import HostServer, Legacy
from machemu.user.mach import MACH_REPLY_PORT, Mach
from machemu.user.message import DEAD_NAME, WORD_SIZE

OWN: Final = ("task", "thread", "host", "reply", "successor")
"""What a task does not leave of what it knows."""


@state
class Estate(NamedTuple):
    """What goes with the rights, and whose names they have; each list is in the order in which the rights go."""

    server: HostServer
    given: dict[str, PortName]  # what it knows rights as that its successor has, too
    receives: tuple[PortName, ...]
    sends: tuple[PortName, ...]  # each as often as it has user references
    onces: tuple[PortName, ...]
    dead: tuple[tuple[PortName, U31], ...]  # dead names, and their user references
    members: tuple[PortName, ...]  # of its port set
    deadline: Time | None  # of its alarm


@state
class Departed(HostServer):
    """Is in the place of a server while its rights are on their way."""

    __slots__ = ()

    def inherit(self, mach: Mach, legacy: Legacy) -> None:
        """They have come back; dead names never went."""
        estate = _read(legacy)._replace(dead=())
        assert isinstance(estate.server, SuccessiveServer)
        estate.server.attach()
        mach.become(estate.server)
        estate.server.take_over(mach, estate, self, legacy)


@state
class SuccessiveServer(HostServer):
    """A server that hands over all that it has. One class can follow another where both are derived from one that is derived from
    this one: their common slots go over, and the successor keeps others as they were made."""

    __slots__ = ()

    def inherited(self, mach: Mach) -> None:
        """All is taken over: makes requests for notifications anew, with `sync` 1, for what has died meanwhile."""

    def keeps(self, predecessor: HostServer) -> None:
        """Takes over from the state that is about to be its own what it was made with. predecessor: whose state that is."""

    def refuses(self, other: HostServer | None) -> str:
        if common(type(self), type(other)) is None:
            who = "a guest" if other is None else type(other).__name__
            return f"{type(self).__name__} hands over all that it has, which {who} cannot"
        return ""

    def may_leave(self, mach: Mach) -> bool:
        """Not before it has heard of all that it was told."""
        return not mach.receive_status(self.notices).msgcount

    def legacy(self, mach: Mach) -> Legacy:
        known = mach.known()
        names, types = (_words(mach, each) for each in mach.call(MACH_PORT_NAMES, mach.task_self()))
        own = Counter([*{*known.values()}, self.notices, self.ports])
        own[self.service] = 1
        receives, sends, onces, dead = [], [], [], []
        for name, kind in zip(names, types, strict=True):
            if kind & TYPE_RECEIVE and not own[name]:
                receives.append(name)
            if kind & TYPE_SEND:
                sends += [name] * (_refs(mach, name, RIGHT_SEND) - own[name])
            if kind & TYPE_SEND_ONCE:
                onces.append(name)
            if kind & TYPE_DEAD_NAME and not own[name]:
                dead.append((name, _refs(mach, name, RIGHT_DEAD_NAME)))
        (members,) = mach.call(MACH_PORT_GET_SET_STATUS, mach.task_self(), self.ports)
        given = {what: name for what, name in known.items() if what not in OWN} | {"service": self.service}
        inside = tuple(name for name in _words(mach, members) if name not in (self.service, self.notices))
        estate = Estate(self, given, tuple(receives), tuple(sends), tuple(onces), tuple(dead), inside, mach.deadline())
        departed = Departed()
        departed.notices, departed.ports = self.notices, self.ports
        mach.become(departed)
        return Legacy(estate.receives, estate.sends, Writer().encode(estate), estate.onces)

    def inherit(self, mach: Mach, legacy: Legacy) -> None:
        estate = _read(legacy)
        predecessor, here = estate.server, Departed()
        here.notices, here.ports = self.notices, self.ports
        base = common(type(self), type(predecessor))
        assert base is not None
        self.keeps(predecessor)
        for name in fields(base):
            setattr(self, name, getattr(predecessor, name))
        for port, question in self.questions.items():
            if question.part is predecessor:
                self.questions[port] = question._replace(part=self)
        self.attach()
        self.take_over(mach, estate, here, legacy)

    def take_over(self, mach: Mach, estate: Estate, here: HostServer, legacy: Legacy) -> None:
        """Gives the rights that have come the names that its state has for them. here: with its own notices and port set."""
        self.notices, self.ports = here.notices, here.ports
        wanted: dict[PortName, PortName] = {}
        dead = Counter(dict(estate.dead))
        came, names = legacy.receives + legacy.sends + legacy.onces, estate.receives + estate.sends + estate.onces
        for right, name in zip(came, names, strict=True):
            if right != DEAD_NAME:
                wanted[right] = name
            else:
                dead[name] += 1
        known = mach.known()
        wanted |= {known[what]: name for what, name in estate.given.items() if what in known}
        self._move_away(mach, wanted.keys(), {*wanted.values(), *dead})
        _rename(mach, wanted)
        for what, name in estate.given.items():
            if what in known:
                mach.take(what, name)
        self.service = mach.given("service")
        for name, refs in dead.items():
            _make_dead(mach, name, refs)
        for name in estate.members:
            mach.move_member(name, self.ports)
        mach.serve(self.ports)
        mach.alarm(estate.deadline)
        self.inherited(mach)

    def _move_away(self, mach: Mach, moving: Iterable[PortName], taken: set[PortName]) -> None:
        """Names of its own that are about to be others' are changed."""
        self._new_reply(mach, taken)
        fresh = _fresh(mach, taken)
        own = {*mach.known().values(), self.notices, self.ports}
        renamed = {name: next(fresh) for name in sorted(own & taken - {*moving})}
        for old, new in renamed.items():
            mach.call(MACH_PORT_RENAME, mach.task_self(), old, new)
            for what in [what for what, name in mach.known().items() if name == old]:
                mach.take(what, new)
        self.notices, self.ports = (renamed.get(name, name) for name in (self.notices, self.ports))

    @staticmethod
    def _new_reply(mach: Mach, taken: set[PortName]) -> None:
        """Has another port for the kernel's answers, where the name of this one is about to be another's."""
        old: list[PortName] = []
        while mach.given("reply") in taken:
            old.append(mach.given("reply"))
            mach.take("reply", mach.trap(MACH_REPLY_PORT))
        for name in old:
            mach.destroy_receive(name)


def common(one: type, other: type) -> type | None:
    """The first class that both are derived from and that hands over all that it has; None where there is none."""
    kinds = (cls for cls in one.__mro__ if issubclass(cls, SuccessiveServer) and cls is not SuccessiveServer)
    return next((cls for cls in kinds if issubclass(other, cls)), None)


def _read(legacy: Legacy) -> Estate:
    estate = Reader(legacy.data).decode()
    assert isinstance(estate, Estate)
    return estate


def _words(mach: Mach, array: CarriedMemory[bytes]) -> tuple[int, ...]:
    """The numbers of an array out of line."""
    data = array.copy or b""
    return struct.unpack(f"{mach.order.prefix}{len(data) // WORD_SIZE}I", data)


def _refs(mach: Mach, name: PortName, right: int) -> int:
    (refs,) = mach.call(MACH_PORT_GET_REFS, mach.task_self(), name, right)
    return int(refs)


def _fresh(mach: Mach, taken: Iterable[PortName]) -> Iterator[PortName]:
    """Names that nothing has."""
    names, _ = mach.call(MACH_PORT_NAMES, mach.task_self())
    return count(max([*_words(mach, names), *taken]) + 1)


def _rename(mach: Mach, wanted: dict[PortName, PortName]) -> None:
    """Gives rights their names, which others of them may still have."""
    fresh = _fresh(mach, wanted.values())
    changes = {old: new for old, new in wanted.items() if old != new}
    for old in [old for old in changes if old in wanted.values()]:
        between = next(fresh)
        mach.call(MACH_PORT_RENAME, mach.task_self(), old, between)
        changes[between] = changes.pop(old)
    for old, new in changes.items():
        mach.call(MACH_PORT_RENAME, mach.task_self(), old, new)


def _make_dead(mach: Mach, name: PortName, refs: int) -> None:
    """A dead name with so many user references."""
    port = mach.allocate_port()
    for _ in range(refs):
        mach.make_send(port)
    mach.call(MACH_PORT_RENAME, mach.task_self(), port, name)
    mach.destroy_receive(name)
