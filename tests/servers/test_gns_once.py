"""Send-once rights that a node has to ports of another one: they end with their ports, as at home."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, MOVE_SEND_ONCE, PORT_DEAD, CarriedPort, CarriedPorts
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, Header, Message
from masix.gns.codec import encode
from masix.gns.liveness import WATCHES
from masix.gns.wire import Deliver, Died, NetRight, RightKind
from tests.support.actors import Actor, do, found, give, look_up, register
from tests.support.guests import Arch
from tests.support.net import PAIRS, SLICE_NS, Net, item, net

SOON = 1_400_000_000 // SLICE_NS
"""Slices in which the end of a port is known elsewhere, however new the right is."""
DIED = MACH_NOTIFY_DEAD_NAME.request.id


@contextmanager
def acquainted(archs: tuple[Arch, ...]) -> Iterator[tuple[Net, list[Actor]]]:
    """Each node's program has found the next one's."""
    actors = [Actor() for _ in archs]
    with net(archs, *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number))
        for number, actor in enumerate(actors):
            do(made, actor, look_up(b"node %d" % ((number + 1) % len(actors))))
        yield made, actors


def new_port(actor: Actor, mach: Mach) -> None:
    actor.rights.append(mach.allocate_port())


def its_end(actor: Actor, mach: Mach) -> None:
    mach.destroy_receive(actor.rights.pop())


def last(actor: Actor) -> int:
    return actor.rights[-1]


def watch(actor: Actor, mach: Mach) -> None:
    mach.notify(last(actor), DIED, actor.port)


def use(actor: Actor, mach: Mach) -> None:
    mach.send(Message(Header(last(actor), MOVE_SEND_ONCE, 0, 0, 900), b"", (), False))


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
@pytest.mark.parametrize("age", [5, SOON])
def test_a_send_once_right_becomes_a_dead_name_with_its_port(mine: Arch, other: Arch, age: int) -> None:
    with acquainted((mine, other)) as (made, (owner, holder)):
        do(made, owner, new_port, give(mine, last, MAKE_SEND_ONCE))
        do(made, holder, watch, slices=age)
        assert holder.ids() == []
        do(made, owner, its_end, slices=SOON if age < SOON else 10)
        assert holder.ids() == [DIED]


def test_one_that_came_by_way_of_another_node_does_so_too(arch: Arch) -> None:
    with acquainted((arch,) * 3) as (made, (owner, between, holder)):
        do(made, owner, new_port, give(arch, last, MAKE_SEND_ONCE))
        do(made, between, give(arch, last, MOVE_SEND_ONCE))
        do(made, holder, watch, slices=SOON)
        do(made, owner, its_end)
        assert holder.ids() == [DIED]


def test_one_that_is_used_later_is_used_once_and_nothing_is_left(arch: Arch) -> None:
    def from_its_port(actor: Actor, mach: Mach) -> None:
        mach.move_member(last(actor), actor.other)

    with acquainted((arch, arch)) as (made, (owner, holder)):
        do(made, owner, new_port, from_its_port, give(arch, last, MAKE_SEND_ONCE))
        do(made, holder, watch, slices=SOON)
        do(made, holder, use)
        assert owner.ids() == [900] and DIED not in holder.ids()


def test_many_are_watched_a_few_at_a_time_and_all_end(arch: Arch) -> None:
    count = 2 * WATCHES + 7

    def give_many(actor: Actor, mach: Mach) -> None:
        body = item(arch, MAKE_SEND_ONCE, count, False) + bytes(4)
        rights = CarriedPorts(4, MAKE_SEND_ONCE, (last(actor),) * count)
        mach.send(Message(Header(found(actor), COPY_SEND, 0, 0, 500), body, (rights,), True))

    def watch_all(actor: Actor, mach: Mach) -> None:
        (rights,) = actor.received.pop().carried
        assert isinstance(rights, CarriedPorts)
        for right in rights.ports:
            assert isinstance(right, int)
            mach.notify(right, DIED, actor.port)

    with acquainted((arch, arch)) as (made, (owner, holder)):
        do(made, owner, new_port, give_many)
        do(made, holder, watch_all, slices=SOON)
        do(made, owner, its_end)
        assert holder.ids() == [DIED] * count


@pytest.mark.parametrize("ended", ["port", "node"])
def test_a_message_and_the_end_of_its_rights_may_come_at_once(arch: Arch, ended: str) -> None:
    """As after a pause. The message arrives, with dead rights."""
    with acquainted((arch, arch)) as (made, (_, holder)):
        (number,) = made.servers[1].tables.exports
        first, second = (NetRight(RightKind.SEND_ONCE, 1, n) for n in (7001, 7002))
        body = item(arch, MOVE_SEND_ONCE, 1) + bytes(4)
        message = Message(Header(0, 0, 0, 0, 500), body, (CarriedPort(4, MOVE_SEND_ONCE, second),), True)
        heard = [encode(Deliver(NetRight(RightKind.SEND, 2, number), first, arch.order, message))]
        heard += [encode(Died(n)) for n in (7001, 7002)] if ended == "port" else []
        made.links[1].inbox.extend((1, what) for what in heard)
        if ended == "node":
            made.links[1].inbox.append((1, None))
        made.wake(1)
        made.run()
        ((header, right),) = [(message.header, message.carried[0]) for message in holder.received]
        assert isinstance(right, CarriedPort) and right.port is PORT_DEAD
        assert (header.remote, header.remote_type) == (DEAD_NAME, MOVE_SEND_ONCE)
