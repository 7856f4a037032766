"""The datagram server on one node: sockets, ports, addresses, and what comes for them from a network that sends anything."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.boot.node import Node
from masix.interfaces import acs_client, udp
from masix.net import frames
from masix.net.frames import DATA_MAX, Lost
from masix.net.ip import checksum, ip_of, mac_of
from masix.protocols.arp import ALL, ETHERTYPE_ARP, KIND, NOBODY, PACKET, REPLY, REQUEST
from masix.protocols.udp import EPHEMERAL, QUEUE_MAX, SOCKETS_MAX, WAITING_MAX, Udp
from tests.support.guests import ARCHS, I386, Arch
from tests.support.protocols import NODE, OTHER, OWN, Bench, frame
from tests.support.protocols import bench as node_bench
from tests.support.sockets import Client, bench, number, refusals

NAME_EXISTS, INVALID_ARGUMENT, NO_ACCESS, SHORTAGE, INVALID_CAPABILITY, FAILURE = 13, 4, 8, 6, 20, 5
PEER = 2
OWN_IP, PEER_IP = ip_of(NODE), ip_of(PEER)
SECOND_SLICES = 500


def arp(operation: int, sender: int = PEER, target: int = NODE, **changes: Any) -> bytes:
    """What node `sender` says to `target`."""
    fields = {
        "kind": KIND,
        "station": mac_of(sender),
        "ip": ip_of(sender),
        "to": NOBODY if operation == REQUEST else mac_of(target),
        "to_ip": ip_of(target),
    } | changes
    packet = PACKET.pack(*fields["kind"], operation, fields["station"], fields["ip"], fields["to"], fields["to_ip"])
    return frame(ETHERTYPE_ARP, packet, ALL if operation == REQUEST else OWN, mac_of(sender)).ljust(60, b"\0")


def datagram(data: bytes, port: int = 7, source_port: int = 9, source: bytes = PEER_IP, target: bytes = OWN_IP) -> bytes:
    return frames.make(OWN + OTHER, source, target, source_port, port, data)


def meet(on: Bench) -> None:
    """The peer's address is known from now on."""
    on.arrive(arp(REQUEST))
    assert len(on.sent) == 1 and on.sent.pop()[20:22] == struct.pack(">H", REPLY)


def test_a_datagram_comes_and_is_answered(arch: Arch) -> None:
    with bench(arch) as (on, task):
        meet(on)
        receiver = task.make_port()
        socket, link, direct, address, station, port = task.socket(receiver=receiver)
        assert (link, direct, address, station, port) == (None, 0, number(NODE), OWN, 7)
        on.arrive(datagram(b"question"))
        assert task.datagrams(receiver) == [(number(PEER), 9, b"question")]
        task.send(socket, number(PEER), 9, b"answer")
        assert [frames.read(sent, PEER_IP) for sent in on.sent] == [(OWN_IP, 7, 9, b"answer")]
        assert on.sent[0][:12] == OTHER + OWN
        assert task.counts()[:2] == (1, 1)


@pytest.mark.parametrize("size", [0, 1, 17, 18, 19, DATA_MAX])
def test_datagrams_of_every_size(size: int) -> None:
    with bench(I386) as (on, task):
        meet(on)
        receiver = task.make_port()
        socket, *_ = task.socket(receiver=receiver)
        data = bytes(n % 251 for n in range(size))
        on.arrive(datagram(data).ljust(60, b"\0"))
        assert task.datagrams(receiver) == [(number(PEER), 9, data)]
        task.send(socket, number(PEER), 9, data)
        assert frames.read(on.sent[0], PEER_IP).data == data


