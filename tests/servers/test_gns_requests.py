"""Receive rights move whole: with their queue, and with what they are asked to notify. On another node all is as at home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import permutations

import pytest

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND_ONCE,
    PORT_DEAD,
    PORT_SEND,
    PORT_SEND_ONCE,
    CarriedPort,
    CarriedPorts,
)
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS, MACH_NOTIFY_PORT_DESTROYED, MACH_NOTIFY_SEND_ONCE
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, living
from masix.gns.codec import decode
from masix.gns.wire import Flush, GivenUp, Homed
from tests.support.actors import GIVEN, Actor, do, found, give, look_up, register, say
from tests.support.guests import Arch
from tests.support.net import PAIRS, Net, item, net

NO_SENDERS, PORT_DESTROYED = MACH_NOTIFY_NO_SENDERS.request.id, MACH_NOTIFY_PORT_DESTROYED.request.id
Step = Callable[[Actor, Mach], None]
Steps = tuple[Step, ...]
MANY = 1000


def first(actor: Actor) -> int:
    return actor.rights[0]


def make(actor: Actor, mach: Mach) -> None:
    actor.rights.append(mach.allocate_port())


def make_send(actor: Actor, mach: Mach) -> None:
    mach.make_send(first(actor))


def drop_send(actor: Actor, mach: Mach) -> None:
    mach.deallocate(first(actor))


def destroy(actor: Actor, mach: Mach) -> None:
    mach.destroy_receive(first(actor))


def listen(actor: Actor, mach: Mach) -> None:
    mach.move_member(first(actor), actor.other)


def ask(notification: int, sync: int = 0) -> Step:
    return lambda actor, mach: mach.notify(first(actor), notification, actor.port, sync)


def asks_instead(actor: Actor, mach: Mach) -> None:
    """Takes the other one's request back, whose send-once right is given up."""
    for notification in (NO_SENDERS, PORT_DESTROYED):
        mach.notify(first(actor), notification, actor.port)


def destroy_received(actor: Actor, mach: Mach) -> None:
    for message in actor.received:
        mach.destroy(message)


SCENES: dict[str, tuple[Steps, tuple[tuple[int, Steps], ...]]] = {
    "the last send right goes": ((make, make_send, ask(NO_SENDERS, 1)), ((0, (drop_send,)),)),
    "it goes while the receive right is under way": ((make, make_send, ask(NO_SENDERS, 1), drop_send), ()),
    "there is no send right": ((make, ask(NO_SENDERS, 1)), ()),
    "there is none before the other one makes it": (
        (make, ask(NO_SENDERS, 1)), ((1, (make_send, make_send, drop_send)), (1, (drop_send,))),
    ),
    "the receive right is destroyed": ((make, make_send, ask(PORT_DESTROYED)), ((1, (destroy,)),)),
    "it is destroyed where nobody has a send right": ((make, ask(PORT_DESTROYED)), ((1, (destroy,)),)),
    "both are asked for": (
        (make, make_send, ask(NO_SENDERS, 1), ask(PORT_DESTROYED)), ((0, (drop_send,)), (1, (destroy,))),
    ),
    "messages wait in the queue": (
        (make, make_send, say(first, 901, 902), ask(NO_SENDERS, 1)), ((0, (drop_send,)), (1, (listen,)), (1, (destroy,))),
    ),
    "messages wait to which nobody has a send right": (
        (make, make_send, say(first, 901, 902), ask(NO_SENDERS, 9)), ((1, (listen,)), (1, (destroy,))),
    ),
    "the other one asks instead": (
        (make, make_send, ask(NO_SENDERS, 1), ask(PORT_DESTROYED)), ((1, (asks_instead,)), (0, (drop_send,))),
    ),
}  # fmt: skip


def played(made: Net, arch: Arch, actors: tuple[Actor, Actor], name: str) -> list[list[tuple[int, bytes]]]:
    """What both get while one gives the other a receive right."""
    for number, actor in enumerate(actors):
        do(made, actor, register(b"actor %d" % number), slices=4)
    before, after = SCENES[name]
    do(made, actors[0], look_up(b"actor 1"))
    do(made, actors[0], *before, slices=3)
    do(made, actors[0], give(arch, first, MOVE_RECEIVE))
    assert len(actors[1].rights) == 1
    for number, steps in after:
        do(made, actors[number], *steps)
    kept = [[(message.header.id, message.body) for message in actor.received] for actor in actors]
    for actor in actors:
        do(made, actor, destroy_received)
    return [[(msgh_id, body[-4:] if msgh_id == NO_SENDERS else b"") for msgh_id, body in each] for each in kept]


