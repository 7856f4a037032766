"""What can happen to nodes and their network, as data that hypothesis makes."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

from masix.net.ip import GROUP, IP_START
from masix.transport import packets
from masix.transport.packets import HEADER_START, PacketKind, encode
from tests.support.network import MILLISECOND, Faults, Network

BAD = Faults(loss=0.2, duplication=0.2, shortest=50_000, longest=5 * MILLISECOND)
NODES = 3
Action = tuple[Any, ...]
nodes = st.integers(1, NODES)
pairs = st.permutations(range(1, NODES + 1)).map(lambda order: (order[0], order[1]))
streams = st.integers(1, 3)
sizes = st.one_of(st.integers(0, 200), st.integers(0, 20_000))
sends = st.tuples(st.just("send"), pairs, streams, sizes, st.integers(1, 5))
harmless = st.one_of(
    sends,
    sends,
    st.tuples(st.just("wait"), st.integers(0, 400)),
    st.tuples(st.just("multicast"), nodes),
    st.tuples(st.just("hold"), pairs, streams),
    st.tuples(st.just("release"), pairs, streams),
    st.tuples(st.just("reload"), nodes),
    st.tuples(st.just("cut"), pairs, st.integers(0, 10_000), st.integers(0, 3)),
)
harmful = st.one_of(
    harmless,
    st.tuples(st.just("crash"), nodes),
    st.tuples(st.just("give up"), pairs),
    st.tuples(st.just("cut"), pairs, st.integers(50_000, 200_000), st.integers(1, 3)),
)
attacks = st.one_of(harmless, st.tuples(st.just("attack"), nodes, st.integers(1, 30)))
HARMLESS = st.lists(harmless, min_size=12, max_size=40)
HARMFUL = st.lists(harmful, min_size=12, max_size=40)
ATTACKS = st.lists(attacks, min_size=12, max_size=40)
CRASHES_AND_ATTACKS = st.lists(st.one_of(harmful, attacks), min_size=12, max_size=40)


def do(network: Network, action: Action) -> None:
    """One thing that happens, now."""
    what, who, *rest = action
    if what == "send":
        stream, size, count = rest
        for _ in range(count):
            network.send(who[0], who[1], stream, size)
    elif what == "wait":
        network.run(who * MILLISECOND)
    elif what == "multicast":
        network.multicast(who)
    elif what == "reload":
        network.reload(who)
    elif what == "crash":
        network.start(who)
    elif what == "attack":
        for _ in range(rest[0]):
            network.inject(who, hostile(network, who))
    elif what == "cut":
        network.cut.add(frozenset(who))
        for _ in range(rest[1]):
            network.send(who[0], who[1], 1, 100)
            network.send(who[1], who[0], 2, 5000)
        network.run(rest[0] * MILLISECOND)
        network.cut.discard(frozenset(who))
    else:
        transport = network.node(who[0])
        if what == "give up":
            transport.give_up(who[1], network.now)
        elif what == "hold":
            transport.hold(who[1], rest[0], network.now)
        else:
            transport.release(who[1], rest[0], network.now)
        network.collect(who[0])


def end(network: Network) -> None:
    """All streams are released, and everything comes to rest."""
    for node in network.lives:
        for peer in tuple(network.node(node).peers.values()):
            for stream in tuple(peer.held):
                network.node(node).release(peer.node, stream, network.now)
        network.collect(node)
    network.run()


def payload_of(frame: bytes) -> bytes:
    """A frame's header and sealed text."""
    return frame[HEADER_START : IP_START + int.from_bytes(frame[16:18], "big")]


def hostile(network: Network, target: int) -> bytes:
    """A frame by somebody who has heard all frames and has no key: what he heard as it was or changed, or his own invention."""
    dice = network.random
    source = dice.choice([node for node in network.lives if node != target])
    if not network.frames:
        return dice.randbytes(dice.randint(0, 200))
    heard = dice.choice(network.frames)
    payload = bytearray(payload_of(heard))
    kind = dice.randrange(7)
    if kind == 0:
        return heard
    if kind == 1:
        return heard[: dice.randrange(len(heard))]
    if kind == 2:
        changed = bytearray(heard)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        return bytes(changed)
    if kind == 3:
        payload[dice.randrange(len(payload))] ^= 1 << dice.randrange(8)
    elif kind == 4:
        other = payload_of(dice.choice(network.frames))
        payload[packets.HEADER.size :] = other[packets.HEADER.size :]
    elif kind == 5:
        payload = payload[: dice.randrange(packets.HEADER.size + packets.TAG, len(payload) + 1)]
    else:
        struct.pack_into(">Q", payload, 12, dice.getrandbits(dice.choice((4, 63))))
        payload[packets.HEADER.size :] = dice.randbytes(dice.randint(16, 100))
    return encode(source, GROUP if payload[3] == PacketKind.GROUP else target, dice.getrandbits(16), bytes(payload))


__all__ = ["ATTACKS", "BAD", "CRASHES_AND_ATTACKS", "HARMFUL", "HARMLESS", "NODES", "Action", "do", "end"]