def test_ports_are_bound_once_and_those_that_nobody_names_are_chosen(arch: Arch) -> None:
    with bench(arch) as (_, task):
        first = task.socket(7)
        assert isinstance(first, tuple)
        assert task.socket(7) == NAME_EXISTS
        assert task.socket(7, library=True) == NAME_EXISTS
        assert task.socket(7, number(PEER), 9) == NAME_EXISTS
        chosen = [task.socket(0, library=bool(n % 2))[-1] for n in range(4)]
        assert chosen == list(EPHEMERAL)[:4]
        assert task.call(first[0], udp.UDP_CLOSE) == (0,)
        assert isinstance(task.socket(7), tuple)


def test_the_network_server_s_port_cannot_be_bound_and_is_not_chosen(arch: Arch) -> None:
    with bench(arch) as (_, task):
        assert task.socket(51988) == NAME_EXISTS
        server = _program(task)
        server.next_port = 51988
        assert task.socket(0)[-1] == 51989


def _program(task: Client) -> Udp:
    (found,) = (each for each in task.machine.tasks if each.name == "udp")
    (thread,) = found.threads.values()
    server = thread.program.server  # type: ignore[union-attr]
    assert isinstance(server, Udp)
    return server


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, 0, 0),
        (65536, 0, 0),
        (7, 0, 9),
        (7, number(PEER), 0),
        (7, number(PEER), 65536),
        (7, number(NODE), 9),
        (7, 0xFFFFFFFF, 9),
        (7, 0xE0000001, 9),
        (7, 0x7F000001, 9),
    ],
)
def test_what_is_no_socket_is_refused(arguments: tuple[int, int, int]) -> None:
    with bench(I386) as (_, task):
        assert task.socket(*arguments) == INVALID_ARGUMENT


def test_receivers_and_privileges_that_are_none_are_refused(arch: Arch) -> None:
    with bench(arch) as (on, task):
        socket, *_ = task.socket()
        for receiver in (Client.service, socket):
            assert task.socket(8, receiver=receiver) == INVALID_CAPABILITY
        assert task.socket(8, privilege=task.make_port()) == NO_ACCESS
        assert task.socket(8, privilege=on.service, library=True) == NO_ACCESS


def test_a_connected_socket_hears_its_peer_alone(arch: Arch) -> None:
    with bench(arch) as (on, task):
        meet(on)
        receiver, other = task.make_port(), task.make_port()
        socket, *_ = task.socket(7, number(PEER), 9, receiver=receiver)
        task.socket(7, number(3), 9, receiver=other)
        wrong = datagram(b"wrong port", source_port=10), datagram(b"third node", source=ip_of(3))
        on.arrive(datagram(b"peer"), *wrong)
        assert task.datagrams(receiver) == [(number(PEER), 9, b"peer")]
        assert task.datagrams(other) == [(number(3), 9, b"third node")]
        task.send(socket, number(3), 9, b"no")
        task.send(socket, number(PEER), 10, b"no")
        task.send(socket, number(PEER), 9, b"yes")
        assert [frames.read(sent, PEER_IP).data for sent in on.sent] == [b"yes"]
        assert task.counts()[Lost.FOREIGN] == 2


def test_the_library_gets_the_frames_and_a_link_that_sends_its_own_alone(arch: Arch) -> None:
    with bench(arch) as (on, task):
        receiver = task.make_port()
        _, link, direct, *_ = task.socket(7, library=True, receiver=receiver)
        assert direct == 0
        on.arrive(datagram(b"straight"), datagram(b"elsewhere", port=8))
        assert task.frames(receiver) == [datagram(b"straight")]
        own = frames.make(OTHER + OWN, OWN_IP, PEER_IP, 7, 9, b"mine")
        piece = bytearray(own)
        piece[20:22] = b"\x00\x01"
        others = (
            frames.make(OTHER + OWN, OWN_IP, PEER_IP, 8, 9, b"another's port"),
            frames.make(OTHER + OWN, ip_of(3), PEER_IP, 7, 9, b"another's address"),
            frames.make(OTHER + mac_of(3), OWN_IP, PEER_IP, 7, 9, b"another's station"),
            bytes(piece),
            arp(REPLY),
        )
        for each in (*others, own):
            task.write_to(link, each)
        assert [sent[: len(own)] for sent in on.sent] == [own]
        assert task.counts()[:2] == (0, 0)


