"""Send-once rights that are passed on to other nodes: they go straight to their port's, and the node between keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, permutations

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, MOVE_SEND_ONCE
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from masix.gns.codec import decode
from masix.gns.ports import FOUND, Export
from masix.gns.wire import Claim, RightKind
from tests.support.actors import Actor, do, found, give, look_up, register
from tests.support.guests import Arch
from tests.support.net import SLICE_NS, Net, net

SPENT = MACH_NOTIFY_SEND_ONCE.request.id
USED, ASKED = 900, 901


def last(actor: Actor) -> int:
    return actor.rights[-1]


def use(actor: Actor, mach: Mach) -> None:
    mach.send(Message(Header(last(actor), MOVE_SEND_ONCE, 0, 0, USED), b"", (), False))


def drop(actor: Actor, mach: Mach) -> None:
    mach.deallocate(last(actor))


def give_own(arch: Arch) -> Callable[[Actor, Mach], None]:
    return give(arch, lambda actor: actor.port, MAKE_SEND_ONCE)


def nothing_kept(made: Net, number: int) -> bool:
    """Of send-once rights; all have rights to services that they have found."""
    tables = made.servers[number].tables
    kinds = [each.kind for each in tables.exports.values()] + [each.kind for each in tables.proxies.values()]
    return not tables.onces and not tables.pledges and RightKind.SEND_ONCE not in kinds


@pytest.fixture
def actors() -> list[Actor]:
    return [Actor() for _ in range(4)]


@pytest.fixture
def made(arch: Arch, actors: list[Actor]) -> Iterator[Net]:
    with net((arch,) * 4, *([actor] for actor in actors)) as made:
        for number, actor in enumerate(actors):
            do(made, actor, register(b"node %d" % number))
        yield made


def pass_along(made: Net, arch: Arch, actors: list[Actor], *way: int, slices: int = 20) -> None:
    """The first makes a send-once right to its port, which then goes to the others in turn."""
    for here, there in pairwise(way):
        do(made, actors[here], look_up(b"node %d" % there))
    for place, (here, there) in enumerate(pairwise(way)):
        do(made, actors[here], look_up(b"node %d" % there))
        before = len(actors[there].rights)
        do(made, actors[here], give(arch, last, MOVE_SEND_ONCE) if place else give_own(arch), slices=slices)
        while len(actors[there].rights) == before:
            made.run(1)


WAYS = ((0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 1), (0, 1, 0), (0, 1, 2, 0), (0, 1, 2, 1, 2, 3), (0, 1, 0, 1, 2))


@pytest.mark.parametrize("ends", [use, drop])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "".join(map(str, way)))
def test_nodes_that_passed_one_on_keep_nothing_of_it_and_need_not_live(
    arch: Arch, actors: list[Actor], made: Net, way: tuple[int, ...], ends: Callable[[Actor, Mach], None]
) -> None:
    pass_along(made, arch, actors, *way)
    between = set(way) - {way[0], way[-1]}
    assert all(nothing_kept(made, number) for number in between)
    for number in between:
        made.gone.append(number)
        for other in {way[0], way[-1]}:
            made.links[other].inbox.append((number + 1, None))
            made.wake(other)
    do(made, actors[way[-1]], ends)
    assert actors[way[0]].ids() == [USED if ends is use else SPENT]
    assert all(nothing_kept(made, number) for number in {way[0], way[-1]})


@pytest.mark.parametrize("slices", (1, 2, 3))
@pytest.mark.parametrize("way", WAYS, ids=lambda way: "".join(map(str, way)))
def test_one_is_passed_on_before_its_home_knows_where_it_is(
    arch: Arch, actors: list[Actor], made: Net, way: tuple[int, ...], slices: int
) -> None:
    pass_along(made, arch, actors, *way, slices=slices)
    do(made, actors[way[-1]], use)
    assert actors[way[0]].ids() == [USED]
    assert all(nothing_kept(made, number) for number in range(4))


def test_the_reply_right_of_a_request_that_is_passed_on_is_answered_directly(arch: Arch, actors: list[Actor], made: Net) -> None:
    def ask(actor: Actor, mach: Mach) -> None:
        mach.send(Message(Header(found(actor), COPY_SEND, actor.port, MAKE_SEND_ONCE, ASKED), b"", (), False))

    def pass_on(actor: Actor, mach: Mach) -> None:
        reply = actor.received[-1].header
        mach.send(Message(Header(found(actor), COPY_SEND, reply.remote, MOVE_SEND_ONCE, ASKED), b"", (), False))

    def answer(actor: Actor, mach: Mach) -> None:
        mach.send(Message(Header(actor.received[-1].header.remote, MOVE_SEND_ONCE, 0, 0, USED), b"", (), False))

    for here, there in ((0, 1), (1, 2)):
        do(made, actors[here], look_up(b"node %d" % there))
    do(made, actors[0], ask)
    do(made, actors[1], pass_on)
    assert nothing_kept(made, 1)
    do(made, actors[2], answer)
    assert actors[0].ids() == [USED]


@pytest.mark.parametrize("knows", [False, True])
def test_one_whose_holder_is_lost_is_spent(arch: Arch, actors: list[Actor], made: Net, knows: bool) -> None:
    """knows: whether the port's home has heard that it is there."""
    pass_along(made, arch, actors, 0, 1)
    do(made, actors[1], look_up(b"node 2"))
    do(made, actors[1], give(arch, last, MOVE_SEND_ONCE), slices=0)
    for _ in range(20):
        for number, machine in enumerate(made.machines):
            machine.run(SLICE_NS)
            out = made.links[number].out
            while out:
                to, data = out.popleft()
                if to is not None and (knows or not isinstance(decode(data), Claim)):
                    made.links[to - 1].inbox.append((number + 1, data))
                    made.wake(to - 1)
    assert len(actors[2].rights) == 1
    assert nothing_kept(made, 1) is knows
    made.gone.append(2)
    for other in (0, 1, 3):
        made.links[other].inbox.append((3, None))
        made.wake(other)
    made.run()
    assert actors[0].ids() == [SPENT]
    assert all(nothing_kept(made, number) for number in (0, 1))


@pytest.mark.parametrize("way", [(1, 2, 3), (1, 2, 1), (1, 2, 3, 2), (1, 2, 1, 2), (1, 2, 3, 4, 2)])
def test_in_whatever_order_its_home_hears_where_one_went_it_knows_who_has_it(way: tuple[int, ...]) -> None:
    """Each node's words come in their order; the first node has it from its home."""
    steps = list(enumerate(pairwise(way)))
    for order in permutations(steps):
        of_node = [[place for place, (_, to) in order if to == node] for node in way]
        if any(places != sorted(places) for places in of_node):
            continue
        export = Export(RightKind.SEND_ONCE, 7, FOUND)
        export.give(way[0])
        for _, (node, to) in order:
            export.pass_on(node, to)
        assert (export.given, export.ahead) == ({way[-1]: 1}, {})
