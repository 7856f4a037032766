"""Services that are introduced to all network servers before anybody asks, over a link that loses nothing: their proxies are
there in advance, and go with the name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from machemu.abi.message import MOVE_RECEIVE
from machemu.abi.port import TYPE_DEAD_NAME
from machemu.mig.interfaces.mach_port import MACH_PORT_TYPE
from machemu.user.mach import Mach
from masix.gns.codec import encode
from masix.gns.known import KNOWN_MAX
from masix.gns.liveness import partners
from masix.gns.names import INTRODUCED_MAX
from masix.gns.wire import Introduced, Known, Resolve
from masix.interfaces import acs
from tests.support.actors import Actor, do, found, give, look_up, register, say, unregister
from tests.support.guests import Arch
from tests.support.name_servers import HOST, both_places
from tests.support.net import PAIRS, Net, net


@contextmanager
def introduced(*archs: Arch, place: str = HOST, **options: bool) -> Iterator[tuple[Net, list[Actor]]]:
    """Nodes with an actor each, whose network servers introduce. In the end nothing is left of what actors did."""
    actors = [Actor() for _ in archs]
    with net(archs, *([actor] for actor in actors), place=place, introduces=True, **options) as made:
        yield made, actors


def questions(made: Net) -> int:
    return sum(isinstance(payload, Resolve) for _, payload in made.multicasts)


def idle(made: Net, number: int) -> int:
    """How many proxies a server has that nobody has had a right to."""
    return sum(proxy.is_idle() for proxy in made.servers[number].tables.proxies.values())


@both_places
def test_all_nodes_have_a_proxy_as_soon_as_a_name_is_registered_and_nobody_asks(arch: Arch, place: str) -> None:
    with introduced(arch, arch, arch, place=place) as (made, (one, two, three)):
        do(made, one, register(b"a"))
        assert [idle(made, number) for number in range(3)] == [0, 1, 1]
        for number, actor in enumerate((two, three), 1):
            do(made, actor, look_up(b"a"))
            do(made, actor, say(found, 500 + number))
        assert one.ids() == [501, 502] and questions(made) == 0


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
@pytest.mark.parametrize("replicates", [False, True])
def test_the_proxy_made_in_advance_is_the_one_that_is_given(mine: Arch, other: Arch, replicates: bool) -> None:
    with introduced(mine, other, replicates=replicates) as (made, (one, two)):
        do(made, one, register(b"a"), slices=2000 if replicates else 30)
        before = list(made.servers[1].tables.proxies)
        for _ in range(2):
            do(made, two, look_up(b"a"))
        do(made, two, say(found, 500))
        assert list(made.servers[1].tables.proxies) == before and len(before) == 1 and idle(made, 1) == 0
        assert one.ids() == [500] and questions(made) == 0


@both_places
def test_a_name_that_is_withdrawn_takes_the_proxies_along_that_nobody_used(arch: Arch, place: str) -> None:
    with introduced(arch, arch, arch, place=place) as (made, (one, two, three)):
        do(made, one, register(b"a"))
        do(made, two, look_up(b"a"))
        do(made, one, unregister(b"a"))
        assert [len(server.tables.proxies) for server in made.servers] == [0, 1, 0]
        do(made, two, say(found, 500))
        assert one.ids() == [500]
        do(made, three, register(b"a"))
        do(made, two, look_up(b"a"))
        do(made, two, say(found, 501))
        assert three.ids() == [501]


def test_the_successor_of_a_name_on_its_node_is_found_while_the_withdrawal_still_goes_about(arch: Arch) -> None:
    with introduced(arch, arch) as (made, (one, two)):
        for ident in range(500, 508):
            do(made, one, register(b"a"))
            do(made, two, look_up(b"a"))
            do(made, two, say(found, ident))
            do(made, one, unregister(b"a"))
        assert one.ids() == list(range(500, 508))


def register_new(name: bytes) -> Callable[[Actor, Mach], None]:
    """Registers a port of its own for each name."""

    def act(actor: Actor, mach: Mach) -> None:
        port = mach.make_send(mach.allocate_port())
        mach.move_member(port, actor.other)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (name, 0, port), actor.reply)

    return act


def test_the_proxies_that_nobody_uses_are_bounded_and_names_beyond_are_found_by_asking(arch: Arch) -> None:
    names = [b"%03d" % number for number in range(INTRODUCED_MAX + 6)]
    with introduced(arch, arch) as (made, (one, two)):
        do(made, one, *map(register_new, names), slices=200)
        assert idle(made, 1) == INTRODUCED_MAX
        for name in (names[0], names[-1]):
            do(made, two, look_up(name))
            do(made, two, say(found, 500))
        assert one.ids() == [500, 500] and questions(made) == 1


def test_what_many_nodes_introduce_is_bounded_too(arch: Arch) -> None:
    with introduced(arch) as (made, _):
        for node in range(2, 40):
            services = tuple(Known(number, b"%d of %d" % (number, node)) for number in range(1, INTRODUCED_MAX + 1))
            made.links[0].inbox.append((node, encode(Introduced(services))))
        made.wake(0)
        made.run()
        assert idle(made, 0) == KNOWN_MAX
        made.links[0].inbox.extend((node, None) for node in range(2, 40))
        made.wake(0)
        made.run()
        assert made.servers[0].tables.proxies == {}


def test_a_node_is_not_asked_for_signs_of_life_for_proxies_that_nobody_uses(arch: Arch) -> None:
    with introduced(arch, arch) as (made, (one, two)):
        do(made, one, register(b"a"))
        assert [partners(server.tables, server.arrivals) for server in made.servers] == [set(), set()]
        do(made, two, look_up(b"a"))
        assert [partners(server.tables, server.arrivals) for server in made.servers] == [{2}, {1}]


def test_a_service_that_moves_on_is_reached_by_who_never_asked_for_it(arch: Arch) -> None:
    with introduced(arch, arch, arch) as (made, (one, two, three)):
        do(made, one, register(b"a"))
        do(made, two, register(b"b"))
        do(made, one, look_up(b"b"))
        do(made, one, give(arch, lambda actor: actor.port, MOVE_RECEIVE))
        do(made, two, lambda actor, mach: mach.move_member(actor.rights[-1], actor.other))
        do(made, three, look_up(b"a"))
        do(made, three, say(found, 500))
        assert (one.ids(), two.ids()) == ([], [500]) and questions(made) == 0


def test_what_was_falsely_introduced_is_a_dead_port(arch: Arch) -> None:
    with introduced(arch, arch) as (made, (one, _)):
        made.links[0].inbox.append((2, encode(Introduced((Known(77, b"a"),)))))
        made.wake(0)
        do(made, one, look_up(b"a"))
        do(made, one, lambda actor, mach: actor.rights.extend(mach.call(MACH_PORT_TYPE, mach.task_self(), found(actor))))
        assert one.rights == [TYPE_DEAD_NAME]