def test_whoever_could_open_the_device_gets_it_as_the_link(arch: Arch) -> None:
    with bench(arch) as (on, task):
        _, link, direct, *_ = task.socket(7, library=True, privilege=on.master)
        own = frames.make(OTHER + OWN, OWN_IP, PEER_IP, 7, 9, b"mine")
        assert direct == 1 and task.write(link, 0, own) == (0, len(own))
        assert on.sent[0][: len(own)] == own


def test_addresses_are_resolved_and_datagrams_wait_for_that(arch: Arch) -> None:
    with bench(arch) as (on, task):
        socket, *_ = task.socket()
        task.ask(socket, udp.UDP_RESOLVE, number(PEER))
        for n in range(3):
            task.send(socket, number(PEER), 9, b"%d" % n)
        (question,) = on.sent
        on.sent.clear()
        assert question[:42] == ALL + OWN + struct.pack(">H", ETHERTYPE_ARP) + PACKET.pack(
            *KIND, REQUEST, OWN, OWN_IP, NOBODY, PEER_IP
        )
        assert task.answer(udp.UDP_RESOLVE) is None
        on.arrive(arp(REPLY))
        assert task.answer(udp.UDP_RESOLVE) == (0, OTHER)
        assert [frames.read(sent, PEER_IP).data for sent in on.sent] == [b"0", b"1", b"2"]
        assert task.call(socket, udp.UDP_RESOLVE, number(PEER)) == (0, OTHER)
        assert len(on.sent) == 3


def test_an_address_that_nobody_has_is_asked_for_three_times(arch: Arch) -> None:
    with bench(arch) as (on, task):
        socket, *_ = task.socket()
        for n in range(WAITING_MAX + 3):
            task.send(socket, number(9), 9, b"%d" % n)
        task.ask(socket, udp.UDP_RESOLVE, number(9))
        on.run(4 * SECOND_SLICES)
        assert len(on.sent) == 3
        assert task.answer(udp.UDP_RESOLVE) == (FAILURE,)
        assert task.counts()[Lost.UNREACHABLE] == WAITING_MAX + 3
        assert task.call(socket, udp.UDP_RESOLVE, 0xFFFFFFFF) == (FAILURE,)
        assert len(on.sent) == 3


def test_only_who_is_asked_for_answers_and_only_sense_is_believed(arch: Arch) -> None:
    with bench(arch) as (on, task):
        nonsense = (
            arp(REQUEST, target=3),
            arp(REQUEST, kind=(2, *KIND[1:])),
            arp(REQUEST, kind=(1, 0x86DD, 6, 4)),
            arp(REQUEST, kind=(1, 0x800, 8, 4)),
            arp(3),
            arp(REQUEST, station=ALL),
            arp(REQUEST, station=OWN),
            arp(REQUEST, ip=OWN_IP),
            arp(REQUEST, ip=bytes(4)),
            arp(REQUEST)[:40],
        )
        for each in (*nonsense, arp(REPLY, to=mac_of(5))):
            on.arrive(each)
        assert on.sent == []
        assert _program(task).arp.dropped == len(nonsense) - 1
        assert _program(task).arp.known == {}