@pytest.mark.parametrize("name", SCENES)
def test_what_a_receive_right_is_asked_to_notify_is_notified_wherever_it_is(arch: Arch, name: str) -> None:
    home, far = (Actor(), Actor()), (Actor(), Actor())
    with net((arch,), home) as made:
        expected = played(made, arch, home, name)
    with net((arch, arch), *([actor] for actor in far)) as made:
        assert played(made, arch, far, name) == expected


def test_messages_that_waited_come_before_those_of_whoever_got_the_receive_right(arch: Arch) -> None:
    """It has the right, makes a send right of it and says something at once: that comes last."""

    class Hasty(Actor):
        def receive(self, mach: Mach, message: Message) -> None:
            super().receive(mach, message)
            if message.header.id == GIVEN:
                mach.make_send(first(self))
                say(first, 903)(self, mach)
                listen(self, mach)

    giver, taker = Actor(), Hasty()
    with net((arch, arch), [giver], [taker]) as made:
        do(made, taker, register(b"taker"))
        do(made, giver, look_up(b"taker"), make, make_send)
        do(made, giver, say(first, 901, 902), give(arch, first, MOVE_RECEIVE))
        assert taker.ids() == [901, 902, 903]


def test_a_message_that_waited_shows_by_which_right_it_was_sent(arch: Arch) -> None:
    """At the new home, and once more at home."""

    def once(actor: Actor, mach: Mach) -> None:
        mach.send(Message(Header(first(actor), MAKE_SEND_ONCE, 0, 0, 902), b"", (), False))

    giver, taker = Actor(), Actor()
    with net((arch, arch), [giver], [taker]) as made:
        do(made, giver, register(b"giver"))
        do(made, taker, register(b"taker"), look_up(b"giver"))
        do(made, giver, look_up(b"taker"), make, make_send)
        do(made, giver, say(first, 901), once, give(arch, first, MOVE_RECEIVE))
        do(made, taker, give(arch, first, MOVE_RECEIVE))
        do(made, giver, listen)
        assert [(each.header.id, each.header.local_type) for each in giver.received] == [(901, PORT_SEND), (902, PORT_SEND_ONCE)]


def onces(*to: int) -> Step:
    """Makes send-once rights to ports of the actor's, which are the last of `rights`."""
    return lambda actor, mach: actor.rights.extend(mach.make_onces([actor.rights[each] for each in to]))


def say_by(place: int, msgh_id: int) -> Step:
    """Uses a send-once right."""
    return lambda actor, mach: mach.send(Message(Header(actor.rights[place], MOVE_SEND_ONCE, 0, 0, msgh_id), b"", (), False))


def left(actor: Actor, made: Net) -> int:
    """The send-once rights that an actor's first port counts."""
    counts: list[int] = []
    do(made, actor, lambda actor, mach: counts.append(mach.receive_status(first(actor)).sorights))
    return counts[0]


def test_send_once_rights_to_a_port_that_moves_stay_such_and_are_counted_wherever_it_is(arch: Arch) -> None:
    """Three are at the first home: one is used while the port is at the second, one at the third, and one goes unused there."""
    one, two, three = Actor(), Actor(), Actor()
    with net((arch, arch, arch), [one], [two], [three]) as made:
        do(made, two, register(b"two"))
        do(made, three, register(b"three"))
        do(made, two, look_up(b"three"))
        do(made, one, look_up(b"two"), make, onces(0, 0, 0))
        do(made, one, give(arch, first, MOVE_RECEIVE))
        assert left(two, made) == 3
        do(made, one, say_by(1, 901))
        assert left(two, made) == 3
        do(made, two, give(arch, first, MOVE_RECEIVE))
        do(made, three, listen)
        do(made, one, say_by(2, 902))
        do(made, one, lambda actor, mach: mach.deallocate(actor.rights[3]))
        assert left(three, made) == 0
        assert [(each.header.id, each.header.local_type) for each in three.received] == [
            (901, PORT_SEND_ONCE), (902, PORT_SEND_ONCE), (MACH_NOTIFY_SEND_ONCE.request.id, PORT_SEND_ONCE),
        ]  # fmt: skip
        for node in range(3):
            assert not made.servers[node].tables.pooled


