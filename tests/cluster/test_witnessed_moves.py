"""A process that moves while a node of its cluster fails, or by the operator's word. `dev.py migrate --faults N` has more."""

from __future__ import annotations

import random

import pytest

from masix.gps.entry import State
from tests.support.clusters import SECOND, World
from tests.support.families import server
from tests.support.guests import Arch
from tests.support.witnessed import NODES, Witness, cluster, trial, try_move


@pytest.mark.slow
@pytest.mark.parametrize("_", range(4))
def test_one_copy_at_most_runs_whatever_node_fails_and_who_knew_a_lost_one_is_told(_: int) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    wanted = trial(seed)
    print(f"seed {seed}: {wanted}")
    assert try_move(wanted)


def test_a_process_that_the_operator_moves_is_where_the_table_says_and_misses_nothing(arch: Arch) -> None:
    with World(cluster(arch.name, True)) as world:
        world.run(SECOND)
        assert "migrate: 8: moved" in world.lines("beta")
        (witness,) = world.programs("alpha", Witness)
        last = witness.said[-1]
        assert (last.epoch, last.wrong, last.lost) == (1, 0, 0)
        for name in NODES:
            (entry,) = server(world, name).table.entries.values()
            assert (entry.state, entry.at.node, entry.epoch) == (State.RUNNING, 3, 1)


def test_a_process_that_the_operator_may_not_move_is_refused_by_its_reason(arch: Arch) -> None:
    head, gamma, rest = cluster(arch.name, True).partition("[nodes.gamma]")
    rest = rest.replace('nodes = "alpha beta gamma"', 'nodes = "alpha beta gamma", personalities = "dos"')
    with World(head + gamma + rest) as world:
        world.run(SECOND)
        assert [line for line in world.lines("beta") if line.startswith("migrate: 8: ")] == [
            "migrate: 8: has to stay: it is a process, and the node has no server for it or does not run its personality"
        ]
        (witness,) = world.programs("alpha", Witness)
        assert (witness.said[-1].epoch, witness.said[-1].wrong) == (0, 0) and witness.said[-1].time > 900_000_000
