"""Nodes that are emptied, whose tasks go to others, and nodes that come to the table of processes later, or leave it."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from masix.gps.entry import State
from masix.groups import Standing
from tests.support.callers import Caller
from tests.support.clusters import MS, PORTS, ROOT, SECOND, START, World, action, fault, saved_in_between
from tests.support.families import NODES, check_nothing_is_left, cluster, residents, server
from tests.support.guests import I386, Arch
from tests.support.wanderers import MANAGERS

CALLS = 45
STAYS = "tests/cluster/guests/{}/stays.elf"


def nodes(arch: Arch, **modules: list[str]) -> str:
    """The file of a cluster of nodes with all managers, and what runs on each."""
    text = "seed = 4\n[segments.lan]\n"
    for name, lines in modules.items():
        whole = [f"{line} {START}" for line in lines]
        text += f'[nodes.{name}]\nprofile = "{arch.profile}"\nmemory = "8M"\nmodules = {whole}\n'
        text += f'servers = {list(MANAGERS)}\nnics = {{ eth0 = "lan" }}\n'
    return text


def said(world: World, node: str) -> list[str]:
    return [line for line in world.lines(node) if line.startswith("empty: ")]


def guests(world: World, node: str) -> list[str]:
    kernel = world.node(node).kernel
    assert kernel is not None
    return [task.name for task in kernel.kern.tasks.values() if task.name.endswith(".elf")]


@pytest.mark.slow
def test_a_node_of_6_tasks_that_are_no_processes_is_emptied_while_clients_get_every_answer(arch: Arch) -> None:
    greet = f"images/{arch.name}/greet.elf {PORTS}"
    text = nodes(
        arch,
        full=[f"{greet} serve name{number}" for number in range(6)],
        left=[],
        right=[],
        far=[f"{greet} call name{number} 30 50" for number in range(6)],
    )
    text += action("300ms", "empty", "full", to="left right") + fault("1900ms", "crash", node="full")
    with World(text) as world:
        world.run(1800 * MS)
        assert said(world, "full") == [
            "empty: full gives its tasks to left, right",
            "empty: done: 6 gone, none stays: full may stop",
        ]
        assert guests(world, "full") == [] and len(guests(world, "left")) == len(guests(world, "right")) == 3
        world.run(4 * SECOND)
        lines = world.lines("far")
        assert lines.count("END") == 6
        for number in range(1, 31):
            assert lines.count(f"answer {number}: -{200 * number} GOOD MORNING") == 6


def test_what_stays_is_named_with_the_reason_and_the_node_takes_no_more(arch: Arch) -> None:
    greet = f"images/{arch.name}/greet.elf {PORTS}"
    text = nodes(
        arch,
        full=[f"{STAYS.format(arch.name)} {PORTS} essential", f"{greet} serve one", f"{STAYS.format(arch.name)} {PORTS} copy"],
        other=[],
    )
    text += action("500ms", "empty", "full", to="other") + action(
        "1500ms", "migrate", "other", task=f"images/{arch.name}/greet.elf", to="full"
    )
    with World(text) as world:
        world.run(3 * SECOND)
        first = len(MANAGERS) + 1
        name = STAYS.format(arch.name)
        assert said(world, "full")[1:] == [
            f"empty: {first} ({name}): has to stay: it is essential",
            f"empty: {first + 2} ({name}): has to stay: it has a copy of memory that its family manages",
            "empty: done: 1 gone, 2 stay",
        ]
        assert any("takes no tasks" in line for line in world.lines("other"))


def test_where_one_node_takes_none_they_go_to_another_one() -> None:
    text = nodes(I386, full=[f"images/i386/greet.elf {PORTS} serve one"], left=[], right=[], nowhere=[])
    text = text.replace('[nodes.left]\nprofile = "pc486dx2-66"', '[nodes.left]\nprofile = "sun3-60"')
    text += fault("1ms", "crash", node="nowhere") + action("300ms", "empty", "full", to="nowhere left right")
    with World(text) as world:
        world.run(2 * SECOND)
        assert said(world, "full")[1:] == ["empty: done: 1 gone, none stays: full may stop"]
        assert len(guests(world, "right")) == 1


@pytest.mark.parametrize("to", ["", "full", "left left", "left full", "left " + 80 * "x"])
def test_emptying_a_node_into_itself_or_nowhere_is_refused_at_the_start(to: str) -> None:
    text = nodes(I386, full=[], left=[]) + action("1s", "empty", "full", to=to)
    with Cluster(parse_file(text, ROOT)) as made, pytest.raises(UserError, match=r"to = .*write"):
        made.boot()


def test_nodes_that_the_table_does_not_begin_with_join_and_hear_of_each_other(arch: Arch) -> None:
    """Only alpha is named by all; beta and gamma, which comes a second later, have no other way to know of each other."""
    text = cluster(arch, "", "", "nomad 1 2 beta gamma", moves=True).replace('nodes = "alpha beta gamma"', 'nodes = "alpha"')
    text += fault("1ms", "crash", node="gamma") + fault("1s", "restart", node="gamma")
    with World(text) as world:
        world.run(SECOND)
        group = server(world, "beta").group
        assert group is not None and len(group.view.members) == 2
        world.run(4 * SECOND)
        assert world.lines("gamma")[-3:] == ["3 processes", "no child -> 00000012", "END"]
        assert server(world, "gamma").peers.keys() == {b"alpha", b"beta"}
        check_nothing_is_left(world)


def test_after_a_node_has_left_the_table_the_other_decides_alone_and_takes_it_back() -> None:
    """Of two nodes that a table is at, one that crashes without leaving it would stop the other one's."""
    text = cluster(I386, "nomad 1 2 beta", nodes=("alpha", "beta"), moves=True)
    text += action("3s", "empty", "beta", to="alpha") + fault("4s", "crash", node="beta")
    text += fault("8s", "restart", node="beta")
    with World(text) as world:
        world.run(3500 * MS)
        assert said(world, "beta")[-1] == "empty: done: 0 gone, none stays: beta may stop"
        assert (group := server(world, "beta").group) is not None and group.standing is Standing.LEFT
        world.run(7 * SECOND)
        group = server(world, "alpha").group
        assert group is not None and len(group.view.members) == 1 and not group.blocked
        world.run(10 * SECOND)
        assert len(group.view.members) == 2
        check_nothing_is_left(world)


