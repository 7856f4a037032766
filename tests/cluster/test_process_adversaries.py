"""A node of the group that keeps the table of processes lies to the others: it harms nobody's processes but its own."""

from __future__ import annotations

import pytest

from machemu.ipc import port as ports
from masix.gps.entry import Kind, State
from masix.gps.meeting import words_of as member_words
from masix.gps.names import NOBODY, UqPid
from masix.gps.operations import Abort, Bury, Commit, Create, Disown, Exit, Move, Outcome, Reap, Wait
from masix.gps.processes import words_of
from masix.interfaces import gps_peer
from masix.migration import manager
from tests.support.clusters import MS, SECOND, World, action
from tests.support.families import NODES, residents, server
from tests.support.guests import I386, Arch
from tests.support.liars import Liar

MOVE = action("1s", "migrate", "beta", task="tests/cluster/guests/i386/resident.elf", to="alpha")


def the_process(world: World) -> UqPid:
    (process,) = server(world, "alpha").table.entries
    return process


def running(world: World) -> list[str]:
    """On which nodes a copy of the process runs."""
    return [
        node.name
        for node in world.cluster.nodes
        if node.kernel is not None
        for task in node.kernel.kern.tasks.values()
        if "resident" in task.name and not task.user_stop_count and not task.frozen
    ]


def check_it_is_at(world: World, name: str, epoch: int) -> None:
    assert running(world) == [name]
    for each in NODES:
        entry = server(world, each).table.entries[the_process(world)]
        assert (entry.state, entry.at.node, entry.epoch) == (State.RUNNING, NODES.index(name) + 1, epoch)
        assert (the_process(world) in server(world, each).tasks.values()) == (each == name)


def test_what_a_node_says_of_another_one_s_process_is_not_done(arch: Arch) -> None:
    with World(residents(arch, 1)) as world:
        world.run(SECOND)
        liar, process = Liar(world, "gamma"), the_process(world)
        alpha, beta, gamma = (server(world, name).me for name in NODES)
        before = dict(server(world, "alpha").table.entries)
        liar.broadcast(
            Exit(process, beta, 1),
            Move(process, beta, gamma),
            Bury(process, beta),
            Wait(process),
            Reap(process, UqPid(2, 1 << 40, 1)),
            Disown(process, UqPid(2, 1 << 40, 1)),
            Create(UqPid(1, 5, 5), Kind.NOMAD, b"bare", NOBODY, Kind.NOMAD, alpha, 1),
            Create(UqPid(3, 5, 5), Kind.NOMAD, b"bare", process, Kind.NOMAD, beta, 1),
        )
        world.run(3 * SECOND)
        assert [result.outcome for result in liar.outcomes()[-8:]] == 8 * [Outcome.FORBIDDEN]
        assert server(world, "alpha").table.entries == before
        check_it_is_at(world, "beta", 0)


def test_moves_are_decided_by_those_who_move_and_a_replayed_decision_decides_nothing() -> None:
    with World(residents(I386, 1) + MOVE) as world:
        liar = Liar(world, "gamma")
        world.run(SECOND)
        process = the_process(world)
        while server(world, "gamma").table.entries[process].state is not State.MOVING:
            world.run(world.cluster.time + MS)
        liar.broadcast(Commit(process, 1), Abort(process, 1), Commit(process, 2), Abort(process, 0))
        world.run(3 * SECOND)
        told = [result.outcome for result in liar.outcomes()[-4:]]
        assert told == [Outcome.FORBIDDEN, Outcome.FORBIDDEN, Outcome.DECIDED, Outcome.DECIDED]
        check_it_is_at(world, "alpha", 1)
        liar.broadcast(Commit(process, 1), Abort(process, 1))
        world.run(5 * SECOND)
        assert [result.outcome for result in liar.outcomes()[-2:]] == 2 * [Outcome.DECIDED]
        check_it_is_at(world, "alpha", 1)


@pytest.mark.parametrize("how", [manager.WHOLE, manager.PARTED, manager.BROKEN])
def test_nobody_but_its_source_says_what_becomes_of_a_process_that_comes(how: int) -> None:
    with World(residents(I386, 1) + MOVE) as world:
        liar = Liar(world, "gamma")
        world.run(SECOND)
        process, source = the_process(world), server(world, "beta").me
        for time in range(SECOND, SECOND + 120 * MS, 2 * MS):
            world.run(time)
            to = liar.right("alpha", "right")
            liar.say(to, gps_peer.PM_REST, words_of(process), 1, how)
            liar.say(to, gps_peer.PM_RECEIVE, words_of(process), 1, member_words(source), 0, 0, [])
        world.run(4 * SECOND)
        check_it_is_at(world, "alpha", 1)


def test_a_port_that_is_not_of_a_node_s_own_is_not_spoken_to_in_its_place() -> None:
    """The liar says that it is alpha."""
    with World(residents(I386, 1) + MOVE) as world:
        world.run(SECOND // 2)
        liar, beta = Liar(world, "gamma"), server(world, "beta")
        right, kernel = beta.peers[b"alpha"].right, world.node("gamma").kernel
        assert kernel is not None
        own = next(port for port in kernel.ipc.ports.values() if port.receiver is not None and port.number and port.srights)
        liar.say(liar.right("beta", "named"), gps_peer.GPS_MEET, b"alpha", ports.copy_send(kernel.ipc, own))
        world.run(SECOND)
        assert beta.peers[b"alpha"].right == right and not beta.peers[b"alpha"].offered
        world.run(3 * SECOND)
        check_it_is_at(world, "alpha", 1)
