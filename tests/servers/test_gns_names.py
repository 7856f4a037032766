"""Names that network servers replicate, over a link that loses nothing: what look-ups give, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from machemu.user.mach import Mach
from masix.gns.codec import encode
from masix.gns.directory import KEY, PUBLISHED_MAX, VALUE, Directory, Replica
from masix.gns.wire import GROUPS, Gathering, Resolve
from masix.groups import Member, View
from masix.groups.dictionary import Dictionary
from masix.groups.wire import HEAD, VERSION, GroupPacketKind, PacketError, packet
from masix.interfaces import acs, netname
from tests.support.actors import Actor, do, found, look_up, register, say, unregister
from tests.support.guests import I386, M68K, Arch
from tests.support.name_servers import HOST, both_places
from tests.support.net import Net

SECOND_SLICES = 500
"""Slices of a second."""


@contextmanager
def grouped(*archs: Arch, place: str = HOST) -> Iterator[tuple[Net, list[Actor]]]:
    """Nodes with an actor each, whose network servers have become a group. In the end nothing is left of what actors did."""
    actors = [Actor() for _ in archs]
    made = Net(archs, [[actor] for actor in actors], place, replicates=True)
    try:
        made.run(2 * SECOND_SLICES)
        assert agreed(made)
        yield made, actors
        made.quiet()
        for _ in range(10):  # a guest needs time to tell of a thousand names
            if any(directory(made, number).own for number in range(len(archs))):
                made.run()
        assert all(directory(made, number).own == {} for number in range(len(archs)))
        for machine in made.machines:
            machine.leave_nothing()
    finally:
        for machine in made.machines:
            machine.node.close()


def directory(made: Net, number: int) -> Directory:
    found = made.servers[number].directory
    assert found is not None
    return found


def agreed(made: Net) -> bool:
    """All are in one group, with the same names."""
    all_of = [directory(made, number) for number in range(len(made.servers))]
    groups = [each.group for each in all_of]
    return (
        all(group is not None and not group.blocked and len(group.view.members) == len(groups) for group in groups)
        and len({each.replica.digest() for each in all_of}) == 1
    )


def register_found(name: bytes) -> Callable[[Actor, Mach], None]:
    """Registers what was found last, which may be another node's."""
    return lambda actor, mach: mach.request(
        acs.ACS_REGISTER, mach.given("name-server"), (name, 0, mach.copy_send(found(actor))), actor.reply
    )


def questions(made: Net) -> int:
    return sum(isinstance(payload, Resolve) for _, payload in made.multicasts)


@both_places
def test_what_is_found_in_the_replica_can_be_used_and_asks_nobody(arch: Arch, place: str) -> None:
    with grouped(I386, M68K, arch, place=place) as (made, (one, two, three)):
        do(made, one, register(b"a"))
        for number, actor in enumerate((two, three), 1):
            do(made, actor, look_up(b"a"))
            do(made, actor, say(found, 500 + number))
        do(made, two, look_up(b"a"))
        do(made, two, say(found, 510))
        assert one.ids() == [501, 502, 510] and questions(made) == 0


@both_places
def test_a_port_with_two_names_is_known_until_it_has_none(arch: Arch, place: str) -> None:
    with grouped(arch, arch, place=place) as (made, (one, two)):
        do(made, one, register(b"a"), register(b"b"))
        do(made, one, unregister(b"a"))
        assert set(directory(made, 0).own) == {b"b"}
        do(made, two, look_up(b"b"))
        do(made, two, say(found, 500))
        do(made, one, unregister(b"b"))
        do(made, two, say(found, 501))
        assert one.ids() == [500, 501] and directory(made, 1).replica.entries == {}


@both_places
def test_a_name_checked_in_anew_stands_for_the_new_port(arch: Arch, place: str) -> None:
    def check_in(actor: Actor, mach: Mach) -> None:
        port = mach.make_send(mach.allocate_port())
        mach.move_member(port, actor.other)
        arguments = (b"a".ljust(80, b"\0"), mach.copy_send(actor.port), port)
        mach.request(netname.NETNAME_CHECK_IN, mach.given("name-server"), arguments, actor.reply)

    with grouped(arch, arch, place=place) as (made, (one, two)):
        for ident in (500, 501):
            do(made, one, check_in)
            do(made, two, look_up(b"a"))
            do(made, two, say(found, ident))
        ports = [message.header.local for message in one.received]
        assert one.ids() == [500, 501] and len(set(ports)) == 2


@both_places
def test_a_name_of_a_port_on_another_node_leads_to_that_port_and_not_longer_than_it_is_there(arch: Arch, place: str) -> None:
    """Also where it is looked up on the port's own node."""
    with grouped(arch, M68K, I386, place=place) as (made, (home, middle, far)):
        do(made, home, register(b"a"))
        do(made, middle, look_up(b"a"))
        do(made, middle, register_found(b"alias"))
        for ident, actor in enumerate((far, home), 500):
            do(made, actor, look_up(b"alias"))
            do(made, actor, say(found, ident))
            do(made, actor, say(found, ident + 10))
        assert home.ids() == [500, 510, 501, 511]
        made.end(1, "program 0")
        do(made, far, say(found, 520))
        assert home.ids()[-1] == 520 and questions(made) == 0
        made.end(0, "program 0")
        made.run()
        assert all(directory(made, number).replica.entries == {} for number in range(3))


