"""The network servers of several nodes over a link that loses nothing: rights and messages of one node on another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND_ONCE,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
)
from machemu.abi.port import QLIMIT_MAX
from machemu.ipc.port import Port
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, Header, Message
from masix.acs.server import NOT_CHECKED_IN
from masix.gns.codec import encode
from masix.gns.wire import NULL, Deliver, Flush, Known, NetRight, Resolve, RightKind
from masix.interfaces import acs, netname
from tests.support.actors import Actor, do, found, unregister
from tests.support.actors import look_up as look_up_name
from tests.support.actors import register as register_name
from tests.support.guests import ARCHS, Arch
from tests.support.name_servers import both_places
from tests.support.net import PAIRS, SECOND_NS, Net, Program, answer, item, look_up, net, register, send


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
def test_numbers_and_strings_arrive_right_in_both_directions(mine: Arch, other: Arch) -> None:
    body = item(mine, 2, 2) + mine.pack("Ii", 0x12345678, -2) + item(mine, 8, 6) + b"abcdef\0\0"
    body += item(mine, 1, 3) + mine.pack("3HH", 1, 2, 0xABCD, 0) + item(mine, 11, 1) + mine.pack("Q", 1 << 40)
    body += item(mine, 10, 1) + mine.pack("d", 1.5)
    service = Program(register, lambda p, m: None, answer)
    client = Program(look_up, lambda p, m: send(p, m, body))
    with net((mine, other), [client], [service]):
        (there,) = service.received
        expected = item(other, 2, 2) + other.pack("Ii", 0x12345678, -2) + item(other, 8, 6) + b"abcdef\0\0"
        expected += item(other, 1, 3) + other.pack("3HH", 1, 2, 0xABCD, 0) + item(other, 11, 1) + other.pack("Q", 1 << 40)
        expected += item(other, 10, 1) + other.pack("d", 1.5)
        assert there.body == expected
        (back,) = client.received
        assert (back.body, back.header.id, back.header.local_type) == (body, 600, MOVE_SEND_ONCE)


@both_places
def test_a_name_that_nobody_has_is_not_found(arch: Arch, place: str) -> None:
    @state
    class Lonely(Program):
        __slots__ = ()

        def receive(self, mach: Mach, message: Message) -> None:
            self.received.append(message)

    client = Lonely(look_up)
    with net((arch, arch), [client], [], place=place) as made:
        made.run(500)
        (message,) = client.received
        assert arch.unpack("I", message.body, 4) == (15,)


@both_places
def test_a_name_too_long_for_other_nodes_is_not_taken_for_a_shorter_one(arch: Arch, place: str) -> None:
    """netname's names may have 80 bytes, the name servers' 79."""
    name = b"n" * 80

    def register_shorter(program: Program, mach: Mach) -> None:
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (name[:79], 0, mach.copy_send(program.port)), program.reply)

    def look_up_longer(program: Program, mach: Mach) -> None:
        everywhere = b"*".ljust(80, b"\0")
        mach.request(netname.NETNAME_LOOK_UP, mach.given("name-server"), (everywhere, name), program.port)

    client = Program(look_up_longer)
    with net((arch, arch), [client], [Program(register_shorter)], place=place) as made:
        made.run(400)
        (answer,) = client.received
        assert arch.unpack("I", answer.body, 4) == (NOT_CHECKED_IN,)


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
def test_memory_goes_along(mine: Arch, other: Arch) -> None:
    words = mine.pack("3000I", *range(3000))
    body = item(mine, 2, 3000, False) + bytes(4)
    service = Program(register, lambda p, m: None, answer)
    client = Program(look_up, lambda p, m: send(p, m, body, (CarriedMemory(4, len(words), words),)))
    with net((mine, other), [client], [service]):
        (there,) = service.received[0].carried
        assert isinstance(there, CarriedMemory) and there.copy == other.pack("3000I", *range(3000))
        (back,) = client.received[0].carried
        assert isinstance(back, CarriedMemory) and back.copy == words


def test_bits_of_the_header_that_mean_nothing_go_along(arch: Arch) -> None:
    flags = 0x3FFF0000

    def ask(program: Program, mach: Mach) -> None:
        mach.send(Message(Header(program.found, COPY_SEND, program.port, MAKE_SEND_ONCE, 500, flags=flags), b"", (), False))

    service = Program(register, lambda p, m: None, answer)
    client = Program(look_up, ask)
    with net((arch, arch), [client], [service]):
        assert [(message.header.id, message.header.flags) for message in service.received] == [(500, flags)]
        assert [(message.header.id, message.header.flags) for message in client.received] == [(600, 0)]


def test_a_send_right_that_comes_home_is_the_port_itself(arch: Arch) -> None:
    def ask(program: Program, mach: Mach) -> None:
        body = item(arch, MAKE_SEND, 2) + bytes(8)
        send(program, mach, body, (CarriedPort(4, MAKE_SEND, program.port), CarriedPort(8, MAKE_SEND, None)))

    service = Program(register, lambda p, m: None, answer)
    client = Program(look_up, ask)
    with net((arch, arch), [client], [service]):
        first, null = service.received[0].carried
        assert isinstance(first, CarriedPort) and isinstance(null, CarriedPort)
        assert isinstance(first.port, int) and null.port is None
        back = client.received[0].carried
        assert [item.port for item in back if isinstance(item, CarriedPort)] == [client.port, None]


def test_a_send_right_can_be_used_where_it_went(arch: Arch) -> None:
    def ask(program: Program, mach: Mach) -> None:
        send(program, mach, item(arch, MAKE_SEND, 1) + bytes(4), (CarriedPort(4, MAKE_SEND, program.port),))

    def use(program: Program, mach: Mach) -> None:
        right = program.received[0].carried[0].port  # type: ignore[union-attr]
        for msgh_id in range(801, 804):
            mach.send(Message(Header(right, COPY_SEND, 0, 0, msgh_id), b"", (), False))

    service = Program(register, lambda p, m: None, use)
    client = Program(look_up, ask)
    with net((arch, arch), [client], [service]):
        assert [message.header.id for message in client.received] == [801, 802, 803]
        assert [message.header.seqno for message in client.received] == [0, 1, 2]


def test_an_array_of_rights_goes_along(arch: Arch) -> None:
    def ask(program: Program, mach: Mach) -> None:
        body = item(arch, MAKE_SEND, 3, False) + bytes(4)
        send(program, mach, body, (CarriedPorts(4, MAKE_SEND, (program.port, None, program.port)),))

    service = Program(register, lambda p, m: None)
    client = Program(look_up, ask)
    with net((arch, arch), [client], [service]):
        (there,) = service.received[0].carried
        assert isinstance(there, CarriedPorts)
        assert there.ports[0] == there.ports[2] and isinstance(there.ports[0], int) and there.ports[1] is None


def test_a_receive_right_moves_with_what_waits_in_its_queue(arch: Arch) -> None:
    def move(program: Program, mach: Mach) -> None:
        moved = mach.make_send(mach.allocate_port())
        for msgh_id in (901, 902):
            mach.send(Message(Header(moved, COPY_SEND, 0, 0, msgh_id), b"", (), False))
        send(program, mach, item(arch, MOVE_RECEIVE, 1) + bytes(4), (CarriedPort(4, MOVE_RECEIVE, moved),))
        mach.send(Message(Header(moved, COPY_SEND, 0, 0, 903), b"", (), False))

    def listen(program: Program, mach: Mach) -> None:
        mach.move_member(program.received[0].carried[0].port, program.other)  # type: ignore[union-attr]

    service = Program(register, lambda p, m: None, listen)
    client = Program(look_up, move)
    with net((arch, arch), [client], [service]):
        assert [message.header.id for message in service.received[1:]] == [901, 902, 903]


@pytest.mark.parametrize(("limit", "there"), [(9, 9), (0, 0), (1 << 31, QLIMIT_MAX)])
def test_the_queue_of_a_receive_right_keeps_its_limit(arch: Arch, limit: int, there: int) -> None:
    """And no other node's server makes it more than the kernel takes."""
    service = Program(register)
    with net((arch, arch), [Program(look_up)], [service]) as made:
        (number,) = made.servers[1].tables.exports
        moved = CarriedPort(4, MOVE_RECEIVE, NetRight(RightKind.RECEIVE, 1, 77, limit=limit))
        message = Message(Header(0, 0, 0, 0, 652), item(arch, MOVE_RECEIVE, 1) + bytes(4), (moved,), True)
        made.links[1].inbox.append((1, encode(Deliver(NetRight(RightKind.SEND, 2, number), NULL, arch.order, message))))
        made.wake(1)
        made.run()
        (coming,) = made.servers[1].tables.coming.values()
        made.links[1].inbox.append((1, encode(Flush(coming.number, 2, 1, 77))))
        made.wake(1)
        made.run()
        (right,) = service.received[0].carried
        (task,) = (task for task in made.machines[1].tasks if task.name == "program 0")
        assert isinstance(right, CarriedPort) and isinstance(right.port, int)
        entry = task.space.lookup(right.port)
        assert entry is not None and isinstance(entry.object, Port) and entry.object.qlimit == there


