"""Network and datagram servers that are replaced while their node runs: no call is lost, no right dies, and nobody notices."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from masix.gns.rights import WINDOW
from masix.gns.server import Gns
from masix.protocols.udp import Udp
from tests.support.clients import Sink, Source, pattern
from tests.support.clusters import MS, SECOND, US, World, check_saved_replacements, fault
from tests.support.datagrams import WAYS
from tests.support.datagrams import cluster as datagrams
from tests.support.dependents import Dependent
from tests.support.successors import LaterGns, Sleeper, Visitor, pushed, sleepers

PROFILES = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
SUCCESSORS = "tests.support.successors"
SWITCHES = ("", "announces", "introduces", "prepares", "replicates")

both_machines = pytest.mark.parametrize("architecture", list(PROFILES))


def gns(switch: str = "") -> str:
    return f'{{ class = "masix.gns.server:Gns"{f", {switch} = true" if switch else ""} }}'


def replace(at: str, node: str, server: str, name: str = "gns") -> str:
    return f'[[actions]]\nat = "{at}"\nkind = "replace"\nnode = "{node}"\nname = "{name}"\nserver = {server}\n'


def cluster(*nodes: tuple[str, str, str], switch: str = "", lan: str = "") -> str:
    """Nodes: name, architecture, and what runs beside name and network server."""
    text = f"seed = 3\n[segments.lan]\n{lan}"
    for name, architecture, server in nodes:
        text += f'[nodes.{name}]\nprofile = "{PROFILES[architecture]}"\nmemory = "4M"\nnics = {{ eth0 = "lan" }}\n'
        text += f'servers = ["masix.acs.server:Acs", {gns(switch)}, {server}]\n'
    return text


def desk(**options: int) -> str:
    values = "".join(f", {key} = {value}" for key, value in options.items())
    return f'{{ class = "{SUCCESSORS}:Desk"{values} }}'


def visitor(calls: int, every: int) -> str:
    return f'{{ class = "{SUCCESSORS}:Visitor", calls = {calls}, every = {every} }}'


def check_answers(world: World, node: str, calls: int) -> None:
    """Each call was answered, once. Answers go by ports of their own, which have no order among them."""
    (client,) = world.programs(node, Visitor)
    assert (len(client.answers), client.lost, client.calls) == (calls, 0, 0)
    assert sorted(number for number, _ in client.answers) == list(range(1, calls + 1))


def two(architecture: str, every: int = 900, switch: str = "", lan: str = "", calls: int = 60) -> str:
    other = next(each for each in PROFILES if each != architecture)
    return cluster(("a", architecture, desk()), ("b", other, visitor(calls, every)), switch=switch, lan=lan)


@both_machines
@pytest.mark.parametrize("switch", SWITCHES)
def test_calls_between_nodes_go_on_while_network_servers_are_replaced_again_and_again(architecture: str, switch: str) -> None:
    actions = "".join(replace(f"{55 + 11 * n}300us", "ab"[n % 2], gns(switch)) for n in range(8))
    with World(two(architecture, switch=switch, calls=150) + actions) as world:
        world.run(2 * SECOND)
        assert world.cluster.undone == []
        check_answers(world, "b", 150)
        for name in "ab":
            assert len(world.programs(name, Gns)) == 1


@pytest.mark.slow
@both_machines
@pytest.mark.parametrize("node", ["a", "b"])
def test_saved_at_any_moment_of_a_replacement_it_goes_on_the_same(architecture: str, node: str, tmp_path: Path) -> None:
    """Every 20 microseconds, from before it begins until the predecessor has ended."""
    text = two(architecture, 300, lan="loss = 0.1\n") + replace("60ms", node, gns())
    end = 68 * MS
    check_saved_replacements(text, node, "gns", range(60 * MS, end, 20 * US), end, tmp_path / "saved")


@both_machines
@pytest.mark.slow
def test_with_loss_and_a_busy_service_no_call_is_lost(architecture: str) -> None:
    """Calls come faster than they are answered, so that queues are full on both nodes."""
    actions = "".join(replace(f"{60 + 11 * n}ms", "ab"[n % 2], gns()) for n in range(8))
    lossy = "loss = 0.1\nduplication = 0.1\nreordering = 0.1\n"
    with World(two(architecture, 50, lan=lossy, calls=400) + actions) as world:
        world.run(5 * SECOND)
        assert world.cluster.undone == []
        check_answers(world, "b", 400)


@both_machines
@pytest.mark.parametrize("node", ["a", "b"])
def test_memory_that_is_under_way_arrives_whole_before_the_successor_takes_over(architecture: str, node: str) -> None:
    size = 600_000
    other = next(each for each in PROFILES if each != architecture)
    sink, source = ('{ class = "tests.support.clients:' + each for each in ("Sink }", f'Source", size = {size} }}'))
    text = cluster(("a", architecture, sink.replace("Sink", 'Sink"')), ("b", other, source))
    with World(text + replace("300ms", node, gns())) as world:
        world.run(400 * MS)
        assert world.programs("a", Sink)[0].received == [] and len(world.programs(node, Gns)) == 2
        world.run(5 * SECOND)
        assert world.programs("a", Sink)[0].received == [(size, hashlib.sha256(pattern(size)).hexdigest())]
        assert world.programs("b", Source)[0].ended == 1
        assert world.cluster.undone == [] and len(world.programs(node, Gns)) == 1


@both_machines
@pytest.mark.parametrize("size", [100, 3000])
def test_messages_that_wait_for_a_full_queue_are_handed_over(architecture: str, size: int) -> None:
    actions = replace("900ms", "a", gns()) + replace("950ms", "b", gns()) + replace("1200ms", "a", gns())
    with World(sleepers(architecture, size) + actions) as world:
        world.run(1450 * MS)
        (server,) = world.programs("a", Gns)
        assert [bool(export.waiting) for export in server.tables.exports.values()] == [True]
        world.run(3 * SECOND)
        assert world.programs("a", Sleeper)[0].heard == pushed(size)
        assert world.cluster.undone == []


@both_machines
@pytest.mark.slow
def test_a_server_with_more_than_a_megabyte_in_line_that_waits_stays_until_there_is_less(architecture: str) -> None:
    """Two megabytes wait for one queue."""
    sleeper, flood = (
        f'{{ class = "{SUCCESSORS}:Sleeper", wake_ms = 5000 }}',
        '{ class = "tests.support.clients:Flood", names = "desk" }',
    )
    text = cluster(("a", architecture, sleeper), ("b", architecture, flood), lan='bandwidth = "100M"\n')
    heard = []
    for action in ("", replace("4500ms", "a", gns())):
        with World(text + action) as world:
            world.run(4900 * MS)
            assert len(world.programs("a", Gns)) == (2 if action else 1)
            world.run(9 * SECOND)
            assert len(world.programs("a", Gns)) == 1
            heard.append([number for number, _ in world.programs("a", Sleeper)[0].heard])
    assert len(heard[0]) > WINDOW and heard[0] == heard[1]


@both_machines
def test_a_class_that_is_derived_from_it_follows_and_is_followed(architecture: str) -> None:
    later = f'{{ class = "{SUCCESSORS}:LaterGns" }}'
    with World(
        two(architecture) + replace("60ms", "a", later) + replace("70ms", "b", later) + replace("80ms", "b", gns())
    ) as world:
        world.run(SECOND)
        check_answers(world, "b", 60)
        assert [server.more for server in world.programs("a", LaterGns)] == [7]
        assert world.programs("b", LaterGns) == [] and len(world.programs("b", Gns)) == 1


@both_machines
def test_rights_outlive_the_server_that_they_went_through_and_die_with_their_node(architecture: str) -> None:
    other = next(each for each in PROFILES if each != architecture)
    program = '{{ class = "tests.support.dependents:Dependent", name = "{}", other = "{}", start_ms = 500, quiet_ms = 3000 }}'
    text = cluster(("a", architecture, program.format("a", "b")), ("b", other, program.format("b", "a")))
    text += replace("1s", "a", gns()) + replace("1200ms", "b", gns()) + replace("1400ms", "b", gns())
    with World(text + fault("4s", "crash", node="a")) as world:
        world.run(4 * SECOND)
        (one,), (two,) = world.programs("a", Dependent), world.programs("b", Dependent)
        assert two.heard == list(range(one.count)) and one.heard == list(range(two.count)) and one.count > 50
        assert not any((each.died, each.unused, each.spent) != (0, 0, 0) for each in (one, two))
        world.run(7 * SECOND)
        (two,) = world.programs("b", Dependent)
        assert all(4 * SECOND < time <= 6 * SECOND for time in (two.died, two.unused, two.spent))


def test_what_is_no_network_server_and_one_that_replicates_otherwise_cannot_follow() -> None:
    actions = replace("50ms", "a", gns("replicates")) + replace("51ms", "a", desk()) + replace("52ms", "a", gns(), "desk")
    with World(two("i386") + actions) as world:
        world.run(SECOND)
        check_answers(world, "b", 60)
        assert [line.split(": ", 3)[3] for line in world.cluster.undone] == [
            "whether a network server replicates cannot change while it runs: stop it, and start another",
            "Gns hands over all that it has, which Desk cannot",
            "Gns hands over all that it has, which Desk cannot",
        ]


@pytest.mark.parametrize("way", WAYS)
@both_machines
def test_datagrams_go_on_while_datagram_and_network_servers_are_replaced(architecture: str, way: str) -> None:
    servers = {"udp": '"masix.protocols.udp:Udp"', "gns": gns()}
    steps = [("udp", "alpha"), ("udp", "beta"), ("gns", "alpha"), ("gns", "beta")] * 2
    actions = "".join(replace(f"{40 + 7 * n}ms", node, servers[what], what) for n, (what, node) in enumerate(steps))
    with World(datagrams(architecture, way, 100, 60) + actions) as world:
        world.run(5 * SECOND)
        assert world.cluster.undone == []
        result, counts, last = world.lines("beta")[-3:]
        assert result.startswith("60 of 100 bytes came back") and last == "END"
        assert world.lines("alpha") == ["echoes at port 7"]
        assert len(world.programs("beta", Udp)) == 1
        assert "lost 0 0 0 0 0 0 0" in counts
