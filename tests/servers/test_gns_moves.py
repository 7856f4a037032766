"""Rights to ports of third nodes, and receive rights that move: messages go straight to where the port is, in order."""

from __future__ import annotations

from itertools import product

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND, MOVE_RECEIVE, PORT_SEND
from machemu.abi.port import QLIMIT_MAX
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns.codec import encode
from masix.gns.wire import (
    Claim,
    Flush,
    Flushed,
    Found,
    Given,
    GivenUp,
    Home,
    Homed,
    Moved,
    NetRight,
    Onces,
    OnceUnused,
    Passed,
    Payload,
    Request,
    RightKind,
    Taken,
    Unclaimed,
    Unused,
)
from tests.support.actors import Actor, do, found, give, look_up, register, say
from tests.support.guests import Arch
from tests.support.net import Net, StringLink, net

PLACE = 0x7654
"""Stands for the number of a node, or of none."""


def first(actor: Actor) -> int:
    return actor.rights[0]


def listen(actor: Actor, mach: Mach) -> None:
    mach.move_member(actor.rights[-1], actor.other)


def lose(made: Net, number: int) -> None:
    """A node is gone: it does nothing any more, and the others are told."""
    made.gone.append(number)
    for other in range(len(made.machines)):
        if other != number:
            made.links[other].inbox.append((number + 1, None))
            made.wake(other)
    made.run()


@pytest.fixture
def actors() -> list[Actor]:
    return [Actor() for _ in range(4)]


def meet(made: Net, actors: list[Actor], arch: Arch) -> None:
    """Node 0 has a service; node 1 finds it and hands its right to it to node 2."""
    for number, actor in enumerate(actors):
        do(made, actor, register(b"node %d" % number), slices=4)
    do(made, actors[1], look_up(b"node 0"))
    right = found(actors[1])
    do(made, actors[1], look_up(b"node 2"))
    do(made, actors[1], give(arch, lambda actor: right))


def test_a_right_to_a_third_node_does_not_need_the_node_that_passed_it_on(arch: Arch, actors: list[Actor]) -> None:
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        meet(made, actors[:3], arch)
        do(made, actors[2], say(first, 901))
        lose(made, 1)
        do(made, actors[2], say(first, 902, 903))
        assert actors[0].ids() == [901, 902, 903]
        assert actors[1].received == []


def test_a_right_that_is_passed_on_outlives_the_one_that_it_came_from(arch: Arch, actors: list[Actor]) -> None:
    """The node that passes it on gives its own right up at once; nobody takes that for the end of the senders."""
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        meet(made, actors[:3], arch)
        made.end(1, "program 0")
        made.run()
        do(made, actors[2], say(first, 901))
        assert actors[0].ids() == [901]


def test_a_right_passed_on_to_a_port_that_has_died_is_dead(arch: Arch, actors: list[Actor]) -> None:
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        meet(made, actors[:3], arch)
        do(made, actors[2], lambda actor, mach: mach.notify(first(actor), 72, actor.port))
        made.end(0, "program 0")
        made.run()
        assert actors[2].ids() == [72]


def test_a_right_passed_on_to_a_node_that_loses_its_home_is_kept_by_nobody(
    arch: Arch, actors: list[Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The two do not hear each other, and the node that passes it on hears both."""
    sends = StringLink.send
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        here, there = made.links[0], made.links[2]

        def send(self: StringLink, mach: Mach, node: int, stream: int, data: bytes) -> None:
            if (self, node) not in ((here, 3), (there, 1)):
                sends(self, mach, node, stream, data)

        monkeypatch.setattr(StringLink, "send", send)
        meet(made, actors[:3], arch)
        assert len(made.servers[1].tables.pledges) == 1
        for number, other in ((0, 3), (2, 1)):
            made.links[number].inbox.append((other, None))
            made.wake(number)
        made.run()
        assert made.servers[1].tables.pledges == {}
        monkeypatch.undo()


def moving(made: Net, actors: list[Actor], arch: Arch) -> None:
    """Node 0 has a port to which node 1 has a right: its first. Node 0's last right is the receive right."""
    for number, actor in enumerate(actors):
        do(made, actor, register(b"node %d" % number), slices=4)
    do(made, actors[0], lambda actor, mach: actor.rights.append(mach.make_send(mach.allocate_port())), look_up(b"node 1"))
    do(made, actors[0], give(arch, first, MAKE_SEND))
    assert len(actors[1].rights) == 1


def widen(actor: Actor, mach: Mach) -> None:
    """The queue takes all that is sent: a task that sends to a port which it receives from would wait for itself."""
    mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), first(actor), QLIMIT_MAX)


