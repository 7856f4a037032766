"""Protocols are registered by whom may use the network, their connections are kept apart, and both end with their environment."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.boot.node import Node
from machemu.device import net_filter
from machemu.ipc import kmsg as kmsgs
from machemu.ipc import port as ports
from machemu.mig.interfaces.device import DEVICE_WRITE
from masix.gns import protocols
from masix.gns.link import EthernetLink
from masix.interfaces import gns_protocol as interface
from masix.net import filters
from masix.transport.packets import encode
from tests.support.guests import ARCHS, I386, Arch
from tests.support.protocols import NEXT, NEXT_OTHER, NODE, OTHER, OWN, Task, bench, frame

NAME_EXISTS, INVALID_ARGUMENT, NO_ACCESS, SHORTAGE = 13, 4, 8, 6
RIGHT_EXISTS, INVALID_CAPABILITY = 21, 20
NO_SUCH_DEVICE = 2502
SEND_ONCE_NOTIFICATION = 71
UDP_PORT = 51988
FIRST, LAST = 7, 18
"""Words of a frame: the first behind the Ethernet header, the one that is the target port of a UDP datagram."""


def is_(value: int, word: int = FIRST, mask: int = 0xFFFF) -> tuple[int, int, int]:
    return word, mask, value


def data(number: int) -> bytes:
    return struct.pack(">H", number) + b"text"


def test_a_registered_protocol_s_frames_come_and_go(arch: Arch) -> None:
    with bench(arch) as on:
        task = Task(on)
        receiver = task.make_port()
        connection, device = task.connect(task.register(), is_(5), is_(6), receiver)
        assert device is None
        on.arrive(frame(data=data(5)), frame(data=data(6)), frame(NEXT_OTHER, data(5)))
        assert task.frames(receiver) == [frame(data=data(5))]
        answer = frame(data=data(6), target=OTHER, source=OWN)
        task.write_to(connection, answer)
        assert [sent[: len(answer)] for sent in on.sent] == [answer]


def test_who_cannot_open_devices_registers_nothing(arch: Arch) -> None:
    with bench(arch) as on:
        task = Task(on)
        assert task.register(bare=True) == NO_ACCESS
        assert task.register(privilege=task.make_port()) == NO_ACCESS
        assert task.register(privilege=on.service) == NO_ACCESS


@pytest.mark.parametrize(
    ("name", "kind", "ip_protocol"),
    [(b"", NEXT, 0), (b"x", 0x5FF, 0), (b"x", 0x10000, 0), (b"x", -1, 0), (b"x", 0x800, 0), (b"x", 0x800, 256), (b"x", NEXT, 17)],
)
def test_what_is_no_protocol_is_refused(name: bytes, kind: int, ip_protocol: int) -> None:
    with bench(I386) as on:
        assert Task(on).register(name, kind, ip_protocol) == INVALID_ARGUMENT


def test_names_and_types_are_taken_once_until_they_are_given_back(arch: Arch) -> None:
    with bench(arch) as on:
        one, other = Task(on), Task(on)
        protocol = one.register(b"udp", 0x800, 17)
        assert other.register(b"udp", NEXT) == NAME_EXISTS
        assert other.register(b"datagrams", 0x800, 17) == NAME_EXISTS
        assert isinstance(other.register(b"tcp", 0x800, 6), ports.Port)
        assert one.unregister(protocol) == 0
        assert isinstance(other.register(b"udp", 0x800, 17), ports.Port)


def test_there_are_only_so_many_protocols_and_connections() -> None:
    with bench(I386) as on:
        task = Task(on)
        environment = task.make_port()
        codes = [task.register(b"%d" % n, 0x9000 + n, environment=environment) for n in range(protocols.PROTOCOLS_OF_ONE_MAX + 1)]
        assert codes[-1] == SHORTAGE and SHORTAGE not in codes[:-1]
        protocol = codes[0]
        opened = [task.connect(protocol, is_(n)) for n in range(protocols.CONNECTIONS_MAX + 1)]
        assert opened[-1] == SHORTAGE and SHORTAGE not in opened[:-1]
        for n in range(len(codes) - 1, protocols.PROTOCOLS_MAX):
            assert isinstance(task.register(b"%d" % n, 0xA000 + n), ports.Port)
        assert task.register(b"one more", 0xB000) == SHORTAGE


def test_receivers_that_were_used_count_until_they_are_dead(arch: Arch) -> None:
    """Nobody can fill the kernel with filters that take nothing by closing what he has opened."""
    with bench(arch) as on:
        task = Task(on)
        protocol = task.register()
        used = [task.make_port() for _ in range(protocols.CONNECTIONS_MAX)]
        for receiver in used:
            assert task.close(task.connect(protocol, is_(1), (), receiver)[0]) == 0
        assert task.connect(protocol, is_(1)) == SHORTAGE
        again, _ = task.connect(protocol, is_(1), (), used[0])
        assert task.connect(protocol, is_(2)) == SHORTAGE
        task.destroy_port(used[1])
        on.run()
        assert isinstance(task.connect(protocol, is_(2)), tuple)
        on.arrive(frame(data=data(1)))
        assert task.frames(used[0]) == [frame(data=data(1))] and again.active


def test_connections_do_not_overlap(arch: Arch) -> None:
    with bench(arch) as on:
        one, other = Task(on), Task(on)
        protocol, its = one.register(), other.register(b"other", NEXT_OTHER)
        assert one.connect(protocol, (*is_(5), *is_(0x100, 8, 0xFF00))) != NAME_EXISTS
        for receives in ((), is_(5), is_(0x1, 8, 0xFF), is_(0, 9), (*is_(5), *is_(0x123, 8))):
            assert one.connect(protocol, receives) == NAME_EXISTS, receives
        for receives in (is_(6), (*is_(5), *is_(0x200, 8, 0xFF00))):
            assert isinstance(one.connect(protocol, receives), tuple), receives
        assert isinstance(other.connect(its), tuple)


@pytest.mark.parametrize(
    "receives",
    [(1,), (1, 2), (64, 1, 1), (0xFFFF, 1, 1), (8, 0, 0), (8, 1, 2), is_(NEXT_OTHER, 6), (*is_(1, 8), *is_(2, 8)), (*is_(1), 8)],
)
def test_what_is_no_filter_of_the_protocol_is_refused(receives: tuple[int, ...]) -> None:
    with bench(I386) as on:
        task = Task(on)
        protocol = task.register()
        assert task.connect(protocol, receives) == INVALID_ARGUMENT
        assert task.connect(protocol, (), receives) == INVALID_ARGUMENT
        assert on.filters == 1


def test_the_network_server_s_own_packets_are_nobody_s(arch: Arch) -> None:
    """Neither can they be received, nor made."""
    with bench(arch) as on:
        task = Task(on)
        protocol = task.register(b"udp", 0x800, 17)
        free = is_(7, LAST - 1)
        assert task.connect(protocol, (), free) == NAME_EXISTS
        assert task.connect(protocol, is_(UDP_PORT, LAST), free) == NAME_EXISTS
        assert task.connect(protocol, is_(7, LAST)) == NO_ACCESS
        assert task.connect(protocol, is_(7, LAST), is_(UDP_PORT, LAST - 1)) == NO_ACCESS
        assert task.connect(protocol, is_(7, LAST), is_(OTHER[4] << 8, 5)) == INVALID_ARGUMENT
        assert isinstance(task.connect(protocol, is_(7, LAST), free), tuple)


def test_other_datagrams_do_not_reach_the_network_server(arch: Arch) -> None:
    with bench(arch) as on:
        link = on.gns.link
        assert isinstance(link, EthernetLink)
        dropped = link.transport.dropped
        own = encode(2, NODE, 1, bytes(64))
        for at in (36, 23, 14):
            changed = bytearray(own)
            changed[at] ^= 1
            on.arrive(bytes(changed))
        assert sum(dropped.values()) == 0
        on.arrive(own)
        assert sum(dropped.values()) == 1


def test_a_connection_sends_nothing_but_its_own_frames(arch: Arch) -> None:
    with bench(arch) as on:
        task = Task(on)
        connection, _ = task.connect(task.register(), (), is_(6))
        good = frame(data=data(6), target=OTHER, source=OWN)
        wrong = (
            frame(data=data(7), target=OTHER, source=OWN),
            frame(data=data(6), target=OWN, source=OTHER),
            frame(NEXT_OTHER, data(6), OTHER, OWN),
            good[:15],
            good[:13],
            b"",
            encode(NODE, 2, 1, bytes(64)),
        )
        for each in (*wrong, good.ljust(1514, b"x")):
            task.write_to(connection, each)
        assert on.sent == [good.ljust(1514, b"x")]
        task.send_raw(connection, interface.GNS_CONNECTION_WRITE.request.id, on.machine.arch.pack("I", 0x12345678))
        task.ask(connection, DEVICE_WRITE, 0, 0, task.memory(good))
        on.run()
        assert len(on.sent) == 1


def test_the_device_is_given_to_whom_could_open_it(arch: Arch) -> None:
    with bench(arch) as on:
        task = Task(on)
        protocol = task.register()
        assert task.connect(protocol, privilege=task.make_port()) == NO_ACCESS
        _, device = task.connect(protocol, privilege=on.master)
        good = frame(data=data(6), target=OTHER, source=OWN)
        assert task.write(device, 0, good)[0] == 0
        assert [sent[: len(good)] for sent in on.sent] == [good]


@pytest.mark.parametrize("how", ["close", "no senders", "receiver", "unregister", "protocol", "environment", "task"])
@pytest.mark.parametrize("arch", ARCHS.values(), ids=lambda arch: arch.name)
def test_connections_end_and_who_waits_is_told(arch: Arch, how: str) -> None:
    """Whoever has a right to the connection's port gets the notification, and no frame reaches the receiver any more."""
    with bench(arch) as on:
        owner, client, watcher = Task(on), Task(on), Task(on)
        environment, receiver = owner.make_port(), client.make_port()
        protocol = owner.register(environment=environment)
        connection, _ = owner.connect(protocol, is_(5), (), receiver)
        assert on.filters == 2
        ends: dict[str, Callable[[], Any]] = {
            "close": lambda: owner.close(connection),
            "no senders": lambda: owner.give_up(connection),
            "receiver": lambda: client.destroy_port(receiver),
            "unregister": lambda: owner.unregister(protocol),
            "protocol": lambda: owner.give_up(protocol),
            "environment": lambda: owner.destroy_port(environment),
            "task": owner.end,
        }
        ends[how]()
        on.run()
        assert not connection.active
        assert protocol.active == (how in ("close", "no senders", "receiver"))
        on.arrive(frame(data=data(5)))
        assert how == "receiver" or client.frames(receiver) == []
        assert on.filters == 1
        again = watcher.register(b"again", NEXT_OTHER)
        assert isinstance(watcher.connect(again, is_(5), (), client.make_port() if how == "receiver" else receiver), tuple)