def test_a_send_once_right_that_follows_its_port_is_one_to_the_port_itself(arch: Arch) -> None:
    """Whoever uses it sees at once that the message has come, or that the port is dead."""
    one, two = Actor(), Actor()
    with net((arch, arch), [one], [two]) as made:
        do(made, two, register(b"two"))
        do(made, one, look_up(b"two"), make, onces(0, 0))
        do(made, one, give(arch, first, MOVE_RECEIVE))
        do(made, one, *(give(arch, lambda actor, place=place: actor.rights[place], MOVE_SEND_ONCE) for place in (1, 2)))  # type: ignore[misc]
        assert not made.servers[0].tables.watchers
        owners: list[int] = []
        do(made, two, lambda actor, mach: owners.extend(mach.receivers(actor.rights)))
        assert owners == [first(two)] * 3


def test_send_once_rights_of_a_node_that_is_lost_go_unused(arch: Arch) -> None:
    one, two = Actor(), Actor()
    with net((arch, arch), [one], [two]) as made:
        do(made, two, register(b"two"))
        do(made, one, look_up(b"two"), make, onces(0, 0))
        do(made, one, give(arch, first, MOVE_RECEIVE))
        do(made, two, listen)
        lose(made, 0)
        assert two.ids() == [MACH_NOTIFY_SEND_ONCE.request.id] * 2
        assert left(two, made) == 0


def test_a_message_that_waits_for_a_receive_right_stays_one_by_a_send_once_right(arch: Arch) -> None:
    """It waits for the right that it brings, which is told of by the port that it is for."""

    def port_goes(actor: Actor, mach: Mach) -> None:
        other = mach.allocate_port()
        mach.exchange_request(other, PORT_DESTROYED, 0, first(actor))
        actor.rights.append(other)
        mach.destroy_receive(other)

    one, two = Actor(), Actor()
    with net((arch, arch), [one], [two]) as made:
        do(made, two, register(b"two"))
        do(made, one, look_up(b"two"), make, port_goes)
        do(made, one, give(arch, first, MOVE_RECEIVE))
        do(made, two, listen)
        assert [(each.header.id, each.header.local_type) for each in two.received] == [(PORT_DESTROYED, PORT_SEND_ONCE)]


@contextmanager
def cut(arch: Arch, kept_back: type[Homed | GivenUp | Flush], giver: Actor, taker: Actor, *steps: Step) -> Iterator[Net]:
    """A receive right goes; what the two servers say is heard up to the first of this kind, which is on its way for ever."""
    with net((arch, arch), [giver], [taker]) as made:
        do(made, taker, register(b"taker"))
        do(made, giver, look_up(b"taker"))
        do(made, giver, *steps, give(arch, first, MOVE_RECEIVE), slices=0)
        for _ in range(30):
            for number, machine in enumerate(made.machines):
                machine.run(2_000_000)
                out = made.links[number].out
                while out and not isinstance(decode(out[0][1]), kept_back):
                    made.links[1 - number].inbox.append((number + 1, out.popleft()[1]))
                    made.wake(1 - number)
        for link in made.links:
            link.out.clear()
        yield made


def lose(made: Net, number: int) -> None:
    made.gone.append(number)
    made.links[1 - number].inbox.append((number + 1, None))
    made.wake(1 - number)
    made.run()


def test_a_receive_right_whose_new_home_is_lost_before_it_has_it_goes_back_to_who_asked(arch: Arch) -> None:
    giver, taker = Actor(), Actor()
    with cut(arch, Homed, giver, taker, make, make_send, say(first, 901), ask(PORT_DESTROYED)) as made:
        assert taker.rights == []
        lose(made, 1)
        (told,) = giver.received
        assert told.header.id == PORT_DESTROYED
        (back,) = told.carried
        assert isinstance(back, CarriedPort) and back.port == first(giver)
        do(made, giver, listen)
        assert giver.ids() == [PORT_DESTROYED, 901]


@pytest.mark.parametrize(("kept_back", "steps"), ((GivenUp, ()), (GivenUp, (say(first, 901),)), (Flush, (say(first, 901),))))
def test_a_receive_right_whose_old_home_is_lost_before_it_has_given_it_up_comes_dead(
    arch: Arch, kept_back: type[GivenUp | Flush], steps: Steps
) -> None:
    giver, taker = Actor(), Actor()
    with cut(arch, kept_back, giver, taker, make, make_send, *steps, ask(PORT_DESTROYED)) as made:
        assert taker.rights == []
        lose(made, 0)
        assert taker.rights == [PORT_DEAD]


