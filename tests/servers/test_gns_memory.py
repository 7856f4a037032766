"""Large messages between nodes: their memory goes in parts, waits for nobody, and goes nowhere where it does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    MSG_TYPE_BYTE,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
)
from machemu.mig.interfaces.mach import MEMORY_OBJECT_READY, VM_MAP
from machemu.mig.interfaces.memory_object import MEMORY_OBJECT_INIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_SEND_ONCE
from machemu.mig.runtime import PolyPort
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, Region
from machemu.vm.pager import COPY_DELAY
from masix.gns.forward import RIGHTS_MAX
from tests.support.actors import Actor, do, found, give, look_up, register
from tests.support.clients import pattern
from tests.support.guests import ARCHS, Arch
from tests.support.net import PAIRS, Net, item, net

DIED = MACH_NOTIFY_SEND_ONCE.request.id
SIZE = 600_000
TOO_LARGE = 64 << 20
BEGIN = 4000
REAL = 10
Step = Callable[[Actor, Mach], None]


@contextmanager
def two(mine: Arch, other: Arch) -> Iterator[tuple[Net, Actor, Actor]]:
    """A client on the first node that has found a service on the second."""
    client, service = Actor(), Actor()
    with net((mine, other), [client], [service]) as made:
        do(made, service, register(b"service"), slices=4)
        do(made, client, look_up(b"service"))
        yield made, client, service


def arch_of(mach: Mach) -> Arch:
    return next(arch for arch in ARCHS.values() if arch.order is mach.order)


def call(actor: Actor, mach: Mach, body: bytes, carried: tuple[object, ...], msgh_id: int) -> None:
    """A message to what was found, with a reply right to the actor's own port."""
    header = Header(found(actor), COPY_SEND, actor.port, MAKE_SEND_ONCE, msgh_id)
    mach.send(Message(header, body, carried, bool(carried)))  # type: ignore[arg-type]


