"""Rights in messages that wait for a full queue: they are what they would be if the message had been received at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE, MOVE_SEND, PORT_DEAD, CarriedPort
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, Header, Message
from tests.support.actors import GIVEN, Actor, do, found, give, look_up, register, say
from tests.support.guests import Arch
from tests.support.net import SECOND_NS, SLICE_NS, Net, item, net

QUEUE = 5
FILL = range(700, 700 + QUEUE + 2)
"""More messages than a port's queue has room for, with the one that the kernel keeps for its sender."""


def shut(actor: Actor, mach: Mach) -> None:
    mach.move_member(actor.port, 0)


def open_again(actor: Actor, mach: Mach) -> None:
    mach.move_member(actor.port, actor.other)


def first(actor: Actor) -> int:
    return actor.rights[0]


@contextmanager
def crowded(arch: Arch, nodes: int = 2) -> Iterator[tuple[Net, list[Actor]]]:
    """The first node has a right to a port of the second one whose queue is full, and each node to the others' services."""
    actors = [Actor() for _ in range(nodes)]
    with net((arch,) * nodes, *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number), slices=4)
        do(made, actors[0], look_up(b"node 1"))
        do(made, actors[1], shut)
        do(made, actors[0], say(found, *FILL))
        yield made, actors


def lose(made: Net, number: int) -> None:
    """A node is gone: it does nothing any more, and the others are told."""
    made.gone.append(number)
    for other in set(range(len(made.machines))) - {number}:
        made.links[other].inbox.append((number + 1, None))
        made.wake(other)
    made.run()


def own(arch: Arch, kind: int) -> Callable[[Actor, Mach], None]:
    """Gives a right to a new port, which is the last of `rights`."""

    def do_it(actor: Actor, mach: Mach) -> None:
        actor.rights.append(mach.make_send(mach.allocate_port()))
        give(arch, lambda _: actor.rights[-1], kind)(actor, mach)

    return do_it


def ends(actor: Actor, mach: Mach) -> None:
    mach.destroy_receive(actor.rights[-1])


@pytest.mark.parametrize("kind", [MAKE_SEND, MAKE_SEND_ONCE])
def test_a_port_that_dies_meanwhile_is_a_dead_name(arch: Arch, kind: int) -> None:
    with crowded(arch) as (made, (client, service)):
        do(made, client, own(arch, kind))
        do(made, client, ends, slices=SECOND_NS // SLICE_NS)
        do(made, service, open_again)
        assert service.rights == [PORT_DEAD]


def test_a_port_that_moves_meanwhile_is_reached_where_it_is(arch: Arch) -> None:
    """Without the node that it was at."""
    with crowded(arch, 3) as (made, (client, service, other)):
        do(made, client, own(arch, MAKE_SEND))
        do(made, client, look_up(b"node 2"))
        do(made, client, give(arch, lambda actor: actor.rights[-1], MOVE_RECEIVE))
        do(made, other, lambda actor, mach: mach.move_member(actor.rights[0], actor.other))
        do(made, service, open_again)
        do(made, service, say(first, 901))
        lose(made, 0)
        do(made, service, say(first, 902))
        assert other.ids() == [901, 902]


def test_a_right_that_comes_home_lives_though_its_giver_has_none_any_more(arch: Arch) -> None:
    with crowded(arch) as (made, (client, service)):
        do(made, service, look_up(b"node 0"))
        do(made, service, own(arch, MAKE_SEND))
        do(made, client, give(arch, first, MOVE_SEND))
        do(made, service, open_again)
        here, back = service.rights
        assert back == here


def test_rights_of_a_node_that_is_lost_meanwhile_are_dead(arch: Arch) -> None:
    def with_all(actor: Actor, mach: Mach) -> None:
        body = b"".join(item(arch, kind, 1) + bytes(4) for kind in (MAKE_SEND, MAKE_SEND_ONCE))
        carried = (CarriedPort(4, MAKE_SEND, actor.port), CarriedPort(12, MAKE_SEND_ONCE, actor.port))
        mach.send(Message(Header(found(actor), COPY_SEND, actor.port, MAKE_SEND_ONCE, GIVEN), body, carried, True))
        mach.send(Message(Header(found(actor), COPY_SEND, actor.port, MAKE_SEND_ONCE, 801), b"", (), False))

    with crowded(arch) as (made, (client, service)):
        do(made, client, with_all)
        lose(made, 0)
        do(made, service, open_again)
        assert service.ids() == [*FILL, 801]
        assert service.rights == [PORT_DEAD, PORT_DEAD] and service.received[-1].header.remote == DEAD_NAME
