"""Processes that guests make, end and wait for by the generic process servers of several nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.abi.kern_return import KERN_INVALID_VALUE, KERN_RESOURCE_SHORTAGE
from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from masix.acs.server import Acs
from masix.gps.entry import Kind, State
from masix.gps.processes import CALLS_MAX
from masix.gps.server import Gps
from masix.groups import Standing
from masix.interfaces import gps_peer
from tests.support.clusters import MS, ROOT, SECOND, World, fault, saved_in_between
from tests.support.families import CALLS, NODES, Flooder, check_nothing_is_left, cluster, server, try_tree
from tests.support.guests import I386, Arch

REFUSED = "00000004"


@pytest.mark.parametrize("kind", ["nomad", "sedentary"])
def test_a_family_is_counted_by_its_parents_and_leaves_nothing(kind: str, arch: Arch) -> None:
    with World(cluster(arch, f"{kind} 2 3", nodes=NODES[:2])) as world:
        world.run(4 * SECOND)
        assert world.lines("alpha") == [
            f"without a task -> {REFUSED}",
            f"of a port that is no task -> {REFUSED}",
            f"of no kind -> {REFUSED}",
            f"of another personality -> {REFUSED}",
            "created -> 00000000",
            f"once more -> {REFUSED}",
            "its parent -> 00000000",
            "0 0 0 0",
            "13 processes",
            "no child -> 00000012",
            "END",
        ]
        check_nothing_is_left(world)


@pytest.mark.slow
def test_a_tree_of_processes_that_go_from_node_to_node_leaves_nothing(arch: Arch) -> None:
    """`dev.py generic --tree 14` makes one of 211 processes."""
    assert try_tree(arch, 5)


def test_families_of_several_nodes_share_the_table() -> None:
    with World(cluster(I386, "nomad 1 5", "sedentary 1 4", "nomad 1 3")) as world:
        world.run(2 * SECOND)
        assert [world.lines(name)[-3] for name in NODES] == ["6 processes", "5 processes", "4 processes"]
        check_nothing_is_left(world)


def test_a_process_that_ends_without_a_word_is_waited_for_too(arch: Arch) -> None:
    with World(cluster(arch, "nomad 1 3 abrupt", nodes=NODES[:2])) as world:
        world.run(3 * SECOND)
        assert world.lines("alpha")[-3:] == ["1 processes", "no child -> 00000012", "END"]
        check_nothing_is_left(world)


def until(world: World, time: int, holds: Callable[[Gps], bool]) -> int:
    """Runs until something holds at the servers of all nodes; when that is."""
    while not all(holds(server(world, name)) for name in NODES):
        time += MS
        assert time < SECOND
        world.run(time)
    return time


def test_nomads_are_known_on_all_nodes_with_ports_made_in_advance_and_sedentary_ones_on_their_own() -> None:
    with World(cluster(I386, "", "nomad 2 2", "sedentary 3 4")) as world:
        time = until(world, 0, lambda gps: len(gps.own.entries) >= 20 or gps.host != b"gamma")
        assert not server(world, "alpha").own.entries and not server(world, "gamma").table.entries
        until(world, time, lambda gps: len(gps.table.entries) >= 5)
        one = server(world, "alpha")
        for name in NODES:
            gps = server(world, name)
            assert gps.table.entries.keys() == one.table.entries.keys()
            assert all(gps.callers[gps.processes[process].port] == process for process in gps.table.entries)
            assert all(entry.kind is Kind.NOMAD for entry in gps.table.entries.values())


def test_a_process_that_moves_has_its_name_everywhere_and_its_task_at_one_server() -> None:
    with World(cluster(I386, "", "nomad 1 1 alpha gamma", moves=True)) as world:
        time = until(world, 250 * MS, lambda gps: any(entry.epoch for entry in gps.table.entries.values()))
        entry = next(entry for entry in server(world, "alpha").table.entries.values() if entry.epoch)
        assert (entry.state, entry.at.node, entry.to.node) == (State.MOVING, 2, 3)
        until(world, time, lambda gps: gps.table.entries[entry.process].at.node == 3 or not gps.arriving)
        world.run(time + 100 * MS)
        for name in NODES:
            assert (entry.process in server(world, name).tasks.values()) == (name == "gamma")
            now = server(world, name).table.entries[entry.process]
            assert (now.state, now.at.node, now.epoch) == (State.RUNNING, 3, 1)
        world.run(2 * SECOND)
        assert world.lines("beta")[-3] == "2 processes"
        check_nothing_is_left(world)


@pytest.mark.parametrize(
    ("to", "code", "change"),
    [
        ("nowhere", "0000000f", ("", "")),
        ("beta", "00000008", ("", "")),
        ("alpha", "00000008", ('nodes = "alpha beta gamma" }', 'nodes = "alpha beta gamma", personalities = "dos" }')),
        ("alpha", "00000008", ("pc486dx2-66", "sun3-60")),
        ("alpha", "0000000e", ('"masix.migration.manager:MigrationManager", ', "")),
    ],
    ids=["no such node", "its own node", "another personality", "another processor", "no manager"],
)
def test_a_process_that_cannot_go_is_told_why_and_goes_on(to: str, code: str, change: tuple[str, str]) -> None:
    """change: of the node alpha's table."""
    head, alpha, rest = cluster(I386, "", f"nomad 0 0 {to}", moves=True).partition("[nodes.alpha]")
    table, beta, rest = rest.partition("[nodes.beta]")
    if code == "0000000e":
        rest = rest.replace(*change, 1)
    with World(head + alpha + table.replace(*change) + beta + rest) as world:
        world.run(1500 * MS)
        assert world.lines("beta")[-4:] == [f"to {to}: {code}", "1 processes", "no child -> 00000012", "END"]
        check_nothing_is_left(world)