def test_messages_follow_a_receive_right_that_moves_and_need_its_old_home_no_more(arch: Arch, actors: list[Actor]) -> None:
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        moving(made, actors[:3], arch)
        do(made, actors[1], say(first, *range(901, 920)), slices=3)
        do(made, actors[0], look_up(b"node 2"))
        do(made, actors[0], give(arch, first, MOVE_RECEIVE), slices=1)
        for msgh_id in range(920, 940):
            do(made, actors[1], say(first, msgh_id), slices=1)
        do(made, actors[2], listen)
        assert actors[2].ids() == list(range(901, 940))
        lose(made, 0)
        do(made, actors[1], say(first, 940, 941))
        assert actors[2].ids() == list(range(901, 942))


def test_a_receive_right_that_moves_to_its_sender_s_node_is_reached_there(arch: Arch, actors: list[Actor]) -> None:
    with net((arch,) * 2, [actors[0]], actors[1:3]) as made:
        moving(made, actors[:3], arch)
        do(made, actors[1], say(first, *range(901, 910)), slices=2)
        do(made, actors[0], look_up(b"node 2"))
        do(made, actors[0], give(arch, first, MOVE_RECEIVE), say(first, 910), slices=2)
        do(made, actors[1], say(first, *range(911, 960)))
        do(made, actors[2], listen, slices=60)
        ids = actors[2].ids()
        assert sorted(ids) == list(range(901, 960)) and [n for n in ids if n != 910] == [n for n in range(901, 960) if n != 910]
        lose(made, 0)
        do(made, actors[1], say(first, *range(960, 1060)), slices=60)
        assert actors[2].ids()[len(ids) :] == list(range(960, 1060))


@pytest.mark.parametrize("slices", (1, 2, 3, 5, 40))
@pytest.mark.parametrize("count", (3, 16, 60))
def test_a_receive_right_comes_under_the_name_of_the_send_right_and_messages_keep_their_order(
    arch: Arch, actors: list[Actor], slices: int, count: int
) -> None:
    """A task of node 1 sends to a port of node 0; another one there gets its receive right, and has sent to it before, too.

    More are under way than the queue takes.
    """
    with net((arch,) * 2, [actors[0]], actors[1:3]) as made:
        moving(made, actors[:3], arch)
        do(made, actors[0], look_up(b"node 2"))
        do(made, actors[0], give(arch, first, MAKE_SEND))
        assert len(actors[2].rights) == 1
        ids = iter(range(1000, 2000))
        do(made, actors[2], say(first, 901))
        do(made, actors[1], say(first, *(next(ids) for _ in range(count))), slices=slices)
        do(made, actors[0], give(arch, first, MOVE_RECEIVE), slices=slices)
        while len(actors[2].rights) == 1:
            do(made, actors[1], say(first, next(ids)), slices=1)
        assert actors[2].rights[0] == actors[2].rights[1]
        do(made, actors[1], say(first, next(ids)))
        do(made, actors[2], listen, slices=80)
        got = actors[2].ids()
        assert [each for each in got if each != 901] == list(range(1000, next(ids)))
        assert got.count(901) == 1
        assert made.servers[1].tables.proxies.keys() <= {*made.servers[1].tables.onces.values()}


def test_messages_beyond_the_queue_s_limit_move_as_sent_by_send_rights(arch: Arch, actors: list[Actor]) -> None:
    def fill(actor: Actor, mach: Mach) -> None:
        actor.rights.append(mach.make_send(mach.allocate_port()))
        for msgh_id in range(901, 906):
            mach.put(Message(Header(first(actor), COPY_SEND, 0, 0, msgh_id), b"", (), False))
        mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), first(actor), 3)

    def look(actor: Actor, mach: Mach) -> None:
        status = mach.receive_status(first(actor))
        assert (status.msgcount, status.qlimit, status.sorights) == (5, 3, 0)

    with net((arch,) * 2, *([actor] for actor in actors[:2])) as made:
        do(made, actors[1], register(b"node 1"))
        do(made, actors[0], look_up(b"node 1"), fill)
        do(made, actors[0], give(arch, first, MOVE_RECEIVE))
        do(made, actors[1], look, listen)
        came = [message.header for message in actors[1].received]
        assert [(header.id, header.local_type) for header in came] == [(msgh_id, PORT_SEND) for msgh_id in range(901, 906)]