def test_an_environment_that_ends_takes_all_of_its_protocols_and_no_other(arch: Arch) -> None:
    with bench(arch) as on:
        personality, other = Task(on), Task(on)
        environment = personality.make_port()
        mine = [personality.register(b"%d" % n, 0x9000 + n, environment=environment) for n in range(3)]
        opened = [personality.connect(protocol, is_(n))[0] for protocol in mine for n in range(2)]
        kept = other.register(b"kept", NEXT)
        receiver = other.make_port()
        other.connect(kept, (), (), receiver)
        personality.destroy_port(environment)
        on.run()
        assert not any(port.active for port in (*mine, *opened)) and kept.active
        on.arrive(frame(data=b"still"))
        assert other.frames(receiver) == [frame(data=b"still")]


def test_a_caller_that_waits_for_the_answer_of_what_ends_is_told(arch: Arch) -> None:
    """Its request lies in the queue of a port that dies."""
    with bench(arch) as on:
        task = Task(on)
        protocol = task.register()
        task.ask(protocol, interface.GNS_PROTOCOL_UNREGISTER)
        task.ask(protocol, interface.GNS_PROTOCOL_UNREGISTER)
        on.run()
        came = []
        while (message := task.take()) is not None:
            came.append(message.id)
            message.remote, right = None, message.remote
            ports.release_sonce(task.ipc, right)
            kmsgs.destroy(task.ipc, message)
        assert sorted(came) == [SEND_ONCE_NOTIFICATION, interface.GNS_PROTOCOL_UNREGISTER.request.id + 100]