def broken(position: int, value: int, size: int | None = None) -> bytes:
    data = bytearray(datagram(b"hello"))
    data[position] ^= value
    if 14 <= position < 34 and position not in (24, 25):
        data[24:26] = b"\0\0"
        data[24:26] = struct.pack(">H", checksum(bytes(data[14:34])))
    return bytes(data[:size])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (datagram(b"")[:40], Lost.SHORT),
        (broken(24, 0xFF), Lost.CHECKSUM),
        (broken(42, 0x01), Lost.CHECKSUM),
        (broken(41, 0x01), Lost.CHECKSUM),
        (broken(20, 0x20), Lost.FRAGMENT),
        (broken(21, 0x07), Lost.FRAGMENT),
        (broken(16, 0x01), Lost.LENGTH),
        (broken(17, 0x20), Lost.LENGTH),
        (broken(38, 0x01), Lost.LENGTH),
        (broken(39, 0x0D), Lost.LENGTH),
        (datagram(b"me", source=OWN_IP), Lost.FOREIGN),
        (datagram(b"all", source=b"\xff" * 4), Lost.FOREIGN),
    ],
)
def test_broken_frames_are_dropped_and_counted(data: bytes, why: Lost) -> None:
    with bench(I386) as (on, task):
        receiver = task.make_port()
        task.socket(receiver=receiver)
        on.arrive(data)
        assert task.datagrams(receiver) == []
        assert [n for n, count in enumerate(task.counts()) if count] == [why]
        on.arrive(datagram(b"good"))
        assert len(task.datagrams(receiver)) == 1


def test_a_datagram_without_a_checksum_is_taken() -> None:
    with bench(I386) as (on, task):
        receiver = task.make_port()
        task.socket(receiver=receiver)
        data = bytearray(datagram(b"hello"))
        data[40:42] = b"\0\0"
        on.arrive(bytes(data))
        assert task.datagrams(receiver) == [(number(PEER), 9, b"hello")]


def test_a_receiver_that_does_not_take_loses_what_is_too_much(arch: Arch) -> None:
    with bench(arch) as (on, task):
        receiver = task.make_port()
        task.socket(receiver=receiver)
        for n in range(20):
            on.arrive(datagram(b"%d" % n))
        assert len(task.datagrams(receiver)) == receiver.qlimit < QUEUE_MAX
        assert task.counts()[Lost.FULL] == 20 - receiver.qlimit
        on.arrive(datagram(b"again"))
        assert [data for *_, data in task.datagrams(receiver)] == [b"again"]


@pytest.mark.parametrize("library", [False, True])
@pytest.mark.parametrize("how", ["close", "no senders", "receiver", "protocol", "server"])
def test_sockets_end_and_their_owners_are_told(arch: Arch, how: str, library: bool) -> None:
    """The environment here is the server itself: with it everything ends."""
    with node_bench(arch, ("udp", Udp(NODE))) as on:
        task = Client(on)
        server = _program(task)
        Client.service = on.port("udp", server.service)
        receiver = task.make_port()
        socket, link, *_ = task.socket(library=library, receiver=receiver)
        assert len(on.gns.protocols.connections) == 2
        if how == "close":
            assert task.call(socket, udp.UDP_CLOSE) == (0,)
        elif how == "no senders":
            task.give_up(socket)
        elif how == "receiver":
            task.destroy_port(receiver)
        elif how == "protocol":
            task.unregister(on.port("udp", server.registered[0]))
        else:
            (owner,) = (each for each in on.machine.tasks if each.name == "udp")
            on.machine.end(owner)
        on.run()
        on.arrive(datagram(b"late"))
        if how == "receiver" and not library:
            # The server finds out when it has something to say; the socket's owner has it still.
            assert socket.active and server.counts[Lost.FULL] == 1
            return
        assert not socket.active and (link is None or not link.active)
        assert how == "receiver" or task.discard(receiver) is None
        left = {"server": (0, 0), "protocol": (1, 1)}.get(how, (2, 1))
        assert (len(on.gns.protocols.protocols), len(on.gns.protocols.connections)) == left


def test_the_name_server_is_answered_that_all_is_saved(arch: Arch) -> None:
    """Anybody could ask: no socket ends by it."""
    with bench(arch) as (_, task):
        socket, *_ = task.socket()
        assert task.call(Client.service, acs_client.ACS_SAVE_AND_END) == (0,)
        assert socket.active


def test_there_are_only_so_many_sockets() -> None:
    with bench(I386) as (on, task):
        codes = [task.socket(n + 1, privilege=on.master) for n in range(SOCKETS_MAX + 1)]
        # ARP's connection does not count among UDP's.
        assert refusals(codes) == [SHORTAGE]


