"""Messages between nodes over a bad network: each once, in order, or given back, whatever happens when."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.network import Network
from tests.support.network_schedules import BAD, HARMFUL, HARMLESS, NODES, Action, do, end

SCHEDULES = 350


def after(actions: list[Action], seed: int) -> Network:
    """A network to which all this has happened, and that is quiet again."""
    network = Network(NODES, seed, BAD)
    for action in actions:
        do(network, action)
    end(network)
    return network


@settings(max_examples=SCHEDULES)
@given(HARMLESS, st.integers(0, 1 << 32))
def test_between_living_nodes_every_message_arrives_once_and_in_order(actions: list[Action], seed: int) -> None:
    after(actions, seed).check(faithful=True)


@settings(max_examples=SCHEDULES)
@given(HARMFUL, st.integers(0, 1 << 32))
def test_what_a_crash_or_a_long_partition_takes_is_given_back(actions: list[Action], seed: int) -> None:
    network = after(actions, seed)
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
