"""Messages between nodes over a bad network: each once, in order, or given back, whatever happens when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.sim.saved import Writer
from masix.gns.events import Lost, PeerLost, Settings
from tests.servers.gns.network import MILLISECOND, PATIENT, SECOND, Faults, Loss, Network

BAD = Faults(loss=0.2, duplication=0.2, shortest=50_000, longest=5 * MILLISECOND)
NODES = 3
nodes = st.integers(1, NODES)
pairs = st.permutations(range(1, NODES + 1)).map(lambda order: (order[0], order[1]))
streams = st.integers(1, 3)
sizes = st.one_of(st.integers(0, 200), st.integers(0, 20_000))
HARMLESS = [
    st.tuples(st.just("send"), pairs, streams, sizes, st.integers(1, 5)),
    st.tuples(st.just("send"), pairs, streams, sizes, st.integers(1, 5)),
    st.tuples(st.just("wait"), st.integers(0, 400)),
    st.tuples(st.just("multicast"), nodes),
    st.tuples(st.just("hold"), pairs, streams),
    st.tuples(st.just("release"), pairs, streams),
    st.tuples(st.just("reload"), nodes),
    st.tuples(st.just("cut"), pairs, st.integers(0, 10_000)),
]
HARMFUL = [
    *HARMLESS,
    st.tuples(st.just("crash"), nodes),
    st.tuples(st.just("crash"), nodes),
    st.tuples(st.just("give up"), pairs),
    st.tuples(st.just("cut"), pairs, st.integers(0, 200_000)),
]


def do(network: Network, action: tuple[Any, ...]) -> None:
    """One thing that happens, now."""
    what, who, *rest = action
    if what == "send":
        stream, size, count = rest
        for _ in range(count):
            network.send(*who, stream, size)
    elif what == "wait":
        network.run(who * MILLISECOND)
    elif what == "multicast":
        network.multicast(who)
    elif what == "reload":
        network.reload(who)
    elif what == "crash":
        network.start(who)
    elif what == "cut":
        network.cut.add(frozenset(who))
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
    """Everything is released and comes to rest; nodes that something is sent to show whether they live."""
    for node in network.lives:
        for peer in tuple(network.node(node).peers.values()):
            for stream in tuple(peer.held):
                network.node(node).release(peer.node, stream, network.now)
        network.collect(node)
    network.run()


@settings(max_examples=450)
@given(st.lists(st.one_of(HARMLESS), max_size=25), st.integers(0, 1 << 32))
def test_between_living_nodes_every_message_arrives_once_and_in_order(actions: list[tuple[Any, ...]], seed: int) -> None:
    network = Network(NODES, seed, BAD)
    for action in actions:
        do(network, action)
    end(network)
    network.check(faithful=True)


@settings(max_examples=450)
@given(st.lists(st.one_of(HARMFUL), max_size=25), st.integers(0, 1 << 32))
def test_what_a_crash_or_a_long_partition_takes_is_given_back(actions: list[tuple[Any, ...]], seed: int) -> None:
    network = Network(NODES, seed, BAD)
    for action in actions:
        do(network, action)
    end(network)
    network.check(faithful=False)
    for source in network.lives:
        for target in network.lives:
            if source != target:
                network.send(source, target, 9)
    end(network)
    network.check(faithful=False)
    for source in network.lives:
        for target in network.lives:
            if source != target:
                network.send(source, target, 9)
                network.run()
    network.check(faithful=False)
    assert all(network.agree(1, other) for other in (2, 3)) and network.agree(2, 3)