@both_places
@pytest.mark.slow
def test_a_node_s_names_are_bounded_and_those_beyond_are_found_by_asking(arch: Arch, place: str) -> None:
    with grouped(arch, arch, place=place) as (made, (one, two)):
        do(made, one, *(register(b"n%d" % n, "privilege") for n in range(PUBLISHED_MAX + 3)), slices=SECOND_SLICES)
        assert agreed(made) and len(directory(made, 1).replica.entries) == PUBLISHED_MAX
        do(made, two, look_up(b"n%d" % PUBLISHED_MAX))
        do(made, two, say(found, 500))
        assert one.ids() == [500] and questions(made) == 1


@both_places
def test_a_place_that_is_in_the_replica_though_nothing_is_there_is_a_dead_name(arch: Arch, place: str) -> None:
    """Another member says that it has a service which it has not."""
    with grouped(arch, arch, place=place) as (made, (one, _)):
        theirs = directory(made, 1)
        assert theirs.replica.put(KEY.pack(*theirs.endpoint.me) + b"a", VALUE.pack(77)) is not None
        made.run(60)
        assert directory(made, 0).place(b"a") == (2, 77)
        do(made, one, look_up(b"a"))
        do(made, one, lambda actor, mach: mach.notify(found(actor), 72, actor.port, 1))
        assert one.ids() == [72] and questions(made) == 0


@both_places
def test_a_group_that_is_told_of_and_does_not_exist_is_given_up(arch: Arch, place: str) -> None:
    with grouped(arch, arch, arch, place=place) as (made, (one, two, _)):
        do(made, one, register(b"a"))
        for number in range(3):
            made.links[number].inbox.append((3 - number, encode(Gathering(0))))
            made.wake(number)
        made.run(SECOND_SLICES)
        assert directory(made, 0).place(b"a") is None and not agreed(made)
        made.run(9 * SECOND_SLICES)
        assert agreed(made)
        do(made, two, look_up(b"a"))
        do(made, two, say(found, 500))
        assert one.ids() == [500] and questions(made) == 0


HEADS = st.builds(
    HEAD.pack,
    st.sampled_from([VERSION, 2]),
    st.sampled_from([int(kind) for kind in GroupPacketKind] + [0, 99]),
    st.sampled_from([1 << 16, 0]),
    st.sampled_from([0, 1, 2_500_000_000, (1 << 64) - 1]),
    st.sampled_from([0, 1, 2, 3, 4, 9]),
)
NONSENSE = st.one_of(st.binary(max_size=60), st.builds(lambda head, body: head + body, HEADS, st.binary(max_size=120)))


@settings(deadline=None, max_examples=15)
@example([(0xFFFF, b"\1\1" + bytes(11) + bytes((n,)) + bytes(8)) for n in (0, 1)])
@given(st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 0xFFFF]), NONSENSE), min_size=1, max_size=40))
def test_no_packet_of_another_node_ends_a_server(packets: list[tuple[int, bytes]]) -> None:
    """Whoever it says to be from; afterwards, among those whose names were not used, all is as before."""
    with grouped(I386, I386) as (made, (one, _)):
        for node, data in packets:
            made.links[0].inbox.append((node, GROUPS + data))
            made.wake(0)
        do(made, one, register(b"a"), slices=SECOND_SLICES)
        assert set(directory(made, 0).own) == {b"a"}


def test_only_names_of_members_are_in_a_replica(arch: Arch) -> None:
    replica = Replica()
    one, two = Member(1, 5), Member(2, 6)
    names = {KEY.pack(*member) + b"a": VALUE.pack(member.node) for member in (one, two)}
    for key, value in names.items():
        replica.deliver(one, b"\1" + len(key).to_bytes(2, "big") + key + value)
    for key, value in ((b"short", VALUE.pack(1)), (KEY.pack(*one), VALUE.pack(1)), (KEY.pack(*one) + b"n" * 80, VALUE.pack(1)),
                       (KEY.pack(*one) + b"x", b"12345")):  # fmt: skip
        replica.deliver(one, b"\1" + len(key).to_bytes(2, "big") + key + value)
    assert replica.entries == names
    replica.installed(View(2, (one, Member(2, 7)), 2))
    assert list(replica.entries) == [KEY.pack(*one) + b"a"]


def test_a_state_that_is_none_of_names_is_refused() -> None:
    other = Dictionary()
    other.entries[b"key"] = bytes(5000)
    replica = Replica()
    with pytest.raises(PacketError):
        replica.restore(other.snapshot())
    assert replica.entries == {} and not replica.joined


def test_a_server_without_the_switch_takes_no_notice_of_groups(arch: Arch) -> None:
    made = Net((arch, arch), ([], []))
    for data in (GROUPS + packet(GroupPacketKind.HEARTBEAT, 0, 1, 0), encode(Gathering(7))):
        made.links[0].inbox.append((2, data))
    made.wake(0)
    made.run(10)
    assert made.servers[0].directory is None and not made.links[0].out and not made.links[0].inbox
    made.quiet()
    for machine in made.machines:
        machine.leave_nothing()
        machine.node.close()