def test_a_sedentary_process_does_not_move() -> None:
    with World(cluster(I386, "sedentary 0 0 beta", moves=True)) as world:
        world.run(SECOND)
        assert world.lines("alpha")[-4] == "to beta: 00000008"
        check_nothing_is_left(world)


@pytest.mark.slow
def test_what_ran_at_a_node_that_starts_anew_is_gone_everywhere_and_its_children_are_orphans() -> None:
    """They have gone to another node; their parent, a sedentary process, ends with its node, which comes back into the group."""
    text = cluster(I386, "", "mixed 1 3 gamma", moves=True)
    with World(text) as world:
        time = until(world, 300 * MS, lambda gps: sum(entry.at.node == 3 for entry in gps.table.entries.values()) >= 2)
        assert all(entry.parent_kind is Kind.SEDENTARY for entry in server(world, "alpha").table.entries.values())
    crash = fault(f"{time}ns", "crash", node="beta") + fault("3s", "restart", node="beta")
    with World(text + crash) as world:
        world.run(3 * SECOND)
        group, entries = server(world, "alpha").group, server(world, "alpha").table.entries
        assert group is not None and len(group.view.members) == 2
        assert len(entries) >= 2, "that a node is silent is no reason"
        world.run(4500 * MS)
        for name in NODES:
            group = server(world, name).group
            assert group is not None and group.standing is Standing.MEMBER and len(group.view.members) == 3
        assert world.lines("beta")[-3] == "4 processes"
        for name in NODES:
            gps = server(world, name)
            assert not (gps.table.entries or gps.own.entries or gps.processes or gps.tasks or gps.pending or gps.later)


def test_a_sedentary_process_waits_for_nomad_children_too_wherever_they_end() -> None:
    with World(cluster(I386, "", "mixed 2 1 gamma alpha", moves=True)) as world:
        world.run(2 * SECOND)
        assert world.lines("beta")[-3:] == ["3 processes", "no child -> 00000012", "END"]
        check_nothing_is_left(world)


@pytest.mark.slow
def test_a_cluster_that_is_saved_while_processes_begin_move_and_end_goes_on_the_same(tmp_path: Path) -> None:
    text = cluster(I386, "sedentary 1 3", "nomad 0 0 gamma", moves=True)
    with saved_in_between(text, 300 * MS, 400 * MS, tmp_path / "saved") as world:
        assert world.lines("alpha")[-1] == world.lines("beta")[-1] == "END"
        check_nothing_is_left(world)


