"""Somebody on the segment hears everything and sends what he likes: nothing of it is accepted, and nothing can be read."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.graph import Writer
from masix.net.ip import GROUP, mac_of
from masix.transport import packets
from masix.transport.events import Drop, Unverified
from masix.transport.packets import HEADER, TAG, PacketKind, encode
from tests.support.network import KEY, SECOND, Network
from tests.support.network_schedules import ATTACKS, BAD, CRASHES_AND_ATTACKS, NODES, Action, do, end, payload_of

SCHEDULES = 200


def unreadable(network: Network) -> None:
    """No message, key or secret is in any frame."""
    everything = b"".join(network.frames)
    for lives in network.lives.values():
        for life in lives:
            for _, _, payload in life.sent:
                assert payload[:16] not in everything
            assert not any(payload[:16] in everything for payload in life.told)
            assert life.transport.keyring.secret[:16] not in everything
            for peer in life.transport.peers.values():
                session = peer.session()
                assert session is None or session.seal_key[:16] not in everything
    assert KEY[:16] not in everything


@settings(max_examples=SCHEDULES)
@given(ATTACKS, st.integers(0, 1 << 32))
def test_attacks_change_nothing_between_living_nodes(actions: list[Action], seed: int) -> None:
    network = Network(NODES, seed, BAD)
    for action in actions:
        do(network, action)
    end(network)
    network.check(faithful=True)
    unreadable(network)


@settings(max_examples=SCHEDULES)
@given(CRASHES_AND_ATTACKS, st.integers(0, 1 << 32))
def test_what_former_lives_said_is_not_heard_again(actions: list[Action], seed: int) -> None:
    network = Network(NODES, seed, BAD)
    for action in actions:
        do(network, action)
    end(network)
    network.check(faithful=False)
    unreadable(network)


def talked() -> Network:
    """Two nodes that have talked, and told each other what all may hear."""
    network = Network(2, 1)
    network.multicast(1)
    for stream in range(5):
        network.send(1, 2, stream, 3000)
        network.send(2, 1, stream, 10)
    network.run()
    network.check(faithful=True)
    return network


def state_of(network: Network, node: int) -> bytes:
    """All that a node knows, without what it has counted and sent."""
    transport = network.node(node)
    dropped, transport.dropped = transport.dropped, {}
    identification, transport.identification = transport.identification, 0
    sequence, transport.keyring.sequence = transport.keyring.sequence, 0
    sessions = [session for peer in transport.peers.values() if (session := peer.session())]
    sent = [session.sequence for session in sessions]
    for session in sessions:
        session.sequence = 0
    text = Writer().encode(transport)
    transport.dropped, transport.identification, transport.keyring.sequence = dropped, identification, sequence
    for session, number in zip(sessions, sent, strict=True):
        session.sequence = number
    return text


def test_a_replayed_conversation_leaves_no_trace() -> None:
    network = talked()
    for frame in tuple(network.frames):
        for node in (1, 2):
            transport = network.node(node)
            before, dropped = state_of(network, node), sum(transport.dropped.values())
            transport.frame_arrived(frame, network.now)
            answers = [PacketKind(payload_of(answer)[3]) for answer in transport.outbox]
            transport.outbox.clear()
            assert state_of(network, node) == before and not transport.inbox
            match PacketKind(payload_of(frame)[3]), frame[:6] in (mac_of(node), mac_of(GROUP)) and frame[6:12] != mac_of(node):
                case PacketKind.HELLO, True:
                    assert answers == [PacketKind.WELCOME]
                case PacketKind.FINISH, True:
                    assert answers in ([PacketKind.DATA], [PacketKind.UNKNOWN]), "it opened the session, or another one did"
                case _:
                    assert not answers and sum(transport.dropped.values()) == dropped + 1


@pytest.mark.parametrize("kind", list(PacketKind))
def test_nothing_is_accepted_without_the_key(kind: PacketKind) -> None:
    network = talked()
    before = state_of(network, 2)
    dice = random.Random(int(kind))
    session = network.node(1).peers[2].session()
    assert session is not None
    names = (session.identifier, network.node(1).incarnation, network.node(2).incarnation, 0, 1 << 63)
    target = GROUP if kind is PacketKind.GROUP else 2
    transport = network.node(2)
    for name in names:
        for sequence in (0, 1, session.sequence, session.sequence + 1, (1 << 64) - 1):
            for size in (0, 8, 20, 40, packets.PLAIN_MAX):
                header = packets.header_bytes(1, kind, name, sequence)
                transport.frame_arrived(encode(1, target, 0, header + dice.randbytes(size + TAG)), network.now)
    assert transport.dropped[Drop.REFUSED] + transport.dropped[Drop.STRANGER] == 125
    assert transport.next_event() is None
    transport.outbox.clear()
    assert state_of(network, 2) == before


def test_floods_of_hellos_fill_no_memory() -> None:
    network = talked()
    for seed in range(3):
        network.start(1)
        network.multicast(1)
        network.send(1, 2, seed)
        network.run()
    hellos = [
        frame
        for frame in network.frames
        if payload_of(frame)[3] in (PacketKind.HELLO, PacketKind.FINISH, PacketKind.GROUP, PacketKind.UNKNOWN)
    ]
    size = len(Writer().encode(network.node(2)))
    dice = random.Random(2)
    peers = network.node(2).peers.keys() | set()
    for number in range(5000):
        frame = dice.choice(hellos)
        network.node(2).frame_arrived(frame, network.now)
        header, sealed = payload_of(frame)[: HEADER.size], payload_of(frame)[HEADER.size :]
        network.node(2).frame_arrived(encode(3 + number, 2, 0, header[:3] + b"\x01" + header[4:] + sealed), network.now)
        while isinstance(event := network.node(2).next_event(), Unverified):
            network.node(2).verify(event, network.now)
        network.node(2).outbox.clear()
    network.node(2).outbox.clear()
    assert network.node(2).peers.keys() == peers
    assert len(Writer().encode(network.node(2))) < size + 1000
    network.run(SECOND)
    network.send(1, 2, 9)
    network.run()
    assert len(network.life(2).got) == 5 + 3 + 1


def test_who_has_another_key_is_nobody() -> None:
    network = talked()
    network.start(2, key=bytes(32))
    network.send(2, 1, 1)
    network.send(1, 2, 1)
    network.multicast(2)
    network.run()
    assert not network.life(2).ups and not network.life(2).got and len(network.life(1).heard) == 0
    assert len(network.life(1).losses) == 1


def test_a_dead_life_is_not_believed_by_a_node_that_never_heard_it() -> None:
    """A node starts after another one has died, and hears all that was said before, again."""
    network = talked()
    old = list(network.frames)
    network.start(1)
    network.start(2)
    for frame in old:
        for node in (1, 2):
            network.inject(node, frame)
    network.run()
    for node in (1, 2):
        life = network.life(node)
        assert not (life.got or life.heard or life.ups or life.losses)
        network.check_quiet(node)


def test_a_new_node_does_not_hear_what_the_living_told_all_before_it_lived() -> None:
    network = talked()
    old = list(network.frames)
    network.start(2)
    for frame in old:
        network.inject(2, frame)
    network.run()
    assert not network.life(2).heard
    network.multicast(1)
    network.run()
    assert [event.payload for event in network.life(2).heard] == network.life(1).told[1:]
    network.check_multicasts()


def test_what_a_former_life_told_all_is_not_taken_for_what_the_new_one_told() -> None:
    network = Network(2, 0)
    network.cut.add(frozenset((1, 2)))
    for _ in range(20):
        network.multicast(1)
    old = list(network.frames)
    network.start(1)
    network.cut.clear()
    network.inject(2, old[-1])
    network.run()
    assert not network.life(2).heard and network.node(2).peers[1].incarnation == network.node(1).incarnation
