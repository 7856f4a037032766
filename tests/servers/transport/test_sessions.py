"""Sessions: who is there, in which version, what a new life ends, and what flows in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.graph import Writer
from masix.transport.entropy import Entropy
from masix.transport.events import Delivered, Loss, Lost, PeerLost, PeerUp, Settings, StreamWritable
from masix.transport.packets import PacketKind
from masix.transport.sender import MESSAGE_COST
from masix.transport.session import WINDOW, ReplayWindow
from masix.transport.transport import MULTICAST_MAX, Transport
from tests.support.network import KEY, MILLISECOND, SECOND, Faults, Network
from tests.support.network_schedules import BAD, HARMFUL, NODES, Action, do, end, payload_of


def kinds(network: Network) -> list[PacketKind]:
    return [PacketKind(payload_of(frame)[3]) for frame in network.frames]


def test_the_first_message_takes_a_handshake_and_the_second_none() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    assert kinds(network) == [
        PacketKind.HELLO,
        PacketKind.WELCOME,
        PacketKind.FINISH,
        PacketKind.DATA,
        PacketKind.DATA,
        PacketKind.DATA,
    ]
    network.frames.clear()
    network.send(1, 2, 1)
    network.send(2, 1, 1)
    network.run()
    assert kinds(network) == [PacketKind.DATA] * 4
    assert network.life(1).ups == [PeerUp(2, network.node(2).incarnation)]
    assert network.life(2).ups == [PeerUp(1, network.node(1).incarnation)]


def test_both_may_begin_at_once() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.send(2, 1, 1)
    network.run()
    network.check(faithful=True)
    assert network.agree(1, 2)


@pytest.mark.parametrize("crashed", [1, 2])
def test_a_new_life_is_a_new_session(crashed: int) -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    old = network.node(crashed).incarnation
    network.start(crashed)
    other = 3 - crashed
    payload = network.send(other, crashed, 1)
    network.run()
    assert network.life(other).losses == [PeerLost(crashed, old, Loss.REPLACED, (Lost(1, payload),))]
    network.send(other, crashed, 1)
    network.run()
    assert network.life(other).up == {crashed: network.node(crashed).incarnation}
    assert len(network.life(crashed).got) == 1 and network.agree(1, 2)


def test_who_is_silent_is_lost_once_and_what_it_should_get_comes_back() -> None:
    network = Network(2, 0, settings=Settings())
    network.send(1, 2, 1)
    network.run()
    network.cut.add(frozenset((1, 2)))
    payloads = [network.send(1, 2, stream, 10_000) for stream in (1, 2, 1)]
    began = network.now
    network.run()
    [loss] = network.life(1).losses
    assert (loss.node, loss.incarnation, loss.reason) == (2, network.node(2).incarnation, Loss.SILENT)
    assert [lost.payload for lost in loss.messages] == [payloads[0], payloads[2], payloads[1]]
    assert Settings().dead_after <= network.now - began <= Settings().dead_after + Settings().timeout_most
    network.send(1, 2, 1)
    network.run()
    assert [loss.incarnation for loss in network.life(1).losses] == [network.node(2).incarnation, None]
    network.cut.clear()
    network.send(1, 2, 1)
    network.run()
    assert len(network.life(2).got) == 2 and network.agree(1, 2)
    assert [loss.reason for loss in network.life(2).losses] == [Loss.REPLACED]


def test_nobody_is_asked_for_a_node_that_never_was() -> None:
    network = Network(1, 0)
    payload = network.send(1, 77, 1)
    network.run()
    assert network.life(1).losses == [PeerLost(77, None, Loss.SILENT, (Lost(1, payload),))]
    assert not network.node(1).peers and network.node(1).next_timer() is None


@pytest.mark.parametrize(("first", "second"), [((1, 1), (2, 3)), ((2, 3), (1, 1))])
def test_without_a_common_version_messages_come_back_at_once(first: tuple[int, int], second: tuple[int, int]) -> None:
    network = Network(2, 0)
    network.start(1, versions=first)
    network.start(2, versions=second)
    payload = network.send(1, 2, 1)
    network.multicast(1)
    network.run()
    assert network.now < 2 * SECOND
    assert network.life(1).losses == [PeerLost(2, None, Loss.VERSION, (Lost(1, payload),))]
    assert not (network.life(2).got or network.life(2).ups or network.life(2).heard)
    network.check_quiet(1)
    network.check_quiet(2)


@pytest.mark.parametrize(("first", "second", "chosen"), [((1, 1), (1, 3), 1), ((1, 3), (2, 2), 2), ((1, 4), (1, 3), 3)])
def test_the_highest_common_version_is_spoken(first: tuple[int, int], second: tuple[int, int], chosen: int) -> None:
    network = Network(2, 0)
    network.start(1, versions=first)
    network.start(2, versions=second)
    network.send(1, 2, 1)
    network.send(2, 1, 1)
    network.run()
    network.check(faithful=True)
    assert {payload_of(frame)[2] for frame in network.frames if payload_of(frame)[3] == PacketKind.DATA} == {chosen}


def test_a_multicast_is_heard_by_all_and_its_sender_asked_once() -> None:
    network = Network(4, 0)
    payload = network.multicast(1)
    network.multicast(1)
    network.run()
    for node in (2, 3, 4):
        assert [event.payload for event in network.life(node).heard] == network.life(1).told
        assert network.life(node).heard[0].payload == payload
    assert kinds(network).count(PacketKind.HELLO) == kinds(network).count(PacketKind.WELCOME) == 3
    network.frames.clear()
    network.multicast(1)
    network.run()
    assert kinds(network) == [PacketKind.GROUP]
    network.check(faithful=True)


def test_a_held_stream_stops_its_sender_and_no_other_stream() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.send(1, 2, 2)
    network.run()
    network.node(2).hold(1, 1, network.now)
    network.collect(2)
    network.run()
    frames = len(network.frames)
    network.send(1, 2, 1, 100_000)
    network.run(10 * MILLISECOND)
    assert len(network.frames) == frames
    network.send(1, 2, 2, 100_000)
    network.run(60 * SECOND)
    assert [event.stream for event in network.life(2).got] == [1, 2, 2]
    probes = len(network.frames)
    network.run(60 * SECOND)
    assert 100 <= len(network.frames) - probes <= 130, "a probe and its answer a second"
    network.node(2).release(1, 1, network.now)
    network.collect(2)
    network.run()
    assert [event.stream for event in network.life(2).got] == [1, 2, 2, 1]
    network.check(faithful=True)


def test_a_held_stream_is_held_in_the_next_session_too() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    network.node(2).hold(1, 1, network.now)
    network.collect(2)
    network.node(1).give_up(2, network.now)
    network.send(1, 2, 2)
    network.run()
    frames = len(network.frames)
    network.send(1, 2, 1)
    network.run(10 * MILLISECOND)
    assert len(network.frames) == frames
    network.node(2).release(1, 1, network.now)
    network.collect(2)
    network.run()
    assert [event.stream for event in network.life(2).got] == [1, 2, 1]


def test_what_is_in_the_inbox_of_a_held_stream_waits_too() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    transport = network.node(2)
    network.node(1).send(2, 1, b"one", network.now)
    network.node(1).send(2, 3, b"other", network.now)
    network.node(1).send(2, 1, b"two", network.now)
    for frame in tuple(network.node(1).outbox):
        transport.frame_arrived(frame, network.now)
    assert transport.next_event() == Delivered(1, 1, b"one")
    transport.hold(1, 1, network.now)
    assert transport.next_event() == Delivered(1, 3, b"other") and transport.next_event() is None
    network.reload(2)
    transport = network.node(2)
    transport.release(1, 1, network.now)
    assert transport.next_event() == Delivered(1, 1, b"two")


def test_a_dead_peer_is_noticed_though_its_stream_is_full() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    network.node(2).hold(1, 1, network.now)
    network.collect(2)
    network.run()
    payload = network.send(1, 2, 1)
    network.run(5 * SECOND)
    network.start(2)
    network.run()
    [loss] = network.life(1).losses
    assert loss.reason is Loss.REPLACED and loss.messages == (Lost(1, payload),)


def test_a_stream_with_too_much_under_way_is_not_writable_until_it_went() -> None:
    network = Network(2, 0, settings=Settings(backlog_max=10_000))
    transport = network.node(1)
    assert transport.send(2, 1, bytes(5000), 0)
    assert not transport.send(2, 1, bytes(5000), 0)
    assert transport.send(2, 2, b"", 0)
    network.collect(1)
    network.run()
    assert network.life(1).writable == [StreamWritable(2, 1)]
    assert [len(event.payload) for event in network.life(2).got if event.stream == 1] == [5000, 5000]


def test_what_is_on_its_way_to_a_node_is_counted_until_it_has_come() -> None:
    network = Network(2, 0)
    assert network.node(1).backlog(2, 1) == 0
    sizes = [len(network.send(1, 2, stream, size)) for stream, size in ((1, 5_000), (3, 700))]
    assert [network.node(1).backlog(2, stream) for stream in (1, 3)] == [size + MESSAGE_COST for size in sizes]
    network.run()
    assert network.node(1).backlog(2, 1) == 0


def test_a_lost_fragment_holds_up_its_own_stream_only() -> None:
    network = Network(2, 0)
    network.send(1, 2, 1)
    network.run()
    network.faults.loss = 1.0
    network.send(1, 2, 1)
    network.faults.loss = 0.0
    for stream in (2, 3, 1, 2):
        network.send(1, 2, stream)
    network.run()
    assert [event.stream for event in network.life(2).got] == [1, 2, 3, 2, 1, 1]
    network.check(faithful=True)


def test_messages_of_mebibytes_arrive_over_a_bad_network() -> None:
    network = Network(2, 3, BAD)
    for stream in (1, 2):
        network.send(1, 2, stream, 2 << 20)
    network.run()
    network.check(faithful=True)


def test_a_slow_network_is_waited_for() -> None:
    """Over a round trip longer than the least time-out nothing is sent twice, once it is known how long it takes."""
    network = Network(2, 0, Faults(shortest=300 * MILLISECOND, longest=300 * MILLISECOND))
    for _ in range(3):
        network.send(1, 2, 1)
        network.run()
    network.frames.clear()
    network.send(1, 2, 1)
    network.run()
    assert kinds(network) == [PacketKind.DATA] * 2


@settings(max_examples=50)
@given(HARMFUL, st.integers(0, 1 << 32))
def test_saving_and_loading_changes_nothing(actions: list[Action], seed: int) -> None:
    plain, saved = Network(NODES, seed, BAD), Network(NODES, seed, BAD)
    for action in actions:
        do(plain, action)
        do(saved, action)
        for node in saved.lives:
            saved.reload(node)
    end(plain)
    end(saved)
    assert plain.frames == saved.frames
    assert all(Writer().encode(plain.node(node)) == Writer().encode(saved.node(node)) for node in plain.lives)


@given(st.lists(st.integers(1, 3 * WINDOW), max_size=200))
def test_a_sequence_number_is_new_once(numbers: list[int]) -> None:
    window = ReplayWindow()
    seen: set[int] = set()
    for number in numbers:
        expected = number not in seen and number > max(seen, default=0) - WINDOW
        assert window.is_new(number) == expected
        if expected:
            window.add(number)
            seen.add(number)
    assert not window.is_new(0)


def test_the_owners_mistakes_are_refused_before_anything_changes() -> None:
    transport = Transport(1, KEY, Entropy(b"s"))
    for node, stream, size in ((1, 1, 0), (0, 1, 0), (1 << 24, 1, 0), (2, -1, 0), (2, 1 << 32, 0), (2, 1, (16 << 20) + 1)):
        with pytest.raises(ValueError, match="message"):
            transport.send(node, stream, bytes(size), 0)
    with pytest.raises(ValueError, match="more than"):
        transport.multicast(bytes(MULTICAST_MAX + 1), 0)
    with pytest.raises(ValueError, match="32 bytes"):
        Transport(1, b"short", Entropy(b"s"))
    with pytest.raises(ValueError, match="no node"):
        Transport(0, KEY, Entropy(b"s"))
    assert not transport.peers and not transport.outbox and transport.next_timer() is None