def test_a_receiver_that_is_taken_or_the_network_server_s_own_is_refused(arch: Arch) -> None:
    """Else frames could be taken from a connection, or thrown at the network server."""
    with bench(arch) as on:
        task = Task(on)
        protocol = task.register()
        receiver = task.make_port()
        connection, _ = task.connect(protocol, is_(1), (), receiver)
        assert task.connect(protocol, is_(2), (), receiver) == RIGHT_EXISTS
        for port in (on.service, protocol, connection):
            assert task.connect(protocol, is_(2), (), port) == INVALID_CAPABILITY
            assert task.register(b"x", NEXT_OTHER, environment=port) == INVALID_CAPABILITY
        dead = task.make_port()
        right = task.send_right(dead)
        task.destroy_port(dead)
        assert task.call(protocol, interface.GNS_CONNECTION_OPEN, is_(2), (), right, None)[0] == INVALID_CAPABILITY


def test_without_an_interface_there_is_nothing_to_register_for(arch: Arch) -> None:
    with bench(arch, nic=False) as on:
        task = Task(on)
        assert task.register() == NO_SUCH_DEVICE
        assert task.register() == NO_SUCH_DEVICE


def test_two_that_register_at_once_while_the_interface_opens(arch: Arch) -> None:
    with bench(arch) as on:
        one, other = Task(on), Task(on)
        routine = interface.GNS_PROTOCOL_REGISTER
        gone = one.make_port()
        for task, environment in ((one, one.make_port()), (other, other.make_port()), (one, gone)):
            rights = task.send_right(environment), task.send_right(on.master)
            task.ask(on.service, routine, b"same", NEXT, 0, *rights)
        on.run()
        codes = sorted(code for task in (one, other, one) for code, *_ in [task.answer(routine) or (None,)])
        assert codes == [0, NAME_EXISTS, NAME_EXISTS]