def test_a_client_that_dies_while_it_waits_leaves_nothing(arch: Arch) -> None:
    with bench(arch) as (on, task):
        socket, *_ = task.socket(5)
        for step in range(6):
            client = Client(on)
            to = client.send_right(client.make_port())
            client.ask(Client.service, udp.UDP_OPEN, step % 2, 7, 0, 0, to, None, None)
            client.ask(socket, udp.UDP_RESOLVE, number(4))
            on.machine.run(step * 60_000)
            client.end()
            on.run()
        on.run(5 * SECOND_SLICES)
        assert isinstance(task.socket(7), tuple)


def test_a_server_without_a_network_does_not_start(arch: Arch) -> None:
    server = Udp(NODE)
    with node_bench(arch, ("udp", server), nic=False) as on:
        on.run(20)
        assert server.gns and not server.registered


def test_a_server_that_starts_before_the_network_server_waits_for_it(arch: Arch) -> None:
    server = Udp(NODE)
    with node_bench(arch, ("udp", server), early=True) as on:
        on.run(20)
        assert len(server.registered) == 2 and server.device


IDS = st.sampled_from([*range(5399, 5406), 5450, 0, 70, 71, 72, 2999, 5050, 5350])
ATTACKS = st.lists(st.tuples(st.booleans(), IDS, st.binary(max_size=60), st.integers(0, 3)), min_size=1, max_size=10)
FRAMES = st.lists(st.tuples(st.sampled_from([0x800, 0x806]), st.binary(max_size=80)), max_size=5)


@settings(deadline=None, max_examples=40)
@given(ATTACKS, FRAMES, st.sampled_from(list(ARCHS.values())))
def test_whatever_is_sent_to_it_the_server_goes_on(attacks: Any, heard: Any, arch: Arch) -> None:
    with bench(arch) as (on, task):
        receiver = task.make_port()
        socket, *_ = task.socket(receiver=receiver)
        enemy = Client(on)
        for at_socket, msgh_id, garbage, right in attacks:
            given = (None, enemy.reply_port, Client.service, on.master)[right]
            enemy.attack(socket if at_socket else Client.service, msgh_id, garbage, given)
        on.arrive(*(frame(kind, data) for kind, data in heard))
        on.arrive(datagram(b"good"))
        if socket.active:
            assert task.datagrams(receiver) == [(number(PEER), 9, b"good")]


@given(st.binary(max_size=DATA_MAX), st.integers(0, 65535), st.integers(0, 65535))
def test_what_is_made_is_read(data: bytes, source_port: int, target_port: int) -> None:
    made = frames.make(OWN + OTHER, PEER_IP, OWN_IP, source_port, target_port, data)
    assert frames.read(made.ljust(60, b"\0"), OWN_IP) == (PEER_IP, source_port, target_port, data)


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 101), st.integers(0, 255)), max_size=6))
def test_no_frame_is_read_wrongly(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Whatever happens to it, what is read is what was sent or nothing, but for changes that the checksum cannot see."""
    made = bytearray(datagram(data).ljust(102, b"\0"))
    for place, value in changes:
        made[place] = value
    try:
        found = frames.read(bytes(made), OWN_IP)
    except frames.LostError:
        return
    assert len(found.data) <= len(made) - 42
    assert checksum(bytes(made[14:34])) == 0


def test_a_node_saved_with_sockets_goes_on_the_same(tmp_path: Path) -> None:
    with bench(I386) as (on, task):
        socket, *_ = task.socket()
        task.socket(8, library=True)
        task.send(socket, number(PEER), 9, b"waits")
        on.machine.node.save(tmp_path / "saved")
        loaded = Node.load(tmp_path / "saved", {})
        try:
            assert loaded.digest() == on.machine.node.digest()
        finally:
            loaded.close()