@pytest.mark.slow
@pytest.mark.parametrize(("sends", "takes"), PAIRS)
def test_a_thousand_receive_rights_come_in_one_message_each_with_its_queue_and_requests(sends: Arch, takes: Arch) -> None:
    giver, taker = Actor(), Actor()

    def give_all(actor: Actor, mach: Mach) -> None:
        for n in range(MANY):
            name = mach.make_send(mach.allocate_port())
            mach.notify(name, NO_SENDERS, actor.port, 1)
            mach.send(Message(Header(name, COPY_SEND, 0, 0, 20_000 + n), b"", (), False))
            actor.rights.append(name)
        body = item(sends, MOVE_RECEIVE, MANY, inline=False) + bytes(4)
        ports = CarriedPorts(4, MOVE_RECEIVE, tuple(actor.rights))
        mach.send(Message(Header(found(actor), COPY_SEND, 0, 0, 4001), body, (ports,), True))

    def listen_to_all(actor: Actor, mach: Mach) -> None:
        (array,) = actor.received[0].carried
        assert isinstance(array, CarriedPorts) and len({*array.ports}) == MANY
        for name in array.ports:
            mach.move_member(living(name), actor.other)

    def drop_all(actor: Actor, mach: Mach) -> None:
        for name in actor.rights:
            mach.deallocate(name)

    with net((sends, takes), [giver], [taker]) as made:
        do(made, taker, register(b"taker"))
        do(made, giver, look_up(b"taker"))
        do(made, giver, give_all, slices=2000)
        do(made, taker, listen_to_all, slices=500)
        assert taker.ids()[1:] == [20_000 + n for n in range(MANY)]
        do(made, giver, drop_all, slices=2000)
        assert giver.ids() == [NO_SENDERS] * MANY


@pytest.mark.parametrize("kinds", list(permutations((MOVE_RECEIVE, COPY_SEND))))
def test_a_send_and_the_receive_right_of_a_port_in_one_message_have_one_name(arch: Arch, kinds: tuple[int, int]) -> None:
    def give_both(actor: Actor, mach: Mach) -> None:
        body = b"".join(item(arch, kind, 1) + bytes(4) for kind in kinds)
        carried = tuple(CarriedPort(4 + 8 * n, kind, first(actor)) for n, kind in enumerate(kinds))
        mach.send(Message(Header(found(actor), COPY_SEND, 0, 0, GIVEN), body, carried, True))

    giver, taker = Actor(), Actor()
    with net((arch, arch), [giver], [taker]) as made:
        do(made, taker, register(b"taker"))
        do(made, giver, look_up(b"taker"), make, make_send)
        do(made, giver, give_both)
        one, other = taker.rights
        assert one == other


def test_a_request_of_a_right_in_a_queue_tells_a_port_that_moves_with_the_queue_by_no_other_node(arch: Arch) -> None:
    """The receive right of a port is in a message that waits at a second one, which moves together with who is to be told."""

    def fill(actor: Actor, mach: Mach) -> None:
        told, queue, port = mach.allocate_ports(3)
        mach.make_send(port)
        mach.notify(port, NO_SENDERS, told)
        mach.make_send(queue)
        body = item(arch, MOVE_RECEIVE, 1) + bytes(4)
        mach.put(Message(Header(queue, COPY_SEND, 0, 0, 500), body, (CarriedPort(4, MOVE_RECEIVE, port),), True))
        actor.rights += [told, queue, port]

    def give_all(actor: Actor, mach: Mach) -> None:
        body = item(arch, MOVE_RECEIVE, 2) + bytes(8)
        rights = [CarriedPort(4 + 4 * n, MOVE_RECEIVE, actor.rights[n]) for n in range(2)]
        mach.send(Message(Header(found(actor), COPY_SEND, 0, 0, GIVEN), body, tuple(rights), True))

    def listen(actor: Actor, mach: Mach) -> None:
        for right in actor.rights[:2]:
            mach.move_member(right, actor.other)

    def drop(actor: Actor, mach: Mach) -> None:
        mach.deallocate(actor.rights[-1])

    mine, theirs = Actor(), Actor()
    with net((arch, arch), [mine], [theirs]) as made:
        do(made, theirs, register(b"theirs"))
        do(made, mine, look_up(b"theirs"), fill)
        do(made, mine, give_all)
        do(made, mine, give(arch, lambda actor: actor.rights[-1]))
        do(made, theirs, listen)
        assert theirs.ids() == [500]
        made.gone.append(0)
        do(made, theirs, drop)
        assert theirs.ids() == [500, NO_SENDERS]