def with_memory(*copies: bytes | Region, msgh_id: int = 500, name: int = MSG_TYPE_BYTE, bits: int = 8) -> Step:
    def step(actor: Actor, mach: Mach) -> None:
        sizes = [each.size if isinstance(each, Region) else len(each) for each in copies]
        body = b"".join(arch_of(mach).long_item(name, bits, size * 8 // bits, False) + bytes(4) for size in sizes)
        carried = [CarriedMemory(12 + 16 * n, size, copies[n]) for n, size in enumerate(sizes)]
        call(actor, mach, body, tuple(carried), msgh_id)

    return step


def with_length(number: int, bits: int) -> Step:
    """As a guest writes a descriptor: so many elements of so many bits out of line, which the kernel counts in 32 bits."""

    def step(actor: Actor, mach: Mach) -> None:
        body = arch_of(mach).long_item(MSG_TYPE_BYTE, bits, number, False) + bytes(4)
        size = number * bits // 8 & 0xFFFFFFFF
        call(actor, mach, body, (CarriedMemory(12, size, b"four"[:size]),), 500)

    return step


@pytest.mark.parametrize("number", (0x40000000, 0x80000000, 0x40000001))
def test_memory_whose_length_does_not_fit_into_32_bits_is_as_long_as_the_kernel_says(number: int) -> None:
    for mine, other in PAIRS:
        with two(mine, other) as (made, client, service):
            do(made, client, with_length(number, 32))
            (message,) = service.received
            (memory,) = message.carried
            size = number * 4 & 0xFFFFFFFF
            assert isinstance(memory, CarriedMemory)
            assert (memory.size, bytes(memory.copy or b"")) == (size, b"four"[:size])
            do(made, client, with_memory(b"next"))
            assert len(service.received) == 2


def untouched(size: int, msgh_id: int = 500) -> Step:
    """Memory that nobody has written yet."""
    return lambda actor, mach: with_memory(Region(mach.allocate(size), size), msgh_id=msgh_id)(actor, mach)


def mapped(actor: Actor, mach: Mach, size: int) -> Region:
    """Memory of which the actor is the manager."""
    pager = mach.make_send(mach.allocate_port())
    mach.move_member(pager, actor.other)
    (address,) = mach.call(VM_MAP, mach.task_self(), 0, size, 0, True, PolyPort(pager, COPY_SEND), 0, False, 7, 7, 1)
    return Region(address, size)


def manage(actor: Actor, mach: Mach) -> None:
    """Says for the memory objects that the kernel has told of that the actor is ready; it has no page of them ever."""
    for message in actor.received:
        if message.header.id == MEMORY_OBJECT_INIT.request.id:
            (control, *_) = MEMORY_OBJECT_INIT.request.unpack(mach.order, message.body, message.carried, True)
            mach.request(MEMORY_OBJECT_READY, control, (False, COPY_DELAY))
    actor.received.clear()


def plain(msgh_id: int) -> Step:
    return lambda actor, mach: call(actor, mach, b"", (), msgh_id)


def reply(actor: Actor, mach: Mach) -> None:
    """Sends back what came last."""
    message = actor.received[-1]
    header = Header(message.header.remote, message.header.remote_type, 0, 0, message.header.id + 100)
    mach.send(message._replace(header=header))


def several(arch: Arch, count: int) -> Step:
    """Gives away rights to so many ports."""

    def step(actor: Actor, mach: Mach) -> None:
        for _ in range(count):
            right = mach.make_send(mach.allocate_port())
            give(arch, lambda _, right=right: right)(actor, mach)  # type: ignore[misc]

    return step


def memories(message: Message) -> list[object]:
    return [each.copy for each in message.carried if isinstance(each, CarriedMemory)]


def server_memory(made: Net) -> list[int]:
    """The bytes that each network server has mapped."""
    return [task.map.size for machine in made.machines for task in machine.tasks if task.name == "gns" and task.map]


def in_hand(made: Net) -> tuple[int, int]:
    """Large messages that go at the first node, and come at the second."""
    return len(made.servers[0].streams.by_token), len(made.servers[1].arrivals.streams)


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
def test_large_memory_arrives_right_and_comes_back(mine: Arch, other: Arch) -> None:
    numbers = [n / 3 for n in range(30_001)]
    form = f"{len(numbers)}d"
    with two(mine, other) as (made, client, service):
        do(made, client, with_memory(mine.pack(form, *numbers), name=REAL, bits=64))
        assert memories(service.received[0]) == [other.pack(form, *numbers)]
        do(made, service, reply)
        assert memories(client.received[0]) == [mine.pack(form, *numbers)]


def test_several_memories_of_a_message_arrive_each_where_it_was(arch: Arch) -> None:
    pieces = [pattern(size) for size in (100_000, 0, 5, 70_000)]
    with two(arch, arch) as (made, client, service):
        do(made, client, with_memory(*pieces))
        assert [copy or b"" for copy in memories(service.received[0])] == pieces


@pytest.mark.parametrize("size", [100, 100_000])
def test_memory_begins_where_in_its_page_it_began_and_is_given_back_whole(size: int) -> None:
    def inside(actor: Actor, mach: Mach) -> None:
        pages = mach.allocate(BEGIN + size)
        mach.write(pages + BEGIN, pattern(size))
        with_memory(Region(pages + BEGIN, size))(actor, mach)

    for mine, other in PAIRS:
        with two(mine, other) as (made, client, service):
            sizes = server_memory(made)
            do(made, client, inside)
            (message,) = service.received
            assert memories(message) == [pattern(size)]
            assert other.unpack("I", message.body, 12)[0] % other.page == BEGIN
            assert server_memory(made) == sizes


def test_messages_of_a_right_keep_their_order_though_one_is_large(arch: Arch) -> None:
    with two(arch, arch) as (made, client, service):
        do(made, client, with_memory(pattern(SIZE), msgh_id=501), plain(502), slices=3)
        assert in_hand(made) == (1, 1)
        made.run(40)
        assert service.ids() == [501, 502]


@pytest.mark.parametrize("size", [TOO_LARGE, 1 << 30], ids=["64 MB", "1 GB"])
def test_a_message_that_a_node_cannot_hold_dies_as_one_to_a_dead_port(arch: Arch, size: int) -> None:
    def with_right(actor: Actor, mach: Mach) -> None:
        own = mach.make_send(mach.allocate_port())
        body = arch.long_item(MSG_TYPE_BYTE, 8, size, False) + bytes(4) + item(arch, MOVE_SEND, 1) + bytes(4)
        memory = CarriedMemory(12, size, Region(mach.allocate(size), size))
        call(actor, mach, body, (memory, CarriedPort(20, MOVE_SEND, own)), 500)

    with two(arch, arch) as (made, client, service):
        do(made, client, with_right, plain(502))
        assert (client.ids(), service.ids()) == ([DIED], [502])
        do(made, service, reply)
        assert client.ids() == [DIED, 602]


def test_a_reply_that_a_node_cannot_hold_tells_who_waits_for_it(arch: Arch) -> None:
    def large(actor: Actor, mach: Mach) -> None:
        header = actor.received[-1].header
        body = arch.long_item(MSG_TYPE_BYTE, 8, TOO_LARGE, False) + bytes(4)
        memory = CarriedMemory(12, TOO_LARGE, Region(mach.allocate(TOO_LARGE), TOO_LARGE))
        mach.send(Message(Header(header.remote, header.remote_type, 0, 0, 600), body, (memory,), True))

    with two(arch, arch) as (made, client, service):
        do(made, client, plain(500))
        do(made, service, large)
        assert client.ids() == [DIED]


@pytest.mark.slow
def test_messages_that_fill_a_node_leave_it_room_and_each_is_answered_for(arch: Arch) -> None:
    def flood(actor: Actor, mach: Mach) -> None:
        for port in actor.rights:
            actor.found = port
            for _ in range(30):
                with_memory(pattern(65_000))(actor, mach)

    with two(arch, arch) as (made, client, service):
        do(made, client, register(b"client"))
        do(made, service, look_up(b"client"))
        do(made, service, several(arch, 5))
        do(made, client, flood, slices=900)
        kernel = made.machines[1].kernel
        assert len(kernel.memory.free) >= kernel.vm.free_min
        assert client.ids() and set(client.ids()) == {DIED}
        made.end(1, "program 0")
        made.run(100)
        assert client.ids() == [DIED] * 150


@pytest.mark.parametrize("size", [20_000, SIZE])
def test_a_server_waits_for_no_client_s_memory_manager(arch: Arch, size: int) -> None:
    """The manager says that it is ready, and never has a page. After 15 s the message goes as one to a dead port."""
    regions: list[Region] = []

    def ready(actor: Actor, mach: Mach) -> None:
        manage(actor, mach)
        with_memory(*regions)(actor, mach)

    with two(arch, arch) as (made, client, service):
        do(made, client, register(b"client"))
        do(made, service, look_up(b"client"))
        do(made, client, lambda actor, mach: regions.append(mapped(actor, mach, size)))
        do(made, client, ready)
        do(made, service, plain(503))
        assert (client.ids()[-1], service.ids()) == (503, [])
        do(made, client, reply)
        assert service.ids() == [603]
        made.run(7600)
        assert client.ids()[-1] == DIED


def test_what_is_too_long_in_line_or_has_too_many_rights_is_destroyed(arch: Arch) -> None:
    def too_much(actor: Actor, mach: Mach) -> None:
        call(actor, mach, bytes(100_000), (), 501)
        call(actor, mach, bytes(2_000_000), (), 502)
        names = (actor.port,) * (RIGHTS_MAX + 1)
        call(actor, mach, arch.long_item(MAKE_SEND, 32, len(names), False) + bytes(4), (CarriedPorts(12, MAKE_SEND, names),), 503)
        call(actor, mach, bytes(60_000), (), 504)

    with two(arch, arch) as (made, client, service):
        do(made, client, too_much)
        assert (client.ids(), service.ids()) == ([DIED] * 3, [504])


def test_a_node_that_is_lost_takes_the_memory_that_was_under_way(arch: Arch) -> None:
    with two(arch, arch) as (made, client, service):
        do(made, client, with_memory(pattern(SIZE)), slices=3)
        assert in_hand(made) == (1, 1)
        for number, link in enumerate(made.links):
            link.out.clear()
            link.inbox.append((2 - number, None))
            made.wake(number)
        made.run(20)
        assert (client.ids(), service.ids(), in_hand(made)) == ([DIED], [], (0, 0))


def test_a_port_that_dies_while_memory_is_on_its_way_to_it_ends_the_message(arch: Arch) -> None:
    with two(arch, arch) as (made, client, _service):
        do(made, client, with_memory(pattern(SIZE)), slices=3)
        assert in_hand(made) == (1, 1)
        made.end(1, "program 0")
        made.run(40)
        assert (client.ids(), in_hand(made)) == ([DIED], (0, 0))


def test_a_node_that_ends_while_its_memory_is_on_its_way_is_asked_though_the_port_is_dead(arch: Arch) -> None:
    with two(arch, arch) as (made, client, _service):
        do(made, client, with_memory(pattern(SIZE)), slices=3)
        assert in_hand(made) == (1, 1)
        made.gone.append(0)
        made.end(1, "program 0")
        server = made.servers[1]
        made.run(1000)  # two seconds
        assert not server.tables.exports and list(server.liveness.heard) == [1]
        made.links[1].inbox.append((1, None))
        made.wake(1)
        made.run(20)
        assert not server.arrivals.streams and not server.liveness.heard


def test_ports_that_die_together_while_memory_for_all_of_them_is_waited_for_end_their_messages(arch: Arch) -> None:
    regions: list[Region] = []

    def to_all(actor: Actor, mach: Mach) -> None:
        manage(actor, mach)
        for right, region in zip(actor.rights, regions, strict=True):
            actor.found = right
            with_memory(region)(actor, mach)

    with two(arch, arch) as (made, client, service):
        do(made, client, register(b"client"))
        do(made, service, look_up(b"client"))
        do(made, service, several(arch, 2))
        client.received.clear()
        do(made, client, *[lambda actor, mach: regions.append(mapped(actor, mach, SIZE))] * 2)
        do(made, client, to_all)
        assert in_hand(made) == (2, 0)
        made.end(1, "program 0")
        made.run(20)
        assert (client.ids().count(DIED), in_hand(made)) == (2, (0, 0))


def test_a_large_message_arrives_though_its_right_was_the_last(arch: Arch) -> None:
    def last(actor: Actor, mach: Mach) -> None:
        body = arch.long_item(MSG_TYPE_BYTE, 8, SIZE, False) + bytes(4)
        memory = CarriedMemory(12, SIZE, pattern(SIZE))
        mach.send(Message(Header(found(actor), MOVE_SEND, 0, 0, 500), body, (memory,), True))

    with two(arch, arch) as (made, client, service):
        do(made, client, last)
        assert service.ids() == [500]


def test_a_receive_right_that_moves_while_memory_is_on_its_way_keeps_the_order(arch: Arch) -> None:
    client, home, taker = Actor(), Actor(), Actor()
    with net((arch, arch, arch), [client], [home], [taker]) as made:
        do(made, home, register(b"service"))
        do(made, taker, register(b"taker"))
        do(made, home, look_up(b"taker"))
        do(made, client, look_up(b"service"))
        do(made, client, with_memory(pattern(SIZE), msgh_id=501), plain(502), slices=3)
        do(made, home, give(arch, lambda actor: actor.port, MOVE_RECEIVE))
        made.run(40)
        do(made, taker, lambda actor, mach: mach.move_member(actor.rights[-1], actor.other), slices=60)
        assert taker.ids() == [501, 502]


def test_memory_that_goes_by_an_old_home_comes_though_the_right_it_goes_by_was_the_last(arch: Arch) -> None:
    """The port moves on while memory is on its way to where it was, and the sender's node has no other right to it."""
    old, between, taker = Actor(), Actor(), Actor()

    def once(actor: Actor, mach: Mach) -> None:
        port = mach.allocate_port()
        actor.rights += [*mach.make_onces([port]), port]

    def answer(actor: Actor, mach: Mach) -> None:
        body = arch.long_item(MSG_TYPE_BYTE, 8, SIZE, False) + bytes(4)
        header = Header(actor.rights[0], MOVE_SEND_ONCE, 0, 0, 501)
        mach.send(Message(header, body, (CarriedMemory(12, SIZE, pattern(SIZE)),), True))

    with net((arch, arch, arch), [old], [between], [taker]) as made:
        do(made, between, register(b"between"))
        do(made, taker, register(b"taker"))
        do(made, old, look_up(b"between"))
        do(made, between, look_up(b"taker"))
        do(made, old, once, give(arch, lambda actor: actor.rights[-1], MOVE_RECEIVE))
        do(made, old, answer, slices=3)
        do(made, between, give(arch, lambda actor: actor.rights[-1], MOVE_RECEIVE))
        made.run(60)
        do(made, taker, lambda actor, mach: mach.move_member(actor.rights[-1], actor.other), slices=60)
        assert taker.ids() == [501]