def test_who_has_as_many_calls_under_way_as_one_may_is_refused_and_others_are_served() -> None:
    text = cluster(I386, "", "nomad 1 3").replace("}]", '}, "tests.support.families:Flooder"]', 1)
    with World(text) as world:
        world.run(2 * SECOND)
        (flooder,) = world.programs("alpha", Flooder)
        assert Counter(flooder.codes) == {KERN_INVALID_VALUE: CALLS_MAX, KERN_RESOURCE_SHORTAGE: CALLS - CALLS_MAX}
        assert world.lines("beta")[-3] == "4 processes"
        gps = server(world, "alpha")
        assert [local.calls for local in gps.processes.values()] == [0] and not gps.pending


def test_what_servers_say_to_each_other_is_nothing_that_a_client_can_say() -> None:
    """Clients have rights to the port where processes are created, and to those of processes; packets come to a third one."""
    peer = (gps_peer.GPS_PACKETS, gps_peer.GPS_TAKES, gps_peer.PM_RECEIVE, gps_peer.GPS_MEET)
    assert [set(Gps._tables[routine.request.id]) for routine in peer] == 3 * [{"inlets"}] + [{"service"}]
    with World(cluster(nodes=NODES[:1])) as world:
        world.run(SECOND)
        gps, kernel = server(world, "alpha"), world.node("alpha").kernel
        (names,) = world.programs("alpha", Acs)
        assert kernel is not None
        spaces = {task.name: task.space for task in kernel.kern.tasks.values()}
        public = spaces["acs"].lookup(names.entries[b"gps"].port)
        assert public is not None and public.object is spaces["gps"].lookup(gps.clients).object  # type: ignore[union-attr]
        assert gps.clients != gps.service


def test_a_server_that_is_told_of_no_node_is_refused() -> None:
    wrong = cluster().replace('nodes = "alpha beta gamma"', 'nodes = ""')
    with (
        pytest.raises(UserError, match="nodes has to name the nodes whose servers begin the table"),
        Cluster(parse_file(wrong, ROOT)) as made,
    ):
        made.boot()


@pytest.mark.parametrize(
    ("owners", "code"), [("", ""), ("7", ""), ("1 7", ""), ("1 2", "to alpha: 00000008"), ("0", "to alpha: 00000008")]
)
def test_a_node_takes_processes_of_the_owners_that_it_is_told(owners: str, code: str) -> None:
    """The process and its child are those of the personality's owner, 7."""
    text = cluster(I386, moves=True)
    head, beta = text.split("[nodes.beta]")
    head = head.replace('nodes = "alpha beta gamma" }', f'nodes = "alpha beta gamma", owners = "{owners}" }}')
    program = "nomad tests/cluster/guests/i386/family.elf 1 1 alpha gamma"
    bare = f'{{ class = "masix.personality.bare:Bare", owner = 7, programs = "{program}" }}'
    text = f"{head}[nodes.beta]" + beta.replace('nodes = "alpha beta gamma" }]', f'nodes = "alpha beta gamma" }}, {bare}]', 1)
    with World(text) as world:
        seen: dict[object, int] = {}
        while "END" not in world.lines("beta"):
            world.run(world.cluster.time + 2 * MS)
            seen |= {process: entry.owner for process, entry in server(world, "gamma").table.entries.items()}
        assert list(seen.values()) == [7, 7]
        world.run(3 * SECOND)
        assert [line for line in world.lines("beta") if line.startswith("to ")] == ([code] if code else [])
        assert world.lines("beta")[-3:] == ["2 processes", "no child -> 00000012", "END"]
        assert not any(server(world, name).table.entries for name in NODES)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('owners = "seven"', "owners = 'seven': write numbers below"),
        ('owners = "4294967296"', "owners = '4294967296': write"),
        (f'owners = "{5000 * "1"}"', "write numbers below"),
        ("owners = 5", "owners = 5: write a text"),
        ("personalities = true", "personalities = True: write a text"),
    ],
)
def test_owners_that_are_none_are_refused(option: str, message: str) -> None:
    wrong = cluster().replace('nodes = "alpha beta gamma" }', f'nodes = "alpha beta gamma", {option} }}')
    with pytest.raises(UserError, match=message), Cluster(parse_file(wrong, ROOT)) as made:
        made.boot()
