"""Receive rights that wait for a full queue, whose own right waits for one of them: nobody can make room, and they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MSG_TYPE_BYTE, CarriedMemory, CarriedPort
from machemu.abi.port import TYPE_DEAD_NAME
from machemu.mig.interfaces.mach_port import MACH_PORT_TYPE
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns import rights
from masix.gns.rights import WINDOW
from tests.support.actors import GIVEN, Actor, do, found, give, look_up, register, say
from tests.support.guests import Arch
from tests.support.net import Net, item, net

FILL = range(700, 707)
"""More messages than a port's queue has room for, with the one that the kernel keeps for its sender."""
CALL = 800
LATER = 200
"""Slices in which it is looked several times for such circles."""


@contextmanager
def waiting(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Net, Actor, Actor]]:
    """A receive right of the first node's, the last of `rights`, waits for the full queue of the service of the second, which has
    a send right to its port as the first of `rights`; behind it is a call."""
    monkeypatch.setattr(rights, "LATE_NS", 50_000_000)
    client, service = Actor(), Actor()
    with net((arch, arch), [client], [service]) as made:
        do(made, service, register(b"service"))
        do(made, client, look_up(b"service"), new_port)
        do(made, client, give(arch, last, MAKE_SEND))
        do(made, service, shut)
        do(made, client, say(found, *FILL), give(arch, last, MOVE_RECEIVE), call)
        yield made, client, service


def last(actor: Actor) -> int:
    return actor.rights[-1]


def first(actor: Actor) -> int:
    return actor.rights[0]


def new_port(actor: Actor, mach: Mach) -> None:
    actor.rights.append(mach.make_send(mach.allocate_port()))


def shut(actor: Actor, mach: Mach) -> None:
    mach.move_member(actor.port, 0)


def open_again(actor: Actor, mach: Mach) -> None:
    mach.move_member(actor.port, actor.other)


def receive(right: Callable[[Actor], int]) -> Callable[[Actor, Mach], None]:
    return lambda actor, mach: mach.move_member(right(actor), actor.other)


def call(actor: Actor, mach: Mach) -> None:
    mach.send(Message(Header(found(actor), COPY_SEND, actor.port, MAKE_SEND_ONCE, CALL), b"", (), False))


def pass_on(arch: Arch, mach: Mach, name: int, to: int) -> None:
    body = item(arch, MOVE_RECEIVE, 1) + bytes(4)
    mach.send(Message(Header(to, COPY_SEND, 0, 0, GIVEN), body, (CarriedPort(4, MOVE_RECEIVE, name),), True))


def dead(made: Net, actor: Actor, *names: int) -> list[bool]:
    found: list[bool] = []

    def look(_: Actor, mach: Mach) -> None:
        found.extend(mach.call(MACH_PORT_TYPE, mach.task_self(), name) == (TYPE_DEAD_NAME,) for name in names)

    do(made, actor, look)
    return found


@pytest.mark.parametrize("between", [0, 1, 3])
def test_receive_rights_that_wait_for_each_other_end(arch: Arch, between: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the right to the full queue is in the queue of another port, whose right waits for the first one."""

    def close(actor: Actor, mach: Mach) -> None:
        to = first(actor)
        for _ in range(between):
            new_port(actor, mach)
            pass_on(arch, mach, last(actor), to)
            to = last(actor)
        pass_on(arch, mach, actor.port, to)

    with waiting(arch, monkeypatch) as (made, client, service):
        do(made, service, close, slices=LATER)
        assert dead(made, client, found(client), *client.rights) == [True] * 2
        assert dead(made, service, service.port, *service.rights) == [True] * (2 + between)
        assert client.ids() == [MACH_NOTIFY_SEND_ONCE.request.id]


def test_receive_rights_that_wait_for_a_slow_task_come_with_their_queues(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, with memory and with a receive right whose port has a queue, too."""
    memory = bytes(range(200))

    def fill(actor: Actor, mach: Mach) -> None:
        new_port(actor, mach)
        say(last, 910, 911)(actor, mach)
        say(first, 900, 901)(actor, mach)
        body = item(arch, MSG_TYPE_BYTE, len(memory), inline=False) + bytes(4)
        header = Header(first(actor), COPY_SEND, actor.reply, MAKE_SEND_ONCE, 902)
        mach.send(Message(header, body, (CarriedMemory(4, len(memory), memory),), True))
        pass_on(arch, mach, last(actor), first(actor))
        say(first, 903)(actor, mach)

    with waiting(arch, monkeypatch) as (made, _, service):
        do(made, service, fill, slices=LATER)
        do(made, service, open_again)
        assert service.ids() == [*FILL, CALL] and service.rights[2] == first(service)
        do(made, service, receive(first))
        assert service.ids()[len(FILL) + 1 :] == [900, 901, 902, 903] and service.rights[3] == service.rights[1]
        assert service.received[-2].carried[0].copy == memory  # type: ignore[union-attr]
        do(made, service, receive(last))
        assert service.ids()[len(FILL) + 5 :] == [910, 911]


def test_receive_rights_that_wait_for_each_other_behind_full_windows_end(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each for a port of the other node, for which no message more is sent, since nobody receives any."""
    monkeypatch.setattr(rights, "LATE_NS", 50_000_000)
    actors = Actor(), Actor()
    with net((arch, arch), *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number), shut)
        for number, actor in enumerate(actors):
            do(made, actor, look_up(b"node %d" % (1 - number)))
            do(made, actor, say(found, *range(WINDOW + 4)), slices=60)
        for actor in actors:
            actor.todo.append(lambda actor, mach: pass_on(arch, mach, actor.port, found(actor)))
        made.run(2 * LATER)
        for actor in actors:
            assert dead(made, actor, actor.port, found(actor)) == [True, True]


def test_receive_rights_behind_a_full_window_come_in_their_turn(arch: Arch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though more messages than a window has wait for a task that is only slow."""
    monkeypatch.setattr(rights, "LATE_NS", 50_000_000)
    client, service = Actor(), Actor()
    ids = range(900, 900 + WINDOW + 2)
    with net((arch, arch), [client], [service]) as made:
        do(made, service, register(b"service"), shut)
        do(made, client, look_up(b"service"), new_port)
        do(made, client, say(last, *FILL[:3]), say(found, *ids), slices=60)
        do(made, client, give(arch, last, MOVE_RECEIVE), call, slices=2 * LATER)
        do(made, service, open_again, slices=LATER)
        assert service.ids() == [*ids, CALL]
        do(made, service, receive(last))
        assert service.ids()[len(ids) + 1 :] == [*FILL[:3]]