def test_a_reply_right_that_is_dropped_tells_its_owner(arch: Arch) -> None:
    service = Program(register, lambda p, m: None, lambda p, m: m.destroy(p.received[-1]))
    client = Program(look_up, send)
    with net((arch, arch), [client], [service]):
        assert [(message.header.id, message.header.local_type) for message in client.received] == [(71, MOVE_SEND_ONCE)]


def test_a_port_that_dies_is_a_dead_name_on_the_other_node(arch: Arch) -> None:
    def watch(program: Program, mach: Mach) -> None:
        mach.notify(program.found, 72, program.port)

    service = Program(register)
    client = Program(look_up, watch)
    with net((arch, arch), [client], [service]) as made:
        assert client.received == []
        made.end(1, "program 0")
        made.run()
        assert [message.header.id for message in client.received] == [72]


def test_a_service_whose_clients_are_gone_has_no_senders(arch: Arch) -> None:
    def give(program: Program, mach: Mach) -> None:
        program.found = mach.allocate_port()
        mach.move_member(program.found, program.other)
        message = program.received[-1]
        header = Header(message.header.remote, message.header.remote_type, 0, 0, 600)
        carried = (CarriedPort(4, MAKE_SEND, program.found),)
        mach.send(Message(header, item(arch, MAKE_SEND, 1) + bytes(4), carried, True))
        mach.notify(program.found, 70, program.found, 1)

    service = Program(register, lambda p, m: None, give)
    client = Program(look_up, send)
    with net((arch, arch), [client], [service]) as made:
        assert len(client.received) == 1 and len(service.received) == 1
        made.end(0, "program 0")
        made.run()
        assert service.received[-1].header.id == 70