def test_a_caller_that_dies_before_its_answer_leaves_nothing(arch: Arch) -> None:
    with bench(arch) as on:
        for slices in range(4):
            task = Task(on)
            rights = task.send_right(task.make_port()), task.send_right(on.master)
            task.ask(on.service, interface.GNS_PROTOCOL_REGISTER, b"short", NEXT, 0, *rights)
            on.machine.run(slices * 100_000)
            task.end()
            on.run()
            assert on.gns.protocols.protocols == {}


def test_a_caller_that_takes_no_answers_stops_nobody(arch: Arch) -> None:
    """Its reply right is a send right, and the queue behind is full."""
    with bench(arch) as on:
        task, enemy = Task(on), Task(on)
        for _ in range(12):
            enemy.send_raw(on.service, 1, b"", remote=enemy.send_right(enemy.reply_port))
        assert len(enemy.reply_port.messages) < 12
        protocol = task.register()
        for _ in range(12):
            enemy.send_raw(protocol, 1, b"", remote=enemy.send_right(enemy.reply_port))
        assert isinstance(task.connect(protocol), tuple)


WORDS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 0xFFFF), st.integers(0, 0xFFFF)), max_size=5)


def _filter(words: list[tuple[int, int, int]]) -> filters.Filter:
    return {word: (mask, value & mask) for word, mask, value in words}


@given(WORDS, WORDS, st.binary(max_size=60))
def test_filters_that_do_not_overlap_take_no_frame_both(one: Any, other: Any, frame: bytes) -> None:
    mine, its = _filter(one), _filter(other)
    fitted = bytearray(frame.ljust(60, b"\0"))
    for filter_ in (its, mine):
        for word, (mask, value) in filter_.items():
            seen = int.from_bytes(fitted[2 * word : 2 * word + 2], "big") & ~mask | value
            fitted[2 * word : 2 * word + 2] = seen.to_bytes(2, "big")
    assert filters.takes(mine, bytes(fitted))
    assert filters.overlap(mine, its) == filters.overlap(its, mine) == filters.takes(its, bytes(fitted))
    assert not (filters.takes(mine, frame) and filters.takes(its, frame)) or filters.overlap(mine, its)


@given(WORDS, st.binary(min_size=14, max_size=60), st.sampled_from(list(ARCHS.values())))
def test_the_kernel_takes_the_same_frames(words: Any, frame: bytes, arch: Arch) -> None:
    filter_ = _filter(words)
    program = filters.program(filter_, arch.order)
    assert net_filter.is_valid(program)
    before = arch.pack("H", len(frame) - 10) + frame[12:14]
    header = arch.unpack("32H", frame[:14].ljust(64, b"\0"))
    packet = before + frame[14:]
    assert net_filter.run(program, header, arch.unpack(f"{len(packet) // 2}H", packet)) == filters.takes(filter_, frame)


def test_the_longest_filter_is_the_kernel_s(arch: Arch) -> None:
    with bench(arch) as on:
        task = Task(on)
        longest = [number for word in range(16) for number in (20 + word, 0x00FF, 1)]
        assert isinstance(task.connect(task.register(b"ip", 0x800, 6), longest, longest), tuple)


IDS = st.sampled_from([*range(5248, 5258), 0, 64, 70, 71, 72, 2802, 5350])
ATTACKS = st.lists(st.tuples(st.integers(0, 2), IDS, st.binary(max_size=60), st.integers(0, 3)), min_size=1, max_size=10)


@settings(deadline=None, max_examples=40)
@given(ATTACKS, st.sampled_from(list(ARCHS.values())))
def test_whatever_is_sent_to_its_ports_the_network_server_goes_on(attacks: Any, arch: Arch) -> None:
    with bench(arch) as on:
        task, enemy = Task(on), Task(on)
        protocol = task.register()
        receiver = task.make_port()
        connection, _ = task.connect(protocol, is_(5), (), receiver)
        for target, msgh_id, garbage, right in attacks:
            port = (on.service, protocol, connection)[target]
            enemy.attack(port, msgh_id, garbage, (None, enemy.reply_port, on.service, on.master)[right])
        on.arrive(frame(data=data(5)))
        if connection.active:
            assert task.frames(receiver) == [frame(data=data(5))]
        assert isinstance(enemy.register(b"after", NEXT_OTHER), ports.Port)


def test_a_node_saved_with_connections_goes_on_the_same(tmp_path: Path) -> None:
    with bench(I386) as on:
        task = Task(on)
        task.connect(task.register(), is_(5))
        on.machine.node.save(tmp_path / "saved")
        loaded = Node.load(tmp_path / "saved", {})
        try:
            assert loaded.digest() == on.machine.node.digest()
        finally:
            loaded.close()