def test_a_receive_right_that_comes_home_has_its_name_again(arch: Arch, actors: list[Actor]) -> None:
    """Also for a third node that knew the port where it was first."""
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        moving(made, actors[:3], arch)
        do(made, actors[0], look_up(b"node 2"))
        do(made, actors[0], give(arch, first, MOVE_RECEIVE), say(first, 901))
        do(made, actors[1], say(first, 902))
        do(made, actors[2], look_up(b"node 0"))
        do(made, actors[2], give(arch, first, MOVE_RECEIVE), slices=1)
        do(made, actors[0], say(first, 903), slices=1)
        do(made, actors[1], say(first, 904))
        assert actors[0].rights[0] == actors[0].rights[1]
        do(made, actors[0], listen)
        ids = actors[0].ids()
        assert sorted(ids) == [901, 902, 903, 904]
        assert ids.index(901) < ids.index(903) and ids.index(902) < ids.index(904)
        do(made, actors[1], say(first, 905))
        assert actors[0].ids()[4:] == [905]


@pytest.mark.parametrize("slices", (1, 2, 3, 5, 40))
def test_a_receive_right_that_goes_round_all_nodes_loses_nothing_and_keeps_the_order(
    arch: Arch, actors: list[Actor], slices: int
) -> None:
    with net((arch,) * 4, *([actor] for actor in actors)) as made:
        moving(made, actors, arch)
        do(made, actors[0], widen)
        ids = iter(range(1000, 2000))
        for here, there in ((0, 2), (2, 3), (3, 1), (1, 0), (0, 3)):
            do(made, actors[here], look_up(b"node %d" % there))
            do(made, actors[1], say(first, next(ids), next(ids)), slices=1)
            before = len(actors[there].rights)
            do(made, actors[here], give(arch, lambda actor: actor.rights[-1], MOVE_RECEIVE), slices=slices)
            while len(actors[there].rights) == before:
                made.run(1)
            do(made, actors[1], say(first, next(ids)), slices=1)
        do(made, actors[3], listen)
        made.run(100)
        assert actors[3].ids() == list(range(1000, next(ids)))


def test_a_service_found_by_name_after_it_has_moved_is_reached_where_it_is(arch: Arch, actors: list[Actor]) -> None:
    with net((arch,) * 4, *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number), slices=4)
        do(made, actors[0], look_up(b"node 1"))
        do(made, actors[0], give(arch, lambda actor: actor.port, MOVE_RECEIVE))
        do(made, actors[1], listen)
        do(made, actors[2], look_up(b"node 0"))
        do(made, actors[2], say(found, 901))
        lose(made, 0)
        do(made, actors[2], say(found, 902))
        assert actors[1].ids() == [901, 902]


def test_falsehoods_about_moves_and_pledges_do_no_harm(arch: Arch, actors: list[Actor]) -> None:
    """Another node's server says what cannot be: numbers that nobody has, of others, and of its own."""
    with net((arch,) * 3, *([actor] for actor in actors[:3])) as made:
        meet(made, actors[:3], arch)
        numbers: list[int] = [0, 1, 2, 3, 99, 1 << 31]
        lies: list[Payload] = [Flushed(n, m) for n in (1, 2, 3, 9) for m in numbers]
        lies += [Passed(n) for n in numbers]
        lies += [Unclaimed(n, m) for n in (1, 2, 3, 9) for m in numbers]
        lies += [Claim(n, via, 5) for n in (99, 1 << 31) for via in (1, 3, PLACE)]
        lies += [
            Moved(n, NetRight(kind, home, 77, 9)) for n in (99, 98) for kind in RightKind for home in (0, 1, 2, 3, 9, 0xFFFF)
        ]
        lies += [Found(1, NetRight(kind, 2, 77)) for kind in RightKind]
        lies += [Flush(n, origin, home, 1) for n in (99, 98) for origin in (1, 2, PLACE) for home in (1, PLACE)]
        for n in (98, 99):
            lies += [Homed((Home(n, 3),) * 2), Taken(n, 1 << 31), Unused(n, 1 << 31)]
            onces = Onces(0, 1 << 30), Onces(3, 1), Onces(1, 1)
            for is_whole in (False, True):
                lies.append(GivenUp((Given(n, is_whole, is_whole, Request(77), Request(78, 3, 5), onces),) * 2))
            lies.append(OnceUnused(n))
        for lie, of in product(lies, (0, 9, 0xFFFF)):
            for number in (0, 2):
                said = encode(lie).replace(PLACE.to_bytes(2, "big"), of.to_bytes(2, "big"))
                made.links[number].inbox.append((2, said))
        for number in (0, 2):
            made.wake(number)
        made.run()
        do(made, actors[2], say(first, 901))
        assert actors[0].ids() == [901]