def test_a_full_queue_stops_the_sender_and_nothing_is_lost(arch: Arch) -> None:
    count = 200

    def few(program: Program, mach: Mach) -> None:
        register(program, mach)
        mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), program.port, 1)
        mach.move_member(program.port, 0)

    def many(program: Program, mach: Mach) -> None:
        for n in range(count):
            mach.send(Message(Header(program.found, COPY_SEND, 0, 0, 1000 + n), b"", (), False))

    @state
    class Late(Program):
        __slots__ = ()

        def expired(self, mach: Mach) -> None:
            mach.move_member(self.port, self.other)

    late = Late(few, lambda p, m: m.alarm(m.now() + SECOND_NS // 5))
    client = Program(look_up, many)
    with net((arch, arch), [client], [late]) as made:
        (task,) = (task for task in made.machines[0].tasks if task.name == "program 0")
        assert any(thread.program.outbox for thread in task.threads.values())  # type: ignore[union-attr]
        made.run(300)
        assert [message.header.id for message in late.received] == [1000 + n for n in range(count)]


def test_a_reply_port_that_dies_while_its_message_waits_is_dead_on_the_other_node_too(arch: Arch) -> None:
    count = 60

    def few(program: Program, mach: Mach) -> None:
        register(program, mach)
        mach.move_member(program.port, 0)

    @state
    class Late(Program):
        __slots__ = ()

        def expired(self, mach: Mach) -> None:
            mach.move_member(self.port, self.other)

    def ask(program: Program, mach: Mach) -> None:
        service, program.found = program.found, mach.allocate_port()
        for n in range(count):
            header = Header(service, COPY_SEND, program.found, MAKE_SEND_ONCE, 1000 + n)
            mach.send(Message(header, b"", (), False), timeout=1)
        mach.alarm(mach.now() + SECOND_NS // 20)

    @state
    class Asker(Program):
        __slots__ = ()

        def expired(self, mach: Mach) -> None:
            mach.destroy_receive(self.found)

    late = Late(few, lambda p, m: m.alarm(m.now() + SECOND_NS // 2))
    with net((arch, arch), [Asker(look_up, ask)], [late]) as made:
        made.run(400)
        assert len(late.received) > 35
        answers = [message.header.remote for message in late.received]
        assert answers.count(DEAD_NAME) > 4 and 0 not in answers
        assert {message.header.remote_type for message in late.received} == {MOVE_SEND_ONCE}


def test_a_node_that_is_lost_leaves_dead_names_and_spent_rights(arch: Arch) -> None:
    def watch(program: Program, mach: Mach) -> None:
        mach.notify(program.found, 72, program.port)
        send(program, mach)

    service = Program(register)
    client = Program(look_up, watch)
    with net((arch, arch), [client], [service]) as made:
        for number in (0, 1):
            made.links[number].inbox.append((2 - number, None))
            made.wake(number)
        made.run()
        assert sorted(message.header.id for message in client.received) == [71, 72]


def test_a_service_that_was_made_known_keeps_no_right_once_it_has_no_name(arch: Arch) -> None:
    service, client = Actor(), Actor()
    with net((arch, arch), [service], [client], announces=True) as made:
        do(made, service, register_name(b"service"))
        do(made, client, look_up_name(b"service"))
        assert [export.given for export in made.servers[0].tables.exports.values()] == [{0: 1, 2: 1}]
        do(made, client, lambda actor, mach: mach.deallocate(found(actor)))
        do(made, service, unregister(b"service"))
        assert made.servers[0].tables.exports == {}


def test_what_one_node_asked_for_is_known_to_all_where_the_server_announces(arch: Arch) -> None:
    def late(program: Program, mach: Mach) -> None:
        mach.alarm(mach.now() + SECOND_NS // 20)

    @state
    class Late(Program):
        __slots__ = ()

        def expired(self, mach: Mach) -> None:
            look_up(self, mach)

    for announces, questions in ((False, [2, 3]), (True, [2])):
        service = Program(register, lambda p, m: None, answer, answer)
        client, other = Program(look_up, send), Late(late, send)
        with net((arch,) * 3, [service], [client], [other], announces=announces) as made:
            assert [len(each.received) for each in (service, client, other)] == [2, 1, 1]
            assert [node for node, payload in made.multicasts if isinstance(payload, Resolve)] == questions
            assert sum(isinstance(payload, Known) for _, payload in made.multicasts) == announces


def test_what_was_falsely_made_known_is_a_dead_port(arch: Arch) -> None:
    """Another node says that it has a service which it has not."""

    def start(program: Program, mach: Mach) -> None:
        mach.alarm(mach.now() + SECOND_NS // 50)

    @state
    class Late(Program):
        __slots__ = ()

        def expired(self, mach: Mach) -> None:
            look_up(self, mach)

    client = Late(start, lambda p, m: m.notify(p.found, 72, p.port))
    made = Net((arch, arch), ([client], []), announces=True)
    made.links[0].inbox.append((2, encode(Known(77, b"service"))))
    made.wake(0)
    made.run()
    assert [message.header.id for message in client.received] == [72]
    made.quiet()
    for machine in made.machines:
        machine.leave_nothing()
        machine.node.close()


@pytest.mark.parametrize(("mine", "other"), PAIRS, ids=lambda arch: arch.name)
def test_a_simple_message_of_anything_arrives(mine: Arch, other: Arch) -> None:
    """The kernel looks at no descriptor in it, and there may be none."""
    whole = item(mine, 2, 1) + mine.pack("I", 5)
    bodies = [b"\xff" * 4, b"\0" * 8, b"\xff" * 64, bytes(range(256)), item(mine, 2, 4000), whole + item(mine, 17, 9), whole]
    service = Program(register)

    def send_all(program: Program, mach: Mach) -> None:
        for body in bodies:
            send(program, mach, body)

    client = Program(look_up, send_all)
    with net((mine, other), [client], [service]):
        assert [len(message.body) for message in service.received] == [len(body) for body in bodies]
        last, bad = service.received[-1].body, service.received[-2].body
        assert last == bad[: len(last)] == item(other, 2, 1) + other.pack("I", 5)
        if mine is other:
            assert [message.body for message in service.received] == bodies


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_message_that_another_node_s_server_spoils_is_refused_or_delivered(data: st.DataObject) -> None:
    arch = ARCHS["i386"]

    def ask(program: Program, mach: Mach) -> None:
        body = item(arch, MAKE_SEND, 1) + bytes(4) + item(arch, 2, 2, False) + bytes(4)
        body += item(arch, MAKE_SEND, 2, False) + bytes(4)
        carried = (
            CarriedPort(4, MAKE_SEND, program.port),
            CarriedMemory(12, 8, bytes(8)),
            CarriedPorts(20, MAKE_SEND, (program.port, None)),
        )
        send(program, mach, body, carried)

    service = Program(register)
    client = Program(look_up, ask)
    made = Net((arch, ARCHS["m68k"]), ([client], [service]))
    try:
        while not any(packet[:1] == b"\0" for _, packet in made.links[0].out):
            made.run(1, hold=0)
        to, packet = made.links[0].out.popleft()
        spoiled = bytearray(packet)
        for _ in range(data.draw(st.integers(1, 4))):
            spoiled[data.draw(st.integers(1, len(packet) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.one_of(st.just(len(packet)), st.integers(1, len(packet))))
        made.links[0].out.appendleft((to, bytes(spoiled[:cut])))
        made.run()
        for machine in made.machines:
            machine.check()
    finally:
        for machine in made.machines:
            machine.node.close()


def test_nonsense_of_another_node_does_no_harm(arch: Arch) -> None:
    service = Program(register, lambda p, m: None, answer)
    client = Program(look_up, send)
    with net((arch, arch), [client], [service]) as made:
        for data in (b"", b"\xff", b"\0" * 40, bytes(range(200)), b"\x04" + bytes(8), b"\x03\0\0\0\1\0\0\0\x63"):
            made.links[1].inbox.append((1, data))
            made.wake(1)
        made.run()
        assert len(client.received) == 1


def test_what_a_task_says_to_other_nodes_is_counted_apart(arch: Arch) -> None:
    def say_twice(program: Program, mach: Mach) -> None:
        for _ in range(2):
            send(program, mach, item(arch, 2, 1) + bytes(4))

    client = Program(look_up, say_twice)
    with net((arch, arch), [client], [Program(register)]) as made:
        [task] = [task for task in made.machines[0].kernel.kern.tasks.values() if task.name == "program 0"]
        made.machines[0].kernel.kern.charge_events()
        assert task.events[-2:] == (2, 64)