@pytest.mark.slow
def test_a_node_of_20_processes_is_emptied_and_stops_while_callers_get_every_answer(arch: Arch) -> None:
    text = residents(arch, 20, CALLS) + action("1s", "empty", "beta", to="alpha gamma") + fault("4s", "crash", node="beta")
    with World(text) as world:
        world.run(4 * SECOND - MS)
        assert said(world, "beta")[-1] == "empty: done: 20 gone, none stays: beta may stop"
        here = [entry.at.node for entry in server(world, "alpha").table.entries.values()]
        assert sorted(here) == 10 * [1] + 10 * [3]
        world.run(7 * SECOND)
        assert [len(caller.times) for caller in world.programs("gamma", Caller)] == 20 * [CALLS + 2]
        group = server(world, "alpha").group
        assert group is not None and len(group.view.members) == 2
        assert sum(each.state is State.RUNNING for each in server(world, "alpha").table.entries.values()) == 20


@pytest.mark.parametrize("at", [1044, 3500])
def test_a_cluster_is_saved_while_a_process_moves_and_after_its_node_has_left_the_table(at: int, tmp_path: Path) -> None:
    with saved_in_between(
        residents(I386, 1) + action("1s", "empty", "beta", to="alpha"), at * MS, 4 * SECOND, tmp_path / "saved"
    ) as world:
        assert said(world, "beta")[-1] == "empty: done: 1 gone, none stays: beta may stop"


@pytest.mark.parametrize("at", [998, 999, 1000])
def test_a_process_that_ends_as_it_begins_to_move_is_waited_for_by_nobody(at: int) -> None:
    """A node that has not heard of a process is asked whether that may come, and hears that it is gone."""
    text = cluster(I386, "", "nomad 1 3", moves=True)
    with World(text) as world:
        world.run(4 * SECOND)
        end = max(time for time, _, line in world.printed if line == "END") // MS
    with World(text + action(f"{end + at - 1000}ms", "empty", "beta", to="alpha")) as world:
        world.run(9 * SECOND)
        assert said(world, "beta")[-1].startswith("empty: done: ")
        for name in NODES:
            gps = server(world, name)
            assert not (gps.doubts or gps.leaving or gps.arriving or gps.table.entries)


def test_a_task_that_somebody_else_moves_is_waited_for() -> None:
    text = nodes(I386, full=[f"images/i386/greet.elf {PORTS} serve one"], left=[], right=[])
    moves = action("300ms", "migrate", "full", task=str(len(MANAGERS) + 1), to="left") + action(
        "305ms", "empty", "full", to="right"
    )
    with World(text + moves) as world:
        world.run(3 * SECOND)
        assert said(world, "full")[-1] == "empty: done: 0 gone, none stays: full may stop"
    with World(text + moves + fault("330ms", "crash", node="left")) as world:
        world.run(9 * SECOND)
        assert said(world, "full")[-1] == "empty: done: 1 gone, none stays: full may stop"


@pytest.mark.parametrize("at", range(305, 350, 15))
def test_a_task_that_is_just_coming_goes_on_to_another_node(at: int) -> None:
    text = nodes(I386, full=[f"images/i386/greet.elf {PORTS} serve one"], left=[], right=[])
    text += action("300ms", "migrate", "full", task=str(len(MANAGERS) + 1), to="left")
    with World(text + action(f"{at}ms", "empty", "left", to="right")) as world:
        world.run(3 * SECOND)
        assert guests(world, "left") == [] and said(world, "left")[-1].endswith("none stays: left may stop")


def test_a_process_goes_to_the_next_node_where_the_first_does_not_take_its_owner_s() -> None:
    text = residents(I386, 2).replace('nodes = "alpha beta gamma" }', 'nodes = "alpha beta gamma", owners = "5" }', 1)
    with World(text + action("1s", "empty", "beta", to="alpha gamma")) as world:
        world.run(3 * SECOND)
        assert said(world, "beta")[-1] == "empty: done: 2 gone, none stays: beta may stop"
        assert {entry.at.node for entry in server(world, "gamma").table.entries.values()} == {3}


def test_where_the_process_manager_ends_it_is_not_said_that_none_stays() -> None:
    text = nodes(I386, full=[f"images/i386/greet.elf {PORTS} serve name{number}" for number in range(2)], left=[])
    text += action("300ms", "empty", "full", to="left") + action("330ms", "stop", "full", name="processmanager")
    with World(text) as world:
        world.run(4 * SECOND)
        assert not any("none stays" in line for line in said(world, "full"))
